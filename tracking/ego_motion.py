"""The vehicle's own motion from the picture: points outside the boxes, followed from frame to frame.

Corners of a reduced grey picture are followed by pyramidal Lucas-Kanade flow, which starts from where the last motion
says they should be: near road at highway speed moves farther than the flow alone can reach. ``geometry.flow`` turns the
points into the camera's turn, its heading and the way travelled in units of camera height; the mount's height makes
metres of it. A speed supplied from outside wins over all that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from geometry.camera import Camera
from geometry.flow import CameraMotion, descent, motion_of_rays, upper_median
from perception.types import Detections
from tracking.points import PointFollower, Pyramid
from tracking.types import EgoMotion

NAN = math.nan
_STANDING_PX = 0.2  # half of all points moved less than this: the vehicle stands; at 0.5 m/s near road moves 0.3 px
_STANDING_MPS = 0.1
_LEAST_KEPT = 0.4  # of the points of a kind that were found; with fewer left new ones are sought before their turn
_LEAST_POINTS = 8
# Least distances of corners, and the block of the measure: smaller ones find the noise of smooth roads, larger ones
# corners whose place elsewhere is less sure.
_ROAD_PX, _SCENE_PX = (8.0, 16.0), (12.0, 10.0)
# Corners are sought in a picture of one or two times this width: what is followed is whatever is seen there.
_SEEK_WIDTH_PX = 225
_SKY = 0.3  # of the picture's height: what is farther above the horizon is left out
_POSE_STEP = math.radians(0.1)  # and 2 mm of height
_LEAST_ROAD_PX = 16  # height of the road in the picture
_NO_POINTS = np.empty((0, 2), np.float32)


class SuppliedSpeed(Protocol):
    """A speed known from outside: a number, a CSV or GPX record (``app.speed``)."""

    def at(self, t_s: float) -> tuple[float, float]:
        """Speed and its standard deviation in m/s at a time of the clip; NaN where the record is silent."""
        ...


@dataclass(frozen=True)
class EgoMotionConfig:
    """Cost and noise of the estimate.

    Attributes:
        width_px: wider pictures are reduced by a whole factor to at most this width before corners are followed.
        road_points, scene_points: corners sought on the road ahead and elsewhere.
        road_ahead_m, road_aside_m: the piece of road that gives the speed.
        acceleration_mps2: standard deviation of the change of speed within a second.
        yaw_rate_change: the same of the yaw rate, rad/s.
        height_sigma: share by which the camera's height, and with it the speed, may be wrong.
        longest_s: frames farther apart than this have nothing to do with each other.
        gate: squared Mahalanobis distance above which a measured speed is an outlier.
        least_share: of the last ``share_s`` seconds in which the road must have given a speed. Where it does so seldom,
            as at night in rain (16 % of the frames; 78 to 94 % by day), what it gives now and then is wrong.
    """

    width_px: int = 1280
    road_points: int = 120
    scene_points: int = 80
    road_ahead_m: tuple[float, float] = (3.5, 22.0)
    road_aside_m: float = 3.5
    acceleration_mps2: float = 2.0
    yaw_rate_change: float = 0.3
    height_sigma: float = 0.03
    longest_s: float = 0.5
    gate: float = 9.0
    least_share: float = 0.4
    share_s: float = 2.0


class _Scalar:
    """A number that wanders: Kalman filter of one state, whose outliers are passed over until they persist.

    ``share``: of the last ``share_s`` seconds, fading, in which it was measured at all.
    """

    _PATIENCE = 5

    def __init__(self, rate: float, gate: float, share_s: float) -> None:
        self._rate2, self._gate, self._share_s = rate * rate, gate, share_s
        self.reset()

    def reset(self) -> None:
        self.value, self.var, self._rejected = NAN, NAN, 0
        self._passed_s = self._measured_s = 0.0

    @property
    def share(self) -> float:
        return self._measured_s / self._passed_s if self._passed_s else 0.0

    def step(self, dt_s: float, z: float = NAN, sigma: float = NAN) -> None:
        self.var += self._rate2 * dt_s
        measured, fading = math.isfinite(z) and math.isfinite(sigma), math.exp(-dt_s / self._share_s)
        self._passed_s = self._passed_s * fading + dt_s
        self._measured_s = self._measured_s * fading + measured * dt_s
        if not measured:
            return
        R = sigma * sigma
        if not math.isfinite(self.value) or self._rejected >= self._PATIENCE:
            self.value, self.var, self._rejected = z, R, 0
            return
        surprise = (z - self.value) ** 2 / (self.var + R)
        if surprise > self._gate:
            self._rejected += 1
            return
        self._rejected = 0
        gain = self.var / (self.var + R)
        self.value += gain * (z - self.value)
        self.var *= 1.0 - gain


class EgoMotionEstimator:
    """Follows one clip; ``step`` once a frame.

    Attributes:
        camera_motion: what the last two frames showed of heading, turn and road plane (``geometry.flow``), for the
            online calibration; None where they showed too little.
    """

    def __init__(self, config: EgoMotionConfig | None = None, *, supplied: SuppliedSpeed | None = None) -> None:
        self.config = config = config or EgoMotionConfig()
        self.camera_motion: CameraMotion | None = None
        self._supplied = supplied
        self._seen: Pyramid | None = None
        self._size, self._top_px = (0, 0), 0
        self._on_road = self._elsewhere = _NO_POINTS
        self._turn_of_road, self._too_few = False, [math.inf, math.inf]  # points on the road, and elsewhere
        self._t_s = NAN
        self._standing = False
        self._speed = _Scalar(config.acceleration_mps2, config.gate, config.share_s)
        self._yaw_rate = _Scalar(config.yaw_rate_change, config.gate, config.share_s)
        self._follower = PointFollower()
        from tracking.point_kernels import leave_out

        self._leave_out = leave_out
        self._part: tuple[Camera, Camera] | None = None
        # Points along both sides and the middle: the nearest may lie where the lens model shows nothing.
        x_m, y_m = np.meshgrid(np.linspace(*config.road_ahead_m, 12), config.road_aside_m * np.array([-1.0, 0.0, 1.0]))
        self._road_m = np.stack([x_m.ravel(), y_m.ravel()], axis=-1)
        self._road_mask: tuple[np.ndarray | None, int] = (None, 0)
        self._road_shape: tuple[int, ...] = ()
        self._road_pose = (NAN,) * 4

    def step(self, bgr: np.ndarray, camera: Camera, detections: Detections, t_s: float) -> EgoMotion:
        """Motion since the last frame; NaN where it cannot be known, as in the first.

        Args:
            bgr: (H, W, 3) uint8, of the camera's size.
            detections: boxes that may move by themselves: no corner in them is used.
        """
        factor = math.ceil(bgr.shape[1] / self.config.width_px)
        if bgr.shape[:2] != self._size:
            self._size, self._top_px = bgr.shape[:2], _first_row(camera)
        top_px = self._top_px
        seen = Pyramid.of(_reduced(bgr[top_px:], factor))
        shape = seen.levels[0].shape
        boxes = _boxes(detections.xyxy_px, top_px, factor, shape)
        small = self._camera_of_part(camera, shape, factor)
        dt_s = t_s - self._t_s
        last = self._seen
        together = last is not None and last.levels[0].shape == shape and 0.0 < dt_s <= self.config.longest_s
        self._standing = False
        self.camera_motion = self._measure(last, seen, small, boxes, dt_s) if last is not None and together else None
        if not together:
            self._speed.reset()
            self._yaw_rate.reset()
        self._filter(small, dt_s, together)
        self._renew(seen, small, boxes)
        self._seen, self._t_s = seen, t_s
        return self._answer(camera, t_s)

    def _camera_of_part(self, camera: Camera, shape: tuple[int, ...], factor: int) -> Camera:
        """The camera of the part of the picture that is looked at, reduced by a whole factor to (h, w)."""
        if self._part is None or self._part[0] != camera or self._part[1].width_px != shape[1]:
            part = camera.cropped(0, self._top_px, camera.width_px, camera.height_px - self._top_px)
            self._part = (camera, part if factor == 1 else part.resized(shape[1], shape[0]))
        return self._part[1]

    # -- points -----------------------------------------------------------------------------------------------

    def _renew(self, seen: Pyramid, camera: Camera, boxes: np.ndarray) -> None:
        """Corners to follow: on the road, which has little contrast, and elsewhere; one kind is sought a frame.

        Those of the other kind go on from where they were found, unless too few are left of them.
        """
        small, shrink = seen.levels[0], 1
        while small.shape[1] >= 2 * _SEEK_WIDTH_PX:
            height, width = small.shape[0] // 2, small.shape[1] // 2
            even = small[: 2 * height, : 2 * width]  # sizes that are no multiple take twenty times as long
            small, shrink = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), 2 * shrink
        mask = np.full(small.shape, 255, np.uint8)
        for x1, y1, x2, y2 in (boxes // shrink).tolist():
            mask[y1 : y2 + 1, x1 : x2 + 1] = 0
        road, top = self._road(camera, shrink, small.shape)
        self._turn_of_road = not self._turn_of_road
        if road is None:
            self._on_road = _NO_POINTS
        elif self._turn_of_road or len(self._on_road) < self._too_few[0]:
            part = cv2.bitwise_and(mask[top:], road)
            self._on_road = _corners(small[top:], part, self.config.road_points, _ROAD_PX, shrink)
            self._on_road[:, 1] += shrink * top
            self._too_few[0] = max(_LEAST_KEPT * len(self._on_road), _LEAST_POINTS)
        if not self._turn_of_road or len(self._elsewhere) < self._too_few[1]:
            if road is not None:
                mask[top:][road > 0] = 0
            self._elsewhere = _corners(small, mask, self.config.scene_points, _SCENE_PX, shrink)
            self._too_few[1] = max(_LEAST_KEPT * len(self._elsewhere), _LEAST_POINTS)

    def _road(self, camera: Camera, shrink: int, shape: tuple[int, ...]) -> tuple[np.ndarray | None, int]:
        """Mask at the size (h, w) ``shape`` of the road ahead below its topmost row, and that row; kept while the
        camera stays as it is within what would show."""
        pose = (camera.pitch_rad, camera.yaw_rad, camera.roll_rad, camera.height_m)
        if (
            shape != self._road_shape
            or max(abs(a - b) for a, b in zip(pose, self._road_pose, strict=True)) > _POSE_STEP
        ):
            self._road_shape, self._road_pose = shape, pose
            self._road_mask = self._drawn_road(camera, shrink, shape)
        return self._road_mask

    def _drawn_road(self, camera: Camera, shrink: int, shape: tuple[int, ...]) -> tuple[np.ndarray | None, int]:
        px, valid = camera.px_from_ground(self._road_m)
        px = (px[valid] + 0.5) / shrink - 0.5
        if len(px) < 6:
            return None, 0
        top = min(max(int(px[:, 1].min()), 0), shape[0] - 1)
        if (shape[0] - top) * shrink < _LEAST_ROAD_PX:
            return None, 0
        road = np.zeros((shape[0] - top, shape[1]), np.uint8)
        cv2.fillConvexPoly(road, cv2.convexHull(np.rint(px - [0, top]).astype(np.int32)), 255)
        return road, top

    def _measure(
        self, last: Pyramid, seen: Pyramid, camera: Camera, boxes: np.ndarray, dt_s: float
    ) -> CameraMotion | None:
        before = np.concatenate((self._on_road, self._elsewhere))
        roads = len(self._on_road)
        self._on_road = self._elsewhere = _NO_POINTS
        if len(before) < 20:
            return None
        rays, _ = camera.normalised(before.astype(np.float64))
        now, good = self._follower.follow(last, seen, before, self._expected(before, rays, camera, dt_s))
        moved = np.empty(len(now), np.float32)
        count = self._leave_out(before, now, boxes, good, moved)
        self._standing = count >= 20 and upper_median(moved[:count]) < _STANDING_PX
        self._on_road, self._elsewhere = now[:roads][good[:roads]], now[roads:][good[roads:]]
        return motion_of_rays(camera, rays[good], camera.normalised(now[good].astype(np.float64))[0])

    def _expected(self, px: np.ndarray, rays: np.ndarray, camera: Camera, dt_s: float) -> np.ndarray:
        """Where points (N, 2) should be now if the vehicle went on as before and what is below the horizon is road."""
        speed, yaw_rate = (0.0 if math.isnan(known.value) else known.value for known in (self._speed, self._yaw_rate))
        if speed * dt_s < 0.05 and abs(yaw_rate) * dt_s < 1e-3:
            return px.copy()
        near = np.flatnonzero(descent(camera, rays) > camera.height_m / (2 * self.config.road_ahead_m[1]))
        ahead, aside, down = camera.vehicle_from_camera_rotation @ np.column_stack((rays[near], np.ones(len(near)))).T
        xy = np.stack((ahead, aside), axis=-1) * (-camera.height_m / down)[:, None]
        cos, sin = math.cos(-yaw_rate * dt_s), math.sin(-yaw_rate * dt_s)
        there, shown = camera.px_from_ground((xy - [speed * dt_s, 0.0]) @ np.array([[cos, sin], [-sin, cos]]))
        shown &= camera.in_image(there)
        expected = px + np.array([math.tan(yaw_rate * dt_s) * camera.fx_px, 0.0], np.float32)
        expected[near[shown]] = there[shown]
        return expected

    # -- numbers ----------------------------------------------------------------------------------------------

    def _filter(self, camera: Camera, dt_s: float, together: bool) -> None:
        if not together:
            return
        motion = self.camera_motion
        if self._standing:
            self._speed.step(dt_s, 0.0, _STANDING_MPS)
            self._yaw_rate.step(dt_s, 0.0, _STANDING_PX / camera.fx_px / dt_s)
            return
        if motion is None:
            self._speed.step(dt_s)
            self._yaw_rate.step(dt_s)
            return
        metres = camera.height_m / dt_s
        self._speed.step(dt_s, motion.travel_per_height * metres, motion.travel_per_height_sigma * metres)
        self._yaw_rate.step(dt_s, float(motion.turn_rad[2]) / dt_s, float(motion.turn_sigma_rad[2]) / dt_s)

    def _answer(self, camera: Camera, t_s: float) -> EgoMotion:
        yaw_rate, yaw_sigma = self._yaw_rate.value, math.sqrt(self._yaw_rate.var)
        homography = None
        if self.camera_motion is not None:
            homography = _turn_homography(camera, self.camera_motion.turn_rad)
        given, given_sigma = (NAN, NAN) if self._supplied is None else self._supplied.at(t_s)
        if math.isfinite(given):
            return EgoMotion(given, given_sigma, yaw_rate, yaw_sigma, homography, "given")
        speed = self._speed.value
        if not math.isfinite(speed) or self._speed.share < self.config.least_share:
            return EgoMotion(NAN, NAN, yaw_rate, yaw_sigma, homography, "none")
        sigma = math.sqrt(self._speed.var + (self.config.height_sigma * speed) ** 2)
        return EgoMotion(max(speed, 0.0), sigma, yaw_rate, yaw_sigma, homography, "flow")


def _first_row(camera: Camera) -> int:
    """The first row of the picture in which corners are followed; the same for a whole clip."""
    horizon_px = camera.horizon_y_px
    if not math.isfinite(horizon_px):
        return 0
    return int(min(max(horizon_px - _SKY * camera.height_px, 0), camera.height_px / 2))


def _reduced(bgr: np.ndarray, factor: int) -> np.ndarray:
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    if factor == 1:
        return grey
    size = (max(bgr.shape[1] // factor, 1), max(bgr.shape[0] // factor, 1))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def _boxes(xyxy_px: np.ndarray, top_px: int, factor: int, shape: tuple[int, ...]) -> np.ndarray:
    """Boxes (N, 4) in whole pixels of the part of the picture below a row, reduced; a little wider than detected."""
    low, high = xyxy_px[:, :2], xyxy_px[:, 2:]
    margin = 0.05 * (high - low) + 2.0 * factor
    wide = (np.concatenate((low - margin, high + margin), axis=1) - (0, top_px, 0, top_px)) / factor
    wide[np.isnan(wide)] = 0.0
    return wide.clip(0, (shape[1], shape[0]) * 2).astype(np.int64)


def _corners(small: np.ndarray, mask: np.ndarray, count: int, sizes_px: tuple[float, float], shrink: int) -> np.ndarray:
    """Corners (N, 2) by Shi and Tomasi's measure in a picture reduced by ``shrink``, in pixels of the whole one."""
    apart, block = max(round(sizes_px[0] / shrink), 1), max(round(sizes_px[1] / shrink) | 1, 3)
    found = cv2.goodFeaturesToTrack(small, count, 0.01, apart, mask=mask, blockSize=block)
    return _NO_POINTS.copy() if found is None else shrink * found.reshape(-1, 2) + np.float32((shrink - 1) / 2)


def _turn_homography(camera: Camera, turn_rad: np.ndarray) -> np.ndarray:
    """(3, 3) from pixels of the last frame to this one, of what is so far away that only the turn moves it."""
    rotation = camera.vehicle_from_camera_rotation
    camera_turn = cv2.Rodrigues(-rotation.T @ np.asarray(turn_rad, np.float64))[0]
    return camera.matrix @ camera_turn @ camera.matrix_inverse
