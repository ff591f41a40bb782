"""The bird's-eye view lanes are read in: slices across the road, sampled straight from the picture.

A uniform bird's-eye view wastes most of its rows on the far road, where the picture has nothing more to give, and
skips picture rows near the vehicle, where round raised markers are only a few rows tall. Here every slice is one
picture row (more or less) and runs across the road in equal metric steps: columns are metres, rows are slices whose
distance is known exactly. One remap undistorts, warps and slices in the same pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from geometry.camera import Camera

HALF_WIDTH_M = 9.6  # a lane is at most 3.75 m by most standards: this shows two to each side
STEP_M = 0.06  # markings are 0.10 to 0.30 m wide: two samples across the narrowest
NEAR_M, FAR_M = 3.0, 90.0
_ROWS = 260  # slices of a full grid: about every second row of a 720-row picture
_DENSITY_POWER = 0.7  # slices are equidistant in (rows below the horizon) ** 0.7: a little denser far away
_MIN_ROWS_BELOW_HORIZON = 0.006  # of the picture's height: above that a pixel spans tens of metres of road
_NEAR_ZONE_M = 25.0
_FOOT_ZONE_M = 8.0  # nearer, the picture shows half of the slices and less
_NEAR_WIDTH_PX, _FAR_WIDTH_PX = 640, 1280  # the near zone is read from a reduced picture: less noise, no aliasing
_CELL_PX = 4  # of the coarse picture that says what is covered
_POSE_SLACK_RAD = math.radians(1.0)
# From the middle of narrow paint, wide paint and raised markers to the road beside them: markings are 0.10 to 0.20 m
# wide, on motorways up to 0.30 m.
_REACHES_M = (0.18, 0.30, 0.24)
_REACH_PX = 1.5  # the same in picture pixels, where those are wider: what the lens blurs
# Sigma of a crossing's lateral position on the road and in the picture. Rough joints look like markers, beside them.
_PAINT_SIGMA_M, _MARKER_SIGMA_M, _SIGMA_PX = 0.05, 0.08, 0.7
COUNT_TO_M = 40.0
_HILL_M = 0.3  # sigma at 50 m of what the rise and fall of the road adds, beyond what the fit knows


@dataclass(frozen=True, eq=False)
class Zone:
    """Slices that are read from the same rows of the picture, reduced by ``scale``, with one remap.

    Only ``columns`` of them, which hold all that is inside the picture.
    """

    rows: slice
    columns: slice
    scale: int
    source: slice
    map1: np.ndarray
    map2: np.ndarray

    @classmethod
    def of(cls, camera: Camera, px: np.ndarray, rows: slice, width_px: int) -> Zone:
        """Zone of the samples at px (R, L, 2) whose source is about ``width_px`` wide."""
        inside = np.flatnonzero((px[..., 1] > -1e3).any(axis=0))
        columns = slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 1)
        px = px[:, columns]
        scale = max(1, round(camera.width_px / width_px))
        v = px[..., 1][px[..., 1] > -1e3]
        low, high = (float(v.min()), float(v.max())) if v.size else (0.0, 0.0)
        first = max(0, int(low) - 2 * scale) // scale * scale
        last = min(camera.height_px, (int(high) // scale + 3) * scale)
        xy = (px - np.array([0, first], np.float32) + 0.5) / scale - 0.5
        maps = cv2.convertMaps(xy[..., 0], xy[..., 1], cv2.CV_16SC2)
        return cls(rows, columns, scale, slice(first, last), *maps)

    def read(self, image: np.ndarray, out: np.ndarray) -> None:
        source = image[self.source]
        if self.scale > 1:
            size = (image.shape[1] // self.scale, source.shape[0] // self.scale)
            source = cv2.resize(
                source[: size[1] * self.scale, : size[0] * self.scale], size, interpolation=cv2.INTER_AREA
            )
        cv2.remap(source, self.map1, self.map2, cv2.INTER_LINEAR, dst=out, borderMode=cv2.BORDER_CONSTANT)


@dataclass(frozen=True, eq=False)
class FreeRoad:
    """Where nothing covers the road: (S L,) bool ``visible`` and int32 ``cell`` of a grid, and the free cells."""

    visible: np.ndarray
    cell: np.ndarray
    free: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As the kernels take them."""
        return self.visible, self.cell, self.free


@dataclass(frozen=True, eq=False)
class SliceGrid:
    """Where the slices of one camera lie.

    Attributes:
        camera: the camera the sampling was laid out for.
        x_m: (S,) distance of each slice, far to near as in the picture.
        y_m: (L,) lateral position of each column, left (positive) to right.
        px: (S, L, 2) float32 picture position of each sample, -1e4 outside the picture.
        visible: (S, L) bool: inside the picture, with a margin that keeps filters off its edge.
        zones: how the far and the near slices are read.
        cell: (S, L) int32 index of each sample into the flat coarse picture of ``uncovered``.
        spans: (S, 2) first column inside the picture, and the one after the last.
    """

    camera: Camera
    x_m: np.ndarray
    y_m: np.ndarray
    px: np.ndarray
    visible: np.ndarray
    zones: tuple[Zone, ...]
    cell: np.ndarray
    spans: np.ndarray

    @classmethod
    def build(cls, camera: Camera) -> SliceGrid | None:
        """Slices of the road ahead; None where the camera sees less than ten rows of it."""
        x_m = _distances(camera)
        if len(x_m) < 10:
            return None
        count = round(2 * HALF_WIDTH_M / STEP_M) + 1
        y_m = HALF_WIDTH_M - STEP_M * np.arange(count)
        points = np.stack(np.broadcast_arrays(x_m[:, None], y_m[None, :]), axis=-1)
        px, valid = camera.px_from_ground(points)
        visible = valid & camera.in_image(px)
        spans = _spans(visible)
        px = np.where(visible[..., None], px, -1e4).astype(np.float32)
        margin = cv2.erode(np.pad(visible, 1).astype(np.uint8), np.ones((5, 9), np.uint8))[1:-1, 1:-1].astype(bool)
        near, foot = (int(np.searchsorted(-x_m, -zone_m)) for zone_m in (_NEAR_ZONE_M, _FOOT_ZONE_M))
        parts = ((0, near, _FAR_WIDTH_PX), (near, foot, _NEAR_WIDTH_PX), (foot, len(x_m), _NEAR_WIDTH_PX))
        zones = tuple(Zone.of(camera, px[a:b], slice(a, b), width) for a, b, width in parts if b > a)
        return cls(camera, x_m, y_m, px, margin, zones, _cells(camera, px), spans)

    @cached_property
    def pixel_m(self) -> np.ndarray:
        """(S,) width of a picture pixel on the road."""
        return self.x_m / self.camera.fx_px

    @cached_property
    def reach(self) -> np.ndarray:
        """(S, 3) columns from the middle of narrow paint, wide paint and raised markers to the road beside them."""
        reach_m = np.maximum(np.array(_REACHES_M), _REACH_PX * self.pixel_m[:, None])
        return np.rint(reach_m / STEP_M).astype(np.int64)

    @cached_property
    def slices(self) -> np.ndarray:
        """(S, 3) distance, and the lateral standard deviation of a crossing of paint and of one of raised markers."""
        far = (_SIGMA_PX * self.pixel_m) ** 2 + (_HILL_M * (self.x_m / 50) ** 2) ** 2
        return np.stack([self.x_m, np.sqrt(_PAINT_SIGMA_M**2 + far), np.sqrt(_MARKER_SIGMA_M**2 + far)], axis=-1)

    @cached_property
    def measure(self) -> np.ndarray:
        """(S,) what a slice counts for the road that it stands for; those beyond 40 m no more than one there."""
        return np.sqrt(np.minimum(self.x_m, COUNT_TO_M))

    @cached_property
    def straight(self) -> np.ndarray:
        """(S,) zeros: the columns aside that a road straight ahead runs."""
        return np.zeros(len(self.x_m), np.int64)

    def shift(self, heading: float, bend: float, twist: float) -> np.ndarray:
        """(S,) columns to the right of straight ahead that a road runs, its shape as ``family.Shape`` has it."""
        x = self.x_m
        return np.rint(x * (heading + x * (bend + x * twist)) / -STEP_M).astype(np.int64)

    def count_beyond(self, x_m: float) -> int:
        """How many slices are farther away."""
        return int(np.searchsorted(-self.x_m, -x_m))

    def fits(self, camera: Camera) -> bool:
        """Whether the same sampling serves another camera: the same lens and, nearly, the same mount."""
        mine, other = self.camera, camera
        same = (mine.width_px, mine.height_px, mine.fx_px, mine.fy_px, mine.cx_px, mine.cy_px, mine.distortion) == (
            (other.width_px, other.height_px, other.fx_px, other.fy_px, other.cx_px, other.cy_px, other.distortion)
        )
        turn = max(abs(getattr(mine, a) - getattr(other, a)) for a in ("pitch_rad", "yaw_rad", "roll_rad"))
        return same and turn < _POSE_SLACK_RAD and abs(mine.height_m / other.height_m - 1) < 0.1

    def warp(self, image: np.ndarray) -> np.ndarray:
        """(S, L[, C]) the picture (H, W[, C]) along the slices; 0 outside it."""
        out = np.zeros((*self.visible.shape, *image.shape[2:]), image.dtype)
        for zone in self.zones:
            zone.read(image, out[zone.rows, zone.columns])
        return out

    def uncovered(self, boxes_px: np.ndarray) -> FreeRoad:
        """Where the road is in sight beside boxes (B, 4) left, top, right, bottom.

        To a cell of the coarse picture: a few pixels, less than detectors are exact to.
        """
        width, height = _coarse_size(self.camera)
        free = np.ones((height, width), bool)
        for left, top, right, bottom in np.rint(boxes_px / _CELL_PX).astype(int).tolist():
            free[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = False
        return FreeRoad(self.visible.ravel(), self.cell.ravel(), free.ravel())

    def road_from_grid(self, camera: Camera) -> np.ndarray:
        """(3, 3) homography from this grid's road plane to the road plane of another mount of the same lens."""
        (a, b, c), (d, e, f), (g, h, i) = camera.image_from_road.tolist()
        # The inverse by cofactors: of three rows in a quarter of the time.
        adjugate = [
            [e * i - f * h, c * h - b * i, b * f - c * e],
            [f * g - d * i, a * i - c * g, c * d - a * f],
            [d * h - e * g, b * g - a * h, a * e - b * d],
        ]
        scale = 1.0 / (a * adjugate[0][0] + b * adjugate[1][0] + c * adjugate[2][0])
        return np.array(adjugate) @ self.camera.image_from_road * scale


def _distances(camera: Camera) -> np.ndarray:
    """(S,) distances whose picture rows are evenly spread, far to near; empty where no road is seen."""
    probe = np.geomspace(NEAR_M, FAR_M, 400)
    px, valid = camera.px_from_ground(np.stack([probe, np.zeros_like(probe)], axis=-1))
    horizon = camera.undistorted().horizon_y_px
    rows = px[:, 1] - horizon
    seen = valid & (px[:, 1] < camera.height_px - 0.5) & (px[:, 1] > 0)
    seen &= rows > _MIN_ROWS_BELOW_HORIZON * camera.height_px
    if np.count_nonzero(seen) < 2:
        return np.empty(0)
    probe, warped = probe[seen][::-1], rows[seen][::-1] ** _DENSITY_POWER
    count = min(_ROWS, int(rows[seen].max() - rows[seen].min()) + 1)
    return np.interp(np.linspace(warped[0], warped[-1], count), warped, probe)


def _spans(visible: np.ndarray) -> np.ndarray:
    """(S, 2) first column of (S, L) that is visible and the one after the last; all where none is."""
    width = visible.shape[1]
    first = visible.argmax(axis=1)
    return np.stack([first, width - visible[:, ::-1].argmax(axis=1)], axis=-1).astype(np.int64)


def _coarse_size(camera: Camera) -> tuple[int, int]:
    return -(-camera.width_px // _CELL_PX), -(-camera.height_px // _CELL_PX)


def _cells(camera: Camera, px: np.ndarray) -> np.ndarray:
    """(S, L) int32 flat index of pixels (S, L, 2) into the coarse picture."""
    width, height = _coarse_size(camera)
    column, row = (
        np.clip(px[..., k] / _CELL_PX, 0, size - 1).astype(np.int32) for k, size in ((0, width), (1, height))
    )
    return row * width + column
