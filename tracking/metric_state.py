"""What the metric filter answers: its rows in metres, and the time to collision that follows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tracking.box_model import LOG_H, LOG_L
from tracking.collision import time_to_collision
from tracking.heading import facing
from tracking.types import EgoMotion


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


def metric_state(
    mean: np.ndarray, cov: np.ndarray, known: np.ndarray, overhang_m: np.ndarray, axis_rad: np.ndarray, ego: EgoMotion
) -> MetricState:
    """Rows of the filter as positions, velocities, sizes and headings.

    Args:
        mean, cov: (N, STATES), (N, STATES, STATES) with the mixture of body kinds in place.
        known: (N,) rows whose place is known.
        overhang_m: (N,) by how much the nearest face is nearer than what the box shows.
        axis_rad: (N,) heading told by the boxes, modulo half a turn.
        ego: with a speed, velocities are over ground.
    """
    xy, v, metric = _metres(mean, cov)
    xy[:, 0] -= np.minimum(overhang_m, 0.2 * xy[:, 0])
    nan = np.where(known, 1.0, np.nan)
    closing = metric[:, [[0], [2]], [0, 2]] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    ttc, low, high = time_to_collision(xy[:, 0], -v[:, 0], closing)
    absolute = math.isfinite(ego.speed_mps)
    if absolute:
        v = v + np.array([ego.speed_mps, 0.0])
        metric[:, 2, 2] += ego.speed_sigma_mps**2 if math.isfinite(ego.speed_sigma_mps) else 0.0
    return MetricState(
        xy_m=xy * nan[:, None],
        v_mps=v * nan[:, None],
        cov=metric * nan[:, None, None],
        size_m=np.exp(mean[:, LOG_H : LOG_L + 1]),
        yaw_rad=facing(axis_rad, v, metric[:, 2:, 2:], absolute) * nan,
        ttc_s=ttc * nan,
        ttc_low_s=low * nan,
        ttc_high_s=high * nan,
        absolute=np.full(len(mean), absolute),
    )


def _metres(mean: np.ndarray, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions and relative velocities in metres, (N, 2) each, and their joint covariance (N, 4, 4)."""
    from tracking.motion_kernels import metres

    place, metric = np.empty((len(mean), 4)), np.empty((len(mean), 4, 4))
    metres(mean, cov, place, metric)
    return place[:, :2], place[:, 2:], metric
