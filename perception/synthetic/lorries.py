"""Vans, lorries and buses: lofted boxes on wheels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from perception.synthetic.mesh import Colour, Lamp, Mesh, MeshBuilder, Point, scaled
from perception.synthetic.vehicles import (
    GLASS,
    PLATES,
    TRIM,
    fit,
    inset,
    loft,
    paint,
    rear_quad,
    underside,
    wheel,
)


def _panel(build: MeshBuilder, low: Point, high: Point, colour: Colour, *, step_m: float, gloss: float = 0.12) -> None:
    """An upright box whose long sides are cut into panels, so that straight edges stay straight through a lens."""
    count = max(1, round((high[0] - low[0]) / step_m))
    x = np.linspace(low[0], high[0], count + 1)
    y, z = (low[1], high[1]), (low[2], high[2])
    rounding = 0.04 * (high[2] - low[2])
    ring = np.array(
        [(y[1] * 0.98, z[0]), (y[1], z[0] + 0.05), (y[1], z[1] - rounding), (y[1] * 0.95, z[1]), (0.0, z[1])]
    )
    loft(build, x, np.repeat(ring[None], count + 1, axis=0), lambda _s, _b: colour, gloss)


def _rear_lamps(build: MeshBuilder, x: float, half_width: float, z: float, tall: float) -> None:
    for side, lamp in ((1, Lamp.LEFT), (-1, Lamp.RIGHT)):
        y = sorted((side * half_width, side * (half_width - 0.28)))
        build.polygon(rear_quad(x, (y[0], y[1]), (z, z + tall)), (34, 28, 150), lamp=Lamp.TAIL, lift=0.06)
        build.polygon(rear_quad(x, (y[0], y[1]), (z - 0.4 * tall, z)), (60, 120, 190), lamp=lamp, lift=0.06)


def _side_windows(build: MeshBuilder, x: np.ndarray, y: float, z: tuple[float, float], gap: float) -> None:
    for a, b in pairwise(x):
        quad = np.array([(a + gap, y, z[0]), (a + gap, y, z[1]), (b - gap, y, z[1]), (b - gap, y, z[0])])
        build.polygon(quad, GLASS, gloss=0.5, lift=0.06)
        build.polygon((quad * (1, -1, 1))[::-1], GLASS, gloss=0.5, lift=0.06)


def van(rng: np.random.Generator) -> Mesh:
    """A delivery van."""
    height, width, length = rng.uniform(2.1, 2.7), rng.uniform(1.95, 2.05), rng.uniform(5.0, 6.2)
    colour = (228.0, 228.0, 226.0) if rng.random() < 0.6 else paint(rng)
    build = MeshBuilder()
    underside(build, length, width, 0.35)
    x = np.array([0, 0.01, 0.3, 0.6, 0.74, 0.87, 0.98, 1.0])
    top = np.array([0.97, 1.0, 1.0, 1.0, 0.97, 0.56, 0.44, 0.34]) * height
    w = width / 2 * np.array([0.97, 1, 1, 1, 1, 0.98, 0.9, 0.8])
    rings = np.array(
        [
            [
                (0.97 * a, 0.32),
                (a, 0.45),
                (a, 0.45 + 0.55 * (b - 0.45)),
                (0.93 * a, b - 0.06),
                (0.86 * a, b - 0.01),
                (0, b),
            ]
            for a, b in zip(w, top, strict=True)
        ]
    )
    lower = scaled(colour, 0.5)
    loft(build, (x - 0.5) * length, rings, lambda _s, b: lower if b == 0 else colour, 0.2)
    place = np.dstack([np.repeat(((x - 0.5) * length)[:, None], 6, axis=1), rings[..., 0], rings[..., 1]])
    flip = np.array([1.0, -1.0, 1.0])
    screen = np.array([place[5, 4], place[4, 4], place[4, 4] * flip, place[5, 4] * flip])
    build.polygon(inset(screen, 0.06, 0.04), GLASS, gloss=0.6, lift=0.12)
    door = np.array([place[3, 2], place[3, 3], place[4, 3], place[4, 2]])
    for quad in (inset(door, 0.08), (inset(door, 0.08) * flip)[::-1]):
        build.polygon(quad, GLASS, gloss=0.5, lift=0.08)
    rear = -length / 2
    for side in (1, -1):
        y = sorted((side * 0.08, side * 0.8 * width / 2))
        build.polygon(rear_quad(rear, (y[0], y[1]), (0.58 * height, 0.84 * height)), GLASS, gloss=0.4, lift=0.05)
    build.polygon(rear_quad(rear, (-0.01, 0.01), (0.4, 0.95 * height)), TRIM, lift=0.05)
    _rear_lamps(build, rear, 0.96 * width / 2, 0.36 * height, 0.34)
    build.polygon(rear_quad(rear, (-0.26, 0.26), (0.42, 0.54)), PLATES[0], lamp=Lamp.RETRO, lift=0.06)
    _nose_lamps(build, length / 2, width / 2 * 0.84, 0.32 * height)
    for share in (-0.3, 0.32):
        wheel(build, share * length, width / 2, 0.36, (140, 138, 136))
    return fit(build.build(), (height, width, length))


def _nose_lamps(build: MeshBuilder, x: float, half_width: float, z: float) -> None:
    for side in (1, -1):
        y = sorted((side * half_width, side * (half_width - 0.32)))
        build.polygon(rear_quad(x, (y[0], y[1]), (z, z + 0.2))[::-1], (215, 212, 205), lamp=Lamp.HEAD, lift=0.3)
    grille = rear_quad(x, (-half_width + 0.4, half_width - 0.4), (z - 0.1, z + 0.2))[::-1]
    build.polygon(grille, TRIM, lift=0.2)
    build.polygon(rear_quad(x, (-0.26, 0.26), (z - 0.3, z - 0.18))[::-1], PLATES[0], lamp=Lamp.RETRO, lift=0.2)


def truck(rng: np.random.Generator) -> Mesh:
    """A lorry with a box body: a rigid one or a long one with a trailer."""
    long = rng.random() < 0.4
    height, width = rng.uniform(3.2, 4.0), rng.uniform(2.4, 2.55)
    length = rng.uniform(13.5, 16.5) if long else rng.uniform(7.5, 10.0)
    cab_length = 2.2
    colour = (225.0, 225.0, 222.0) if rng.random() < 0.45 else paint(rng)
    cab = paint(rng)
    build = MeshBuilder()
    underside(build, length, width, 0.6)
    rear, front = -length / 2, length / 2
    _panel(build, (rear, -width / 2, 1.0), (front - cab_length - 0.35, width / 2, height), colour, step_m=2.0)
    build.box((rear + 0.1, -0.45 * width, 0.55), (front - 0.3, 0.45 * width, 1.0), TRIM)
    cab_top = height * rng.uniform(0.78, 0.95)
    _panel(build, (front - cab_length, -0.48 * width, 0.5), (front, 0.48 * width, cab_top), cab, step_m=2.2, gloss=0.25)
    screen = rear_quad(front, (-0.43 * width, 0.43 * width), (0.55 * cab_top, 0.83 * cab_top))[::-1]
    build.polygon(screen, GLASS, gloss=0.6, lift=0.05)
    _side_windows(build, np.array([front - 1.3, front - 0.15]), 0.48 * width, (0.55 * cab_top, 0.8 * cab_top), 0.08)
    _truck_rear(build, rear, width, height, colour)
    _nose_lamps(build, front, 0.44 * width, 0.75)
    axles = [rear + 1.2, rear + 2.5, front - 1.3] + ([rear + 3.8] if long else [])
    for x in axles:
        wheel(build, x, width / 2, 0.5, (120, 118, 116))
    return fit(build.build(), (height, width, length))


def _truck_rear(build: MeshBuilder, x: float, width: float, height: float, colour: Colour) -> None:
    """Doors, under-run bar with lamps, marker stripes and plate."""
    dark = scaled(colour, 0.72)
    half = width / 2
    for y in ((-0.94 * half, -0.02), (0.02, 0.94 * half)):
        build.polygon(rear_quad(x, y, (1.12, height - 0.16)), dark, lift=0.03)
        inner = (y[0] + 0.05, y[1] - 0.05)
        build.polygon(rear_quad(x, inner, (1.17, height - 0.21)), colour, lift=0.05, gloss=0.08)
    for bar in (-0.45 * half, 0.45 * half):
        build.polygon(rear_quad(x, (bar - 0.02, bar + 0.02), (1.2, height - 0.25)), (120, 120, 120), lift=0.06)
    build.polygon(rear_quad(x, (-0.97 * half, 0.97 * half), (0.5, 0.72)), TRIM, lift=0.04)
    _rear_lamps(build, x, 0.95 * half, 0.76, 0.2)
    build.polygon(rear_quad(x, (-0.26, 0.26), (0.55, 0.67)), PLATES[0], lamp=Lamp.RETRO, lift=0.06)


def bus(rng: np.random.Generator) -> Mesh:
    """A city bus or coach."""
    height, width, length = rng.uniform(2.95, 3.3), rng.uniform(2.45, 2.55), rng.uniform(10.5, 12.5)
    colours: tuple[Colour, ...] = ((60, 60, 190), (210, 210, 205), (150, 90, 40), (50, 150, 70), (40, 170, 220))
    colour = colours[rng.integers(len(colours))]
    build = MeshBuilder()
    underside(build, length, width, 0.4)
    rear, front, half = -length / 2, length / 2, width / 2
    _panel(build, (rear, -half, 0.32), (front, half, height), colour, step_m=1.5, gloss=0.25)
    x = np.linspace(rear + 0.5, front - 0.3, 8)
    _side_windows(build, x, half, (0.45 * height, 0.82 * height), 0.06)
    build.polygon(
        rear_quad(rear, (-0.85 * half, 0.85 * half), (0.55 * height, 0.84 * height)), GLASS, gloss=0.5, lift=0.05
    )
    build.polygon(rear_quad(rear, (-0.6 * half, 0.6 * half), (0.2 * height, 0.42 * height)), TRIM, lift=0.05)
    screen = rear_quad(front, (-0.92 * half, 0.92 * half), (0.36 * height, 0.82 * height))[::-1]
    build.polygon(screen, GLASS, gloss=0.6, lift=0.05)
    board = rear_quad(front, (-0.7 * half, 0.7 * half), (0.85 * height, 0.95 * height))[::-1]
    build.polygon(board, (30, 30, 30), lift=0.05)
    _rear_lamps(build, rear, 0.95 * half, 0.28 * height, 0.3)
    build.polygon(rear_quad(rear, (-0.26, 0.26), (0.45, 0.57)), PLATES[0], lamp=Lamp.RETRO, lift=0.06)
    _nose_lamps(build, front, 0.88 * half, 0.62)
    for share in (-0.24, 0.29):
        wheel(build, share * length, half, 0.48, (130, 128, 126))
    return fit(build.build(), (height, width, length))
