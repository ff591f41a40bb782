"""Which way a body points, against the road there: a distribution over ``YAWS_RAD``, told by its box's width."""

from __future__ import annotations

import math

import numpy as np

from geometry.ground import LEFT, RIGHT, BoxSlopes
from tracking.box_model import LOG_L, LOG_W, LOG_X, YAWS_RAD, Sides
from tracking.shared_filter import RowsGiven

_WALKING_MPS = 1.5  # faster, an object's own motion says which end of its axis is the front
_ROLLING_MPS = 3.0  # faster, and its course is surer than the axis of its box
_SURE_RAD = math.radians(8.0)
_CUBOID = 0.02  # bodies are no cuboids: relative standard deviation of a width
_SIZED = [LOG_X, LOG_W, LOG_L]


def heading_prior(aligned_share: float, across_share: float, aligned_rad: float) -> np.ndarray:
    """(B,) shares: some objects point along the road to within an angle, some across it, the rest anywhere."""
    spacing = _bin_widths()
    along = np.exp(-0.5 * (YAWS_RAD / aligned_rad) ** 2) * spacing
    across = np.exp(-0.5 * ((np.abs(YAWS_RAD) - 0.5 * math.pi) / aligned_rad) ** 2) * spacing
    rest = (1.0 - aligned_share - across_share) * spacing / spacing.sum()
    return aligned_share * along / along.sum() + across_share * across / across.sum() + rest


def weigh_headings(
    part: RowsGiven, side: Sides, seen: BoxSlopes, weights: tuple[float, float], log_yaw: np.ndarray
) -> np.ndarray:
    """Probability (R, B) of each heading in this frame: the box's width there against the width seen.

    Args:
        weights: of the evidence to keep and for this frame.
        log_yaw: (R, B) logarithms of the probabilities so far, changed in place.
    """
    from tracking.box_kernels import heading_shares

    both = seen.seen[:, LEFT] & seen.seen[:, RIGHT]
    width = np.empty((len(both), 2))
    width[:, 0] = np.where(both, seen.slope[:, LEFT] - seen.slope[:, RIGHT], np.nan)
    width[:, 1] = seen.sigma[:, LEFT] ** 2 + seen.sigma[:, RIGHT] ** 2
    variances = np.ascontiguousarray(part.cov[:, _SIZED, _SIZED])
    now = np.empty(log_yaw.shape)
    heading_shares(variances, side.parts, width, (*weights, _CUBOID**2), log_yaw, now)
    return now


def likeliest(log_yaw: np.ndarray, axis_rad: np.ndarray) -> np.ndarray:
    """(N,) headings of greatest density, axes (N,) of the road included; modulo half a turn."""
    from tracking.box_kernels import peaks

    out = np.empty((len(axis_rad), 1))
    peaks(log_yaw, axis_rad, _GRID, out, np.empty(len(YAWS_RAD)))
    return out[:, 0]


def facing(axis_rad: np.ndarray, v_mps: np.ndarray, cov: np.ndarray, absolute: bool) -> np.ndarray:
    """Headings (R,), from -pi up to pi: what moves points where it goes, what stands has the axis of its box.

    Args:
        axis_rad: (R,) told by the boxes, modulo half a turn.
        v_mps, cov: (R, 2), (R, 2, 2) velocities and their covariances.
        absolute: whether they are over ground; against a moving vehicle they tell no heading.
    """
    if not absolute or not len(axis_rad):
        return axis_rad
    from tracking.box_kernels import fronts

    out = np.empty(len(axis_rad))
    limits = _WALKING_MPS, _ROLLING_MPS, _SURE_RAD
    fronts(*(np.ascontiguousarray(part) for part in (axis_rad, v_mps, cov)), limits, out)
    return out


def _bin_widths() -> np.ndarray:
    order = np.argsort(YAWS_RAD)
    around = np.concatenate([[YAWS_RAD[order][-1] - math.pi], YAWS_RAD[order], [YAWS_RAD[order][0] + math.pi]])
    widths = np.empty(len(YAWS_RAD))
    widths[order] = (around[2:] - around[:-2]) / 2
    return widths


_GRID = np.stack([np.argsort(YAWS_RAD), np.sort(YAWS_RAD), np.log(_bin_widths()[np.argsort(YAWS_RAD)])])
