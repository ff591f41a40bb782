"""``roadlens replay``: ranges, tracks and events again from a record alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer


def replay(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or its results.jsonl.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the new results.jsonl.")],
    settings_file: Annotated[
        Path | None, typer.Option("--settings", help="TOML file with other thresholds of events.")
    ] = None,
) -> None:
    """Run ranges, tracking and warnings again from a record: no clip, no network (see also run --detections)."""
    from app.commands.progress import Counting
    from app.config import Settings
    from app.record import count
    from app.replay import replay_run

    settings = Settings.from_toml(settings_file) if settings_file else None
    before_s = time.perf_counter()
    with Counting("frames", count(run)) as progress:
        tally = replay_run(run, out, settings, on_frame=progress.update)
    rate = tally.frames / max(time.perf_counter() - before_s, 1e-9)
    typer.echo(f"{tally.frames} frames, {rate:.0f} a second: {out / 'results.jsonl'}")
    for name, number in (tally.objects() | tally.warnings()).items():
        typer.echo(f"{number:5d} {name}")
