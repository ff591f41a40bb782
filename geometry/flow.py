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
_STEPS = 8
_TURN_STEPS = 4
_PLANE_STEPS = 6
_REGULARISATION = 1e-9 * np.eye(3)
_SCALE = 3.0  # of the median residual: three quarters of a normal distribution's points keep half their weight
_NOISE_PX = 0.3  # of a tracked corner; residuals are never believed to be smaller
_START_PX = 8.0  # the robust scale at first, halved every step down to the residuals' own
_PRIOR_SIGMA_RAD = math.radians(4.0)  # of where the camera heads: mounts lie within some degrees of straight ahead
_HELD_SIGMA_RAD = math.radians(0.2)
_PRIOR_TURN_RAD = math.radians(3.0)  # of a turn within one frame: 75 degrees/s at 25 frames a second
_MAX_GROWTH = 0.4  # a point this much farther from the focus was passed at 2.5 times the way travelled: hardly any is
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
    of expansion, started from the camera's own mount; some 2 ms for 200 points.

    Returns:
        None with fewer than 20 points, or where they do not agree.
    """
    before, ok_before = camera.normalised(np.asarray(px_before, dtype=np.float64))
    now, ok_now = camera.normalised(np.asarray(px_now, dtype=np.float64))
    noise = _NOISE_PX / math.sqrt(camera.fx_px * camera.fy_px)
    ok = ok_before & ok_now
    before, now = before[ok], now[ok]
    own = _own_body(camera, before, now, noise)
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
    still = np.max(np.abs(now - before), axis=1) < 4.0 * noise
    rays = np.concatenate([now, np.ones((len(now), 1))], axis=1)
    descent = -(rays @ camera.vehicle_from_camera_rotation[2])
    near = still & (descent > camera.height_m / _OWN_BODY_M)
    others = now[~still] - before[~still]
    moves = len(others) >= _MIN_MOVING and float(np.median(np.abs(others).max(axis=1))) > 6.0 * noise
    return near if moves else np.zeros_like(near)


def _heading(camera: Camera) -> np.ndarray:
    """Normalised coordinates (2,) of the vehicle's x axis."""
    x, y, z = camera.vehicle_from_camera_rotation[0]
    return np.array([x / z, y / z])


class _Lines:
    """Distances of moved points from their lines through the focus of expansion, and how they fall.

    Coordinates are rows, (2, N), and buffers are kept: this runs many times a frame on few points.
    """

    def __init__(self, before: np.ndarray, now: np.ndarray, noise: float) -> None:
        self._before = np.concatenate([before.T, np.ones((1, len(before)))])
        self._now = np.ascontiguousarray(now.T)
        self._noise2 = 2.0 * noise * noise
        self._jacobian = np.empty((5, len(before)))

    def at(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signed distances (N,) under (turn, focus) and the Jacobian (5, N), a buffer that the next call reuses."""
        turned = cv2.Rodrigues(state[:3])[0] @ self._before
        turned = turned[:2] / turned[2]
        away, moved = turned - state[3:, None], self._now - turned
        radius2 = np.maximum(away[0] ** 2 + away[1] ** 2, 1e-12)
        x, y = turned
        normal_x, normal_y = np.stack((-away[1], away[0])) / np.sqrt(radius2)
        error = normal_x * moved[0] + normal_y * moved[1]
        # d turned / d omega of a small rotation, and the residual falls as the turned point moves along the normal
        along_normal = normal_x * x + normal_y * y
        jacobian = self._jacobian
        jacobian[0] = y * along_normal + normal_y
        jacobian[1] = -(x * along_normal + normal_x)
        jacobian[2] = normal_x * y - normal_y * x
        growth = (away[0] * moved[0] + away[1] * moved[1]) / radius2
        # Noise makes points seem to move away where nothing does: what it adds to the squares is taken off them.
        clear = np.sqrt(np.maximum(growth * growth - self._noise2 / radius2, 0.0))
        clear *= (growth > 0) & (growth < _MAX_GROWTH)
        jacobian[3], jacobian[4] = normal_x * clear, normal_y * clear
        return error, jacobian


def _solve(
    before: np.ndarray, now: np.ndarray, focus: np.ndarray, noise: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Turn (3,), focus (2,), their covariance (5, 5) and the points' weights (N,), by reweighted least squares."""
    # First the turn alone, with the heading held: an outlier near the focus would else draw the focus onto itself.
    held = np.array([_PRIOR_TURN_RAD**-2] * 3 + [_HELD_SIGMA_RAD**-2] * 2)
    free = np.array([_PRIOR_TURN_RAD**-2] * 3 + [_PRIOR_SIGMA_RAD**-2] * 2)
    lines, start = _Lines(before, now, noise), np.array([0.0, 0.0, 0.0, *focus])
    state, scale = start.copy(), noise * _START_PX / _NOISE_PX
    for step in range(_STEPS):
        prior = held if step < _TURN_STEPS else free
        error, jacobian = lines.at(state)
        weighted = jacobian * (_weights(error, scale) / scale**2)
        gradient = weighted @ error + prior * (state - start)
        state = state - np.linalg.solve(weighted @ jacobian.T + np.diag(prior), gradient)
        scale = max(scale / 2, min(_SCALE * _median(np.abs(error)), scale), noise)
    if not np.isfinite(state).all() or np.abs(state[3:] - focus).max() > 4 * _PRIOR_SIGMA_RAD:
        return None
    error, jacobian = lines.at(state)
    weight = _weights(error, scale)
    spread = max(noise, math.sqrt(float(weight @ error**2) / float(weight.sum())))
    information = (jacobian * (weight / spread**2)) @ jacobian.T
    return state[:3], state[3:], np.linalg.inv(information + np.diag(free)), weight


def _median(values: np.ndarray) -> float:
    """The upper median: NumPy's own takes five times as long on some hundred numbers."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


def _weights(error: np.ndarray, scale: float) -> np.ndarray:
    """Geman and McClure's: outliers lose all influence."""
    falloff = 1.0 + np.square(error * (1.0 / scale))
    return 1.0 / (falloff * falloff)


def _road_plane(
    camera: Camera, turned: np.ndarray, now: np.ndarray, focus: np.ndarray, noise: float
) -> tuple[float, float, float, float]:
    """Roll, its sigma, distance travelled over height, its sigma, from the points that should lie on the road.

    A point at depth Z moves away from the focus by the factor 1 + travel / Z; on a plane that is linear in the
    picture: travel / Z = (travel / height) normal . (x, y, 1).
    """
    nothing = (math.nan,) * 4
    px = now * [camera.fx_px, camera.fy_px] + [camera.cx_px, camera.cy_px]
    xy, valid = camera.undistorted().ground_from_px(px)
    with np.errstate(invalid="ignore"):
        on_road = (
            valid & (xy[:, 0] > _ROAD_AHEAD_M[0]) & (xy[:, 0] < _ROAD_AHEAD_M[1]) & (np.abs(xy[:, 1]) < _ROAD_ASIDE_M)
        )
    if on_road.sum() < _MIN_ROAD_POINTS:
        return nothing
    away = turned[on_road] - focus
    radius = np.hypot(away[:, 0], away[:, 1])
    growth = np.sum((now[on_road] - turned[on_road]) * away, axis=1) / radius**2
    design = np.concatenate([now[on_road], np.ones((on_road.sum(), 1))], axis=1)
    sigma = noise * math.sqrt(2.0) / radius
    # Started from the plane believed and the ego lane's points; those beyond join where they agree with these.
    believed = -camera.vehicle_from_camera_rotation[2]
    lane = np.abs(xy[on_road, 1]) < _LANE_ASIDE_M
    first = lane if lane.sum() >= _MIN_ROAD_POINTS else np.ones_like(lane)
    plane = believed * _median((growth / (design @ believed))[first])
    precision = 1.0 / sigma**2
    for step in range(_PLANE_STEPS):
        early = step < _PLANE_STEPS // 2
        error = (growth - design @ plane) / sigma
        scale = max(1.5, 1.4826 * _median(np.abs(error[first])) * (4.0 if early else 1.5))
        weight = _weights(error, scale) * precision
        if early:
            weight *= first
        weighted = (design * weight[:, None]).T
        information = weighted @ design
        plane = np.linalg.solve(information + _REGULARISATION, weighted @ growth)
    length = float(np.linalg.norm(plane))
    if not plane[1] > 0 or length < 1e-6:
        return nothing
    spread = max(1.0, math.sqrt(float(np.sum(weight * (growth - design @ plane) ** 2) / np.sum(weight * sigma**2))))
    cov = np.linalg.inv(information) * spread**2
    roll = math.atan2(plane[0], plane[1])
    tilt = np.array([plane[1], -plane[0], 0.0]) / (plane[0] ** 2 + plane[1] ** 2)
    unit = plane / length
    return roll, math.sqrt(float(tilt @ cov @ tilt)), length, math.sqrt(float(unit @ cov @ unit))
