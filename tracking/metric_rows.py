"""Rows of the metric filter, one Gaussian each: begun, appended to others, cleared of what is no longer believed."""

from __future__ import annotations

import numpy as np

from geometry.ground import BOTTOM, LEFT, RIGHT, TOP, BoxSlopes
from tracking.box_model import ACCELERATION, LOG_H, LOG_L, ROAD, STATES
from tracking.shared_filter import RowsGiven
from tracking.size import WidePrior

_PLACE = 4  # log x, bearing and their rates lead a row
_SIZES = slice(LOG_H, LOG_L + 1)


def parts(rows: RowsGiven) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, covariance and gain of rows."""
    return rows.mean, rows.cov, rows.gain


def empty(unknowns: int) -> RowsGiven:
    """No rows, given so many shared unknowns."""
    return RowsGiven(np.empty((0, STATES)), np.empty((0, STATES, STATES)), np.empty((0, STATES, unknowns)))


def begun(sizes: WidePrior, unknowns: int) -> RowsGiven:
    """Rows of which nothing is known but their sizes' priors."""
    count = len(sizes.mean)
    mean, cov = np.zeros((count, STATES)), np.zeros((count, STATES, STATES))
    mean[:, _SIZES] = sizes.mean
    sigma = np.ones((count, STATES))
    sigma[:, _SIZES] = sizes.sigma
    cov[:, range(STATES), range(STATES)] = sigma**2
    return RowsGiven(mean, cov, np.zeros((count, STATES, unknowns)))


def picked(rows: RowsGiven, at: np.ndarray) -> RowsGiven:
    """Some of the rows: copies, where ``at`` are indices or a mask."""
    return RowsGiven(*(part[at] for part in parts(rows)))


def appended(rows: RowsGiven, more: RowsGiven) -> RowsGiven:
    """Rows, and more behind them."""
    return RowsGiven(*(np.concatenate(pair) for pair in zip(parts(rows), parts(more), strict=True)))


def clear(rows: RowsGiven, at: np.ndarray) -> None:
    """Forget place, motion and road of some rows, in place; their sizes stay."""
    rows.mean[at, :_PLACE] = 0.0
    rows.cov[at, :_PLACE, :] = 0.0
    rows.cov[at, :, :_PLACE] = 0.0
    rows.cov[at[:, None], range(_PLACE), range(_PLACE)] = 1.0
    rows.gain[at, :_PLACE] = 0.0
    for column in (ROAD, ACCELERATION):
        rows.mean[at, column] = 0.0
        rows.cov[at, column, :] = rows.cov[at, :, column] = 0.0
        rows.cov[at, column, column] = 1.0
        rows.gain[at, column] = 0.0


def resize(rows: RowsGiven, at: np.ndarray, sizes: WidePrior) -> None:
    """Put priors in the place of what was learned of the sizes of some rows, in place."""
    each = range(LOG_H, LOG_L + 1)
    rows.mean[at, _SIZES] = sizes.mean
    rows.cov[at, _SIZES, :] = rows.cov[at, :, _SIZES] = 0.0
    rows.cov[at[:, None], each, each] = sizes.sigma**2
    rows.gain[at, _SIZES] = 0.0


def by_size(seen: BoxSlopes, size_m: np.ndarray, camera_height_m: float) -> np.ndarray:
    """(R,) distances at which bodies of sizes (R, 3) show the height of their boxes; of which that is not seen, where
    their feet are on a level road, or else by their width."""
    slope, ok = seen.slope, seen.seen
    height_angle = np.maximum(slope[:, TOP] - slope[:, BOTTOM], 1e-3)
    width_angle = np.maximum(slope[:, LEFT] - slope[:, RIGHT], 1e-3)
    ground = camera_height_m / np.maximum(-slope[:, BOTTOM], 1e-2)
    by_box = np.where(ok[:, BOTTOM], ground, size_m[:, 1] / width_angle)
    return np.where(ok[:, TOP] & ok[:, BOTTOM], size_m[:, 0] / height_angle, by_box)
