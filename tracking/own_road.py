"""How far the road under each object departs from the plane that all share, learned while driving.

Most objects stand on one plane to within a tenth of a degree; a few stand on a kerb, a side street or beyond a crest, a
degree and more away. One Gaussian for both would either waste what the many tell or believe the few. So every row has
a variance of its own: the departure is normal with a scale that is itself unknown, which makes its tails those of
Student's t (a scale mixture: K. Lange, R. Little, J. Taylor, "Robust statistical modeling using the t distribution",
JASA 84, 1989), and each frame the scale takes the value expected of it given what the row is believed to depart by.
How rough the whole road is follows more slowly, from the mean over the rows.
"""

from __future__ import annotations

import math

import numpy as np

from perception.types import CLASS_ID
from tracking.box_model import LOG_X, ROAD
from tracking.motion_config import MotionConfig
from tracking.shared_filter import RowsGiven

_SCALE_LIMITS = (0.3, 100.0)  # of a row's variance against the usual one: up to ten times the usual slope
_WORTH_OF_ONE = 4.0  # a row counts towards the roughness of the whole road up to two of its usual sigmas
_MOST_AT_ONCE = 0.8  # share of a row's own information that one change of its variance may take away
_ON_KERBS = (CLASS_ID["person"], CLASS_ID["rider"])


class OwnRoad:
    """Variances of the roads' departures (rad^2), one row per track; rows parallel the filter's."""

    def __init__(self, config: MotionConfig) -> None:
        self._config = config
        self._rough2 = config.rough_first**2
        self._scale2 = np.empty(0)
        self._aside_m = np.empty(0)

    def append(self, class_id: np.ndarray) -> None:
        """Add rows of objects of these classes."""
        self._aside_m = np.concatenate([self._aside_m, self._usual_aside_m(class_id)])
        self._scale2 = np.concatenate([self._scale2, np.ones(len(class_id))])

    def change(self, rows: np.ndarray, class_id: np.ndarray) -> None:
        """Rows are of these classes after all; their departures drift to what is usual there."""
        self._aside_m[rows] = self._usual_aside_m(class_id)

    def _usual_aside_m(self, class_id: np.ndarray) -> np.ndarray:
        return np.where(np.isin(class_id, _ON_KERBS), self._config.kerb_m, self._config.own_road_m)

    def keep(self, mask: np.ndarray) -> None:
        """Drop the rows where mask is False."""
        self._scale2, self._aside_m = self._scale2[mask], self._aside_m[mask]

    def forget(self, rows: np.ndarray) -> None:
        """Rows that are somewhere else from now on."""
        self._scale2[rows] = 1.0

    def variance(self, rows: np.ndarray | slice, log_x: np.ndarray) -> np.ndarray:
        """Of the departures of some rows, whose distances have these logarithms."""
        return self._scale2[rows] * self._usual(rows, log_x)

    def _usual(self, rows: np.ndarray | slice, log_x: np.ndarray) -> np.ndarray:
        """Grade, and camber or kerb seen from x metres."""
        return self._rough2 * (self._config.own_road_rad**2 + (self._aside_m[rows] * np.exp(-log_x)) ** 2)

    def learn(self, at: np.ndarray, rows: RowsGiven, second_moment: np.ndarray, dt_s: float) -> None:
        """Take in what rows are believed to depart by, and change their Gaussians (in place) to the new variances.

        Args:
            at: (K,) rows seen in the last frame.
            rows: all rows of the filter.
            second_moment: (K,) expected square of the departure of each.
            dt_s: time since that frame.
        """
        if not len(at):
            return
        usual = self._usual(at, rows.mean[at, LOG_X])
        square = second_moment / usual
        freedom, old = self._config.road_freedom, self._scale2[at]
        new = np.clip((freedom + square) / (freedom + 1.0), *_SCALE_LIMITS)
        self._scale2[at] = new
        _replace_prior(at, rows, (1.0 / old - 1.0 / new) / usual)
        excess = float(np.minimum(square, _WORTH_OF_ONE).mean()) - 1.0
        low, high = self._config.rough_limits
        rough2 = self._rough2 * math.exp(self._config.rough_rate * dt_s * excess)
        self._rough2 = min(max(rough2, low**2), high**2)


def _replace_prior(at: np.ndarray, rows: RowsGiven, less: np.ndarray) -> None:
    """Take the information ``less`` (1/rad^2, negative to add) about a departure of zero out of rows, in place.

    A Gaussian prior of mean zero enters a posterior as a diagonal term of its information matrix only, so another
    variance of that prior is a change of this one term: a rank-one step by the formula of Sherman and Morrison.
    """
    P = rows.cov[at]
    variance = P[:, ROAD, ROAD]
    less = np.minimum(less, _MOST_AT_ONCE / np.maximum(variance, 1e-12))
    step = P[:, :, ROAD] * np.sqrt(np.abs(less) / (1.0 - less * variance))[:, None]
    sign = np.sign(less)[:, None]
    towards = P[:, :, ROAD] * (less / (1.0 - less * variance))[:, None]
    rows.cov[at] = P + (sign * step)[:, :, None] * step[:, None]
    rows.mean[at] += towards * rows.mean[at, ROAD][:, None]
    rows.gain[at] += towards[:, :, None] * rows.gain[at, ROAD][:, None]
