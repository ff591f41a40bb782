"""What a boundary is made of: solid, dashed or double, white or yellow, and how sure it is there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from perception.lanes.fit import FamilyFit
from perception.lanes.ridge import Crossings
from perception.types import LaneColour, LaneKind

_KIND_NEAR_M, _KIND_FAR_M, _CELLS = (
    4.0,
    34.0,
    30,
)  # cells of a metre; farther away the gaps of a dashed line are one picture row
_SOLID_SHARE, _DASHED_SHARE = 0.8, 0.12  # of the cells seen; the paint of dashed lines is 0.25 to 0.5 of their period
_DOUBLE_M = (0.12, 0.45)  # between the middles of a double line's halves
_DOUBLE_SHARE = 0.45
_YELLOW = 0.18  # paint's red-to-blue logarithm above its surroundings': yellow paint has 0.3 to 0.9, white about 0
_MIN_TINT_SLICES = 12
# Mean evidence at which a boundary is as likely as not, and how sharply that turns: painted lines and raised markers of
# labelled and rendered roads have over 0.16 in 95 %, kerbs, cracks and house fronts under 0.15 in 90 % (docs/lanes.md).
_EVEN_EVIDENCE, _SHARPNESS = 0.15, 3.0


@dataclass(frozen=True)
class Look:
    """Kind and colour, the range of x with evidence, and the score of the evidence."""

    kind: LaneKind
    colour: LaneColour
    x_range_m: tuple[float, float]
    score: float


def describe(crossings: Crossings, fit: FamilyFit, k: int, seen: np.ndarray, x_m: np.ndarray) -> Look | None:
    """Look of boundary k; None without a crossing.

    Args:
        seen: (S,) bool: slices where this boundary lies in the picture and uncovered; x_m: (S,) their distances.
    """
    rows = np.flatnonzero(fit.member == k)
    if len(rows) == 0:
        return None
    mine = crossings[rows]
    x = mine.xy_m[:, 0]
    strong = mine.weight > 0.3
    hit = _cells(x[strong])
    visible = _cells(x_m[seen])
    share = float((hit & visible).sum() / max(visible.sum(), 1))
    kind: LaneKind = "unknown"
    if visible.sum() >= 8:
        kind = "solid" if share > _SOLID_SHARE else "dashed" if share > _DASHED_SHARE else "unknown"
        if kind == "solid" and _is_double(mine, fit.residual_m[rows]):
            kind = "double"
    colour: LaneColour = "unknown"
    if strong.sum() >= 5:
        colour = "yellow" if float(np.median(mine.yellow[strong])) > _YELLOW else "white"
    measure = np.sqrt(np.minimum(x_m, 40.0))
    evidence = np.bincount(mine.row, mine.weight**2, len(x_m))
    mean = float((np.minimum(evidence, 1.0) * measure).sum() / max((seen * measure).sum(), 0.25 * measure.sum()))
    return Look(kind, colour, (float(x.min()), float(x.max())), _score(mean))


def _cells(x_m: np.ndarray) -> np.ndarray:
    """(C,) bool: metres of the range where the kind is judged that hold any of x_m."""
    inside = x_m[(x_m >= _KIND_NEAR_M) & (x_m < _KIND_FAR_M)]
    return np.bincount((inside - _KIND_NEAR_M).astype(int), minlength=_CELLS) > 0


def _score(evidence: float) -> float:
    return 1 / (1 + (_EVEN_EVIDENCE / max(evidence, 1e-6)) ** _SHARPNESS)


def road_tint(yellow: np.ndarray, column: np.ndarray, seen: np.ndarray) -> float:
    """Median red-to-blue logarithm along a path: columns (S,) of the evidence's ``yellow``, where seen (S,) bool.

    NaN where too little is seen. Grass and earth differ from every road surface in it, and shadows hardly change it.
    """
    rows = np.flatnonzero(seen)
    return float(np.median(yellow[rows, column[rows]])) if len(rows) >= _MIN_TINT_SLICES else math.nan


def _is_double(mine: Crossings, residual_m: np.ndarray) -> bool:
    """Whether many slices cross the boundary twice, a hand apart."""
    order = np.lexsort((residual_m, mine.row))
    row, rest = mine.row[order], residual_m[order]
    gap = np.diff(rest)
    pair = (np.diff(row) == 0) & (gap > _DOUBLE_M[0]) & (gap < _DOUBLE_M[1])
    return bool(pair.sum() > _DOUBLE_SHARE * len(np.unique(row)))
