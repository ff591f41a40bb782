"""Greedy non-maximum suppression without a loop over boxes, on the array API."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace, device

from geometry.boxes import aligned_iou

Array = Any
"""A NumPy array or a torch tensor: whatever the caller uses."""

NMS_IOU = 0.55
"""Overlap above which the lower of two boxes of one class goes. AP50 of cars and people on dashcam frames is flat from
0.5 to 0.6 and falls on either side: parked cars overlap by up to half."""
STRIP = 128
"""Rows of the table of pairs looked at together: 128 x 1000 float32 are half a megabyte."""


def nms(xyxy: Array, score: Array, class_id: Array, iou_threshold: float | Array = NMS_IOU) -> Array:
    """Rows that greedy suppression keeps, best score first.

    A box goes when a better one that itself stays, of the same class, overlaps it by more than ``iou_threshold``.
    The sequential rule is the fixed point of "stays = no better one that stays overlaps me"; iterating it settles at
    least one more row of the order each time, in practice all of them after three or four.

    Args:
        xyxy: (N, 4) boxes.
        score: (N,).
        class_id: (N,) integer; boxes of different classes never suppress one another. All equal: class-agnostic.
        iou_threshold: from 0 to 1; or (N,), one for each box and the same for all of a class.

    Returns:
        (K,) integer rows in descending order of score.
    """
    xp = array_namespace(xyxy, score)
    order = xp.argsort(-score, stable=True)
    if xyxy.shape[0] < 2:
        return order
    boxes, kind = xp.take(xyxy, order, axis=0), xp.take(class_id, order, axis=0)
    limit = iou_threshold if isinstance(iou_threshold, float | int) else xp.take(iou_threshold, order, axis=0)
    better, worse = _near_pairs(boxes, kind, limit if isinstance(limit, float | int) else float(xp.min(limit)))
    if not isinstance(limit, float | int):
        limit = xp.take(limit, worse, axis=0)
    over = aligned_iou(xp.take(boxes, better, axis=0), xp.take(boxes, worse, axis=0)) > limit
    better, worse = better[over], worse[over]
    stays = xp.ones(boxes.shape[0], dtype=xp.bool, device=device(boxes))
    while True:
        settled = xp.ones(boxes.shape[0], dtype=xp.bool, device=device(boxes))
        settled[worse[stays[better]]] = False
        if bool(xp.all(settled == stays)):
            return order[stays]
        stays = settled


def _near_pairs(boxes: Array, kind: Array, iou_threshold: float) -> tuple[Array, Array]:
    """Pairs (better row, worse row) of one class that may overlap by more than the threshold.

    Along each axis alone, lengths a and b at a distance d of centres have IoU of at most that of the boxes' shadows,
    which passes t only where d <= (a + b) (1 - t) / (2 (1 + t)): a few cheap passes leave few pairs. They go over
    the upper triangle in strips, which stay in the cache.
    """
    xp = array_namespace(boxes)
    reach = (1.0 - iou_threshold) / (2.0 * (1.0 + iou_threshold))
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    far = (boxes[:, 2:] - boxes[:, :2]) * reach
    better, worse = [], []
    for start in range(0, boxes.shape[0], STRIP):
        strip = slice(start, start + STRIP)
        near = xp.triu(kind[strip, None] == kind[None, start:], k=1)
        for axis in (0, 1):
            gap = xp.abs(centre[strip, None, axis] - centre[None, start:, axis])
            near &= gap <= far[strip, None, axis] + far[None, start:, axis]
        rows, columns = xp.nonzero(near)
        better.append(rows + start)
        worse.append(columns + start)
    return xp.concat(better), xp.concat(worse)
