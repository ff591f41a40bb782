"""What a wrong answer costs: varifocal for classes, GIoU or CIoU and distribution focal for boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from geometry.boxes import aligned_ciou, aligned_giou
from geometry.errors import InputError
from perception.training.assign import (
    Assignment,
    Cells,
    TalRule,
    Truth,
    assign_atss,
    assign_one_to_one,
    assign_tal,
)
from perception.training.model import Raw, decode_boxes
from perception.types import CLASSES

EMPHASIS = {"person": 1.5, "rider": 1.5, "bicycle": 1.5, "motorcycle": 1.5, "traffic light": 2.5, "traffic sign": 1.5}


@dataclass(frozen=True)
class LossConfig:
    """Weights of the parts (PP-YOLOE's) and options.

    ``emphasis`` is how much a class counts, by name, else 1: a car near by is learnt by nine cells of a high target, a
    traffic light by two of a low one, so that by cells alone lights hardly count.
    """

    classes: float = 1.0
    boxes: float = 2.5
    distances: float = 0.5
    box_loss: Literal["giou", "ciou"] = "giou"
    tal: TalRule = field(default_factory=TalRule)
    emphasis: dict[str, float] = field(default_factory=lambda: dict(EMPHASIS))

    def __post_init__(self) -> None:
        for name, weight in self.emphasis.items():
            if name not in CLASSES or not weight > 0:
                raise InputError(f"emphasis {name}: {weight}; must be a road class ({', '.join(CLASSES)}) and over 0")

    def class_weights(self, like: Tensor) -> Tensor:
        """(classes,) weight of each class that ``like`` (..., classes) tells."""
        weights = [self.emphasis.get(name, 1.0) for name in CLASSES]
        return like.new_tensor(weights[: like.shape[-1]])


def varifocal(logits: Tensor, quality: Tensor, *, alpha: float = 0.75, gamma: float = 2.0) -> Tensor:
    """Varifocal loss (VarifocalNet, Zhang et al. 2021), element by element.

    ``quality`` q is the IoU-aware target, 0 for background: q BCE(p, q) for objects, alpha p^gamma BCE(p, 0) for
    background; the weight of background carries no gradient.
    """
    with torch.no_grad():
        weight = torch.where(quality > 0, quality, alpha * logits.sigmoid().pow(gamma))
    return functional.binary_cross_entropy_with_logits(logits, quality, reduction="none") * weight


def distribution_focal(logits: Tensor, target: Tensor) -> Tensor:
    """Distribution focal loss (Li et al. 2020): cross entropy with the two bins around the target.

    ``logits`` (..., bins), ``target`` (...) in bins, clipped to the first and the last; returns (...).
    """
    bins = logits.shape[-1]
    target = target.clamp(0.0, bins - 1 - 1e-3)
    left = target.floor().long()
    right_share = target - left
    log_p = logits.log_softmax(-1)
    low = log_p.gather(-1, left[..., None])[..., 0]
    high = log_p.gather(-1, left[..., None] + 1)[..., 0]
    return -(1.0 - right_share) * low - right_share * high


@dataclass(frozen=True, eq=False)
class LossParts:
    """Scalars: the weighted sum and its parts; ``positives`` is the number of cells that learn an object."""

    total: Tensor
    classes: Tensor
    boxes: Tensor
    distances: Tensor
    positives: int


def _assign(raw: Raw, boxes_px: Tensor, truth: Truth, config: LossConfig, phase: str) -> Assignment:
    scores = raw.logits.detach().sigmoid()
    cells = Cells(raw.points_px, raw.strides_px, raw.nearest + raw.distances.shape[-1] - 1)
    if phase == "one_to_one":
        return assign_one_to_one(truth, scores, boxes_px.detach(), cells)
    if phase == "atss":
        return assign_atss(truth, boxes_px.detach(), cells, config.tal.top)
    return assign_tal(truth, scores, boxes_px.detach(), cells, config.tal)


def _ignored(truth: Truth, points_px: Tensor, batch: int) -> Tensor:
    """(B, N) bool: cells in regions of which nothing is known."""
    box = truth.ignore_xyxy_px
    inside = ((points_px[None] >= box[:, None, :2]) & (points_px[None] <= box[:, None, 2:])).all(-1)
    mask = torch.zeros(batch, len(points_px), dtype=torch.int64, device=box.device)
    mask.index_add_(0, truth.ignore_image, inside.long())
    return mask > 0


def detection_loss(
    raw: Raw, truth: Truth, config: LossConfig, phase: Literal["atss", "tal", "one_to_one"]
) -> LossParts:
    """Loss of a batch under the assignment of ``phase``; parts are divided by the sum of the weighted class targets."""
    boxes_px = decode_boxes(raw)
    found = _assign(raw, boxes_px, truth, config, phase)
    images, cells = (found.row >= 0).nonzero(as_tuple=True)
    rows, quality = found.row[images, cells], found.quality[images, cells]
    target = torch.zeros_like(raw.logits)
    target[images, cells, truth.class_id[rows]] = quality
    weights = config.class_weights(target)
    counted = quality * weights[truth.class_id[rows]]
    norm = counted.sum().clamp_min(1.0)
    per_cell = (varifocal(raw.logits, target) * weights).sum(-1)
    if len(truth.ignore_image):
        per_cell = per_cell * ~(_ignored(truth, raw.points_px, len(found.row)) & (found.row < 0))
    classes = per_cell.sum() / norm
    wanted, points, strides = truth.xyxy_px[rows], raw.points_px[cells], raw.strides_px[cells, None]
    overlap = (aligned_giou if config.box_loss == "giou" else aligned_ciou)(boxes_px[images, cells], wanted)
    boxes = ((1.0 - overlap) * counted).sum() / norm
    sides = torch.cat((points - wanted[:, :2], wanted[:, 2:] - points), -1) / strides
    focal = distribution_focal(raw.distances[images, cells], sides - raw.nearest).mean(-1)
    distances = (focal * counted).sum() / norm
    total = config.classes * classes + config.boxes * boxes + config.distances * distances
    return LossParts(total, classes.detach(), boxes.detach(), distances.detach(), len(rows))
