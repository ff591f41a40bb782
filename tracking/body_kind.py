"""Which kind of body each track is (a "car" may be a saloon or a van): told by the road under it and by its shape.

The metric filter is linear and holds one size at a time. Linearised about a car, it takes what the road says of a van
for a road of the van's own, and the surer it is the less the road is heard: a van met far away would stay a near car.
So every track weighs heights beside the filter, on a grid: at each height the box's size gives the range, the range
and the lower edge give how far the road under it would have to depart from the common plane, and that departure is a
first-order Gauss-Markov process of unknown scale (a grid of scales: Student's t). Nothing here is linearised and
nothing depends on what the filter believed of the size before, so a wrong start is left behind. The proportion of
width to height tells kinds apart as well: vans are taller than wide.
"""

from __future__ import annotations

import math

import numpy as np

from geometry.ground import BOTTOM, TOP, BoxSlopes
from geometry.size_priors import KINDS, SizePriors, size_priors
from tracking.box_model import LOG_H, LOG_W, LOG_X
from tracking.motion_config import MotionConfig
from tracking.shared_filter import RowsGiven, Shared
from tracking.size import wide_prior

_HEIGHTS = 24
_SCALES = np.exp(np.linspace(math.log(0.1), math.log(100.0), 8))  # of a departure's variance against the usual one
_FREEDOM = 4.0  # degrees of freedom of Student's t
_REACH = 3.5  # sigmas of the outermost kinds that the grid of heights spans
_PERSIST_S = 10.0  # a departure lasts: an object keeps to its kerb, its street, its side of the crest
_FORGET_S = 20.0
_NO_WIDTH = 100.0  # variance of a proportion that nothing was learned of


class BodyKinds:
    """Evidence on the body kind of every row, and the means of the wide priors that follow from it."""

    def __init__(self, config: MotionConfig) -> None:
        from tracking.motion_kernels import kind_shares, proportions, weigh_heights

        self._weigh, self._shares, self._proportions = weigh_heights, kind_shares, proportions
        self._config = config
        log_weight = -0.5 * _FREEDOM * (np.log(_SCALES) + 1.0 / _SCALES)  # inverse gamma, over log scale
        self._log_weight = log_weight - np.logaddexp.reduce(log_weight)
        self._log_h = np.empty((0, _HEIGHTS))
        self._log_prior = np.empty((0, _HEIGHTS, KINDS))
        self._mean = np.empty((0, _HEIGHTS, len(_SCALES)))
        self._var = np.empty((0, len(_SCALES)))
        self._log_like = np.empty((0, _HEIGHTS, len(_SCALES)))
        self._since_s = np.empty(0)
        self._wide = np.empty((0, 3))

    def append(self, class_id: np.ndarray) -> None:
        """Add rows of objects of these classes, of which nothing is known yet."""
        priors, count = size_priors(class_id), len(class_id)
        log_h, log_prior = _grid(priors)
        scales = (count, _HEIGHTS, len(_SCALES))
        self._log_h = np.concatenate([self._log_h, log_h])
        self._log_prior = np.concatenate([self._log_prior, log_prior])
        self._mean = np.concatenate([self._mean, np.zeros(scales)])
        self._var = np.concatenate([self._var, np.full((count, len(_SCALES)), -1.0)])
        self._log_like = np.concatenate([self._log_like, np.zeros(scales)])
        self._since_s = np.concatenate([self._since_s, np.zeros(count)])
        self._wide = np.concatenate([self._wide, priors.moments()[0]])

    def keep(self, mask: np.ndarray) -> None:
        """Drop the rows where mask is False."""
        for name in ("_log_h", "_log_prior", "_mean", "_var", "_log_like", "_since_s", "_wide"):
            setattr(self, name, getattr(self, name)[mask])

    def change(self, rows: np.ndarray, class_id: np.ndarray) -> None:
        """Rows are of these classes after all: other heights are weighed from now on."""
        priors = size_priors(class_id)
        self._log_h[rows], self._log_prior[rows] = _grid(priors)
        self._wide[rows] = priors.moments()[0]
        self.forget(rows)

    def forget(self, rows: np.ndarray) -> None:
        """Begin anew with some rows."""
        self._mean[rows], self._var[rows], self._log_like[rows] = 0.0, -1.0, 0.0

    def predict(self, dt_s: float) -> None:
        """Time passes: what was seen counts for less, and departures wander."""
        self._since_s += dt_s

    def wide_mean(self, rows: np.ndarray) -> np.ndarray:
        """(R, 3) means of the wide priors over log height, width and length that the filter holds for some rows."""
        return self._wide[rows]

    def weigh(
        self, rows: np.ndarray, seen: BoxSlopes, state: np.ndarray, shared: Shared, of: tuple[float, np.ndarray]
    ) -> None:
        """Take in one frame's boxes.

        Args:
            rows: (R,) rows that stand on the road.
            seen: their boxes, upper and lower edges in sight.
            state: (R, STATES) the filter's.
            shared: unknowns of all rows, the first two of them the pitch's.
            of: the camera's height (m), and (R,) how deep each body is (m).
        """
        camera_height_m, depth_m = of
        near = np.exp(-state[:, LOG_X])
        pitch_var = float(shared.cov[:2, :2].sum())
        white = seen.sigma[:, BOTTOM] ** 2 + (self._config.noise.road_m * near) ** 2 + pitch_var
        usual = self._config.kind_road_rad**2 + (self._config.own_road_m * near) ** 2
        angle = np.maximum(seen.slope[:, TOP] - seen.slope[:, BOTTOM], 1e-3)
        bottom = seen.slope[:, BOTTOM] - shared.mean[0] - shared.mean[1]
        since_s, self._since_s[rows] = self._since_s[rows], 0.0
        boxes = np.stack([angle, bottom, depth_m, white, usual, since_s], axis=1)
        constants = np.array([camera_height_m, pitch_var, _PERSIST_S, _FORGET_S])
        self._weigh(rows, boxes, constants, _SCALES, self._log_h, (self._mean, self._log_like), self._var)

    def shares(self, at: np.ndarray, rows: RowsGiven, shared: Shared, priors: SizePriors) -> np.ndarray:
        """(R, KINDS) probability of each kind.

        Args:
            at: (R,) rows here.
            rows: the filter's, of the same objects; ``priors`` theirs.
        """
        if not len(at):
            return np.empty((0, KINDS))
        shape = self._shape(at, rows, shared, priors)
        return self._shares(at, self._log_like, self._log_weight, self._log_prior, shape)

    def _shape(self, at: np.ndarray, rows: RowsGiven, shared: Shared, priors: SizePriors) -> np.ndarray:
        """Log-likelihood (R, KINDS) of the proportion of width to height, the filter's wide prior taken out."""
        kinds = np.empty((2 * KINDS, len(at), 3))
        kinds[:KINDS], kinds[KINDS:] = priors.log_hwl.swapaxes(0, 1), priors.spread.swapaxes(0, 1)
        wide, sigma, out = self._wide[at], wide_prior(priors).sigma, np.empty((len(at), KINDS))
        parts = (np.ascontiguousarray(part) for part in (rows.mean, rows.cov, rows.gain, shared.cov))
        self._proportions(*parts, (LOG_H, LOG_W), wide, sigma, kinds, _NO_WIDTH, out)
        return out

    def recentred(self, at: np.ndarray, share: np.ndarray, priors: SizePriors) -> np.ndarray:
        """Move the wide priors of some rows to the mean over their kinds; (R, 3) of information added to log sizes."""
        mean = np.sum(share[..., None] * priors.log_hwl, axis=1)
        push = (mean - self._wide[at]) / wide_prior(priors).sigma ** 2
        self._wide[at] = mean
        return push


def _grid(priors: SizePriors) -> tuple[np.ndarray, np.ndarray]:
    """Log heights (N, G) that span all kinds, and the log density of each kind there (N, G, K)."""
    centre, spread = priors.log_hwl[..., 0], priors.spread[..., 0]
    if not len(centre):
        return np.empty((0, _HEIGHTS)), np.empty((0, _HEIGHTS, KINDS))
    low, high = (centre - _REACH * spread).min(axis=1), (centre + _REACH * spread).max(axis=1)
    log_h = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, _HEIGHTS)
    rest = (log_h[..., None] - centre[:, None]) / spread[:, None]
    return log_h, np.log(np.maximum(priors.share, 1e-12))[:, None] - 0.5 * rest**2 - np.log(spread)[:, None]
