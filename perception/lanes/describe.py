"""What a boundary is made of: solid, dashed or double, white or yellow, and how sure it is there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from perception.lanes.fit import FamilyFit
from perception.lanes.ridge import Crossings, Evidence
from perception.types import LaneColour, LaneKind

_MIN_CELLS = 8
_MIN_PAINT_M = 4  # of metres with paint in sight: about one dash
_SHORT_SHARE = 0.4  # of its score: not believed
_SOLID_SHARE, _DASHED_SHARE = 0.8, 0.12  # of the cells seen; the paint of dashed lines is 0.25 to 0.5 of their period
_DOUBLE_SHARE = 0.45
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
    from perception.lanes.kernels import looks

    points = np.column_stack([crossings.xy_m[:, 0], crossings.weight, crossings.yellow, fit.residual_m])
    return [_look(told) for told in looks(crossings.row, fit.member, points, np.ascontiguousarray(seen), x_m).tolist()]


def _look(told: list[float]) -> Look | None:
    """What the figures of ``kernels.looks`` say of one boundary."""
    cells, share, paint_m, bands, painted_bands, evidence, double, yellow, first_m, last_m = told
    if last_m < first_m:
        return None
    kind: LaneKind = "unknown"
    if cells >= _MIN_CELLS and share > _DASHED_SHARE:
        kind = "dashed" if share <= _SOLID_SHARE else "double" if double > _DOUBLE_SHARE else "solid"
    colour: LaneColour = "unknown" if math.isnan(yellow) else "yellow" if yellow >= 0.5 else "white"
    # A line goes on. What is there only near the vehicle ends (the last metres before a junction); what is there only
    # far ahead is the far side of a junction, or a house front.
    alone = bands >= 2 and painted_bands < 2
    trust = _SHORT_SHARE if alone or paint_m < _MIN_PAINT_M else 1.0
    return Look(kind, colour, (first_m, last_m), trust * _score(evidence))


def _score(evidence: float) -> float:
    return 1 / (1 + (_EVEN_EVIDENCE / max(evidence, 1e-6)) ** _SHARPNESS)


def road_tints(evidence: Evidence, column: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(B,) median red-to-blue logarithm along paths: columns (S, B) of the evidence, where seen (S, B) bool.

    NaN where too little is seen. Grass and earth differ from every road surface in it, and shadows hardly change it.
    """
    tint = np.sort(np.where(seen, np.take_along_axis(evidence.tint, column, axis=1), np.inf), axis=0)
    count = seen.sum(axis=0)
    middle = tint[count // 2 - (count == len(tint)), np.arange(len(count))]
    return np.where(count >= _MIN_TINT_SLICES, middle, np.nan)
