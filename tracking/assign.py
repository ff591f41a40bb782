"""Who is who: the assignment of most likeness.

Everything works on a flat list of candidate pairs, so that a crowd costs what its neighbourhoods cost, not N x M.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

_LAP_ABOVE = 64  # from this many rows the Jonker-Volgenant solver of lapx is the faster one

Pairs = tuple[np.ndarray, np.ndarray]
"""Row and column of each candidate pair, (K,) int64 each."""


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
    from tracking.match_kernels import settle

    i, j = np.ascontiguousarray(pairs[0]), np.ascontiguousarray(pairs[1])
    chosen, open_ = settle(i, j, gain, *shape)
    rest = open_.nonzero()[0]
    if len(rest):
        rows, ri = np.unique(i[rest], return_inverse=True)
        columns, cj = np.unique(j[rest], return_inverse=True)
        chosen[rest[_solve(ri, cj, gain[rest], (len(rows), len(columns)))]] = True
    return chosen.nonzero()[0]


def _solve(i: np.ndarray, j: np.ndarray, gain: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Indices of the chosen pairs; the Hungarian problem over the dense matrix, zero where there is no pair."""
    dense = np.zeros(shape)
    dense[i, j] = -gain
    if max(shape) <= _LAP_ABOVE:
        rows, columns = linear_sum_assignment(dense)
    else:
        from lap import lapjvx

        rows, columns = lapjvx(dense, extend_cost=True, return_cost=False)
    match = np.full(shape[0], -1)
    match[rows] = columns
    return np.flatnonzero(match[i] == j)
