"""The training loop: a budget in time or steps, warm-up, cosine, moving average, resumable checkpoints."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

import torch

from geometry.errors import InputError
from perception.training.augment import AugmentConfig, Augmenter, Frames
from perception.training.batches import Batch, BatchMaker, made_ahead
from perception.training.data import frame_weights
from perception.training.device import DeviceBatchMaker
from perception.training.losses import LossConfig, LossParts, detection_loss
from perception.training.model import Detector, ModelConfig
from perception.training.optim import WeightAverage, adamw
from perception.training.plots import PARTS, plot_history
from perception.training.validate import evaluate

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
        checkpoint_minutes, report_steps: between checkpoints, between reports.
        head_only: learn the one-to-one head alone, on features that stay as they are: a third of a step's time.
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
    report_steps: int = 50
    threads: int | None = None
    head_only: bool = False
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
        if config.head_only:
            if self.model.single_heads is None:
                raise InputError("the one-to-one head alone shall learn, but the network has none; add --end-to-end")
            self.model.requires_grad_(False)
            self.model.single_heads.requires_grad_(True)
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
        """One update; returns the dense head's loss, or the one-to-one head's where that learns alone."""
        config, progress = self.config, self.progress()
        if config.head_only:
            loss = self._head_loss(batch)
            total = loss.total
        else:
            loss, total = self._whole_loss(batch, "atss" if progress < config.atss_share else "tal")
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(config, self.state.step, progress)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.average.update(self.model)
        self.state.step += 1
        self.state.images += len(batch.images)
        return loss

    def _whole_loss(self, batch: Batch, phase: Literal["atss", "tal"]) -> tuple[LossParts, torch.Tensor]:
        """The dense head's loss, and what is to be minimised: the one-to-one head's as well where there is one."""
        self.model.train()
        truth = batch.truth.to(self.device)
        with self._autocast():
            dense, single = self.model.forward_both(self._images(batch))
        loss = detection_loss(dense, truth, self.config.loss, phase)
        if single is None:
            return loss, loss.total
        return loss, loss.total + detection_loss(single, truth, self.config.loss, "one_to_one").total

    def _head_loss(self, batch: Batch) -> LossParts:
        """The one-to-one head's loss alone; norms of everything before it keep their statistics."""
        self.model.eval()
        assert self.model.single_heads is not None
        self.model.single_heads.train()
        with self._autocast():
            with torch.no_grad():
                features = self.model.features(self._images(batch))
            single = self.model.read(features, self.model.single_heads)
        return detection_loss(single, batch.truth.to(self.device), self.config.loss, "one_to_one")

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.amp)

    def _images(self, batch: Batch) -> torch.Tensor:
        images = batch.images.to(self.device, non_blocking=True)
        return images.to(torch.bfloat16 if self.config.amp else torch.float32)

    def start_from(self, path: Path) -> None:
        """Take the averaged weights of a checkpoint and nothing else: fine-tuning on other data, or of a new head.

        A one-to-one head that the checkpoint lacks begins as its dense head.

        Raises:
            InputError: a checkpoint of another network.
        """
        content = load_checkpoint(path)
        config, wanted = ModelConfig.from_dict(content["model_config"]), self.model.config
        if replace(config, end_to_end=wanted.end_to_end) != wanted:
            raise InputError(f"{path} holds another model: {config.to_dict()}, wanted {wanted.to_dict()}")
        weights = dict(content["average"])
        if wanted.end_to_end and not config.end_to_end:
            heads = {key: value for key, value in weights.items() if key.startswith("heads.")}
            weights |= {f"single_{key}": value for key, value in heads.items()}
        kept = self.model.state_dict().keys()
        for model in (self.model, self.average.model):
            model.load_state_dict({key: value for key, value in weights.items() if key in kept})

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
        try:
            self.optimiser.load_state_dict(content["optimiser"])
        except ValueError as error:
            raise InputError(f"{path}: other parts of the network learnt there; begin with --init instead") from error
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


def blended(model: Detector, other: Detector, share: float) -> Detector:
    """A network whose weights are (1 - share) of one's and share of another's, in inference.

    Networks on one path of training lie in one valley of the loss: the mean of their weights does what each does well
    (model soups, Wortsman et al., ICML 2022). Of networks that were begun apart it does nothing of use.

    Raises:
        InputError: they are not of one size.
    """
    if model.config != other.config:
        raise InputError(f"networks of {other.config} and {model.config} cannot be blended; wanted two of one training")
    rest = other.state_dict()
    mixed = {
        name: torch.lerp(value, rest[name], share) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    out = Detector(model.config)
    out.load_state_dict(mixed)
    return out.eval()


Report = Callable[[dict[str, float]], None]


@dataclass(frozen=True, eq=False)
class Check:
    """Measure the averaged network every ``minutes`` on ``frames`` at an input of (width, height)."""

    frames: Frames
    size_px: tuple[int, int] = (832, 480)
    minutes: float = 30.0


def make_batches(trainer: Trainer, frames: Frames) -> Iterator[Batch]:
    """From the CPU by a thread that works ahead; on a GPU rendered there, from frames that stay there."""
    config = trainer.config
    augmenter = Augmenter(frames, config.augment)
    chance = frame_weights(frames.labels, config.rare_strength)

    def is_calm() -> bool:
        return trainer.progress() >= config.augment.calm_from

    if trainer.device.type == "cuda":
        on_card = DeviceBatchMaker(augmenter, chance, config.batch, config.seed, device=trainer.device)
        return (on_card.make(step, is_calm()) for step in count(trainer.state.step))
    maker = BatchMaker(augmenter, chance, config.batch, config.seed)
    return made_ahead(lambda step: maker.make(step, is_calm()), trainer.state.step)


def train(
    trainer: Trainer,
    frames: Frames,
    folder: Path,
    report: Report | None = None,
    check: Check | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run to the end of the budget, or until ``should_stop``; files in ``folder`` stay current.

    They are ``last.pt``, ``history.json`` and plots.

    Raises:
        InputError: the loss is no number any more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = _Log(trainer, folder, report, check)
    batches = make_batches(trainer, frames)
    try:
        while trainer.progress() < 1.0 and not should_stop():
            parts = trainer.step(next(batches))
            log.add(parts)
    finally:
        batches.close()  # type: ignore[attr-defined]
        log.write()
    if check is not None and not should_stop():
        log.measure(check)
        log.write()


class _Log:
    """Time, history and checkpoints of a running training."""

    def __init__(self, trainer: Trainer, folder: Path, report: Report | None, check: Check | None) -> None:
        self.trainer, self.folder, self.report, self.check = trainer, folder, report, check
        self.began = self.saved = self.measured = time.monotonic()
        self.before_s = trainer.state.elapsed_s
        self.sums = dict.fromkeys(PARTS, 0.0)
        self.count = 0

    def add(self, parts: LossParts) -> None:
        state, now = self.trainer.state, time.monotonic()
        state.elapsed_s = self.before_s + now - self.began
        for key, value in zip(PARTS, (parts.total, parts.classes, parts.boxes, parts.distances), strict=True):
            self.sums[key] += float(value.detach())
        self.count += 1
        if not math.isfinite(self.sums["loss"]):
            raise InputError(
                f"the loss is {self.sums['loss']} at step {state.step}; resume with a smaller learning rate"
            )
        if state.step % self.trainer.config.report_steps == 0:
            self._note({key: value / self.count for key, value in self.sums.items()})
            self.sums, self.count = dict.fromkeys(PARTS, 0.0), 0
        if self.check is not None and now - self.measured > 60.0 * self.check.minutes:
            self.measure(self.check)
        if now - self.saved > 60.0 * self.trainer.config.checkpoint_minutes:
            self.write()

    def measure(self, check: Check) -> None:
        found = evaluate(self.trainer.average.model, check.frames, check.size_px, self.trainer.device)
        self._note({f"ap50 {name}": value for name, value in found.items()})
        self.measured = time.monotonic()

    def write(self) -> None:
        self.saved = time.monotonic()
        self.trainer.save(self.folder / "last.pt")
        (self.folder / "history.json").write_text(json.dumps(self.trainer.state.history))
        if importlib.util.find_spec("matplotlib") is not None:
            plot_history(self.trainer.state.history, self.folder)

    def _note(self, figures: dict[str, float]) -> None:
        state, progress = self.trainer.state, self.trainer.progress()
        entry = {
            "step": state.step,
            "images": state.images,
            "elapsed_s": state.elapsed_s,
            "left_s": state.elapsed_s * (1.0 / max(progress, 1e-6) - 1.0),
            "lr": learning_rate(self.trainer.config, state.step, progress),
            **figures,
        }
        state.history.append(entry)
        if self.report is not None:
            self.report(entry)


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
