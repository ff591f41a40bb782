"""Compiled loops that compare tracks with detections and settle which belong together; as ``tracking.kernels``."""

from __future__ import annotations

import math

import numba
import numpy as np

from geometry.compiled import compiled
from tracking.classes import FLICKER_COST, GROUP
from tracking.frame import D_BOX, D_CLASS, D_EVIDENCE, D_ODDS
from tracking.kernels import copy_row, in_picture
from tracking.table import CLASS, MEAN, PP

_PP, _D_BOX = PP.start, D_BOX.start
_WHOLE_DROP = 6.0  # log-odds, as from a score of 0.999 to one of 0.7, from which on a score has dropped entirely
_LEAST_GAIN = 1e-9  # a pair is worth joining above


@numba.njit
def _iou(box, one, half):  # type: ignore[no-untyped-def]
    """Overlap of a box and a detection, reaching ``half`` of their size from the centre."""
    common = 1.0
    for a in range(2):
        p, q = box[a], one[_D_BOX + a]
        reach_p, reach_q = half * box[2 + a], half * one[_D_BOX + 2 + a]
        common *= max(min(p + reach_p, q + reach_q) - max(p - reach_p, q - reach_q), 0.0)
    area = box[2] * box[3] + one[_D_BOX + 2] * one[_D_BOX + 3]
    return common / (4.0 * half * half * area - common)


@numba.njit
def _first_at(ascending, value):  # type: ignore[no-untyped-def]
    """Index of the first element that is not below the value."""
    low, high = 0, len(ascending)
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit
def _longer(values):  # type: ignore[no-untyped-def]
    """The same values, and as much room again."""
    new = np.empty(2 * len(values), values.dtype)
    copy_row(values, 0, new, 0, len(values))
    return new


@numba.njit
def _likeness(row, box, one, iou, noise2, mahalanobis):  # type: ignore[no-untyped-def]
    """Of a track, by the part of it in the picture, and a detection: overlap, and the filter's own uncertainty."""
    if mahalanobis == 0.0:
        return iou
    distance2 = 0.0
    for a in range(4):
        size = one[_D_BOX + 2 + a % 2]
        residual = one[_D_BOX + a] - box[a]
        distance2 += residual * residual / (row[_PP + a] + noise2 * size * size)
    return (1.0 - mahalanobis) * iou + mahalanobis * math.exp(-0.125 * distance2)


@compiled(
    "Tuple((i8[::1], i8[::1], f8[::1], f8[::1]))(f8[:,::1], f8[:,::1], i8[::1], f8, UniTuple(f8, 5), UniTuple(f8, 2))"
)
def compare(data, seen, order, half, setting, picture):  # type: ignore[no-untyped-def]
    """Tracks and detections that may belong together.

    Args:
        order: detections by the left edge of their widened boxes, ascending.
        half: boxes are widened to reach so much of their size from their centre.
        setting: variance of the noise relative to the squared size, weight of the Mahalanobis likeness, least likeness;
            and how much more is asked of detections that are surely false, and of those that are far less sure than the
            track usually is. What is asked opens or shuts a pair; it does not weigh between open ones.
        picture: width and height in pixels: only what is inside can be detected; 0: not known.

    Returns:
        (K,) tracks, (K,) detections, (K,) gains, positive, of the pairs that overlap; and (M,) the largest overlap of
        each detection with a track of its kind.
    """
    noise2, mahalanobis, least, doubt, drop = setting
    box = np.empty(4)
    room, count = 2 * (len(data) + len(seen)) + 16, 0
    i, j, gain, overlap = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room), np.zeros(len(seen))
    left, sides, widest = np.empty(len(seen)), np.empty((len(seen), 3)), 0.0
    for place in range(len(seen)):  # right, top and bottom side by side: most of what is looked at ends there
        one = seen[order[place]]
        wide, high = half * one[_D_BOX + 2], half * one[_D_BOX + 3]
        left[place], sides[place, 0] = one[_D_BOX] - wide, one[_D_BOX] + wide
        sides[place, 1], sides[place, 2] = one[_D_BOX + 1] - high, one[_D_BOX + 1] + high
        widest = max(widest, 2.0 * wide)
    for n in range(len(data)):
        row = data[n]
        in_picture(row, picture, box)
        kind, reach, high = int(row[CLASS]), half * box[2], half * box[3]
        for place in range(_first_at(left, box[0] - reach - widest), len(seen)):
            if left[place] >= box[0] + reach:
                break
            if (
                sides[place, 0] <= box[0] - reach
                or sides[place, 1] >= box[1] + high
                or sides[place, 2] <= box[1] - high
            ):
                continue
            m = order[place]
            one, other = seen[m], int(seen[m, D_CLASS])
            iou = _iou(box, one, half)
            if iou == 0.0 or GROUP[kind] != GROUP[other]:
                continue
            overlap[m] = max(overlap[m], iou)
            value = (
                _likeness(row, box, one, iou, noise2, mahalanobis) - least - (0.0 if kind == other else FLICKER_COST)
            )
            asked = doubt / (1.0 + math.exp(one[D_EVIDENCE]))
            asked += drop * min(max(row[MEAN] - one[D_ODDS], 0.0) * (1.0 / _WHOLE_DROP), 1.0)
            if value - asked < _LEAST_GAIN:
                continue
            if count == len(i):
                i, j, gain = _longer(i), _longer(j), _longer(gain)
            i[count], j[count], gain[count] = n, m, value
            count += 1
    return i[:count], j[:count], gain[:count], overlap


@numba.njit
def _two_best(group, gain, open_, count):  # type: ignore[no-untyped-def]
    """Per group: the pair of the largest gain or -1, and the second largest gain or 0; of the pairs that are open."""
    best, second = np.empty(count, np.int64), np.empty(count)
    for g in range(count):
        best[g], second[g] = -1, 0.0
    for k in range(len(gain)):
        if not open_[k]:
            continue
        g = group[k]
        if best[g] < 0 or gain[k] > gain[best[g]]:
            second[g] = 0.0 if best[g] < 0 else gain[best[g]]
            best[g] = k
        elif gain[k] > second[g]:
            second[g] = gain[k]
    return best, second


@compiled("Tuple((b1[::1], b1[::1]))(i8[::1], i8[::1], f8[::1], i8, i8)")
def settle(i, j, gain, rows, columns):  # type: ignore[no-untyped-def]
    """Take out pairs that belong to an optimum whatever the others do, again and again.

    Such a pair gains at least as much as the next best of its row and the next best of its column together: a choice
    without it holds at most those two in its place.

    Returns:
        (K,) pairs chosen, and (K,) pairs that are still open.
    """
    chosen, open_ = np.empty(len(gain), np.bool_), np.empty(len(gain), np.bool_)
    for k in range(len(gain)):
        chosen[k], open_[k] = False, gain[k] > 0.0
    more = True
    while more:
        more = False
        row_best, row_second = _two_best(i, gain, open_, rows)
        column_best, column_second = _two_best(j, gain, open_, columns)
        for r in range(rows):
            k = row_best[r]
            if k < 0 or column_best[j[k]] != k or gain[k] < row_second[r] + column_second[j[k]]:
                continue
            chosen[k] = more = True
            column_best[j[k]] = -2
        for k in range(len(gain)):
            if open_[k] and (column_best[j[k]] == -2 or (row_best[i[k]] >= 0 and chosen[row_best[i[k]]])):
                open_[k] = False
    return chosen, open_
