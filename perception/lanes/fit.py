"""From crossings to boundaries in metres: candidates, a joint robust fit of parallel curves, and its gates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from geometry.types import Rows
from perception.lanes.family import Shape
from perception.lanes.ridge import Crossings

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
    from perception.lanes.kernels import candidates

    seen = np.ascontiguousarray(seen, float)
    return Candidates(
        *candidates(crossings.points, crossings.row, shape.array, measure, seen, _kernel(), _MAX_CANDIDATES)
    )


@cache
def _kernel() -> np.ndarray:
    """What the histogram is smoothed with: a Gaussian of 0.1 m."""
    from perception.lanes.kernels import BASE_BIN_M

    return np.exp(-0.5 * (np.arange(-4, 5) * BASE_BIN_M / 0.10) ** 2)


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
