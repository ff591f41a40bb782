"""Walking people, riders, bicycles and motorcycles as articulated meshes.

Body proportions are shares of stature after D. A. Winter, Biomechanics and Motor Control of Human Movement, 4th ed.
(hip 0.53, knee 0.285, shoulder 0.818, upper arm 0.186, forearm 0.146).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from perception.synthetic.mesh import Colour, Lamp, Mesh, MeshBuilder, Surface

_SKINS: tuple[Colour, ...] = ((150, 180, 224), (120, 155, 205), (88, 120, 172), (52, 76, 118), (40, 56, 88))
_HAIRS: tuple[Colour, ...] = ((24, 26, 30), (30, 45, 70), (60, 110, 150), (150, 150, 150), (22, 32, 50))
_TOPS: tuple[Colour, ...] = (
    (40, 40, 44),
    (70, 60, 55),
    (120, 70, 40),
    (45, 45, 160),
    (215, 215, 215),
    (60, 110, 70),
    (50, 160, 210),
    (130, 125, 120),
    (90, 40, 80),
)
_LEGS: tuple[Colour, ...] = ((34, 32, 32), (90, 60, 40), (110, 80, 55), (60, 64, 70), (96, 120, 140), (45, 48, 52))


@dataclass(frozen=True)
class Clothes:
    """What a person looks like."""

    skin: Colour
    hair: Colour
    top: Colour
    legs: Colour
    shoes: Colour = (28, 28, 30)
    bag: Colour | None = None
    helmet: Colour | None = None


def clothes(rng: np.random.Generator) -> Clothes:
    """A random choice of clothes."""

    def pick(colours: tuple[Colour, ...]) -> Colour:
        b, g, r = np.clip(np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.75, 1.2), 5, 245)
        return float(b), float(g), float(r)

    bag = pick(_TOPS) if rng.random() < 0.3 else None
    return Clothes(pick(_SKINS), pick(_HAIRS), pick(_TOPS), pick(_LEGS), bag=bag)


def _column(
    build: MeshBuilder, rings: list[tuple[tuple[float, float, float], float, float]], colours: list[Colour]
) -> None:
    """A stack of horizontal ellipses (centre, radius along x, along y), one colour a storey, capped on both ends."""
    sides = 10
    angle = np.arange(sides) * (2 * math.pi / sides)
    first = build.points(
        np.concatenate(
            [
                np.stack([c[0] + rx * np.cos(angle), c[1] + ry * np.sin(angle), np.full(sides, c[2])], axis=1)
                for c, rx, ry in rings
            ]
        )
    )
    for storey, colour in enumerate(colours):
        base = first + storey * sides
        for i in range(sides):
            j = (i + 1) % sides
            build.face([base + i, base + j, base + sides + j, base + sides + i], colour)
    top = first + (len(rings) - 1) * sides
    build.face(np.arange(top, top + sides), colours[-1])
    build.face(np.arange(first, first + sides)[::-1], colours[0])


class Figure:
    """A jointed body: parts built once in the frames of their bones, posed by rotating the bones about the y axis.

    Bones: 0 trunk with head; 1, 2 thighs; 3, 4 shins with feet; 5, 6 upper arms; 7, 8 forearms. Left before right.
    """

    def __init__(self, stature: float, wear: Clothes, *, hanging_arms: bool = True) -> None:
        self.stature = stature
        self._build = MeshBuilder()
        self._owner: list[int] = []
        h, build = stature, self._build
        _trunk(build, h, wear)
        self._close(0)
        for bone in (1, 2):
            build.tube(_drop(0.245 * h), (0.048 * h, 0.036 * h), wear.legs, 7)
            self._close(bone)
        for bone in (3, 4):
            build.tube(_drop(0.246 * h), (0.036 * h, 0.024 * h), wear.legs, 7)
            ankle = -0.246 * h
            low, high = (-0.035 * h, -0.026 * h, ankle - 0.039 * h), (0.11 * h, 0.026 * h, ankle + 0.015 * h)
            build.box(low, high, wear.shoes)
            self._close(bone)
        if hanging_arms:
            for bone in (5, 6):
                build.tube(_drop(0.175 * h), (0.034 * h, 0.028 * h), wear.top, 7)
                self._close(bone)
            for bone in (7, 8):
                build.tube(_drop(0.15 * h), (0.028 * h, 0.02 * h), wear.top, 7)
                hand = np.array([0, 0, -0.15 * h]), np.array([0, 0, -0.2 * h])
                build.tube(hand, (0.022 * h, 0.016 * h), wear.skin, 6)
                self._close(bone)

    def _close(self, bone: int) -> None:
        """Everything built since the last call belongs to ``bone``."""
        self._owner += [bone] * (self._build.count - len(self._owner))

    def add_arm(self, joints: list[np.ndarray], wear: Clothes) -> None:
        """A fixed arm through shoulder, elbow and hand, in the frame of the trunk."""
        h = self.stature
        for a, b, r in ((0, 1, (0.035, 0.029)), (1, 2, (0.029, 0.022))):
            self._build.tube((joints[a], joints[b]), (r[0] * h, r[1] * h), wear.top, 7)
        self._close(0)

    @cached_property
    def _rest(self) -> tuple[np.ndarray, np.ndarray, Surface]:
        mesh = self._build.build()
        return mesh.vertices, np.array(self._owner), mesh.surface

    def pose(self, angle_rad: np.ndarray, joint_m: np.ndarray, *, on_road: bool) -> Mesh:
        """The mesh with each bone turned by ``angle_rad`` (positive: it swings forward) about ``joint_m`` (., 3)."""
        rest, owner, surface = self._rest
        c, s = np.cos(angle_rad)[owner], np.sin(angle_rad)[owner]
        x, y, z = rest.T
        vertices = np.stack([c * x - s * z, y, s * x + c * z], axis=1) + joint_m[owner]
        if on_road:
            vertices[:, 2] -= vertices[:, 2].min()
        return Mesh(vertices, surface)


def _drop(length: float) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(3), np.array([0.0, 0.0, -length])


def _trunk(build: MeshBuilder, h: float, wear: Clothes) -> None:
    """Trunk, neck and head above the hips at the origin."""
    trunk: list[tuple[float, float, float]] = [
        (-0.05, 0.058, 0.088),
        (0.02, 0.066, 0.096),
        (0.12, 0.058, 0.084),
        (0.22, 0.068, 0.108),
    ]
    trunk += [(0.285, 0.05, 0.118), (0.305, 0.032, 0.05)]
    rings = [((0.0, 0.0, z * h), rx * h, ry * h) for z, rx, ry in trunk]
    _column(build, rings, [wear.legs, wear.top, wear.top, wear.top, wear.top])
    crown = wear.helmet or wear.hair
    wide = 0.05 if wear.helmet is None else 0.066
    head = [(0.30, 0.03, 0.03), (0.335, 0.034, 0.032), (0.36, 0.05, 0.042), (0.41, wide + 0.006, wide)]
    head += [(0.45, wide - 0.006, wide - 0.008), (0.47, 0.022, 0.022)]
    rings = [((0.01 * h, 0.0, z * h), rx * h, ry * h) for z, rx, ry in head]
    _column(build, rings, [wear.skin, wear.skin, wear.skin, crown, crown])
    if wear.bag is not None:
        build.box((-0.13 * h, -0.075 * h, 0.09 * h), (-0.062 * h, 0.075 * h, 0.27 * h), wear.bag)


def walk(figure: Figure, phase_rad: float, stride: float) -> Mesh:
    """The figure at one phase of its gait (2 pi is two steps); ``stride`` 0 standing, 1 walking at about 1.4 m/s."""
    h = figure.stature
    phase = phase_rad + np.array([0.0, math.pi])
    thigh = 0.42 * stride * np.sin(phase) + 0.03
    knee = 0.08 + stride * (0.12 + 0.75 * np.maximum(0.0, np.cos(phase)) ** 2)
    shin = thigh - knee
    arm = -0.5 * stride * np.sin(phase)
    forearm = arm + 0.25 + 0.2 * stride
    lean = -0.05 * stride
    side = np.array([1.0, -1.0])
    hip = np.stack([np.zeros(2), side * 0.052 * h, np.zeros(2)], axis=1)
    shoulder = np.stack([np.full(2, -math.sin(lean) * 0.276 * h), side * 0.128 * h, np.full(2, 0.276 * h)], axis=1)
    angle = np.concatenate([[lean], thigh, shin, arm, forearm])
    joint = np.concatenate([[[0, 0, 0]], hip, hip + _end(thigh, 0.245 * h), shoulder, shoulder + _end(arm, 0.175 * h)])
    return figure.pose(angle, joint, on_road=True)


def _end(angle_rad: np.ndarray, length: float) -> np.ndarray:
    """(K, 3) where bones that hang from the origin end."""
    return length * np.stack([np.sin(angle_rad), np.zeros(len(angle_rad)), -np.cos(angle_rad)], axis=1)


# -- two wheels -----------------------------------------------------------------------------------------------------


def _ring(build: MeshBuilder, x: float, radius: float, thick: float, colour: Colour) -> None:
    """A wheel as a ring of short tubes standing in the x-z plane."""
    angle = np.linspace(0, 2 * math.pi, 15)
    points = np.stack([x + radius * np.cos(angle), np.zeros(15), radius + thick + radius * np.sin(angle)], axis=1)
    for a, b in pairwise(points):
        build.tube((a, b), (thick, thick), colour, 5)


def _bars(
    build: MeshBuilder, points: dict[str, tuple[float, float, float]], bars: tuple[str, ...], colour: Colour
) -> None:
    for bar in bars:
        a, b = bar.split("-")
        build.tube((np.array(points[a]), np.array(points[b])), (0.022, 0.022), colour, 5)


_BICYCLE = {
    "rear": (-0.52, 0.0, 0.34),
    "front": (0.52, 0.0, 0.34),
    "crank": (-0.08, 0.0, 0.29),
    "seat": (-0.22, 0.0, 0.86),
    "head": (0.36, 0.0, 0.82),
    "bar": (0.33, 0.0, 1.0),
    "left": (0.3, 0.27, 1.02),
    "right": (0.3, -0.27, 1.02),
}


def bicycle(colour: Colour) -> Mesh:
    """A city bicycle, 1.7 m long."""
    build = MeshBuilder()
    for x in (-0.52, 0.52):
        _ring(build, x, 0.31, 0.022, (30, 30, 30))
    bars = ("rear-crank", "rear-seat", "crank-seat", "crank-head", "seat-head", "front-head", "head-bar", "left-right")
    _bars(build, _BICYCLE, bars, colour)
    build.box((-0.34, -0.08, 0.86), (-0.08, 0.08, 0.93), (26, 26, 26))
    build.box((-0.87, -0.03, 0.5), (-0.84, 0.03, 0.58), (34, 28, 150), lamp=Lamp.TAIL)
    return build.build()


def motorcycle(colour: Colour) -> Mesh:
    """A motorcycle, about 2.1 m long."""
    build = MeshBuilder()
    for x in (-0.7, 0.72):
        _ring(build, x, 0.25, 0.065, (24, 24, 24))
    build.box((-0.35, -0.16, 0.28), (0.35, 0.16, 0.62), (60, 60, 62))
    build.box((-0.1, -0.14, 0.62), (0.42, 0.14, 0.92), colour, gloss=0.3)
    build.box((-0.85, -0.12, 0.68), (-0.1, 0.12, 0.8), (28, 28, 28))
    build.box((-0.95, -0.1, 0.6), (-0.6, 0.1, 0.76), colour, gloss=0.3)
    points = {
        "axle": (0.72, 0.0, 0.31),
        "yoke": (0.45, 0.0, 0.95),
        "left": (0.38, 0.36, 1.05),
        "right": (0.38, -0.36, 1.05),
    }
    _bars(build, points, ("axle-yoke", "left-right"), (70, 70, 72))
    build.box((0.5, -0.1, 0.78), (0.62, 0.1, 0.95), (210, 208, 200), lamp=Lamp.HEAD)
    build.box((-1.0, -0.08, 0.64), (-0.95, 0.08, 0.74), (34, 28, 150), lamp=Lamp.TAIL, lift=0.05)
    build.box((-0.98, -0.09, 0.42), (-0.96, 0.09, 0.58), (220, 220, 220), lamp=Lamp.RETRO, lift=0.05)
    return build.build()


class Rider:
    """A person on a bicycle or a motorcycle, in the frame of the vehicle."""

    def __init__(self, stature: float, wear: Clothes, *, motor: bool) -> None:
        self.motor = motor
        self.hip = np.array([-0.3, 0.0, 0.88]) if motor else np.array([-0.2, 0.0, 0.98])
        self.lean = -0.25 if motor else -0.35
        self.figure = Figure(stature, wear, hanging_arms=False)
        grip = np.array([0.36, 0.34, 1.06]) if motor else np.array([0.3, 0.25, 1.04])
        c, s = math.cos(self.lean), math.sin(self.lean)
        for side in (1, -1):
            x, y, z = grip * (1, side, 1) - self.hip
            hand = np.array([c * x + s * z, y, c * z - s * x])  # into the frame of the leaning trunk
            joint = np.array([0.0, side * 0.122, 0.276]) * (stature, stature, stature)
            elbow = (joint + hand) / 2 + (0.0, side * 0.06, -0.07)
            self.figure.add_arm([joint, elbow, hand], wear)

    def mesh(self, phase_rad: float) -> Mesh:
        """The rider pedalling at ``phase_rad``; on a motorcycle the feet rest."""
        h = self.figure.stature
        angle, joint = np.zeros(5), np.zeros((5, 3))
        angle[0], joint[0] = self.lean, self.hip
        for number, side in enumerate((1.0, -1.0)):
            turn = phase_rad + number * math.pi
            foot = np.array([-0.08 + 0.17 * math.cos(turn), side * 0.1, 0.4 - 0.17 * math.sin(turn)])
            if self.motor:
                foot = np.array([0.0, side * 0.2, 0.36])
            hip = self.hip + np.array([0.0, side * 0.055 * h, 0.0])
            thigh, shin = _bend(hip, foot, 0.245 * h, 0.246 * h)
            knee = hip + _end(np.array([thigh]), 0.245 * h)[0]
            angle[1 + number], joint[1 + number] = thigh, hip
            angle[3 + number], joint[3 + number] = shin, knee
        return self.figure.pose(angle, joint, on_road=False)


def _bend(hip: np.ndarray, foot: np.ndarray, thigh: float, shin: float) -> tuple[float, float]:
    """Angles of thigh and shin that bring the foot there, the knee forward (law of cosines)."""
    dx, dz = foot[0] - hip[0], hip[2] - foot[2]
    reach = min(math.hypot(dx, dz), thigh + shin - 1e-3)
    towards = math.atan2(dx, dz)
    at_hip = math.acos((thigh**2 + reach**2 - shin**2) / (2 * thigh * reach))
    at_knee = math.acos((thigh**2 + shin**2 - reach**2) / (2 * thigh * shin))
    return towards + at_hip, towards + at_hip - (math.pi - at_knee)
