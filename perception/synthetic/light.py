"""Where light comes from: sun and sky by day; by night the vehicle's own beams, street lamps and a little glow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from perception.synthetic.world import Scene

LAMP_SPACING_M = 32.0


@dataclass(frozen=True)
class Light:
    """Strengths are shares of full daylight."""

    night: bool
    sun: float
    sky: float
    azimuth_rad: float  # of the sun in the world
    elevation_rad: float
    sky_colour: np.ndarray  # (3,) seen in mirrors
    haze_colour: np.ndarray  # (3,) of far things
    haze_m: float  # distance at which 63 % of the contrast is gone

    @classmethod
    def of(cls, scene: Scene) -> Light:
        """The light of a scene: its hour and weather."""
        o, around = scene.options, scene.surroundings
        cloud = min(1.0, max(around.overcast, 1.5 * o.rain, o.fog))
        clear_m = 2200.0 * (1 - o.rain) + 380.0 * o.rain
        haze_m = clear_m if o.fog == 0 else min(clear_m, 22.0 / o.fog)  # fog 1: 5 % of the contrast at 66 m
        sky_colour = np.array([222.0, 205.0, 190.0]) * (1 - 0.15 * cloud)
        if o.night:
            return cls(True, 0.0, 0.13, 0.0, 1.0, np.array([30.0, 26, 24]), np.array([26.0, 24, 24]), haze_m)
        sun = 0.85 * (1 - cloud) ** 1.2
        sky = 0.58 + 0.34 * cloud - 0.16 * o.rain
        haze = np.array([216.0, 210, 204]) * (1 - 0.12 * cloud)
        return cls(False, sun, sky, around.sun_azimuth_rad, around.sun_elevation_rad, sky_colour, haze, haze_m)

    @property
    def full(self) -> float:
        """Light on level ground in the open."""
        return self.sky + self.sun * math.sin(self.elevation_rad)

    def sun_direction(self, heading_rad: float) -> np.ndarray:
        """(3,) unit vector towards the sun in the frame of a vehicle with that heading."""
        turn, c = self.azimuth_rad - heading_rad, math.cos(self.elevation_rad)
        return np.array([c * math.cos(turn), c * math.sin(turn), math.sin(self.elevation_rad)])

    def beam(self, x_m: np.ndarray, y_m: np.ndarray) -> np.ndarray:
        """Light of the vehicle's dipped beams at vehicle points (any shape), a share of daylight."""
        x, y = np.maximum(x_m, 0.5), np.asarray(y_m)
        spread = y / (1.6 + 0.24 * x)
        right = 1.0 + 0.22 * np.tanh(-y / 3.0)  # dipped beams reach farther on the near side
        near = 1.0 / (1.0 + (x / 19.0) ** 2)
        rise = np.clip((x - 1.5) / 4.5, 0, 1)
        return 1.55 * rise * near * right * np.exp(-spread * spread)

    def fog_share(self, range_m: np.ndarray | float) -> np.ndarray:
        """Share of haze in what is seen at a distance."""
        return 1.0 - np.exp(-np.asarray(range_m) / self.haze_m)


def lamp_pools(s_m: np.ndarray, d_m: np.ndarray, places_d_m: tuple[float, ...]) -> np.ndarray:
    """Light of street lamps on the road at (s, d), float32, a share of daylight."""
    along = (s_m + LAMP_SPACING_M / 2) % LAMP_SPACING_M - LAMP_SPACING_M / 2
    total = np.zeros(np.broadcast_shapes(s_m.shape, d_m.shape))
    for place in places_d_m:
        total += 0.42 / (1 + (along * along + (d_m - place) ** 2) / 30.0) ** 1.5
    return total
