"""What a boundary is made of: solid, dashed or double, white or yellow, and how sure it is there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perception.lanes.fit import FamilyFit
from perception.lanes.ridge import Crossings, Evidence
from perception.types import LaneColour, LaneKind

# Cells of a metre; farther away the gaps of a dashed line are one picture row.
_KIND_NEAR_M, _KIND_FAR_M, _CELLS = 4.0, 34.0, 30
_MIN_CELLS = 8
_BANDS = np.array([0, 5, 14])  # first cells of the bands 4 to 9, 9 to 18 and 18 to 34 m: a dash in each, or its gap
_MIN_BAND_CELLS, _MIN_BAND_SHARE = 3, 0.15
_MIN_HIT_CELLS = 4  # of metres with paint in sight: about one dash
_SHORT_SHARE = 0.4  # of its score: not believed
_STRONG = 0.3  # weight of crossings that tell kind and colour
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


def describe(crossings: Crossings, fit: FamilyFit, seen: np.ndarray, x_m: np.ndarray) -> list[Look | None]:
    """Looks of the boundaries; None for one without a crossing.

    Args:
        seen: (S, K) bool: slices where each boundary lies in the picture and uncovered; x_m: (S,) their distances.
    """
    count, slices = len(fit.coeff), len(x_m)
    mine = fit.member >= 0
    member, row, weight = fit.member[mine], crossings.row[mine], crossings.weight[mine]
    x, yellow, rest = crossings.xy_m[mine, 0], crossings.yellow[mine], fit.residual_m[mine]
    strong = weight > _STRONG
    hit = _cells(x[strong], member[strong], count)
    far, each = np.nonzero(seen)
    visible = _cells(x_m[far], each, count)
    shares = (hit & visible).sum(axis=1) / np.maximum(visible.sum(axis=1), 1)
    trust = _coverage(hit, visible)
    measure = np.sqrt(np.minimum(x_m, 40.0))
    evidence = np.bincount(member * slices + row, weight**2, count * slices).reshape(count, slices)
    mean = (np.minimum(evidence, 1.0) @ measure) / np.maximum(measure @ seen, 0.25 * measure.sum())
    looks: list[Look | None] = []
    for k in range(count):
        own = member == k
        if not own.any():
            looks.append(None)
            continue
        kind: LaneKind = "unknown"
        if visible[k].sum() >= _MIN_CELLS:
            kind = "solid" if shares[k] > _SOLID_SHARE else "dashed" if shares[k] > _DASHED_SHARE else "unknown"
            if kind == "solid" and _is_double(row[own], rest[own]):
                kind = "double"
        colour: LaneColour = "unknown"
        tints = yellow[own & strong]
        if len(tints) >= 5:
            colour = "yellow" if median(tints) > _YELLOW else "white"
        along = x[own]
        looks.append(
            Look(kind, colour, (float(along.min()), float(along.max())), float(trust[k]) * _score(float(mean[k])))
        )
    return looks


def _cells(x_m: np.ndarray, of: np.ndarray, count: int) -> np.ndarray:
    """(count, C) bool: metres of the range where the kind is judged that hold any of the points of each boundary."""
    inside = (x_m >= _KIND_NEAR_M) & (x_m < _KIND_FAR_M)
    index = of[inside] * _CELLS + (x_m[inside] - _KIND_NEAR_M).astype(int)
    return np.bincount(index, minlength=count * _CELLS).reshape(count, _CELLS) > 0


def _coverage(hit: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """(K,) 1 for boundaries with paint in more than one of the bands in sight; less with it in one alone, or little.

    A line goes on. What is there only near the vehicle ends (the last metres before a junction); what is there only far
    ahead is the far side of a junction, or a house front.
    """
    cells = np.add.reduceat(visible, _BANDS, axis=1, dtype=int)
    seen = cells >= _MIN_BAND_CELLS
    found = np.add.reduceat(hit & visible, _BANDS, axis=1, dtype=int) > _MIN_BAND_SHARE * cells
    alone = (seen.sum(axis=1) >= 2) & ((found & seen).sum(axis=1) < 2)
    short = (hit & visible).sum(axis=1) < _MIN_HIT_CELLS
    return np.where(alone | short, _SHORT_SHARE, 1.0)


def _score(evidence: float) -> float:
    return 1 / (1 + (_EVEN_EVIDENCE / max(evidence, 1e-6)) ** _SHARPNESS)


def median(values: np.ndarray) -> float:
    """Upper median of (N,) values, N > 0: NumPy's own takes ten times as long for so few."""
    return float(np.sort(values)[len(values) // 2])


def road_tints(evidence: Evidence, column: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(B,) median red-to-blue logarithm along paths: columns (S, B) of the evidence, where seen (S, B) bool.

    NaN where too little is seen. Grass and earth differ from every road surface in it, and shadows hardly change it.
    """
    tint = evidence.yellow(np.arange(len(column))[:, None] * evidence.tint.shape[1] + column)
    tint = np.sort(np.where(seen, tint, np.inf), axis=0)
    count = seen.sum(axis=0)
    middle = tint[count // 2 - (count == len(tint)), np.arange(len(count))]
    return np.where(count >= _MIN_TINT_SLICES, middle, np.nan)


def _is_double(row: np.ndarray, residual_m: np.ndarray) -> bool:
    """Whether many slices cross the boundary twice, a hand apart."""
    order = np.lexsort((residual_m, row))
    row, rest = row[order], residual_m[order]
    gap, same = np.diff(rest), np.diff(row) == 0
    pair = same & (gap > _DOUBLE_M[0]) & (gap < _DOUBLE_M[1])
    return bool(pair.sum() > _DOUBLE_SHARE * (len(row) - same.sum()))
