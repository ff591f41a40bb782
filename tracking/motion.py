"""Metric state of every track at once: position and velocity in vehicle metres, and the time to collision."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geometry.camera import Camera
from geometry.size_priors import size_priors
from geometry.types import GroundPoints
from tracking.kalman import predict, update
from tracking.types import EgoMotion


@dataclass(frozen=True)
class MotionConfig:
    """Noise of the metric filter.

    Attributes:
        acceleration_mps2: standard deviation of an object's acceleration, as power over one second.
        speed_sigma_mps: of the velocity a new track may have, along and across the road.
    """

    acceleration_mps2: float = 2.0
    speed_sigma_mps: tuple[float, float] = (12.0, 3.0)


@dataclass(frozen=True, eq=False)
class MetricState:
    """One row per track; NaN where the camera cannot tell. Columns as in ``tracking.types.Tracks``."""

    xy_m: np.ndarray
    v_mps: np.ndarray
    cov: np.ndarray
    size_m: np.ndarray
    yaw_rad: np.ndarray
    ttc_s: np.ndarray
    ttc_low_s: np.ndarray
    ttc_high_s: np.ndarray
    absolute: np.ndarray


def time_to_collision(x_m: np.ndarray, closing_mps: np.ndarray, cov: np.ndarray) -> tuple[np.ndarray, ...]:
    """Time until x falls to zero at the present closing speed, and its 68 % interval; inf when opening.

    The interval bounds the ratio of two correlated normal variables by Fieller's theorem (Journal of the Royal
    Statistical Society B 16, 1954): exact, where a first-order expansion would claim precision at low closing speed.

    Args:
        x_m, closing_mps: (N,) distance and closing speed (positive: approaching).
        cov: (N, 2, 2) their covariance.
    """
    a = closing_mps**2 - cov[:, 1, 1]
    b = x_m * closing_mps - cov[:, 0, 1]
    c = x_m**2 - cov[:, 0, 0]
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        ttc = np.where(closing_mps > 0, x_m / closing_mps, np.inf)
        low, high = (b - root) / a, (b + root) / a
        one_sided = np.where(b + root > 0, np.maximum(c, 0.0) / (b + root), np.inf)
    bounded = a > 0
    low = np.where(bounded & (closing_mps > 0), low, one_sided)
    high = np.where(bounded & (closing_mps > 0), high, np.inf)
    receding = bounded & (closing_mps <= 0)
    return ttc, np.where(receding, np.inf, np.maximum(low, 0.0)), high


class MetricFilter:
    """Metric state per track; rows parallel the tracker's own arrays."""

    def __init__(self, config: MotionConfig | None = None) -> None:
        self.config = config or MotionConfig()
        self._x = np.empty((0, 4))
        self._cov = np.empty((0, 4, 4))
        self._size = np.empty((0, 3))
        self._known = np.empty(0, bool)
        self._ego = EgoMotion()
        self._absolute = False

    def __len__(self) -> int:
        return len(self._x)

    def predict(self, dt_s: float, ego: EgoMotion | None = None) -> None:
        """Move all rows on by dt_s, in the vehicle frame of the new instant."""
        self._ego = ego or EgoMotion()
        self._set_absolute(math.isfinite(self._ego.speed_mps))
        if not len(self) or dt_s <= 0:
            return
        F = np.eye(4)
        F[0, 2] = F[1, 3] = dt_s
        q = self.config.acceleration_mps2**2
        Q = np.zeros((4, 4))
        Q[[0, 1], [0, 1]] = q * dt_s**3 / 3
        Q[[0, 1, 2, 3], [2, 3, 0, 1]] = q * dt_s**2 / 2
        Q[[2, 3], [2, 3]] = q * dt_s
        self._x, self._cov = predict(self._x, self._cov, F, Q)
        if self._absolute:
            self._x[:, 0] -= self._ego.speed_mps * dt_s
            self._cov[:, 0, 0] += (np.nan_to_num(self._ego.speed_sigma_mps) * dt_s) ** 2
        turn = np.nan_to_num(self._ego.yaw_rate_radps) * dt_s
        if turn:
            c, s = math.cos(turn), math.sin(turn)
            rotation = np.kron(np.eye(2), np.array([[c, s], [-s, c]]))
            self._x = self._x @ rotation.T
            self._cov = rotation @ self._cov @ rotation.T

    def birth(
        self, ranges: GroundPoints, xyxy_px: np.ndarray, class_id: np.ndarray, camera: Camera | None, t_s: float
    ) -> None:
        """Append one row per object."""
        count = len(class_id)
        x = np.zeros((count, 4))
        cov = np.zeros((count, 4, 4))
        x[:, :2] = np.where(ranges.valid[:, None], ranges.xy_m, 0.0)
        cov[:, :2, :2] = np.where(ranges.valid[:, None, None], ranges.cov_m2, np.eye(2))
        cov[:, [2, 3], [2, 3]] = np.square(self.config.speed_sigma_mps)
        self._x = np.concatenate([self._x, x])
        self._cov = np.concatenate([self._cov, cov])
        self._size = np.concatenate([self._size, np.exp(size_priors(class_id).moments()[0])])
        self._known = np.concatenate([self._known, ranges.valid])

    def update(
        self,
        rows: np.ndarray,
        ranges: GroundPoints,
        xyxy_px: np.ndarray,
        class_id: np.ndarray,
        camera: Camera | None,
        t_s: float,
    ) -> None:
        """Take in the matched objects of this frame, one per row of ``rows``."""
        rows = np.asarray(rows, np.int64)
        new = ranges.valid & ~self._known[rows]
        self._x[rows[new], :2] = ranges.xy_m[new]
        self._cov[rows[new], :2, :2] = ranges.cov_m2[new]
        self._known[rows[new]] = True
        old = ranges.valid & ~new
        if old.any():
            k = rows[old]
            self._x[k], self._cov[k] = update(
                self._x[k], self._cov[k], ranges.xy_m[old], np.eye(2, 4), ranges.cov_m2[old]
            )

    def keep(self, mask: np.ndarray) -> None:
        """Drop the rows where mask is False."""
        for name in ("_x", "_cov", "_size", "_known"):
            setattr(self, name, getattr(self, name)[mask])

    def state(self) -> MetricState:
        """All rows as of now."""
        known = self._known
        nan = np.where(known, 1.0, np.nan)
        ego_mps = self._ego.speed_mps if self._absolute else 0.0
        cov2 = self._cov[:, :3:2, :3:2] * np.array([[1.0, -1.0], [-1.0, 1.0]])
        ttc = time_to_collision(self._x[:, 0], ego_mps - self._x[:, 2], cov2)
        return MetricState(
            self._x[:, :2] * nan[:, None],
            self._x[:, 2:] * nan[:, None],
            self._cov * nan[:, None, None],
            self._size,
            np.where(known, 0.0, np.nan),
            *(t * nan for t in ttc),
            np.full(len(self), self._absolute),
        )

    def _set_absolute(self, absolute: bool) -> None:
        self._absolute = absolute
