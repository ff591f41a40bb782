"""Folders of pictures as clips: natural order of names, times from ``timestamps.txt`` or a steady rate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from app.video_types import ClipInfo, ReadReport
from geometry.errors import InputError
from perception.types import Frame

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
DEFAULT_PICTURE_RATE_HZ = 10  # of folders without time stamps: KITTI and Waymo publish 10 pictures a second


def _pictures(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise InputError(f"{folder} holds no pictures; wanted {', '.join(sorted(PICTURE_SUFFIXES))} files")
    return sorted(found, key=lambda path: [int(part) if part.isdigit() else part for part in _parts(path.name)])


def _parts(name: str) -> list[str]:
    return re.split(r"(\d+)", name)


def probe_folder(folder: Path) -> ClipInfo:
    paths = _pictures(folder)
    times = _time_stamps(folder, len(paths))
    first = next((picture for picture in map(_read_picture, paths) if picture is not None), None)
    if first is None:
        raise InputError(f"{folder} holds no picture that can be read, of {len(paths)}")
    rate = Fraction(DEFAULT_PICTURE_RATE_HZ)
    if times and times[-1] > 0:
        rate = Fraction((len(paths) - 1) / times[-1]).limit_denominator(1001)
    return ClipInfo(
        source=str(folder),
        kind="folder",
        width_px=first.shape[1],
        height_px=first.shape[0],
        rate=rate,
        duration_s=float(len(paths) / rate),
        frames=len(paths),
        codec=paths[0].suffix.lower().lstrip("."),
        pixel_format="bgr24",
    )


def _read_picture(path: Path) -> np.ndarray | None:
    data = np.fromfile(path, np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None


def _time_stamps(folder: Path, count: int) -> list[float]:
    """Seconds since the first picture from ``timestamps.txt`` in the folder or above it (KITTI raw's place).

    Lines are seconds, or KITTI's ``2011-09-26 13:02:25.594360375``. Without the file: an empty list.
    """
    path = next((p for p in (folder / "timestamps.txt", folder.parent / "timestamps.txt") if p.is_file()), None)
    if path is None:
        return []
    try:
        times = [_seconds(line) for line in path.read_text().splitlines() if line.strip()]
    except ValueError as error:
        raise InputError(f"{path} has a line that is neither seconds nor a date and time: {error}") from error
    if len(times) != count:
        raise InputError(
            f"{path} has {len(times)} times, the folder {folder.name} has {count} pictures; wanted as many"
        )
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise InputError(f"{path} has times that do not rise; wanted one for each picture, in order")
    return [time - times[0] for time in times]


def _seconds(line: str) -> float:
    text = line.strip()
    if re.fullmatch(r"[0-9.eE+-]+", text):
        return float(text)
    whole, _, fraction = text.partition(".")
    return datetime.fromisoformat(whole).timestamp() + float(f"0.{fraction or 0}")


def folder_frames(folder: Path, rate: Fraction | None, every: int, report: ReadReport) -> Iterator[Frame]:
    paths = _pictures(folder)
    times = _time_stamps(folder, len(paths))
    period_s = 1 / (rate or Fraction(DEFAULT_PICTURE_RATE_HZ))
    size: tuple[int, ...] | None = None
    for index, path in enumerate(paths):
        if index % every:
            continue
        picture = _read_picture(path)
        if picture is None:
            report.corrupt += 1
            continue
        size = size or picture.shape
        if picture.shape != size:
            raise InputError(
                f"{path} is {picture.shape[1]}x{picture.shape[0]} pixels, the pictures before it {size[1]}x{size[0]}; "
                "wanted one size in a folder, because one camera took them"
            )
        yield Frame(index, times[index] if times else float(index * period_s), picture)
