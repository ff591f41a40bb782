"""Cars, vans, trucks and buses as lofted meshes, randomised in shape, colour and detail.

A body is lofted from cross-sections along its length. Its dark underside reaches the road at the nearest face, so that
the lower edge of a box lies where the 3D box stands (as in labels made by projecting 3D boxes, KITTI's among them).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from perception.synthetic.mesh import Colour, Lamp, Mesh, MeshBuilder, Point, normals

_TYRE: Colour = (26, 25, 25)
_GLASS: Colour = (46, 40, 34)
_TRIM: Colour = (34, 33, 33)
_UNDER: Colour = (12, 12, 12)
_PLATES: tuple[Colour, ...] = ((225, 225, 225), (215, 222, 224), (40, 190, 225))
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


def _loft(build: MeshBuilder, x: np.ndarray, rings: np.ndarray, look: Look, gloss: float) -> None:
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


def _inset(corners: np.ndarray, share: float, share_v: float | None = None) -> np.ndarray:
    """A quad (4, 3) shrunk towards its middle, along its first edge and across it."""
    a, b, c, d = corners
    u0, v0 = share, share if share_v is None else share_v
    mix = [(u0, v0), (1 - u0, v0), (1 - u0, 1 - v0), (u0, 1 - v0)]
    return np.array([(1 - u) * (1 - v) * a + u * (1 - v) * b + u * v * c + (1 - u) * v * d for u, v in mix])


def wheel(build: MeshBuilder, x: float, half_width: float, radius: float, rim: Colour) -> None:
    """A pair of wheels at x: tyres seen from the side and, between them and the body, from behind."""
    for side in (1, -1):
        y = side * half_width
        build.disc((x, y * 0.985, radius), radius * 1.16, side, (18, 18, 18), lift=0.02)
        build.disc((x, y * 0.995, radius), radius, side, _TYRE, lift=0.06)
        build.disc((x, y, radius), radius * 0.66, side, rim, lift=0.08)
        build.disc((x, y, radius), radius * 0.2, side, _TRIM, corners=8, lift=0.1)
        inner = y - side * 0.22
        low, high = sorted((y * 0.985, inner))
        for end in (-1, 1):
            quad = [(x + end * radius * 0.8, p, q) for p, q in ((low, 0), (high, 0), (high, 0.5), (low, 0.5))]
            build.polygon(quad if end == 1 else quad[::-1], _TYRE)


def underside(build: MeshBuilder, length: float, width: float, height: float) -> None:
    """The darkness under a body, down to the road at its nearest face."""
    y = width / 2 - 0.16
    build.box((-length / 2, -y, 0.0), (length / 2, y, height), _UNDER)


def _fit(mesh: Mesh, size_m: tuple[float, float, float]) -> Mesh:
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
    size = tuple(float(v * rng.uniform(0.96, 1.05)) for v in shape.size_m)
    height, width, length = size
    body = colour if colour is not None else paint(rng)
    build = MeshBuilder()
    underside(build, length, width, 0.3)
    _car_body(build, shape, size, body)
    _car_cabin(build, shape, size, body)
    rim = (150.0, 148.0, 146.0) if rng.random() < 0.7 else (70.0, 68.0, 66.0)
    radius = shape.wheel_share * height
    for x in (-0.295, 0.315):
        wheel(build, x * length, width / 2, radius, rim)
    _car_rear(build, shape, size, _PLATES[rng.integers(len(_PLATES))])
    _car_front(build, shape, size, _PLATES[rng.integers(len(_PLATES))])
    return _fit(build.build(), (height, width, length))


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
    sill = tuple(0.55 * c for c in colour)

    def look(segment: int, band: int) -> Colour:
        if band == 0:
            return sill if 0 <= segment < len(x) - 1 else _TRIM
        return colour

    _loft(build, (x - 0.5) * length, rings, look, 0.32)


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
    _loft(build, (x - 0.5) * length, rings, lambda _s, _b: colour, 0.3)
    place = np.dstack([np.repeat(((x - 0.5) * length)[:, None], 4, axis=1), rings[..., 0], rings[..., 1]])
    flip = np.array([1.0, -1.0, 1.0])
    for i in (1, 2):  # side windows between the pillars
        corners = np.array([place[i, 0], place[i, 1], place[i + 1, 1], place[i + 1, 0]])
        window = _inset(corners, 0.1, 0.05)
        build.polygon(window, _GLASS, gloss=0.55, lift=0.05)
        build.polygon((window * flip)[::-1], _GLASS, gloss=0.55, lift=0.05)
    for i, j in ((1, 0), (3, 4)):  # quarter windows over the slopes of screen and rear window
        corner = np.array([place[i, 0], place[i, 1], place[j, 0]])
        if abs(corner[2, 0] - corner[0, 0]) > 0.3:
            window = corner.mean(axis=0) + 0.62 * (corner - corner.mean(axis=0))
            window = window if i == 3 else window[::-1]
            build.polygon(window, _GLASS, gloss=0.5, lift=0.05)
            build.polygon((window * flip)[::-1], _GLASS, gloss=0.5, lift=0.05)
    for low, high, end in ((0, 1, -1), (4, 3, 1)):  # rear window and windscreen
        a, b = place[low, 1], place[high, 1]
        quad = np.array([a * flip, b * flip, b, a])
        quad = _inset(quad if end == -1 else quad[::-1], 0.1, 0.06)
        build.polygon(quad, _GLASS, gloss=0.6, lift=0.12)


def _rear_quad(x: float, y: tuple[float, float], z: tuple[float, float]) -> list[Point]:
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
        build.polygon(_rear_quad(x, y, z_lamp), (34, 28, 150), lamp=Lamp.TAIL, lift=0.05, gloss=0.2)
        z_low = (z_lamp[0] - 0.05 * height, z_lamp[0])
        build.polygon(_rear_quad(x, y, z_low), (60, 120, 190), lamp=lamp, lift=0.06)
        wrap = [(x, outer, z_lamp[0]), (x, outer, z_lamp[1])]
        ahead = [(x + 0.05 * length, side * width / 2 * 0.965, z) for z in z_lamp]
        quad = [wrap[0], wrap[1], ahead[1], ahead[0]]
        build.polygon(quad if side == 1 else quad[::-1], (34, 28, 150), lamp=Lamp.TAIL, lift=0.06, gloss=0.2)
    mid = 0.30 * top + 0.18 * height
    build.polygon(_rear_quad(x, (-0.26, 0.26), (mid, mid + 0.12)), plate, lamp=Lamp.RETRO, lift=0.06)
    build.polygon(_rear_quad(x, (-0.9 * w, 0.9 * w), (0.19 * height, 0.27 * height)), _TRIM, lift=0.04)
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
    grille = _rear_quad(x, (-0.58 * w, 0.58 * w), (0.26 * height, top - 0.03 * height))[::-1]
    build.polygon(grille, _TRIM, lift=0.03, gloss=0.1)
    build.polygon(
        _rear_quad(x, (-0.26, 0.26), (0.24 * height, 0.24 * height + 0.11))[::-1], plate, lamp=Lamp.RETRO, lift=0.06
    )


# -- boxes on wheels ------------------------------------------------------------------------------------------------


def _panel(build: MeshBuilder, low: Point, high: Point, colour: Colour, *, step_m: float, gloss: float = 0.12) -> None:
    """An upright box whose long sides are cut into panels, so that straight edges stay straight through a lens."""
    count = max(1, round((high[0] - low[0]) / step_m))
    x = np.linspace(low[0], high[0], count + 1)
    y, z = (low[1], high[1]), (low[2], high[2])
    rounding = 0.04 * (high[2] - low[2])
    ring = np.array(
        [(y[1] * 0.98, z[0]), (y[1], z[0] + 0.05), (y[1], z[1] - rounding), (y[1] * 0.95, z[1]), (0.0, z[1])]
    )
    _loft(build, x, np.repeat(ring[None], count + 1, axis=0), lambda _s, _b: colour, gloss)


def _rear_lamps(build: MeshBuilder, x: float, half_width: float, z: float, tall: float) -> None:
    for side, lamp in ((1, Lamp.LEFT), (-1, Lamp.RIGHT)):
        y = sorted((side * half_width, side * (half_width - 0.28)))
        build.polygon(_rear_quad(x, (y[0], y[1]), (z, z + tall)), (34, 28, 150), lamp=Lamp.TAIL, lift=0.06)
        build.polygon(_rear_quad(x, (y[0], y[1]), (z - 0.4 * tall, z)), (60, 120, 190), lamp=lamp, lift=0.06)


def _side_windows(build: MeshBuilder, x: np.ndarray, y: float, z: tuple[float, float], gap: float) -> None:
    for a, b in zip(x[:-1], x[1:], strict=True):
        quad = np.array([(a + gap, y, z[0]), (a + gap, y, z[1]), (b - gap, y, z[1]), (b - gap, y, z[0])])
        build.polygon(quad, _GLASS, gloss=0.5, lift=0.06)
        build.polygon((quad * (1, -1, 1))[::-1], _GLASS, gloss=0.5, lift=0.06)


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
    lower = tuple(0.5 * c for c in colour)
    _loft(build, (x - 0.5) * length, rings, lambda _s, b: lower if b == 0 else colour, 0.2)
    place = np.dstack([np.repeat(((x - 0.5) * length)[:, None], 6, axis=1), rings[..., 0], rings[..., 1]])
    flip = np.array([1.0, -1.0, 1.0])
    screen = np.array([place[5, 4], place[4, 4], place[4, 4] * flip, place[5, 4] * flip])
    build.polygon(_inset(screen, 0.06, 0.04), _GLASS, gloss=0.6, lift=0.12)
    door = np.array([place[3, 2], place[3, 3], place[4, 3], place[4, 2]])
    for quad in (_inset(door, 0.08), (_inset(door, 0.08) * flip)[::-1]):
        build.polygon(quad, _GLASS, gloss=0.5, lift=0.08)
    rear = -length / 2
    for side in (1, -1):
        y = sorted((side * 0.08, side * 0.8 * width / 2))
        build.polygon(_rear_quad(rear, (y[0], y[1]), (0.58 * height, 0.84 * height)), _GLASS, gloss=0.4, lift=0.05)
    build.polygon(_rear_quad(rear, (-0.01, 0.01), (0.4, 0.95 * height)), _TRIM, lift=0.05)
    _rear_lamps(build, rear, 0.96 * width / 2, 0.36 * height, 0.34)
    build.polygon(_rear_quad(rear, (-0.26, 0.26), (0.42, 0.54)), _PLATES[0], lamp=Lamp.RETRO, lift=0.06)
    _nose_lamps(build, length / 2, width / 2 * 0.84, 0.32 * height)
    for share in (-0.3, 0.32):
        wheel(build, share * length, width / 2, 0.36, (140, 138, 136))
    return _fit(build.build(), (height, width, length))


def _nose_lamps(build: MeshBuilder, x: float, half_width: float, z: float) -> None:
    for side in (1, -1):
        y = sorted((side * half_width, side * (half_width - 0.32)))
        build.polygon(_rear_quad(x, (y[0], y[1]), (z, z + 0.2))[::-1], (215, 212, 205), lamp=Lamp.HEAD, lift=0.3)
    grille = _rear_quad(x, (-half_width + 0.4, half_width - 0.4), (z - 0.1, z + 0.2))[::-1]
    build.polygon(grille, _TRIM, lift=0.2)
    build.polygon(_rear_quad(x, (-0.26, 0.26), (z - 0.3, z - 0.18))[::-1], _PLATES[0], lamp=Lamp.RETRO, lift=0.2)


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
    build.box((rear + 0.1, -0.45 * width, 0.55), (front - 0.3, 0.45 * width, 1.0), _TRIM)
    cab_top = height * rng.uniform(0.78, 0.95)
    _panel(build, (front - cab_length, -0.48 * width, 0.5), (front, 0.48 * width, cab_top), cab, step_m=2.2, gloss=0.25)
    screen = _rear_quad(front, (-0.43 * width, 0.43 * width), (0.55 * cab_top, 0.83 * cab_top))[::-1]
    build.polygon(screen, _GLASS, gloss=0.6, lift=0.05)
    _side_windows(build, np.array([front - 1.3, front - 0.15]), 0.48 * width, (0.55 * cab_top, 0.8 * cab_top), 0.08)
    _truck_rear(build, rear, width, height, colour)
    _nose_lamps(build, front, 0.44 * width, 0.75)
    axles = [rear + 1.2, rear + 2.5, front - 1.3] + ([rear + 3.8] if long else [])
    for x in axles:
        wheel(build, x, width / 2, 0.5, (120, 118, 116))
    return _fit(build.build(), (height, width, length))


def _truck_rear(build: MeshBuilder, x: float, width: float, height: float, colour: Colour) -> None:
    """Doors, under-run bar with lamps, marker stripes and plate."""
    dark: Colour = tuple(0.72 * c for c in colour)  # type: ignore[assignment]
    half = width / 2
    for y in ((-0.94 * half, -0.02), (0.02, 0.94 * half)):
        build.polygon(_rear_quad(x, y, (1.12, height - 0.16)), dark, lift=0.03)
        inner = (y[0] + 0.05, y[1] - 0.05)
        build.polygon(_rear_quad(x, inner, (1.17, height - 0.21)), colour, lift=0.05, gloss=0.08)
    for y in (-0.45 * half, 0.45 * half):
        build.polygon(_rear_quad(x, (y - 0.02, y + 0.02), (1.2, height - 0.25)), (120, 120, 120), lift=0.06)
    build.polygon(_rear_quad(x, (-0.97 * half, 0.97 * half), (0.5, 0.72)), _TRIM, lift=0.04)
    _rear_lamps(build, x, 0.95 * half, 0.76, 0.2)
    build.polygon(_rear_quad(x, (-0.26, 0.26), (0.55, 0.67)), _PLATES[0], lamp=Lamp.RETRO, lift=0.06)


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
        _rear_quad(rear, (-0.85 * half, 0.85 * half), (0.55 * height, 0.84 * height)), _GLASS, gloss=0.5, lift=0.05
    )
    build.polygon(_rear_quad(rear, (-0.6 * half, 0.6 * half), (0.2 * height, 0.42 * height)), _TRIM, lift=0.05)
    screen = _rear_quad(front, (-0.92 * half, 0.92 * half), (0.36 * height, 0.82 * height))[::-1]
    build.polygon(screen, _GLASS, gloss=0.6, lift=0.05)
    board = _rear_quad(front, (-0.7 * half, 0.7 * half), (0.85 * height, 0.95 * height))[::-1]
    build.polygon(board, (30, 30, 30), lift=0.05)
    _rear_lamps(build, rear, 0.95 * half, 0.28 * height, 0.3)
    build.polygon(_rear_quad(rear, (-0.26, 0.26), (0.45, 0.57)), _PLATES[0], lamp=Lamp.RETRO, lift=0.06)
    _nose_lamps(build, front, 0.88 * half, 0.62)
    for share in (-0.24, 0.29):
        wheel(build, share * length, half, 0.48, (130, 128, 126))
    return _fit(build.build(), (height, width, length))
