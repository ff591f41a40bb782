"""Which way the road runs at each object: the tangent of the lane there, remembered where no lane is seen.

Most vehicles point along the road, and on a bend that is not along the vehicle's axis. Headings are therefore counted
from the road's direction at the object's own place (``tracking.heading``): a scalar Kalman filter per track, turned
with the vehicle and corrected by the lane where one is believed. Without a lane it stays what it was; for what is seen
for the first time it is that of the vehicle's own path, and without own motion the vehicle's axis.
"""

from __future__ import annotations

import math

import numpy as np

from perception.types import Lanes
from tracking.types import EgoMotion

_TANGENT_RAD = math.radians(2.0)  # of a believed boundary within its evidence, and of the road against it
_BEND_PM = 1.0 / 300.0  # bends of country roads: by how much the direction may change beyond the evidence
_PATH_RAD = math.radians(4.0)  # of the own path, as a guess of the road's
_TURNING_PM = 1.0 / 60.0  # a path more bent than this turns into another road: it says nothing of the road ahead
_DOUBT_RAD = math.radians(2.0)  # by how much what is remembered grows doubtful over one second
_MOST_RAD = math.radians(75.0)  # a parabola's tangent; roads that turn farther are not described by one


def road_direction(xy_m: np.ndarray, lanes: Lanes | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Direction (N,) of the road at places (N, 2) in the vehicle frame and its standard deviation (N,), rad.

    Boundaries of one road are parallel: beside a boundary the direction is its tangent where its normal through the
    place meets it. Beyond the evidence the last tangent holds, ever less surely. None where no boundary is believed.
    """
    believed = () if lanes is None else lanes.believed
    if not believed:
        return None
    from tracking.box_kernels import tangents

    coeff, reach, out = np.zeros((len(believed), 4)), np.empty((len(believed), 2)), np.empty((len(xy_m), 2))
    for line, boundary in enumerate(believed):
        coeff[line, : len(boundary.coeff)] = boundary.coeff
        reach[line] = boundary.x_range_m
    tangents(np.ascontiguousarray(xy_m), coeff, reach, (_TANGENT_RAD, _BEND_PM, _MOST_RAD), out)
    return out[:, 0], out[:, 1]


def bend_ahead_pm(ego: EgoMotion) -> float:
    """1/m of the road ahead as the vehicle's own path tells it; 0 where that turns into another road."""
    curvature = ego.path_curvature_pm
    return curvature if abs(curvature) < _TURNING_PM else 0.0


class RoadAxes:
    """Direction of the road at every row (rad, vehicle frame) and its variance; rows parallel the filter's."""

    def __init__(self) -> None:
        self.rad = np.empty(0)
        self._var = np.empty(0)

    def append(self, count: int) -> None:
        """Add rows that have no place yet."""
        self.rad = np.concatenate([self.rad, np.zeros(count)])
        self._var = np.concatenate([self._var, np.full(count, _PATH_RAD**2)])

    def keep(self, mask: np.ndarray) -> None:
        """Drop the rows where mask is False."""
        self.rad, self._var = self.rad[mask], self._var[mask]

    def place(self, rows: np.ndarray, x_m: np.ndarray, ego: EgoMotion) -> None:
        """Rows seen for the first time, x_m ahead: along the vehicle's own path."""
        self.rad[rows] = np.arctan(bend_ahead_pm(ego) * x_m)
        self._var[rows] = _PATH_RAD**2

    def predict(self, turn_rad: float, dt_s: float) -> None:
        """The vehicle turns to the left, and roads bend."""
        self.rad -= turn_rad
        self._var += _DOUBT_RAD**2 * dt_s

    def see(self, rows: np.ndarray, xy_m: np.ndarray, lanes: Lanes | None) -> None:
        """Correct some rows, at places (R, 2), by the lanes of the frame."""
        seen = road_direction(xy_m, lanes)
        if seen is None:
            return
        rad, sigma = seen
        var = self._var[rows]
        gain = var / (var + sigma**2)
        self.rad[rows] += gain * (rad - self.rad[rows])
        self._var[rows] = (1.0 - gain) * var
