"""``roadlens report``: one HTML file about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File; else report.html in that folder.")] = None,
) -> None:
    """Write one HTML file: events with pictures, distances, speeds, lane offset."""
    from app.run_report import write_report

    typer.echo(str(write_report(run, out)))
