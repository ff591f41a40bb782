"""Trees and guard rails: what stands along the road without being anybody's truth."""

from __future__ import annotations

import math

import cv2
import numpy as np

from perception.synthetic.light import Light
from perception.synthetic.motion import Poses
from perception.synthetic.textures import tree
from perception.synthetic.truth import lane_line, to_vehicle
from perception.synthetic.view import View
from perception.synthetic.world import Scene

_TREE_RANGE_M = 220.0
_RAIL_RANGE_M = 130.0
_SHIFT = 4


class Scenery:
    """The trees and rails of a scene; made once, painted every frame."""

    def __init__(self, scene: Scene, light: Light) -> None:
        self.scene, self.light = scene, light
        rng = np.random.default_rng([scene.seed, 4])
        city = scene.surroundings.kind == "city"
        self.pictures = []
        for number in range(5):
            picture = tree(rng, conifer=not city and number >= 3)
            levels = [picture]
            while levels[-1].shape[0] > 16:
                levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
            self.pictures.append(levels)
        self.world_m, self.height_m, self.variant = self._plant(rng, city=city)

    def _plant(self, rng: np.random.Generator, *, city: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        road, share = self.scene.road, self.scene.surroundings.trees
        rows = []
        for side, edge in ((1, road.left_m), (-1, road.right_m)):
            s = -20.0
            while s < road.length_m - 5.0:
                s += float(rng.uniform(9, 14) if city else rng.uniform(3, 16))
                if rng.random() > share:
                    continue
                if any(j.from_m - 4 < s < j.to_m + 4 for j in road.junctions):
                    continue
                out = 3.4 if city else float(rng.uniform(4.5, 26.0))
                height = float(rng.uniform(5, 8) if city else rng.uniform(5, 14))
                rows.append((s, edge + side * out, height, int(rng.integers(5))))
        if not rows:
            return np.empty((0, 2)), np.empty(0), np.empty(0, int)
        table = np.array(rows)
        return np.stack(road.world(table[:, 0], table[:, 1]), axis=1), table[:, 2], table[:, 3].astype(int)

    def paint_trees(self, canvas: np.ndarray, view: View, now: Poses) -> None:
        """Paints the trees into canvas, far ones first, in place."""
        if not len(self.world_m):
            return
        xy = to_vehicle(now, self.world_m)
        reach = np.hypot(*xy.T)
        near = np.flatnonzero((xy[:, 0] > 2.0) & (reach < _TREE_RANGE_M))
        light = self.light
        power = light.sky * 0.9 + 0.5 * light.sun
        for row in near[np.argsort(-reach[near])]:
            if light.night:
                power = light.sky * 0.6 + 0.5 * float(light.beam(xy[row, 0], xy[row, 1]))
            self._tree(canvas, view, xy[row], float(self.height_m[row]), int(self.variant[row]), power)

    def _tree(self, canvas: np.ndarray, view: View, xy: np.ndarray, height: float, variant: int, power: float) -> None:
        ends = view.in_camera(np.array([[*xy, 0.0], [*xy, height]]))
        if not (view.sides(ends[:1])[:, :3] >= 0).all():
            return
        tall = height / ends[0, 2] * view.camera.fy_px
        base = view.px(ends[:1])[0]
        levels = self.pictures[variant]
        level = int(np.clip(math.floor(math.log2(max(levels[0].shape[0] / max(tall, 1.0), 1.0))), 0, len(levels) - 1))
        picture = levels[level]
        scale = tall / picture.shape[0]
        left, top = base[0] - picture.shape[1] / 2 * scale, base[1] - tall
        x0, y0 = max(0, math.floor(left)), max(0, math.floor(top))
        x1, y1 = (
            min(canvas.shape[1], math.ceil(left + picture.shape[1] * scale)),
            min(canvas.shape[0], math.ceil(base[1]) + 1),
        )
        if x0 >= x1 or y0 >= y1:
            return
        matrix = np.array([[scale, 0, left - x0], [0, scale, top - y0]])
        sprite = cv2.warpAffine(picture, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
        fog = float(self.light.fog_share(float(np.linalg.norm(ends[0]))))
        alpha = sprite[..., 3:] * np.float32(1 / 255)
        rgb = sprite[..., :3] * np.float32(power * (1 - fog)) + self.light.haze_colour.astype(np.float32) * (
            fog * alpha
        )
        part = canvas[y0:y1, x0:x1]
        part[:] = np.minimum(rgb + part * (1 - alpha), 255).astype(np.uint8)

    def paint_rails(self, canvas: np.ndarray, view: View, now: Poses, rails_m: list[float]) -> None:
        """Paints guard rails, far pieces first, in place."""
        s = float(now.s_m[0]) + np.concatenate([np.arange(-4.0, 40.0, 2.0), np.arange(40.0, _RAIL_RANGE_M, 6.0)])
        s = np.round(s / 2.0) * 2.0
        for d in rails_m:
            line = lane_line(self.scene.road, now, d, s)
            for i in range(len(s) - 2, -1, -1):
                self._post(canvas, view, line[i])
                self._beam(canvas, view, line[i], line[i + 1])

    def _power(self, point: np.ndarray) -> float:
        if self.light.night:
            return self.light.sky + 0.8 * float(self.light.beam(point[0], point[1]))
        return self.light.full

    def _beam(self, canvas: np.ndarray, view: View, a: np.ndarray, b: np.ndarray) -> None:
        """One piece of a W-beam: five bands of light and shade."""
        heights = (0.43, 0.49, 0.55, 0.61, 0.67, 0.75)
        power, fog = self._power(a), float(self.light.fog_share(float(np.hypot(*a))))
        for low, high, tone in zip(heights[:-1], heights[1:], (118, 172, 128, 178, 205), strict=True):
            quad = np.array([(*a, low), (*b, low), (*b, high), (*a, high)])
            self._fill(canvas, view, quad, tone * power, fog)

    def _post(self, canvas: np.ndarray, view: View, a: np.ndarray) -> None:
        if np.hypot(*a) > 60 or a[0] < 1:
            return
        quad = np.array(
            [(a[0], a[1] - 0.06, 0), (a[0], a[1] + 0.06, 0), (a[0], a[1] + 0.06, 0.6), (a[0], a[1] - 0.06, 0.6)]
        )
        self._fill(canvas, view, quad, 92 * self._power(a), float(self.light.fog_share(float(np.hypot(*a)))))

    def _fill(self, canvas: np.ndarray, view: View, quad: np.ndarray, tone: float, fog: float) -> None:
        points = view.in_camera(quad)
        if not (view.sides(points) >= 0).all():
            points = view.clip_polygon(points)
            if len(points) < 3:
                return
        colour = np.array([1.0, 1.0, 0.97]) * tone * (1 - fog) + self.light.haze_colour * fog
        px = np.rint(view.px(points) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillConvexPoly(canvas, px, colour.tolist(), cv2.LINE_AA, _SHIFT)
