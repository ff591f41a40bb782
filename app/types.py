"""FrameResult: everything roadlens says of one frame. Numbers only, no picture; one JSON line each."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from geometry.types import GroundPoints
from perception.types import Detections, Lanes
from tracking.types import EgoMotion, Tracks

NAN = float("nan")


class EventKind(enum.StrEnum):
    """What roadlens warns of or notes."""

    FORWARD_COLLISION = "forward collision"
    HEADWAY = "headway"
    LANE_DEPARTURE = "lane departure"
    CUT_IN = "cut-in"
    CALIBRATION = "calibration"


_URGENCY = (
    EventKind.FORWARD_COLLISION,
    EventKind.HEADWAY,
    EventKind.CUT_IN,
    EventKind.LANE_DEPARTURE,
    EventKind.CALIBRATION,
)


@dataclass(frozen=True)
class Event:
    """Something that began, goes on or ended: ``phase`` says which; ``track_id`` is 0 where no object is meant."""

    kind: EventKind
    phase: Literal["start", "active", "end"]
    t_s: float
    since_s: float
    track_id: int = 0
    value: float = NAN
    text: str = ""


def going_on(events: Sequence[Event]) -> list[Event]:
    """Events that have not ended, the most urgent first: a screen has room for one."""
    return sorted((event for event in events if event.phase != "end"), key=lambda event: _URGENCY.index(event.kind))


@dataclass(frozen=True)
class CameraPose:
    """The mount believed at this frame (radians, metres) and how far its estimation is.

    ``state``: fixed (the profile's), uncalibrated, calibrating, calibrated or invalid; ``progress`` 0 to 1.
    """

    height_m: float
    pitch_rad: float
    yaw_rad: float
    roll_rad: float
    state: Literal["fixed", "uncalibrated", "calibrating", "calibrated", "invalid"] = "fixed"
    progress: float = 1.0
    horizon_y_px: float = NAN


@dataclass(frozen=True, eq=False)
class FrameResult:
    """All that is known at one frame; ``ranges`` has one row per detection; ``stage_ms`` the time of each stage."""

    index: int
    t_s: float
    detections: Detections
    ranges: GroundPoints
    tracks: Tracks
    lanes: Lanes
    ego: EgoMotion
    pose: CameraPose
    events: tuple[Event, ...] = ()
    stage_ms: dict[str, float] = field(default_factory=dict)
