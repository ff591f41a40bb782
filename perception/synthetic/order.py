"""Who stands before whom: an exact painting order of boxes on the road, and how much of each stays hidden."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from perception.synthetic.view import Outline

_SHIFT = 4


def _side_of_camera(box: np.ndarray, other: np.ndarray) -> int:
    """By the edges of ``box`` (4, 2): +1 the other lies on the camera's side of an edge (so it is in front),
    -1 it lies beyond an edge that the camera is not beyond, 0 undecided. The camera is at the origin."""
    edge = np.roll(box, -1, axis=0) - box
    normal = np.stack([edge[:, 1], -edge[:, 0]], axis=1)
    inside = ((box.mean(axis=0) - box) * normal).sum(axis=1)
    normal = np.where(inside[:, None] > 0, -normal, normal)  # outward
    reach = (box * normal).sum(axis=1)
    camera = -reach
    lies = (other @ normal.T - reach).min(axis=0)
    beyond = lies >= -1e-6
    if (beyond & (camera > 0)).any():
        return 1
    if (beyond & (camera <= 0)).any():
        return -1
    return 0


def _in_front(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the first footprint must be painted after the second."""
    verdict = _side_of_camera(second, first)
    if verdict == 0:
        verdict = -_side_of_camera(first, second)
    if verdict == 0:
        return bool(np.hypot(*first.T).min() < np.hypot(*second.T).min())
    return verdict > 0


def painting_order(footprints: Sequence[np.ndarray], outlines: Sequence[Outline]) -> list[int]:
    """Indices from the back to the front: a body is painted after all those that it may cover.

    Args:
        footprints: (4, 2) corners on the road, vehicle frame.
        outlines: where they are in the picture; only bodies whose boxes meet need an order.
    """
    count = len(footprints)
    boxes = np.array([o.xyxy_px for o in outlines]).reshape(-1, 4)
    far_first = sorted(range(count), key=lambda i: -float(np.hypot(*footprints[i].mean(axis=0))))
    behind: list[list[int]] = [[] for _ in range(count)]
    meets = (boxes[:, None, :2] < boxes[None, :, 2:]).all(axis=2)
    meets &= meets.T
    for i, j in zip(*np.nonzero(np.triu(meets, 1)), strict=True):
        front, back = (i, j) if _in_front(footprints[i], footprints[j]) else (j, i)
        behind[front].append(back)
    done: dict[int, bool] = {}
    order: list[int] = []

    def paint(index: int) -> None:
        if index in done:  # painted already, or a ring of bodies that cover each other: leave it as it is
            return
        done[index] = True
        for back in sorted(behind[index], key=far_first.index):
            paint(back)
        order.append(index)

    for index in far_first:
        paint(index)
    return order


def hidden_share(outlines: Sequence[Outline], width_px: int, height_px: int) -> list[float]:
    """Share of each outline inside the picture that later outlines cover, given in painting order."""
    buffer = np.zeros((height_px, width_px), np.int16)
    total, windows = [], []
    for number, seen in enumerate(outlines, start=1):
        points = np.rint(seen.hull_px * (1 << _SHIFT)).clip(-(2**26), 2**26).astype(np.int32)
        cv2.fillConvexPoly(buffer, points, number, cv2.LINE_8, _SHIFT)
        x0, y0, x1, y1 = seen.xyxy_px
        window = np.s_[max(int(y0), 0) : int(y1) + 2, max(int(x0), 0) : int(x1) + 2]
        windows.append(window)
        total.append(int(np.count_nonzero(buffer[window] == number)))
    left = [int(np.count_nonzero(buffer[w] == n)) for n, w in enumerate(windows, start=1)]
    return [1.0 - seen / max(whole, 1) for seen, whole in zip(left, total, strict=True)]
