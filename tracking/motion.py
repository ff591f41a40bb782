"""Metric state of every track at once: position, velocity, size and heading, and the time to collision.

One filter, all tracks, no loop. A row is one body kind a track may be (a "car" may be a saloon or a van), with place,
velocity, the logarithms of its size and the road under it; the box's four edges are measured, so ground contact,
height, width, position against the horizon and change of scale all enter with the covariance they really have. Sizes
do not change, so what is learned of them while a track is near stays as it moves away. All rows share the pitch error
and the camera's height error (``tracking.shared_filter``): many objects together tell the road plane, and each track's
own size is told by the road under it. Causal: only past and present frames are used.
"""

from __future__ import annotations

import math

import numpy as np

from geometry.camera import Camera
from geometry.ground import BOTTOM, LEFT, RIGHT, TOP, BoxSlopes, box_slopes, lateral_position, on_wheels
from geometry.size_priors import size_priors
from geometry.types import GroundPoints
from perception.types import Lanes
from tracking.body_kind import BodyKinds
from tracking.box_model import (
    ACCELERATION,
    BEARING,
    LOG_CAMERA_HEIGHT,
    LOG_H,
    LOG_L,
    LOG_W,
    LOG_X,
    PITCH_MOUNT,
    PITCH_ROAD,
    RATE_X,
    RATE_Y,
    ROAD,
    SHARED,
    STATES,
    YAWS_RAD,
    Step,
    edges,
    move,
    sides,
    turns,
)
from tracking.classes import TWO_WHEELED
from tracking.collision import time_to_collision
from tracking.heading import heading_prior, likeliest, weigh_headings
from tracking.metric_measured import UNSEEN, measured_edges, measured_ranges, widened
from tracking.metric_rows import appended, begun, by_size, clear, empty, parts, picked, resize
from tracking.metric_state import MetricState, metric_state
from tracking.motion_config import MotionConfig
from tracking.own_road import OwnRoad
from tracking.road_direction import RoadAxes
from tracking.shared_filter import Measured, RowsGiven, Shared, predict_rows, predict_shared, surprise, update
from tracking.size import Joined, WidePrior, apply_priors, exchange_prior, wide_prior
from tracking.standing import CALM, OwnWay, Standing
from tracking.types import EgoMotion

__all__ = ["MetricFilter", "MetricState", "MotionConfig", "time_to_collision"]

_LAST_VEHICLE = 3  # car, truck, bus and train lead the vocabulary
_NEAREST_M, _FARTHEST_M = 0.5, 400.0
_SHRINK = math.log(0.3)  # to less than a third in one step: it passes the camera
_BESIDE = 5.0  # y/x: 79 degrees from straight ahead
_ANYWHERE = 1.0  # variance of log x
_IMPOSSIBLE = 3.5  # sigmas from every kind's height
_MEMORY = 6
_UNKNOWNS = SHARED + _MEMORY
_LASTING = 5  # updates in a row: votes that stand equal flicker, and each change lets go of what is known of the kind
_LOG_RANGE = (math.log(_NEAREST_M), math.log(_FARTHEST_M))


class MetricFilter:
    """Metric state per track; rows parallel the tracker's own arrays."""

    def __init__(self, config: MotionConfig | None = None) -> None:
        self.config = config = config or MotionConfig()
        self._rows = empty(_UNKNOWNS)
        self._log_yaw = np.empty((0, len(YAWS_RAD)))
        self._class_id = np.empty(0, np.int64)
        self._outvoted = np.empty(0, np.int64)  # updates in a row that named another class
        self._known = np.empty(0, bool)
        self._seen = np.empty(0, bool)
        self._road = OwnRoad(config)
        self._axes = RoadAxes()
        self._kinds = BodyKinds(config)
        self._standing = Standing()
        self._answer: Joined | None = None
        self._spread = np.array([config.mount_pitch_rad, config.road_pitch_rad, config.camera_height_rel, 1.0])
        self._shared = Shared(np.zeros(_UNKNOWNS), np.diag(np.concatenate([self._spread**2, np.ones(_MEMORY)])))
        self._ego = EgoMotion()
        self._lanes: Lanes | None = None
        self._last_speed_mps = math.nan
        self._dt_s = 0.0
        self._yaw_prior = heading_prior(config.aligned_share, config.across_share, config.aligned_rad)

    def __len__(self) -> int:
        return len(self._known)

    # -- time -------------------------------------------------------------------------------------------------

    def predict(self, dt_s: float, ego: EgoMotion | None = None, lanes: Lanes | None = None) -> None:
        """Move all rows on by dt_s, into the vehicle frame of the new instant; ``lanes`` are those seen there."""
        self._lanes = lanes
        self._last_speed_mps = self._ego.speed_mps
        self._ego = ego or EgoMotion()
        self._dt_s = dt_s
        if dt_s <= 0:
            return
        self._learn_roads(dt_s)
        self._kinds.predict(dt_s)
        config = self.config
        decay = np.exp(-dt_s / np.array([config.mount_s, config.road_pitch_s, config.mount_s, config.speed_s]))
        drift = self._spread**2 * (1 - decay**2)
        self._shared, rows = predict_shared(self._shared, self._rows, decay, drift, _MEMORY)
        step = self._step(dt_s)
        self._axes.predict(step.turn_rad, dt_s)
        mean, F = move(rows.mean, step, config.braking_s)
        self._rows = predict_rows(rows, mean, *self._drift(F, rows.mean, dt_s))
        self._lose(mean[:, LOG_X] - rows.mean[:, LOG_X])
        forget = min(1.0, dt_s / config.yaw_s)
        yaw = (1 - forget) * np.exp(self._log_yaw) + forget * self._yaw_prior
        self._log_yaw = np.log(yaw)

    def _learn_roads(self, dt_s: float) -> None:
        """From what was believed of the road under the objects of the last frame."""
        joined = self._joined()
        if joined is not None:
            fresh = self._seen[self._known]
            square = joined.mean[fresh, ROAD] ** 2 + joined.cov[fresh, ROAD, ROAD]
            known = np.flatnonzero(self._known)
            self._road.learn(known[fresh], self._rows, square, dt_s)
            self._move_priors(known, joined.kind_share)
            self._begin_anew(known, joined.mean[:, LOG_H])
        self._seen[:] = False
        self._answer = None

    def _move_priors(self, rows: np.ndarray, share: np.ndarray) -> None:
        """The wide priors of the sizes to where the likely body kinds are: exact, for a Gaussian's prior can be
        exchanged at any time."""
        push = self._kinds.recentred(rows, share, size_priors(self._class_id[rows]))
        sizes = slice(LOG_H, LOG_L + 1)
        step = self._shared.cov @ np.einsum("rsm,rs->m", self._rows.gain[rows, sizes], push)
        self._rows.mean[rows] += (self._rows.cov[rows][:, :, sizes] @ push[..., None])[..., 0]
        self._rows.mean[:] += self._rows.gain @ step
        self._shared = Shared(self._shared.mean + step, self._shared.cov)

    def _begin_anew(self, rows: np.ndarray, log_height: np.ndarray) -> None:
        """Forget all of the rows whose believed height no body of their class has: linearised at a wrong place, as by
        the first glimpse of a car that overtakes, a row can be sure of nonsense and would keep to it."""
        priors = size_priors(self._class_id[rows])
        apart = np.abs(log_height[:, None] - priors.log_hwl[..., 0]) / priors.spread[..., 0]
        wrong = rows[apart.min(axis=1) > _IMPOSSIBLE]
        if len(wrong):
            self._forget(wrong)

    def _forget(self, wrong: np.ndarray) -> None:
        """Rows of which nothing is known any more but their class."""
        clear(self._rows, wrong)
        self._known[wrong] = False
        sigma = wide_prior(size_priors(self._class_id[wrong])).sigma
        resize(self._rows, wrong, WidePrior(self._kinds.wide_mean(wrong), sigma))
        self._log_yaw[wrong] = np.log(self._yaw_prior)

    def _lose(self, grown: np.ndarray) -> None:
        """Forget the place, not the size, of rows that nobody sees and that pass the camera or may be anywhere."""
        mean, cov = self._rows.mean, self._rows.cov
        lost = (grown < _SHRINK) | (mean[:, LOG_X] < _LOG_RANGE[0]) | (mean[:, LOG_X] > _LOG_RANGE[1])
        lost |= (np.abs(mean[:, BEARING]) > _BESIDE) | ~(cov[:, LOG_X, LOG_X] < _ANYWHERE)
        self._known &= ~lost
        if lost.any():
            clear(self._rows, np.flatnonzero(lost))

    def _step(self, dt_s: float) -> Step:
        turn_rad, speed_mps = _or_zero(self._ego.yaw_rate_radps) * dt_s, self._ego.speed_mps
        faster = speed_mps - self._last_speed_mps
        aside = np.where(self._standing.still, _or_zero(speed_mps * math.sin(turn_rad)), 0.0)
        return Step(dt_s, turn_rad, _or_zero(faster), aside)

    def _drift(self, F: np.ndarray, mean: np.ndarray, dt_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Let the road under each object drift, and the noise of all states."""
        from tracking.box_kernels import drifted

        config, Q = self.config, np.zeros(F.shape)
        along, aside = (power**2 for power in config.acceleration_mps2)
        jerk = 2.0 * config.braking_mps2**2 / config.braking_s
        keep = math.exp(-dt_s / config.own_road_s)
        road_var = self._road.variance(slice(None), mean[:, LOG_X])
        lively = np.where(self._standing.still, CALM, 1.0)
        drifted(mean, road_var, lively, (dt_s, along, aside, jerk, keep, config.width_drift_rel**2 * dt_s), F, Q)
        return F, Q

    # -- objects ----------------------------------------------------------------------------------------------

    def birth(
        self, ranges: GroundPoints, xyxy_px: np.ndarray, class_id: np.ndarray, camera: Camera | None, t_s: float
    ) -> None:
        """Append one row per object, begun from its box alone."""
        ids = np.asarray(class_id, np.int64)
        count = len(ids)
        self._rows = appended(self._rows, begun(wide_prior(size_priors(ids)), _UNKNOWNS))
        self._log_yaw = np.concatenate([self._log_yaw, np.tile(np.log(self._yaw_prior), (count, 1))])
        self._class_id = np.concatenate([self._class_id, ids])
        self._outvoted = np.concatenate([self._outvoted, np.zeros(count, np.int64)])
        self._known = np.concatenate([self._known, np.zeros(count, bool)])
        self._seen = np.concatenate([self._seen, np.zeros(count, bool)])
        self._road.append(ids)
        self._axes.append(count)
        self._kinds.append(ids)
        self._standing.append(count)
        self.update(np.arange(len(self) - count, len(self)), ranges, xyxy_px, ids, camera, t_s)

    def update(
        self,
        rows: np.ndarray,
        ranges: GroundPoints,
        xyxy_px: np.ndarray,
        class_id: np.ndarray,
        camera: Camera | None,
        t_s: float,
    ) -> None:
        """Take in the matched objects of this frame, one per row of ``rows``; ``class_id`` are the voted classes."""
        rows = np.asarray(rows, np.int64)
        if camera is None or not len(rows):
            return
        boxes, hidden = on_wheels(xyxy_px, class_id)
        seen = box_slopes(camera, boxes, self.config.noise)
        if not self.config.whole:
            seen = seen.without(hidden)
        usable = seen.seen[:, BOTTOM] | (seen.seen[:, LEFT] & seen.seen[:, RIGHT])
        rows = rows[usable]
        if len(rows):
            seen = seen[usable]
            self._follow_votes(rows, np.asarray(class_id, np.int64)[usable], seen, camera)
            new = ~self._known[rows]
            if new.any():
                self._place(rows[new], seen[new], camera)
            self._measure(rows, seen, camera)
            self._measure_standing(rows, seen, camera)
            if self.config.measured_ranges:
                self._measure_ranges(rows, ranges[usable])
            self._seen[rows] = True
            self._answer = None

    def _follow_votes(self, rows: np.ndarray, class_id: np.ndarray, seen: BoxSlopes, camera: Camera) -> None:
        """Rows that have been voted another class for long get its sizes, and the road that all share what follows.

        A bicycle that was taken for its rider is another body: what was believed of size and place was linearised
        about the wrong one, so both are begun anew. A car that is called a truck is the same body.
        """
        self._outvoted[rows] = np.where(class_id != self._class_id[rows], self._outvoted[rows] + 1, 0)
        due = self._outvoted[rows] >= _LASTING
        if not due.any():
            return
        rows, class_id, seen = rows[due], class_id[due], seen[due]
        priors = size_priors(class_id)
        other = self._known[rows] & (TWO_WHEELED[class_id] != TWO_WHEELED[self._class_id[rows]])
        held = WidePrior(self._kinds.wide_mean(rows), wide_prior(size_priors(self._class_id[rows])).sigma)
        for k, row in enumerate(rows):
            self._shared = exchange_prior(self._shared, self._rows, int(row), held[k], wide_prior(priors)[k])
        self._class_id[rows], self._outvoted[rows] = class_id, 0
        self._kinds.change(rows, class_id)
        self._road.change(rows, class_id)
        if other.any():
            self._resize(rows[other], seen[other], camera)

    def _resize(self, rows: np.ndarray, seen: BoxSlopes, camera: Camera) -> None:
        """Size, place and road anew about the box; bearing and shares of the distance a second have no size in them."""
        part, moves = self._rows, np.array([BEARING, RATE_X, RATE_Y, ACCELERATION])
        row, block = np.ix_(rows, moves), np.ix_(rows, moves, moves)
        kept = part.mean[row], part.cov[block], part.gain[row]
        self._forget(rows)
        self._place(rows, seen, camera)
        part.mean[row], part.cov[block], part.gain[row] = kept

    def _place(self, rows: np.ndarray, seen: BoxSlopes, camera: Camera) -> None:
        """Diffuse places of rows seen for the first time, about where their size puts them."""
        mean, cov = self._rows.mean, self._rows.cov
        x_m = np.clip(by_size(seen, np.exp(mean[rows, LOG_H : LOG_L + 1]), camera.height_m), _NEAREST_M, _FARTHEST_M)
        y_m, _, _ = lateral_position(seen, x_m, size_priors(self._class_id[rows]))
        clear(self._rows, rows)
        mean[rows, LOG_X], mean[rows, BEARING] = np.log(x_m), y_m / x_m
        cov[rows, LOG_X, LOG_X] = 0.5**2
        self._road.forget(rows)
        self._standing.forget(rows)
        self._axes.place(rows, x_m, self._ego)
        cov[rows, ROAD, ROAD] = self._road.variance(rows, mean[rows, LOG_X])
        cov[rows, BEARING, BEARING] = (2.0 / x_m) ** 2
        cov[rows, ACCELERATION, ACCELERATION] = (self.config.braking_mps2 / x_m) ** 2
        cov[rows, RATE_X, RATE_X] = (self.config.speed_mps[0] / x_m) ** 2
        cov[rows, RATE_Y, RATE_Y] = (self.config.speed_mps[1] / x_m) ** 2
        self._known[rows] = True

    def _measure(self, rows: np.ndarray, seen: BoxSlopes, camera: Camera) -> None:
        part = picked(self._rows, rows)
        part.mean[:, LOG_X] = np.clip(part.mean[:, LOG_X], *_LOG_RANGE)
        x_m = np.exp(part.mean[:, LOG_X])
        self._axes.see(rows, np.stack([x_m, part.mean[:, BEARING] * x_m], axis=1), self._lanes)
        turned = turns(self._axes.rad[rows])
        log_yaw, side = self._log_yaw[rows], sides(part.mean, turned)
        share = weigh_headings(part, side, seen, (self.config.yaw_temper, self.config.yaw_now), log_yaw)
        expected = edges(part.mean, self._shared.mean, camera.height_m, share, (turned, side))
        bump = self.config.noise.road_m * np.exp(-part.mean[:, LOG_X])
        lifted = np.where(size_priors(self._class_id[rows]).grounded, bump, UNSEEN)
        measured = measured_edges(expected, seen, (self.config.turned_noise, lifted))
        wide = np.maximum(surprise(self._shared, part, measured) / self.config.gate, 1.0)
        self._log_yaw[rows] = log_yaw
        self._take_in(rows, part, widened(measured, wide))
        self._weigh_kinds(rows, seen, camera, turned)

    def _weigh_kinds(self, rows: np.ndarray, seen: BoxSlopes, camera: Camera, turned: np.ndarray) -> None:
        whole = seen.seen[:, TOP] & seen.seen[:, BOTTOM] & size_priors(self._class_id[rows]).grounded
        if not whole.any():
            return
        rows, seen = rows[whole], seen[whole]
        state, share = self._rows.mean[rows], np.exp(self._log_yaw[rows])
        along, aside = (share * np.abs(turned[:, whole])).sum(axis=2)
        depth_m = np.exp(state[:, LOG_L]) * along + np.exp(state[:, LOG_W]) * aside
        camera_m = camera.height_m * math.exp(self._shared.mean[LOG_CAMERA_HEIGHT])
        self._kinds.weigh(rows, seen, state, self._shared, (camera_m, depth_m))

    def _measure_standing(self, rows: np.ndarray, seen: BoxSlopes, camera: Camera) -> None:
        """Vehicles that stand pass by at the own speed."""
        vehicles = self._class_id[rows] <= _LAST_VEHICLE
        rows = rows[vehicles]
        boxes = seen[vehicles]
        part = picked(self._rows, rows)
        own = OwnWay(self._ego, self.config.flow_speed_rel, self._dt_s)
        passed = self._standing.see(rows, boxes, part, self._shared, own)
        still = self._standing.still[rows]
        if passed is not None and still.any():
            part = picked(part, still)
            self._take_in(rows[still], part, passed[still])
        gone = self._standing.drives_off[rows]
        if gone.any():
            self._forget(rows[gone])
            self._place(rows[gone], boxes[gone], camera)

    def _measure_ranges(self, rows: np.ndarray, ranges: GroundPoints) -> None:
        """Take in distances to the nearest faces that another sensor measured."""
        rows, xy_m, cov_m2 = rows[ranges.valid], ranges.xy_m[ranges.valid], ranges.cov_m2[ranges.valid]
        ahead = xy_m[:, 0] > _NEAREST_M
        rows, x_m, variance = rows[ahead], xy_m[ahead, 0], cov_m2[ahead, 0, 0]
        if not len(rows):
            return
        x_m = x_m + np.where(self._class_id[rows] <= _LAST_VEHICLE, self.config.overhang_m, 0.0)
        part = picked(self._rows, rows)
        seen = measured_ranges(part.mean, x_m, variance, _UNKNOWNS)
        wide = np.maximum(surprise(self._shared, part, seen) / self.config.gate, 1.0)
        self._take_in(rows, part, widened(seen, wide))

    def _take_in(self, rows: np.ndarray, part: RowsGiven, seen: Measured) -> None:
        """Update rows, the shared unknowns, and by them all other rows."""
        before = self._shared.mean
        self._shared, part = update(self._shared, part, seen)
        self._rows.mean[:] += self._rows.gain @ (self._shared.mean - before)
        for whole, new in zip(parts(self._rows), parts(part), strict=True):
            whole[rows] = new

    def keep(self, mask: np.ndarray) -> None:
        """Drop the rows where mask is False; what their sizes told of the road plane stays."""
        gone = ~np.asarray(mask, bool) & self._known
        if gone.any():
            before = self._shared.mean
            self._shared = self._join(np.flatnonzero(gone)).shared
            self._rows.mean[:] += self._rows.gain @ (self._shared.mean - before)
        self._rows = picked(self._rows, mask)
        for name in ("_log_yaw", "_known", "_seen", "_class_id", "_outvoted"):
            setattr(self, name, getattr(self, name)[mask])
        self._road.keep(mask)
        self._axes.keep(mask)
        self._kinds.keep(mask)
        self._standing.keep(mask)
        self._answer = None

    # -- answers ----------------------------------------------------------------------------------------------

    def _joined(self) -> Joined | None:
        """The known rows with the mixtures of body kinds in place; None where nothing is known."""
        known = self._known
        if self._answer is None and known.any():
            self._answer = self._join(np.flatnonzero(known))
        return self._answer

    def _join(self, at: np.ndarray) -> Joined:
        part, priors = picked(self._rows, at), size_priors(self._class_id[at])
        share = self._kinds.shares(at, part, self._shared, priors)
        return apply_priors(self._shared, part, priors, share, self._kinds.wide_mean(at))

    def state(self) -> MetricState:
        """All rows as of now."""
        mean, cov = np.zeros((len(self), STATES)), np.zeros((len(self), STATES, STATES))
        mean[:, LOG_H : LOG_L + 1] = size_priors(self._class_id).moments()[0]
        known = self._known
        joined = self._joined()
        if joined is not None:
            mean[known], cov[known] = joined.mean, joined.cov
            self.pitch_rad = joined.shared.mean[PITCH_MOUNT] + joined.shared.mean[PITCH_ROAD]
        overhang_m = np.where(self._class_id <= _LAST_VEHICLE, self.config.overhang_m, 0.0)
        return metric_state(mean, cov, known, overhang_m, likeliest(self._log_yaw, self._axes.rad), self._ego)


def _or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0
