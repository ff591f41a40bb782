"""Reports: one HTML file about a run, with the page's player in it, or about the clips of a batch. Needs no network.

Plots are SVG and nothing is fetched from anywhere: a report from five years ago must open without anybody's server.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from app.partial import partial_path
from app.record import count, find
from geometry.errors import InputError

NAME = "report.html"


def write_report(
    folder: str | Path, path: str | Path | None = None, *, on_frame: Callable[[int], None] = lambda done: None
) -> Path:
    """Writes ``report.html`` about the run, or the batch, in a folder.

    Args:
        folder: of a run (its results.jsonl will do), or of a batch.
        path: where to; None: into that folder. A clip too large to embed is written beside it.
        on_frame: told how many frames of a run's record were read.

    Raises:
        InputError: neither a run nor a batch there, a record without frames, or no right to write.
    """
    folder = Path(folder)
    batch = folder.is_dir() and not _holds_run(folder)
    target = Path(path) if path else (folder if folder.is_dir() else folder.parent) / NAME
    try:
        if batch:
            from app.report.batch_page import batch_page

            text = batch_page(folder, target)
        else:
            from app.report.run_page import run_page

            text = run_page(folder, target, on_frame)
        partial = partial_path(target)
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


def _holds_run(folder: Path) -> bool:
    try:
        find(folder)
    except InputError:
        return False
    return True


def clip_folders(folder: Path) -> list[Path]:
    """Folders of a batch's finished clips."""
    return sorted(path.parent for path in folder.glob("*/summary.json") if _holds_run(path.parent))


def frames_of(folder: Path) -> int:
    """How many frames a run's record has; 0 of a batch."""
    return count(folder) if not folder.is_dir() or _holds_run(folder) else 0
