"""``roadlens mine``: frames worth labelling, as a COCO task."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer


def mine(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or of a batch.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="New folder; else DIR/mining.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many frames.")] = 50,
    gap: Annotated[float, typer.Option(min=0, help="Seconds between two frames of a clip.")] = 2.0,
    other: Annotated[
        Path | None, typer.Option(help="Record of the same clip by another model: where the two disagree.")
    ] = None,
    no_appearance: Annotated[
        bool, typer.Option("--no-appearance", help="Do not look for what is rare: no picture is decoded to rank.")
    ] = False,
    embedding: Annotated[
        Path | None, typer.Option(help="Network (ONNX) whose embeddings say what looks alike: re-identification.")
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="Lossless pictures.")] = False,
) -> None:
    """Rank frames worth labelling: low confidence, flicker, cues or models that disagree, rare appearance. Writes
    pictures, annotations.json (COCO, with pre-labels and reasons), frames.csv and contact_sheet.png."""
    from rich.console import Console
    from rich.table import Table

    from app.commands.progress import Steps
    from app.mining.task import MiningPlan, run_folders
    from app.mining.task import mine as run_mining

    target = out or folder / "mining"
    plan = MiningPlan(run_folders(folder), target, count, gap, other, not no_appearance, png, embedding)
    with Steps() as steps:
        chosen = run_mining(plan, on_step=steps.update)
    table = Table(box=None)
    for name in ("rank", "run", "time", "score", "why"):
        table.add_column(name, justify="left" if name in ("run", "why") else "right")
    for rank, frame in enumerate(chosen[:20], 1):
        why = f"{frame.reasons[0].kind}: {frame.reasons[0].text}"
        table.add_row(str(rank), plan.runs[frame.clip].resolve().name, f"{frame.t_s:.2f} s", f"{frame.score:.2f}", why)
    console = Console(highlight=False)
    console.print(table)
    kinds = Counter(frame.reasons[0].kind for frame in chosen)
    console.print(f"{len(chosen)} frames: " + ", ".join(f"{number} {kind}" for kind, number in kinds.most_common()))
    typer.echo(str(target))
