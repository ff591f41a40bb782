"""``roadlens eval lane``: lanes against labelled frames."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from app.evaluation.lane import LabelledFrame
    from geometry.camera import Camera
    from perception.lanes.learned import LearnedEvidence
    from perception.types import ObjectDetector


def eval_lane(
    data: Annotated[Path, typer.Argument(help="Folder in the TuSimple format: label*.json and the pictures it names.")],
    camera: Annotated[str | None, typer.Option(help="Profile name or file. Default: found from the frames.")] = None,
    fov: Annotated[float, typer.Option(help="Horizontal field of view in degrees where no profile is given.")] = 60.0,
    detector: Annotated[
        str | None, typer.Option(help="Model whose boxes are no lane evidence. Default: the embedded one; none: none.")
    ] = None,
    learned: Annotated[
        Path | None, typer.Option(help="Lane network (roadlens train-lanes) as one more source of evidence.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the plot and the contact sheet.")] = Path("out/eval_lane"),
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Measure lanes as TuSimple does (20 px): accuracy, false positives and negatives, F1; all lanes and the ego pair.

    Keys of --json: accuracy, fp, fn, precision, recall, f1, the same with ego_ before them, frames, and the camera:
    focal_px, height_m, pitch_down_deg, yaw_left_deg, horizon_y_px.
    """
    import cv2

    from app.evaluation.lane import evaluate, load_labels
    from app.evaluation.lane_plots import plot_accuracy, worst_frames
    from app.evaluation.report import write_json
    from perception.lanes import LaneConfig, LaneTracker

    console = Console()
    frames = load_labels(data)
    found = _camera(frames, camera, fov, console)
    objects = _detector(detector, console)
    network = _network(learned)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("lanes", total=len(frames))
        scores, predictions = evaluate(
            frames, found, lambda: LaneTracker(LaneConfig(learned=network)), objects, lambda: progress.advance(task)
        )
    figures = scores.figures()
    console.print(_table(figures))
    out.mkdir(parents=True, exist_ok=True)
    plot_accuracy(scores, out / "accuracy.png")
    cv2.imwrite(str(out / "worst_frames.jpg"), worst_frames(frames, scores, predictions))
    console.print(f"plot and the worst frames in {out}")
    if json_file is not None:
        mount = {
            "focal_px": found.fx_px,
            "height_m": found.height_m,
            "pitch_down_deg": math.degrees(found.pitch_rad),
            "yaw_left_deg": math.degrees(found.yaw_rad),
            "horizon_y_px": found.horizon_y_px,
        }
        write_json(json_file, figures | mount)
        console.print(f"figures in {json_file}")


def _camera(frames: tuple[LabelledFrame, ...], profile: str | None, fov_deg: float, console: Console) -> Camera:
    """The given camera at the frames' size, or the one found from (at most forty of) the frames."""
    from geometry.errors import InputError
    from geometry.profiles import load_profile
    from perception.lanes.mount import MAX_PICTURES, find_mount

    if not 10 <= fov_deg <= 150:
        raise InputError(f"field of view is {fov_deg} degrees, must be between 10 and 150")
    first = frames[0].picture()
    if profile is not None:
        given = load_profile(profile).for_size(first.shape[1], first.shape[0])
        console.print(f"camera {given.name} as given")
        return given
    pictures = [frame.picture() for frame in frames[:: max(1, len(frames) // MAX_PICTURES)]]
    found = find_mount(pictures, math.radians(fov_deg))
    console.print(f"camera found from the frames (field of view {fov_deg:.0f}° taken as given): {found}")
    return found.camera


def _detector(name: str | None, console: Console) -> ObjectDetector | None:
    """The named detector, or the embedded one; None where there is none or it is not wanted."""
    from geometry.errors import InputError
    from perception.detector import load_detector

    if name == "none":
        return None
    try:
        detector = load_detector(name)
    except InputError as error:
        if name is not None:
            raise
        console.print(f"no detector, so vehicles are not masked: {error}")
        return None
    console.print(f"vehicles masked by {detector.description['name']}")
    return detector


def _network(path: Path | None) -> LearnedEvidence | None:
    if path is None:
        return None
    from perception.lanes.learned import LearnedEvidence

    return LearnedEvidence(path)


def _table(figures: dict[str, float]) -> Table:
    table = Table(title=f"TuSimple measure at 20 px, {figures['frames']} frames")
    for heading in ("", "accuracy", "FP", "FN", "precision", "recall", "F1"):
        table.add_column(heading, justify="right" if heading else "left")
    names = ("accuracy", "fp", "fn", "precision", "recall", "f1")
    table.add_row("all lanes", *(f"{figures[name]:.3f}" for name in names))
    table.add_row("ego pair", *(f"{figures[f'ego_{name}']:.3f}" for name in names))
    return table
