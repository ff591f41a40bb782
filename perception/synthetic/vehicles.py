"""Cars as lofted meshes, randomised in shape, colour and detail, and what lorries share with them.

A body is lofted from cross-sections along its length. Its dark underside reaches the road at the nearest face, so that
the lower edge of a box lies where the 3D box stands (as in labels made by projecting 3D boxes, KITTI's among them).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from perception.synthetic.mesh import Colour, Lamp, Mesh, MeshBuilder, Point, normals, scaled

TYRE: Colour = (26, 25, 25)
GLASS: Colour = (46, 40, 34)
TRIM: Colour = (34, 33, 33)
UNDER: Colour = (12, 12, 12)
PLATES: tuple[Colour, ...] = ((225, 225, 225), (215, 222, 224), (40, 190, 225))
# Blue-green-red paints by their share on European roads (grey, black, white, blue, red, silver, green, beige, yellow).
_PAINTS: tuple[tuple[Colour, float], ...] = (
    ((108, 105, 102), 0.19),
    ((34, 32, 31), 0.22),
    ((232, 232, 230), 0.22),
    ((128, 66, 32), 0.11),
    ((38, 32, 158), 0.08),
    ((184, 182, 178), 0.1),
    ((60, 82, 44), 0.03),
    ((148, 172, 188), 0.03),
    ((30, 160, 214), 0.02),
)


def paint(rng: np.random.Generator) -> Colour:
    """A car's colour, drawn by its share on the road and varied a little."""
    share = np.array([p for _, p in _PAINTS])
    base = np.array(_PAINTS[rng.choice(len(_PAINTS), p=share / share.sum())][0])
    b, g, r = np.clip(base * rng.uniform(0.85, 1.12) + rng.normal(0, 4, 3), 6, 245)
    return float(b), float(g), float(r)


@dataclass(frozen=True)
class CarShape:
    """Side view of a car, as shares of its length (from the rear) and height.

    ``body``: (x, top) stations of the lower body; ``cabin``: x of rear base, rear roof edge, front roof edge and
    windscreen base; ``belt``: height of the window line.
    """

    body: tuple[tuple[float, float], ...]
    cabin: tuple[float, float, float, float]
    belt: float
    size_m: tuple[float, float, float]  # h, w, l
    wheel_share: float = 0.225


SEDAN = CarShape(
    ((0.0, 0.60), (0.02, 0.66), (0.1, 0.69), (0.3, 0.66), (0.66, 0.65), (0.74, 0.63), (0.92, 0.55), (0.985, 0.47)),
    (0.12, 0.30, 0.53, 0.73),
    0.645,
    (1.45, 1.82, 4.7),
)
HATCH = CarShape(
    ((0.0, 0.60), (0.02, 0.64), (0.1, 0.64), (0.3, 0.63), (0.66, 0.63), (0.75, 0.61), (0.93, 0.52), (0.985, 0.46)),
    (0.005, 0.10, 0.55, 0.76),
    0.625,
    (1.48, 1.78, 4.1),
    0.215,
)
ESTATE = CarShape(
    ((0.0, 0.60), (0.02, 0.64), (0.1, 0.65), (0.3, 0.64), (0.66, 0.64), (0.74, 0.62), (0.93, 0.53), (0.985, 0.46)),
    (0.005, 0.08, 0.54, 0.74),
    0.635,
    (1.5, 1.84, 4.75),
)
SUV = CarShape(
    ((0.0, 0.56), (0.02, 0.62), (0.1, 0.63), (0.3, 0.62), (0.66, 0.62), (0.74, 0.61), (0.94, 0.55), (0.985, 0.48)),
    (0.005, 0.08, 0.57, 0.74),
    0.615,
    (1.72, 1.9, 4.6),
    0.22,
)
MINIVAN = CarShape(
    ((0.0, 0.50), (0.02, 0.55), (0.1, 0.55), (0.3, 0.54), (0.7, 0.54), (0.8, 0.53), (0.94, 0.46), (0.985, 0.4)),
    (0.003, 0.05, 0.66, 0.86),
    0.54,
    (1.85, 1.9, 4.7),
    0.18,
)
PICKUP = CarShape(
    ((0.0, 0.55), (0.01, 0.57), (0.2, 0.57), (0.4, 0.57), (0.7, 0.57), (0.78, 0.56), (0.95, 0.52), (0.985, 0.44)),
    (0.40, 0.44, 0.62, 0.75),
    0.565,
    (1.82, 1.95, 5.4),
    0.205,
)
CAR_SHAPES: tuple[tuple[CarShape, float], ...] = (
    (SEDAN, 0.27),
    (HATCH, 0.25),
    (ESTATE, 0.14),
    (SUV, 0.24),
    (MINIVAN, 0.06),
    (PICKUP, 0.04),
)

Look = Callable[[int, int], Colour]


def loft(build: MeshBuilder, x: np.ndarray, rings: np.ndarray, look: Look, gloss: float) -> None:
    """Skins half cross-sections rings (S, R, 2) of (y, z), bottom to top, at x (S,), on both sides, and caps both ends.

    ``look(segment, band)`` colours a cell; the caps are segments -1 and S - 1.
    """
    stations, count = rings.shape[:2]
    left = np.dstack([np.repeat(x[:, None], count, axis=1), rings[..., 0], rings[..., 1]])
    first = build.points(left)
    mirror = build.points(left * (1, -1, 1))
    for i in range(stations - 1):
        for j in range(count - 1):
            cell = np.array([i * count + j, i * count + j + 1, (i + 1) * count + j + 1, (i + 1) * count + j])
            build.face(first + cell, look(i, j), gloss=gloss)
            build.face(mirror + cell[::-1], look(i, j), gloss=gloss)
    for station, segment in ((0, -1), (stations - 1, stations - 1)):
        for j in range(count - 1):
            a = station * count + j
            strip = np.array([mirror + a, mirror + a + 1, first + a + 1, first + a])
            build.face(strip if segment == -1 else strip[::-1], look(segment, j), gloss=gloss * 0.6)


def inset(corners: np.ndarray, share: float, share_v: float | None = None) -> np.ndarray:
    """A quad (4, 3) shrunk towards its middle, along its first edge and across it."""
    a, b, c, d = corners
    u0, v0 = share, share if share_v is None else share_v
    mix = [(u0, v0), (1 - u0, v0), (1 - u0, 1 - v0), (u0, 1 - v0)]
    return np.array([(1 - u) * (1 - v) * a + u * (1 - v) * b + u * v * c + (1 - u) * v * d for u, v in mix])


def wheel(build: MeshBuilder, x: float, half_width: float, radius: float, rim: Colour) -> None:
    """A pair of wheels at x: tyres seen from the side and, between them and the body, from behind."""
    for side in (1, -1):
        y = side * half_width
        build.disc((x, y * 0.985, radius * 1.16), radius * 1.16, side, (18, 18, 18), lift=0.02)
        build.disc((x, y * 0.995, radius), radius, side, TYRE, lift=0.06)
        build.disc((x, y, radius), radius * 0.66, side, rim, lift=0.08)
        build.disc((x, y, radius), radius * 0.2, side, TRIM, corners=8, lift=0.1)
        inner = y - side * 0.22
        low, high = sorted((y * 0.985, inner))
        for end in (-1, 1):
            quad = [(x + end * radius * 0.8, p, q) for p, q in ((low, 0), (high, 0), (high, 0.5), (low, 0.5))]
            build.polygon(quad if end == 1 else quad[::-1], TYRE)


def underside(build: MeshBuilder, length: float, width: float, height: float) -> None:
    """The darkness under a body, down to the road at its nearest face."""
    y = width / 2 - 0.16
    build.box((-length / 2, -y, 0.0), (length / 2, y, height), UNDER)


def fit(mesh: Mesh, size_m: tuple[float, float, float]) -> Mesh:
    """The mesh stretched to exactly h, w, l, its middle over the origin."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    scale = np.array(size_m[::-1]) / (high - low)
    middle = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    vertices, surface = (mesh.vertices - middle) * scale, mesh.surface
    # What is stuck on front and rear lies on faces as wide as the body, whose middles may be nearer by half of that.
    ends = (np.abs(normals(vertices, surface)[:, 0]) > 0.5) & (surface.lift > 0)
    return Mesh(vertices, replace(surface, lift=surface.lift + ends * size_m[1] / 2))


def car(rng: np.random.Generator, shape: CarShape | None = None, colour: Colour | None = None) -> Mesh:
    """A passenger car; by default of a random kind, size and colour."""
    if shape is None:
        share = np.array([p for _, p in CAR_SHAPES])
        shape = CAR_SHAPES[rng.choice(len(CAR_SHAPES), p=share / share.sum())][0]
    height, width, length = (float(v * rng.uniform(0.96, 1.05)) for v in shape.size_m)
    size = height, width, length
    body = colour if colour is not None else paint(rng)
    build = MeshBuilder()
    underside(build, length, width, 0.3)
    _car_body(build, shape, size, body)
    _car_cabin(build, shape, size, body)
    rim = (150.0, 148.0, 146.0) if rng.random() < 0.7 else (70.0, 68.0, 66.0)
    radius = shape.wheel_share * height
    for x in (-0.295, 0.315):
        wheel(build, x * length, width / 2, radius, rim)
    _car_rear(build, shape, size, PLATES[rng.integers(len(PLATES))])
    _car_front(build, shape, size, PLATES[rng.integers(len(PLATES))])
    return fit(build.build(), (height, width, length))


def _car_body(build: MeshBuilder, shape: CarShape, size: tuple[float, ...], colour: Colour) -> None:
    height, width, length = size
    # The last station rounds the nose off down to the bumper.
    x = np.array([s[0] for s in shape.body] + [1.0])
    top = np.array([s[1] for s in shape.body] + [shape.body[-1][1] - 0.06]) * height
    w = (
        width
        / 2
        * np.interp(x, [0.0, 0.02, 0.12, 0.3, 0.8, 0.94, 0.985, 1.0], [0.86, 0.94, 0.99, 1, 1, 0.95, 0.86, 0.74])
    )
    low = height * np.interp(x, [0, 0.1, 0.9, 1], [0.19, 0.13, 0.12, 0.14])
    rings = np.empty((len(x), 6, 2))
    for row, (wi, zi, lo) in enumerate(zip(w, top, low, strict=True)):
        rings[row] = (
            (0.94 * wi, lo),
            (wi, lo + 0.1 * height),
            (wi, lo + 0.62 * (zi - lo)),
            (0.97 * wi, zi - 0.045 * height),
            (0.9 * wi, zi - 0.012 * height),
            (0.0, zi),
        )
    sill = scaled(colour, 0.55)

    def look(segment: int, band: int) -> Colour:
        if band == 0:
            return sill if 0 <= segment < len(x) - 1 else TRIM
        return colour

    loft(build, (x - 0.5) * length, rings, look, 0.32)


def _car_cabin(build: MeshBuilder, shape: CarShape, size: tuple[float, ...], colour: Colour) -> None:
    height, width, length = size
    rear, roof_rear, roof_front, front = shape.cabin
    belt, w, roof_w = shape.belt * height, 0.9 * width / 2, 0.70 * width / 2
    pillars = np.linspace(roof_rear, roof_front, 3)
    x = np.array([rear, *pillars, front])
    base = np.array([(w, belt), (0.97 * w, belt), (0.9 * w, belt), (0.0, belt + 0.005)])
    full = np.array([(w, belt), (roof_w, height * 0.955), (0.8 * roof_w, height * 0.99), (0.0, height)])
    middle = full + np.array([(0, 0), (0, 0.004), (0, 0.004), (0, 0.004)]) * height
    rings = np.stack([base, full, middle, full, base])
    loft(build, (x - 0.5) * length, rings, lambda _s, _b: colour, 0.3)
    place = np.dstack([np.repeat(((x - 0.5) * length)[:, None], 4, axis=1), rings[..., 0], rings[..., 1]])
    flip = np.array([1.0, -1.0, 1.0])
    for i in (1, 2):  # side windows between the pillars
        corners = np.array([place[i, 0], place[i, 1], place[i + 1, 1], place[i + 1, 0]])
        window = inset(corners, 0.1, 0.05)
        build.polygon(window, GLASS, gloss=0.55, lift=0.05)
        build.polygon((window * flip)[::-1], GLASS, gloss=0.55, lift=0.05)
    for i, j in ((1, 0), (3, 4)):  # quarter windows over the slopes of screen and rear window
        corner = np.array([place[i, 0], place[i, 1], place[j, 0]])
        if abs(corner[2, 0] - corner[0, 0]) > 0.3:
            window = corner.mean(axis=0) + 0.62 * (corner - corner.mean(axis=0))
            window = window if i == 3 else window[::-1]
            build.polygon(window, GLASS, gloss=0.5, lift=0.05)
            build.polygon((window * flip)[::-1], GLASS, gloss=0.5, lift=0.05)
    for low, high, end in ((0, 1, -1), (4, 3, 1)):  # rear window and windscreen
        a, b = place[low, 1], place[high, 1]
        quad = np.array([a * flip, b * flip, b, a])
        quad = inset(quad if end == -1 else quad[::-1], 0.1, 0.06)
        build.polygon(quad, GLASS, gloss=0.6, lift=0.12)


def rear_quad(x: float, y: tuple[float, float], z: tuple[float, float]) -> list[Point]:
    return [(x, y[0], z[0]), (x, y[0], z[1]), (x, y[1], z[1]), (x, y[1], z[0])]


def _car_rear(build: MeshBuilder, shape: CarShape, size: tuple[float, ...], plate: Colour) -> None:
    """Lamps, plate and bumper on the rear face."""
    height, width, length = size
    x = -length / 2
    w, top = width / 2 * 0.86, shape.body[0][1] * height
    z_lamp = (top - 0.30 * top, top - 0.06 * top)
    for side, lamp in ((1, Lamp.LEFT), (-1, Lamp.RIGHT)):
        outer, inner = side * 0.99 * w, side * 0.60 * w
        y = (min(outer, inner), max(outer, inner))
        build.polygon(rear_quad(x, y, z_lamp), (34, 28, 150), lamp=Lamp.TAIL, lift=0.05, gloss=0.2)
        z_low = (z_lamp[0] - 0.05 * height, z_lamp[0])
        build.polygon(rear_quad(x, y, z_low), (60, 120, 190), lamp=lamp, lift=0.06)
        wrap = [(x, outer, z_lamp[0]), (x, outer, z_lamp[1])]
        ahead = [(x + 0.05 * length, side * width / 2 * 0.965, z) for z in z_lamp]
        quad = [wrap[0], wrap[1], ahead[1], ahead[0]]
        build.polygon(quad if side == 1 else quad[::-1], (34, 28, 150), lamp=Lamp.TAIL, lift=0.06, gloss=0.2)
    mid = 0.30 * top + 0.18 * height
    build.polygon(rear_quad(x, (-0.26, 0.26), (mid, mid + 0.12)), plate, lamp=Lamp.RETRO, lift=0.06)
    build.polygon(rear_quad(x, (-0.9 * w, 0.9 * w), (0.19 * height, 0.27 * height)), TRIM, lift=0.04)
    roof = (shape.cabin[1] - 0.5) * length - 0.04
    brake = [(roof, y, height * z) for y, z in ((-0.15, 0.925), (-0.15, 0.945), (0.15, 0.945), (0.15, 0.925))]
    build.polygon(brake, (30, 24, 110), lamp=Lamp.BRAKE, lift=0.2)


def _car_front(build: MeshBuilder, shape: CarShape, size: tuple[float, ...], plate: Colour) -> None:
    """Headlamps, grille and plate on the nose."""
    height, width, length = size
    x = length / 2
    w, top = width / 2 * 0.80, (shape.body[-1][1] - 0.03) * height
    z_lamp = (top - 0.12 * height, top - 0.02 * height)
    for side in (1, -1):
        outer, inner = side * 1.02 * w, side * 0.62 * w
        front = [(x - 0.01, inner, z_lamp[0]), (x - 0.03 * length, outer, z_lamp[0])]
        quad = [*front, (x - 0.04 * length, outer, z_lamp[1]), (x - 0.02, inner, z_lamp[1])]
        build.polygon(quad if side == 1 else quad[::-1], (215, 212, 205), lamp=Lamp.HEAD, lift=0.25, gloss=0.4)
    grille = rear_quad(x, (-0.58 * w, 0.58 * w), (0.26 * height, top - 0.03 * height))[::-1]
    build.polygon(grille, TRIM, lift=0.03, gloss=0.1)
    build.polygon(
        rear_quad(x, (-0.26, 0.26), (0.24 * height, 0.24 * height + 0.11))[::-1], plate, lamp=Lamp.RETRO, lift=0.06
    )
