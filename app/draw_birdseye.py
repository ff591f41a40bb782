"""The road from above, to scale: the warped picture, lanes, objects with their uncertainty, trails, predictions."""

from __future__ import annotations

import math

import cv2
import numpy as np

from app.palette import ALERT, CLASS_COLOURS, EGO_LANE, OTHER_LANE, WHITE, bgr, put_text
from app.types import FrameResult
from geometry.birdseye import BirdsEyeView
from geometry.box3d import corners
from geometry.camera import Camera
from perception.types import ON_ROAD, LaneBoundary
from tracking.bodies import bodies
from tracking.types import Tracks

_REACH_M = 60.0
_BEHIND_M = 4.0
_HALF_WIDTH_M = 12.0
_PREDICT_S = 2.0
_OWN_CAR_M = (4.6, 1.8)  # length and width of a mid-size car
_POSE_STEP_RAD = math.radians(0.1)  # a new remap for less would not show
_SUBPIXEL_BITS = 4
_GROUND_CONTRAST, _GROUND_LIGHT = 0.45, 18.0  # the picture steps back behind what is drawn on it


class BirdsEyePanel:
    """Draws the panel beside the picture; north is the direction of travel."""

    def __init__(self, height_px: int) -> None:
        self.scale_px_per_m = height_px / (_REACH_M + _BEHIND_M)
        self.size_px = (round(2 * _HALF_WIDTH_M * self.scale_px_per_m), height_px)
        self._view: BirdsEyeView | None = None
        self._view_pose: tuple[float, ...] = ()

    def draw(
        self, bgr_image: np.ndarray, result: FrameResult, camera: Camera, trails: list[np.ndarray], alert: np.ndarray
    ) -> np.ndarray:
        """(h, w, 3) panel. ``trails``: (K, 2) vehicle metres of this frame, one a track; ``alert``: (N,) bool."""
        panel = self._ground(bgr_image, camera)
        self._rings(panel)
        for boundary in result.lanes.believed:
            self._boundary(panel, boundary, boundary in (result.lanes.left, result.lanes.right))
        for trail, class_id in zip(trails, result.tracks.class_id, strict=True):
            if len(trail) > 1 and ON_ROAD[class_id]:
                self._polylines(panel, [self._fixed(trail)], CLASS_COLOURS[class_id], 1)
        self._objects(panel, result, alert)
        self._own_car(panel)
        return panel

    def px_from_vehicle(self, xy_m: np.ndarray) -> np.ndarray:
        """(..., 2) panel pixels of vehicle metres."""
        width_px, height_px = self.size_px
        x_px = width_px / 2 - xy_m[..., 1] * self.scale_px_per_m
        y_px = height_px - (xy_m[..., 0] + _BEHIND_M) * self.scale_px_per_m
        return np.stack([x_px, y_px], axis=-1) - 0.5

    # -- parts ------------------------------------------------------------------------------------------------

    def _ground(self, bgr_image: np.ndarray, camera: Camera) -> np.ndarray:
        pose = (camera.pitch_rad, camera.yaw_rad, camera.roll_rad, camera.height_m)
        if self._view is None or max(abs(a - b) for a, b in zip(pose, self._view_pose, strict=True)) > _POSE_STEP_RAD:
            metres_per_px = 1.0 / self.scale_px_per_m
            self._view = BirdsEyeView(
                camera,
                x_range_m=(-_BEHIND_M, _REACH_M),
                y_range_m=(-_HALF_WIDTH_M, _HALF_WIDTH_M),
                metres_per_px=(metres_per_px, metres_per_px),
            )
            self._view_pose = pose
        warped = self._view.warp(bgr_image)
        if warped.shape[1::-1] != self.size_px:
            warped = cv2.resize(warped, self.size_px)
        return cv2.convertScaleAbs(warped, alpha=_GROUND_CONTRAST, beta=_GROUND_LIGHT)

    def _rings(self, panel: np.ndarray) -> None:
        size_px = max(9, round(panel.shape[0] / 55))
        origin = self._fixed(np.zeros(2))
        for distance_m in range(10, int(_REACH_M) + 1, 10):
            radius = round(distance_m * self.scale_px_per_m * (1 << _SUBPIXEL_BITS))
            cv2.circle(panel, origin, radius, (86, 80, 76), 1, cv2.LINE_AA, _SUBPIXEL_BITS)
            _, y_px = self.px_from_vehicle(np.array([distance_m, 0.0]))
            put_text(panel, f"{distance_m} m", (4, round(float(y_px)) + size_px), size_px, "#9AA3AB")

    def _boundary(self, panel: np.ndarray, boundary: LaneBoundary, ego: bool) -> None:
        x_m = np.linspace(max(boundary.x_range_m[0], -_BEHIND_M), min(boundary.x_range_m[1], _REACH_M), 24)
        if x_m[-1] <= x_m[0]:
            return
        points = self._fixed(np.stack([x_m, boundary.y_m(x_m)], axis=-1))
        pieces = list(points.reshape(-1, 2, 2)) if boundary.kind == "dashed" else [points]
        self._polylines(panel, pieces, EGO_LANE if ego else OTHER_LANE, 2)

    def _objects(self, panel: np.ndarray, result: FrameResult, alert: np.ndarray) -> None:
        tracks = result.tracks
        shown = np.isfinite(tracks.xy_m).all(1) & (tracks.xy_m[:, 0] < _REACH_M + 5) & ON_ROAD[tracks.class_id]
        tracks, alert = tracks[shown], alert[shown]
        if not len(tracks):
            return
        colours = [ALERT if hot else CLASS_COLOURS[c] for hot, c in zip(alert, tracks.class_id, strict=True)]
        outlines = self._fixed(footprints(tracks))
        paths = self._fixed(np.stack([tracks.xy_m, predictions(tracks, result.ego.speed_mps)], axis=1))
        self._ellipses(panel, tracks, colours)
        for outline, path, colour in zip(outlines, paths, colours, strict=True):
            self._polylines(panel, [path], colour, 1)
            cv2.fillPoly(panel, [outline], bgr(colour), cv2.LINE_AA, _SUBPIXEL_BITS)

    def _ellipses(self, panel: np.ndarray, tracks: Tracks, colours: list[str]) -> None:
        """Two sigma of each position."""
        variance, axes = np.linalg.eigh(np.nan_to_num(tracks.cov[:, :2, :2]))
        axes_px = 4.0 * np.sqrt(np.maximum(variance, 0.0)) * self.scale_px_per_m
        # the panel's x is -y of the vehicle, its y is -x
        angle_deg = np.degrees(np.arctan2(-axes[:, 0, 1], -axes[:, 1, 1]))
        centres = self.px_from_vehicle(tracks.xy_m)
        for row in np.flatnonzero((axes_px[:, 1] > 3.0) & (axes_px[:, 1] < 4 * panel.shape[0])):
            box = (centres[row].tolist(), (axes_px[row, 1], axes_px[row, 0]), angle_deg[row])
            cv2.ellipse(panel, box, bgr(colours[row]), 1, cv2.LINE_AA)

    def _own_car(self, panel: np.ndarray) -> None:
        length_m, width_m = _OWN_CAR_M
        corners = np.array(
            [[0.0, -width_m / 2], [0.0, width_m / 2], [-length_m, width_m / 2], [-length_m, -width_m / 2]]
        )
        cv2.fillPoly(panel, [self._fixed(corners)], bgr(WHITE), cv2.LINE_AA, _SUBPIXEL_BITS)

    def _polylines(self, panel: np.ndarray, lines: list[np.ndarray], colour: str, thickness_px: int) -> None:
        cv2.polylines(panel, lines, False, bgr(colour), thickness_px, cv2.LINE_AA, _SUBPIXEL_BITS)

    def _fixed(self, xy_m: np.ndarray) -> np.ndarray:
        """Fixed-point panel pixels (int32), as OpenCV's drawing wants them for places between pixels."""
        px = self.px_from_vehicle(xy_m) * (1 << _SUBPIXEL_BITS)
        return np.rint(np.clip(px, -(1 << 20), 1 << 20)).astype(np.int32)


def predictions(tracks: Tracks, own_speed_mps: float) -> np.ndarray:
    """(N, 2) where objects will be in 2 s as seen from the vehicle if all goes on as now; unknown: where they are."""
    own = np.zeros_like(tracks.v_mps)
    own[tracks.absolute, 0] = own_speed_mps
    moved = tracks.xy_m + _PREDICT_S * (tracks.v_mps - own)
    known = np.isfinite(moved).all(axis=1, keepdims=True)
    return np.where(known, moved, tracks.xy_m)


def footprints(tracks: Tracks) -> np.ndarray:
    """(N, 4, 2) corners of the bodies on the road, vehicle metres."""
    return corners(bodies(tracks))[:, :4, :2]
