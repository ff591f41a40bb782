"""``roadlens eval distance``: our distances against labelled truth, with the peers' formulas beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from app.evaluation.distance import Judged
    from app.evaluation.distance_data import Sequence


def eval_distance(
    path: Annotated[Path, typer.Argument(help="KITTI labels: a drive's folder, a folder of label files, or one file.")],
    calibration: Annotated[
        Path | None, typer.Option("--calib", help="KITTI calibration file; else found or told from the labels.")
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="Measure our own detections and tracks with this model ('auto': embedded).")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the plots.")] = Path("out/eval_distance"),
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Relative error of distance to the nearest face of labelled objects, by method, class and range; plots.

    Boxes untruncated, occlusion at most 1, 5 to 60 m away. "fused" is ours over tracks (past and present frames only);
    where pictures lie beside the labels, they tell it the own motion.
    """
    from app.evaluation.distance import figures, joined
    from app.evaluation.distance_data import load_sequences
    from app.evaluation.distance_plots import plot_error, plot_reliability
    from app.evaluation.report import write_json

    console = Console(highlight=False, soft_wrap=True)
    sequences = load_sequences(path, calibration)
    for sequence in sequences:
        camera = sequence.camera
        console.print(
            f"[dim]{sequence.name}: {len(sequence.boxes)} boxes; f {camera.fx_px:.1f}, c ({camera.cx_px:.1f}, "
            f"{camera.cy_px:.1f}) px from {sequence.camera_source}; {camera.height_m:.2f} m above the road, level[/]"
        )
    judged = joined(measure(sequences, detector, console))
    measured = figures(judged)
    console.print(_methods(measured))
    console.print(_ranges(judged["fused"]))
    out.mkdir(parents=True, exist_ok=True)
    plot_error(judged, out / "error_over_distance.png")
    plot_reliability(judged, out / "reliability.png")
    console.print(f"plots in {out}")
    if json_file is not None:
        write_json(json_file, measured)
        console.print(f"figures in {json_file}")


def measure(sequences: list[Sequence], detector: str | None, console: Console) -> list[dict[str, Judged]]:
    """Every sequence judged, on its true boxes or on what a detector finds in its pictures."""
    from app.evaluation.distance import judge
    from app.evaluation.distance_found import own_motion

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        if detector is not None:
            return _detect(sequences, detector, progress)
        task = progress.add_task("true boxes", total=sum(max(len(sequence.pictures), 1) for sequence in sequences))
        judged = []
        for sequence in sequences:
            motions = own_motion(sequence, lambda: progress.advance(task)) if sequence.pictures else None
            judged.append(judge(sequence, own_motion=motions))
            if motions is None:
                progress.advance(task)
    return judged


def _detect(sequences: list[Sequence], detector: str, progress: Progress) -> list[dict[str, Judged]]:
    from app.config import Settings
    from app.evaluation.distance import judge_found
    from app.evaluation.distance_found import find
    from app.pipeline import build_pipeline

    settings = Settings().changed(
        camera={"profile": "kitti"}, detector={"file": None if detector == "auto" else detector}
    )
    task = progress.add_task("frames", total=sum(len(sequence.pictures) for sequence in sequences))
    judged = []
    for sequence in sequences:
        pipeline = build_pipeline(settings, (sequence.camera.width_px, sequence.camera.height_px))
        judged.append(judge_found(find(sequence, pipeline, lambda: progress.advance(task)), sequence))
    return judged


def _methods(measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    table = Table(title="Relative error of distance, per cent: median / 90th percentile / bias, share within one sigma")
    table.add_column("method")
    groups = list(next(iter(measured.values())))
    for group in groups:
        count = next(iter(measured.values()))[group]["n"]
        table.add_column(f"{group} ({count:.0f})", justify="right")
    for method, by_group in measured.items():
        table.add_row(
            method, *(_cell(by_group[group]) for group in groups), style="bold" if method == "fused" else None
        )
    return table


def _cell(figure: Mapping[str, float]) -> str:
    coverage = figure["coverage_1sigma"]
    within = "" if coverage != coverage else f", {100 * coverage:.0f}"
    return f"{100 * figure['median_rel']:.1f} / {100 * figure['p90_rel']:.1f} / {100 * figure['bias_rel']:+.1f}{within}"


def _ranges(fused: Judged) -> Table:
    from app.evaluation.distance import GROUPS, by_range

    table = Table(title="fused, by true distance")
    for title in ("metres", "cars", "vehicles"):
        table.add_column(title, justify="right")
    parts = [by_range(fused, GROUPS[group](fused.boxes)) for group in ("cars", "vehicles")]
    for cars, vehicles in zip(*parts, strict=True):
        low, high, _ = cars
        cells = [f"{_cell(part[2])} ({part[2]['n']:.0f})" if part[2]["n"] else "" for part in (cars, vehicles)]
        table.add_row(f"{low:.0f} to {high:.0f}", *cells)
    return table
