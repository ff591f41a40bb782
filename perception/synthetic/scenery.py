"""Trees and guard rails: what stands along the road without being anybody's truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
_RAIL_M = (0.43, 0.49, 0.55, 0.61, 0.67, 0.75)  # edges of the bands of a W-beam
_RAIL_TONES = (118.0, 172.0, 128.0, 178.0, 205.0)
_STEEL = np.array([1.0, 1.0, 0.97])


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
        """Paints guard rails, far pieces first, in place: a W-beam in five bands of light and shade, and its posts."""
        s = float(now.s_m[0]) + np.concatenate([np.arange(-4.0, 40.0, 2.0), np.arange(40.0, _RAIL_RANGE_M, 6.0)])
        s = np.round(s / 2.0) * 2.0
        for d in rails_m:
            line = lane_line(self.scene.road, now, d, s)
            light, haze = self._tones(line)
            points = np.concatenate([line[:, None].repeat(len(_RAIL_M), axis=1), _heights(len(line))], axis=2)
            grid = Grid.of(view, view.in_camera(points))
            for i in range(len(s) - 2, -1, -1):
                if 1.0 < line[i, 0] < 60.0:
                    foot = [(*(line[i] + (0, y)), z) for y, z in ((-0.06, 0), (0.06, 0), (0.06, 0.6), (-0.06, 0.6))]
                    post = view.clip_polygon(view.in_camera(np.array(foot)))
                    _fill(canvas, view.px(post) if len(post) else post, 92.0 * light[i] * _STEEL + haze[i])
                for k, tone in enumerate(_RAIL_TONES):
                    quad = grid.quad(view, i, k)
                    _fill(canvas, quad, tone * light[i] * _STEEL + haze[i])

    def _tones(self, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(S,) share of daylight left by night and haze, and (S, 3) the haze's own colour, at points (S, 2)."""
        fog = self.light.fog_share(np.hypot(*line.T))
        power = np.full(len(line), self.light.full)
        if self.light.night:
            power = self.light.sky + 0.8 * self.light.beam(line[:, 0], line[:, 1])
        return power * (1 - fog), fog[:, None] * self.light.haze_colour


@dataclass(frozen=True, eq=False)
class Grid:
    """A ribbon of quads: camera points (S, H, 3), their pixels, and which of them are inside the view."""

    points: np.ndarray
    px: np.ndarray
    inside: np.ndarray

    @classmethod
    def of(cls, view: View, points: np.ndarray) -> Grid:
        """The ribbon over camera points (S, H, 3)."""
        inside = np.all(view.sides(points) >= 0, axis=-1)
        px = np.zeros((*points.shape[:2], 2))
        px[inside] = view.px(points[inside])
        return cls(points, px, inside)

    def quad(self, view: View, i: int, k: int) -> np.ndarray:
        """Pixels of the quad between columns i, i + 1 and heights k, k + 1, cut at the view; maybe none."""
        if self.inside[i : i + 2, k : k + 2].all():
            a = self.px
            return np.array([a[i, k], a[i + 1, k], a[i + 1, k + 1], a[i, k + 1]])
        if not self.inside[i : i + 2, k : k + 2].any() and self.points[i : i + 2, k, 2].max() < 0:
            return np.empty((0, 2))
        p = self.points
        cut = view.clip_polygon(np.array([p[i, k], p[i + 1, k], p[i + 1, k + 1], p[i, k + 1]]))
        return view.px(cut) if len(cut) else np.empty((0, 2))


def _heights(count: int) -> np.ndarray:
    return np.broadcast_to(np.array(_RAIL_M)[None, :, None], (count, len(_RAIL_M), 1))


def _fill(canvas: np.ndarray, px: np.ndarray, colour: np.ndarray) -> None:
    if len(px) >= 3:
        cv2.fillConvexPoly(canvas, np.rint(px * (1 << _SHIFT)).astype(np.int32), colour.tolist(), cv2.LINE_AA, _SHIFT)
