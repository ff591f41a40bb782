"""The road from above, to scale: the warped picture, lanes, objects with their uncertainty, trails, predictions."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np

from app.palette import EGO_LANE, OTHER_LANE, WHITE, Strokes, bgr, colours_of, put_text, rows_of, tint
from app.types import FrameResult
from geometry.birdseye import BirdsEyeView
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
# It is warped at half the size, a quarter of the time: most of it is farther than it is sharp. Beyond so many metres a
# quarter of the rows shows as much: a camera 1.5 m high with f = 1000 pixels has 4 rows a metre there, the panel 3.
_GROUND_ACROSS, _FAR_M, _GROUND_FAR, _GROUND_NEAR = 2, 20.0, 4, 2
_RING = (86, 80, 76)
_ALONG = np.linspace(0.0, 1.0, 22)  # eleven dashes; every third is enough for the bend of a line
_TRAIL_S = 2.0
_TRAIL_STEP_PX = 2.0  # points nearer together do not show
_BOUNDARY_PX, _THIN_PX = 3.0, 1.5
_ALL_ROUND = [0, 1, 2, 3, 0]
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 24)), np.sin(np.linspace(0, 2 * np.pi, 24))], axis=-1)


class BirdsEyePanel:
    """Draws the panel beside the picture; north is the direction of travel."""

    def __init__(self, height_px: int) -> None:
        self.scale_px_per_m = height_px / (_REACH_M + _BEHIND_M)
        self.size_px = (round(2 * _HALF_WIDTH_M * self.scale_px_per_m), height_px)
        self._far_px = round((_REACH_M - _FAR_M) * self.scale_px_per_m / _GROUND_FAR) * _GROUND_FAR
        self._views: tuple[BirdsEyeView, ...] = ()
        self._view_pose: tuple[float, ...] = ()
        self._trails: dict[int, _Trail] = {}
        from app.picture_kernels import brighten

        self._brighten = brighten
        # panel pixels of vehicle metres: x ahead is up, y to the left is left
        self._px_per_m = np.array([[0.0, -self.scale_px_per_m], [-self.scale_px_per_m, 0.0]])
        self._origin_px = np.array([self.size_px[0] / 2, height_px - _BEHIND_M * self.scale_px_per_m]) - 0.5

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
        self._brighten(rows_of(panel), *self._rings)
        lines = Strokes()
        self._boundaries(lines, result.lanes)
        self._follow(lines, result.tracks, result.t_s)
        self._objects(panel, lines, result, alert)

    def px_from_vehicle(self, xy_m: np.ndarray) -> np.ndarray:
        """(..., 2) panel pixels of vehicle metres."""
        return xy_m @ self._px_per_m + self._origin_px

    # -- parts ------------------------------------------------------------------------------------------------

    def _ground(self, panel: np.ndarray, bgr_image: np.ndarray, camera: Camera) -> None:
        pose = (camera.pitch_rad, camera.yaw_rad, camera.roll_rad, camera.height_m)
        if not self._views or max(abs(a - b) for a, b in zip(pose, self._view_pose, strict=True)) > _POSE_STEP_RAD:
            self._views, self._view_pose = self._views_from(camera), pose
        for view, part in zip(self._views, (panel[: self._far_px], panel[self._far_px :]), strict=True):
            ground = view.warp(bgr_image)
            cv2.convertScaleAbs(ground, dst=ground, alpha=_GROUND_CONTRAST, beta=_GROUND_LIGHT)
            cv2.resize(ground, (part.shape[1], part.shape[0]), dst=part, interpolation=cv2.INTER_LINEAR)

    def _views_from(self, camera: Camera) -> tuple[BirdsEyeView, BirdsEyeView]:
        """The far and the near ground."""
        px_m, edge_m = 1.0 / self.scale_px_per_m, _REACH_M - self._far_px / self.scale_px_per_m
        sides_m = (-_HALF_WIDTH_M, _HALF_WIDTH_M)
        far = BirdsEyeView(camera, (edge_m, _REACH_M), sides_m, (_GROUND_FAR * px_m, _GROUND_ACROSS * px_m))
        near = BirdsEyeView(camera, (-_BEHIND_M, edge_m), sides_m, (_GROUND_NEAR * px_m, _GROUND_ACROSS * px_m))
        return far, near

    @cached_property
    def _rings(self) -> tuple[np.ndarray, np.ndarray]:
        """What is the same in every frame: circles of equal distance with their numbers, and the own car. Places in
        the rows of the panel and how bright they are at least."""
        image = np.zeros((self.size_px[1], self.size_px[0], 3), np.uint8)
        size_px = max(9, round(image.shape[0] / 55))
        origin = _fixed(self._origin_px)
        for distance_m in range(10, int(_REACH_M) + 1, 10):
            radius = round(distance_m * self.scale_px_per_m * (1 << _SUBPIXEL_BITS))
            cv2.circle(image, origin, radius, _RING, 1, cv2.LINE_AA, _SUBPIXEL_BITS)
            _, y_px = self.px_from_vehicle(np.array([distance_m, 0.0]))
            put_text(image, f"{distance_m} m", (4, round(float(y_px)) + size_px), size_px, "#9AA3AB")
        length_m, width_m = _OWN_CAR_M
        own = np.array([[0.0, -width_m / 2], [0.0, width_m / 2], [-length_m, width_m / 2], [-length_m, -width_m / 2]])
        cv2.fillPoly(image, [_fixed(self.px_from_vehicle(own))], bgr(WHITE), cv2.LINE_AA, _SUBPIXEL_BITS)
        rows = rows_of(image)
        at = np.ascontiguousarray(np.argwhere(rows))
        return at, rows[at[:, 0], at[:, 1]]

    def _boundaries(self, lines: Strokes, lanes: Lanes) -> None:
        shown = [b for b in lanes.believed if b.x_range_m[0] < _REACH_M and b.x_range_m[1] > -_BEHIND_M]
        if not shown:
            return
        near_m, far_m = np.array([b.x_range_m for b in shown]).clip(-_BEHIND_M, _REACH_M).T[..., None]
        x_m = near_m + (far_m - near_m) * _ALONG
        lines_px = self.px_from_vehicle(np.stack([x_m, lateral_m(shown, x_m)], axis=-1))
        for boundary, points in zip(shown, lines_px, strict=True):
            colour = bgr(EGO_LANE if boundary is lanes.left or boundary is lanes.right else OTHER_LANE)
            pieces = points.reshape(-1, 2, 2) if boundary.kind == "dashed" else points[None, ::3]
            lines.add(pieces, [colour] * len(pieces), _BOUNDARY_PX)

    def _follow(self, lines: Strokes, tracks: Tracks, t_s: float) -> None:
        """Draws where objects were in the last seconds, as seen from the vehicle then."""
        kept = {}
        places = self.px_from_vehicle(tracks.xy_m)
        known = (np.isfinite(places).all(axis=1) & ON_ROAD[tracks.class_id]).tolist()
        points, lengths, drawn = array("d"), [], []
        for row, (track_id, place, shown) in enumerate(
            zip(tracks.track_id.tolist(), places.tolist(), known, strict=True)
        ):
            trail = kept[track_id] = self._trails.get(track_id) or _Trail()
            line = trail.go_on(t_s, place if shown else ())
            if len(line) > 2:
                points.extend(line)
                lengths.append(len(line) // 2)
                drawn.append(row)
        lines.add_uneven(np.array(points).reshape(-1, 2), lengths, colours_of(tracks.class_id[drawn]), _THIN_PX)
        self._trails = kept

    def _objects(self, panel: np.ndarray, lines: Strokes, result: FrameResult, alert: np.ndarray) -> None:
        """Draws the lines so far and where objects may be, where they will be and, on top, where they stand."""
        tracks = result.tracks
        shown = np.isfinite(tracks.xy_m).all(1) & (tracks.xy_m[:, 0] < _REACH_M + 5) & ON_ROAD[tracks.class_id]
        mine = tracks if shown.all() else tracks[np.flatnonzero(shown)]
        spread, footprints = outlines(mine, self.scale_px_per_m)
        paths = np.stack([mine.xy_m, predictions(mine, result.ego.speed_mps)], axis=1)
        colours = colours_of(mine.class_id, alert[shown])
        for around in (spread, paths):
            lines.add(self.px_from_vehicle(around), colours, _THIN_PX)
        lines.draw(panel)
        bodies_px = self.px_from_vehicle(footprints)
        tint(panel, bodies_px, colours, 1.0)
        edges = Strokes()  # soft ones
        edges.add(bodies_px[:, _ALL_ROUND], colours, 1.0)
        edges.draw(panel)


def _fixed(px: np.ndarray) -> np.ndarray:
    """Fixed-point pixels (int32), as OpenCV's drawing wants them for places between pixels."""
    return np.rint(px * (1 << _SUBPIXEL_BITS)).astype(np.int32)


class _Trail:
    """Panel pixels of an object in the last seconds; each is as it was when it was drawn first."""

    def __init__(self) -> None:
        self._t_s: deque[float] = deque()
        self._px = array("d")  # x, y of each point, one after the other

    def go_on(self, t_s: float, place: Sequence[float]) -> array[float]:
        """x, y of one point after the other, with this one, if there is one, and without those that are too old."""
        if place:
            if len(self._t_s) > 1 and abs(place[0] - self._px[-4]) + abs(place[1] - self._px[-3]) < _TRAIL_STEP_PX:
                self._t_s.pop()
                del self._px[-2:]
            self._t_s.append(t_s)
            self._px.extend(place)
        while self._t_s and t_s - self._t_s[0] > _TRAIL_S:
            self._t_s.popleft()
            del self._px[:2]
        return self._px


def outlines(tracks: Tracks, scale_px_per_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Where objects may be and where they stand, vehicle metres: (N, K, 2) ellipses at two sigma, mere points where one
    sigma is under 0.75 pixels or far out of the panel, and (N, 4, 2) corners of the bodies on the road."""
    from app.shape_kernels import road_outlines

    drawn_m = np.array([0.75 / scale_px_per_m, _REACH_M])
    lines = np.empty((len(tracks), len(_CIRCLE) + 4, 2))
    road_outlines(bodies(tracks), tracks.xy_m.copy(), tracks.cov.copy(), drawn_m, _CIRCLE, lines)
    return lines[:, : len(_CIRCLE)], lines[:, len(_CIRCLE) :]


def lateral_m(boundaries: Sequence[LaneBoundary], x_m: np.ndarray) -> np.ndarray:
    """(B, K) lateral places in metres of B boundaries, each at its own (B, K) ``x_m``."""
    c0, c1, c2, c3 = coefficients(boundaries).T[..., None]
    return c0 + x_m * (c1 + x_m * (c2 + x_m * c3))


def coefficients(boundaries: Sequence[LaneBoundary]) -> np.ndarray:
    """(B, 4) of boundaries, which have 3 or 4."""
    coeff = np.zeros((len(boundaries), 4))
    for row, boundary in enumerate(boundaries):
        coeff[row, : len(boundary.coeff)] = boundary.coeff
    return coeff


def predictions(tracks: Tracks, own_speed_mps: float) -> np.ndarray:
    """(N, 2) where objects will be in 2 s as seen from the vehicle if all goes on as now; unknown: where they are."""
    own = np.zeros_like(tracks.v_mps)
    own[tracks.absolute, 0] = own_speed_mps
    moved = tracks.xy_m + _PREDICT_S * (tracks.v_mps - own)
    known = np.isfinite(moved).all(axis=1, keepdims=True)
    return np.where(known, moved, tracks.xy_m)
