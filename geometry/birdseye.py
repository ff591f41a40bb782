"""The bird's-eye view: the road from above in metres, made from a picture by one precomputed remap.

The remap goes through the full camera model, so that the lens is corrected in the same pass. In the view forward is up
and left is left; a view pixel's CENTRE is the road point it shows, and the edges of the outer pixels are the edges of
the region.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from array_api_compat import array_namespace

from geometry.camera import Camera

_OUTSIDE_PX = -10_000  # where a remap may look for what the picture does not show
_MIN_DEPTH_M = 0.01
_WHOLE = 1e-6  # pixels by which a region may miss a whole number of pixels, being written in decimals


@dataclass(frozen=True)
class BirdsEyeView:
    """A metric region of the road seen from above through a camera.

    Attributes:
        camera: where the pictures are from.
        x_range_m: (near, far) vehicle x.
        y_range_m: (right, left) vehicle y: right is the smaller number.
        metres_per_px: size of a view pixel forward (a row) and across (a column). A region that is no whole number of
            pixels grows at its near and right edges.

    Raises:
        ValueError: an empty region, or a pixel size that is not positive.
    """

    camera: Camera
    x_range_m: tuple[float, float] = (3.0, 53.0)
    y_range_m: tuple[float, float] = (-10.0, 10.0)
    metres_per_px: tuple[float, float] = (0.1, 0.05)

    def __post_init__(self) -> None:
        for name in ("x_range_m", "y_range_m"):
            low, high = getattr(self, name)
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"bird's-eye {name} is ({low}, {high}), must be two finite numbers, the smaller first")
        if not all(math.isfinite(m) and m > 0 for m in self.metres_per_px):
            raise ValueError(f"bird's-eye metres_per_px is {self.metres_per_px}, must be two positive numbers")

    @cached_property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the view in pixels."""
        rows = (self.x_range_m[1] - self.x_range_m[0]) / self.metres_per_px[0]
        columns = (self.y_range_m[1] - self.y_range_m[0]) / self.metres_per_px[1]
        return math.ceil(columns - _WHOLE), math.ceil(rows - _WHOLE)

    def px_from_vehicle(self, xy_m: Any) -> Any:
        """View pixels (..., 2) of road points (..., 2) in vehicle metres; they may lie outside the view."""
        xp = array_namespace(xy_m)
        u = (self.y_range_m[1] - xy_m[..., 1]) / self.metres_per_px[1] - 0.5
        v = (self.x_range_m[1] - xy_m[..., 0]) / self.metres_per_px[0] - 0.5
        return xp.stack([u, v], axis=-1)

    def vehicle_from_px(self, px: Any) -> Any:
        """Road points (..., 2) in vehicle metres of view pixels (..., 2)."""
        xp = array_namespace(px)
        x = self.x_range_m[1] - (px[..., 1] + 0.5) * self.metres_per_px[0]
        y = self.y_range_m[1] - (px[..., 0] + 0.5) * self.metres_per_px[1]
        return xp.stack([x, y], axis=-1)

    @cached_property
    def source_px(self) -> np.ndarray:
        """(H, W, 2) picture pixel behind every view pixel, NaN where the lens model has none."""
        width, height = self.size_px
        u, v = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
        px, _ = self.camera.px_from_ground(self.vehicle_from_px(np.stack([u, v], axis=-1)))
        px.flags.writeable = False
        return px

    @cached_property
    def visible(self) -> np.ndarray:
        """(H, W) bool: the view pixels that the picture shows."""
        return self.camera.in_image(self.source_px)

    @cached_property
    def _camera_from_px(self) -> np.ndarray:
        """(3, 3): directions in the camera frame, of any length, from homogeneous view pixels."""
        (mx, my), far, left = self.metres_per_px, self.x_range_m[1], self.y_range_m[1]
        road_from_px = np.array([[0.0, -mx, far - mx / 2], [-my, 0.0, left - my / 2], [0.0, 0.0, 1.0]])
        return self.camera.camera_from_vehicle[:3, [0, 1, 3]] @ road_from_px

    @cached_property
    def _maps(self) -> tuple[np.ndarray, np.ndarray]:
        """OpenCV's fixed-point maps (1/32 px): half the time of floating-point ones.

        OpenCV makes them as for an undistorted picture, whose pixels are rotated rays; here the view's pixels are
        rays by a homography, which its arithmetic does not tell apart, and which is ten times as fast as ``project``.
        """
        lens, arguments = self.camera.distortion, (np.linalg.inv(self._camera_from_px), np.eye(3), self.size_px)
        if lens.model == "fisheye":
            k = np.array(lens.coefficients)
            fixed, fraction = cv2.fisheye.initUndistortRectifyMap(self.camera.matrix, k, *arguments, cv2.CV_16SC2)
        else:
            k = np.array(lens.brown)
            fixed, fraction = cv2.initUndistortRectifyMap(self.camera.matrix, k, *arguments, cv2.CV_16SC2)
        outside = self._outside()
        if outside is not None:
            fixed[outside] = _OUTSIDE_PX
        return fixed, fraction

    def _outside(self) -> np.ndarray | None:
        """(H, W) bool: view pixels behind the camera or beyond the lens model's domain; None where there are none.

        The rays of that domain are a convex cone: if the four corners are in it, all is.
        """
        width, height = self.size_px
        matrix, limit = self._camera_from_px.astype(np.float32), np.float32(min(self.camera.distortion.max_radius, 1e6))

        def beyond(u: np.ndarray, v: np.ndarray) -> np.ndarray:
            x, y, depth = (row[0] * u + (row[1] * v + row[2]) for row in matrix)
            return (depth < _MIN_DEPTH_M) | (x * x + y * y >= (depth * limit) ** 2)

        corner_u, corner_v = np.array([[0, width, 0, width], [0, 0, height, height]], dtype=np.float32)
        if not beyond(corner_u, corner_v).any():
            return None
        return beyond(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None])

    def warp(self, image: np.ndarray) -> np.ndarray:
        """The view of a picture (H, W[, C]) of the camera's size; black where nothing is seen.

        Raises:
            ValueError: a picture of another size.
        """
        wanted = (self.camera.height_px, self.camera.width_px)
        if image.shape[:2] != wanted:
            raise ValueError(
                f"the picture is {image.shape[1]}x{image.shape[0]}, the camera {wanted[1]}x{wanted[0]}: "
                "use Camera.for_size first"
            )
        return cv2.remap(image, *self._maps, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
