"""The road surface: every pixel below the horizon is traced to road coordinates and filtered to its footprint there."""

from __future__ import annotations

import math

import cv2
import numpy as np

from geometry.camera import Camera
from perception.synthetic.light import LAMP_SPACING_M, Light, lamp_pools
from perception.synthetic.motion import Poses
from perception.synthetic.road import STEP_M, Road
from perception.synthetic.textures import HALF_WIDTH_M, PERIOD_M, TEXEL_M, detail, ground_atlas
from perception.synthetic.world import Scene

MAX_GROUND_M = 900.0
_D_TEXEL_M, _D_SPAN_M = 0.01, 24.0
_S_START_M = -40.0
_LEVELS = 10  # of footprints, doubling from one texel
_WHITE = np.array([222.0, 222.0, 220.0], np.float32)
_YELLOW = np.array([66.0, 172.0, 216.0], np.float32)


def box_blur(table: np.ndarray, texels: float) -> np.ndarray:
    """Rows (N, C) averaged over ``texels`` neighbours."""
    size = max(1, round(texels))
    return table if size == 1 else cv2.blur(table, (1, size), borderType=cv2.BORDER_REPLICATE).reshape(table.shape)


class Rays:
    """Directions of all pixels; only the rotation of the camera changes from frame to frame."""

    def __init__(self, camera: Camera) -> None:
        grid = np.stack(np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px)), axis=-1).astype(float)
        xy, valid = camera.normalised(grid)
        self.x = np.where(valid, xy[..., 0], 0).astype(np.float32)
        self.y = np.where(valid, xy[..., 1], 0).astype(np.float32)
        self.valid = bool(valid.all())
        self.blind = ~valid

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


class Ground:
    """Paints the ground of a scene; made once, used for every frame."""

    def __init__(self, scene: Scene, light: Light) -> None:
        self.scene, self.light = scene, light
        o, camera = scene.options, scene.camera
        rng = np.random.default_rng([scene.seed, 2])
        atlas = ground_atlas(rng, scene.road, scene.surroundings.kind, o.missing_paint, o.wear_m)
        self.detail = detail(rng)
        self.focal = math.sqrt(camera.fx_px * camera.fy_px)
        self.shutter_s = o.motion_blur / float(scene.fps)
        self.bands = self._bands(atlas)
        self.across = self._across()
        self.s_texel, self.along = self._along()
        self._pools = self._lamp_texture()

    # -- tables, each pre-filtered to a ladder of footprints -------------------------------------------------------

    def _bands(self, atlas: np.ndarray) -> list[tuple[float, np.ndarray, tuple[float, float]]]:
        """(up to this distance, atlas averaged to the footprint there, its scale) from near to far."""
        out, reach = [], 8.0
        height = self.scene.camera.height_m
        speed = float(self.scene.ego.travel.speed_mps)
        while True:
            middle = reach * 0.85
            along = middle * middle / (self.focal * height) + speed * self.shutter_s
            across = middle / self.focal
            rows = max(4, round(atlas.shape[0] * min(1.0, TEXEL_M / along)))
            columns = max(8, round(atlas.shape[1] * min(1.0, TEXEL_M / across)))
            small = cv2.resize(atlas, (columns, rows), interpolation=cv2.INTER_AREA)
            out.append((reach, small, (rows / PERIOD_M, columns / (2 * HALF_WIDTH_M))))
            if reach >= MAX_GROUND_M:
                return out
            reach *= 1.42

    def _across(self) -> np.ndarray:
        """(levels, D, 4): share of white solid, white dashed, yellow solid, yellow dashed paint at d."""
        d = np.arange(-_D_SPAN_M, _D_SPAN_M, _D_TEXEL_M)
        table = np.zeros((len(d), 4), np.float32)
        for marking in self.scene.road.markings:
            channel = 2 * (marking.colour == "yellow") + (marking.kind == "dashed")
            for middle in marking.stripes_m:
                cover = np.clip((marking.width_m / 2 - np.abs(d - middle)) / _D_TEXEL_M + 0.5, 0, 1)
                table[:, channel] = np.maximum(table[:, channel], cover)
        return np.stack([box_blur(table, 2.0**k) for k in range(_LEVELS)])

    def _along(self) -> tuple[float, np.ndarray]:
        """Texel in metres and (levels, S, 4): dashes, solid paint, light under bridges, junction at s."""
        road = self.scene.road
        span = road.length_m - _S_START_M
        texel = max(0.1, span / 32000)
        s = _S_START_M + np.arange(0, span, texel)

        def cover(low: float, high: float, soft: float = texel) -> np.ndarray:
            return np.clip((np.minimum(s - low, high - s)) / soft + 0.5, 0, 1)

        painted = np.ones_like(s)
        for gap in road.unpainted:
            painted *= 1 - cover(gap.from_m, gap.to_m)
        dash, gap_m = road.dash_m
        phase = np.mod(s, dash + gap_m)
        dashes = np.clip(np.minimum(phase, dash - phase) / texel + 0.5, 0, 1)
        light = np.ones_like(s)
        for place in self.scene.surroundings.bridges_m:
            light *= 1 - 0.62 * cover(place - 6.0, place + 8.0, 0.8)
        crossing = np.zeros_like(s)
        for junction in road.junctions:
            crossing = np.maximum(crossing, cover(junction.from_m, junction.to_m))
        table = np.stack([dashes * painted, painted, light, crossing], axis=1).astype(np.float32)
        return texel, np.stack([box_blur(table, 2.0**k) for k in range(_LEVELS)])

    def _lamp_texture(self) -> np.ndarray | None:
        """(256, 128) light of one spacing of street lamps over d from -16 to 16 m."""
        around = self.scene.surroundings
        if not (self.light.night and around.lamps):
            return None
        s = (np.arange(256) + 0.5) * (LAMP_SPACING_M / 256)
        d = (np.arange(128) + 0.5) / 4 - 16
        places = (self.scene.road.left_m - 0.4, self.scene.road.right_m + 0.4)
        return lamp_pools(*np.meshgrid(s, d, indexing="ij"), places).astype(np.float32)

    # -- one frame --------------------------------------------------------------------------------------------------

    def paint(self, canvas: np.ndarray, rays: Rays, camera: Camera, now: Poses) -> np.ndarray:
        """Paints the ground into canvas (H, W, 3) uint8 in place; returns its distance (H, W) float32, 0 elsewhere."""
        distance = np.zeros(canvas.shape[:2], np.float32)
        _, _, dz = rays.directions(camera, np.s_[:])
        below = dz < -camera.height_m / MAX_GROUND_M
        if not rays.valid:
            below &= ~rays.blind
        rows = np.flatnonzero(below.any(axis=1))
        if not len(rows):
            return distance
        block = np.s_[int(rows[0]) :]
        dx, dy, dz = rays.directions(camera, block)
        mask = below[block]
        scale = np.where(mask, -np.float32(camera.height_m) / np.where(mask, dz, -1), 0)
        x, y = dx * scale, dy * scale
        reach = cv2.magnitude(x, y)
        s, d = RoadFrame(self.scene.road, now).locate(x, y)
        colour = self._colour(s, d, reach, float(now.s_m[0]))
        lit = self._lit(colour, x, y, s, d, reach, now)
        fog = self.light.fog_share(reach).astype(np.float32)
        haze = np.broadcast_to(self.light.haze_colour.astype(np.float32), lit.shape)
        lit = cv2.blendLinear(lit, np.ascontiguousarray(haze), 1 - fog, fog)
        out = cv2.convertScaleAbs(lit)
        if mask.all():
            canvas[block] = out
        else:
            cv2.copyTo(out, mask.astype(np.uint8), canvas[block])
        distance[block] = np.where(mask, reach, 0)
        return distance

    def _lookup(self, table: np.ndarray, at: np.ndarray, level: np.ndarray) -> np.ndarray:
        return cv2.remap(table, at, level, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def _colour(self, s: np.ndarray, d: np.ndarray, reach: np.ndarray, s_here: float) -> np.ndarray:
        """(H, W, 3) float32 colour of the ground in full light, paint included."""
        height, speed = self.scene.camera.height_m, self.scene.ego.travel.speed_mps
        foot = np.maximum(reach, 1.0)
        d_level = np.clip(cv2.log(foot) * (1 / math.log(2)) - math.log2(self.focal * _D_TEXEL_M), 0, _LEVELS - 1.01)
        along = foot * foot * (1 / (self.focal * height)) + speed * self.shutter_s
        s_level = np.clip(cv2.log(along) * (1 / math.log(2)) - math.log2(self.s_texel), 0, _LEVELS - 1.01)
        at_s = (s + np.float32(s_here - _S_START_M)) * np.float32(1 / self.s_texel)
        row = self._lookup(self.along, at_s, s_level)
        self._row = row
        junction = row[..., 3]
        half = np.float32(HALF_WIDTH_M)
        d_atlas = np.where(np.abs(d) > half - 1, np.copysign(half - 5 + np.abs((d % 8) - 4), d), d)
        if self.scene.road.junctions:
            d_atlas = np.where(junction > 0.5, (d % 3.0) - 1.5, d_atlas)
        texture = self._texture(s + np.float32(s_here % PERIOD_M), d_atlas, reach)
        at_d = (d + np.float32(_D_SPAN_M)) * np.float32(1 / _D_TEXEL_M)
        column = self._lookup(self.across, at_d, d_level)
        survives = texture[..., 3] * np.float32(1 / 255)
        white = (column[..., 0] * row[..., 1] + column[..., 1] * row[..., 0]) * survives
        yellow = (column[..., 2] * row[..., 1] + column[..., 3] * row[..., 0]) * survives
        for crossing in self.scene.road.crossings:
            white = np.maximum(
                white, self._zebra(s + np.float32(s_here), d, along, foot, crossing.from_m, crossing.to_m) * survives
            )
        ground = np.ascontiguousarray(texture[..., :3])
        for paint, cover in ((_WHITE, white), (_YELLOW, yellow)):
            if cover.max() > 0:
                solid = np.ascontiguousarray(np.broadcast_to(paint, ground.shape))
                ground = cv2.blendLinear(ground, solid, 1 - cover, cover)
        return ground

    def _zebra(
        self, s: np.ndarray, d: np.ndarray, ds: np.ndarray, dd: np.ndarray, low: float, high: float
    ) -> np.ndarray:
        """Stripes half a metre wide and as far apart, across the carriageway."""
        inside = np.clip(np.minimum(s - low, high - s) / np.maximum(ds, 0.1) + 0.5, 0, 1)
        foot = np.maximum(dd * (1 / self.focal), 0.02)
        phase = np.abs((d % 1.0) - 0.5)
        stripe = np.clip((0.25 - phase) / foot + 0.5, 0, 1)
        stripe = np.where(foot > 0.8, 0.5, stripe)
        road = self.scene.road
        return inside * stripe * ((d < road.left_m - 0.3) & (d > road.right_m + 0.3))

    def _texture(self, s: np.ndarray, d: np.ndarray, reach: np.ndarray) -> np.ndarray:
        """(H, W, 4) float32 of the atlas, each row of pixels from the copy that fits its distance."""
        out = np.empty((*s.shape, 4), np.uint8)
        typical = np.median(reach[:, :: max(1, reach.shape[1] // 32)], axis=1)
        start = 0
        for reach_m, atlas, (per_m, per_d) in reversed(self.bands):
            nearer = np.flatnonzero(typical[start:] <= (reach_m / 1.42 if reach_m > 8 else 0))
            stop = start + int(nearer[0]) if len(nearer) else len(s)
            if stop > start:
                rows = np.s_[start:stop]
                u = (d[rows] + np.float32(HALF_WIDTH_M)) * np.float32(per_d) - np.float32(0.5)
                v = np.mod(s[rows], np.float32(PERIOD_M)) * np.float32(per_m) - np.float32(0.5)
                out[rows] = cv2.remap(atlas, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
            start = stop
        texture = out.astype(np.float32)
        near = np.flatnonzero(typical < 14.0)
        if len(near):
            rows = np.s_[int(near[0]) :]
            grain = cv2.remap(
                self.detail,
                np.mod(d[rows] * 100, 512),
                np.mod(s[rows] * 100, 512),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_WRAP,
            )
            fade = np.clip((14.0 - reach[rows]) / 8.0, 0, 1)
            texture[rows, :, :3] *= (1 + (grain - 1) * fade)[..., None]
        return texture

    def _lit(
        self,
        colour: np.ndarray,
        x: np.ndarray,
        y: np.ndarray,
        s: np.ndarray,
        d: np.ndarray,
        reach: np.ndarray,
        now: Poses,
    ) -> np.ndarray:
        """The colour in the scene's light; wet roads mirror the sky."""
        light = self.light
        if light.night:
            power = self.light.sky + light.beam(x, y)
            if self._pools is not None:
                v = np.mod(s + np.float32(now.s_m[0] % LAMP_SPACING_M), np.float32(LAMP_SPACING_M)) * np.float32(
                    256 / LAMP_SPACING_M
                )
                u = (d + np.float32(16)) * np.float32(4)
                power = power + cv2.remap(self._pools, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        else:
            shade = self._row[..., 2]
            power = light.full * (shade if self.scene.surroundings.bridges_m else np.ones_like(shade))
        wet = self.scene.options.rain
        if wet > 0:
            mirror = (0.55 * wet) * np.float32(1) / (1 + (14.0 / np.maximum(reach, 1)) ** 2)
            sky = np.ascontiguousarray(np.broadcast_to(light.sky_colour.astype(np.float32), colour.shape))
            power = (power * (1 - 0.28 * wet)).astype(np.float32)
            lit = colour * power[..., None]
            return cv2.blendLinear(lit, sky, (1 - mirror).astype(np.float32), mirror.astype(np.float32))
        return colour * power.astype(np.float32)[..., None]
