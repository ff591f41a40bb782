"""``roadlens export``: a checkpoint as ONNX and as a torch.export program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from geometry.errors import InputError


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Of roadlens train, such as runs/train/last.pt.")],
    out: Annotated[Path, typer.Option(help=".onnx, or .pt2 for a torch.export program.")] = Path("roadlens.onnx"),
    width: Annotated[int, typer.Option(help="Of the input, a multiple of 32.")] = 736,
    height: Annotated[int, typer.Option(help="Of the input, a multiple of 32.")] = 416,
    free_size: Annotated[bool, typer.Option(help="Leave height and width free; the batch always is.")] = False,
    score_threshold: Annotated[float, typer.Option(min=0, max=1, help="Detections are shown from here on.")] = 0.35,
    version: Annotated[str, typer.Option(help="Goes into the file.")] = "1",
) -> None:
    """Write the averaged network, folded to plain convolutions, decoding and metadata inside; checked against torch."""
    if out.suffix not in (".onnx", ".pt2"):
        raise InputError(f"--out {out}: must end in .onnx or .pt2")
    if not checkpoint.is_file():
        raise InputError(f"{checkpoint} is no file; give a checkpoint of roadlens train")
    from perception.training.export import ExportConfig, export_onnx, export_program
    from perception.training.train import load_average

    config = ExportConfig((width, height), free_size, score_threshold, version=version)
    (export_onnx if out.suffix == ".onnx" else export_program)(load_average(checkpoint), out, config)
    Console().print(f"wrote {out}, {out.stat().st_size / 1e6:.1f} MB")
