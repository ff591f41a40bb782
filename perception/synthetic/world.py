"""A scene: a road, what moves on it, what stands beside it, a camera and its weather; truth at any time, and frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from geometry.camera import Camera
from geometry.errors import InputError
from perception.synthetic.mesh import Mesh
from perception.synthetic.motion import Motion, Poses, poses
from perception.synthetic.road import Road
from perception.synthetic.truth import FrameTruth, Placed, lane_truth, object_truth, place
from perception.synthetic.view import View
from perception.types import Frame

MAX_RANGE_M = 160.0


@dataclass(frozen=True)
class Options:
    """What can be asked of any scene; angles in radians, shares and strengths from 0 to 1.

    Attributes:
        night, rain, fog: darkness with lamps on (bool); strength of rain; visibility falls with fog to about 60 m at 1.
        noise: standard deviation of sensor noise in grey levels. motion_blur: share of the frame time the shutter is
            open. tree_shade: strength of dappled shade on the road.
        suspension_pitch_rad, suspension_hz: amplitude and frequency of the body's pitching.
        mount_pitch_rad, mount_yaw_rad, mount_roll_rad: by how much the true mount differs from the camera profile,
            from ``mount_from_s`` on.
        missing_paint: share of the paint that is worn away; ``wear_m`` the typical length of a worn piece.
        marking, edge_marking: kind of the lane lines and of the road's edge lines; None: the scene's own.
        colour: of the line left of the vehicle's lane, None: the scene's own.
        lanes: lanes in the vehicle's direction. lane_width_m.
        radius_m, turn: of bends in the scenes that have one; ``turn`` left or right.
        speed_mps: of the vehicle at the start, NaN: the scene's own.
        traffic: number of vehicles beside those of the plot. people: likewise.
        weave_m: amplitude of the vehicle's swaying in its lane. drift_m: how far it drifts to the left, from 45 % of
            the time on, before it comes back.
        sun_azimuth_rad (in the world), sun_elevation_rad, overcast: NaN: the scene's own.
        supersampling: picture elements per pixel and axis for bodies, 0: chosen by their size.
    """

    night: bool = False
    rain: float = 0.0
    fog: float = 0.0
    noise: float = 1.5
    motion_blur: float = 0.25
    tree_shade: float = 0.0
    suspension_pitch_rad: float = 0.0
    suspension_hz: float = 1.0
    mount_pitch_rad: float = 0.0
    mount_yaw_rad: float = 0.0
    mount_roll_rad: float = 0.0
    mount_from_s: float = 0.0
    missing_paint: float = 0.0
    wear_m: float = 1.0
    marking: str | None = None
    edge_marking: str | None = None
    colour: str | None = None
    lanes: int = 0
    lane_width_m: float = 0.0
    radius_m: float = 300.0
    turn: str = "left"
    speed_mps: float = math.nan
    traffic: int = -1
    people: int = -1
    weave_m: float = 0.0
    drift_m: float = 0.0
    sun_azimuth_rad: float = math.nan
    sun_elevation_rad: float = math.nan
    overcast: float = math.nan
    supersampling: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("rain", 0, 1),
            ("fog", 0, 1),
            ("noise", 0, 60),
            ("motion_blur", 0, 1),
            ("tree_shade", 0, 1),
            ("missing_paint", 0, 1),
            ("lanes", 0, 5),
            ("lane_width_m", 0, 6),
            ("supersampling", 0, 6),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"scene option {name} is {value}, must be from {low} to {high}")
        if not self.radius_m >= 25.0:
            raise InputError(f"scene option radius_m is {self.radius_m}, must be at least 25")
        for name, choices in (
            ("turn", ("left", "right")),
            ("marking", (None, "solid", "dashed", "double")),
            ("edge_marking", (None, "solid", "dashed", "double")),
            ("colour", (None, "white", "yellow")),
        ):
            if getattr(self, name) not in choices:
                raise InputError(f"scene option {name} is {getattr(self, name)!r}, use one of {choices}")

    @classmethod
    def of(cls, given: dict[str, Any]) -> Options:
        """Options from keyword arguments.

        Raises:
            InputError: an unknown name, or a value out of range.
        """
        known = {f.name for f in fields(cls)}
        for name in given:
            if name not in known:
                raise InputError(f"scene option {name!r} is unknown, use one of {', '.join(sorted(known))}")
        return cls(**given)


@dataclass(frozen=True, eq=False)
class Actor:
    """A body with a path. ``shape`` gives its mesh at a time; ``class_id`` -1 for what is no object of interest."""

    track_id: int
    class_id: int
    motion: Motion
    size_m: tuple[float, float, float]
    shape: Mesh | Callable[[float], Mesh]
    grounded: bool = True
    parked: bool = False
    _cache: dict[float, Mesh] = field(default_factory=dict, repr=False, init=False)

    def mesh(self, t_s: float) -> Mesh:
        """The body's mesh in its own frame."""
        if isinstance(self.shape, Mesh):
            return self.shape
        if t_s not in self._cache:
            self._cache.clear()
            self._cache[t_s] = self.shape(t_s)
        return self._cache[t_s]

    @property
    def still(self) -> bool:
        """Whether it never moves."""
        travel, lateral = self.motion.travel, self.motion.lateral
        return travel.speed_mps == 0.0 and not travel.phases and not lateral.changes and lateral.weave_m == 0.0


@dataclass(frozen=True)
class Surroundings:
    """What lies beside the road and gives no truth; distances left of the centre line, metres.

    Attributes:
        kind: rural (grass and trees), city (pavements and houses) or highway (shoulders, rails, trees).
        rails_m: d of guard rails. walls_m: d of house fronts (city).
        trees: share of the places for trees that are taken.
        bridges_m: arc lengths of bridges overhead.
        lamps: whether street lamps stand along the road.
    """

    kind: str = "rural"
    rails_m: tuple[float, ...] = ()
    walls_m: tuple[float, ...] = ()
    trees: float = 0.5
    bridges_m: tuple[float, ...] = ()
    lamps: bool = False
    sun_azimuth_rad: float = 0.9
    sun_elevation_rad: float = 0.75
    overcast: float = 0.2


@dataclass(frozen=True, eq=False)
class Scene:
    """A rendered world whose truth is known exactly.

    ``camera`` is the nominal one (what a profile would say); ``camera_at`` the true one at a time.
    """

    kind: str
    camera: Camera
    road: Road
    ego: Motion
    actors: tuple[Actor, ...]
    surroundings: Surroundings
    options: Options
    seed: int = 0
    duration_s: float = 10.0
    fps: float | Fraction = 25.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.duration_s) and self.duration_s > 0):
            raise InputError(f"scene duration is {self.duration_s} s, must be a positive number")
        if not (math.isfinite(self.fps) and 0 < self.fps <= 240):
            raise InputError(f"scene rate is {self.fps} frames a second, must be above 0 and at most 240")

    @property
    def frame_count(self) -> int:
        """Number of frames of the clip."""
        return max(1, round(self.duration_s * self.fps))

    @cached_property
    def times_s(self) -> np.ndarray:
        """(frame_count,) time of each frame in seconds."""
        return np.array([float(i / Fraction(self.fps)) for i in range(self.frame_count)])

    def suspension_pitch_rad(self, t_s: float) -> float:
        """Pitch of the body on its springs, positive nose down."""
        o = self.options
        return o.suspension_pitch_rad * math.sin(2 * math.pi * o.suspension_hz * t_s)

    def camera_at(self, t_s: float) -> Camera:
        """The true camera at a time: profile, mount error and suspension."""
        o, c = self.options, self.camera
        moved = 1.0 if t_s >= o.mount_from_s else 0.0
        return c.mounted(
            pitch_rad=c.pitch_rad + moved * o.mount_pitch_rad + self.suspension_pitch_rad(t_s),
            yaw_rad=c.yaw_rad + moved * o.mount_yaw_rad,
            roll_rad=c.roll_rad + moved * o.mount_roll_rad,
        )

    @cached_property
    def _still(self) -> Poses:
        """Poses of all actors at time 0: those that never move are taken from here."""
        return poses(self.road, [self.ego, *(a.motion for a in self.actors)], 0.0)

    def poses(self, t_s: float) -> Poses:
        """Row 0 is the vehicle, then the actors in their order."""
        moving = [0] + [row for row, a in enumerate(self.actors, start=1) if not a.still]
        now = poses(self.road, [self.ego, *(self.actors[row - 1].motion for row in moving[1:])], t_s)
        columns = []
        for f in fields(Poses):
            column = getattr(self._still, f.name).copy()
            column[moving] = getattr(now, f.name)
            columns.append(column)
        return Poses(*columns)

    def placed(self, t_s: float, now: Poses) -> list[Placed]:
        """Bodies in the picture in painting order; ``now`` is ``poses(t_s)``."""
        return place(self, now, View(self.camera_at(t_s)), t_s, MAX_RANGE_M)

    def truth(self, t_s: float) -> FrameTruth:
        """What is true at a time, without rendering."""
        now = self.poses(t_s)
        return self.truth_of(t_s, now, self.placed(t_s, now))

    def truth_of(self, t_s: float, now: Poses, placed: list[Placed]) -> FrameTruth:
        """``truth`` from poses and bodies that are there already."""
        camera = self.camera_at(t_s)
        lanes, lines = lane_truth(self.road, now)
        return FrameTruth(
            index=round(t_s * float(self.fps)),
            t_s=t_s,
            objects=object_truth(placed, now),
            lanes=lanes,
            lane_points_m=lines,
            camera=camera,
            pitch_offset_rad=self.suspension_pitch_rad(t_s),
            speed_mps=float(np.hypot(*now.velocity_mps[0])),
            yaw_rate_radps=float(now.yaw_rate_radps[0]),
            acceleration_mps2=self.ego.travel.acceleration(t_s),
            pose_m_rad=np.array([*now.place_m[0], now.heading_rad[0]]),
        )

    def frames(self) -> Iterator[tuple[Frame, FrameTruth]]:
        """Pictures with their truth, from the first to the last."""
        from perception.synthetic.render import Renderer

        renderer = Renderer(self)
        for index, t_s in enumerate(self.times_s):
            yield renderer.frame(index, float(t_s))
