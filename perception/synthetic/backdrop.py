"""What lies behind everything on the road: the sky with its horizon, and house fronts along a straight street."""

from __future__ import annotations

import math

import cv2
import numpy as np

from geometry.camera import Camera
from perception.synthetic.ground import Rays
from perception.synthetic.light import Light
from perception.synthetic.motion import Poses
from perception.synthetic.textures import (
    FRONT_HEIGHT_M,
    FRONT_LENGTH_M,
    FRONT_TEXEL_M,
    SKY_HIGH_RAD,
    SKY_TEXEL_RAD,
    house_fronts,
    panorama,
)
from perception.synthetic.world import Scene

_WALL_LEVELS = 5


class Backdrop:
    """Paints sky and house fronts; made once a scene."""

    def __init__(self, scene: Scene, light: Light) -> None:
        self.scene, self.light = scene, light
        rng = np.random.default_rng([scene.seed, 3])
        o, around = scene.options, scene.surroundings
        cloud = max(around.overcast, min(1.0, 1.3 * o.rain), o.fog)
        sky = panorama(rng, around.kind, cloud, night=o.night)
        if o.fog > 0:
            share = 0.35 + 0.65 * min(1.0, 2 * o.fog)
            sky = cv2.addWeighted(sky, 1 - share, np.full_like(sky, light.haze_colour.mean()), share, 0)
        self.sky = np.concatenate([sky, sky[:, :8]], axis=1)
        self.fronts = []
        for wall in around.walls_m:
            picture = house_fronts(rng)
            levels = [picture]
            for _ in range(_WALL_LEVELS - 1):
                size = max(4, levels[-1].shape[1] // 2), max(4, levels[-1].shape[0] // 2)
                levels.append(cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA))
            self.fronts.append((wall, levels))

    def paint(self, canvas: np.ndarray, rays: Rays, camera: Camera, now: Poses) -> None:
        """Paints everything above the ground's horizon into canvas (H, W, 3), in place."""
        _, _, dz = rays.directions(camera, np.s_[:])
        rows = np.flatnonzero((dz > -0.03).any(axis=1))
        if not len(rows):
            return
        block = np.s_[: int(rows[-1]) + 1]
        dx, dy, dz = rays.directions(camera, block)
        flat = cv2.magnitude(dx, dy)
        up = cv2.phase(flat, dz)
        up = np.where(up > math.pi, up - np.float32(2 * math.pi), up)
        around = cv2.phase(dx, dy) + np.float32(now.heading_rad[0] % (2 * math.pi))
        u = np.mod(-around, np.float32(2 * math.pi)) * np.float32(1 / SKY_TEXEL_RAD)
        v = np.clip((np.float32(SKY_HIGH_RAD) - up) * np.float32(1 / SKY_TEXEL_RAD) - 0.5, 0, self.sky.shape[0] - 1)
        canvas[block] = cv2.remap(self.sky, u, v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def paint_walls(self, canvas: np.ndarray, rays: Rays, camera: Camera, now: Poses) -> None:
        """Paints the house fronts, which run along the straight street."""
        if not self.fronts:
            return
        _, _, dz = rays.directions(camera, np.s_[:])
        turn = float(now.heading_rad[0] - self.scene.road.pose(float(now.s_m[0]))[2])
        c, sn = math.cos(turn), math.sin(turn)
        dx, dy, dz = rays.directions(camera, np.s_[:])
        along, across = c * dx - sn * dy, sn * dx + c * dy
        for wall, levels in self.fronts:
            gap = wall - float(now.d_m[0])
            columns = np.flatnonzero((across * math.copysign(1.0, gap) > 1e-3).any(axis=0))
            if not len(columns):
                continue
            strip = np.s_[:, int(columns[0]) : int(columns[-1]) + 1]
            self._wall(canvas[strip], (along[strip], across[strip], dz[strip]), gap, levels, camera, now)

    def _wall(
        self,
        canvas: np.ndarray,
        ray: tuple[np.ndarray, ...],
        gap: float,
        levels: list[np.ndarray],
        camera: Camera,
        now: Poses,
    ) -> None:
        along, across, dz = ray
        towards = across * math.copysign(1.0, gap)
        t = abs(gap) / np.maximum(towards, 1e-4)
        z = np.float32(camera.height_m) + t * dz
        ahead = t * along
        at = ahead + np.float32(float(now.s_m[0]))
        seen = (towards > 1e-3) & (z > 0) & (z < FRONT_HEIGHT_M - 0.6) & (ahead > 0) & (t < 500)
        for junction in self.scene.road.junctions:
            seen &= (at < junction.from_m) | (at > junction.to_m)
        rows = np.flatnonzero(seen.any(axis=1))
        if not len(rows):
            return
        block = np.s_[int(rows[0]) : int(rows[-1]) + 1]
        u = np.mod(ahead[block] + np.float32(now.s_m[0]), np.float32(FRONT_LENGTH_M)) * np.float32(1 / FRONT_TEXEL_M)
        v = np.maximum(np.float32(FRONT_HEIGHT_M) - z[block], np.float32(0.6)) * np.float32(1 / FRONT_TEXEL_M)
        focal = math.sqrt(camera.fx_px * camera.fy_px)
        typical = np.median(np.where(seen[block], t[block], 500.0), axis=0)
        # One copy for each run of columns; along the street the footprint is the longer one, the mean decides.
        foot = typical / focal * np.sqrt(1 + (typical / abs(gap)))
        level = np.clip(np.rint(np.log2(np.maximum(foot / FRONT_TEXEL_M, 1.0))), 0, len(levels) - 1).astype(int)
        picture = np.empty((*u.shape, 4), np.uint8)
        for number, texture in enumerate(levels):
            columns = np.flatnonzero(level == number)
            if len(columns):
                run = np.s_[:, int(columns[0]) : int(columns[-1]) + 1]
                scale = np.float32(0.5**number)
                part = cv2.remap(
                    texture,
                    u[run] * scale - np.float32(0.5),
                    v[run] * scale - np.float32(0.5),
                    cv2.INTER_LINEAR,
                    borderMode=cv2.BORDER_WRAP,
                )
                picture[run] = np.where((level[run[1]] == number)[None, :, None], part, picture[run])
        self._compose(canvas[block], picture, seen[block], t[block] * np.maximum(along[block], 1), gap, now)

    def _compose(
        self, canvas: np.ndarray, picture: np.ndarray, seen: np.ndarray, reach: np.ndarray, gap: float, now: Poses
    ) -> None:
        light = self.light
        normal = np.array([0.0, -math.copysign(1.0, gap), 0.0])
        sun = light.sun_direction(float(now.heading_rad[0]))
        power = light.sky * 0.8 + light.sun * max(0.0, float(normal @ sun))
        if light.night:
            power = 0.3 if self.scene.surroundings.lamps else 0.1
        fog = light.fog_share(reach)[..., None].astype(np.float32)
        colour = picture[..., :3] * np.float32(power) * (1 - fog) + light.haze_colour.astype(np.float32) * fog
        cover = (picture[..., 3] * seen)[..., None] * np.float32(1 / 255)
        canvas[:] = (colour * cover + canvas * (1 - cover)).astype(np.uint8)
