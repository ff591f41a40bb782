"""What is true at one instant of a scene: objects, lanes, the vehicle's own motion and the camera's pose."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geometry.camera import Camera
from geometry.types import Rows, frozen_array
from perception.synthetic.mesh import Surface
from perception.synthetic.motion import Poses
from perception.synthetic.order import hidden_share, painting_order
from perception.synthetic.road import Marking, Road
from perception.synthetic.view import Outline, View, outline
from perception.types import Detections, LaneBoundary, Lanes

if TYPE_CHECKING:
    from perception.synthetic.world import Actor, Scene

_LANE_SPAN_M = (0.0, 60.0)
_LANE_STEP_M = 1.0
_MIN_PAINT_M = 8.0  # within the next 40 m; less than two dashes is no line a driver would follow
_MIN_SIDE_PX = 2.0
_COLUMNS: tuple[tuple[str, type, tuple[int, ...]], ...] = (
    ("track_id", np.int64, ()),
    ("class_id", np.int64, ()),
    ("xyxy_px", np.float64, (4,)),
    ("xy_m", np.float64, (2,)),
    ("v_mps", np.float64, (2,)),
    ("size_m", np.float64, (3,)),
    ("yaw_rad", np.float64, ()),
    ("centre_m", np.float64, (2,)),
    ("occlusion", np.float64, ()),
    ("truncated", np.bool_, ()),
    ("grounded", np.bool_, ()),
)


@dataclass(frozen=True, eq=False)
class ObjectTruth(Rows):
    """N objects, one row each, nearest last; vehicle frame, metres, pixels of the picture as rendered.

    Attributes:
        track_id: positive, the same body all through the scene.
        class_id: index into ``perception.types.CLASSES``.
        xyxy_px: box of the projected shape, cut at the picture's edges, hidden parts included.
        xy_m: nearest corner's x of the 3D box, y of its middle.
        v_mps: velocity over ground along the vehicle's x and y.
        size_m: height, width, length.
        yaw_rad: heading in the vehicle frame.
        centre_m: middle of the 3D box on the road.
        occlusion: share of the outline inside the picture that nearer bodies cover, 0 to 1.
        truncated: part of it lies outside the picture.
        grounded: stands on the road (signs and lights hang above it).
    """

    track_id: np.ndarray
    class_id: np.ndarray
    xyxy_px: np.ndarray
    xy_m: np.ndarray
    v_mps: np.ndarray
    size_m: np.ndarray
    yaw_rad: np.ndarray
    centre_m: np.ndarray
    occlusion: np.ndarray
    truncated: np.ndarray
    grounded: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.track_id)
        for name, dtype, tail in _COLUMNS:
            array = frozen_array(getattr(self, name), dtype, (count, *tail), f"ObjectTruth.{name}")
            object.__setattr__(self, name, array)

    @classmethod
    def empty(cls) -> ObjectTruth:
        return cls(**{name: np.empty((0, *tail), dtype) for name, dtype, tail in _COLUMNS})


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """All that is true of one frame.

    Attributes:
        objects: what can be seen; its columns are reachable from here too (``truth.xyxy_px``).
        lanes: boundaries as a driver would name them; a cubic through the exact line from 0 to 60 m, within
            5 mm of it down to 150 m radius; offset, heading and curvature are exact at the vehicle.
        lane_points_m: per boundary of ``lanes.boundaries`` the exact line, (K, 2) vehicle points.
        camera: with the pitch of this very frame (mount error and suspension included).
        pitch_offset_rad: suspension pitch of this frame, positive nose down.
        speed_mps, yaw_rate_radps: the vehicle's own motion.
        pose_m_rad: (3,) x, y, heading of the vehicle in the world.
    """

    index: int
    t_s: float
    objects: ObjectTruth
    lanes: Lanes
    lane_points_m: tuple[np.ndarray, ...]
    camera: Camera
    pitch_offset_rad: float
    speed_mps: float
    yaw_rate_radps: float
    acceleration_mps2: float
    pose_m_rad: np.ndarray

    def __getattr__(self, name: str) -> np.ndarray:
        if name in ObjectTruth.__dataclass_fields__:
            return getattr(self.objects, name)
        raise AttributeError(name)

    def detections(self, *, max_occlusion: float = 0.7, min_height_px: float = 8.0) -> Detections:
        """The true boxes as a perfect detector would give them (score 1), in the order of ``visible``."""
        rows = self.objects[self.visible(max_occlusion=max_occlusion, min_height_px=min_height_px)]
        return Detections(rows.xyxy_px, np.ones(len(rows)), rows.class_id)

    def visible(self, *, max_occlusion: float = 0.7, min_height_px: float = 8.0) -> np.ndarray:
        """(N,) bool: rows that are tall enough and not too hidden."""
        box = self.objects.xyxy_px
        return (self.objects.occlusion <= max_occlusion) & (box[:, 3] - box[:, 1] >= min_height_px)


def to_vehicle(ego: Poses, points_world: np.ndarray) -> np.ndarray:
    """World points (..., 2) in the frame of the first body of ``ego``."""
    c, s = math.cos(ego.heading_rad[0]), math.sin(ego.heading_rad[0])
    return (points_world - ego.place_m[0]) @ np.array([[c, -s], [s, c]])


@dataclass(frozen=True, eq=False)
class Placed:
    """A body put into the vehicle frame at one instant."""

    actor: Actor
    row: int  # in the poses of the scene
    vertices: np.ndarray  # (V, 3)
    surface: Surface
    footprint: np.ndarray  # (4, 2) corners of the 3D box on the road
    yaw_rad: float
    centre_m: np.ndarray
    outline: Outline
    occlusion: float = 0.0


def place(scene: Scene, poses: Poses, view: View, t_s: float, max_range_m: float) -> list[Placed]:
    """The bodies that are in the picture, farthest first in painting order. ``poses`` row 0 is the vehicle itself."""
    centres = to_vehicle(poses, poses.place_m)
    yaws = poses.heading_rad - poses.heading_rad[0]
    near = np.flatnonzero((np.hypot(*centres.T) < max_range_m) & (centres[:, 0] > -20.0))
    placed = []
    for row in near:
        if row == 0:
            continue
        actor = scene.actors[row - 1]
        mesh = actor.mesh(t_s)
        c, s = math.cos(yaws[row]), math.sin(yaws[row])
        turn = np.array([[c, -s], [s, c]])
        vertices = mesh.vertices.copy()
        vertices[:, :2] = vertices[:, :2] @ turn.T + centres[row]
        seen = outline(view, vertices, mesh.edges)
        if seen is None:
            continue
        _, w, length = actor.size_m
        corners = np.array([(-length, -w), (-length, w), (length, w), (length, -w)]) / 2
        footprint = corners @ turn.T + centres[row]
        placed.append(Placed(actor, int(row), vertices, mesh.surface, footprint, float(yaws[row]), centres[row], seen))
    order = painting_order([p.footprint for p in placed], [p.outline for p in placed])
    placed = [placed[i] for i in order]
    hidden = hidden_share([p.outline for p in placed], view.camera.width_px, view.camera.height_px)
    return [
        replace(p, occlusion=max(share, _behind_walls(scene, poses, p)))
        for p, share in zip(placed, hidden, strict=True)
    ]


def _behind_walls(scene: Scene, poses: Poses, body: Placed) -> float:
    """Share of a body's vertices that house fronts hide: the line of sight must cross the fronts at a junction."""
    d_here, d_body = float(poses.d_m[0]), float(poses.d_m[body.row])
    for wall in scene.surroundings.walls_m:
        if min(abs(d_body), abs(wall)) == abs(d_body) or d_body * wall < 0:
            continue
        # Fronts stand along straight streets only, where road and vehicle coordinates differ by a turn.
        turn = float(poses.heading_rad[0] - scene.road.pose(float(poses.s_m[0]))[2])
        x, y = body.vertices[:, 0], body.vertices[:, 1]
        s, d = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
        crossing = float(poses.s_m[0]) + s * np.clip((wall - d_here) / np.where(d == 0, 1e-9, d), 0, 1)
        gaps = [(crossing > j.from_m) & (crossing < j.to_m) for j in scene.road.junctions]
        return 1.0 - float(np.any(gaps, axis=0).mean()) if gaps else 1.0
    return 0.0


def object_truth(placed: list[Placed], poses: Poses) -> ObjectTruth:
    """Rows for the bodies that have a class and are at least 2 px wide and tall."""
    c, s = math.cos(poses.heading_rad[0]), math.sin(poses.heading_rad[0])
    rows = []
    for body in placed:
        box, actor = body.outline.xyxy_px, body.actor
        if actor.class_id < 0 or min(box[2] - box[0], box[3] - box[1]) < _MIN_SIDE_PX:
            continue
        vx, vy = poses.velocity_mps[body.row]
        rows.append(
            (
                actor.track_id,
                actor.class_id,
                box,
                (body.footprint[:, 0].min(), body.centre_m[1]),
                (c * vx + s * vy, c * vy - s * vx),
                actor.size_m,
                (body.yaw_rad + math.pi) % (2 * math.pi) - math.pi,
                body.centre_m,
                body.occlusion,
                body.outline.truncated,
                actor.grounded,
            )
        )
    if not rows:
        return ObjectTruth.empty()
    return ObjectTruth(*(np.array(column) for column in zip(*rows, strict=True)))


def lane_line(road: Road, poses: Poses, d_m: float, s_m: np.ndarray) -> np.ndarray:
    """(K, 2) vehicle points of the line at ``d_m`` at arc lengths ``s_m``."""
    return to_vehicle(poses, np.stack(road.world(s_m, np.full(len(s_m), d_m)), axis=-1))


def _boundary(road: Road, poses: Poses, marking: Marking) -> tuple[LaneBoundary, np.ndarray] | None:
    s = poses.s_m[0] + np.arange(-15.0, 110.0, _LANE_STEP_M)
    points = lane_line(road, poses, marking.d_m, s)
    painted = road.painted(marking, s)
    # Only as far as the line runs forwards: in a tight bend it turns across the view.
    forward = np.concatenate([[True], np.diff(points[:, 0]) > 0.3 * _LANE_STEP_M])
    last = int(np.argmin(forward)) if not forward.all() else len(points)
    points, painted = points[:last], painted[:last]
    inside = (points[:, 0] >= _LANE_SPAN_M[0]) & (points[:, 0] <= _LANE_SPAN_M[1])
    ahead = painted & inside & (points[:, 0] <= 40.0)
    if ahead.sum() * _LANE_STEP_M < _MIN_PAINT_M:
        return None
    keep = inside & painted
    x, y = points[inside].T
    coeff = np.polynomial.polynomial.polyfit(x, y, 3)
    seen = points[keep, 0]
    boundary = LaneBoundary(
        coeff, np.zeros((4, 4)), (float(seen.min()), float(seen.max())), marking.kind, 1.0, marking.colour
    )
    return boundary, points[inside]


def lane_truth(road: Road, poses: Poses) -> tuple[Lanes, tuple[np.ndarray, ...]]:
    """The lanes around the vehicle and the exact lines of ``Lanes.boundaries``."""
    s, d = float(poses.s_m[0]), float(poses.d_m[0])
    found = [(m, b) for m in sorted(road.markings, key=lambda m: -m.d_m) if (b := _boundary(road, poses, m))]
    lefts, rights = [f for f in found if f[0].d_m > d], [f for f in found if f[0].d_m <= d]
    left, right = (lefts[-1] if lefts else None), (rights[0] if rights else None)
    others = [*lefts[:-1], *rights[1:]]
    heading = float(poses.heading_rad[0] - road.pose(s)[2])
    kappa = float(road.curvature_pm(s))
    width, offset, middle = (math.nan,) * 3
    if left and right:
        width = left[0].d_m - right[0].d_m
        middle = (left[0].d_m + right[0].d_m) / 2
        offset = d - middle
    lanes = Lanes(
        left=left[1][0] if left else None,
        right=right[1][0] if right else None,
        others=tuple(o[1][0] for o in others),
        width_m=width,
        offset_m=offset,
        heading_rad=(heading + math.pi) % (2 * math.pi) - math.pi,
        curvature_pm=kappa / (1.0 - kappa * (middle if math.isfinite(middle) else d)),
    )
    lines = [side[1][1] for side in (left, right) if side] + [o[1][1] for o in others]
    return lanes, tuple(lines)
