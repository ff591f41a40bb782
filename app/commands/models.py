"""``roadlens models``: the detectors that can be used, the default first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from geometry.errors import InputError


def models(
    files: Annotated[list[Path] | None, typer.Argument(help="Model files to look into besides the known ones.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, tensorrt.")] = "auto",
) -> None:
    """List the detectors that can be used, with what runs them, and whether a file of yours can be."""
    from perception.detector import SHARED_MODELS, WEIGHTS, available_models, default_model, load_detector
    from perception.types import CLASSES

    console = Console()
    table = Table(title="Detectors: name them with --detector NAME or --detector FILE")
    for heading in ("name", "head", "input", "classes", "MB", "runs on", "where"):
        table.add_column(heading, justify="right" if heading == "MB" else "left", overflow="fold")
    unusable: list[str] = []
    for path in (*available_models(), *(files or [])):
        try:
            detector = load_detector(path, device=device)
        except InputError as error:
            unusable.append(str(error))
            continue
        told = detector.description
        where = {WEIGHTS: "embedded", SHARED_MODELS: "for developing"}.get(path.parent, "yours")
        default = " [green](default)[/]" if path == default_model() else ""
        table.add_row(
            f"{told['name']}{default}",
            told["head"],
            told["input_size"],
            f"{len(detector.road_classes)} of {len(CLASSES)}",
            f"{path.stat().st_size / 1e6:.1f}",
            told["provider"].removesuffix("ExecutionProvider"),
            where,
        )
    console.print(table)
    if default_model() is None:
        console.print("no weights are embedded here; what stands in is the developers' folder beside the checkout")
    if unusable:
        raise InputError("; ".join(unusable))
