"""The detector: CSPRepResNet backbone, CSP-PAN neck, ET-head; anchor-free (the PP-YOLOE family, Xu et al. 2022)."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from geometry.errors import InputError
from perception.training.blocks import ConvNormAct, CspStage, EffectiveSqueeze, Rep, RepConv, StageOptions, global_mean
from perception.training.pad import pad_outputs, pad_stage

STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class ModelConfig:
    """Width, depth and options of a network.

    Attributes:
        stem: channels after the first convolution (stride 2).
        stages: output channels of the stages at strides 4, 8, 16, 32.
        depths: residual blocks of those stages.
        neck: channels of the neck and the head, the same at strides 8, 16, 32.
        neck_depth: residual blocks of every neck stage.
        bins: of a side's distance distribution.
        nearest: distance of its first bin, 0 or -1 strides; the last one stands for ``nearest + bins - 1``. Below 0 a
            cell can see an object that lies beside its centre: one narrower than a stride often holds no centre at all
            (PP-YOLOE-SOD's ``reg_range``).
        rep: over-parameterisation of the 3x3 blocks, see ``blocks.Rep``.
        end_to_end: a second, one-to-one trained head that needs no NMS.
    """

    stem: int = 16
    stages: tuple[int, int, int, int] = (32, 64, 128, 224)
    depths: tuple[int, int, int, int] = (1, 1, 2, 1)
    neck: int = 64
    neck_depth: int = 1
    bins: int = 12
    nearest: int = -1
    classes: int = 10
    rep: Rep = "folded"
    end_to_end: bool = False

    def __post_init__(self) -> None:
        if self.nearest not in (0, -1):
            raise InputError(f"distances begin at {self.nearest} strides; must be 0 or -1")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        lists = {name: tuple(values[name]) for name in ("stages", "depths")}
        return cls(**{"nearest": 0, **values, **lists})  # as it was before checkpoints told


CONFIGS: dict[str, ModelConfig] = {
    "n": ModelConfig(),
    "s": ModelConfig(stem=24, stages=(48, 96, 192, 320), depths=(1, 2, 3, 1), neck=96),
    "m": ModelConfig(stem=32, stages=(64, 128, 256, 512), depths=(2, 4, 4, 2), neck=128, neck_depth=2),
}


class Raw(NamedTuple):
    """What the head says of every cell, strides 8, 16, 32 in a row.

    Attributes:
        logits: (B, N, classes).
        distances: (B, N, 4, bins) logits of left, top, right, bottom in strides.
        points_px: (N, 2) centres of the cells in input pixels.
        strides_px: (N,).
        nearest: distance in strides that the first bin stands for.
    """

    logits: Tensor
    distances: Tensor
    points_px: Tensor
    strides_px: Tensor
    nearest: int


def cell_grid(sizes: list[tuple[int, int]], like: Tensor) -> tuple[Tensor, Tensor]:
    """Cell centres (N, 2) and strides (N,) of maps of (height, width) ``sizes``; cell i covers [i s, (i+1) s)."""
    points, strides = [], []
    for (height, width), stride in zip(sizes, STRIDES, strict=True):
        y = (torch.arange(height, device=like.device) + 0.5) * stride
        x = (torch.arange(width, device=like.device) + 0.5) * stride
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        points.append(torch.stack((grid_x, grid_y), -1).reshape(-1, 2))
        strides.append(torch.full((height * width,), float(stride), device=like.device))
    return torch.cat(points), torch.cat(strides)


def expected_distances(distances: Tensor, nearest: int) -> Tensor:
    """Mean of the distance distributions in strides: (..., 4, bins) logits -> (..., 4)."""
    steps = torch.arange(distances.shape[-1], dtype=distances.dtype, device=distances.device) + nearest
    return (distances.softmax(-1) * steps).sum(-1)


def decode_boxes(raw: Raw) -> Tensor:
    """(B, N, 4) boxes xyxy in input pixels; opposite sides that would cross, meet."""
    sides = expected_distances(raw.distances, raw.nearest) * raw.strides_px[:, None]
    near = raw.points_px - sides[..., :2]
    return torch.cat((near, torch.maximum(near, raw.points_px + sides[..., 2:])), -1)


class Backbone(nn.Module):
    """CSPRepResNet: features at strides 8, 16 and 32."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.stem = ConvNormAct(3, config.stem, 3, 2)
        inputs = (config.stem, *config.stages[:-1])
        # the attention gate costs a pass over the map: only where maps are small
        self.stages = nn.ModuleList(
            CspStage(i, o, depth, config.rep, options=StageOptions(stride=2, attention=index >= 2))
            for index, (i, o, depth) in enumerate(zip(inputs, config.stages, config.depths, strict=True))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features[1:]


class Neck(nn.Module):
    """CSP-PAN: top-down, then bottom-up; every output has ``config.neck`` channels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        _, c8, c16, c32 = config.stages
        width, depth, rep = config.neck, config.neck_depth, config.rep

        def stage(inputs: int, pyramid: bool = False) -> CspStage:
            return CspStage(inputs, width, depth, rep, options=StageOptions(shortcut=False, pyramid=pyramid))

        self.top = stage(c32, pyramid=True)
        self.side16 = stage(c16 + width)
        self.side8 = stage(c8 + width)
        self.down16 = ConvNormAct(width, width, 3, 2)
        self.out16 = stage(2 * width)
        self.down32 = ConvNormAct(width, width, 3, 2)
        self.out32 = stage(2 * width)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        f8, f16, f32 = features
        top = self.top(f32)
        middle = self.side16(torch.cat((f16, _double(top)), 1))
        out8 = self.side8(torch.cat((f8, _double(middle)), 1))
        out16 = self.out16(torch.cat((self.down16(out8), middle), 1))
        out32 = self.out32(torch.cat((self.down32(out16), top), 1))
        return [out8, out16, out32]


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class LevelHead(nn.Module):
    """ET-head of one stride: a gate of the global mean aligns the two tasks; the class branch is residual."""

    def __init__(self, channels: int, classes: int, bins: int) -> None:
        super().__init__()
        self.class_gate, self.box_gate = EffectiveSqueeze(channels), EffectiveSqueeze(channels)
        self.class_conv, self.box_conv = ConvNormAct(channels, channels), ConvNormAct(channels, channels)
        self.class_out = nn.Conv2d(channels, classes, 3, padding=1)
        self.box_out = nn.Conv2d(channels, 4 * bins, 3, padding=1)
        nn.init.normal_(self.class_out.weight, std=0.01)
        nn.init.constant_(self.class_out.bias, -math.log(99.0))  # a score of 0.01 before any training (RetinaNet)
        nn.init.zeros_(self.box_out.weight)
        nn.init.ones_(self.box_out.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = global_mean(x)
        logits = self.class_out(self.class_conv(self.class_gate(x, mean)) + x)
        return logits, self.box_out(self.box_conv(self.box_gate(x, mean)))


class Detector(nn.Module):
    """The network. Input (B, 3, H, W) blue-green-red 0..255, H and W multiples of 32."""

    def __init__(self, config: ModelConfig = CONFIGS["n"]) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.neck = Neck(config)
        self.heads = nn.ModuleList(LevelHead(config.neck, config.classes, config.bins) for _ in STRIDES)
        self.single_heads = copy.deepcopy(self.heads) if config.end_to_end else None
        self.pixel_scale = 1.0 / 255.0

    def features(self, images: Tensor) -> list[Tensor]:
        if self.pixel_scale != 1.0:
            images = images * self.pixel_scale
        return self.neck(self.backbone(images))

    def cells(self, features: list[Tensor], heads: nn.ModuleList) -> tuple[Tensor, Tensor]:
        """Logits (B, N, classes) and (B, N, 4 bins) of all levels in a row."""
        logits, distances = [], []
        for feature, head in zip(features, heads, strict=True):
            level_logits, level_distances = head(feature)
            # channels last, as 8-bit convolutions leave them, so that nothing is transposed
            logits.append(level_logits.permute(0, 2, 3, 1).flatten(1, 2))
            distances.append(level_distances.permute(0, 2, 3, 1).flatten(1, 2))
        # a folded network may have more channels than classes
        return torch.cat(logits, 1)[..., : self.config.classes], torch.cat(distances, 1)

    def read(self, features: list[Tensor], heads: nn.ModuleList) -> Raw:
        """Both branches of every level, flattened, in float32, and where the cells are."""
        logits, distances = self.cells(features, heads)
        points, strides = cell_grid([(f.shape[2], f.shape[3]) for f in features], features[0])
        sides = distances.float().unflatten(2, (4, self.config.bins))
        return Raw(logits.float(), sides, points, strides, self.config.nearest)

    @property
    def used_heads(self) -> nn.ModuleList:
        """The one-to-one head where there is one and the network is in inference, else the dense head."""
        return self.heads if self.training or self.single_heads is None else self.single_heads

    def forward(self, images: Tensor) -> Raw:
        """Of ``used_heads``."""
        return self.read(self.features(images), self.used_heads)

    def forward_both(self, images: Tensor) -> tuple[Raw, Raw | None]:
        """Dense and one-to-one readings; the latter learns from features that it does not shape (YOLOv10)."""
        features = self.features(images)
        dense = self.read(features, self.heads)
        if self.single_heads is None:
            return dense, None
        return dense, self.read([f.detach() for f in features], self.single_heads)

    def folded(self) -> Detector:
        """A copy for inference: plain convolutions with bias, narrow ones padded, the pixel scale in the first."""
        model = copy.deepcopy(self).eval()
        for module in model.modules():
            if isinstance(module, (ConvNormAct, RepConv)):
                module.fold()
        first = model.backbone.stem.conv
        first.weight = nn.Parameter(first.weight.detach() * model.pixel_scale)
        model.pixel_scale = 1.0
        for module in model.modules():
            if isinstance(module, CspStage):
                pad_stage(module)
            elif isinstance(module, LevelHead):
                module.class_out = pad_outputs(module.class_out)
        return model


class Decoded(nn.Module):
    """Boxes (B, N, 4) xyxy in input pixels and scores (B, N, classes) after the sigmoid."""

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        raw = self.model(images)
        return decode_boxes(raw), raw.logits.sigmoid()


class Exported(nn.Module):
    """What is exported: scores (B, N, classes) after the sigmoid, and logits (B, N, 4 bins) of the distances.

    Boxes are not decoded inside: of six thousand cells the caller wants some hundred, and the softmax of all of them
    took as long as a tenth of the network in 8 bits. Pictures come as they lie in memory, (B, H, W, 3) uint8.
    """

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.model.features(images.permute(0, 3, 1, 2).float())
        logits, distances = self.model.cells(features, self.model.used_heads)
        return {"scores": logits.sigmoid(), "distances": distances}


def parameter_count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
