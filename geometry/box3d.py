"""Boxes in space: corners, heading and viewing angle, their outline in the picture, and KITTI's way of writing them.

A box is seven numbers (..., 7) in the vehicle frame: height, width, length, then x, y, z of the centre of its BOTTOM
face, then yaw, the heading of its front from the vehicle's x axis, positive to the left. NumPy or torch.

KITTI (A. Geiger et al., IJRR 2013) writes h, w, l, the bottom centre in the camera frame and ``rotation_y``, the
heading about the camera's y axis (down) from its x axis (right); ``alpha`` is the same less the direction in which the
object is seen, hence what its appearance shows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from geometry.camera import Camera

Array = Any

CORNER_SIGNS = np.array(
    [[1, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0], [1, 1, 1], [1, -1, 1], [-1, -1, 1], [-1, 1, 1]], dtype=np.float64
)
"""(8, 3) of every corner: front (1) or rear, left (1) or right, top (1) or bottom (0); bottom first, from front left
round over front right, rear right and rear left."""

EDGES: tuple[tuple[int, int], ...] = (
    *((0, 1), (1, 2), (2, 3), (3, 0)),
    *((4, 5), (5, 6), (6, 7), (7, 4)),
    *((0, 4), (1, 5), (2, 6), (3, 7)),
)
"""The twelve edges as pairs of corners; (0, 1), (4, 5), (0, 4) and (1, 5) bound the front."""

_NEAR_M = 0.1  # edges are cut this far in front of the lens


def wrapped(angle_rad: Array) -> Array:
    """The same angle from -pi up to, but without, pi."""
    return (angle_rad + math.pi) % (2.0 * math.pi) - math.pi


def corners(boxes: Array) -> Array:
    """(..., 8, 3) vehicle points of boxes (..., 7), in the order of ``CORNER_SIGNS``."""
    xp = array_namespace(boxes)
    signs = _like(CORNER_SIGNS, boxes)
    height, width, length, yaw = boxes[..., 0:1], boxes[..., 1:2], boxes[..., 2:3], boxes[..., 6:7]
    along, across = signs[:, 0] * length / 2, signs[:, 1] * width / 2
    cos, sin = xp.cos(yaw), xp.sin(yaw)
    x = boxes[..., 3:4] + along * cos - across * sin
    y = boxes[..., 4:5] + along * sin + across * cos
    return xp.stack([x, y, boxes[..., 5:6] + signs[:, 2] * height], axis=-1)


def rotated_from_box(boxes: Array) -> Array:
    """(..., 5) footprints on the road (x, y, length, width, yaw), as ``geometry.boxes.rotated_iou`` takes them."""
    xp = array_namespace(boxes)
    return xp.stack([boxes[..., 3], boxes[..., 4], boxes[..., 2], boxes[..., 1], boxes[..., 6]], axis=-1)


def nearest_x_m(boxes: Array) -> Array:
    """(...) vehicle x of the nearest corner: the distance to the object along the road."""
    xp = array_namespace(boxes)
    reach = xp.abs(boxes[..., 2] * xp.cos(boxes[..., 6])) + xp.abs(boxes[..., 1] * xp.sin(boxes[..., 6]))
    return boxes[..., 3] - reach / 2


def alpha_from_yaw(yaw_rad: Array, xy_m: Array) -> Array:
    """Viewing angle (KITTI's ``alpha``) of headings (...) at vehicle positions (..., 2), for a camera at the origin."""
    xp = array_namespace(xy_m)
    return wrapped(xp.atan2(xy_m[..., 1], xy_m[..., 0]) - yaw_rad - math.pi / 2)


def yaw_from_alpha(alpha_rad: Array, xy_m: Array) -> Array:
    """The inverse of ``alpha_from_yaw``."""
    xp = array_namespace(xy_m)
    return wrapped(xp.atan2(xy_m[..., 1], xy_m[..., 0]) - alpha_rad - math.pi / 2)


def box_from_kitti(camera: Camera, size_m: Array, location_m: Array, rotation_y_rad: Array) -> Array:
    """Boxes (..., 7) in the vehicle frame from KITTI's h, w, l (..., 3), location (..., 3) and rotation_y (...)."""
    xp = array_namespace(location_m)
    pose = _like(camera.vehicle_from_camera, location_m)
    xyz = location_m @ pose[:3, :3].T + pose[:3, 3]
    zero = xp.zeros_like(rotation_y_rad)
    heading = xp.stack([xp.cos(rotation_y_rad), zero, -xp.sin(rotation_y_rad)], axis=-1) @ pose[:3, :3].T
    yaw = xp.atan2(heading[..., 1], heading[..., 0])
    return xp.concat([size_m, xyz, yaw[..., None]], axis=-1)


def kitti_from_box(camera: Camera, boxes: Array) -> tuple[Array, Array, Array, Array]:
    """KITTI's h, w, l (..., 3), location (..., 3), rotation_y (...) and alpha (...) of boxes (..., 7)."""
    xp = array_namespace(boxes)
    pose = _like(camera.camera_from_vehicle, boxes)
    location = boxes[..., 3:6] @ pose[:3, :3].T + pose[:3, 3]
    yaw = boxes[..., 6]
    heading = xp.stack([xp.cos(yaw), xp.sin(yaw), xp.zeros_like(yaw)], axis=-1) @ pose[:3, :3].T
    rotation_y = xp.atan2(-heading[..., 2], heading[..., 0])
    alpha = wrapped(rotation_y - xp.atan2(location[..., 0], location[..., 2]))
    return boxes[..., :3], location, rotation_y, alpha


def outline_px(camera: Camera, boxes: Array, *, clip: bool = True) -> tuple[Array, Array]:
    """The upright box in the picture around each box in space.

    Edges that reach behind the lens are cut just in front of it, so that a car beside us has a box too. What the lens
    model cannot show is left out.

    Args:
        boxes: (..., 7).
        clip: cut the boxes to the picture.

    Returns:
        (..., 4) xyxy pixels, NaN where invalid, and (...) bool: something of the box lies in the picture.
    """
    xp = array_namespace(boxes)
    pose = _like(camera.camera_from_vehicle, boxes)
    points = corners(boxes) @ pose[:3, :3].T + pose[:3, 3]
    first, second = ([edge[i] for edge in EDGES] for i in (0, 1))
    start, end = points[..., first, :], points[..., second, :]
    px, valid = camera.project_camera(xp.concat([_cut(start, end), _cut(end, start)], axis=-2))
    low, high = xp.full_like(px, -xp.inf), xp.full_like(px, xp.inf)
    top_left = xp.min(xp.where(valid[..., None], px, high), axis=-2)
    bottom_right = xp.max(xp.where(valid[..., None], px, low), axis=-2)
    size = _like(np.array([camera.width_px, camera.height_px], dtype=np.float64), boxes) - 0.5
    seen = xp.any(valid, axis=-1) & xp.all((bottom_right > -0.5) & (top_left < size), axis=-1)
    if clip:
        top_left = xp.maximum(top_left, xp.full_like(top_left, -0.5))
        bottom_right = xp.minimum(bottom_right, size * xp.ones_like(bottom_right))
    xyxy = xp.concat([top_left, bottom_right], axis=-1)
    return xp.where(seen[..., None], xyxy, xp.full_like(xyxy, xp.nan)), seen


def _cut(point: Array, other: Array) -> Array:
    """Camera points behind the near plane moved along their edge onto it, or left there where the other one is too."""
    xp = array_namespace(point)
    depth, span = point[..., 2], other[..., 2] - point[..., 2]
    crosses = (depth < _NEAR_M) & (depth + span > _NEAR_M)
    share = (_NEAR_M - depth) / xp.where(crosses, span, xp.ones_like(span))
    share = xp.where(crosses, share, xp.zeros_like(share))
    return point + share[..., None] * (other - point)


def _like(matrix: np.ndarray, array: Array) -> Array:
    return Camera.constant(matrix, array)
