"""``roadlens eval detect``: models side by side on labelled pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from geometry.errors import InputError

if TYPE_CHECKING:
    from app.evaluation.detect import ModelReport
    from app.evaluation.detection_data import LabelledImage
    from perception.detector import Detector
    from perception.types import Detections

LATENCY_PICTURES = 25
_SIZED = ("vehicle", "car", "person", "traffic light", "traffic sign")


def eval_detect(
    data: Annotated[Path, typer.Option(help="Folder with SPLIT.json[.gz] (COCO) or label.txt / label_2 (KITTI).")],
    split: Annotated[str, typer.Option(help="Which COCO file.")] = "val",
    models: Annotated[
        list[str] | None,
        typer.Option(
            help="Model file or name, NAME@WIDTHxHEIGHT for an input size; again for more. Default: all known."
        ),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Take every so many pictures.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, tensorrt; the latency is measured on it too.")] = "cpu",
    worst: Annotated[int, typer.Option(min=1, help="Frames on the sheet of failures.")] = 10,
    out: Annotated[Path, typer.Option(help="Folder for the plots and the sheets of failures.")] = Path(
        "out/eval_detect"
    ),
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Measure detectors: COCO mAP, AP50 by class and size, precision-recall, confusion, failures, latency."""
    import cv2

    from app.evaluation.detect import LOWEST_SCORE
    from app.evaluation.detect_failures import worst_frames
    from app.evaluation.detect_plots import plot_confusion, plot_precision_recall
    from app.evaluation.detection_data import load_labelled
    from app.evaluation.report import write_json

    console = Console()
    images = load_labelled(data, split, every)
    names = models or known_models()
    as_used = open_models(names, device)
    found, reports = measure(images, open_models(names, device, LOWEST_SCORE), as_used, console)
    for table in tables(reports):
        console.print(table)
    out.mkdir(parents=True, exist_ok=True)
    plot_precision_recall({name: report.scores for name, report in reports.items()}, out / "precision_recall.png")
    for name, report in reports.items():
        plot_confusion(report, name, out / f"confusion_{name}.png")
        sheet = worst_frames(images, found[name], worst)
        cv2.imwrite(str(out / f"worst_{name}.jpg"), sheet)
    console.print(f"plots in {out}")
    if json_file is not None:
        write_json(json_file, {name: report.figures() for name, report in reports.items()})
        console.print(f"figures in {json_file}")


def known_models() -> list[str]:
    """The embedded models; then those of the developers' folder, networks of free size at 416x416 as well."""
    from perception.detector import SHARED_MODELS, available_models
    from perception.session import open_session

    names = []
    for path in available_models():
        names.append(str(path))
        if path.is_relative_to(SHARED_MODELS):
            picture = next(spec for spec in open_session(path, "cpu", 1).inputs if len(spec.shape) == 4)
            if None in picture.shape[2:]:
                names.append(f"{path}@416x416")
    if not names:
        raise InputError("no model is embedded here; name files with --models")
    return names


def open_models(names: list[str], device: str, least_score: float | None = None) -> dict[str, Detector]:
    """Detectors of one thread by short names that tell them apart; their own score thresholds unless one is given."""
    from perception.detector import load_detector

    detectors: dict[str, Detector] = {}
    for name in names:
        source, _, size = name.rpartition("@") if "@" in name else (name, "", "")
        detector = load_detector(source, device=device, input_size=_size(size), score_threshold=least_score, threads=1)
        short = detector.description["name"] + (f"@{size}" if size else "")
        if short in detectors:
            raise InputError(f"two models are called {short}; rename one file")
        detectors[short] = detector
    return detectors


def _size(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdigit() for side in sides):
        raise InputError(f"input size is {text!r}; must be WIDTHxHEIGHT, as in 640x384")
    return int(sides[0]), int(sides[1])


def measure(
    images: tuple[LabelledImage, ...], detectors: dict[str, Detector], as_used: dict[str, Detector], console: Console
) -> tuple[dict[str, list[Detections]], dict[str, ModelReport]]:
    """What every model finds in every picture, and how good that is; then the latencies, turn by turn.

    Args:
        detectors: at the least score, whose thousands of boxes nobody shows and which cost time to suppress.
        as_used: the same at the thresholds they are used at; these are timed.
    """
    import cv2

    from app.evaluation.detect import ModelReport, confusion, latency_ms, predict, read_picture, score_detections

    cv2.setNumThreads(1)
    found, reports = {}, {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        tasks = {name: progress.add_task(name, total=len(images)) for name in detectors}
        timing = progress.add_task("latency", total=1)
        for name, detector in detectors.items():
            found[name] = predict(detector, images, partial(progress.advance, tasks[name]))
            scores = score_detections(images, found[name], detector.road_classes)
            reports[name] = ModelReport(scores, confusion(images, found[name]), detector.description)
        step = max(1, len(images) // LATENCY_PICTURES)
        times = latency_ms(as_used, [read_picture(image) for image in images[::step][:LATENCY_PICTURES]])
        progress.advance(timing)
    return found, {
        name: ModelReport(report.scores, report.confusion, report.description, times[name])
        for name, report in reports.items()
    }


def tables(reports: dict[str, ModelReport]) -> list[Table]:
    """AP50 by class, and by size of what is most often asked about: one column a model, so that it fits a terminal."""
    from app.evaluation.detect import MEASURED, SIZES, VEHICLE

    boxes = next(iter(reports.values())).scores.boxes
    present = [name for name in (VEHICLE, *MEASURED[:-1]) if boxes[name]]
    by_class = Table(title="AP at IoU 0.5 by class (boxes); ms: a whole detection on one thread")
    by_size = Table(
        title=f"AP at IoU 0.5 by size in the picture: {SIZES[1]} (under 32x32) / {SIZES[2]} (to 96x96) / over"
    )
    for table in (by_class, by_size):
        table.add_column("")
        for name in reports:
            table.add_column(name, justify="right", overflow="fold")
    by_class.add_row("input", *(report.description["input_size"] for report in reports.values()))
    by_class.add_row("ms", *(f"{report.latency_ms_1t:.1f}" for report in reports.values()))
    by_class.add_row("mAP", *(_text(report.scores.map) for report in reports.values()))
    for kind in present:
        figures = (_text(report.scores.ap50[kind]) for report in reports.values())
        by_class.add_row(f"{kind} ({boxes[kind]})", *figures)
    for kind in (name for name in present if name in _SIZED):
        cells = (" ".join(_text(r.scores.ap50_by_size[size][kind]) for size in SIZES[1:]) for r in reports.values())
        by_size.add_row(kind, *cells)
    return [by_class, by_size]


def _text(value: float) -> str:
    return "-" if value != value else f"{value:.3f}".lstrip("0")
