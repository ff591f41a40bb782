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
_SOLID_SHARE, _DASHED_SHARE = 0.8, 0.12  # of the cells seen; the paint of dashed lines is 0.25 to 0.5 of their period
_DOUBLE_SHARE = 0.45
_MIN_TINT_SLICES = 12
# Odds that a boundary is there (logistic regression on rendered roads with and without paint, clips, labelled frames
# and an unmarked street: docs/lanes.md; the constant was then raised by hand): constant, and per unit of the logarithm
# of the mean evidence, of the scatter of its crossings in sigmas, and of the log-odds of the share that it has of the
# evidence around it. Clutter is spread evenly over the corridor that crossings are taken from (scatter 1.5, share 0.5);
# paint lies on its curve (0.3 to 1.2, 0.9).
_ODDS = (3.9, 2.06, -1.79, 0.72)
_LITTLE, _MOST_SCATTER, _EDGE = 0.01, 3.0, 0.02  # what keeps the logarithms and the scatter within what was seen
_SOFT = 0.6  # of the odds' logarithm: one frame tells no more


@dataclass(frozen=True)
class Look:
    """Kind and colour, the range of x with evidence, the score of the evidence.

    ``middle_m``: how far left of the curve that was fitted the middle lies, of a double line; ``is_short``: hardly any
    paint is in sight, or all of it at one distance.
    """

    kind: LaneKind
    colour: LaneColour
    x_range_m: tuple[float, float]
    score: float
    middle_m: float = 0.0
    is_short: bool = False


def describe(crossings: Crossings, fit: FamilyFit, seen: np.ndarray, x_m: np.ndarray) -> list[Look | None]:
    """Looks of the boundaries; None for one without a crossing.

    Args:
        seen: (S, K) bool: slices where each boundary lies in the picture and uncovered; x_m: (S,) their distances.
    """
    from perception.lanes.fit_kernels import looks

    figures = looks(crossings.row, fit.member, crossings.points, fit.coeff, np.ascontiguousarray(seen), x_m)
    return [_look(told) for told in figures.tolist()]


def _look(told: list[float]) -> Look | None:
    """What the figures of ``fit_kernels.looks`` say of one boundary."""
    cells, share, paint_m, bands, painted_bands, evidence, scatter, alone, double, middle_m, yellow, first_m, last_m = (
        told
    )
    if last_m < first_m:
        return None
    kind: LaneKind = "unknown"
    if cells >= _MIN_CELLS and share > _DASHED_SHARE:
        kind = "dashed" if share <= _SOLID_SHARE else "double" if double > _DOUBLE_SHARE else "solid"
    colour: LaneColour = "unknown" if math.isnan(yellow) else "yellow" if yellow >= 0.5 else "white"
    # A line goes on. What is there only near the vehicle ends (the last metres before a junction); what is there only
    # far ahead is the far side of a junction, or a house front.
    ends = bands >= 2 and painted_bands < 2
    middle_m = middle_m if kind == "double" else 0.0
    is_short = ends or paint_m < _MIN_PAINT_M
    return Look(kind, colour, (first_m, last_m), _score(evidence, scatter, alone), middle_m, is_short)


def _score(evidence: float, scatter: float, alone: float) -> float:
    constant, of_evidence, of_scatter, of_share = _ODDS
    odds = constant + of_evidence * math.log(evidence + _LITTLE) + of_scatter * min(scatter, _MOST_SCATTER)
    odds += of_share * math.log((alone + _EDGE) / (1 + _EDGE - alone))
    return 1 / (1 + math.exp(-_SOFT * odds))


def road_tints(evidence: Evidence, column: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(B,) median red-to-blue logarithm along paths: columns (S, B) of the evidence, where seen (S, B) bool.

    NaN where too little is seen. Grass and earth differ from every road surface in it, and shadows hardly change it.
    """
    from perception.lanes.kernels import medians

    return medians(evidence.tint, column, seen, _MIN_TINT_SLICES)
