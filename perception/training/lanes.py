"""A small lane network and its training on rendered roads.

A few dense convolutions see paint and its surroundings; attention over all places of the view at an eighth of its size
sees how far a line goes on, also across worn stretches and behind vehicles. It reads the view along the slices
(``perception.lanes.learned``), so that lines look alike for every camera.
"""

from __future__ import annotations

import json
import math
import pickle
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geometry.errors import InputError
from perception.lanes.learned import KIND, VIEW_SIZE
from perception.training.lanes_data import LaneSet

OPSET = 17
TOLERANCE = 1e-4
_POSITIVE_WEIGHT = 4.0  # boundaries cover some 5 % of the view


@dataclass(frozen=True)
class LaneTrainConfig:
    """Settings of a training: minutes of wall time or steps, whichever ends first."""

    minutes: float = 15.0
    steps: int = 100_000
    batch: int = 8
    lr: float = 2e-3
    seed: int = 0


class Attention(nn.Module):
    """Every place attends to every other (Vaswani et al., 2017), with a learned place code."""

    def __init__(self, channels: int, heads: int, places: int) -> None:
        super().__init__()
        self.heads = heads
        self.place = nn.Parameter(0.02 * torch.randn(1, places, channels))
        self.norm = nn.LayerNorm(channels)
        self.mix = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        flat = x.flatten(2).transpose(1, 2)
        parts = self.mix(self.norm(flat + self.place)).reshape(batch, -1, 3, self.heads, channels // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        share = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(channels // self.heads), dim=-1)
        told = self.out((share @ value).transpose(1, 2).reshape(batch, -1, channels))
        return (flat + told).transpose(1, 2).reshape(batch, channels, height, width)


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Dense(nn.Module):
    """Layers that each see all before them (Huang et al., CVPR 2017)."""

    def __init__(self, channels: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_layer(channels + k * growth, growth) for k in range(layers))
        self.out_channels = channels + layers * growth

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


class LaneNet(nn.Module):
    """View (B, 3, H, W) float32 blue-green-red 0..255 to logits (B, 1, H, W) of a boundary at each sample."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        columns, rows = VIEW_SIZE
        self.at_full = _layer(3, width)
        self.at_half = nn.Sequential(_layer(width, 2 * width, 2), Dense(2 * width, width, 2))
        self.at_quarter = nn.Sequential(_layer(4 * width, 3 * width, 2), Dense(3 * width, width, 2))
        self.at_eighth = nn.Sequential(_layer(5 * width, 4 * width, 2), _layer(4 * width, 4 * width))
        self.attention = Attention(4 * width, 4, (rows // 8) * (columns // 8))
        self.to_quarter = _layer(9 * width, 3 * width)
        self.to_half = _layer(7 * width, 2 * width)
        self.to_full = _layer(3 * width, width)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, view: Tensor) -> Tensor:
        light = torch.log(view + 8.0)  # shadows become a shift, as in the slices' own evidence
        light = light - light.mean(dim=(2, 3), keepdim=True)
        full = self.at_full(light)
        half = self.at_half(full)
        quarter = self.at_quarter(half)
        deep = self.attention(self.at_eighth(quarter))
        quarter = self.to_quarter(torch.cat([_up(deep), quarter], dim=1))
        half = self.to_half(torch.cat([_up(quarter), half], dim=1))
        return self.head(self.to_full(torch.cat([_up(half), full], dim=1)))


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def lane_loss(logits: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    """Weighted cross entropy and Dice loss (Milletari et al., 2016) where the road is in sight; (B, 1, H, W) each."""
    entropy = F.binary_cross_entropy_with_logits(logits, label, weight * (1 + _POSITIVE_WEIGHT * label))
    sure = torch.sigmoid(logits) * weight
    wanted = label * weight
    overlap = 2 * (sure * wanted).sum(dim=(1, 2, 3)) + 1
    return entropy + (1 - overlap / ((sure**2).sum(dim=(1, 2, 3)) + (wanted**2).sum(dim=(1, 2, 3)) + 1)).mean()


def augmented(views: Tensor, rng: torch.Generator) -> Tensor:
    """Light, contrast, tint and noise drawn for each view (B, 3, H, W) of 0..255."""
    count = len(views)

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(count, channels, 1, 1, generator=rng)

    views = 255 * (views / 255) ** draw(0.7, 1.5)
    views = views * draw(0.6, 1.3) * draw(0.9, 1.1, 3) + draw(-10, 25)
    return (views + draw(0, 8) * torch.randn(views.shape, generator=rng)).clamp(0, 255)


class LaneTrainer:
    """Trains on a set, remembers where it is, and goes on from its checkpoint."""

    def __init__(self, config: LaneTrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model = LaneNet()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), config.lr, weight_decay=1e-2)
        self.rng = torch.Generator().manual_seed(config.seed)
        self.step, self.seconds = 0, 0.0

    def train(self, frames: LaneSet, path: Path, tell: Callable[[int, float], None] = lambda step, loss: None) -> float:
        """Until the budget is spent; a checkpoint every 50 steps. The mean loss of the last 50 steps."""
        self.model.train()
        losses: list[float] = []
        began = time.monotonic() - self.seconds
        while self.step < self.config.steps and self.seconds < 60 * self.config.minutes:
            share = max(self.step / self.config.steps, self.seconds / (60 * self.config.minutes))
            for group in self.optimiser.param_groups:
                group["lr"] = self.config.lr * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
            losses.append(self._one(frames))
            self.step, self.seconds = self.step + 1, time.monotonic() - began
            if self.step % 50 == 0:
                self.save(path)
                tell(self.step, float(np.mean(losses[-50:])))
        self.save(path)
        return float(np.mean(losses[-50:])) if losses else math.nan

    def _one(self, frames: LaneSet) -> float:
        rows = torch.randint(len(frames), (self.config.batch,), generator=self.rng).numpy()
        views = torch.from_numpy(frames.views[rows]).permute(0, 3, 1, 2).float()
        label = torch.from_numpy(frames.labels[rows])[:, None].float() / 255
        weight = torch.from_numpy(frames.weight[rows])[:, None].float()
        if torch.rand(1, generator=self.rng).item() < 0.5:  # left and right are alike
            views, label, weight = (part.flip(-1) for part in (views, label, weight))
        loss = lane_loss(self.model(augmented(views, self.rng)), label, weight)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write weights and state; a file is whole or not there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        state |= {"rng": self.rng.get_state(), "step": self.step, "seconds": self.seconds}
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Raises InputError where the file is no checkpoint of this network."""
        try:
            state = torch.load(path, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.rng.set_state(state["rng"])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
        except (OSError, KeyError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise InputError(
                f"{path} is no checkpoint of a lane network ({type(error).__name__}); leave it out"
            ) from error


class _Probability(nn.Module):
    def __init__(self, model: LaneNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, view: Tensor) -> Tensor:
        return torch.sigmoid(self.model(view))


def export_lane_net(model: LaneNet, path: Path) -> float:
    """Write ONNX and check it against torch; the largest difference of its probabilities.

    Input ``view`` (B, 3, H, W) float32 blue-green-red 0..255 of ``VIEW_SIZE``, output ``probability`` (B, 1, H, W).

    Raises:
        InputError: the file answers otherwise than torch by more than ``TOLERANCE``.
    """
    import onnx
    import onnxruntime

    told = _Probability(model).eval()
    example = torch.rand(1, 3, VIEW_SIZE[1], VIEW_SIZE[0], generator=torch.Generator().manual_seed(0)) * 255
    path.parent.mkdir(parents=True, exist_ok=True)
    names = {"input_names": ["view"], "output_names": ["probability"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own old code
        torch.onnx.export(told, (example,), str(path), opset_version=OPSET, dynamo=False, **names)
    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, {"roadlens.kind": KIND, "roadlens.view_size": json.dumps(VIEW_SIZE)})
    onnx.save(proto, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        worst = float(np.abs(session.run(None, {"view": example.numpy()})[0] - told(example).numpy()).max())
    if not worst <= TOLERANCE:
        raise InputError(
            f"{path} differs from torch by {worst:.2g}, more than {TOLERANCE:g}; report the versions in use"
        )
    return worst
