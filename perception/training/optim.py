"""The optimiser and the moving average of the weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


def adamw(model: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that decays kernels only: norms and biases have nothing to gain from being small."""
    learning = [p for p in model.parameters() if p.requires_grad]
    kernels = [p for p in learning if p.ndim >= 2]
    others = [p for p in learning if p.ndim < 2]
    groups = [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0)


class WeightAverage:
    """Exponential moving average of a model's weights and norm statistics; young averages forget faster."""

    def __init__(self, model: nn.Module, decay: float = 0.998) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        mine, theirs = self.model.state_dict(), model.state_dict()
        floats = [key for key, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[k] for k in floats], [theirs[k] for k in floats], 1.0 - decay)
        for key in mine.keys() - set(floats):
            mine[key].copy_(theirs[key])
