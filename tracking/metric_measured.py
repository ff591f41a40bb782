"""What the metric filter takes in of a frame, as measurements of its rows: edges of boxes, ranges of other sensors."""

from __future__ import annotations

import numpy as np

from geometry.ground import BoxSlopes
from tracking.box_model import LOG_X, STATES, Edges
from tracking.shared_filter import Measured

UNSEEN = 10.0  # slope sigma of an edge that is cut off: ten times straight ahead to 45 degrees


def measured_edges(expected: Edges, seen: BoxSlopes, doubts: tuple[float, np.ndarray]) -> Measured:
    """The four edges of the boxes of R rows.

    Args:
        expected: what the rows should show.
        doubts: how much more than white the error is that an unknown heading makes, and (R,) deviation of both the
            upper and the lower edge for the road's surface.
    """
    turned, lifted = doubts
    sigma = np.where(seen.seen, seen.sigma, UNSEEN)
    R = np.zeros((len(sigma), 4, 4))
    R[:, range(4), range(4)] = sigma**2
    R[:, 0::2, 0::2] += turned * expected.turned
    R[:, 1::2, 1::2] += lifted[:, None, None] ** 2
    residual = np.where(seen.seen, seen.slope - expected.slope, 0.0)
    return Measured(residual, expected.by_state, expected.by_shared, R)


def measured_ranges(mean: np.ndarray, x_m: np.ndarray, variance_m2: np.ndarray, unknowns: int) -> Measured:
    """Distances (R,) of the rows' nearest faces, whose means are (R, STATES), with their variances."""
    H = np.zeros((len(x_m), 1, STATES))
    H[:, 0, LOG_X] = 1.0
    residual = (np.log(x_m) - mean[:, LOG_X])[:, None]
    return Measured(residual, H, np.zeros((len(x_m), 1, unknowns)), (variance_m2 / x_m**2)[:, None, None])


def widened(seen: Measured, by: np.ndarray) -> Measured:
    """The same with the variances (R,) times as large."""
    return Measured(seen.residual, seen.H, seen.D, seen.R * by[:, None, None])
