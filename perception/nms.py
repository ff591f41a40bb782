"""Greedy non-maximum suppression without a loop over boxes, on the array API."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from geometry.boxes import iou

Array = Any
"""A NumPy array or a torch tensor: whatever the caller uses."""

NMS_IOU = 0.6
"""Overlap above which the lower of two boxes of one class goes: cars parked in a row overlap by up to 0.5."""


def nms(
    xyxy: Array, score: Array, class_id: Array, iou_threshold: float = NMS_IOU, group: Array | None = None
) -> Array:
    """Rows that greedy suppression keeps, best score first.

    A box goes when a better one that itself stays, of the same class, overlaps it by more than ``iou_threshold``.
    The sequential rule is the fixed point of "stays = no better one that stays overlaps me"; iterating it from
    "all stay" settles at least one more row of the order each time, in practice all after three or four.

    Args:
        xyxy: (N, 4) boxes.
        score: (N,).
        class_id: (N,) integer; boxes of different classes never suppress one another.
        group: (N,) integer, optional, in place of ``class_id`` for a coarser division (one value: class-agnostic).

    Returns:
        (K,) integer rows in descending order of score.
    """
    xp = array_namespace(xyxy, score)
    order = xp.argsort(-score, stable=True)
    if xyxy.shape[0] < 2:
        return order
    boxes = xp.take(xyxy, order, axis=0)
    kind = xp.take(class_id if group is None else group, order, axis=0)
    better = xp.triu(xp.ones((boxes.shape[0],) * 2, dtype=xp.bool, device=_device(boxes)), k=1)
    rivals = (iou(boxes, boxes) > iou_threshold) & (kind[:, None] == kind[None, :]) & better
    stays = xp.any(rivals, axis=0) ^ True
    while True:
        settled = xp.any(rivals & stays[:, None], axis=0) ^ True
        if bool(xp.all(settled == stays)):
            return order[stays]
        stays = settled


def _device(array: Array) -> Any:
    return getattr(array, "device", None)
