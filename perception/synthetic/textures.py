"""Procedural textures: asphalt, verges, house fronts, sky, trees. Everything follows from the generator given."""

from __future__ import annotations

import math
from itertools import pairwise

import cv2
import numpy as np

from perception.synthetic.road import Road


def value_noise(rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float]) -> np.ndarray:
    """(rows, columns) float32 smooth noise of unit spread that tiles along rows, with the given cell in texels."""
    rows, columns = (max(2, round(n / c)) for n, c in zip(shape, cell, strict=True))
    grid = rng.standard_normal((rows, columns)).astype(np.float32)
    grid = np.pad(grid, 2, mode="wrap")
    scale = shape[0] / rows, shape[1] / columns
    size = round(grid.shape[1] * scale[1]), round(grid.shape[0] * scale[0])
    big = cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)
    top, left = round(2 * scale[0]), round(2 * scale[1])
    return big[top : top + shape[0], left : left + shape[1]]


def ranked(noise: np.ndarray) -> np.ndarray:
    """Noise as ranks from 0 to 1: a threshold at p cuts off a share p."""
    order = np.empty(noise.size, np.float32)
    order[np.argsort(noise, axis=None)] = np.linspace(0, 1, noise.size, dtype=np.float32)
    return order.reshape(noise.shape)


TEXEL_M = 0.05
PERIOD_M = 64.0
HALF_WIDTH_M = 24.0


def ground_atlas(rng: np.random.Generator, road: Road, kind: str, missing: float, wear_m: float) -> np.ndarray:
    """(rows along s, columns along d, 4) uint8: colour of the ground and, last, how much of paint survives there.

    One period of 64 m along the road; columns run from d = -24 m to 24 m.
    """
    shape = round(PERIOD_M / TEXEL_M), round(2 * HALF_WIDTH_M / TEXEL_M)
    d = ((np.arange(shape[1]) + 0.5) * TEXEL_M - HALF_WIDTH_M).astype(np.float32)
    asphalt = _asphalt(rng, shape, road, d)
    soil = _pavement(rng, shape, d) if kind == "city" else _grass(rng, shape)
    # The edge wanders a little where there is no kerb.
    edge = value_noise(rng, shape, (40, 400)) * (0.0 if kind == "city" else 0.06)
    inside = np.clip(np.minimum(road.left_m - d, d - road.right_m)[None] / TEXEL_M + 0.5 + edge / TEXEL_M, 0, 1)[
        ..., None
    ]
    ground = asphalt * inside + soil * (1 - inside)
    if kind == "city":
        for place in (road.left_m + 0.08, road.right_m - 0.08):
            kerb = np.clip(1.5 - np.abs(d - place) / 0.08, 0, 1)[None, :, None]
            ground = ground * (1 - kerb) + np.float32(148) * kerb * (
                1 + 0.05 * value_noise(rng, shape, (30, 3))[..., None]
            )
    survives = np.ones(shape, np.float32)
    if missing > 0:
        worn = ranked(value_noise(rng, shape, (max(wear_m / TEXEL_M, 2.0), 5)) + 0.35 * value_noise(rng, shape, (3, 3)))
        survives = np.clip((worn - missing) / 0.02 + 0.5, 0, 1)
    survives *= np.clip(0.88 + 0.07 * value_noise(rng, shape, (6, 3)), 0.4, 1.0)
    atlas = np.empty((*shape, 4), np.uint8)
    atlas[..., :3] = cv2.convertScaleAbs(np.maximum(ground, 0))
    atlas[..., 3] = survives * 255
    return atlas


def _asphalt(rng: np.random.Generator, shape: tuple[int, int], road: Road, d: np.ndarray) -> np.ndarray:
    base = rng.uniform(88, 122)
    tone = base + 5 * value_noise(rng, shape, (160, 60)) + 4 * value_noise(rng, shape, (24, 12))
    tone = tone + 6 * rng.standard_normal(shape, dtype=np.float32) + 3 * value_noise(rng, shape, (2, 2))
    places = sorted(m.d_m for m in road.markings)
    for right, left in pairwise(places):
        middle = (left + right) / 2
        for wheel in (-0.8, 0.8):
            tone = tone - 7 * np.exp(-(((d - middle - wheel) / 0.32) ** 2))[None]
        tone = tone - 5 * np.exp(-(((d - middle) / 0.25) ** 2))[None]
    canvas = np.ascontiguousarray(tone, np.float32)
    for _ in range(int(rng.integers(2, 10))):  # sealed cracks
        at = rng.uniform((0, 0), shape[::-1])
        points = [at]
        for _step in range(int(rng.integers(6, 30))):
            points.append(points[-1] + rng.normal(0, 9, 2) + (0, 9))
        cv2.polylines(canvas, [np.array(points).astype(np.int32)], False, base - 34, int(rng.integers(1, 3)))
    for _ in range(int(rng.integers(0, 5))):  # patches
        x, y = (int(v) for v in rng.uniform((0, 0), shape[::-1]))
        w, h = int(rng.uniform(20, 70)), int(rng.uniform(30, 200))
        patch = canvas[y : y + h, x : x + w]
        patch += rng.uniform(-16, 10)
    tint = np.array([1.02, 1.0, 0.985]) * (1 + rng.uniform(-0.02, 0.02, 3))
    return canvas[..., None] * tint.astype(np.float32)


def _grass(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    tone = 1 + 0.13 * value_noise(rng, shape, (50, 30)) + 0.12 * value_noise(rng, shape, (7, 5))
    tone = tone + 0.14 * rng.standard_normal(shape, dtype=np.float32)
    dry = np.clip(0.45 + 0.3 * value_noise(rng, shape, (120, 60)) + rng.uniform(-0.3, 0.4), 0, 1)[..., None]
    green, straw = np.array([48, 92, 74], np.float32), np.array([92, 138, 142], np.float32)
    return (green * (1 - dry) + straw * dry) * tone[..., None]


def _pavement(rng: np.random.Generator, shape: tuple[int, int], d: np.ndarray) -> np.ndarray:
    tone = 138 + 6 * value_noise(rng, shape, (60, 40)) + 4 * rng.standard_normal(shape, dtype=np.float32)
    slab = round(0.8 / TEXEL_M)
    rows, columns = np.arange(shape[0]) // slab, (np.arange(shape[1]) // slab)
    tone = tone + 5 * rng.standard_normal((rows[-1] + 1, columns[-1] + 1)).astype(np.float32)[rows][:, columns]
    tone[np.arange(shape[0]) % slab == 0] -= 26
    tone[:, np.arange(shape[1]) % slab == 0] -= 26
    return tone[..., None] * np.array([0.99, 1.0, 1.01], np.float32)


def tree_shade(rng: np.random.Generator, strength: float) -> np.ndarray:
    """(rows along s, columns along d) uint8 light under trees that stand beside the road, on the grid of the atlas.

    Crowns keep off the sun in patches of metres, with spots of light of decimetres within.
    """
    shape = round(PERIOD_M / TEXEL_M), round(2 * HALF_WIDTH_M / TEXEL_M)
    crowns = value_noise(rng, shape, (110, 150)) + 0.4 * value_noise(rng, shape, (40, 50))
    leaves = value_noise(rng, shape, (9, 11)) + 0.5 * value_noise(rng, shape, (4, 5))
    under = np.clip((crowns + 0.2) * 4, 0, 1) * np.clip(0.75 + 0.6 * leaves, 0, 1)
    return np.clip(255 * (1 - 0.62 * strength * under), 0, 255).astype(np.uint8)


def detail(rng: np.random.Generator, size: int = 512) -> np.ndarray:
    """(size, size) float32 grain of the road surface about 1, tiling along both axes."""
    grain = 0.5 * value_noise(rng, (size, size), (2, 2)) + 0.6 * value_noise(rng, (size, size), (4, 4))
    return (1 + 0.055 * grain).astype(np.float32)


# -- house fronts -----------------------------------------------------------------------------------------------------

FRONT_TEXEL_M = 0.06
FRONT_LENGTH_M = 150.0
FRONT_HEIGHT_M = 21.0
_WALLS = (
    (118, 140, 176),
    (150, 170, 190),
    (176, 186, 192),
    (92, 104, 142),
    (140, 150, 158),
    (168, 192, 206),
    (120, 128, 130),
)


def house_fronts(rng: np.random.Generator) -> np.ndarray:
    """(rows from the roof down, columns along the street, 4) uint8 with the gaps and the sky transparent."""
    rows, columns = round(FRONT_HEIGHT_M / FRONT_TEXEL_M), round(FRONT_LENGTH_M / FRONT_TEXEL_M)
    picture = np.zeros((rows, columns, 4), np.float32)
    at = 0.0
    while at < FRONT_LENGTH_M - 6:
        wide = min(float(rng.uniform(8, 20)), FRONT_LENGTH_M - at)
        storeys = int(rng.integers(3, 7))
        left, right = round(at / FRONT_TEXEL_M), round((at + wide) / FRONT_TEXEL_M)
        _house(rng, picture[:, left:right], storeys)
        at += wide + (float(rng.uniform(3, 7)) if rng.random() < 0.18 else 0.0)
    shade = 1 + 0.03 * value_noise(rng, (rows, columns), (60, 60)) + 0.015 * rng.standard_normal((rows, columns))
    picture[..., :3] *= shade[..., None]
    return np.clip(picture, 0, 255).astype(np.uint8)


def _house(rng: np.random.Generator, part: np.ndarray, storeys: int) -> None:
    def px(metres: float) -> int:
        return round(metres / FRONT_TEXEL_M)

    rows, columns = part.shape[:2]
    height = 3.6 + (storeys - 1) * 3.0 + 0.8
    top = max(0, rows - px(height))
    wall = np.array(_WALLS[rng.integers(len(_WALLS))]) * rng.uniform(0.8, 1.1)
    part[top:, :, :3], part[top:, :, 3] = wall, 255
    part[top : top + px(0.35), :, :3] = wall * 0.62
    step, wide, tall = rng.uniform(2.0, 3.2), rng.uniform(0.9, 1.5), rng.uniform(1.3, 1.8)
    count = max(1, int((columns * FRONT_TEXEL_M - 1.0) / step))
    margin = (columns * FRONT_TEXEL_M - count * step) / 2
    for storey in range(storeys):
        floor = rows - px(3.6 + (storey - 1) * 3.0 + 1.0) if storey else rows
        if storey == 0:
            _shop(rng, part, px, wall)
            continue
        for k in range(count):
            x = px(margin + k * step + (step - wide) / 2)
            window = np.s_[floor - px(tall) : floor, x : x + px(wide)]
            frame = np.s_[floor - px(tall + 0.1) : floor + px(0.12), x - px(0.1) : x + px(wide + 0.1)]
            part[frame][..., :3] = np.clip(wall * 1.18, 0, 235)
            glass = rng.uniform(30, 85) * np.array([1.1, 1.0, 0.92])
            part[window][..., :3] = glass
            half = part[window][: px(tall) // 2]
            half[..., :3] = glass * rng.uniform(1.0, 1.5)
            part[floor - px(tall) : floor, x + px(wide / 2)][..., :3] = 200


def _shop(rng: np.random.Generator, part: np.ndarray, px: object, wall: np.ndarray) -> None:
    assert callable(px)
    rows, columns = part.shape[:2]
    part[rows - px(3.4) :, :, :3] = wall * 0.78
    x = px(0.5)
    while x < columns - px(1.6):
        wide = px(float(rng.uniform(1.4, 3.2)))
        stop = min(x + wide, columns - px(0.3))
        glass = rng.uniform(38, 110) * np.array([1.05, 1.0, 0.95])
        part[rows - px(2.5) : rows - px(0.5), x:stop, :3] = glass
        if rng.random() < 0.5:
            sign = rng.uniform(40, 215, 3)
            part[rows - px(3.2) : rows - px(2.6), x:stop, :3] = sign
        x = stop + px(float(rng.uniform(0.4, 1.6)))


# -- sky and horizon --------------------------------------------------------------------------------------------------

SKY_TEXEL_RAD = math.radians(0.08)
SKY_LOW_RAD, SKY_HIGH_RAD = math.radians(-1.0), math.radians(40.0)


def panorama(rng: np.random.Generator, kind: str, overcast: float, *, night: bool) -> np.ndarray:
    """(rows from 40 degrees down to -1, 360 degrees of columns, 3) uint8: sky, clouds, hills, woods, roofs."""
    rows = round((SKY_HIGH_RAD - SKY_LOW_RAD) / SKY_TEXEL_RAD)
    columns = round(2 * math.pi / SKY_TEXEL_RAD)
    up = (SKY_HIGH_RAD - (np.arange(rows) + 0.5) * SKY_TEXEL_RAD).astype(np.float32)
    blend = np.clip(up / math.radians(38), 0, 1)[:, None, None] ** 0.6
    low, high = np.array([228, 218, 206], np.float32), np.array([206, 150, 92], np.float32)
    grey_low, grey_high = np.array([206, 203, 200], np.float32), np.array([178, 174, 170], np.float32)
    clear = low * (1 - blend) + high * blend
    grey = grey_low * (1 - blend) + grey_high * blend
    sky = np.repeat(clear * (1 - overcast) + grey * overcast, columns, axis=1)
    sky = _clouds(rng, sky, overcast)
    if night:
        sky = 13 + 0.05 * sky + np.clip(1 - up / math.radians(12), 0, 1)[:, None, None] ** 2 * (16, 20, 30)
    _skyline(rng, sky, up, kind, 0.16 if night else 1.0)
    return np.clip(sky, 0, 255).astype(np.uint8)


def _clouds(rng: np.random.Generator, sky: np.ndarray, overcast: float) -> np.ndarray:
    shape = sky.shape[0] // 2, sky.shape[1] // 2
    noise = sum(w * value_noise(rng, shape, (c * 0.4, c)) for c, w in ((190, 1.0), (80, 0.6), (34, 0.34), (14, 0.18)))
    density = np.clip((noise - (0.9 - 1.5 * overcast)) / 1.6, 0, 1)
    light = np.clip(1.02 - 0.16 * density + 0.03 * noise, 0.7, 1.08)
    density, light = (cv2.resize(np.asarray(a, np.float32), sky.shape[1::-1])[..., None] for a in (density, light))
    white = np.array([238, 236, 234], np.float32) * (1 - 0.13 * overcast)
    return sky * (1 - 0.85 * density) + white * light * 0.85 * density


def _skyline(rng: np.random.Generator, sky: np.ndarray, up: np.ndarray, kind: str, light: float) -> None:
    """Hills, then woods or roofs, into the lowest degrees."""
    columns = sky.shape[1]

    def ridge(cell: float, low: float, high: float, rough: float) -> np.ndarray:
        line = value_noise(rng, (2, columns), (1, cell))[0]
        fine = value_noise(rng, (2, columns), (1, 9))[0] + 0.8 * value_noise(rng, (2, columns), (1, 3))[0]
        return np.radians(low + (high - low) * np.clip(0.5 + 0.4 * line, 0, 1) + rough * fine)

    hill, wood = np.array([178, 160, 140]), np.array([74, 96, 82])
    layers = [
        (ridge(500, 0.3, 2.4, 0.0), hill, 0.02),
        (ridge(160, 0.2, 1.5, 0.10), wood * 1.25, 0.1),
        (ridge(70, 0.1, 0.9, 0.12), wood * 0.8, 0.14),
    ]
    if kind == "city":
        steps = np.repeat(rng.uniform(0.4, 4.0, columns // 22 + 1), 22)[:columns]
        layers.insert(1, (np.radians(steps), np.array([150, 150, 148]), 0.04))
    low = np.s_[int(np.argmax(up < math.radians(6.0))) :]  # no ridge reaches higher
    sky, up = sky[low], up[low]
    for line, colour, grain in layers:
        cover = np.clip((line[None] - up[:, None]) / SKY_TEXEL_RAD + 0.5, 0, 1)[..., None]
        tone = 1 + grain * value_noise(rng, sky.shape[:2], (4, 4))[..., None]
        sky *= 1 - cover
        sky += cover * colour * tone * light


# -- trees ------------------------------------------------------------------------------------------------------------


def tree(rng: np.random.Generator, *, conifer: bool, size: int = 256) -> np.ndarray:
    """(size, size * 3/4, 4) float32 premultiplied picture of a tree; the trunk's foot is at the lower middle."""
    rows, columns = size, size * 3 // 4
    picture = np.zeros((rows, columns, 4), np.float32)
    middle = columns / 2
    trunk = np.array(
        [
            (middle - 0.022 * size, rows),
            (middle - 0.012 * size, 0.3 * rows),
            (middle + 0.012 * size, 0.3 * rows),
            (middle + 0.022 * size, rows),
        ]
    )
    cv2.fillPoly(picture, [trunk.astype(np.int32)], (46, 58, 70, 255))
    base = np.array([44, 84, 66]) * rng.uniform(0.75, 1.25) + rng.uniform(-8, 8, 3)
    count = 420
    for k in range(count):
        share = k / count
        if conifer:
            v = rng.uniform(0.0, 1.0) ** 0.7
            x, y = middle + rng.uniform(-1, 1) * 0.30 * columns * v, rows * (0.04 + 0.78 * v)
            lit = 0.65 + 0.4 * share + 0.25 * (middle - x) / columns
        else:
            angle, r = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform(0, 1))
            x, y = middle + 0.42 * columns * r * math.cos(angle), rows * (0.36 + 0.31 * r * math.sin(angle))
            lit = 0.55 + 0.35 * share + 0.5 * (0.36 - y / rows) + 0.3 * (middle - x) / columns
        colour = np.clip(base * (lit + rng.normal(0, 0.08)), 4, 200)
        radius = int(size * rng.uniform(0.012, 0.042))
        axes = (radius, max(2, int(radius * rng.uniform(0.5, 0.9))))
        cv2.ellipse(
            picture,
            (int(x), int(y)),
            axes,
            float(rng.uniform(0, 180)),
            0,
            360,
            (*colour.tolist(), 255),
            -1,
            cv2.LINE_AA,
        )
    picture = cv2.GaussianBlur(picture, (0, 0), 0.7)
    return picture
