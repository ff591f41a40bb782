"""``roadlens train-lanes``: the small lane network, on rendered roads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def train_lanes(
    out: Annotated[Path, typer.Option(help="Folder of the rendered views, the checkpoint and the ONNX file.")] = Path(
        "runs/train_lanes"
    ),
    frames: Annotated[int, typer.Option(min=8, help="Rendered frames to train on; rendered once, then reused.")] = 2000,
    minutes: Annotated[float, typer.Option(min=0, help="Budget of the training in minutes.")] = 15.0,
    steps: Annotated[int, typer.Option(min=1, help="Budget in steps; whichever ends first.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in OUT.")] = False,
) -> None:
    """Train the lane network on rendered roads and write it as ONNX, for `roadlens eval lane --learned FILE`."""
    from perception.training.lanes import LaneTrainConfig, LaneTrainer, export_lane_net
    from perception.training.lanes_data import LaneSet, joined, lane_set

    console = Console()
    views, checkpoint = out / f"views_{seed}_{frames}.npz", out / "last.pt"
    if not views.is_file():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            joined(iter(progress.track(lane_set(frames, seed), frames, description="rendering"))).save(views)
    data = LaneSet.load(views)
    trainer = LaneTrainer(LaneTrainConfig(minutes=minutes, steps=steps, seed=seed))
    if resume:
        trainer.resume(checkpoint)
    console.print(f"{len(data)} views, {sum(p.numel() for p in trainer.model.parameters())} weights")
    loss = trainer.train(data, checkpoint, lambda step, loss: console.print(f"step {step}: loss {loss:.4f}"))
    worst = export_lane_net(trainer.model, out / "lanes.onnx")
    console.print(f"loss {loss:.4f} after {trainer.step} steps; {out / 'lanes.onnx'}, within {worst:.1g} of torch")
