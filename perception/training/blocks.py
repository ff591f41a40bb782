"""Building blocks of the detector: convolutions that fold to one plain 3x3 (or 1x1) with bias for inference.

Everything is a dense convolution with ReLU: it trains fastest on a CPU, and its activations have a fixed lower end and
no long negative tail, so that 8 bits suffice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Rep = Literal["branches", "folded", "none"]
"""How a 3x3 block is over-parameterised while training.

``branches``: RepVGG (Ding et al., 2021): 3x3 + 1x1 (+ identity), each with its own batch norm.
``folded``: the same kernels summed before ONE convolution and one batch norm: costs nothing in activations, and keeps
the statistics of a single branch, which quantises better.
``none``: the plain 3x3.
"""


def fold_norm(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of one convolution equal to ``norm(conv(x))`` in inference; weight (out, in, k, k)."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale


def identity_kernel(channels: int) -> Tensor:
    """The (channels, channels, 3, 3) kernel that copies its input."""
    kernel = torch.zeros(channels, channels, 3, 3)
    kernel[torch.arange(channels), torch.arange(channels), 1, 1] = 1.0
    return kernel


class ConvNormAct(nn.Module):
    """Convolution, batch norm and (unless ``act`` is false) ReLU; ``fold()`` leaves one convolution with bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, act: bool = True) -> None:
        super().__init__()
        self.conv: nn.Conv2d = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        self.act: nn.Module = nn.ReLU(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))

    def fold(self) -> None:
        if isinstance(self.norm, nn.BatchNorm2d):
            weight, bias = fold_norm(self.conv.weight, self.norm)
            self.conv = _plain(self.conv, weight, bias)
            self.norm = nn.Identity()


class RepConv(nn.Module):
    """A 3x3 convolution, batch norm and ReLU, over-parameterised while training as ``rep`` says."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, rep: Rep = "folded") -> None:
        super().__init__()
        self.rep = rep
        self.conv: nn.Conv2d = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        self.point: nn.Conv2d | None = None
        self.point_norm: nn.BatchNorm2d | None = None
        self.identity_norm: nn.BatchNorm2d | None = None
        same = inputs == outputs and stride == 1
        if rep != "none":
            self.point = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        if rep == "branches":
            self.point_norm = nn.BatchNorm2d(outputs)
            self.identity_norm = nn.BatchNorm2d(outputs) if same else None
        self.register_buffer(
            "identity", identity_kernel(inputs) if rep == "folded" and same else None, persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.point is None:
            return functional.relu(self.norm(self.conv(x)), inplace=True)
        if self.point_norm is None:
            y = functional.conv2d(x, self._summed_kernel(), None, self.conv.stride, self.conv.padding)
            return functional.relu(self.norm(y), inplace=True)
        y = self.norm(self.conv(x)) + self.point_norm(self.point(x))
        if self.identity_norm is not None:
            y = y + self.identity_norm(x)
        return functional.relu(y, inplace=True)

    def _summed_kernel(self) -> Tensor:
        assert self.point is not None
        kernel = self.conv.weight + functional.pad(self.point.weight, (1, 1, 1, 1))
        return kernel if self.identity is None else kernel + self.identity

    def fold(self) -> None:
        """One plain 3x3 with bias, equal to the training form in inference."""
        if not isinstance(self.norm, nn.BatchNorm2d):
            return
        if self.point is None or self.point_norm is None:
            kernel = self.conv.weight if self.point is None else self._summed_kernel()
            weight, bias = fold_norm(kernel, self.norm)
        else:
            weight, bias = fold_norm(self.conv.weight, self.norm)
            point, point_bias = fold_norm(self.point.weight, self.point_norm)
            weight, bias = weight + functional.pad(point, (1, 1, 1, 1)), bias + point_bias
            if self.identity_norm is not None:
                same = identity_kernel(weight.shape[0]).to(weight)
                kernel, same_bias = fold_norm(same, self.identity_norm)
                weight, bias = weight + kernel, bias + same_bias
        self.conv = _plain(self.conv, weight, bias)
        self.norm = nn.Identity()
        self.point = self.point_norm = self.identity_norm = self.identity = None


def _plain(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    out = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
    out.weight = nn.Parameter(weight.detach().clone())
    out.bias = nn.Parameter(bias.detach().clone())
    return out


def global_mean(x: Tensor) -> Tensor:
    """(B, C, 1, 1); a pooling, not a reduction, since that is what 8-bit runtimes know."""
    return functional.adaptive_avg_pool2d(x, 1)


class EffectiveSqueeze(nn.Module):
    """ESE attention (CenterMask, Lee & Park 2020): channels weighed by a gate of their global means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, channels, 1)
        nn.init.normal_(self.gate.weight, std=0.001)
        nn.init.zeros_(self.gate.bias)

    def forward(self, x: Tensor, mean: Tensor | None = None) -> Tensor:
        """``mean``: the global mean (B, C, 1, 1) of x where it is known already."""
        mean = global_mean(x) if mean is None else mean
        return x * torch.sigmoid(self.gate(mean))


class ResBlock(nn.Module):
    """3x3 then a re-parameterised 3x3, with an optional shortcut."""

    def __init__(self, channels: int, rep: Rep, shortcut: bool = True) -> None:
        super().__init__()
        self.first = ConvNormAct(channels, channels, 3)
        self.second = RepConv(channels, channels, rep=rep)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first(x))
        return x + y if self.shortcut else y


@dataclass(frozen=True)
class StageOptions:
    """Of a ``CspStage``: stride 2 halves the map first; ``pyramid`` pools over three windows after the blocks."""

    stride: int = 1
    attention: bool = False
    shortcut: bool = True
    pyramid: bool = False


class CspStage(nn.Module):
    """Cross-stage partial stage: half the channels pass by, half go through the blocks; joined by a 1x1."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        blocks: int,
        rep: Rep,
        *,
        options: StageOptions = StageOptions(),
    ) -> None:
        super().__init__()
        stride, attention, shortcut, pyramid = options.stride, options.attention, options.shortcut, options.pyramid
        middle = (inputs + outputs) // 2 if stride == 2 else outputs
        half = middle // 2
        self.down: nn.Module = ConvNormAct(inputs, middle, 3, 2) if stride == 2 else nn.Identity()
        self.bypass = ConvNormAct(middle if stride == 2 else inputs, half)
        self.enter = ConvNormAct(middle if stride == 2 else inputs, half)
        self.blocks = nn.Sequential(*(ResBlock(half, rep, shortcut) for _ in range(blocks)))
        self.pyramid = pyramid
        self.pool = ConvNormAct(4 * half, half) if pyramid else None
        self.attention: nn.Module = EffectiveSqueeze(2 * half) if attention else nn.Identity()
        self.join = ConvNormAct(2 * half, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        y = self.blocks(self.enter(x))
        if self.pool is not None:
            # three 5x5 poolings in a row are the 5, 9 and 13 windows of spatial pyramid pooling
            pools = [y]
            for _ in range(3):
                pools.append(functional.max_pool2d(pools[-1], 5, 1, 2))
            y = self.pool(torch.cat(pools, 1))
        return self.join(self.attention(torch.cat((self.bypass(x), y), 1)))
