"""How things move along the road, as closed forms of time: position at any t, velocity by a central difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perception.synthetic.road import Road

_DIFFERENCE_S = 1e-4  # central difference: error below 1e-7 m/s at the jerks of traffic


@dataclass(frozen=True)
class Travel:
    """Arc length over time: a start, a speed, and accelerations from given times on; speed never falls below zero.

    ``phases``: ((from_s, acceleration_mps2), ...) in order; before the first one the speed is constant.
    """

    s_m: float
    speed_mps: float
    phases: tuple[tuple[float, float], ...] = ()

    @cached_property
    def _knots(self) -> tuple[tuple[float, float, float, float], ...]:
        """(time, s, speed, acceleration) from each knot on; a standstill adds a knot of its own."""
        knots = [(-math.inf, self.s_m, self.speed_mps, 0.0)]
        now, s, v, a = 0.0, self.s_m, self.speed_mps, 0.0
        for start, acceleration in (*self.phases, (math.inf, 0.0)):
            stop = now - v / a if a < 0 else math.inf
            if stop < start:
                s, v, a, now = s + 0.5 * v * (stop - now), 0.0, 0.0, stop
                knots.append((now, s, v, a))
            if math.isinf(start):
                break
            dt = start - now
            s, v, now, a = s + v * dt + 0.5 * a * dt * dt, v + a * dt, start, acceleration
            if v <= 0.0 and a < 0.0:
                a = 0.0
            knots.append((now, s, v, a))
        return tuple(knots)

    def _knot(self, t_s: float) -> tuple[float, float, float, float]:
        for knot in reversed(self._knots):
            if t_s >= knot[0]:
                return knot
        return self._knots[0]

    def at(self, t_s: float) -> float:
        """Arc length in metres."""
        start, s, v, a = self._knot(t_s)
        dt = t_s - start if math.isfinite(start) else t_s
        return s + v * dt + 0.5 * a * dt * dt

    def acceleration(self, t_s: float) -> float:
        """Along the road, m/s^2."""
        return self._knot(t_s)[3]


@dataclass(frozen=True)
class Lateral:
    """Distance left of the centre line over time (that of ``Motion.lateral_clock_s``).

    Smooth changes ((from_s, lasting_s, by_m), ...) and a weave.
    """

    d_m: float = 0.0
    changes: tuple[tuple[float, float, float], ...] = ()
    weave_m: float = 0.0
    weave_hz: float = 0.1

    def at(self, t_s: float) -> float:
        """Metres to the left; changes follow the quintic of least jerk, at rest on both ends."""
        d = self.d_m + self.weave_m * math.sin(2 * math.pi * self.weave_hz * t_s)
        for start, lasting, by in self.changes:
            u = min(max((t_s - start) / lasting, 0.0), 1.0)
            d += by * u * u * u * (10 + u * (6 * u - 15))
        return d

    def changing(self, t_s: float) -> int:
        """+1 while moving left, -1 while moving right (from 1 s before the change on), else 0: the indicators."""
        for start, lasting, by in self.changes:
            if start - 1.0 <= t_s <= start + 0.8 * lasting:
                return 1 if by > 0 else -1
        return 0


@dataclass(frozen=True)
class Motion:
    """A path in road coordinates; ``turned_rad`` is the body's heading against the road's direction.

    With ``turned_rad`` None the body points where it goes, as wheeled things do: it moves sideways only while it rolls.
    """

    travel: Travel
    lateral: Lateral = Lateral()
    turned_rad: float | None = None

    def lateral_clock_s(self, t_s: float) -> float:
        """The time at which ``lateral`` is taken: for what rolls, the way made so far at its first speed."""
        if self.turned_rad is not None:
            return t_s
        speed = self.travel.speed_mps
        return (self.travel.at(t_s) - self.travel.s_m) / speed if speed else 0.0


@dataclass(frozen=True, eq=False)
class Poses:
    """N bodies at one time, in the world: place (N, 2) m, heading (N,), velocity (N, 2) m/s, yaw rate (N,) rad/s."""

    place_m: np.ndarray
    heading_rad: np.ndarray
    velocity_mps: np.ndarray
    yaw_rate_radps: np.ndarray
    s_m: np.ndarray
    d_m: np.ndarray


def poses(road: Road, motions: Sequence[Motion], t_s: float) -> Poses:
    """Where the bodies are at ``t_s`` and how they move."""
    times = [t_s + k * _DIFFERENCE_S for k in (-2, -1, 0, 1, 2)]
    s = np.array([[m.travel.at(t) for t in times] for m in motions]).reshape(-1, 5)
    d = np.array([[m.lateral.at(m.lateral_clock_s(t)) for t in times] for m in motions]).reshape(-1, 5)
    place = np.stack(road.world(s, d), axis=-1)
    along = road.pose(s[:, 1:4])[2]
    velocity = (place[:, 2:5] - place[:, 0:3]) / (2 * _DIFFERENCE_S)
    moving = np.hypot(velocity[..., 0], velocity[..., 1]) > 1e-3  # standing, the last direction cannot be told
    turned = np.arctan2(velocity[..., 1], velocity[..., 0]) - along
    turned = np.where(moving, (turned + math.pi) % (2 * math.pi) - math.pi, 0.0)
    for row, motion in enumerate(motions):
        if motion.turned_rad is not None:
            turned[row] = motion.turned_rad
    heading = along + turned
    rate = (heading[:, 2] - heading[:, 0]) / (2 * _DIFFERENCE_S)
    return Poses(place[:, 2], heading[:, 1], velocity[:, 1], rate, s[:, 2], d[:, 2])
