"""LaneTracker: pictures in, lanes in metres out, frame after frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from geometry.camera import Camera
from perception.enhance import dehaze, measure_visibility
from perception.lanes.boundary_filter import EVEN_UNREST_M, BoundaryFilter, Motion, fused
from perception.lanes.family import Shape
from perception.lanes.fit import Candidates
from perception.lanes.frame_fit import Belief, FrameFit, FrameView, fit_frame
from perception.lanes.learned import LearnedEvidence
from perception.lanes.select import pick_ego
from perception.lanes.slices import SliceGrid
from perception.lanes.status import lane_status
from perception.types import BELIEVED_SCORE, CLASS_ID, Detections, Frame, LaneBoundary, LaneColour, LaneKind, Lanes

_COVERING = np.zeros(len(CLASS_ID), bool)  # by class
_COVERING[[CLASS_ID[n] for n in ("car", "truck", "bus", "train", "person", "rider", "bicycle", "motorcycle")]] = True
_COVERING_SCORE = 0.35  # weaker boxes are often no objects, and would hide the paint
_BOX_MARGIN = 0.06  # of a box's size: detectors cut bumpers and shadows
_MATCH_M = 0.5  # a followed boundary and a new fit so near to each other are the same
_MATCH_POWERS = np.array([5.0, 10.0, 18.0]) ** np.arange(4)[:, None]  # of the distances where they are compared
_FORGET_S = 0.7  # a dashed line's gap at walking speed, a vehicle that passes
_DUPLICATE_M = 0.6
_WIDTH_GAIN = 0.05
_NEWCOMER_SHARE = 0.55  # of its score a boundary starts with, but for the first picture of all
_APART_M = 2.0  # nearer to each other there is no lane between two boundaries
_NO_LANE_SCORE = 0.45
_LOOK_AGAIN_S = 0.5
_KINDS: tuple[LaneKind, ...] = ("solid", "dashed", "double", "unknown")
_COLOURS: tuple[LaneColour, ...] = ("white", "yellow", "unknown")


@dataclass(frozen=True)
class LaneConfig:
    """Settings a user may have a reason to change.

    Attributes:
        min_score: boundaries under it are not reported.
        neighbours: how many boundaries beyond the ego pair are sought on each side.
        learned: network as one more source of evidence; None: the slices alone.
    """

    min_score: float = 0.1
    neighbours: int = 1
    learned: LearnedEvidence | None = None


class LaneTracker:
    """Follows the boundaries of the ego lane and its neighbours (``perception.types.LaneModel``)."""

    def __init__(self, config: LaneConfig | None = None) -> None:
        self.config = config or LaneConfig()
        self._grid: SliceGrid | None = None
        self._boundaries: list[BoundaryFilter] = []
        self._left: BoundaryFilter | None = None
        self._right: BoundaryFilter | None = None
        self._shape: Shape | None = None
        self._width_m: float | None = None
        self._t_s: float | None = None
        self._height_m = math.nan
        self._settled = False
        self._hazy, self._looked_s = False, math.inf
        self._status_memory: list[tuple[float, float, float]] = []

    @property
    def shape(self) -> Shape | None:
        """Heading, bend and spread of the road as last found; spread times height is the camera's pitch error."""
        return self._shape

    def step(
        self,
        frame: Frame,
        camera: Camera,
        detections: Detections,
        *,
        forward_m: float = math.nan,
        yaw_rad: float = math.nan,
    ) -> Lanes:
        """Lanes of the frame; see ``perception.types.LaneModel``."""
        dt_s = 0.0 if self._t_s is None else max(frame.t_s - self._t_s, 0.0)
        self._t_s = frame.t_s
        self._rescale(camera.height_m)
        motion = Motion.of(dt_s, forward_m, yaw_rad)
        for boundary in self._boundaries:
            boundary.predict(motion)
        fitted = self._fit(self._cleared(frame), camera, _covering_boxes(detections))
        self._associate(fitted)
        self._choose_ego()
        return self._report(frame.t_s)

    def _rescale(self, height_m: float) -> None:
        """What is followed lies on the road plane of the height believed before; a new height is no new road."""
        by = height_m / self._height_m
        self._height_m = height_m
        if not math.isfinite(by) or by == 1.0:
            return
        for boundary in self._boundaries:
            boundary.rescale(by)
        self._shape = None if self._shape is None else self._shape.rescaled(by)
        self._width_m = None if self._width_m is None else self._width_m * by
        self._status_memory = [(t_s, by * offset_m, by * width_m) for t_s, offset_m, width_m in self._status_memory]

    def _cleared(self, frame: Frame) -> np.ndarray:
        """The picture without haze; whether there is haze is looked at now and then: it does not come at once."""
        if not self._looked_s <= frame.t_s < self._looked_s + _LOOK_AGAIN_S:
            self._hazy, self._looked_s = measure_visibility(frame.bgr).is_hazy, frame.t_s
        return dehaze(frame.bgr) if self._hazy else frame.bgr

    def _fit(self, bgr: np.ndarray, camera: Camera, boxes_px: np.ndarray) -> FrameFit | None:
        if self._grid is None or not self._grid.fits(camera):
            self._grid = SliceGrid.build(camera)
        if self._grid is None or bgr.shape[:2] != (camera.height_px, camera.width_px):
            return None
        base = np.array([b.coeff[0] for b in self._boundaries])
        score = np.array([b.score for b in self._boundaries])
        belief = Belief(self._shape, self._width_m, base, score)
        # Only along a road that is believed: along a guess, clutter would add up to what was guessed.
        along = self._shape if score.max(initial=0.0) >= BELIEVED_SCORE else None
        view = FrameView.of(bgr, camera, self._grid, boxes_px, self.config.learned, along)
        return fit_frame(view, belief, self.config.neighbours)

    # -- over time ----------------------------------------------------------------------------------------------

    def _associate(self, fitted: FrameFit | None) -> None:
        free = list(range(len(fitted.coeff))) if fitted else []
        seen: list[tuple[BoundaryFilter, int, float]] = []
        surest = sorted(self._boundaries, key=lambda b: -b.score)
        gaps_m = _gaps_m(surest, fitted.coeff) if fitted and surest else []
        for position, boundary in enumerate(surest):
            nearest = min(free, key=gaps_m[position].__getitem__) if free else None
            if nearest is not None and gaps_m[position][nearest] < _MATCH_M:
                free.remove(nearest)
                seen.append((boundary, nearest, gaps_m[position][nearest]))
            else:
                boundary.miss(1.0)
        if fitted and seen:
            state, cov = np.stack([b.coeff for b, *_ in seen]), np.stack([b.cov for b, *_ in seen])
            rows = [k for _, k, _ in seen]
            # What lies far from where it was expected is likelier a wrong fit than a sudden move: Cauchy's weight.
            doubt = 1 + (np.array([gap for *_, gap in seen]) / EVEN_UNREST_M) ** 2
            new = fused(state, cov, fitted.coeff[rows], doubt[:, None, None] * fitted.cov[rows])
            for (boundary, k, gap), coeff, spread in zip(seen, *new, strict=True):
                boundary.update(coeff, spread, fitted.looks[k], gap)
        self._shape = fitted.shape if fitted else None
        if fitted:
            for k in free:
                look = fitted.looks[k]
                trust = _NEWCOMER_SHARE if self._settled else 1.0
                self._boundaries.append(BoundaryFilter(fitted.coeff[k], fitted.cov[k], look, trust * look.score))
        kept: list[BoundaryFilter] = []
        for boundary in sorted(self._boundaries, key=lambda b: -b.score - min(b.seen_s, 1.0)):
            fresh = boundary.unseen_s < _FORGET_S and boundary.score > 0.5 * self.config.min_score
            if fresh and all(abs(boundary.coeff[0] - other.coeff[0]) > _DUPLICATE_M for other in kept):
                kept.append(boundary)
        self._boundaries = sorted(kept, key=lambda b: -b.coeff[0])
        self._settled = True

    def _choose_ego(self) -> None:
        base = np.array([b.coeff[0] for b in self._boundaries])
        score = np.array([b.score for b in self._boundaries])
        left, right, _ = pick_ego(Candidates(base, 0.3 * score, score), self._width_m)
        self._left = None if left is None else self._boundaries[left]
        self._right = None if right is None else self._boundaries[right]
        if self._left and self._right:
            width = float(self._left.coeff[0] - self._right.coeff[0])
            before = width if self._width_m is None else self._width_m
            self._width_m = before + _WIDTH_GAIN * (width - before)

    # -- what is told -------------------------------------------------------------------------------------------

    def _report(self, t_s: float) -> Lanes:
        told = [b for b in self._boundaries if b.score >= self.config.min_score]
        left = _public(self._left) if self._left in told else None
        right = _public(self._right) if self._right in told else None
        # Beside a lane that is not believed itself there is none to believe: house fronts, pavements.
        known = max((b.score for b in (left, right) if b is not None), default=0.0)
        most = 1.0 if known >= BELIEVED_SCORE else _NO_LANE_SCORE
        others = tuple(_public(b, most) for b in self._further(told))
        lanes = _with_pose(Lanes(left, right, others), self._shape)
        if math.isnan(lanes.offset_m):
            self._status_memory.clear()
            return lanes
        return replace(lanes, status=lane_status(self._status_memory, t_s, lanes))

    def _further(self, told: list[BoundaryFilter]) -> list[BoundaryFilter]:
        """Boundaries beside the ego pair, left to right, with room for a lane between any two: the surer one stays."""
        kept = [b for b in (self._left, self._right) if b is not None]
        for boundary in sorted(told, key=lambda b: -b.score):
            if all(abs(boundary.coeff[0] - other.coeff[0]) > _APART_M for other in kept):
                kept.append(boundary)
        further = [b for b in kept if b is not self._left and b is not self._right]
        return sorted(further, key=lambda b: -b.coeff[0])


def _gaps_m(boundaries: list[BoundaryFilter], coeff: np.ndarray) -> list[list[float]]:
    """How far each of B boundaries is from each of K curves (K, 4), on the mean at some distances: B lists of K."""
    apart = coeff - np.array([boundary.coeff for boundary in boundaries])[:, None]
    gaps_m: list[list[float]] = np.abs(apart @ _MATCH_POWERS).mean(axis=-1).tolist()
    return gaps_m


def _public(boundary: BoundaryFilter | None, most: float = 1.0) -> LaneBoundary:
    assert boundary is not None
    kind, colour = boundary.most(_KINDS), boundary.most(_COLOURS)
    score = min(max(boundary.score, 0.0), most)
    return LaneBoundary(boundary.coeff, boundary.cov, boundary.look.x_range_m, kind, score, colour)


def _with_pose(lanes: Lanes, shape: Shape | None) -> Lanes:
    """Width, offset, heading and curvature at the vehicle, from the ego pair; heading and curvature from one side too.

    Only what is believed counts: where one side is a guess, the lane has one boundary, and neither width nor offset. A
    pitch error makes the pair's slopes differ; what is taken at the vehicle's own path (y = 0 between them) is free of
    it, and one side's slope is freed of what the shape says of it.
    """
    left, right = (
        side if side is not None and side.score >= BELIEVED_SCORE else None for side in (lanes.left, lanes.right)
    )
    if left is None or right is None:
        one = left or right
        return lanes if one is None else _with_direction(lanes, one, shape)
    c, d = left.coeff.tolist(), right.coeff.tolist()
    width = c[0] - d[0]
    share = min(max(-d[0] / width, 0.0), 1.0) if width > 0.1 else 0.5
    slope = share * c[1] + (1 - share) * d[1]
    bend = share * c[2] + (1 - share) * d[2]
    sigma = math.sqrt(share * share * float(left.cov[2, 2]) + (1 - share) ** 2 * float(right.cov[2, 2]))
    cosine = 1 / math.hypot(1.0, slope)
    return replace(
        lanes,
        width_m=width * cosine,
        offset_m=-0.5 * (c[0] + d[0]) * cosine,
        heading_rad=-math.atan(slope),
        curvature_pm=2 * bend * cosine**3,
        curvature_sigma_pm=2 * sigma,
    )


def _with_direction(lanes: Lanes, one: LaneBoundary, shape: Shape | None) -> Lanes:
    """Heading and curvature from one boundary."""
    base, slope, bend, _ = one.coeff.tolist()
    slope -= base * (shape.spread if shape else 0.0)
    return replace(
        lanes,
        heading_rad=-math.atan(slope),
        curvature_pm=2 * bend / math.hypot(1.0, slope) ** 3,
        curvature_sigma_pm=2 * math.sqrt(float(one.cov[2, 2])),
    )


def _covering_boxes(detections: Detections) -> np.ndarray:
    """(B, 4) boxes of what stands on the road, a little larger."""
    sure = _COVERING[detections.class_id] & (detections.score >= _COVERING_SCORE)
    boxes = detections.xyxy_px[sure].astype(float)
    grow = _BOX_MARGIN * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - grow, boxes[:, 2:] + grow], axis=1)
