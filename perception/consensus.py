"""What the boxes that suppression drops still say of those that it keeps: where they are, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NO_SAY = 0.5
"""Boxes of less than this share of the score of the one that suppressed them say nothing of how sure it is. A detector
that shows boxes from a score on therefore needs no cell under this share of it, whatever that score is."""


@dataclass(frozen=True)
class Support:
    """How far the score of a box follows the number of its neighbours that say the same; told by the file.

    Attributes:
        weight: of the logarithm of the support over what is expected, added to the logit of the score.
        area_px2: areas of boxes in square pixels of the network's input, ascending: a large object covers more cells.
        expected: logarithm of the support that a box of each area has on the whole; between them and the logarithms
            of the areas it is interpolated, beyond them it stays.
    """

    weight: float
    area_px2: tuple[float, ...]
    expected: tuple[float, ...]

    def adjusted(self, score: np.ndarray, support: np.ndarray, area_px2: np.ndarray) -> np.ndarray:
        """(K,) scores in (0, 1) of boxes with so much support."""
        surprise = np.log(support) - _at(area_px2, self.area_px2, self.expected)
        odds = score / np.maximum(1.0 - score, 1e-6) * np.exp(self.weight * surprise)
        return (odds / (1.0 + odds)).astype(score.dtype)


@dataclass(frozen=True)
class Oversize:
    """How much too wide and high a detector says boxes are, by their size; told by the file.

    The finer cells are than an object, the better its edges are known; of an object of a cell or two the detector says
    what would cover most of the places where its edges may be.

    Attributes:
        area_px2: areas of boxes as they are said, in square pixels of the network's input, ascending.
        log_side: logarithm of said over true side at each area; between them and the logarithms of the areas it is
            interpolated, beyond them it stays.
    """

    area_px2: tuple[float, ...]
    log_side: tuple[float, ...]

    def mended(self, xyxy: np.ndarray, area_px2: np.ndarray) -> np.ndarray:
        """(K, 4) boxes of so many square pixels of the input made as large as they should be, about their middles."""
        lost = (xyxy[:, 2:] - xyxy[:, :2]) / 2 * -np.expm1(-_at(area_px2, self.area_px2, self.log_side))[:, None]
        return np.concatenate([xyxy[:, :2] + lost, xyxy[:, 2:] - lost], axis=1)


def _at(area_px2: np.ndarray, knots_px2: tuple[float, ...], values: tuple[float, ...]) -> np.ndarray:
    """(K,) a curve over the logarithm of the area, level beyond its ends."""
    return np.interp(np.log(area_px2), np.log(knots_px2), values)


def overlaps(xyxy: np.ndarray, class_id: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(K, N) IoU of the kept ``rows`` with all boxes (N, 4), 0 for boxes of another class.

    The boxes are known to be finite and of some area, so nothing is looked after: a tenth of ``geometry.boxes.iou``.
    """
    x0, y0, x1, y1 = np.ascontiguousarray(xyxy.T)
    area = (x1 - x0) * (y1 - y0)
    wide = np.minimum(x1[rows, None], x1) - np.maximum(x0[rows, None], x0)
    high = np.minimum(y1[rows, None], y1) - np.maximum(y0[rows, None], y0)
    shared = np.maximum(wide, 0.0) * np.maximum(high, 0.0)
    shared *= class_id[rows, None] == class_id
    return shared / (area[rows, None] + area - shared)


def vote(
    overlap: np.ndarray, xyxy: np.ndarray, score: np.ndarray, rows: np.ndarray, least_iou: np.ndarray
) -> np.ndarray:
    """Kept boxes, each moved to the mean of those of its class that say nearly the same.

    Votes weigh by score times overlap. Neighbouring cells see one object each a little differently, and their mean is
    nearer to it than the surest of them (Gidaris and Komodakis, ICCV 2015, box voting).

    Args:
        overlap: (K, N) of ``overlaps``.
        xyxy: (N, 4) boxes before suppression.
        score: (N,), positive.
        rows: (K,) rows that suppression kept.
        least_iou: (K,) overlap from which on a box has a vote, from 0 to 1.

    Returns:
        (K, 4) boxes.
    """
    weight = np.where(overlap >= least_iou[:, None], overlap * score[None, :], 0.0)
    weight[np.arange(len(rows)), rows] = score[rows]  # whatever rounding made of its overlap with itself
    return weight @ xyxy / weight.sum(axis=1, keepdims=True)


def support(overlap: np.ndarray, score: np.ndarray, rows: np.ndarray, least_iou: np.ndarray) -> np.ndarray:
    """How many boxes say the same as each kept one, itself counted as 1.

    One with the same score and the same place counts 1, one of ``NO_SAY`` of the score nothing. A hit by chance stands
    alone; an object is seen by every cell on it. The same is done for boxes of several networks by weighted boxes
    fusion (Solovyev et al., Image and Vision Computing 2021).

    Args:
        overlap: (K, N) of ``overlaps``.
        score: (N,), positive.
        rows: (K,) rows that suppression kept.
        least_iou: (K,) overlap from which on a box says the same.

    Returns:
        (K,) from 1 on.
    """
    share = np.clip((score[None, :] / score[rows][:, None] - NO_SAY) / (1.0 - NO_SAY), 0.0, 1.0)
    share[np.arange(len(rows)), rows] = 0.0
    return 1.0 + np.where(overlap >= least_iou[:, None], overlap * share, 0.0).sum(axis=1)
