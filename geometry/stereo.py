"""Depth from a rectified pair by semi-global matching (H. Hirschmüller, PAMI 2008; OpenCV's), and depth in boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from geometry.camera import Camera
from geometry.errors import InputError
from geometry.types import GroundPoints

_BLOCK_PX = 5
_MATCH_SIGMA_PX = 0.5  # of a disparity: half a pixel is what semi-global matching reaches on outdoor pairs
_CORE = 0.15  # of a box's sides cut off before its depth is read: there the background looks in
_NEAR_SHARE = 25.0  # per cent: the nearest face of an object, not its middle
_MIN_SHARE = 0.1  # of a box's pixels that must have depth


@dataclass(frozen=True)
class StereoDepth:
    """Depth along the optical axis, (H, W) metres, NaN where unknown, and the disparity (H, W) pixels behind it."""

    depth_m: np.ndarray
    disparity_px: np.ndarray
    sigma_per_m2: float

    def sigma_m(self, depth_m: np.ndarray) -> np.ndarray:
        """Standard deviation of depths: it grows with the square."""
        return self.sigma_per_m2 * np.asarray(depth_m) ** 2


def stereo_depth(
    left: np.ndarray, right: np.ndarray, focal_px: float, baseline_m: float, *, nearest_m: float = 3.0
) -> StereoDepth:
    """Depth of the left picture of a rectified pair (H, W[, 3]) uint8.

    Args:
        focal_px: of the rectified pictures.
        baseline_m: from the left to the right lens.
        nearest_m: what is nearer is not found; the nearer, the longer it takes.

    Raises:
        InputError: pictures of different sizes, or a baseline or focal length that is not positive.
    """
    if left.shape[:2] != right.shape[:2]:
        raise InputError(
            f"the left picture is {left.shape[1]}x{left.shape[0]}, the right one {right.shape[1]}x{right.shape[0]}; "
            "a rectified pair has one size"
        )
    if not (focal_px > 0 and baseline_m > 0 and nearest_m > 0):
        raise InputError(
            f"focal length {focal_px} px, baseline {baseline_m} m, nearest {nearest_m} m: all must be positive"
        )
    span = 16 * math.ceil(focal_px * baseline_m / nearest_m / 16)
    span = min(max(span, 16), 16 * max(1, left.shape[1] // 32))
    channels = left.shape[2] if left.ndim == 3 else 1
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=span,
        blockSize=_BLOCK_PX,
        P1=8 * channels * _BLOCK_PX**2,
        P2=32 * channels * _BLOCK_PX**2,
        disp12MaxDiff=1,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    # The matcher leaves out a strip as wide as its span on the left: padding gives it back.
    pad = [cv2.copyMakeBorder(picture, 0, 0, span, 0, cv2.BORDER_REPLICATE) for picture in (left, right)]
    disparity = matcher.compute(pad[0], pad[1])[:, span:].astype(np.float32) / 16.0
    known = disparity > 0.5
    depth = np.full(disparity.shape, np.nan, np.float32)
    depth[known] = focal_px * baseline_m / disparity[known]
    disparity[~known] = np.nan
    return StereoDepth(depth, disparity, _MATCH_SIGMA_PX / (focal_px * baseline_m))


def range_in_boxes(stereo: StereoDepth, camera: Camera, xyxy_px: np.ndarray) -> GroundPoints:
    """Nearest faces of objects from the depths in their boxes (N, 4), in place of the monocular range.

    The depth of a box is the lower quartile of its core, so that neither the road before it nor the background counts;
    the lateral place is that of the box's middle at this depth.
    """
    boxes = np.asarray(xyxy_px, dtype=np.float64).reshape(-1, 4)
    depth, sigma = (np.full(len(boxes), np.nan) for _ in range(2))
    height, width = stereo.depth_m.shape
    for row, (x1, y1, x2, y2) in enumerate(boxes):
        trim_x, trim_y = _CORE * (x2 - x1), _CORE * (y2 - y1)
        left, right = (int(np.clip(round(v), 0, width)) for v in (x1 + trim_x, x2 - trim_x))
        top, bottom = (int(np.clip(round(v), 0, height)) for v in (y1 + trim_y, y2 - 2 * trim_y))
        core = stereo.depth_m[top:bottom, left:right]
        values = core[np.isfinite(core)]
        if core.size and len(values) >= _MIN_SHARE * core.size:
            depth[row] = np.percentile(values, _NEAR_SHARE)
            scatter = (depth[row] - np.percentile(values, _NEAR_SHARE / 2)) / math.sqrt(max(1.0, len(values) / 500))
            sigma[row] = math.hypot(float(stereo.sigma_m(depth[row])), scatter)
    middle = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2], axis=-1)
    xy, seen = camera.normalised(middle)
    points = np.concatenate([xy, np.ones((len(boxes), 1))], axis=1) * depth[:, None]
    pose = camera.vehicle_from_camera
    placed = (points @ pose[:3, :3].T + pose[:3, 3])[:, :2]
    valid = seen & np.isfinite(placed).all(axis=1)
    along = placed / np.maximum(np.linalg.norm(placed, axis=1, keepdims=True), 1e-9)
    lateral = 0.02 * depth  # a box's middle against the object's: a fiftieth of the distance
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    cov = along[:, :, None] * along[:, None] * (sigma**2)[:, None, None]
    cov = cov + across[:, :, None] * across[:, None] * (lateral**2)[:, None, None]
    return GroundPoints(np.where(valid[:, None], placed, np.nan), np.where(valid[:, None, None], cov, np.nan), valid)
