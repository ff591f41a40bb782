"""The road surface: every pixel below the horizon is traced to road coordinates and filtered to its footprint there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from geometry.camera import Camera
from perception.synthetic import tables
from perception.synthetic.light import LAMP_SPACING_M, Light
from perception.synthetic.motion import Poses
from perception.synthetic.road import STEP_M, Road, Stretch
from perception.synthetic.tables import BAND_STEP, D_SPAN_M, D_TEXEL_M, LEVELS, MAX_GROUND_M, S_START_M
from perception.synthetic.textures import HALF_WIDTH_M, PERIOD_M, detail
from perception.synthetic.world import Scene

_WHITE = np.array([222.0, 222.0, 220.0], np.float32)
_YELLOW = np.array([66.0, 172.0, 216.0], np.float32)
_PER_OCTAVE = 1 / math.log(2)
_DETAIL_M = 14.0  # farther away a centimetre of road is no pixel any more


class Rays:
    """Directions of all pixels; only the rotation of the camera changes from frame to frame."""

    def __init__(self, camera: Camera) -> None:
        grid = np.stack(np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px)), axis=-1).astype(float)
        xy, valid = camera.normalised(grid)
        self.x = np.where(valid, xy[..., 0], 0).astype(np.float32)
        self.y = np.where(valid, xy[..., 1], 0).astype(np.float32)
        self.valid = valid

    def directions(self, camera: Camera, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vehicle x, y, z of the (unnormalised) rays of some rows."""
        r = camera.vehicle_from_camera_rotation.astype(np.float32)
        x, y = self.x[rows], self.y[rows]
        one, two, three = (r[i, 0] * x + r[i, 1] * y + r[i, 2] for i in range(3))
        return one, two, three


class RoadFrame:
    """From vehicle points to road coordinates around one place, for whole pictures of points."""

    def __init__(self, road: Road, now: Poses) -> None:
        s, turn = float(now.s_m[0]), float(now.heading_rad[0])
        self.start = s - 30.0
        nodes = self.start + np.arange(0, 400.0, STEP_M)
        x, y, heading = road.pose(nodes)
        heading = heading - turn
        # Where the road has turned by 75 degrees it leaves the view; the table ends there.
        here = abs(int(30.0 / STEP_M))
        far = np.flatnonzero(np.abs(heading - heading[here]) > math.radians(75))
        count = int(far[far > here][0]) if (far > here).any() else len(nodes)
        dx, dy = x - now.place_m[0, 0], y - now.place_m[0, 1]
        c, sn = math.cos(turn), math.sin(turn)
        table = np.stack([c * dx + sn * dy, c * dy - sn * dx, np.cos(heading), np.sin(heading)], axis=1)[:count]
        self.table = np.ascontiguousarray(table[None], np.float32)
        self.origin = s
        self.straight = bool(np.ptp(heading[:count]) < 1e-9)

    def locate(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """s - s(vehicle) and d, float32, of vehicle points (H, W)."""
        if self.straight:
            px, py, c, sn = self.table[0, round(30.0 / STEP_M)]
            dx, dy = x - px, y - py
            return c * dx + sn * dy, c * dy - sn * dx
        small = max(1, x.shape[1] // 4), max(1, x.shape[0] // 4)
        coarse = [cv2.resize(a, small, interpolation=cv2.INTER_NEAREST) for a in (x, y)]
        guess = coarse[0].copy()
        for _ in range(4):
            guess, _d = self._refine(guess, *coarse)
        guess = cv2.resize(guess, x.shape[::-1], interpolation=cv2.INTER_LINEAR)
        guess, _d = self._refine(guess, x, y)
        return self._refine(guess, x, y)

    def _refine(self, ds: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One Newton step: the foot of the perpendicular on the tangent at the guess."""
        at = np.clip((ds + (self.origin - self.start)) * (1 / STEP_M), 0, self.table.shape[1] - 1.001)
        at = np.rint(at * 32) * np.float32(1 / 32)  # remap interpolates at 1/32 of a node
        node = cv2.remap(self.table, at, np.zeros_like(at), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        dx, dy = x - node[..., 0], y - node[..., 1]
        c, sn = node[..., 2], node[..., 3]
        along, d = c * dx + sn * dy, c * dy - sn * dx
        return at * np.float32(STEP_M) - np.float32(self.origin - self.start) + along, d


@dataclass(frozen=True, eq=False)
class Spots:
    """What the pixels of some rows see of the ground, each array (H, W) float32: vehicle x and y, distance, s less the
    vehicle's own s, d, and the length of a pixel's footprint along the road."""

    x: np.ndarray
    y: np.ndarray
    reach: np.ndarray
    s: np.ndarray
    d: np.ndarray
    along: np.ndarray


class Ground:
    """Paints the ground of a scene; made once, used for every frame."""

    def __init__(self, scene: Scene, light: Light) -> None:
        self.scene, self.light = scene, light
        camera, around = scene.camera, scene.surroundings
        rng = np.random.default_rng([scene.seed, 2])
        self.focal = math.sqrt(camera.fx_px * camera.fy_px)
        self.blur_m = scene.ego.travel.speed_mps * scene.options.motion_blur / float(scene.fps)
        self.bands = tables.bands(scene, rng, self.focal, self.blur_m)
        self.detail = detail(rng)
        self.across = tables.across(scene.road)
        self.s_texel, self.along = tables.along(scene.road, around.bridges_m)
        self.pools = tables.street_lamps(scene.road) if light.night and around.lamps else None

    def paint(self, canvas: np.ndarray, rays: Rays, camera: Camera, now: Poses) -> None:
        """Paints the ground into canvas (H, W, 3) uint8, in place."""
        dz = rays.directions(camera, np.s_[:])[2]
        below = (dz < -camera.height_m / MAX_GROUND_M) & rays.valid
        rows = np.flatnonzero(below.any(axis=1))
        if not len(rows):
            return
        block = np.s_[int(rows[0]) :]
        mask = below[block]
        spots = self._spots(rays, camera, block, mask, now)
        row = self._along_at(spots, now)
        lit = self._lit(self._colour(spots, row, now), spots, row, now)
        if self.bands[0].shade is not None:
            lit *= self._sampled(spots, spots.d, float(now.s_m[0]), shade=True)[..., None] * np.float32(1 / 255)
        fog = self.light.fog_share(spots.reach).astype(np.float32)
        lit = cv2.blendLinear(lit, _flat(self.light.haze_colour, lit.shape), 1 - fog, fog)
        cv2.copyTo(cv2.convertScaleAbs(lit), mask.astype(np.uint8), canvas[block])

    def _spots(self, rays: Rays, camera: Camera, block: slice, mask: np.ndarray, now: Poses) -> Spots:
        dx, dy, dz = rays.directions(camera, block)
        scale = np.where(mask, -np.float32(camera.height_m) / np.where(mask, dz, -1), 0)
        x, y = dx * scale, dy * scale
        reach = cv2.magnitude(x, y)
        s, d = RoadFrame(self.scene.road, now).locate(x, y)
        along = np.maximum(reach, 1) ** 2 * np.float32(1 / (self.focal * camera.height_m)) + np.float32(self.blur_m)
        return Spots(x, y, reach, s, d, along)

    def _along_at(self, spots: Spots, now: Poses) -> np.ndarray:
        """(H, W, 4) of the table over s."""
        level = np.clip(cv2.log(spots.along) * _PER_OCTAVE - math.log2(self.s_texel), 0, LEVELS - 1.01)
        at = (spots.s + np.float32(float(now.s_m[0]) - S_START_M)) * np.float32(1 / self.s_texel)
        return cv2.remap(self.along, at, level, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def _colour(self, spots: Spots, row: np.ndarray, now: Poses) -> np.ndarray:
        """(H, W, 3) float32 colour of the ground in full light, paint included."""
        foot = np.maximum(spots.reach, 1.0)
        level = np.clip(cv2.log(foot) * _PER_OCTAVE - math.log2(self.focal * D_TEXEL_M), 0, LEVELS - 1.01)
        at = (spots.d + np.float32(D_SPAN_M)) * np.float32(1 / D_TEXEL_M)
        column = cv2.remap(self.across, at, level, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        texture: np.ndarray = self._texture(spots, row, float(now.s_m[0]))
        survives = texture[..., 3] * np.float32(1 / 255)
        white = (column[..., 0] * row[..., 1] + column[..., 1] * row[..., 0]) * survives
        yellow = (column[..., 2] * row[..., 1] + column[..., 3] * row[..., 0]) * survives
        for crossing in self.scene.road.crossings:
            white = np.maximum(white, self._zebra(spots, crossing, float(now.s_m[0])) * survives)
        ground = np.ascontiguousarray(texture[..., :3])
        for paint, cover in ((_WHITE, white), (_YELLOW, yellow)):
            if cover.max() > 0:
                ground = cv2.blendLinear(ground, _flat(paint, ground.shape), 1 - cover, cover)
        return ground

    def _zebra(self, spots: Spots, crossing: Stretch, here_m: float) -> np.ndarray:
        """Stripes half a metre wide and as far apart, across the carriageway."""
        low, high = np.float32(crossing.from_m - here_m), np.float32(crossing.to_m - here_m)
        inside = np.clip(np.minimum(spots.s - low, high - spots.s) / np.maximum(spots.along, 0.1) + 0.5, 0, 1)
        foot = np.maximum(spots.reach * np.float32(1 / self.focal), np.float32(0.02))
        stripe = np.clip((0.25 - np.abs((spots.d % 1.0) - 0.5)) / foot + 0.5, 0, 1)
        stripe = np.where(foot > 0.8, np.float32(0.5), stripe)
        road = self.scene.road
        return inside * stripe * ((spots.d < road.left_m - 0.3) & (spots.d > road.right_m + 0.3))

    def _texture(self, spots: Spots, row: np.ndarray, here_m: float) -> np.ndarray:
        """(H, W, 4) float32 of the atlas, each row of pixels from the copy that fits its distance."""
        half, reach = np.float32(HALF_WIDTH_M), spots.reach
        d = np.where(np.abs(spots.d) > half - 1, np.copysign(half - 5 + np.abs((spots.d % 8) - 4), spots.d), spots.d)
        if self.scene.road.junctions:
            d = np.where(row[..., 3] > 0.5, (spots.d % 3.0) - 1.5, d)
        texture = self._sampled(spots, d, here_m, shade=False).astype(np.float32)
        near = np.flatnonzero(_typical(reach) < _DETAIL_M)
        if len(near):
            self._add_detail(texture, spots.s + np.float32(here_m % PERIOD_M), d, reach, int(near[0]))
        return texture

    def _sampled(self, spots: Spots, d: np.ndarray, here_m: float, *, shade: bool) -> np.ndarray:
        """The atlas (H, W, 4) or the shade (H, W), uint8, each row of pixels from the copy that fits its distance."""
        half, reach = np.float32(HALF_WIDTH_M), spots.reach
        s = spots.s + np.float32(here_m % PERIOD_M)
        out = np.empty(s.shape if shade else (*s.shape, 4), np.uint8)
        typical = _typical(reach)
        start = 0
        for band in reversed(self.bands):
            limit = band.reach_m / BAND_STEP if band is not self.bands[0] else -1.0
            nearer = np.flatnonzero(typical[start:] <= limit)
            stop = start + int(nearer[0]) if len(nearer) else len(s)
            if stop > start:
                rows = np.s_[start:stop]
                u = (d[rows] + half) * np.float32(band.texels_per_m[1]) - np.float32(0.5)
                v = np.mod(s[rows], np.float32(PERIOD_M)) * np.float32(band.texels_per_m[0]) - np.float32(0.5)
                picture = band.shade if shade else band.atlas
                out[rows] = cv2.remap(picture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
            start = stop
        return out

    def _add_detail(self, texture: np.ndarray, s: np.ndarray, d: np.ndarray, reach: np.ndarray, first: int) -> None:
        """Grain of a centimetre where the camera resolves it."""
        rows = np.s_[first:]
        u, v = np.mod(d[rows] * 100, 512), np.mod(s[rows] * 100, 512)
        grain = cv2.remap(self.detail, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        fade = np.clip((_DETAIL_M - reach[rows]) / 8, 0, 1)
        texture[rows, :, :3] *= (1 + (grain - 1) * fade)[..., None]

    def _lit(self, colour: np.ndarray, spots: Spots, row: np.ndarray, now: Poses) -> np.ndarray:
        """The colour in the scene's light; wet roads mirror the sky."""
        light, wet = self.light, self.scene.options.rain
        if light.night:
            power: np.ndarray = light.sky + light.beam(spots.x, spots.y)
            if self.pools is not None:
                here = np.float32(float(now.s_m[0]) % LAMP_SPACING_M)
                v = np.mod(spots.s + here, np.float32(LAMP_SPACING_M)) * np.float32(256 / LAMP_SPACING_M)
                u = (spots.d + np.float32(16)) * np.float32(4)
                power = power + cv2.remap(self.pools, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        else:
            power = np.float32(light.full) * row[..., 2]
        power = power.astype(np.float32) * np.float32(1 - 0.28 * wet)
        lit: np.ndarray = colour * power[..., None]
        if wet > 0:
            # Fresnel: a wet surface mirrors the more, the flatter it is looked at.
            mirror = np.float32(0.55 * wet) / (1 + (14 / np.maximum(spots.reach, 1)) ** 2)
            lit = cv2.blendLinear(lit, _flat(light.sky_colour, lit.shape), 1 - mirror, mirror)
        return lit


def _typical(reach: np.ndarray) -> np.ndarray:
    """(H,) distance that a row of pixels sees, falling downwards; above the horizon it is infinite."""
    some = reach[:, :: max(1, reach.shape[1] // 32)]
    return np.minimum.accumulate(np.median(np.where(some > 0, some, np.inf), axis=1))


def _flat(colour: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    out = np.empty(shape, np.float32)
    out[:] = colour
    return out
