"""The camera: intrinsics, lens distortion and mount, and the way between pixels and the road in metres.

Frames (README.md here has the table): ``vehicle`` is ISO 8855 (x forward, y left, z up, origin on the road plane
straight below the camera); ``camera`` is OpenCV's (x right, y down, z forward); ``image`` has (0, 0) at the CENTRE
of the top-left pixel. Every function takes NumPy arrays or torch tensors and answers in kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from geometry.distortion import IDEAL, Distortion, distort, undistort

Array = Any
"""A NumPy array or a torch tensor: whatever the caller uses."""

# Axes of an unrotated camera in the vehicle frame: its z (forward) is x, its x (right) is -y, its y (down) is -z.
_MIN_DEPTH_M = 1e-3
_LEAST_DEPTH = 1e-9  # of a direction that points forward
_MIN_DESCENT = 1e-4  # a ray that falls less than 0.1 mm a metre meets the road beyond 10 km: call it the horizon


@dataclass(frozen=True)
class Camera:
    """A calibrated camera on a vehicle.

    Sizes and intrinsics in pixels; ``height_m`` above the road plane; angles in radians with ISO 8855 signs: pitch
    positive nose down, yaw positive to the left, roll positive right side down, applied as Rz(yaw) Ry(pitch) Rx(roll).

    Raises:
        ValueError: a size, focal length or height that is not positive and finite, or an angle that is not finite.
    """

    width_px: int
    height_px: int
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    height_m: float
    pitch_rad: float = 0.0
    yaw_rad: float = 0.0
    roll_rad: float = 0.0
    distortion: Distortion = IDEAL
    name: str = "camera"

    def __post_init__(self) -> None:
        for field in ("width_px", "height_px", "fx_px", "fy_px", "height_m"):
            value = getattr(self, field)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"camera {self.name!r}: {field} is {value}, must be a positive number")
        for field in ("cx_px", "cy_px", "pitch_rad", "yaw_rad", "roll_rad"):
            value = getattr(self, field)
            if not math.isfinite(value):
                raise ValueError(f"camera {self.name!r}: {field} is {value}, must be a finite number")
        if abs(self.pitch_rad) >= math.pi / 2:
            raise ValueError(
                f"camera {self.name!r}: pitch is {math.degrees(self.pitch_rad):.1f} degrees, "
                "must be between -90 and 90 for a camera that looks along the road"
            )

    # -- matrices ---------------------------------------------------------------------------------------------

    @cached_property
    def matrix(self) -> np.ndarray:
        """K, (3, 3): pixels from normalised camera coordinates."""
        return np.array([[self.fx_px, 0.0, self.cx_px], [0.0, self.fy_px, self.cy_px], [0.0, 0.0, 1.0]])

    @cached_property
    def matrix_inverse(self) -> np.ndarray:
        """(3, 3) normalised camera coordinates from pixels, the lens left out."""
        fx, fy = self.fx_px, self.fy_px
        return np.array([[1 / fx, 0.0, -self.cx_px / fx], [0.0, 1 / fy, -self.cy_px / fy], [0.0, 0.0, 1.0]])

    @cached_property
    def vehicle_from_camera_rotation(self) -> np.ndarray:
        """(3, 3) rotation that takes camera directions to vehicle directions."""
        cp, sp = math.cos(self.pitch_rad), math.sin(self.pitch_rad)
        cy, sy = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        cr, sr = math.cos(self.roll_rad), math.sin(self.roll_rad)
        # The matrices of yaw, pitch, roll and of a level camera (x right, y down, z forward) multiplied out: every
        # frame has some cameras of its own.
        return np.array(
            [
                [sy * cr - cy * sp * sr, -sy * sr - cy * sp * cr, cy * cp],
                [-cy * cr - sy * sp * sr, cy * sr - sy * sp * cr, sy * cp],
                [-cp * sr, -cp * cr, -sp],
            ]
        )

    @cached_property
    def vehicle_from_camera(self) -> np.ndarray:
        """(4, 4) rigid transform; its translation is (0, 0, height_m)."""
        pose = np.eye(4)
        pose[:3, :3] = self.vehicle_from_camera_rotation
        pose[2, 3] = self.height_m
        return pose

    @cached_property
    def camera_from_vehicle(self) -> np.ndarray:
        """(4, 4) inverse of ``vehicle_from_camera``."""
        pose = np.eye(4)
        pose[:3, :3] = self.vehicle_from_camera_rotation.T
        pose[:3, 3] = -self.vehicle_from_camera_rotation.T @ np.array([0.0, 0.0, self.height_m])
        return pose

    @cached_property
    def image_from_road(self) -> np.ndarray:
        """(3, 3) homography from road points (x, y, 1) in metres to undistorted pixels."""
        return self.matrix @ self.camera_from_vehicle[:3, [0, 1, 3]]

    # -- pixels and points ------------------------------------------------------------------------------------

    def project(self, points_vehicle: Array) -> tuple[Array, Array]:
        """Pixels of vehicle points.

        Args:
            points_vehicle: (..., 3) metres.

        Returns:
            (..., 2) pixels, NaN where invalid, and (...) bool: in front of the camera and inside the domain of the
            lens model (not necessarily inside the picture).
        """
        pose = self.constant(self.camera_from_vehicle, points_vehicle)
        return self.project_camera(points_vehicle @ pose[:3, :3].T + pose[:3, 3])

    def project_camera(self, points_camera: Array) -> tuple[Array, Array]:
        """Pixels of points (..., 3) in the camera frame; see ``project``."""
        if isinstance(points_camera, np.ndarray) and self.distortion.model == "none":
            return self._project_ideally(points_camera)
        xp = array_namespace(points_camera)
        depth = points_camera[..., 2]
        valid = depth > _MIN_DEPTH_M
        safe = xp.where(valid, depth, xp.ones_like(depth))
        xy, in_domain = distort(self.distortion, points_camera[..., :2] / safe[..., None])
        valid = valid & in_domain
        px = xp.stack([xy[..., 0] * self.fx_px + self.cx_px, xy[..., 1] * self.fy_px + self.cy_px], axis=-1)
        return xp.where(valid[..., None], px, xp.full_like(px, xp.nan)), valid

    def _project_ideally(self, points_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``project_camera`` in NumPy for a lens without distortion: the same numbers in half the time."""
        valid = points_camera[..., 2] > _MIN_DEPTH_M
        depth = points_camera[..., 2:] if valid.all() else np.where(valid, points_camera[..., 2], np.nan)[..., None]
        px = points_camera[..., :2] / depth
        px *= (self.fx_px, self.fy_px)
        px += (self.cx_px, self.cy_px)
        return px, valid

    def normalised(self, px: Array) -> tuple[Array, Array]:
        """Undistorted normalised camera coordinates (x/z, y/z) of pixels (..., 2), NaN where invalid, and where they
        exist (...)."""
        if isinstance(px, np.ndarray) and px.dtype == np.float64 and self.distortion.model == "none":
            return self._normalised_ideally(px)
        xp = array_namespace(px)
        xy = xp.stack([(px[..., 0] - self.cx_px) / self.fx_px, (px[..., 1] - self.cy_px) / self.fy_px], axis=-1)
        xy, valid = undistort(self.distortion, xy)
        return xp.where(valid[..., None], xy, xp.full_like(xy, xp.nan)), valid

    def _normalised_ideally(self, px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``normalised`` in NumPy for a lens without distortion: the same numbers in a third of the time."""
        xy = px - (self.cx_px, self.cy_px)
        xy /= (self.fx_px, self.fy_px)
        valid: np.ndarray = np.asarray(np.isfinite(xy).all(axis=-1))
        if not valid.all():
            xy[~valid] = np.nan
        return xy, valid

    def ray(self, px: Array) -> tuple[Array, Array]:
        """Unit directions in the vehicle frame, (..., 3), of pixels (..., 2), and where they exist (...)."""
        xp = array_namespace(px)
        xy, valid = self.normalised(px)
        direction = xp.concat([xy, xp.ones_like(xy[..., :1])], axis=-1)
        direction = direction / xp.sqrt(xp.sum(direction * direction, axis=-1, keepdims=True))
        return direction @ self.constant(self.vehicle_from_camera_rotation, px).T, valid

    def ground_from_px(self, px: Array) -> tuple[Array, Array]:
        """Road points under pixels, the road being the plane z = 0.

        Args:
            px: (..., 2) pixels.

        Returns:
            (..., 2) vehicle x, y in metres, NaN where invalid, and (...) bool: False above the horizon.
        """
        xp = array_namespace(px)
        direction, valid = self.ray(px)
        descent = -direction[..., 2]
        valid = valid & (descent > _MIN_DESCENT)
        safe = xp.where(valid, descent, xp.ones_like(descent))
        xy = direction[..., :2] * (self.height_m / safe)[..., None]
        return xp.where(valid[..., None], xy, xp.full_like(xy, xp.nan)), valid

    def px_from_ground(self, xy_vehicle: Array) -> tuple[Array, Array]:
        """Pixels of road points (..., 2) in vehicle metres (z = 0); see ``project``."""
        xp = array_namespace(xy_vehicle)
        return self.project(xp.concat([xy_vehicle, xp.zeros_like(xy_vehicle[..., :1])], axis=-1))

    def in_image(self, px: Array) -> Array:
        """(...) bool: the pixel centres (..., 2) that lie inside the picture, border included; NaN is outside."""
        x, y = px[..., 0], px[..., 1]
        return (x >= -0.5) & (y >= -0.5) & (x <= self.width_px - 0.5) & (y <= self.height_px - 0.5)

    @cached_property
    def horizon_y_px(self) -> float:
        """Row of the horizon straight ahead (vehicle x axis at infinity), NaN where it cannot be seen."""
        right, down, depth = self.vehicle_from_camera_rotation[0].tolist()
        if depth <= _LEAST_DEPTH:
            return math.nan
        if self.distortion.model == "none":
            return self.fy_px * down / depth + self.cy_px
        px, _ = self.project_camera(np.array([right, down, depth]) / depth)
        return float(px[1])

    # -- other cameras from this one --------------------------------------------------------------------------

    def resized(self, width_px: int, height_px: int) -> Camera:
        """The same camera whose picture was stretched to another size: c becomes (c + 0.5) s - 0.5."""
        sx, sy = width_px / self.width_px, height_px / self.height_px
        return replace(
            self,
            width_px=width_px,
            height_px=height_px,
            fx_px=self.fx_px * sx,
            fy_px=self.fy_px * sy,
            cx_px=(self.cx_px + 0.5) * sx - 0.5,
            cy_px=(self.cy_px + 0.5) * sy - 0.5,
        )

    def cropped(self, x_px: float, y_px: float, width_px: int, height_px: int) -> Camera:
        """The same camera whose picture was cut to the rectangle with top-left pixel (x_px, y_px)."""
        return replace(self, width_px=width_px, height_px=height_px, cx_px=self.cx_px - x_px, cy_px=self.cy_px - y_px)

    def for_size(self, width_px: int, height_px: int) -> Camera:
        """The same camera as a clip of this size shows it.

        A clip of the same shape was scaled. One of another shape was cut about its centre to that shape, then scaled:
        what video modes of sensors and most exports do (a stretched picture is ``resized``).
        """
        aspect = width_px / height_px
        cut_width = min(self.width_px, round(self.height_px * aspect))
        cut_height = min(self.height_px, round(self.width_px / aspect))
        if abs(cut_width - self.width_px) <= 1 and abs(cut_height - self.height_px) <= 1:  # odd sizes are rounded
            return self.resized(width_px, height_px)
        x_px, y_px = (self.width_px - cut_width) / 2.0, (self.height_px - cut_height) / 2.0
        return self.cropped(x_px, y_px, cut_width, cut_height).resized(width_px, height_px)

    def mounted(
        self,
        *,
        height_m: float | None = None,
        pitch_rad: float | None = None,
        yaw_rad: float | None = None,
        roll_rad: float | None = None,
    ) -> Camera:
        """The same camera with another mount; what is not given stays."""
        return _mounted(
            self,
            self.height_m if height_m is None else height_m,
            self.pitch_rad if pitch_rad is None else pitch_rad,
            self.yaw_rad if yaw_rad is None else yaw_rad,
            self.roll_rad if roll_rad is None else roll_rad,
        )

    def undistorted(self) -> Camera:
        """The same camera with an ideal lens."""
        return replace(self, distortion=IDEAL)

    @staticmethod
    def constant(matrix: np.ndarray, array: Array) -> Array:
        """A matrix of this camera as the same kind of array, on the same device, as the caller's."""
        xp = array_namespace(array)
        device = getattr(array, "device", None)
        kwargs = {} if device is None or isinstance(array, np.ndarray) else {"device": device}
        return xp.asarray(matrix, dtype=array.dtype, **kwargs)


@lru_cache(8)
def _mounted(camera: Camera, height_m: float, pitch_rad: float, yaw_rad: float, roll_rad: float) -> Camera:
    """The last few are kept: several stages of a frame ask for the same one, and find its matrices made."""
    return replace(camera, height_m=height_m, pitch_rad=pitch_rad, yaw_rad=yaw_rad, roll_rad=roll_rad)
