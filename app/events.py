"""Warnings from tracks and lanes: physical thresholds, with hysteresis in seconds so that nothing flickers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from app.types import CameraPose, Event, EventKind
from perception.types import CLASSES, ON_ROAD, Lanes
from tracking.lane_position import LanePositions, lane_positions
from tracking.types import EgoMotion, Tracks, TrackState

_Key = tuple[EventKind, int]
_CAR_WIDTH_M = 1.8  # of a mid-size car, where the width is unknown


@dataclass(frozen=True)
class EventConfig:
    """When to warn.

    Attributes:
        collision_ttc_s: NHTSA's NCAP forward-collision test wants the warning by 2.4 s to collision with a braking
            lead vehicle, 2.1 s with a standing one; 0.3 s are added for the time that confirmation takes.
        collision_release_s: the warning goes on until the time to collision is above this.
        headway_s: gap over own speed; under 0.9 s is fined in Germany (BKatV 12), 2 s are taught everywhere.
        headway_min_speed_mps: 30 km/h: closer in slow traffic is normal.
        departure_s: time to line crossing; ISO 17361 allows a warning from 0.75 m before the line on.
        departure_min_speed_mps: 40 km/h, where the speed is known.
        cut_in_range_m, cut_in_depth_m: how near, and how far over the line, a vehicle from the next lane counts.
        half_width_m: half the own vehicle's width (1.8 m, a mid-size car).
        confirm_s, release_s: a condition must hold, and be gone, for this long.
    """

    collision_ttc_s: float = 2.7
    collision_release_s: float = 3.5
    headway_s: float = 0.9
    headway_release_s: float = 1.1
    headway_min_speed_mps: float = 8.3
    departure_s: float = 0.6
    departure_release_s: float = 1.2
    departure_min_speed_mps: float = 11.0
    cut_in_range_m: float = 45.0
    cut_in_depth_m: float = 0.2
    cut_in_memory_s: float = 3.0
    half_width_m: float = 0.9
    confirm_s: float = 0.2
    release_s: float = 0.5


@dataclass(frozen=True)
class _Condition:
    """One thing to watch this frame: ``starts`` begins an event, ``holds`` keeps a begun one alive."""

    key: _Key
    starts: bool
    holds: bool
    value: float
    text: str


_CYCLES = np.array([name in ("rider", "bicycle") for name in CLASSES])
_DRIVES = np.array([ON_ROAD[index] and name != "person" for index, name in enumerate(CLASSES)])


@dataclass
class _Live:
    """A condition seen: since when, when last, what was said, whether it was announced."""

    since_s: float
    last_s: float
    value: float
    text: str
    announced: bool = False


class EventDetector:
    """Turns the tracks and lanes of each frame into events that start, go on and end."""

    def __init__(self, config: EventConfig | None = None) -> None:
        self.config = config or EventConfig()
        self._live: dict[_Key, _Live] = {}
        # by track: when it was beside the ego lane, and beyond which line (0 left, 1 right)
        self._outside: dict[int, tuple[float, int]] = {}
        self._line_distances: deque[tuple[float, float, float]] = deque(maxlen=64)
        self._pose_state = ""

    def step(
        self, t_s: float, tracks: Tracks, lanes: Lanes, ego: EgoMotion, pose: CameraPose | None = None
    ) -> tuple[Event, ...]:
        """Events of one frame; ``t_s`` must not run back."""
        watched = (tracks.state != TrackState.TENTATIVE) & ON_ROAD[tracks.class_id]
        tracks = tracks if watched.all() else tracks[watched]
        places = lane_positions(tracks.xy_m, lanes, path_curvature_pm=ego.path_curvature_pm)
        conditions = [
            *self._collisions(tracks, places),
            *self._headway(tracks, places, ego),
            *self._departures(t_s, lanes, ego),
            *self._cut_ins(t_s, tracks, places),
        ]
        return (*self._advance(t_s, conditions), *self._calibration(t_s, pose))

    # -- conditions -------------------------------------------------------------------------------------------

    def _in_path(self, tracks: Tracks, places: LanePositions) -> np.ndarray:
        """(N,) bool: ahead, and sharing some width with the way the own vehicle takes."""
        reach_m = self.config.half_width_m + _known(tracks.size_m[:, 1], 0.0) / 2
        return (tracks.xy_m[:, 0] > 0) & (np.abs(places.offset_m) < reach_m)

    def _collisions(self, tracks: Tracks, places: LanePositions) -> Iterator[_Condition]:
        soon = self._in_path(tracks, places) & (tracks.ttc_s < self.config.collision_release_s)
        for row in np.flatnonzero(soon):
            ttc_s = float(tracks.ttc_s[row])
            what = CLASSES[tracks.class_id[row]]
            yield _Condition(
                (EventKind.FORWARD_COLLISION, int(tracks.track_id[row])),
                ttc_s < self.config.collision_ttc_s,
                True,
                ttc_s,
                f"{what} ahead: {ttc_s:.1f} s to collision",
            )

    def _headway(self, tracks: Tracks, places: LanePositions, ego: EgoMotion) -> Iterator[_Condition]:
        if not ego.speed_mps >= self.config.headway_min_speed_mps:  # NaN: the speed is not known
            return
        gap_m = np.where(self._in_path(tracks, places), tracks.xy_m[:, 0], np.inf)
        if not len(gap_m) or not np.isfinite(gap_m.min()):
            return
        lead = int(np.argmin(gap_m))
        headway_s = float(gap_m[lead] / ego.speed_mps)
        yield _Condition(
            (EventKind.HEADWAY, int(tracks.track_id[lead])),
            headway_s < self.config.headway_s,
            headway_s < self.config.headway_release_s,
            headway_s,
            f"headway {headway_s:.1f} s",
        )

    def _departures(self, t_s: float, lanes: Lanes, ego: EgoMotion) -> Iterator[_Condition]:
        known = lanes.left is not None and lanes.right is not None and np.isfinite(lanes.offset_m)
        if not known or ego.speed_mps < self.config.departure_min_speed_mps:
            self._line_distances.clear()
            return
        assert lanes.left is not None and lanes.right is not None
        left_m = float(lanes.left.y_m(0.0)) - self.config.half_width_m
        right_m = -float(lanes.right.y_m(0.0)) - self.config.half_width_m
        if self._line_distances and abs(left_m - self._line_distances[-1][1]) > 1.0:
            self._line_distances.clear()  # the ego lane is another one now
        self._line_distances.append((t_s, left_m, right_m))
        rates = self._approach_rates(t_s)
        for side, distance_m, rate_mps in (("left", left_m, rates[0]), ("right", right_m, rates[1])):
            crossing_s = max(distance_m, 0.0) / rate_mps if rate_mps > 0.1 else np.inf
            yield _Condition(
                (EventKind.LANE_DEPARTURE, 1 if side == "left" else -1),
                crossing_s < self.config.departure_s,
                crossing_s < self.config.departure_release_s or distance_m < 0.0,
                float(crossing_s),
                f"leaving the lane to the {side}",
            )

    def _approach_rates(self, t_s: float) -> tuple[float, float]:
        """How fast the left and the right line come nearer, metres a second: slope over the last 0.6 s."""
        recent = [row for row in self._line_distances if t_s - row[0] <= 0.6]
        if len(recent) < 3 or recent[-1][0] - recent[0][0] < 0.25:
            return 0.0, 0.0
        middle_s = sum(row[0] for row in recent) / len(recent)
        times = [row[0] - middle_s for row in recent]
        left, right = (sum(time * row[k] for time, row in zip(times, recent, strict=True)) for k in (1, 2))
        square = sum(time * time for time in times)
        return -left / square, -right / square

    def _cut_ins(self, t_s: float, tracks: Tracks, places: LanePositions) -> Iterator[_Condition]:
        """A vehicle seen wholly beside a line of the ego lane a moment ago that is partly over it now, close ahead.

        The line itself must be seen, then and now: where it is only guessed from a usual width, a lane that seems to
        widen would put the neighbours of a traffic jam into ours. Cyclists ride on the line and are narrow: a wrong
        place of a few decimetres would take them over it, so they must be seen to move into the lane as well.
        """
        half_m = _known(tracks.size_m[:, 1], _CAR_WIDTH_M) / 2
        near = (tracks.xy_m[:, 0] > 0) & (tracks.xy_m[:, 0] < self.config.cut_in_range_m) & _DRIVES[tracks.class_id]
        # how far over the left and the right line each one is, in metres; negative beside it
        over_m = half_m[:, None] + (places.line_m - tracks.xy_m[:, 1:]) * (1.0, -1.0)
        for row, column in zip(*np.nonzero(near[:, None] & (over_m <= 0.0)), strict=True):
            self._outside[int(tracks.track_id[row])] = (t_s, int(column))
        self._outside = {k: v for k, v in self._outside.items() if t_s - v[0] <= self.config.cut_in_memory_s}
        for row in np.flatnonzero(near):
            track_id = int(tracks.track_id[row])
            _, column = self._outside.get(track_id, (0.0, -1))
            if column >= 0 and over_m[row, column] > 0.0:
                distance_m, side = float(tracks.xy_m[row, 0]), ("left", "right")[column]
                text = f"{CLASSES[tracks.class_id[row]]} cuts in from the {side} at {distance_m:.0f} m"
                starts = bool(over_m[row, column] > self.config.cut_in_depth_m)
                if _CYCLES[tracks.class_id[row]]:
                    inwards_mps = float(tracks.v_mps[row, 1]) * (-1.0, 1.0)[column]
                    starts &= inwards_mps > math.sqrt(tracks.cov[row, 3, 3])
                yield _Condition((EventKind.CUT_IN, track_id), starts, True, distance_m, text)

    def _calibration(self, t_s: float, pose: CameraPose | None) -> Iterator[Event]:
        if pose is None or pose.state == self._pose_state:
            return
        if self._pose_state:
            text = f"calibration: {self._pose_state} -> {pose.state}"
            yield Event(EventKind.CALIBRATION, "start", t_s, t_s, text=text)
        self._pose_state = pose.state

    # -- hysteresis -------------------------------------------------------------------------------------------

    def _advance(self, t_s: float, conditions: list[_Condition]) -> Iterator[Event]:
        for condition in conditions:
            live = self._live.get(condition.key)
            if live is None:
                if condition.starts:
                    self._live[condition.key] = _Live(t_s, t_s, condition.value, condition.text)
            elif condition.starts or (live.announced and condition.holds):
                live.last_s, live.value, live.text = t_s, condition.value, condition.text
        for key, live in list(self._live.items()):
            patience_s = self.config.release_s if live.announced else 0.0
            if t_s - live.last_s > patience_s:
                del self._live[key]
                if live.announced:
                    yield self._event(key, "end", t_s, live)
            elif live.announced:
                yield self._event(key, "active", t_s, live)
            elif t_s - live.since_s >= self.config.confirm_s:
                live.announced = True
                yield self._event(key, "start", t_s, live)

    @staticmethod
    def _event(key: _Key, phase: str, t_s: float, live: _Live) -> Event:
        kind, number = key
        track_id = 0 if kind is EventKind.LANE_DEPARTURE else number
        return Event(kind, phase, t_s, live.since_s, track_id, live.value, live.text)  # type: ignore[arg-type]


def _known(values: np.ndarray, otherwise: float) -> np.ndarray:
    """(N,) numbers, another one for those that are unknown: a fifth of the time of ``nan_to_num``."""
    return np.where(np.isnan(values), otherwise, values)
