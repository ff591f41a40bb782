"""``roadlens bench``: what each stage costs on this machine, one stage after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bench(
    clip: Annotated[Path | None, typer.Argument(help="A clip; else a synthetic road with its true boxes.")] = None,
    frames: Annotated[int, typer.Option(min=10, help="Frames to time.")] = 100,
    objects: Annotated[int, typer.Option(min=0, help="Boxes a frame on the synthetic road.")] = 15,
    size: Annotated[str, typer.Option(help="Size of the synthetic road's pictures.")] = "1280x720",
    camera: Annotated[str | None, typer.Option("--camera", "-c", help="Profile of the clip's camera.")] = None,
    detector: Annotated[str | None, typer.Option(help="Model file or name.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of every stage.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Time every stage, the network apart from all other work."""
    from rich.console import Console
    from rich.table import Table

    from app.commands.run import parse_size
    from app.stage_bench import BenchPlan, measure

    plan = BenchPlan(
        clip=None if clip is None else str(clip),
        frames=frames,
        objects=objects,
        size_px=parse_size(size) or (1280, 720),
        camera=camera,
        detector=detector,
        threads=threads,
    )
    console = Console(highlight=False, soft_wrap=True)
    with console.status("timing"):
        figures = measure(plan)
    table = Table(
        title=f"milliseconds a frame on {figures['cpu']}, {threads} thread(s)", title_justify="left", box=None
    )
    for name in ("stage", "median", "95 %"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in figures["stages"]:
        table.add_row(stage, f"{figures[f'{stage}_ms']:.2f}", f"{figures[f'{stage}_p95_ms']:.2f}")
    table.add_row("[bold]outside decode, network and encode", f"[bold]{figures['own_work_ms']:.2f}", "")
    console.print(table)
    console.print(f"{figures['frames']} frames of {figures['width_px']}x{figures['height_px']}, ", end="")
    console.print(f"{figures['tracks']:.1f} tracks on average, detector {figures['detector']}")
    if json_file is not None:
        import json

        from app.runner import write_whole

        write_whole(json_file, json.dumps(figures, indent=1) + "\n")
        console.print(f"figures in {json_file}")
