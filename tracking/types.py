"""What tracking hands on: tracks and the vehicle's own motion. Checked once when made, immutable."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from geometry.types import Rows, frozen_array

NAN = float("nan")
LEAST_PATH_MPS = 2.0
"""Slower, the own path is taken as straight: a yaw rate that is wrong by 0.02 rad/s, as from optical flow in a jam,
would bend it by 1/100 m and more, two metres aside at 20 m."""


class TrackState(enum.IntEnum):
    """Life of a track: seen too seldom to be believed, believed and seen, believed but out of sight."""

    TENTATIVE = 0
    CONFIRMED = 1
    COASTING = 2


@dataclass(frozen=True, eq=False)
class EgoMotion:
    """The vehicle's own motion between the last frame and this one; NaN where unknown.

    Attributes:
        speed_mps: forward speed; ``speed_sigma_mps`` its standard deviation.
        yaw_rate_radps: positive to the left; ``yaw_rate_sigma_radps`` likewise.
        image_from_previous: (3, 3) homography that takes pixels of the last frame to this one (far scene).
        source: where the speed is from.
    """

    speed_mps: float = NAN
    speed_sigma_mps: float = NAN
    yaw_rate_radps: float = NAN
    yaw_rate_sigma_radps: float = NAN
    image_from_previous: np.ndarray | None = None
    source: Literal["none", "flow", "given"] = "none"

    @property
    def path_curvature_pm(self) -> float:
        """1/m of the vehicle's own path, positive to the left: yaw rate over speed. 0 (straight on) where one of them
        is unknown, and below ``LEAST_PATH_MPS``."""
        if not (self.speed_mps > LEAST_PATH_MPS and math.isfinite(self.yaw_rate_radps)):
            return 0.0
        return self.yaw_rate_radps / self.speed_mps


_COLUMNS: tuple[tuple[str, type, tuple[int, ...]], ...] = (
    ("track_id", np.int64, ()),
    ("class_id", np.int64, ()),
    ("state", np.int64, ()),
    ("score", np.float64, ()),
    ("xyxy_px", np.float64, (4,)),
    ("xy_m", np.float64, (2,)),
    ("v_mps", np.float64, (2,)),
    ("cov", np.float64, (4, 4)),
    ("size_m", np.float64, (3,)),
    ("yaw_rad", np.float64, ()),
    ("ttc_s", np.float64, ()),
    ("ttc_low_s", np.float64, ()),
    ("ttc_high_s", np.float64, ()),
    ("age_s", np.float64, ()),
    ("unseen_s", np.float64, ()),
    ("detection", np.int64, ()),
    ("absolute", np.bool_, ()),
)


@dataclass(frozen=True, eq=False)
class Tracks(Rows):
    """N tracks at one instant, one row each; metric columns are NaN where the camera cannot tell.

    Attributes:
        track_id: positive, never used twice in a run.
        class_id: voted class, index into ``perception.types.CLASSES``.
        state: ``TrackState``.
        score: last detection's score.
        xyxy_px: (N, 4) box; the filtered one while coasting.
        xy_m: (N, 2) nearest point of the object on the road: vehicle x (to its nearest face), y, metres.
        v_mps: (N, 2) velocity along vehicle x and y; over ground where ``absolute``, else relative to the vehicle.
        cov: (N, 4, 4) covariance of (x, y, vx, vy).
        size_m: (N, 3) height, width, length believed.
        yaw_rad: heading of the object in the vehicle frame.
        ttc_s: time to collision at the present relative motion, inf when opening; ttc_low_s and ttc_high_s bound
            its 68 % interval.
        age_s: since birth; unseen_s: since the last matched detection.
        detection: row of the matched detection of this frame, -1 without one.
    """

    track_id: np.ndarray
    class_id: np.ndarray
    state: np.ndarray
    score: np.ndarray
    xyxy_px: np.ndarray
    xy_m: np.ndarray
    v_mps: np.ndarray
    cov: np.ndarray
    size_m: np.ndarray
    yaw_rad: np.ndarray
    ttc_s: np.ndarray
    ttc_low_s: np.ndarray
    ttc_high_s: np.ndarray
    age_s: np.ndarray
    unseen_s: np.ndarray
    detection: np.ndarray
    absolute: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.track_id)
        for name, dtype, tail in _COLUMNS:
            array = frozen_array(getattr(self, name), dtype, (count, *tail), f"Tracks.{name}")
            object.__setattr__(self, name, array)

    @classmethod
    def empty(cls) -> Tracks:
        return cls(**{name: np.empty((0, *tail), dtype) for name, dtype, tail in _COLUMNS})
