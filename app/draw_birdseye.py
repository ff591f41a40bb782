"""The road from above, to scale: the warped picture, lanes, objects with their uncertainty, trails, predictions."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np

from app.palette import ALERT, CLASS_COLOURS, EGO_LANE, OTHER_LANE, WHITE, bgr, put_text
from app.types import FrameResult
from geometry.birdseye import BirdsEyeView
from geometry.box3d import corners
from geometry.camera import Camera
from perception.types import ON_ROAD, LaneBoundary, Lanes
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
_GROUND_SHRINK = 2  # it is warped at half the size, a quarter of the time: most of it is farther than it is sharp
_RING = (86, 80, 76)
_ALONG = np.linspace(0.0, 1.0, 22)  # eleven dashes; every third is enough for the bend of a line
_TRAIL_S = 2.0
_TRAIL_STEP = 2 << _SUBPIXEL_BITS  # two pixels: points nearer together do not show
_NOWHERE_M = -1e3
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 24)), np.sin(np.linspace(0, 2 * np.pi, 24))])


class BirdsEyePanel:
    """Draws the panel beside the picture; north is the direction of travel."""

    def __init__(self, height_px: int) -> None:
        self.scale_px_per_m = height_px / (_REACH_M + _BEHIND_M)
        self.size_px = (round(2 * _HALF_WIDTH_M * self.scale_px_per_m), height_px)
        self._view: BirdsEyeView | None = None
        self._view_pose: tuple[float, ...] = ()
        self._trails: dict[int, _Trail] = {}
        # fixed-point pixels of vehicle metres: x ahead is up, y to the left is left
        fine = self.scale_px_per_m * (1 << _SUBPIXEL_BITS)
        self._fine_per_m = np.array([[0.0, -fine], [-fine, 0.0]])
        self._fine_origin = self.px_from_vehicle(np.zeros(2)) * (1 << _SUBPIXEL_BITS)

    def draw(
        self,
        panel: np.ndarray,
        bgr_image: np.ndarray,
        result: FrameResult,
        camera: Camera,
        alert: np.ndarray,
    ) -> None:
        """Fill the (h, w, 3) ``panel``, in place; ``alert``: (N,) bool, tracks that are warned of."""
        self._ground(panel, bgr_image, camera)
        cv2.max(panel, self._rings, dst=panel)
        self._boundaries(panel, result.lanes)
        self._follow(panel, result.tracks, result.t_s)
        self._objects(panel, result, alert)
        self._own_car(panel)

    def px_from_vehicle(self, xy_m: np.ndarray) -> np.ndarray:
        """(..., 2) panel pixels of vehicle metres."""
        width_px, height_px = self.size_px
        x_px = width_px / 2 - xy_m[..., 1] * self.scale_px_per_m
        y_px = height_px - (xy_m[..., 0] + _BEHIND_M) * self.scale_px_per_m
        return np.stack([x_px, y_px], axis=-1) - 0.5

    # -- parts ------------------------------------------------------------------------------------------------

    def _ground(self, panel: np.ndarray, bgr_image: np.ndarray, camera: Camera) -> None:
        pose = (camera.pitch_rad, camera.yaw_rad, camera.roll_rad, camera.height_m)
        if self._view is None or max(abs(a - b) for a, b in zip(pose, self._view_pose, strict=True)) > _POSE_STEP_RAD:
            metres_per_px = _GROUND_SHRINK / self.scale_px_per_m
            self._view = BirdsEyeView(
                camera,
                x_range_m=(-_BEHIND_M, _REACH_M),
                y_range_m=(-_HALF_WIDTH_M, _HALF_WIDTH_M),
                metres_per_px=(metres_per_px, metres_per_px),
            )
            self._view_pose = pose
        faint = cv2.convertScaleAbs(self._view.warp(bgr_image), alpha=_GROUND_CONTRAST, beta=_GROUND_LIGHT)
        cv2.resize(faint, self.size_px, dst=panel, interpolation=cv2.INTER_LINEAR)

    @cached_property
    def _rings(self) -> np.ndarray:
        """(h, w, 3) circles of equal distance and their numbers on black, the same in every frame."""
        rings = np.zeros((self.size_px[1], self.size_px[0], 3), np.uint8)
        size_px = max(9, round(rings.shape[0] / 55))
        origin = self._fixed(np.zeros(2))
        for distance_m in range(10, int(_REACH_M) + 1, 10):
            radius = round(distance_m * self.scale_px_per_m * (1 << _SUBPIXEL_BITS))
            cv2.circle(rings, origin, radius, _RING, 1, cv2.LINE_AA, _SUBPIXEL_BITS)
            _, y_px = self.px_from_vehicle(np.array([distance_m, 0.0]))
            put_text(rings, f"{distance_m} m", (4, round(float(y_px)) + size_px), size_px, "#9AA3AB")
        return rings

    def _boundaries(self, panel: np.ndarray, lanes: Lanes) -> None:
        shown = [b for b in lanes.believed if b.x_range_m[0] < _REACH_M and b.x_range_m[1] > -_BEHIND_M]
        if not shown:
            return
        near_m, far_m = np.array([b.x_range_m for b in shown]).clip(-_BEHIND_M, _REACH_M).T[..., None]
        x_m = near_m + (far_m - near_m) * _ALONG
        lines = self._fixed(np.stack([x_m, lateral_m(shown, x_m)], axis=-1))
        for boundary, points in zip(shown, lines, strict=True):
            pieces = list(points.reshape(-1, 2, 2)) if boundary.kind == "dashed" else [points[::3].copy()]
            ego = boundary is lanes.left or boundary is lanes.right
            self._polylines(panel, pieces, EGO_LANE if ego else OTHER_LANE, 2)

    def _follow(self, panel: np.ndarray, tracks: Tracks, t_s: float) -> None:
        """Draws where objects were in the last seconds, as seen from the vehicle then."""
        kept, lines, colours = {}, [], []
        finite = np.isfinite(tracks.xy_m).all(axis=1)
        places = self._fixed(np.where(finite[:, None], tracks.xy_m, _NOWHERE_M)).tolist()
        known = (finite & ON_ROAD[tracks.class_id]).tolist()
        for row, track_id in enumerate(tracks.track_id.tolist()):
            trail = kept[track_id] = self._trails.get(track_id) or _Trail()
            line = trail.go_on(t_s, places[row] if known[row] else ())
            if len(line) > 1:
                lines.append(line)
                colours.append(CLASS_COLOURS[tracks.class_id[row]])
        self._trails = kept
        self._coloured(panel, lines, colours)

    def _objects(self, panel: np.ndarray, result: FrameResult, alert: np.ndarray) -> None:
        tracks = result.tracks
        shown = np.isfinite(tracks.xy_m).all(1) & (tracks.xy_m[:, 0] < _REACH_M + 5) & ON_ROAD[tracks.class_id]
        rows = np.flatnonzero(shown)
        if not len(rows):
            return
        colours = [ALERT if alert[row] else CLASS_COLOURS[tracks.class_id[row]] for row in rows.tolist()]
        paths = np.stack([tracks.xy_m, predictions(tracks, result.ego.speed_mps)], axis=1)
        spread = ellipses(tracks.xy_m, tracks.cov, self.scale_px_per_m)
        outlines = self._fixed(np.concatenate([spread, paths, footprints(tracks)], axis=1)[rows])
        around, ahead = spread.shape[1], spread.shape[1] + 2
        self._coloured(panel, [*outlines[:, :around], *outlines[:, around:ahead]], colours * 2)
        for outline, colour in zip(outlines[:, ahead:], colours, strict=True):
            cv2.fillConvexPoly(panel, outline, bgr(colour), cv2.LINE_AA, _SUBPIXEL_BITS)

    def _own_car(self, panel: np.ndarray) -> None:
        length_m, width_m = _OWN_CAR_M
        corners = np.array(
            [[0.0, -width_m / 2], [0.0, width_m / 2], [-length_m, width_m / 2], [-length_m, -width_m / 2]]
        )
        cv2.fillPoly(panel, [self._fixed(corners)], bgr(WHITE), cv2.LINE_AA, _SUBPIXEL_BITS)

    def _coloured(self, panel: np.ndarray, lines: Sequence[np.ndarray], colours: list[str]) -> None:
        """Thin lines, all of one colour in one call."""
        for colour in dict.fromkeys(colours):
            mine = [line for line, own in zip(lines, colours, strict=True) if own == colour]
            self._polylines(panel, mine, colour, 1)

    def _polylines(self, panel: np.ndarray, lines: list[np.ndarray], colour: str, thickness_px: int) -> None:
        cv2.polylines(panel, lines, False, bgr(colour), thickness_px, cv2.LINE_AA, _SUBPIXEL_BITS)

    def _fixed(self, xy_m: np.ndarray) -> np.ndarray:
        """Fixed-point panel pixels (int32), as OpenCV's drawing wants them for places between pixels."""
        return np.rint(xy_m @ self._fine_per_m + self._fine_origin).clip(-(1 << 20), 1 << 20).astype(np.int32)


class _Trail:
    """Panel pixels of an object in the last seconds; each is as it was when it was drawn first."""

    def __init__(self) -> None:
        self._t_s: deque[float] = deque()
        self._px = array("i")  # x, y of each point, one after the other

    def go_on(self, t_s: float, place: Sequence[int]) -> np.ndarray:
        """(K, 2) int32 points with this one, if there is one, and without those that are too old."""
        if place:
            if len(self._t_s) > 1 and abs(place[0] - self._px[-4]) + abs(place[1] - self._px[-3]) < _TRAIL_STEP:
                self._t_s.pop()
                del self._px[-2:]
            self._t_s.append(t_s)
            self._px.extend(place)
        while self._t_s and t_s - self._t_s[0] > _TRAIL_S:
            self._t_s.popleft()
            del self._px[:2]
        return np.array(self._px, np.int32).reshape(-1, 2)


def ellipses(xy_m: np.ndarray, cov: np.ndarray, scale_px_per_m: float) -> np.ndarray:
    """(N, K, 2) outlines in vehicle metres at two sigma of positions (N, 2) with covariances (N, 4, 4); mere points
    where that is under 1.5 pixels or far out of the panel."""
    part = cov[:, [0, 0, 1], [0, 1, 1]].T
    xx, xy, yy = np.where(np.isfinite(part), part, 0.0)
    longest = np.sqrt((xx + yy) / 2 + np.hypot((xx - yy) / 2, xy))
    drawn = (longest > 0.75 / scale_px_per_m) & (longest < _REACH_M)
    # the lower triangle of Cholesky takes the unit circle to one sigma
    a = np.sqrt(np.maximum(xx, 1e-12))
    b = xy / a
    c = np.sqrt(np.maximum(yy - b * b, 0.0))
    sigma = np.array([[a, b], [np.zeros_like(a), c]]).transpose(2, 0, 1) * drawn[:, None, None]
    return xy_m[:, None] + 2.0 * _CIRCLE.T @ sigma


def lateral_m(boundaries: Sequence[LaneBoundary], x_m: np.ndarray) -> np.ndarray:
    """(B, K) lateral places in metres of B boundaries, each at its own (B, K) ``x_m``."""
    coefficients = np.zeros((len(boundaries), 4, 1))
    for row, boundary in enumerate(boundaries):
        coefficients[row, : len(boundary.coeff), 0] = boundary.coeff
    c0, c1, c2, c3 = coefficients.transpose(1, 0, 2)
    return c0 + x_m * (c1 + x_m * (c2 + x_m * c3))


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
