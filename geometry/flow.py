"""The camera's motion between two frames from points that moved in the picture: heading, turn, road plane.

Static points, once the turn is taken out, move straight away from the focus of expansion, the pixel towards which the
camera travels (H. C. Longuet-Higgins, K. Prazdny, "The interpretation of a moving retinal image", 1980). A car travels
along the road, so that pixel is where the vehicle's x axis points: it gives pitch and yaw of the mount in every frame,
suspension included. How fast points of the road move away gives the road plane over the distance travelled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geometry.camera import Camera

_PRIOR_SIGMA_RAD = math.radians(4.0)  # of where the camera heads: mounts lie within some degrees of straight ahead
_HELD_SIGMA_RAD = math.radians(0.2)
_PRIOR_TURN_RAD = math.radians(3.0)  # of a turn within one frame: 75 degrees/s at 25 frames a second
# First the turn alone, with the heading held: an outlier near the focus would else draw the focus onto itself.
_PRIORS = np.array(
    [[_PRIOR_TURN_RAD**-2] * 3 + [_HELD_SIGMA_RAD**-2] * 2, [_PRIOR_TURN_RAD**-2] * 3 + [_PRIOR_SIGMA_RAD**-2] * 2]
)


@dataclass(frozen=True)
class CameraMotion:
    """What two frames show of the camera, in the later one; angles in radians with the mount's signs.

    Attributes:
        pitch_rad, yaw_rad: of the camera against its direction of travel; pitch_sigma_rad, yaw_sigma_rad.
        turn_rad: (3,) how the vehicle turned between the frames about its x, y and z axes: roll to the right, nose
            down and left are positive; turn_sigma_rad (3,).
        roll_rad, roll_sigma_rad: of the camera against the road plane; NaN where too little of the road is seen.
        travel_per_height: distance travelled forward over camera height, by the road's motion; NaN likewise.
        travel_per_height_sigma: its standard deviation.
        inliers: points that agree.
        inlier_share: their share of the points given.
    """

    pitch_rad: float
    yaw_rad: float
    pitch_sigma_rad: float
    yaw_sigma_rad: float
    turn_rad: np.ndarray
    turn_sigma_rad: np.ndarray
    roll_rad: float
    roll_sigma_rad: float
    travel_per_height: float
    travel_per_height_sigma: float
    inliers: int
    inlier_share: float


def camera_motion(camera: Camera, px_before: np.ndarray, px_now: np.ndarray) -> CameraMotion | None:
    """The camera's motion from points (N, 2) seen in the last frame and now; leave out those on other vehicles.

    Five numbers (turn, heading) by robust Gauss-Newton on the distances of points from their lines through the focus
    of expansion, started from the camera's own mount; 0.4 ms for 200 points.

    Returns:
        None with fewer than 20 points, or where they do not agree.
    """
    before, _ = camera.normalised(np.asarray(px_before, dtype=np.float64))
    now, _ = camera.normalised(np.asarray(px_now, dtype=np.float64))
    return motion_of_rays(camera, before, now)


def motion_of_rays(camera: Camera, before: np.ndarray, now: np.ndarray) -> CameraMotion | None:
    """``camera_motion`` from normalised camera coordinates (N, 2), NaN where the lens has none."""
    from geometry import flow_kernels as kernels

    told = np.empty(kernels.TOLD)
    before, now = np.array(before, np.float64, order="C"), np.array(now, np.float64, order="C")
    rotation = np.ascontiguousarray(camera.vehicle_from_camera_rotation)
    noise = kernels.NOISE_PX / math.sqrt(camera.fx_px * camera.fy_px)
    if not kernels.motion(before, now, rotation, camera.height_m, noise, _PRIORS, told):
        return None
    agree, share, *_, focus_x, focus_y, yaw_sigma, pitch_sigma, roll, roll_sigma, travel, travel_sigma = told.tolist()
    right, down, depth = rotation[0].tolist()  # where the vehicle's x axis is seen
    if not max(abs(focus_x - right / depth), abs(focus_y - down / depth)) <= 4 * _PRIOR_SIGMA_RAD:  # NaN, too
        return None
    turn, turn_sigma = told[kernels.TURN : kernels.TURN + 3], told[kernels.TURN_SIGMA : kernels.TURN_SIGMA + 3]
    pitch, yaw = mount_from_heading((focus_x, focus_y, 1.0), camera.roll_rad)
    # In a bend the way between the frames is a chord, and the vehicle now heads half the turn past it.
    yaw -= float(turn[2]) / 2
    road = roll, roll_sigma, travel, travel_sigma
    return CameraMotion(pitch, yaw, pitch_sigma, yaw_sigma, turn, turn_sigma, *road, int(agree), share)


def mount_from_heading(direction_camera: Sequence[float] | np.ndarray, roll_rad: float = 0.0) -> tuple[float, float]:
    """Pitch and yaw of a camera that sees the vehicle's x axis in a direction (3,) of its own frame."""
    forward, down, right = direction_camera[2], direction_camera[1], direction_camera[0]
    cos, sin = math.cos(roll_rad), math.sin(roll_rad)
    left, up = -cos * right + sin * down, -sin * right - cos * down
    length = math.sqrt(forward**2 + left**2 + up**2)
    return math.atan2(up, forward), math.asin(-left / length)


def upper_median(values: np.ndarray) -> float:
    """The upper median of (N,) numbers: NumPy's own takes five times as long on some hundred."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


def descent(camera: Camera, rays: np.ndarray) -> np.ndarray:
    """(N,) by how much the rays through normalised points (N, 2) go down, for their depth; negative upwards."""
    right, down, depth = camera.vehicle_from_camera_rotation[2]
    return -(right * rays[:, 0] + down * rays[:, 1] + depth)
