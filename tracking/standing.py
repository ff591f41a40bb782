"""Which vehicles stand still, and what that tells: the own way past a parked car measures how far it is.

One camera sees by which share of its distance a vehicle comes nearer every second; where the vehicle stands, that share
times the distance is the own speed, so the distance follows without knowing how large the vehicle is or how the road
lies under it. The own speed has an error that all share (``tracking.box_model.SPEED``).

Half of all vehicles met stand. Whether one does is weighed by its velocity over ground against velocities as traffic
has them (Bayes factor of two Gaussians). Of what is taken to stand the filter believes that it does: if it drives off
after all, the filter takes it to grow. So from then on the velocity is told apart from the filter: by how fast
the box grows and by the size that was believed some seconds before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geometry.ground import BOTTOM, TOP, BoxSlopes
from tracking.box_model import LOG_H, LOG_X
from tracking.shared_filter import Measured, RowsGiven, Shared
from tracking.types import EgoMotion

_LEAST_MPS = 1.0  # a vehicle that stands itself learns nothing of the distance
_GIVEN_REL = 0.005  # a speedometer, a satellite receiver
_STILL_MPS = 0.3  # how far a body's nearest face, own turns and own sway are from standing, over a tenth of a second
_AXLE_TO_CAMERA_M = 1.5  # ahead of the axle that does not steer, so the camera moves sideways in bends
_MOVING_MPS = (10.0, 0.7)  # spread of the velocities of traffic, along and across the own direction: roads lead it
_WORTH = 1.2  # least log Bayes factor: a velocity that is hardly known yet fits both
_ALIKE_S = 0.5  # velocities believed at times nearer than this say the same
_FORGET_S = 5.0
_SURE = 1.0  # log odds from which on a vehicle is taken to stand: 73 %, until less than half
_MOST = 2.0  # no farther: what drives off must be let go within a second
_ODD = 13.8  # normalised innovation squared that one in a thousand of standing vehicles has
_AGILE_MPS2 = 2.0  # what drives off gains as much in a second
_SIZE_S, _SIZE_REL = 2.0, 0.05  # a size believed this long before is that sure
CALM = 0.05  # power of accelerations of what is believed to stand, against the usual one


@dataclass(frozen=True)
class OwnWay:
    """The vehicle's own motion at a frame, the relative error of a speed told by pictures, and the time since the last
    frame."""

    ego: EgoMotion
    flow_speed_rel: float
    dt_s: float

    @property
    def known(self) -> bool:
        """Whether it moves, as far as is known."""
        return self.ego.speed_mps > _LEAST_MPS and self.dt_s > 0.0

    @property
    def numbers(self) -> tuple[float, ...]:
        """As the compiled loop wants it."""
        ego, by_flow = self.ego, self.ego.source == "flow"
        share = self.flow_speed_rel if by_flow else max(ego.speed_sigma_mps / ego.speed_mps, _GIVEN_REL)
        turn = ego.yaw_rate_radps if math.isfinite(ego.yaw_rate_radps) else 0.0
        noise = _STILL_MPS**2 * 0.1 / self.dt_s
        return (ego.speed_mps, share, float(by_flow), turn * _AXLE_TO_CAMERA_M, noise, *_MOVING_MPS)


class Standing:
    """Which rows stand still; rows parallel the filter's.

    Attributes:
        still: (N,) bool; drives_off: (N,) bool, was taken to stand a frame before: what was learned of it is wrong.
    """

    def __init__(self) -> None:
        from tracking.motion_kernels import closing_rates, standing

        self._weigh, self._follow = standing, closing_rates
        self.still = self.drives_off = np.empty(0, bool)
        self._log_odds = np.empty(0)
        self._log_h = np.empty(0)
        self._growth = np.empty((0, 5))

    def append(self, count: int) -> None:
        """Add rows of which nothing is known."""
        self.still = np.concatenate([self.still, np.zeros(count, bool)])
        self.drives_off = np.concatenate([self.drives_off, np.zeros(count, bool)])
        self._log_odds = np.concatenate([self._log_odds, np.zeros(count)])
        self._log_h = np.concatenate([self._log_h, np.zeros(count)])
        self._growth = np.concatenate([self._growth, np.full((count, 5), np.nan)])

    def keep(self, mask: np.ndarray) -> None:
        """Drop the rows where mask is False."""
        for name in ("still", "drives_off", "_log_odds", "_log_h", "_growth"):
            setattr(self, name, getattr(self, name)[mask])

    def forget(self, rows: np.ndarray) -> None:
        """Rows that are something else from now on."""
        self.still[rows], self._log_odds[rows], self._growth[rows] = False, 0.0, np.nan

    def see(self, at: np.ndarray, seen: BoxSlopes, rows: RowsGiven, shared: Shared, own: OwnWay) -> Measured | None:
        """Weigh some rows anew, as their boxes of this frame left them.

        Args:
            at: (R,) rows here; ``seen`` their boxes, ``rows`` the filter's, of the same objects.

        Returns:
            The velocity over ground of all of them as a measurement of zero, of which ``still[at]`` are worth taking
            in; None where the own motion tells nothing.
        """
        if not len(at):
            return None
        log_angle = self._grow(at, seen, rows.mean[:, LOG_X], own.dt_s)
        if not own.known:
            return None
        count, states, unknowns = rows.gain.shape
        H, D, R = np.zeros((count, 2, states)), np.zeros((count, 2, unknowns)), np.zeros((count, 2, 2))
        residual, evidence = np.empty((count, 2)), np.empty((count, 2))
        parts = (np.ascontiguousarray(part) for part in (rows.mean, rows.cov, rows.gain, shared.mean, shared.cov))
        self._weigh(*parts, own.numbers, (H, D, R), residual, evidence)
        fits, odd = self._fits(at, log_angle, evidence, own)
        log_odds = self._log_odds[at] * math.exp(-own.dt_s / _FORGET_S) + fits * own.dt_s / _ALIKE_S
        self._log_odds[at] = log_odds = np.clip(log_odds, -3.0 * _MOST, _MOST)
        was = self.still[at]
        self.still[at] = (log_odds > np.where(was, 0.0, _SURE)) & (odd < _ODD)
        self.drives_off[at] = was & ~self.still[at]
        follow = np.where(was, -math.expm1(-own.dt_s / _SIZE_S), 1.0)
        self._log_h[at] += follow * (rows.mean[:, LOG_H] - self._log_h[at])
        return Measured(residual, H, D, R)

    def _grow(self, at: np.ndarray, seen: BoxSlopes, log_x: np.ndarray, dt_s: float) -> np.ndarray:
        """Take in how high the boxes (R,) are: logarithms of their angles, NaN where they are not seen."""
        angle = np.maximum(seen.slope[:, TOP] - seen.slope[:, BOTTOM], 1e-3)
        table = np.empty((len(at), 3))
        table[:, 0] = np.where(seen.seen[:, TOP] & seen.seen[:, BOTTOM], np.log(angle), np.nan)
        table[:, 1] = (seen.sigma[:, TOP] ** 2 + seen.sigma[:, BOTTOM] ** 2) / angle**2
        table[:, 2] = np.exp(-log_x)
        self._follow(at, table, dt_s, _AGILE_MPS2, self._growth)
        return table[:, 0]

    def _fits(
        self, at: np.ndarray, log_angle: np.ndarray, evidence: np.ndarray, own: OwnWay
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log Bayes factor for standing (R,) and normalised innovation squared (R,); of what is taken to stand already,
        apart from what the filter made of it."""
        log_bf, odd = evidence[:, 0], evidence[:, 1]
        log_bf = np.where((log_bf > 0.0) & (log_bf < _WORTH), 0.0, log_bf)
        apart = self.still[at] & np.isfinite(log_angle)
        if not apart.any():
            return log_bf, odd
        speed, growth = own.ego.speed_mps, self._growth[at]
        x_m = np.exp(self._log_h[at] - growth[:, 0])
        v_mps = speed - x_m * growth[:, 1]
        share = math.hypot(_SIZE_REL, own.numbers[1])
        variance = x_m**2 * growth[:, 4] + (share * speed) ** 2 + _STILL_MPS**2
        wide = variance + _MOVING_MPS[0] ** 2
        own_bf = 0.5 * (np.log(wide / variance) - v_mps**2 * (1.0 / variance - 1.0 / wide))
        return np.where(apart, own_bf, log_bf), np.where(apart, v_mps**2 / variance, odd)
