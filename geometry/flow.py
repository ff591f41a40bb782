"""The camera's motion between two frames from points that moved in the picture: heading, turn, road plane.

Static points, once the turn is taken out, move straight away from the focus of expansion, the pixel towards which the
camera travels (H. C. Longuet-Higgins, K. Prazdny, "The interpretation of a moving retinal image", 1980). A car travels
along the road, so that pixel is where the vehicle's x axis points: it gives pitch and yaw of the mount in every frame,
suspension included. How fast points of the road move away gives the road plane over the distance travelled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from geometry.camera import Camera

_MIN_POINTS = 20
_NOISE_PX = 0.3  # of a tracked corner; residuals are never believed to be smaller
_START_PX = 8.0  # the robust scale at first, halved every step down to the residuals' own
_PRIOR_SIGMA_RAD = math.radians(4.0)  # of where the camera heads: mounts lie within some degrees of straight ahead
_HELD_SIGMA_RAD = math.radians(0.2)
_PRIOR_TURN_RAD = math.radians(3.0)  # of a turn within one frame: 75 degrees/s at 25 frames a second
# First the turn alone, with the heading held: an outlier near the focus would else draw the focus onto itself.
_PRIORS = np.array(
    [[_PRIOR_TURN_RAD**-2] * 3 + [_HELD_SIGMA_RAD**-2] * 2, [_PRIOR_TURN_RAD**-2] * 3 + [_PRIOR_SIGMA_RAD**-2] * 2]
)
_ROAD_AHEAD_M = (3.0, 25.0)
_ROAD_ASIDE_M = 4.0  # the ego lane and half its neighbours
_LANE_ASIDE_M = 2.0  # the ego lane: beyond may lie kerbs and barriers, whose height would pass for roll
_MIN_ROAD_POINTS = 8
_OWN_BODY_M = 10.0  # what seems to lie on the road nearer than this and stays put is the vehicle's own
_MIN_MOVING = 30


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
    noise = _NOISE_PX / math.sqrt(camera.fx_px * camera.fy_px)
    known = np.isfinite(before + now).all(axis=1)
    before, now = before[known], now[known]
    own = _own_body(camera, before, now, noise)
    if own.any():
        before, now = before[~own], now[~own]
    if len(now) < _MIN_POINTS:
        return None
    solved = _solve(before, now, _heading(camera), noise)
    if solved is None:
        return None
    omega, focus, cov, weight = solved
    inlier = weight > 0.25
    if inlier.sum() < _MIN_POINTS:
        return None
    rotation = camera.vehicle_from_camera_rotation
    turn = -rotation @ omega
    turn_sigma = np.sqrt(np.diag(rotation @ cov[:3, :3] @ rotation.T))
    pitch, yaw = mount_from_heading(np.array([*focus, 1.0]), camera.roll_rad)
    # In a bend the way between the frames is a chord, and the vehicle now heads half the turn past it.
    yaw -= float(turn[2]) / 2
    road = _road_plane(camera, _rotated(before, omega)[inlier], now[inlier], focus, noise)
    sigma = np.sqrt(np.diag(cov))
    return CameraMotion(
        pitch, yaw, float(sigma[4]), float(sigma[3]), turn, turn_sigma, *road, int(inlier.sum()), float(inlier.mean())
    )


def mount_from_heading(direction_camera: np.ndarray, roll_rad: float = 0.0) -> tuple[float, float]:
    """Pitch and yaw of a camera that sees the vehicle's x axis in a direction (3,) of its own frame."""
    forward, down, right = direction_camera[2], direction_camera[1], direction_camera[0]
    cos, sin = math.cos(roll_rad), math.sin(roll_rad)
    left, up = -cos * right + sin * down, -sin * right - cos * down
    length = math.sqrt(forward**2 + left**2 + up**2)
    return math.atan2(up, forward), math.asin(-left / length)


def _rotated(xy: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """Normalised points (N, 2) after a rotation by the vector (3,)."""
    rotation = cv2.Rodrigues(omega)[0]
    turned = xy @ rotation[:, :2].T + rotation[:, 2]
    return turned[:, :2] / turned[:, 2:]


def _own_body(camera: Camera, before: np.ndarray, now: np.ndarray, noise: float) -> np.ndarray:
    """(N,) bool: points that stay where the near road should move, while the rest moves: bonnet, dashboard, sticker."""
    moved = np.abs(now - before).max(axis=1)
    still = moved < 4.0 * noise
    near = still & (descent(camera, now) > camera.height_m / _OWN_BODY_M)
    others = moved[~still]
    moves = len(others) >= _MIN_MOVING and upper_median(others) > 6.0 * noise
    return near if moves else np.zeros_like(near)


def upper_median(values: np.ndarray) -> float:
    """The upper median of (N,) numbers: NumPy's own takes five times as long on some hundred."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


def descent(camera: Camera, rays: np.ndarray) -> np.ndarray:
    """(N,) by how much the rays through normalised points (N, 2) go down, for their depth; negative upwards."""
    right, down, depth = camera.vehicle_from_camera_rotation[2]
    return -(right * rays[:, 0] + down * rays[:, 1] + depth)


def _heading(camera: Camera) -> np.ndarray:
    """Normalised coordinates (2,) of the vehicle's x axis."""
    x, y, z = camera.vehicle_from_camera_rotation[0]
    return np.array([x / z, y / z])


def _solve(
    before: np.ndarray, now: np.ndarray, focus: np.ndarray, noise: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Turn (3,), focus (2,), their covariance (5, 5) and the points' weights (N,), by reweighted least squares."""
    from geometry.flow_kernels import turn_and_focus

    state, weight, information = np.array([0.0, 0.0, 0.0, *focus]), np.empty(len(now)), np.empty((5, 5))
    before, now = np.ascontiguousarray(before), np.ascontiguousarray(now)
    spread = turn_and_focus(before, now, noise, noise * _START_PX / _NOISE_PX, _PRIORS, state, weight, information)
    if not np.isfinite(state).all() or np.abs(state[3:] - focus).max() > 4 * _PRIOR_SIGMA_RAD:
        return None
    return state[:3], state[3:], np.linalg.inv(information / spread**2 + np.diag(_PRIORS[1])), weight


def _road_plane(
    camera: Camera, turned: np.ndarray, now: np.ndarray, focus: np.ndarray, noise: float
) -> tuple[float, float, float, float]:
    """Roll, its sigma, distance travelled over height, its sigma, from the points that should lie on the road.

    A point at depth Z moves away from the focus by the factor 1 + travel / Z; on a plane that is linear in the
    picture: travel / Z = (travel / height) normal . (x, y, 1).
    """
    from geometry.flow_kernels import plane_from_growth

    nothing = (math.nan,) * 4
    rays = np.column_stack((now, np.ones(len(now))))
    ahead, aside, descent = camera.vehicle_from_camera_rotation @ rays.T * [[1.0], [1.0], [-1.0]]
    below = np.maximum(descent, 1e-9)
    x_m, y_m = camera.height_m * ahead / below, camera.height_m * aside / below
    on_road = (x_m > _ROAD_AHEAD_M[0]) & (x_m < _ROAD_AHEAD_M[1]) & (np.abs(y_m) < _ROAD_ASIDE_M)
    if on_road.sum() < _MIN_ROAD_POINTS:
        return nothing
    rays, away = rays[on_road], turned[on_road] - focus
    radius2 = np.square(away).sum(axis=1)
    growth = ((rays[:, :2] - turned[on_road]) * away).sum(axis=1) / radius2
    # Started from the plane believed and the ego lane's points; those beyond join where they agree with these.
    lane = np.abs(y_m[on_road]) < _LANE_ASIDE_M
    first = lane if lane.sum() >= _MIN_ROAD_POINTS else np.ones_like(lane)
    plane, information = -camera.vehicle_from_camera_rotation[2], np.empty((3, 3))
    excess = plane_from_growth(rays, growth, noise * np.sqrt(2.0 / radius2), first, plane, information)
    length = float(np.linalg.norm(plane))
    if not plane[1] > 0 or length < 1e-6:
        return nothing
    cov = np.linalg.inv(information) * excess**2
    roll = math.atan2(plane[0], plane[1])
    tilt = np.array([plane[1], -plane[0], 0.0]) / (plane[0] ** 2 + plane[1] ** 2)
    unit = plane / length
    return roll, math.sqrt(float(tilt @ cov @ tilt)), length, math.sqrt(float(unit @ cov @ unit))
