"""The mount of an unknown camera from pictures of a road: where its lines meet, and how wide its lanes are.

What a road shows of a camera: the vanishing point gives pitch and yaw for a focal length; the lane width gives the
height (a lateral distance is height times columns over rows below the horizon, whatever the focal length). The focal
length itself it does not show: only distances FORWARD scale with it, and they are as good as the field of view given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from geometry.camera import Camera
from geometry.errors import InputError
from geometry.flow import mount_from_heading
from perception.lanes.family import search
from perception.lanes.fit import find_candidates, fit_family
from perception.lanes.ridge import find_crossings, marking_evidence
from perception.lanes.select import pair_worth, pick_ego
from perception.lanes.slices import FreeRoad, SliceGrid

GENERIC_FOV_RAD = math.radians(60)  # usual dashcams see 50 to 80 degrees along the road side of their lens
LANE_WIDTH_M = 3.6  # between 3.50 m (most of Europe, urban United States) and 3.75 m; 3.66 m on US motorways
_STEADY_SIGMA_RAD = math.radians(1.0)
"""Of the direction of the lanes from picture to picture: 0.2 to 0.7 degrees on six marked roads, bends and lane changes
included; 1.3 where kerbs and shadows of an unmarked street were taken for lines (KITTI 0005)."""
_START_HEIGHTS_M = (1.2, 1.6, 2.1, 2.7)  # windscreens of cars, vans and lorries: within 15 % of one of them
_START_PICTURES = 12  # that a height is chosen by
_WORK_WIDTH_PX = 640
MAX_PICTURES = 40
_ROUNDS = 3
_ANGLE_SIGMA_RAD = math.radians(1.5)
_MIN_SEGMENTS = 60
_MIN_LANES = 3


@dataclass(frozen=True)
class FoundMount:
    """A camera found from the road and what it rests on.

    Attributes:
        camera: with pitch, yaw and height found and the field of view given.
        pictures: how many showed an ego lane; lane_width_m: the width that the height was scaled to.
        pitch_sigma_rad, yaw_sigma_rad: spread among the pictures (slopes and bends of the road included).
    """

    camera: Camera
    pictures: int
    lane_width_m: float
    pitch_sigma_rad: float
    yaw_sigma_rad: float

    @property
    def steady(self) -> bool:
        """Whether the lines have one direction from picture to picture, as a lane's have."""
        return self.yaw_sigma_rad <= _STEADY_SIGMA_RAD

    def __str__(self) -> str:
        c = self.camera
        return (
            f"focal length {c.fx_px:.0f} px, height {c.height_m:.2f} m, "
            f"pitch {math.degrees(c.pitch_rad):.2f}±{math.degrees(self.pitch_sigma_rad):.2f}° down, "
            f"yaw {math.degrees(c.yaw_rad):.2f}±{math.degrees(self.yaw_sigma_rad):.2f}° left, "
            f"horizon at row {c.horizon_y_px:.0f}, from {self.pictures} pictures"
        )


def find_mount(
    pictures: Sequence[np.ndarray],
    horizontal_fov_rad: float = GENERIC_FOV_RAD,
    lane_width_m: float = LANE_WIDTH_M,
    *,
    camera: Camera | None = None,
) -> FoundMount:
    """Camera of pictures (H, W, 3) uint8 of one size that show roads with lanes.

    Args:
        camera: lens and picture size where they are known; the field of view is used otherwise.

    Raises:
        InputError: pictures of different sizes, or too few lines or lanes in them.
    """
    pictures = pictures[:: max(1, len(pictures) // MAX_PICTURES)]
    sizes = {picture.shape[:2] for picture in pictures}
    if len(sizes) != 1:
        raise InputError(f"got pictures of {len(sizes)} sizes, need one or more of one size to find their camera")
    height_px, width_px = sizes.pop()
    if camera is None:
        focal = 0.5 * width_px / math.tan(0.5 * horizontal_fov_rad)
        cx, cy = 0.5 * (width_px - 1), 0.5 * (height_px - 1)
        camera = Camera(width_px, height_px, focal, focal, cx, cy, _START_HEIGHTS_M[1], name="found from the road")
    direction, _ = camera.normalised(np.array(vanishing_point(pictures)))
    pitch, yaw = mount_from_heading(np.array([*direction, 1.0]), camera.roll_rad)
    camera = _start(pictures, camera.mounted(pitch_rad=pitch, yaw_rad=yaw))
    found = np.empty((0, 3))
    for _ in range(_ROUNDS):
        found = np.array([lane[:3] for lane in _ego_lanes(pictures, camera)])
        if len(found) < min(_MIN_LANES, len(pictures)):
            raise InputError(
                f"found a lane in {len(found)} of {len(pictures)} pictures, need {_MIN_LANES}; "
                "give pictures of a marked road, or a camera profile"
            )
        heading, spread, width = np.median(found, axis=0).tolist()
        camera = camera.mounted(
            pitch_rad=camera.pitch_rad + math.atan(spread * camera.height_m),
            yaw_rad=camera.yaw_rad - math.atan(heading),
            height_m=camera.height_m * lane_width_m / width,
        )
    spreads = 1.4826 * np.median(np.abs(found - np.median(found, axis=0)), axis=0)
    pitch_sigma, yaw_sigma = float(spreads[1]) * camera.height_m, float(spreads[0])
    return FoundMount(camera, len(found), lane_width_m, pitch_sigma, yaw_sigma)


def _start(pictures: Sequence[np.ndarray], camera: Camera) -> Camera:
    """The camera at the height at which most speaks for a lane of usual width in the pictures.

    From a height far off two lanes, or a lane and a hard shoulder, look like one.
    """
    some = pictures[:: max(1, -(-len(pictures) // _START_PICTURES))]
    tried = [camera.mounted(height_m=height) for height in _START_HEIGHTS_M]
    worth = [sum(lane[3] for lane in _ego_lanes(some, at)) for at in tried]
    return tried[int(np.argmax(worth))]


def _ego_lanes(pictures: Sequence[np.ndarray], camera: Camera) -> list[tuple[float, float, float, float]]:
    """Heading, spread and width of the ego lane, and what speaks for it, in each picture that shows one."""
    grid = SliceGrid.build(camera)
    if grid is None:
        return []
    free = grid.uncovered(np.empty((0, 4)))
    return [lane for lane in (_ego_lane(picture, grid, free) for picture in pictures) if lane is not None]


def _ego_lane(picture: np.ndarray, grid: SliceGrid, free: FreeRoad) -> tuple[float, float, float, float] | None:
    crossings = find_crossings(marking_evidence(grid.warp(picture), grid), grid, free)
    shape, _ = search(crossings, None)
    candidates = find_candidates(crossings, shape, grid.measure, np.ones((len(grid.x_m), 1)))
    left, right, _ = pick_ego(candidates, None)
    if left is None or right is None:
        return None
    fit = fit_family(crossings, shape, candidates.base_m[[left, right]])
    worth = float(pair_worth(candidates, left, right))
    return fit.shape.heading, fit.shape.spread, float(fit.coeff[0, 0] - fit.coeff[1, 0]), worth


def vanishing_point(pictures: Sequence[np.ndarray]) -> tuple[float, float]:
    """Pixel (u, v) that most straight segments of the pictures (H, W, 3) point to.

    Segments are those of the line segment detector (von Gioi et al., PAMI 2010); every cell of the picture's middle
    is tried, then the best is refined by weighted least squares.

    Raises:
        InputError: hardly any segment is there.
    """
    scale = min(1.0, _WORK_WIDTH_PX / pictures[0].shape[1])
    segments = np.concatenate([_segments(picture, scale) for picture in pictures])
    if len(segments) < _MIN_SEGMENTS:
        raise InputError(f"found {len(segments)} straight segments, need {_MIN_SEGMENTS}; give pictures of a road")
    height, width = (round(side * scale) for side in pictures[0].shape[:2])
    middle = 0.5 * (segments[:, :2] + segments[:, 2:])
    along = segments[:, 2:] - segments[:, :2]
    length = np.hypot(*along.T)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=-1) / length[:, None]
    u, v = np.meshgrid(np.arange(0.25 * width, 0.75 * width, 6), np.arange(0.2 * height, 0.75 * height, 6))
    cells = np.stack([u.ravel(), v.ravel()], axis=-1)
    support = np.concatenate([_support(part, middle, normal) @ length for part in np.array_split(cells, 16)])
    point = cells[int(np.argmax(support))]
    for _ in range(10):
        reach = np.hypot(*(point - middle).T)
        weight = _support(point[None], middle, normal)[0] * length / np.maximum(reach, 20) ** 2
        pull = (normal * weight[:, None]).T
        point = np.linalg.solve(pull @ normal + 1e-9 * np.eye(2), pull @ np.sum(normal * middle, axis=1))
    u_px, v_px = (point + 0.5) / scale - 0.5
    return float(u_px), float(v_px)


def _segments(picture: np.ndarray, scale: float) -> np.ndarray:
    """(N, 4) x1, y1, x2, y2 of segments that may run along a road: below the upper third, neither level nor upright."""
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = cv2.createLineSegmentDetector().detect(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))[0]
    if found is None:
        return np.empty((0, 4))
    lines = found.reshape(-1, 4).astype(float)
    along = lines[:, 2:] - lines[:, :2]
    slope = np.abs(along[:, 1]) / np.maximum(np.abs(along[:, 0]), 1e-6)
    low = lines[:, [1, 3]].max(axis=1) > 0.4 * small.shape[0]
    return lines[low & (np.hypot(*along.T) > 12) & (slope > 0.15) & (slope < 6)]


def _support(cells: np.ndarray, middle: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """(C, N) between 0 and 1: how well segments point to cells (C, 2)."""
    to_cell = cells[:, None] - middle
    reach = np.maximum(np.hypot(to_cell[..., 0], to_cell[..., 1]), 1.0)
    sine = np.sum(to_cell * normal, axis=-1) / reach
    return np.exp(-0.5 * (sine / math.sin(_ANGLE_SIGMA_RAD)) ** 2)
