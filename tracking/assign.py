"""Who is who: candidate pairs of tracks and detections, how alike they are, and the assignment of most likeness.

Everything works on a flat list of candidate pairs, so that a crowd costs what its neighbourhoods cost, not N x M.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.optimize import linear_sum_assignment

_ALL_PAIRS_BELOW = 900  # up to about 30 x 30, all pairs cost less than finding the near ones
_REDUCE_ABOVE = 64  # from this many rows, taking out the pairs that are sure first pays

Pairs = tuple[np.ndarray, np.ndarray]
"""Row and column of each candidate pair, (K,) each."""


@lru_cache(maxsize=1024)
def _all_pairs(rows: int, columns: int) -> Pairs:
    i, j = np.divmod(np.arange(rows * columns), columns)
    return i, j


def candidate_pairs(a: np.ndarray, b: np.ndarray) -> Pairs:
    """Pairs of boxes that may overlap: all of them where they are few, else those whose x ranges can meet.

    Args:
        a, b: (N, 4) and (M, 4) boxes left, top, right, bottom, already widened by what the caller allows.
    """
    rows, columns = len(a), len(b)
    if rows * columns <= _ALL_PAIRS_BELOW:
        return _all_pairs(rows, columns)
    order = np.argsort(b[:, 0])
    left = b[order, 0]
    widest = float(np.max(b[:, 2] - b[:, 0]))
    first = np.searchsorted(left, a[:, 0] - widest)
    count = np.searchsorted(left, a[:, 2]) - first
    i = np.repeat(np.arange(rows), count)
    start = np.cumsum(count) - count
    j = order[np.arange(len(i)) - np.repeat(start - first, count)]
    near = (a[i, 1] < b[j, 3]) & (b[j, 1] < a[i, 3])
    return i[near], j[near]


def pair_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(K,) intersection over union of boxes (K, 4) row by row; boxes without area give 0."""
    low = np.maximum(a[:, :2], b[:, :2])
    extent = np.minimum(a[:, 2:], b[:, 2:]) - low
    np.maximum(extent, 0.0, out=extent)
    inter = extent[:, 0] * extent[:, 1]
    size_a, size_b = a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]
    union = size_a[:, 0] * size_a[:, 1] + size_b[:, 0] * size_b[:, 1] - inter
    return inter / np.maximum(union, 1e-9)


def contested(pairs: Pairs, gain: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Indices of the pairs of positive gain whose row or column has another such pair: only there is a choice."""
    good = np.flatnonzero(gain > 0)
    if len(good) < 2:
        return good[:0]
    i, j = pairs[0][good], pairs[1][good]
    rivals = np.bincount(i, minlength=shape[0])[i] + np.bincount(j, minlength=shape[1])[j]
    return good[rivals > 2]


def assign(pairs: Pairs, gain: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The one-to-one choice of pairs with the largest sum of gains; a pair whose gain is not positive is never chosen.

    Args:
        pairs: (K,) rows and (K,) columns, each pair once.
        gain: (K,).
        shape: number of rows and of columns.

    Returns:
        Indices into the list of pairs, ascending.
    """
    good = np.flatnonzero(gain > 0)
    if not len(good):
        return good
    i, j, value = pairs[0][good], pairs[1][good], gain[good]
    if max(shape) <= _REDUCE_ABOVE:
        return good[_solve(i, j, value, shape)]
    sure = _sure(i, j, value)
    taken_row, taken_column = np.zeros(shape[0], bool), np.zeros(shape[1], bool)
    taken_row[i[sure]] = taken_column[j[sure]] = True
    rest = np.flatnonzero(~(taken_row[i] | taken_column[j]))
    if not len(rest):
        return good[sure]
    rows, ri = np.unique(i[rest], return_inverse=True)
    columns, cj = np.unique(j[rest], return_inverse=True)
    chosen = rest[_solve(ri, cj, value[rest], (len(rows), len(columns)))]
    return good[np.sort(np.concatenate([np.flatnonzero(sure), chosen]))]


def _sure(i: np.ndarray, j: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """(K,) pairs that belong to an optimum whatever the others do.

    A pair that gains at least as much as the next best of its row and the next best of its column together: a choice
    without it holds at most those two in its place.
    """
    row_best, row_next = _two_best(i, gain)
    column_best, column_next = _two_best(j, gain)
    return row_best & column_best & (gain >= row_next + column_next)


def _two_best(group: np.ndarray, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which pairs (K,) are the best of their group, one each, and the gain of the second best of each pair's group."""
    order = np.lexsort((-gain, group))
    sorted_group, sorted_gain = group[order], gain[order]
    first = np.ones(len(group), bool)
    first[1:] = sorted_group[1:] != sorted_group[:-1]
    best = np.zeros(len(group), bool)
    best[order[first]] = True
    start = np.flatnonzero(first)
    after = np.minimum(start + 1, len(group) - 1)
    second = np.where((after > start) & ~first[after], sorted_gain[after], 0.0)
    following = np.empty(len(group))
    following[order] = second[np.cumsum(first) - 1]
    return best, following


def _solve(i: np.ndarray, j: np.ndarray, gain: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Indices of the chosen pairs; the Hungarian problem over the dense matrix, zero where there is no pair."""
    dense = np.zeros(shape)
    dense[i, j] = -gain
    if max(shape) <= _REDUCE_ABOVE:
        rows, columns = linear_sum_assignment(dense)
        match = np.full(shape[0], -1)
        match[rows] = columns
    else:
        from lap import lapjvx

        rows, columns = lapjvx(dense, extend_cost=True, return_cost=False)
        match = np.full(shape[0], -1)
        match[rows] = columns
    return np.flatnonzero(match[i] == j)
