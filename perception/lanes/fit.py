"""From crossings to boundaries in metres: candidates, a joint robust fit of parallel curves, and its gates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geometry.types import Rows
from perception.lanes.family import Shape
from perception.lanes.ridge import Crossings

_BIN_M = 0.06
_HALF_SPAN_M = 9.0
_KERNEL = np.exp(-0.5 * (np.arange(-4, 5) * _BIN_M / 0.10) ** 2)
_MAX_CANDIDATES = 24


@dataclass(frozen=True, eq=False)
class Candidates(Rows):
    """K places where a boundary of the family may run.

    Attributes:
        base_m: (K,) lateral position at the vehicle.
        evidence: (K,) mean evidence along it, 0 to 1, where it can be seen.
        length_m: (K,) metres of road with evidence.
    """

    base_m: np.ndarray
    evidence: np.ndarray
    length_m: np.ndarray


def find_candidates(crossings: Crossings, shape: Shape, measure: np.ndarray, seen: np.ndarray) -> Candidates:
    """Peaks of the crossings' histogram across the family.

    Args:
        measure: (S,) what a slice counts (metres of road that it stands for, capped).
        seen: (S, B) share of the slice that is seen at B equally spaced bases over the span.
    """
    base = shape.base_m(crossings.xy_m)
    inside = np.abs(base) < _HALF_SPAN_M
    mass = (crossings.weight**2 * measure[crossings.row])[inside]
    count = round(2 * _HALF_SPAN_M / _BIN_M)
    index = ((base[inside] + _HALF_SPAN_M) / _BIN_M).astype(int)
    histogram = np.bincount(index, mass, count)
    profile = np.convolve(histogram, _KERNEL, "same")
    peak = np.flatnonzero((profile[1:-1] >= profile[:-2]) & (profile[1:-1] > profile[2:])) + 1
    peak = peak[np.argsort(-profile[peak])][:_MAX_CANDIDATES]
    offset = (peak + 0.5) * _BIN_M - _HALF_SPAN_M
    visible = measure @ seen
    at = np.clip(((offset + _HALF_SPAN_M) / (2 * _HALF_SPAN_M) * seen.shape[1]).astype(int), 0, seen.shape[1] - 1)
    total = np.maximum(visible[at], 0.25 * measure.sum())
    order = np.argsort(-offset)
    return Candidates(offset[order], (profile[peak] / total)[order], profile[peak][order])


@dataclass(frozen=True, eq=False)
class FamilyFit:
    """K boundaries fitted together.

    Attributes:
        shape: what they share.
        coeff: (K, 4) y = c0 + c1 x + c2 x^2 + c3 x^3; cov: (K, 4, 4).
        member: (N,) index of the boundary a crossing belongs to, -1 for none.
    """

    shape: Shape
    coeff: np.ndarray
    cov: np.ndarray
    member: np.ndarray


def fit_family(crossings: Crossings, shape: Shape, base_m: np.ndarray) -> FamilyFit:
    """Robust joint fit: heading, bend, twist, spread, sag, and the base of each boundary; then each its own.

    Iteratively reweighted least squares with Cauchy weights (Holland and Welsch, 1977); crossings are assigned anew
    in each round to the nearest curve within a corridor. Each boundary's own cubic is held by a Gaussian prior: what
    the family says of it.
    """
    from perception.lanes.fit_kernels import fit

    common, coeff, cov, member = fit(crossings.points, shape.array, np.ascontiguousarray(base_m, float))
    heading, bend, twist, spread, sag = common.tolist()
    return FamilyFit(Shape(heading, bend, spread, twist, sag), coeff, cov, member)
