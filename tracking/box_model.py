"""What box a body of given place, size and heading shows: the measurement model of the metric filter.

A body is a cuboid on the road. Seen from the camera its box has four edges, each touched by one corner; the edges are
slopes of rays in the vehicle frame (``geometry.ground.box_slopes``), so lens and mount are already accounted for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LOG_X, BEARING, RATE_X, RATE_Y, LOG_H, LOG_W, LOG_L, ROAD, ACCELERATION = range(9)
"""Columns of a row's state: logarithm of x (nearest face, m), y/x of the centre, vx/x and vy/x (relative to the
vehicle, 1/s), logarithms of height, width and length (m), the slope by which the road under the object departs
from the common road (rad), and ax/x of the object itself, over ground where the vehicle's own speed is known (1/s^2).

One camera cannot tell a near small thing from a far large one: adding the same number to LOG_X, LOG_H, LOG_W and LOG_L
changes nothing but the ground contact. In these coordinates that direction is the same at every state, so linearising
at a wrong state cannot make the filter believe that it has seen scale (the modified polar coordinates of Aidala and
Hammel, IEEE Transactions on Automatic Control 28, 1983; in metres the filter drifts by tens of per cent)."""
STATES = 9

PITCH_MOUNT, PITCH_ROAD, LOG_CAMERA_HEIGHT, SPEED = range(4)
"""Columns of what all rows share: lasting and passing error of the pitch (rad), of the camera's height
(logarithm) and of the own speed (logarithm, in its own standard deviations)."""
SHARED = 4

YAWS_RAD = np.radians(
    [0.0, 3.0, -3.0, 7.0, -7.0, 12.0, -12.0, 20.0, -20.0, 32.0, -32.0, 47.0, -47.0, 66.0, -66.0, 90.0]
)
"""Headings considered, against the road's direction and modulo half a turn: fine where width is worth most."""


def turns(axis_rad: np.ndarray) -> np.ndarray:
    """(2, R, B) cosine and sine of the headings ``YAWS_RAD`` counted from axes (R,)."""
    heading = axis_rad[:, None] + YAWS_RAD
    return np.stack([np.cos(heading), np.sin(heading)])


@dataclass(frozen=True, eq=False)
class Sides:
    """Slopes of the left and right side, per row and heading: (R, B, 2), and derivatives by bearing, log W, log L."""

    slope: np.ndarray
    by_bearing: np.ndarray
    by_log_w: np.ndarray
    by_log_l: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """As the compiled loops take them."""
        return self.slope, self.by_bearing, self.by_log_w, self.by_log_l


def sides(state: np.ndarray, turned: np.ndarray) -> Sides:
    """Sides of the boxes of rows (R, STATES) at each of their headings (``turns``): the outermost corners as seen from
    the camera."""
    from tracking.box_kernels import outermost

    out = np.empty((4, len(state), turned.shape[2], 2))
    place = np.ascontiguousarray(state[:, [LOG_X, BEARING, LOG_W, LOG_L]])
    outermost(place, turned, (out[0], out[1], out[2], out[3]))
    return Sides(*out)


@dataclass(frozen=True, eq=False)
class Edges:
    """Expected edges of R rows, linearised.

    Attributes:
        slope: (R, 4) left, top, right, bottom.
        by_state: (R, 4, STATES); by_shared: (R, 4, m): derivatives.
        turned: (R, 2, 2) covariance of left and right for not knowing the heading.
    """

    slope: np.ndarray
    by_state: np.ndarray
    by_shared: np.ndarray
    turned: np.ndarray


def edges(
    state: np.ndarray,
    shared: np.ndarray,
    camera_height_m: float,
    yaw_share: np.ndarray,
    seen_at: tuple[np.ndarray, Sides],
) -> Edges:
    """Edges of the boxes expected of rows.

    Args:
        state: (R, STATES).
        shared: (m,), of which the first are those of ``SHARED``.
        camera_height_m: above the road, as the camera's profile has it.
        yaw_share: (R, B) probability of each heading.
        seen_at: ``turns`` of the rows and ``sides`` of the states there.
    """
    from tracking.box_kernels import expected_edges

    turned, side = seen_at
    count = len(state)
    slope, H, D = np.empty((count, 4)), np.zeros((count, 4, STATES)), np.zeros((count, 4, len(shared)))
    cov = np.empty((count, 2, 2))
    expected_edges(state, shared, camera_height_m, yaw_share, turned, side.parts, slope, (H, D, cov))
    return Edges(slope, H, D, cov)


@dataclass(frozen=True)
class Step:
    """What the vehicle did between two frames.

    Attributes:
        turn_rad: to the left; faster_mps: gain of speed.
        aside_mps: what its velocity gains to the left by the turn, against objects (R,) that go straight or stand: 0
            for those that follow the same bend, which turn alike.
    """

    dt_s: float
    turn_rad: float = 0.0
    faster_mps: float = 0.0
    aside_mps: np.ndarray | float = 0.0


def move(state: np.ndarray, step: Step, fading_s: float) -> tuple[np.ndarray, np.ndarray]:
    """New states (R, STATES) and derivatives (R, STATES, STATES): an acceleration that fades, seen from a vehicle that
    turns.

    Args:
        state: (R, STATES).
        step: of the vehicle.
        fading_s: time constant of accelerations (R. A. Singer, "Estimating optimal tracking filter performance for
            manned maneuvering targets", IEEE Transactions on Aerospace and Electronic Systems 6, 1970).
    """
    from tracking.box_kernels import moved

    kept = math.exp(-step.dt_s / fading_s)
    turn = math.cos(step.turn_rad), math.sin(step.turn_rad)
    new, F = np.empty(state.shape), np.empty((len(state), STATES, STATES))
    state = np.ascontiguousarray(state)
    aside = np.full(len(state), step.aside_mps, dtype=np.float64)
    moved(state, (step.dt_s, *turn, step.faster_mps, kept, fading_s * (1.0 - kept)), aside, new, F)
    return new, F
