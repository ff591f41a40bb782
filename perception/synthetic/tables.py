"""Tables of a road, pre-filtered to a ladder of footprints: what a pixel sees of the road is one look-up in each."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from perception.synthetic.light import LAMP_SPACING_M, lamp_pools
from perception.synthetic.road import Road
from perception.synthetic.textures import HALF_WIDTH_M, PERIOD_M, TEXEL_M, ground_atlas, tree_shade
from perception.synthetic.world import Scene

MAX_GROUND_M = 900.0
D_TEXEL_M, D_SPAN_M = 0.01, 24.0
S_START_M = -40.0
BAND_STEP = 1.42  # from one distance to the next: the change of sharpness between them cannot be seen
LEVELS = 10  # of footprints, doubling from one texel
_MAX_COLUMNS = 32000  # cv2.remap takes at most 32767


def box_blur(table: np.ndarray, texels: float) -> np.ndarray:
    """Rows (N, C) averaged over ``texels`` neighbours."""
    size = max(1, round(texels))
    return table if size == 1 else cv2.blur(table, (1, size), borderType=cv2.BORDER_REPLICATE).reshape(table.shape)


@dataclass(frozen=True, eq=False)
class Band:
    """The atlas averaged to the footprint of pixels that see the road at up to ``reach_m``."""

    reach_m: float
    atlas: np.ndarray
    texels_per_m: tuple[float, float]  # along s and d
    shade: np.ndarray | None  # light under trees, of the same shape, 255 in the open


def bands(scene: Scene, rng: np.random.Generator, focal_px: float, blur_m: float) -> list[Band]:
    """The atlas of the ground from near to far; ``blur_m`` is how far the vehicle moves while the shutter is open."""
    o = scene.options
    atlas = ground_atlas(rng, scene.road, scene.surroundings.kind, o.missing_paint, o.wear_m)
    shade = tree_shade(rng, o.tree_shade) if o.tree_shade > 0 and not o.night else None
    out: list[Band] = []
    reach = 8.0
    while True:
        middle = reach * 0.85
        along = middle * middle / (focal_px * scene.camera.height_m) + blur_m
        across = middle / focal_px
        rows = max(4, round(atlas.shape[0] * min(1.0, TEXEL_M / along)))
        columns = max(8, round(atlas.shape[1] * min(1.0, TEXEL_M / across)))
        small = cv2.resize(atlas, (columns, rows), interpolation=cv2.INTER_AREA)
        dark = None if shade is None else cv2.resize(shade, (columns, rows), interpolation=cv2.INTER_AREA)
        out.append(Band(reach, small, (rows / PERIOD_M, columns / (2 * HALF_WIDTH_M)), dark))
        if reach >= MAX_GROUND_M:
            return out
        reach *= BAND_STEP


def across(road: Road) -> np.ndarray:
    """(levels, D, 4): share of white solid, white dashed, yellow solid, yellow dashed paint at d."""
    d = np.arange(-D_SPAN_M, D_SPAN_M, D_TEXEL_M)
    table = np.zeros((len(d), 4), np.float32)
    for marking in road.markings:
        channel = 2 * (marking.colour == "yellow") + (marking.kind == "dashed")
        for middle in marking.stripes_m:
            cover = np.clip((marking.width_m / 2 - np.abs(d - middle)) / D_TEXEL_M + 0.5, 0, 1)
            table[:, channel] = np.maximum(table[:, channel], cover)
    return np.stack([box_blur(table, 2.0**k) for k in range(LEVELS)])


def along(road: Road, bridges_m: tuple[float, ...]) -> tuple[float, np.ndarray]:
    """Texel in metres and (levels, S, 4): dashes, solid paint, light under bridges, junction at s."""
    span = road.length_m - S_START_M
    texel = max(0.1, span / _MAX_COLUMNS)
    s = S_START_M + np.arange(0, span, texel)

    def cover(low: float, high: float, soft: float = texel) -> np.ndarray:
        return np.clip(np.minimum(s - low, high - s) / soft + 0.5, 0, 1)

    painted = np.ones_like(s)
    for gap in road.unpainted:
        painted *= 1 - cover(gap.from_m, gap.to_m)
    dash, gap_m = road.dash_m
    phase = np.mod(s, dash + gap_m)
    dashes = np.clip(np.minimum(phase, dash - phase) / texel + 0.5, 0, 1)
    light = np.ones_like(s)
    for place in bridges_m:
        light *= 1 - 0.62 * cover(place - 6.0, place + 8.0, 0.8)
    crossing = np.zeros_like(s)
    for junction in road.junctions:
        crossing = np.maximum(crossing, cover(junction.from_m, junction.to_m))
    table = np.stack([dashes * painted, painted, light, crossing], axis=1).astype(np.float32)
    return texel, np.stack([box_blur(table, 2.0**k) for k in range(LEVELS)])


def street_lamps(road: Road) -> np.ndarray:
    """(256, 128) light of one spacing of street lamps over d from -16 to 16 m."""
    s = (np.arange(256) + 0.5) * (LAMP_SPACING_M / 256)
    d = (np.arange(128) + 0.5) / 4 - 16
    places = (road.left_m - 0.4, road.right_m + 0.4)
    return lamp_pools(s[:, None], d[None], places).astype(np.float32)
