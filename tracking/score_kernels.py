"""Compiled loops over scores and probabilities of existence; as ``tracking.kernels``, whose rules they follow."""

from __future__ import annotations

import math

import numba
import numpy as np

from geometry.compiled import compiled
from tracking.existence import BIN, HIGHEST, LOWEST, PROBABILITY_EDGE
from tracking.frame import D_EVIDENCE, D_ODDS


@compiled("void(f8[:,::1], f8[::1], f8, UniTuple(f8, 5))")
def weigh_scores(seen, worth, usual, setting):  # type: ignore[no-untyped-def]
    """Set the evidence of detections from what their scores are worth (M,).

    Args:
        usual: log-odds that count for nothing.
        setting: offset, slope, weight of the raw log-odds, least and most evidence.
    """
    offset, slope, raw, low, high = setting
    for m in range(len(seen)):
        evidence = offset + slope * worth[m] + raw * (seen[m, D_ODDS] - usual)
        seen[m, D_EVIDENCE] = min(max(evidence, low), high)


@numba.njit(inline="always")
def _bin_of(odds):  # type: ignore[no-untyped-def]
    return int((min(max(odds, LOWEST), HIGHEST - 1e-6) - LOWEST) * (1.0 / BIN))


@compiled("f8(f8[:], f8[::1])")
def count_scores(odds, count):  # type: ignore[no-untyped-def]
    """Add log-odds (M,) to their bins; the lowest of them."""
    lowest = np.inf
    for one in odds:
        count[_bin_of(one)] += 1.0
        lowest = min(lowest, one)
    return lowest


@compiled("f8[::1](f8[:], f8[::1])")
def worth_of(odds, table):  # type: ignore[no-untyped-def]
    """(M,) straight between the middles of the bins of a table, level beyond."""
    worth = np.empty(len(odds))
    for m in range(len(odds)):
        place = min(max((odds[m] - LOWEST) / BIN - 0.5, 0.0), len(table) - 1.0)
        low = min(int(place), len(table) - 2)
        worth[m] = table[low] + (place - low) * (table[low + 1] - table[low])
    return worth


@compiled("UniTuple(f8, 3)(f8[:], i8[::1], f8[::1], f8[::1], f8, f8)")
def continue_scores(odds, continues, shown, again, middling, sure):  # type: ignore[no-untyped-def]
    """Add detections to the bins of those shown and of those that continue a track.

    Returns:
        How many are middling, how many of these continue a track, and how many are sure.
    """
    near, near_again, above = 0.0, 0.0, 0.0
    for one in odds:
        shown[_bin_of(one)] += 1.0
        near += abs(one) <= middling
        above += one > sure
    for m in continues:
        again[_bin_of(odds[m])] += 1.0
        near_again += abs(odds[m]) <= middling
    return near, near_again, above


@compiled("void(f8[:], f8[:], f8[::1], f8[::1], f8)")
def step_presence(present, hidden, ratio, rates, dt_s):  # type: ignore[no-untyped-def]
    """``Presence.step`` with the three rates of its chain, 1/s."""
    hide, back, leave = -math.expm1(-rates[0] * dt_s), -math.expm1(-rates[1] * dt_s), -math.expm1(-rates[2] * dt_s)
    for n in range(len(present)):
        returned = hidden[n] * back
        covered = hidden[n] * (1.0 - leave) + (present[n] * hide - returned)
        seen = present[n] * ((1.0 - hide) * (1.0 - leave)) + returned
        scale = 1.0 / (1.0 + seen * (ratio[n] - 1.0))
        hidden[n] = covered * scale
        present[n] = min(seen * ratio[n] * scale, 1.0 - PROBABILITY_EDGE)
