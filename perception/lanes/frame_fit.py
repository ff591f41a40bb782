"""All that one picture says of the lanes: crossings, the family of boundaries, its fit and the look of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from geometry.camera import Camera
from perception.lanes.describe import Look, describe, road_tints
from perception.lanes.family import Shape, search
from perception.lanes.fit import Candidates, FamilyFit, find_candidates, fit_family
from perception.lanes.learned import LearnedEvidence
from perception.lanes.ridge import Crossings, Evidence, find_crossings, marking_evidence
from perception.lanes.select import pick_lanes
from perception.lanes.slices import FreeRoad, SliceGrid
from perception.types import BELIEVED_SCORE

_SPAN_M = 9.0
# Places across the span where it is worked out how much of a boundary can be seen.
_BASES_M = ((np.arange(24) + 0.5) / 24 - 0.5) * 2 * _SPAN_M
_MIN_CROSSINGS = 10
_BELIEF_SIGMA_M, _BELIEF_EVIDENCE = 0.25, 0.1  # what a boundary already followed adds to candidates near it
# Red-to-blue logarithm above the road's: concrete beside asphalt under 0.1, grass or earth 0.3 to 0.8. Below: shade.
_TINT_LIMIT = 0.2
_NEIGHBOUR_SIGMA_M = 0.7  # by which the widths of neighbouring lanes differ
_ODD_SHARE = 0.5  # of its score one keeps at any width: seen, but not believed
_EGO_SIDE_M = 3.0  # no farther is the side of one's own lane: 3.75 m wide, the other wheels on its other side
_SHORT_SHARE = 0.4  # and one that may be no more than the last metres of paint
_NOT_ROAD_SHARE = 0.3  # of its score a boundary keeps when what lies before it does not look like the road


@dataclass(frozen=True, eq=False)
class Belief:
    """What earlier frames say: the shape (None: nothing), the lane width, and bases (K,) and scores (K,)."""

    shape: Shape | None
    width_m: float | None
    base_m: np.ndarray
    score: np.ndarray


@dataclass(frozen=True, eq=False)
class FrameFit:
    """Boundaries of one frame: coefficients (K, 4), covariances (K, 4, 4), looks, and the shape they share."""

    coeff: np.ndarray
    cov: np.ndarray
    looks: tuple[Look, ...]
    shape: Shape


@dataclass(frozen=True, eq=False)
class FrameView:
    """One picture along the slices of a grid."""

    grid: SliceGrid
    free: FreeRoad
    evidence: Evidence
    crossings: Crossings

    @classmethod
    def of(
        cls,
        bgr: np.ndarray,
        camera: Camera,
        grid: SliceGrid,
        boxes_px: np.ndarray,
        learned: LearnedEvidence | None = None,
        shape: Shape | None = None,
    ) -> FrameView:
        """Evidence and crossings of a picture (H, W, 3); crossings on the road plane of ``camera``.

        Evidence is gathered along a road of ``shape``, or straight ahead.
        """
        view, free = grid.warp(bgr), grid.uncovered(boxes_px)
        shift = None if shape is None else grid.shift(shape.heading, shape.bend, shape.twist)
        evidence = marking_evidence(view, grid, shift)
        if learned is not None:
            evidence = learned.fused(evidence, view)
        return cls(grid, free, evidence, find_crossings(evidence, grid, free, shift, camera))

    def paths(self, shape: Shape, base_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns (S, B) of curves of the family at the bases (B,), and where they are in sight and uncovered."""
        from perception.lanes.kernels import paths

        return paths(shape.array, base_m, self.grid.x_m, self.free.arrays)


def fit_frame(view: FrameView, belief: Belief, neighbours: int) -> FrameFit | None:
    """Boundaries of one frame; None where hardly anything looks like a marking."""
    if len(view.crossings) < _MIN_CROSSINGS:
        return None
    shape, _ = search(view.crossings, belief.shape)
    candidates = find_candidates(view.crossings, shape, view.grid.measure, view.paths(shape, _BASES_M)[1])
    candidates = _encouraged(candidates, belief)
    left, right, further_left, further_right = pick_lanes(candidates, belief.width_m, neighbours)
    picked = [k for k in (left, right, *further_left, *further_right) if k is not None]
    if not picked:
        return None
    return _described(view, fit_family(view.crossings, shape, candidates.base_m[picked]))


def _described(view: FrameView, fit: FamilyFit) -> FrameFit:
    base = fit.coeff[:, 0]
    # Along the boundaries, along the middles of the lanes before them, and where the vehicle itself goes.
    bases = base.tolist()
    paths = np.array([*bases, *(_before(bases, k) for k in range(len(bases))), 0.0])
    column, seen = view.paths(fit.shape, paths)
    looks = describe(view.crossings, fit, seen[:, : len(base)], view.grid.x_m)
    tints = road_tints(view.evidence, column[:, len(base) :], seen[:, len(base) :])
    told: list[Look | None] = []
    for look, tint in zip(looks, tints[:-1], strict=True):
        if look is not None and tint - tints[-1] > _TINT_LIMIT:
            look = replace(look, score=_NOT_ROAD_SHARE * look.score)
        told.append(look)
    told = _plausible(base, _alone(base, told))
    keep = [k for k, look in enumerate(told) if look is not None]
    coeff = fit.coeff[keep]
    coeff[:, 0] += [look.middle_m for look in told if look is not None]
    return FrameFit(coeff, fit.cov[keep], tuple(look for look in told if look is not None), fit.shape)


def _alone(base_m: np.ndarray, looks: list[Look | None]) -> list[Look | None]:
    """Less belief in what is short or too far for an ego lane's side, unless that lane's other side backs it.

    One side of a lane may show a single dash, or its gap, and may be far while the vehicle crosses the other side.
    """
    is_pair = len(base_m) > 1 and base_m[0] > base_m[1]
    told = list(looks)
    for k, look in enumerate(looks):
        other = looks[1 - k] if is_pair and k < 2 else None
        if look is None or (other is not None and not other.is_short and other.score >= BELIEVED_SCORE):
            continue
        share = _SHORT_SHARE if look.is_short else 1.0
        if k < (2 if is_pair else 1) and abs(base_m[k]) > _EGO_SIDE_M:
            share *= _ODD_SHARE
        told[k] = replace(look, score=share * look.score)
    return told


def _plausible(base_m: np.ndarray, looks: list[Look | None]) -> list[Look | None]:
    """Less belief in neighbours that are not a lane's width away: kerbs, hard shoulders, gutters.

    ``base_m`` and looks come as they were picked: the ego pair, or one of it, and then the neighbours.
    """
    if len(base_m) < 3 or base_m[0] <= base_m[1]:
        return looks
    lane = base_m[0] - base_m[1]
    told = list(looks)
    for k in range(2, len(base_m)):
        look = told[k]
        off = (float(np.abs(base_m[:2] - base_m[k]).min()) - lane) / _NEIGHBOUR_SIGMA_M
        if look is not None:
            told[k] = replace(look, score=look.score * max(math.exp(-0.5 * off * off), _ODD_SHARE))
    return told


def _before(base_m: Sequence[float], k: int) -> float:
    """Middle of the lane on the vehicle's side of boundary k."""
    nearer = [base for base in base_m if abs(base) < abs(base_m[k]) and base * base_m[k] > 0]
    return 0.5 * (base_m[k] + max(nearer, key=abs, default=0.0))


def _encouraged(candidates: Candidates, belief: Belief) -> Candidates:
    """Candidates with more evidence where a boundary is already followed."""
    apart = (candidates.base_m[:, None] - belief.base_m) / _BELIEF_SIGMA_M
    extra = _BELIEF_EVIDENCE * (belief.score * np.exp(-0.5 * apart * apart)).sum(axis=1)
    return replace(candidates, evidence=candidates.evidence + extra)
