"""``roadlens eval follow``: detection on every n-th picture of a labelled KITTI drive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from app.evaluation.track_following import Shown

_EVERY = (1, 2, 3, 5)
_RATE_HZ = 10.0  # KITTI's
_LEAST_PX = 25.0  # KITTI's least height of a box that counts


def eval_follow(
    drive: Annotated[Path, typer.Argument(help="KITTI drive: label.txt (tracking format), image_02 with pictures.")],
    detector: Annotated[str | None, typer.Option(help="Model file or name; see `roadlens models`.")] = None,
    frames: Annotated[int, typer.Option(min=12, help="Frames used at most.")] = 1000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """True boxes found, their overlap and changes of number with the detector on every 1st, 2nd, 3rd and 5th picture.

    Keys of --json: N.followed.found, .overlap (percent), .changes; N.coasted.found, .overlap, .changes for each N.
    """
    from app.evaluation.report import write_json
    from app.evaluation.track_following import measure_following

    shown = list(_shown(drive, detector, frames))
    table = Table("detect every", "found %, followed", "by motion", "overlap %, followed", "by motion", "changes", "")
    figures: dict[str, float] = {}
    for every in _EVERY:
        both = {name: measure_following(shown, every, follow=name == "followed") for name in ("followed", "coasted")}
        figures |= {f"{every}.{name}.{key}": value for name, found in both.items() for key, value in found.items()}
        cells = [f"{both[name][key]:.1f}" for key in ("found", "overlap") for name in both]
        table.add_row(str(every), *cells, *(f"{both[name]['changes']:.0f}" for name in both))
    Console().print(table)
    if json_file is not None:
        write_json(json_file, figures)


def _shown(drive: Path, detector: str | None, most: int) -> Iterator[Shown]:
    import cv2
    import numpy as np
    from rich.progress import track

    from app.config import Settings
    from app.evaluation.track_following import Shown
    from app.pipeline import open_detector
    from geometry.errors import InputError
    from perception.types import Frame

    pictures = sorted((drive / "image_02").glob("*.*"))[:most]
    if not pictures or not (drive / "label.txt").is_file():
        raise InputError(f"{drive} has no label.txt or no pictures in image_02; wanted a KITTI drive with labels")
    rows = [line.split() for line in (drive / "label.txt").read_text().splitlines()]
    cars = [r for r in rows if r[2] in ("Car", "Van", "Truck") and float(r[9]) - float(r[7]) >= _LEAST_PX]
    cars = [r for r in cars if float(r[3]) <= 0 and float(r[4]) <= 1]
    model = open_detector(Settings().changed(detector={"file": detector}))
    for index, path in enumerate(track(pictures, "detecting")):
        bgr = cv2.imread(str(path))
        if bgr is None:
            raise InputError(f"{path} is no picture that can be read")
        here = [r for r in cars if int(r[0]) == index]
        true = np.array([[float(v) for v in r[6:10]] for r in here]).reshape(-1, 4)
        frame = Frame(index, index / _RATE_HZ, bgr)
        yield Shown(frame, model.detect(bgr), true, np.array([int(r[1]) for r in here], np.int64))
