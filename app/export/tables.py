"""The rows of CSV and Parquet: tracks, frames and events, units in the names of the columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from app.export.base import finite
from app.types import FrameResult
from perception.types import CLASSES, LaneBoundary
from tracking.types import TrackState

_BOUNDARY = ("c0_m", "c1", "c2_pm", "c3_pm2", "from_m", "to_m", "score", "kind")
TRACK_COLUMNS = (
    "frame", "t_s", "track_id", "class", "state", "score",
    "left_px", "top_px", "right_px", "bottom_px",
    "x_m", "y_m", "sigma_x_m", "sigma_y_m", "vx_mps", "vy_mps", "velocity_over_ground",
    "height_m", "width_m", "length_m", "yaw_rad",
    "ttc_s", "ttc_low_s", "ttc_high_s", "age_s", "unseen_s",
)  # fmt: skip
FRAME_COLUMNS = (
    "frame", "t_s", "ego_speed_mps", "ego_speed_sigma_mps", "ego_yaw_rate_radps",
    "lane_width_m", "lane_offset_m", "lane_heading_rad", "lane_curvature_pm", "lane_status",
    *(f"{side}_{name}" for side in ("left", "right") for name in _BOUNDARY),
    "camera_height_m", "camera_pitch_rad", "camera_yaw_rad", "camera_roll_rad", "calibration", "objects", "detections",
)  # fmt: skip
EVENT_COLUMNS = ("frame", "t_s", "kind", "phase", "since_s", "track_id", "value", "text")
TABLES: dict[str, Sequence[str]] = {"tracks": TRACK_COLUMNS, "frames": FRAME_COLUMNS, "events": EVENT_COLUMNS}
"""Name of each table and its columns."""

WHOLE = frozenset({"frame", "track_id", "objects", "detections"})
TRUTHS = frozenset({"velocity_over_ground"})
TEXTS = frozenset({"class", "state", "lane_status", "calibration", "left_kind", "right_kind", "kind", "phase", "text"})
"""Columns of whole numbers, truths and texts; all others are real numbers."""


def rows(table: str, result: FrameResult) -> Iterator[dict[str, Any]]:
    """Rows of one frame; what is not finite is None."""
    columns = TABLES[table]
    for values in _ROWS[table](result):
        yield dict(zip(columns, map(finite, values), strict=True))


def _track_rows(result: FrameResult) -> Iterator[tuple[Any, ...]]:
    """One a track."""
    tracks = result.tracks
    sigma = np.sqrt(np.maximum(np.diagonal(tracks.cov, axis1=1, axis2=2), 0.0))
    for row in range(len(tracks)):
        yield (
            result.index, result.t_s, int(tracks.track_id[row]), CLASSES[tracks.class_id[row]],
            TrackState(tracks.state[row]).name.lower(), float(tracks.score[row]),
            *tracks.xyxy_px[row].tolist(), *tracks.xy_m[row].tolist(), *sigma[row, :2].tolist(),
            *tracks.v_mps[row].tolist(), bool(tracks.absolute[row]), *tracks.size_m[row].tolist(),
            float(tracks.yaw_rad[row]), float(tracks.ttc_s[row]), float(tracks.ttc_low_s[row]),
            float(tracks.ttc_high_s[row]), float(tracks.age_s[row]), float(tracks.unseen_s[row]),
        )  # fmt: skip


def _frame_rows(result: FrameResult) -> Iterator[tuple[Any, ...]]:
    """One a frame."""
    ego, lanes, pose = result.ego, result.lanes, result.pose
    yield (
        result.index, result.t_s, ego.speed_mps, ego.speed_sigma_mps, ego.yaw_rate_radps,
        lanes.width_m, lanes.offset_m, lanes.heading_rad, lanes.curvature_pm, lanes.status.value,
        *_boundary(lanes.left), *_boundary(lanes.right),
        pose.height_m, pose.pitch_rad, pose.yaw_rad, pose.roll_rad, pose.state,
        len(result.tracks), len(result.detections),
    )  # fmt: skip


def _boundary(boundary: LaneBoundary | None) -> tuple[Any, ...]:
    if boundary is None:
        return (None,) * len(_BOUNDARY)
    coeff = [*boundary.coeff.tolist(), 0.0][:4]  # a parabola has no cubic part
    return (*coeff, *map(float, boundary.x_range_m), float(boundary.score), boundary.kind)


def _event_rows(result: FrameResult) -> Iterator[tuple[Any, ...]]:
    """One a beginning and one an end."""
    for event in result.events:
        if event.phase != "active":
            place = (event.since_s, event.track_id, event.value, event.text)
            yield (result.index, event.t_s, event.kind.value, event.phase, *place)


_ROWS = {"tracks": _track_rows, "frames": _frame_rows, "events": _event_rows}
