"""``roadlens train``: the detector, from labelled frames."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.signals import EXIT_INTERRUPTED, stop_on_signals
from geometry.errors import InputError

if TYPE_CHECKING:
    from perception.training.augment import Frames
    from perception.training.train import Trainer


def train(
    data: Annotated[
        Path, typer.Option(help="Folder with train.json[.gz] and val.json[.gz] (COCO) and their pictures.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of checkpoints, history and plots.")] = Path("runs/train"),
    minutes: Annotated[float | None, typer.Option(help="Budget in minutes; earlier runs count. Default 180.")] = None,
    steps: Annotated[int | None, typer.Option(help="Budget in steps instead: the run is then deterministic.")] = None,
    size: Annotated[str, typer.Option(help="Network: n, s or m.")] = "n",
    rep: Annotated[str, typer.Option(help="Over-parameterisation while training: folded, branches, none.")] = "folded",
    end_to_end: Annotated[bool, typer.Option(help="Train a second head one-to-one, which needs no NMS.")] = False,
    rendered: Annotated[float, typer.Option(min=0, max=0.5, help="Share of rendered frames.")] = 0.0,
    batch: Annotated[int | None, typer.Option(min=1, help="Pictures a step. Default 16, on a GPU 64.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate. Default 0.002, times sqrt(batch / 16).")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: all.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    resume: Annotated[
        Path | None, typer.Option(help="Go on from this checkpoint, within the budget given now.")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="Begin with this checkpoint's weights, on a budget of its own: fine-tuning.")
    ] = None,
    head_only: Annotated[
        bool, typer.Option("--head-only", help="With --end-to-end --init: train the one-to-one head alone.")
    ] = False,
    check_minutes: Annotated[float, typer.Option(help="Between measurements of AP50; 0: only at the end.")] = 30.0,
    check_every: Annotated[int, typer.Option(min=1, help="Measure on every so many validation frames.")] = 4,
    cache: Annotated[Path, typer.Option(help="Folder of decoded frames, reused by later runs.")] = Path(
        "runs/train/cache"
    ),
) -> None:
    """Train the detector; checkpoints survive any interruption, `--resume OUT/last.pt` goes on."""
    import torch

    from perception.training.model import CONFIGS
    from perception.training.train import Check, TrainConfig, Trainer, pick_device
    from perception.training.train import train as run

    console = Console()
    if size not in CONFIGS or rep not in ("folded", "branches", "none"):
        raise InputError(f"--size {size} --rep {rep}: sizes are {', '.join(CONFIGS)}; rep is folded, branches or none")
    for checkpoint in (resume, init):
        if checkpoint is not None and not checkpoint.is_file():
            raise InputError(f"{checkpoint} is no file; give a checkpoint such as {out / 'last.pt'}")
    if resume is not None and init is not None:
        raise InputError("--resume goes on with a training, --init begins one with its weights; give one of the two")
    chosen = pick_device(device)
    batch = batch or (64 if chosen.type == "cuda" else 16)
    config = TrainConfig(
        minutes=None if steps is not None else minutes or 180.0,
        steps=steps,
        batch=batch,
        lr=lr or 2e-3 * math.sqrt(batch / 16),
        seed=seed,
        threads=threads or torch.get_num_threads(),
        head_only=head_only,
    )
    changes: dict[str, Any] = {"rep": rep, "end_to_end": end_to_end}
    trainer = Trainer(replace(CONFIGS[size], **changes), config, chosen)
    if resume is not None:
        trainer.resume(resume)
    if init is not None:
        trainer.start_from(init)
    frames, test = _read(data, cache, rendered, seed, check_every, console)
    console.print(_headline(trainer, len(frames), resume or init))
    began = time.monotonic()
    check = Check(test, minutes=check_minutes or math.inf)
    with stop_on_signals(console.print) as should_stop:
        run(trainer, frames, out, lambda entry: console.print(_line(entry)), check, should_stop=should_stop)
        if should_stop():
            console.print(f"stopped; go on with --resume {out / 'last.pt'}")
            raise typer.Exit(EXIT_INTERRUPTED)
    console.print(f"done after {(time.monotonic() - began) / 60:.1f} min: {out / 'last.pt'}, plots beside it")


def _read(
    data: Path, cache: Path, rendered: float, seed: int, check_every: int, console: Console
) -> tuple[Frames, Frames]:
    """Training frames, with rendered ones if asked for, and validation frames."""
    from perception.training.data import JoinedSet, list_path, load_annotations, pack
    from perception.training.rendered import render_frames

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    train_list = load_annotations(list_path(data, "train"))
    test_list = load_annotations(list_path(data, "val")).every(check_every)
    with Progress(*columns, console=console, transient=True) as progress:

        def bar(text: str) -> Any:
            task = progress.add_task(text)
            return lambda done, total: progress.update(task, completed=done, total=total)

        real = pack(train_list, cache, bar("decoding training frames"))
        test = pack(test_list, cache, bar("decoding validation frames"))
        if not rendered:
            return real, test
        height, width = real.images.shape[1:3]
        number = round(len(real) * rendered / (1.0 - rendered))
        return JoinedSet((real, render_frames(number, (width, height), seed, bar("rendering")))), test


def _headline(trainer: Trainer, frames: int, start: Path | None) -> str:
    from perception.training.model import parameter_count

    millions = parameter_count(trainer.model) / 1e6
    begin = f", from step {trainer.state.step} of {start}" if start else ""
    return f"{frames} frames, {millions:.2f} M parameters, on {trainer.device}, batch {trainer.config.batch}{begin}"


def _line(entry: dict[str, float]) -> str:
    """One report: where the run is, then losses or average precisions, then the time left."""
    told = f"step {entry['step']:.0f}, {entry['images']:.0f} pictures, lr {entry['lr']:.2g}: "
    if "loss" in entry:
        told += ", ".join(f"{key} {entry[key]:.3f}" for key in ("loss", "classes", "boxes", "distances"))
    else:
        shown = {key.removeprefix("ap50 "): value for key, value in entry.items() if key.startswith("ap50 ")}
        told += "AP50 " + ", ".join(f"{name} {value:.3f}" for name, value in shown.items() if value == value)
    return f"{told}; {entry['left_s'] / 60:.0f} min left"
