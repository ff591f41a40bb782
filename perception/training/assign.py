"""Which cell learns which object: ATSS at first, then task alignment; one-to-one by Hungarian matching."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geometry.boxes import aligned_giou, aligned_iou

EPS = 1e-9
OUTSIDE_COST = 100.0
FALLBACK_QUALITY = 0.1
"""Least class target of an object whose cells all predict boxes that miss it: it must be learnt all the same."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Objects of a batch in one list.

    Attributes:
        xyxy_px: (G, 4) in input pixels.
        class_id: (G,) int64.
        image: (G,) int64 index into the batch.
        ignore_xyxy_px: (I, 4) regions that are neither object nor background; ``ignore_image`` (I,).
    """

    xyxy_px: Tensor
    class_id: Tensor
    image: Tensor
    ignore_xyxy_px: Tensor
    ignore_image: Tensor

    def to(self, device: torch.device) -> Truth:
        return Truth(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Assignment:
    """What every cell of a batch learns.

    Attributes:
        row: (B, N) int64 index into the truth, -1 for background.
        quality: (B, N) class target of the assigned object's class, 0 for background.
    """

    row: Tensor
    quality: Tensor


@dataclass(frozen=True, eq=False)
class Cells:
    """Where the network answers: centres (N, 2) and strides (N,) in input pixels; sides reach ``reach`` strides."""

    points_px: Tensor
    strides_px: Tensor
    reach: float

    def candidates(self, xyxy_px: Tensor) -> Tensor:
        """(G, N) bool: cells that may learn an object.

        A cell's centre must lie in the box. At the finest stride a box counts as at least 1.5 strides wide and high,
        else boxes of 5 to 10 px would hold no centre at all. Coarser strides are closed to boxes whose longer side is
        under one stride, finer ones to boxes whose half side is beyond ``reach`` strides, which a side's distribution
        cannot express.
        """
        centre = (xyxy_px[:, :2] + xyxy_px[:, 2:]) / 2
        half = (xyxy_px[:, 2:] - xyxy_px[:, :2]) / 2
        finest, coarsest = self.strides_px.min(), self.strides_px.max()
        is_finest = self.strides_px == finest
        least = torch.where(is_finest, 0.75 * finest, torch.zeros_like(finest))
        offset = (self.points_px[None] - centre[:, None]).abs()
        inside = (offset < torch.maximum(half[:, None], least[None, :, None])).all(-1)
        longer = 2 * half.amax(1)[:, None]
        not_too_small = is_finest[None] | (longer >= self.strides_px[None])
        not_too_large = (self.strides_px == coarsest)[None] | (longer / 2 <= self.reach * self.strides_px[None])
        return inside & not_too_small & not_too_large


@dataclass(frozen=True)
class TalRule:
    """Task alignment: the ``top`` cells by score^a IoU^b (TOOD's values for a and b)."""

    top: int = 9
    a: float = 1.0
    b: float = 6.0


def _resolve(chosen: Tensor, iou: Tensor, image: Tensor, batch: int) -> Tensor:
    """(B, N) row of the truth per cell from (G, N) choices; a cell chosen twice goes to the higher IoU."""
    count, cells = chosen.shape
    best = torch.full((batch, cells), -1.0, dtype=iou.dtype, device=iou.device)
    value = torch.where(chosen, iou, torch.full_like(iou, -1.0))
    index = image[:, None].expand(-1, cells)
    best.scatter_reduce_(0, index, value, "amax")
    wins = chosen & (value == best[image])
    order = torch.arange(count, device=iou.device)[:, None].expand(-1, cells)
    row = torch.full((batch, cells), -1, dtype=torch.int64, device=iou.device)
    return row.scatter_reduce_(0, index, torch.where(wins, order, torch.full_like(order, -1)), "amax")


def _nearest(mask: Tensor, xyxy_px: Tensor, points_px: Tensor) -> Tensor:
    """(G, N) bool with the one allowed cell nearest to each box's centre."""
    distance = torch.cdist((xyxy_px[:, :2] + xyxy_px[:, 2:]) / 2, points_px)
    distance = torch.where(mask, distance, torch.full_like(distance, torch.inf))
    nearest = torch.zeros_like(mask).scatter_(1, distance.argmin(1, keepdim=True), True)
    return nearest & mask


def pair_iou(truth: Truth, boxes_px: Tensor, mask: Tensor) -> Tensor:
    """(G, N) IoU of objects with the boxes (B, N, 4) predicted for their images, where ``mask`` is set, else 0."""
    rows, columns = mask.nonzero(as_tuple=True)
    iou = torch.zeros(mask.shape, dtype=boxes_px.dtype, device=boxes_px.device)
    iou[rows, columns] = aligned_iou(truth.xyxy_px[rows], boxes_px[truth.image[rows], columns])
    return iou


@torch.no_grad()
def assign_tal(truth: Truth, scores: Tensor, boxes_px: Tensor, cells: Cells, rule: TalRule = TalRule()) -> Assignment:
    """Task alignment learning (TOOD, Feng et al. 2021) on ``scores`` (B, N, C) and ``boxes_px`` (B, N, 4).

    Of an object's candidate cells the best by score^a IoU^b learn it. The class target is that alignment scaled so that
    the object's best cell gets the object's best IoU. Where all of its cells miss it the nearest one learns it.
    """
    batch, count = scores.shape[:2]
    if not len(truth.class_id):
        return Assignment(scores.new_full((batch, count), -1, dtype=torch.int64), scores.new_zeros(batch, count))
    mask = cells.candidates(truth.xyxy_px)
    iou = pair_iou(truth, boxes_px, mask)
    score = scores.transpose(1, 2)[truth.image, truth.class_id]
    alignment = torch.where(mask, score.pow(rule.a) * iou.pow(rule.b), torch.zeros_like(iou))
    values, index = alignment.topk(min(rule.top, count), dim=1)
    chosen = torch.zeros_like(mask).scatter_(1, index, values > EPS)
    chosen |= _nearest(mask, truth.xyxy_px, cells.points_px) & ~chosen.any(1, keepdim=True)
    row = _resolve(chosen, iou, truth.image, batch)
    won = row[truth.image] == torch.arange(len(truth.image), device=row.device)[:, None]
    alignment, iou = alignment * won, iou * won
    best = alignment.amax(1, keepdim=True)
    scaled = alignment / best.clamp_min(EPS) * iou.amax(1, keepdim=True)
    # misses: nothing is aligned, but the nearest cell was given the object
    scaled = torch.where(won & (best <= EPS), torch.full_like(scaled, FALLBACK_QUALITY), scaled)
    return Assignment(row, _per_cell(scaled, row))


def _per_cell(values: Tensor, row: Tensor) -> Tensor:
    """(B, N) of (G, N): each cell reads its own object's value, 0 for background."""
    columns = torch.arange(row.shape[1], device=row.device)[None].expand_as(row)
    return torch.where(
        row >= 0, values[row.clamp_min(0), columns], torch.zeros((), dtype=values.dtype, device=row.device)
    )


@torch.no_grad()
def assign_atss(truth: Truth, boxes_px: Tensor, cells: Cells, top: int = 9, anchor: float = 5.0) -> Assignment:
    """Adaptive training sample selection (Zhang et al. 2020), which needs no trained prediction.

    Of every stride the ``top`` cells nearest to the box's centre; of those the ones whose square of ``anchor`` strides
    overlaps the box by at least mean + standard deviation. The class target is the IoU of the box predicted now.
    """
    batch, count = boxes_px.shape[:2]
    if not len(truth.class_id):
        return Assignment(boxes_px.new_full((batch, count), -1, dtype=torch.int64), boxes_px.new_zeros(batch, count))
    mask = cells.candidates(truth.xyxy_px)
    distance = torch.cdist((truth.xyxy_px[:, :2] + truth.xyxy_px[:, 2:]) / 2, cells.points_px)
    near = torch.zeros_like(mask)
    for stride in cells.strides_px.unique():
        columns = (cells.strides_px == stride).nonzero()[:, 0]
        index = distance[:, columns].topk(min(top, len(columns)), dim=1, largest=False).indices
        near.scatter_(1, columns[index], True)
    side = cells.strides_px[:, None] * (anchor / 2)
    squares = torch.cat((cells.points_px - side, cells.points_px + side), 1)
    overlap = pair_iou(truth, squares.expand(batch, -1, -1), near)
    number = near.sum(1, keepdim=True)
    mean = overlap.sum(1, keepdim=True) / number
    spread = torch.where(near, (overlap - mean) ** 2, torch.zeros_like(overlap)).sum(1, keepdim=True) / (
        number - 1
    ).clamp_min(1)
    chosen = near & mask & (overlap >= mean + spread.sqrt() - 1e-6)
    chosen |= _nearest(mask, truth.xyxy_px, cells.points_px) & ~chosen.any(1, keepdim=True)
    row = _resolve(chosen, overlap, truth.image, batch)
    quality = _per_cell(pair_iou(truth, boxes_px, chosen), row)
    return Assignment(row, torch.where(row >= 0, quality.clamp_min(FALLBACK_QUALITY), quality))


@torch.no_grad()
def assign_one_to_one(truth: Truth, scores: Tensor, boxes_px: Tensor, cells: Cells) -> Assignment:
    """Hungarian matching (DETR, Carion et al. 2020): every object gets exactly one of its candidate cells.

    The cost is 2 (1 - score) + 2 (1 - GIoU) + |corner differences| / image size; the class target is the IoU. Cells
    outside a box are dear: sides are never negative, so they could not learn it.
    """
    from scipy.optimize import linear_sum_assignment

    batch, count = scores.shape[:2]
    row = torch.full((batch, count), -1, dtype=torch.int64)
    extent = boxes_px.abs().amax().clamp_min(1.0)
    mask = cells.candidates(truth.xyxy_px)
    for image in range(batch):
        mine = (truth.image == image).nonzero()[:, 0]
        if not len(mine):
            continue
        wanted = truth.xyxy_px[mine].repeat_interleave(count, 0)
        predicted = boxes_px[image].repeat(len(mine), 1)
        giou = aligned_giou(wanted, predicted).reshape(len(mine), count)
        corners = (wanted - predicted).abs().sum(1).reshape(len(mine), count) / extent
        cost = -2 * scores[image][:, truth.class_id[mine]].T - 2 * giou + corners + OUTSIDE_COST * ~mask[mine]
        objects, columns = linear_sum_assignment(cost.float().cpu().numpy())
        row[image, torch.from_numpy(columns)] = mine.cpu()[torch.from_numpy(objects)]
    row = row.to(scores.device)
    quality = torch.zeros(batch, count, dtype=boxes_px.dtype, device=boxes_px.device)
    images, columns = (row >= 0).nonzero(as_tuple=True)
    iou = aligned_iou(truth.xyxy_px[row[images, columns]], boxes_px[images, columns])
    quality[images, columns] = iou.clamp_min(FALLBACK_QUALITY)
    return Assignment(row, quality)
