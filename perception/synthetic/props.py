"""What stands beside a road: traffic lights and signs (with truth), poles, lamps, bridges and barriers (without)."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from perception.synthetic.mesh import Colour, Lamp, Mesh, MeshBuilder, scaled

_STEEL: Colour = (120, 122, 124)
_DARK: Colour = (32, 34, 32)
_LIGHTS: tuple[Colour, ...] = ((40, 36, 235), (40, 190, 245), (130, 225, 60))  # red, amber, green


def _facing(centre: tuple[float, float, float], points: np.ndarray) -> np.ndarray:
    """Points (K, 2) right-handed in (right, up) of a plate that looks backwards (towards -x), as (K, 3)."""
    x, y, z = centre
    return np.stack([np.full(len(points), x), y - points[:, 0], z + points[:, 1]], axis=1)


def _circle(radius: float, corners: int = 16, turn: float = 0.0) -> np.ndarray:
    angle = turn + np.arange(corners) * (2 * math.pi / corners)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def traffic_light(state: int, height_m: float = 3.0) -> Mesh:
    """The housing with its three lamps, looking back along the road; ``state``: 0 red, 1 amber, 2 green."""
    build = MeshBuilder()
    low = height_m
    build.box((0.0, -0.17, low), (0.22, 0.17, low + 0.95), _DARK)
    for number in range(3):
        lit = number == state
        colour = scaled(_LIGHTS[number], 1.0 if lit else 0.2)
        centre = (-0.002, 0.0, low + 0.79 - 0.31 * number)
        lamp = Lamp.LIT if lit else Lamp.NONE
        build.polygon(_facing(centre, _circle(0.125)), colour, lamp=lamp, lift=0.05)
    return build.build()


def pole(height_m: float, radius_m: float = 0.06, colour: Colour = _STEEL) -> Mesh:
    """A plain pole."""
    build = MeshBuilder()
    count = max(2, round(height_m / 1.5))
    heights = np.linspace(0.0, height_m, count)
    for low, high in pairwise(heights):
        build.tube((np.array([0, 0, low]), np.array([0, 0, high])), (radius_m, radius_m), colour, 6)
    return build.build()


def lamp_post(height_m: float, reach_m: float) -> Mesh:
    """A street lamp whose arm reaches ``reach_m`` to the left."""
    build = MeshBuilder()
    heights = np.linspace(0.0, height_m, 6)
    for low, high in pairwise(heights):
        build.tube((np.array([0, 0, low]), np.array([0, 0, high])), (0.09, 0.08), _STEEL, 6)
    tip = np.array([0.0, reach_m, height_m + 0.3])
    build.tube((np.array([0, 0, height_m]), tip), (0.06, 0.05), _STEEL, 5)
    sign = math.copysign(0.35, reach_m)
    low_y, high_y = sorted((reach_m, reach_m + sign))
    build.box((-0.12, low_y, height_m + 0.22), (0.12, high_y, height_m + 0.34), (190, 215, 225), lamp=Lamp.LIT)
    return build.build()


SIGNS = ("speed", "warning", "stop", "no entry", "direction", "parking", "yield")


def traffic_sign(kind: str, height_m: float = 2.2, size_m: float = 0.7) -> Mesh:
    """A sign's plate with its lower edge at ``height_m``, looking back along the road."""
    build = MeshBuilder()
    half = size_m / 2
    centre = (0.0, 0.0, height_m + half)
    near = (-0.003, 0.0, height_m + half)

    def plate(points: np.ndarray, colour: Colour, lift: float) -> None:
        build.polygon(_facing(near, points), colour, lamp=Lamp.RETRO, lift=lift)

    white, red, blue, black = (232.0, 232.0, 232.0), (42.0, 34.0, 190.0), (170.0, 84.0, 22.0), (28.0, 28.0, 28.0)
    shape = {
        "warning": _circle(half * 1.15, 3, math.pi / 2),
        "yield": _circle(half * 1.15, 3, -math.pi / 2),
        "stop": _circle(half, 8, math.pi / 8),
        "direction": np.array([(-1.6, -0.5), (1.6, -0.5), (1.6, 0.5), (-1.6, 0.5)]) * half,
        "parking": np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half * 0.9,
    }.get(kind, _circle(half))
    rim = {"direction": white, "parking": white}.get(kind, red)
    plate(shape, rim, 0.02)
    build.polygon(_facing(centre, shape)[::-1], _STEEL)
    if kind in ("speed", "warning", "yield"):
        plate(shape * 0.76, white, 0.04)
    if kind == "speed":
        for x in (-0.2, 0.2):
            plate(
                np.array([(-0.12, -0.3), (0.12, -0.3), (0.12, 0.3), (-0.12, 0.3)]) * half + (x * half * 1.2, 0),
                black,
                0.06,
            )
    elif kind == "warning":
        plate(np.array([(-0.08, -0.2), (0.08, -0.2), (0.1, 0.4), (-0.1, 0.4)]) * half, black, 0.06)
    elif kind == "stop":
        plate(np.array([(-0.7, -0.16), (0.7, -0.16), (0.7, 0.16), (-0.7, 0.16)]) * half, white, 0.04)
    elif kind == "no entry":
        plate(np.array([(-0.7, -0.18), (0.7, -0.18), (0.7, 0.18), (-0.7, 0.18)]) * half, white, 0.04)
    elif kind in ("direction", "parking"):
        plate(shape * 0.94, blue, 0.04)
        bar = np.array([(-0.5, -0.08), (0.5, -0.08), (0.5, 0.08), (-0.5, 0.08)]) * half
        for z in (-0.18, 0.16):
            plate(bar + np.array([0.0, z * half]), white, 0.06)
    return build.build()


def bridge(width_m: float, length_m: float, clearance_m: float) -> Mesh:
    """A road bridge overhead: deck, parapet and two abutment walls; ``length_m`` along the road below."""
    build = MeshBuilder()
    concrete, dark = (172.0, 180.0, 184.0), (104.0, 108.0, 110.0)
    y = np.linspace(-width_m / 2 - 12, width_m / 2 + 12, 15)
    x0, x1, low, high = -length_m / 2, length_m / 2, clearance_m, clearance_m + 1.9
    for a, b in pairwise(y):
        build.polygon([(x0, b, low), (x0, b, high), (x0, a, high), (x0, a, low)], concrete)
        build.polygon([(x0, b, low), (x0, a, low), (x1, a, low), (x1, b, low)], dark)
        build.polygon([(x1, a, low), (x1, a, high), (x1, b, high), (x1, b, low)], concrete)
    for side in (1, -1):
        inner, outer = side * width_m / 2, side * (width_m / 2 + 2.0)
        low_y, high_y = sorted((inner, outer))
        steps = np.linspace(x0, x1, max(2, round(length_m / 2)))
        for a, b in pairwise(steps):
            build.box((a, low_y, 0.0), (b, high_y, low), (138, 144, 148))
    return build.build()
