"""``roadlens quantize``: an 8-bit network, with what it costs in accuracy beside what it gains in speed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from geometry.errors import InputError

if TYPE_CHECKING:
    from app.evaluation.quantised import Variant


def quantize(
    model: Annotated[Path, typer.Argument(help="The float network, an .onnx file.")],
    data: Annotated[Path, typer.Option(help="Folder of labelled pictures, as for eval detect.")],
    split: Annotated[str, typer.Option(help="COCO file to measure accuracy on.")] = "val",
    every: Annotated[int, typer.Option(min=1, help="Measure on every so many pictures.")] = 2,
    calibration: Annotated[str, typer.Option(help="COCO file to calibrate on.")] = "train",
    frames: Annotated[int, typer.Option(min=1, help="Pictures to calibrate on, spread over the file.")] = 128,
    method: Annotated[list[str] | None, typer.Option(help="minmax, entropy, percentile-P; again for more.")] = None,
    max_loss: Annotated[float, typer.Option(help="AP50 points (of 100) that a class may lose.")] = 0.5,
    least_boxes: Annotated[
        int, typer.Option(help="Classes with over so many boxes in the split are held to it.")
    ] = 500,
    symmetric: Annotated[
        bool, typer.Option("--symmetric", help="Signed activations about zero, which TensorRT asks for.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Where the winner goes. Default: MODEL_int8.onnx beside it.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Quantise to 8 bits: compare calibrations, keep sensitive layers in float, refuse what loses accuracy."""
    from app.evaluation.detection_data import load_labelled
    from app.evaluation.quantised import METHODS, Bar, Search, winner
    from app.evaluation.report import write_json

    console = Console()
    out = out or model.with_name(f"{model.stem}_int8.onnx")
    if out.resolve() == model.resolve():
        raise InputError(f"--out {out} is the float network itself; name another file")
    test = load_labelled(data, split, every)
    source = load_labelled(data, calibration)
    chosen = source[:: max(1, len(source) // frames)][:frames]
    bar = Bar(max_loss / 100, max(1, least_boxes // every))
    with TemporaryDirectory() as folder:
        with _progress(console) as progress:
            said = partial(_said, progress)
            search = Search(model, Path(folder), test, chosen, bar, tuple(method or METHODS), said, symmetric)
            variants = search.run()
        console.print(table(variants, bar.max_loss))
        if json_file is not None:
            write_json(json_file, {variant.name: figures(variant) for variant in variants})
        best = winner(variants)
        if best is None:
            console.print(
                f"[bold red]refused:[/] every 8-bit variant loses more than {max_loss} points; nothing written"
            )
            raise typer.Exit(1)
        temporary = out.with_name(f".{out.name}.part")
        shutil.copyfile(best.path, temporary)
        temporary.replace(out)
    ratio = best.latency_ms_1t / variants[0].latency_ms_1t
    console.print(
        f"wrote {out}: {best.name}, {ratio:.2f} of the float latency, {best.worst} lost {100 * best.loss:.2f}"
    )


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _said(progress: Progress, text: str, steps: int) -> Callable[[], None]:
    return partial(progress.advance, progress.add_task(text, total=steps))


def figures(variant: Variant) -> dict[str, object]:
    """The flat figures of ``--json``."""
    return {
        "ap50": variant.scores.ap50,
        "map": variant.scores.map,
        "latency_ms_1t": variant.latency_ms_1t,
        "size_mb": variant.size_mb,
        "loss": variant.loss,
        "worst_class": variant.worst,
        "float_layers": len(variant.kept),
        "accepted": variant.accepted,
    }


def table(variants: list[Variant], max_loss: float) -> Table:
    """Accuracy lost, latency and size: one column a variant, so that it fits a terminal."""
    first = variants[0]
    made = Table(title=f"AP at IoU 0.5; refused over {100 * max_loss:.2g} points lost on a class of the bar")
    made.add_column("")
    for variant in variants:
        made.add_column(variant.name, justify="right", overflow="fold")
    made.add_row("ms", *(f"{variant.latency_ms_1t:.1f}" for variant in variants))
    made.add_row("of float", *(f"{variant.latency_ms_1t / first.latency_ms_1t:.2f}" for variant in variants))
    made.add_row("MB", *(f"{variant.size_mb:.1f}" for variant in variants))
    made.add_row("mAP", *(f"{variant.scores.map:.3f}" for variant in variants))
    for name in (name for name, ap in first.scores.ap50.items() if ap == ap and first.scores.boxes[name] >= 50):
        made.add_row(name, *(f"{variant.scores.ap50[name]:.3f}" for variant in variants))
    losses = (f"{variant.worst} {100 * variant.loss:+.2f}" for variant in variants[1:])
    made.add_row("most lost", "", *losses)
    verdicts = ("[green]holds[/]" if variant.accepted else "[red]refused[/]" for variant in variants[1:])
    made.add_row("", "", *verdicts)
    return made
