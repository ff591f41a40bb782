"""``roadlens export-records``: a run in other people's formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export_records(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or its results.jsonl.")],
    formats: Annotated[str, typer.Option("--to", help="Some of csv,parquet,mot,kitti,coco, with commas.")] = "csv",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder; else that of the run.")] = None,
) -> None:
    """Write the records of a run as CSV, Parquet, MOT Challenge, KITTI or COCO."""
    from app.export import export
    from app.record import load

    loaded = load(run)
    for path in export(loaded, out or loaded.folder, [name.strip() for name in formats.split(",")]):
        typer.echo(str(path))
