"""Which way a body points: a distribution over ``YAWS_RAD``, told by its box's width."""

from __future__ import annotations

import math

import numpy as np

from geometry.ground import LEFT, RIGHT, BoxSlopes
from tracking.box_model import LOG_L, LOG_W, LOG_X, YAWS_RAD, Sides
from tracking.shared_filter import RowsGiven

_WALKING_MPS = 1.5  # faster, an object's own motion says which end of its axis is the front
_ROLLING_MPS = 3.0  # faster, and its course is surer than the axis of its box
_SURE_RAD = math.radians(8.0)


def heading_prior(aligned_share: float, aligned_rad: float) -> np.ndarray:
    """(B,) shares: some objects point along the road to within an angle, the rest anywhere."""
    spacing = _bin_widths()
    aligned = np.exp(-0.5 * (YAWS_RAD / aligned_rad) ** 2) * spacing
    return aligned_share * aligned / aligned.sum() + (1 - aligned_share) * spacing / spacing.sum()


def heading_evidence(part: RowsGiven, side: Sides, seen: BoxSlopes) -> np.ndarray:
    """Log-likelihood (R, B) of each heading: the box's width there against the width seen."""
    width = side.slope[..., 0] - side.slope[..., 1]
    got = (seen.slope[:, LEFT] - seen.slope[:, RIGHT])[:, None]
    by_w = side.by_log_w[..., 0] - side.by_log_w[..., 1]
    by_l = side.by_log_l[..., 0] - side.by_log_l[..., 1]
    cov = part.cov
    var_w, var_l = cov[:, LOG_W, LOG_W, None], cov[:, LOG_L, LOG_L, None]
    edge = (seen.sigma[:, LEFT] ** 2 + seen.sigma[:, RIGHT] ** 2)[:, None]
    variance = by_w**2 * var_w + by_l**2 * var_l + width**2 * (cov[:, LOG_X, LOG_X, None] + 0.02**2) + edge
    log_likelihood = -0.5 * (got - width) ** 2 / variance - 0.5 * np.log(variance)
    both = (seen.seen[:, LEFT] & seen.seen[:, RIGHT])[:, None]
    return np.where(both, log_likelihood, 0.0)


def facing(axis_rad: np.ndarray, v_mps: np.ndarray, cov: np.ndarray, absolute: bool) -> np.ndarray:
    """Headings (R,), from -pi up to pi: what moves points where it goes, what stands has the axis of its box.

    Args:
        axis_rad: (R,) told by the boxes, modulo half a turn.
        v_mps, cov: (R, 2), (R, 2, 2) velocities and their covariances.
        absolute: whether they are over ground; against a moving vehicle they tell no heading.
    """
    if not absolute or not len(axis_rad):
        return axis_rad
    speed = np.hypot(v_mps[:, 0], v_mps[:, 1])
    course = np.arctan2(v_mps[:, 1], v_mps[:, 0])
    across = np.stack([-np.sin(course), np.cos(course)], axis=1)
    spread = np.sqrt(np.maximum(np.einsum("ri,rij,rj->r", across, cov, across), 0.0)) / np.maximum(speed, 0.1)
    turned = np.where(np.cos(course - axis_rad) < 0.0, axis_rad + math.pi, axis_rad)
    axis = np.where(speed > _WALKING_MPS, turned, axis_rad)
    heading = np.where((speed > _ROLLING_MPS) & (spread < _SURE_RAD), course, axis)
    return (heading + math.pi) % (2 * math.pi) - math.pi


def normalised(log_share: np.ndarray) -> np.ndarray:
    """Logarithms of shares (R, B) that add to one."""
    log_share = log_share - log_share.max(axis=1, keepdims=True)
    return log_share - np.log(np.exp(log_share).sum(axis=1, keepdims=True))


def _bin_widths() -> np.ndarray:
    order = np.argsort(YAWS_RAD)
    around = np.concatenate([[YAWS_RAD[order][-1] - math.pi], YAWS_RAD[order], [YAWS_RAD[order][0] + math.pi]])
    widths = np.empty(len(YAWS_RAD))
    widths[order] = (around[2:] - around[:-2]) / 2
    return widths
