"""``roadlens report``: one HTML file about a run or a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or of a batch.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File; else report.html in that folder.")] = None,
    clips: Annotated[bool, typer.Option("--clips", help="Of a batch: a report in each clip's folder, too.")] = False,
) -> None:
    """Write one HTML file: the player, the worst moments with pictures, plots over time, health. Of a batch: a table of
    its clips. The clip is inside the file up to 18 MB, beside it where it is larger."""
    from app.commands.progress import Counting
    from app.partial import size_words
    from app.report import clip_folders, frames_of, write_report

    if clips:
        folders = clip_folders(folder)
        with Counting("reports", len(folders)) as progress:
            for done, one in enumerate(folders, 1):
                write_report(one)
                progress.update(done)
    with Counting("frames", frames_of(folder)) as progress:
        path = write_report(folder, out, on_frame=progress.update)
    typer.echo(f"{path}  {size_words(path)}")
