"""The vanishing point of a straight road, where the vehicle's own direction meets the picture, and the mount."""

from __future__ import annotations

import math

import numpy as np

from geometry.camera import Camera
from geometry.errors import InputError

_FAR_M = 1e9
_LEVEL = Camera(2, 2, 1.0, 1.0, 0.5, 0.5, 1.0).vehicle_from_camera_rotation


def vanishing_point(camera: Camera) -> tuple[float, float]:
    """Pixel (x, y) towards which a vehicle that drives straight ahead moves; NaN where the lens cannot see there."""
    px, _ = camera.project(np.array([_FAR_M, 0.0, camera.height_m]))
    return float(px[0]), float(px[1])


def facing(camera: Camera, point_px: tuple[float, float], roll_rad: float) -> Camera:
    """The camera turned so that the road's vanishing point falls on a pixel.

    With u the pixel's ray after roll, Ry(pitch)^T Rz(yaw)^T x = (cos p cos y, -sin y, sin p cos y) must equal u.

    Raises:
        InputError: the pixel lies outside what the lens can show, or needs a camera that looks sideways.
    """
    direction, valid = camera.normalised(np.array(point_px, dtype=np.float64))
    if not bool(valid):
        raise InputError(f"the vanishing point {point_px} is outside of what this lens can show; choose one nearer by")
    ray = np.append(direction, 1.0)
    cos, sin = math.cos(roll_rad), math.sin(roll_rad)
    roll = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    u = roll @ _LEVEL @ (ray / np.linalg.norm(ray))
    yaw_rad, pitch_rad = -math.asin(u[1]), math.atan2(u[2], u[0])
    return camera.mounted(pitch_rad=pitch_rad, yaw_rad=yaw_rad, roll_rad=roll_rad)
