"""The training loop: a budget in time or steps, warm-up, cosine, moving average, resumable checkpoints."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from geometry.errors import InputError
from perception.training.augment import AugmentConfig, Augmenter, Frames
from perception.training.batches import Batch, BatchMaker, made_ahead
from perception.training.data import frame_weights
from perception.training.losses import LossConfig, LossParts, detection_loss
from perception.training.model import Detector, ModelConfig
from perception.training.optim import WeightAverage, adamw

CHECKPOINT_FORMAT = 1


@dataclass(frozen=True)
class TrainConfig:
    """One training.

    Attributes:
        minutes: wall-clock budget, or ``steps``: a budget in steps, which makes the run deterministic by ``seed``.
            The learning rate falls along a cosine over whichever is given; time spent before a resume counts.
        lr, weight_decay, warmup_steps, final_lr: of the optimiser; ``final_lr`` is a share of ``lr``.
        atss_share: share of the budget under ATSS before task alignment takes over.
        ema: decay of the weights' moving average.
        checkpoint_minutes: between checkpoints.
        amp: bfloat16 where the sums allow it: 2.2 times the speed on a CPU with AVX-512 BF16.
    """

    minutes: float | None = None
    steps: int | None = None
    batch: int = 16
    lr: float = 2e-3
    weight_decay: float = 0.03
    warmup_steps: int = 100
    final_lr: float = 0.02
    atss_share: float = 0.06
    ema: float = 0.998
    seed: int = 0
    checkpoint_minutes: float = 3.0
    threads: int | None = None
    amp: bool = True
    rare_strength: float = 0.5
    clip_norm: float = 10.0
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise InputError("a training needs either minutes or steps as its budget, not both and not neither")


@dataclass
class State:
    """What a checkpoint holds beside tensors."""

    step: int = 0
    images: int = 0
    elapsed_s: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """Linear warm-up in steps, then a cosine over ``progress`` (0..1) down to ``final_lr`` of the peak."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    return config.lr * warm * (config.final_lr + (1.0 - config.final_lr) * cosine)


class Trainer:
    """Owns the model, its average, the optimiser and the counters of one training."""

    def __init__(self, model_config: ModelConfig, config: TrainConfig, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.config, self.device = config, device
        self.model = Detector(model_config).to(device=device, memory_format=torch.channels_last)
        self.average = WeightAverage(self.model, config.ema)
        self.optimiser = adamw(self.model, config.weight_decay)
        self.state = State()

    def progress(self) -> float:
        """Share of the budget that is spent."""
        if self.config.steps is not None:
            return self.state.step / self.config.steps
        assert self.config.minutes is not None
        return self.state.elapsed_s / (60.0 * self.config.minutes)

    def step(self, batch: Batch) -> LossParts:
        """One update; returns the dense head's loss."""
        config, progress = self.config, self.progress()
        self.model.train()
        images = batch.images.to(self.device, non_blocking=True)
        truth = batch.truth.to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=config.amp):
            dense, single = self.model.forward_both(images.to(torch.bfloat16 if config.amp else torch.float32))
        loss = detection_loss(dense, truth, config.loss, "atss" if progress < config.atss_share else "tal")
        total = loss.total
        if single is not None:
            total = total + detection_loss(single, truth, config.loss, "one_to_one").total
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(config, self.state.step, progress)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.average.update(self.model)
        self.state.step += 1
        self.state.images += len(images)
        return loss

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        content = {
            "format": CHECKPOINT_FORMAT,
            "model_config": self.model.config.to_dict(),
            "config": asdict(self.config),
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "average_updates": self.average.updates,
            "optimiser": self.optimiser.state_dict(),
            "state": asdict(self.state),
        }
        partial = path.with_suffix(".partial")
        torch.save(content, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same model; the budget is this trainer's own."""
        content = load_checkpoint(path)
        if ModelConfig.from_dict(content["model_config"]) != self.model.config:
            raise InputError(
                f"{path} holds another model: {content['model_config']}, wanted {self.model.config.to_dict()}"
            )
        self.model.load_state_dict(content["model"])
        self.average.model.load_state_dict(content["average"])
        self.average.updates = content["average_updates"]
        self.optimiser.load_state_dict(content["optimiser"])
        self.state = State(**content["state"])


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; raises InputError where it is none."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path} is not a checkpoint of roadlens train: {error}") from error
    if not isinstance(content, dict) or content.get("format") != CHECKPOINT_FORMAT:
        raise InputError(f"{path} is not a checkpoint of roadlens train (format {CHECKPOINT_FORMAT})")
    return content


def load_average(path: Path) -> Detector:
    """The averaged network of a checkpoint, in inference."""
    content = load_checkpoint(path)
    model = Detector(ModelConfig.from_dict(content["model_config"]))
    model.load_state_dict(content["average"])
    return model.eval()


Report = Callable[[dict[str, float]], None]


def train(trainer: Trainer, frames: Frames, folder: Path, report: Report | None = None, every: int = 50) -> None:
    """Run to the end of the budget, with ``last.pt`` and ``history.json`` in ``folder`` kept current."""
    config = trainer.config
    folder.mkdir(parents=True, exist_ok=True)
    augmenter = Augmenter(frames, config.augment)
    weights = frame_weights(frames.labels, config.rare_strength)
    maker = BatchMaker(augmenter, weights, config.batch, config.seed)
    batches = made_ahead(
        lambda step: maker.make(step, trainer.progress() >= config.augment.calm_from), trainer.state.step
    )
    began, before = time.monotonic(), trainer.state.elapsed_s
    saved, sums = began, {"loss": 0.0, "classes": 0.0, "boxes": 0.0, "distances": 0.0}
    try:
        for batch in batches:
            if trainer.progress() >= 1.0:
                break
            parts = trainer.step(batch)
            now = time.monotonic()
            trainer.state.elapsed_s = before + now - began
            if not math.isfinite(value := float(parts.total.detach())):
                raise InputError(
                    f"the loss became {value} at step {trainer.state.step}; resume with a smaller learning rate"
                )
            for key, part in zip(sums, (parts.total, parts.classes, parts.boxes, parts.distances), strict=True):
                sums[key] += float(part.detach()) / every
            if trainer.state.step % every == 0:
                entry = _entry(trainer, sums, now - began)
                trainer.state.history.append(entry)
                sums = dict.fromkeys(sums, 0.0)
                if report is not None:
                    report(entry)
            if now - saved > 60.0 * config.checkpoint_minutes:
                trainer.save(folder / "last.pt")
                saved = now
    finally:
        batches.close()  # type: ignore[attr-defined]
        trainer.save(folder / "last.pt")
        (folder / "history.json").write_text(json.dumps(trainer.state.history))


def _entry(trainer: Trainer, sums: dict[str, float], spent_s: float) -> dict[str, float]:
    state, progress = trainer.state, trainer.progress()
    left_s = state.elapsed_s * (1.0 / max(progress, 1e-6) - 1.0)
    return {
        "step": state.step,
        "images": state.images,
        "elapsed_s": state.elapsed_s,
        "left_s": left_s,
        "progress": progress,
        "lr": learning_rate(trainer.config, state.step, progress),
        **sums,
    }


def pick_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda[:n]``; raises InputError where a GPU is asked for and not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"--device {name}: torch sees no CUDA device; install a CUDA build of torch or use --device cpu"
        )
    return torch.device(name)


def cpu_count() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
