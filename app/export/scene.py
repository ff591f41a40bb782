"""What MCAP and rerun show alike of a frame."""

from __future__ import annotations

import numpy as np

from app.palette import EGO_LANE, OTHER_LANE
from app.types import FrameResult
from perception.types import CLASSES, LaneBoundary
from tracking.types import Tracks

_LANE_STEP_M = 2.0


def lane_points(boundary: LaneBoundary) -> np.ndarray:
    """(K, 2) vehicle metres along a boundary, where there is evidence of it."""
    near_m, far_m = boundary.x_range_m
    x_m = np.linspace(near_m, far_m, max(2, int((far_m - near_m) / _LANE_STEP_M)))
    return np.stack([x_m, boundary.y_m(x_m)], axis=-1)


def lane_colour(result: FrameResult, boundary: LaneBoundary) -> str:
    """Hex colour of a boundary: the ego pair has its own."""
    return EGO_LANE if boundary is result.lanes.left or boundary is result.lanes.right else OTHER_LANE


def label(tracks: Tracks, row: int) -> str:
    """``car 7: 23.4 m ±0.8``."""
    text = f"{CLASSES[tracks.class_id[row]]} {tracks.track_id[row]}"
    x_m, variance = tracks.xy_m[row, 0], tracks.cov[row, 0, 0]
    return f"{text}: {x_m:.1f} m ±{np.sqrt(max(variance, 0.0)):.1f}" if np.isfinite([x_m, variance]).all() else text
