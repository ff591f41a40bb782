"""From bodies in the vehicle frame to polygons and boxes in the picture, through any lens, cut at its edges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geometry.camera import Camera
from geometry.distortion import distort

_NEAR_M = 0.3
_MARGIN = 1.15  # polygons are cut this much outside the picture's edge


@dataclass(frozen=True)
class View:
    """The pyramid a camera sees, a little wider than its picture, in camera coordinates."""

    camera: Camera

    @cached_property
    def limit(self) -> tuple[float, float]:
        """Largest |x/z| and |y/z| kept, inside the domain of the lens."""
        w, h = self.camera.width_px - 0.5, self.camera.height_px - 0.5
        u, v = np.linspace(-0.5, w, 33), np.linspace(-0.5, h, 33)
        edge = np.concatenate(
            [np.stack(np.broadcast_arrays(u, y), axis=1) for y in (-0.5, h)]
            + [np.stack(np.broadcast_arrays(x, v), axis=1) for x in (-0.5, w)]
        )
        xy, valid = self.camera.normalised(edge)
        x, y = np.abs(xy[valid]).max(axis=0) * _MARGIN
        shrink = min(1.0, 0.99 * self.camera.distortion.max_radius / float(np.hypot(x, y)))
        return float(x * shrink), float(y * shrink)

    @cached_property
    def planes(self) -> np.ndarray:
        """(5, 4) inward planes n . p + c >= 0 of the pyramid."""
        x, y = self.limit
        return np.array([[0, 0, 1, -_NEAR_M], [-1, 0, x, 0], [1, 0, x, 0], [0, -1, y, 0], [0, 1, y, 0]], float)

    def in_camera(self, points_vehicle: np.ndarray) -> np.ndarray:
        """(..., 3) camera coordinates of vehicle points."""
        pose = self.camera.camera_from_vehicle
        return points_vehicle @ pose[:3, :3].T + pose[:3, 3]

    def px(self, points_camera: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of camera points inside the pyramid."""
        xy, _ = distort(self.camera.distortion, points_camera[..., :2] / points_camera[..., 2:])
        c = self.camera
        return xy * (c.fx_px, c.fy_px) + (c.cx_px, c.cy_px)

    def sides(self, points_camera: np.ndarray) -> np.ndarray:
        """(..., 5) signed distances to the planes, positive inside."""
        return points_camera @ self.planes[:, :3].T + self.planes[:, 3]

    def clip_polygon(self, points_camera: np.ndarray) -> np.ndarray:
        """The part of a planar polygon (K, 3) inside the pyramid, (0, 3) when there is none (Sutherland-Hodgman)."""
        polygon = points_camera
        for plane in self.planes:
            side = polygon @ plane[:3] + plane[3]
            if (side >= 0).all():
                continue
            out = []
            for i in range(len(polygon)):
                j = (i + 1) % len(polygon)
                if side[i] >= 0:
                    out.append(polygon[i])
                if (side[i] >= 0) != (side[j] >= 0):
                    out.append(polygon[i] + (polygon[j] - polygon[i]) * (side[i] / (side[i] - side[j])))
            if len(out) < 3:
                return np.empty((0, 3))
            polygon = np.array(out)
        return polygon

    def clip_segments(self, start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The parts of segments (E, 3) inside the pyramid; those wholly outside are dropped."""
        low, high = np.zeros(len(start)), np.ones(len(start))
        a, b = self.sides(start), self.sides(stop)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = a / (a - b)
        low = np.maximum(low, np.where((a < 0) & (b >= 0), crossing, 0.0).max(axis=1))
        high = np.minimum(high, np.where((a >= 0) & (b < 0), crossing, 1.0).min(axis=1))
        keep = (low < high) & ~((a < 0) & (b < 0)).any(axis=1)
        start, step = start[keep], (stop - start)[keep]
        return start + step * low[keep, None], start + step * high[keep, None]


@dataclass(frozen=True, eq=False)
class Outline:
    """Where a body is in the picture: its convex hull in pixels (K, 2), uncut, its box cut to the picture, whether
    something of it lies outside."""

    hull_px: np.ndarray
    xyxy_px: np.ndarray
    truncated: bool


def outline(view: View, vertices_vehicle: np.ndarray, edges: np.ndarray) -> Outline | None:
    """The outline of a mesh, None where nothing of it is in the picture.

    Args:
        vertices_vehicle: (V, 3) metres.
        edges: (E, 2) vertex pairs.
    """
    import cv2

    points = view.in_camera(vertices_vehicle)
    inside = (view.sides(points) >= 0).all(axis=1)
    if inside.all():
        px = view.px(points)
        low, high = px.min(axis=0), px.max(axis=0)
        segments = None
    else:
        start, stop = view.clip_segments(points[edges[:, 0]], points[edges[:, 1]])
        if not len(start):
            return None
        segments = np.stack([view.px(start), view.px(stop)], axis=1)
        px = segments.reshape(-1, 2)
        low, high = px.min(axis=0), px.max(axis=0)
    frame = np.array([-0.5, -0.5]), np.array([view.camera.width_px - 0.5, view.camera.height_px - 0.5])
    if (high <= frame[0]).any() or (low >= frame[1]).any():
        return None
    hull = cv2.convexHull(px.astype(np.float32))[:, 0]
    cut = (low < frame[0]).any() or (high > frame[1]).any()
    if not cut:
        return Outline(hull, np.concatenate([low, high]), not inside.all())
    if segments is None:
        segments = np.stack([px[edges[:, 0]], px[edges[:, 1]]], axis=1)
    box = _box_in(segments, hull, *frame)
    return None if box is None else Outline(hull, box, True)


def _box_in(segments: np.ndarray, hull: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray | None:
    """The box of what segments (E, 2, 2) and their hull have inside a rectangle: Liang-Barsky, and its corners."""
    import cv2

    start, step = segments[:, 0], segments[:, 1] - segments[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.stack([(low - start) / step, (high - start) / step])
    flat = step == 0
    outside = flat & ((start < low) | (start > high))
    t_in = np.where(flat, 0.0, t.min(axis=0)).max(axis=1).clip(0)
    t_out = np.where(flat, 1.0, t.max(axis=0)).min(axis=1).clip(max=1)
    keep = (t_in <= t_out) & ~outside.any(axis=1)
    ends = [start[keep] + step[keep] * s[keep, None] for s in (t_in, t_out)]
    corners = np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])], np.float32)
    covered = [c for c in corners if cv2.pointPolygonTest(hull, (float(c[0]), float(c[1])), False) >= 0]
    points = np.concatenate([*ends, np.array(covered).reshape(-1, 2)])
    if not len(points):
        return None
    return np.concatenate([points.min(axis=0), points.max(axis=0)])
