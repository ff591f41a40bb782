"""``roadlens export``: a run in other people's formats, or a trained network as a file that runs anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from geometry.errors import InputError

_RUN, _NETWORK = "A run", "A network"
_CHECKPOINTS = (".pt", ".pth", ".ckpt")


def export(
    what: Annotated[
        Path, typer.Argument(help="Folder of a run (or its results.jsonl), or a checkpoint of roadlens train.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Run: a folder, else its own. Network: .onnx, or .pt2; else roadlens.onnx."),
    ] = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="Some of csv, parquet, mot, kitti, coco, mcap, rerun, with commas.",
            rich_help_panel=_RUN,
        ),
    ] = "csv",
    width: Annotated[int, typer.Option(help="Of the input, a multiple of 32.", rich_help_panel=_NETWORK)] = 832,
    height: Annotated[int, typer.Option(help="Of the input, a multiple of 32.", rich_help_panel=_NETWORK)] = 480,
    free_size: Annotated[
        bool,
        typer.Option(help="Leave height and width free; the batch always is.", rich_help_panel=_NETWORK),
    ] = False,
    score_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Detections are shown from here on.", rich_help_panel=_NETWORK)
    ] = 0.35,
    version: Annotated[str, typer.Option(help="Goes into the file.", rich_help_panel=_NETWORK)] = "1",
    blend: Annotated[
        Path | None,
        typer.Option(help="An earlier checkpoint of the same training to mix in.", rich_help_panel=_NETWORK),
    ] = None,
    blend_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of that checkpoint's weights.", rich_help_panel=_NETWORK)
    ] = 0.15,
) -> None:
    """Write the records of a run as CSV, Parquet, MOT Challenge, KITTI, COCO, MCAP or rerun; or a checkpoint as ONNX
    or torch.export program: averaged, folded to plain convolutions, decoding and metadata inside, checked against
    torch."""
    if what.suffix.lower() not in _CHECKPOINTS:
        _export_run(what, out, formats)
        return
    out = out or Path("roadlens.onnx")
    if out.suffix not in (".onnx", ".pt2"):
        raise InputError(f"--out {out}: must end in .onnx or .pt2")
    for path in filter(None, (what, blend)):
        if not path.is_file():
            raise InputError(f"{path} is no file; give a checkpoint of roadlens train")
    from app.partial import size_words
    from perception.training.export import ExportConfig, export_onnx, export_program
    from perception.training.train import blended, load_average

    model = load_average(what)
    if blend is not None:
        model = blended(model, load_average(blend), blend_share)
    config = ExportConfig((width, height), free_size, score_threshold, version=version)
    (export_onnx if out.suffix == ".onnx" else export_program)(model, out, config)
    Console().print(f"wrote {out}, {size_words(out)}")


def _export_run(run: Path, out: Path | None, formats: str) -> None:
    from app.commands.progress import Counting
    from app.export import export as export_records
    from app.partial import size_words
    from app.record import count, stream

    recording = stream(run)
    names = [name.strip() for name in formats.split(",")]
    with Counting("frames", count(run)) as progress:
        paths = export_records(recording, out or recording.folder, names, on_frame=progress.update)
    for path in paths:
        typer.echo(f"{path}  {size_words(path)}")
