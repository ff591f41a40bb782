"""What a report says of a run, gathered in one pass over a record of any length."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from app.events import EventConfig
from app.player.data import FRAME_LIMIT
from app.record import Header, Recording, Run
from app.summary import Tally
from app.types import Event, EventKind, FrameResult
from perception.types import CLASSES, ON_ROAD
from tracking.lane_position import lane_positions
from tracking.types import Tracks, TrackState

# How bad a warning is: by its kind first, then by its value against the limit of app.events at which it begins.
_BADNESS = {
    EventKind.FORWARD_COLLISION: (0.0, 2.7),
    EventKind.HEADWAY: (0.5, 0.9),
    EventKind.CUT_IN: (0.6, 45.0),
    EventKind.LANE_DEPARTURE: (0.7, 0.6),
}
Line = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Times, values and standard deviations (NaN without) of one line of a plot."""


def badness(kind: EventKind, value: float) -> float:
    """How bad a warning's value is, to compare warnings of different kinds: small is bad."""
    start, limit = _BADNESS[kind]
    return start + (value / limit if math.isfinite(value) else 1.0)


@dataclass
class Moment:
    """An event from its beginning to its end, and the frame at which it was worst."""

    kind: EventKind
    track_id: int
    start_s: float
    end_s: float
    worst: Event
    at: FrameResult


@dataclass
class Gathered:
    """All that is shown of a run.

    Attributes:
        run: the record thinned to what the player takes, no event lost.
        moments: events in the order of their beginnings, calibration left out.
        calibration: seconds spent in each state of the mount's calibration; ``pose`` the last one believed.
        missing: frames that lie between the first and the last index and are not in the record.
    """

    header: Header
    run: Run
    tally: Tally = field(default_factory=Tally)
    moments: list[Moment] = field(default_factory=list)
    notes: list[Event] = field(default_factory=list)
    calibration: dict[str, float] = field(default_factory=dict)
    missing: int = 0
    distances: dict[str, Line] = field(default_factory=dict)
    series: dict[str, Line] = field(default_factory=dict)

    @property
    def worst(self) -> list[Moment]:
        """Moments, the worst first."""
        return sorted(self.moments, key=lambda moment: badness(moment.kind, moment.worst.value))


def gather(
    recording: Recording, frames: int, *, tracks: int = 7, on_frame: Callable[[int], None] = lambda done: None
) -> Gathered:
    """Goes through a record once.

    Args:
        frames: how many it has.
        on_frame: told how many were read.
        tracks: of so many tracks distances are shown: those warned of first, then those that come nearest.
    """
    pass_ = _Pass(max(1, math.ceil(frames / FRAME_LIMIT)))
    for done, result in enumerate(recording.results, 1):
        pass_.add(result)
        on_frame(done)
    return pass_.gathered(recording, tracks)


def _in_path(result: FrameResult, tracks: Tracks) -> np.ndarray:
    """(N,) bool: ahead, and less beside the way the vehicle takes than half of both widths, as warnings have it."""
    places = lane_positions(tracks.xy_m, result.lanes, path_curvature_pm=result.ego.path_curvature_pm)
    reach_m = EventConfig().half_width_m + np.nan_to_num(tracks.size_m[:, 1]) / 2
    return (tracks.xy_m[:, 0] > 0) & (np.abs(places.offset_m) < reach_m)


class _Pass:
    def __init__(self, every: int) -> None:
        self.every = every
        self.tally = Tally()
        self.kept: list[FrameResult] = []
        self.moments: list[Moment] = []
        self.notes: list[Event] = []
        self._open: dict[tuple[EventKind, int, float], Moment] = {}
        self._events: list[Event] = []  # of frames left out, for the next one that is kept
        self._states: Counter[str] = Counter()
        self._last: FrameResult | None = None
        self._step = math.inf
        self._indices: list[int] = []
        self._scalars: list[tuple[float, ...]] = []
        self._tracks: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
        self._names: dict[int, str] = {}

    def add(self, result: FrameResult) -> None:
        if self._last is not None:
            self._states[result.pose.state] += round((result.t_s - self._last.t_s) * 1e6)
            self._step = min(self._step, result.index - self._last.index)
            self._indices.append(result.index - self._last.index)
        self._last = result
        self.tally.add(result)
        self._follow(result)
        self._events += result.events
        if (self.tally.frames - 1) % self.every == 0:
            self.kept.append(replace(result, events=tuple(self._events)))
            self._events = []
            self._draw(result)

    def _follow(self, result: FrameResult) -> None:
        for event in result.events:
            if event.kind is EventKind.CALIBRATION:
                self.notes.append(event)
                continue
            key = (event.kind, event.track_id, event.since_s)
            moment = self._open.get(key)
            if moment is None:
                moment = self._open[key] = Moment(event.kind, event.track_id, event.t_s, event.t_s, event, result)
                self.moments.append(moment)
            moment.end_s = event.t_s
            if event.phase != "end" and event.value < moment.worst.value:
                moment.worst, moment.at = event, result
            if event.phase == "end":
                del self._open[key]

    def _draw(self, result: FrameResult) -> None:
        ego, lanes = result.ego, result.lanes
        tracks = result.tracks[(result.tracks.state == TrackState.CONFIRMED) & ON_ROAD[result.tracks.class_id]]
        ttc = tracks.ttc_s[_in_path(result, tracks)]
        ttc_s = float(np.nanmin(ttc)) if np.isfinite(ttc).any() else math.nan
        offset_sigma_m = math.nan
        if lanes.left is not None and lanes.right is not None:
            offset_sigma_m = math.sqrt(max(lanes.left.cov[0, 0] + lanes.right.cov[0, 0], 0.0)) / 2
        self._scalars.append(
            (result.t_s, 3.6 * ego.speed_mps, 3.6 * ego.speed_sigma_mps, lanes.offset_m, offset_sigma_m, ttc_s)
        )
        sigma_m = np.sqrt(np.maximum(tracks.cov[:, 0, 0], 0.0))
        for number, class_id, x_m, s_m in zip(
            tracks.track_id.tolist(),
            tracks.class_id.tolist(),
            tracks.xy_m[:, 0].tolist(),
            sigma_m.tolist(),
            strict=True,
        ):
            if math.isfinite(x_m):
                self._tracks[number].append((result.t_s, x_m, s_m))
                self._names[number] = CLASSES[class_id]

    def gathered(self, recording: Recording, tracks: int) -> Gathered:
        t_s, speed, speed_sigma, offset, offset_sigma, ttc = np.array(self._scalars).reshape(-1, 6).T
        none = np.full(len(t_s), np.nan)
        warned = {moment.track_id for moment in self.moments}
        order = {n: (n not in warned, min(x_m for _, x_m, _ in seen)) for n, seen in self._tracks.items()}
        nearest = sorted(order, key=order.__getitem__)[:tracks]
        lines: dict[str, Any] = {f"{self._names[n]} {n}": tuple(np.array(self._tracks[n]).T) for n in nearest}
        missing = sum(round(step / self._step) - 1 for step in self._indices) if self._indices else 0
        return Gathered(
            header=recording.header,
            run=Run(recording.header, tuple(self.kept), partial=recording.partial, folder=recording.folder),
            tally=self.tally,
            moments=self.moments,
            notes=self.notes,
            calibration={state: us / 1e6 for state, us in self._states.items()},
            missing=missing,
            distances=lines,
            series={
                "speed": (t_s, speed, speed_sigma),
                "offset": (t_s, offset, offset_sigma),
                "ttc": (t_s, ttc, none),
            },
        )
