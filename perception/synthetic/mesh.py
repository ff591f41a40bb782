"""Bodies as coloured polygon meshes: the one shape that both the picture and the truth are made of.

Object frame: x forward, y left, z up, the origin on the road below the middle of the body. Metres; colours are
blue, green, red from 0 to 255.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Colour = tuple[float, float, float]
Point = tuple[float, float, float]


def scaled(colour: Colour, share: float) -> Colour:
    """A darker or lighter colour."""
    b, g, r = colour
    return b * share, g * share, r * share


class Lamp(enum.IntEnum):
    """What a face is besides painted: the lamps that shine by state, and what shines back in a beam."""

    NONE = 0
    TAIL = 1
    BRAKE = 2
    LEFT = 3
    RIGHT = 4
    HEAD = 5
    LIT = 6  # always bright by itself: a traffic light's lamp, a lit window at night
    RETRO = 7  # shines back in headlights: plates and signs


@dataclass(frozen=True, eq=False)
class Surface:
    """What of a mesh stays when it moves: F faces, index arrays of planar polygons counter-clockwise from outside.

    ``colour`` (F, 3); ``gloss`` (F,) share of mirrored sky; ``lamp`` (F,) ``Lamp``; ``lift`` (F,) metres by which a
    face is painted as if nearer, for what is stuck on another face.
    """

    faces: tuple[np.ndarray, ...]
    colour: np.ndarray
    gloss: np.ndarray
    lamp: np.ndarray
    lift: np.ndarray

    @cached_property
    def quarters(self) -> np.ndarray:
        """(4, F) vertices at the start and a quarter, a half, three quarters around; normals come from diagonals."""
        return np.array([[f[len(f) * k // 4] for f in self.faces] for k in range(4)])

    @cached_property
    def edges(self) -> np.ndarray:
        """(E, 2) distinct vertex pairs."""
        pairs = np.concatenate([np.stack([f, np.roll(f, -1)], axis=1) for f in self.faces])
        return np.unique(np.sort(pairs, axis=1), axis=0)


@dataclass(frozen=True, eq=False)
class Mesh:
    """Vertices (V, 3) and the surface over them."""

    vertices: np.ndarray
    surface: Surface

    @property
    def edges(self) -> np.ndarray:
        """(E, 2) distinct vertex pairs."""
        return self.surface.edges

    @cached_property
    def size_m(self) -> tuple[float, float, float]:
        """Height, width, length of the body."""
        span = self.vertices.max(axis=0) - self.vertices.min(axis=0)
        return float(span[2]), float(span[1]), float(span[0])


def normals(vertices: np.ndarray, surface: Surface) -> np.ndarray:
    """(F, 3) unit normals of the faces over ``vertices`` (cross product of the diagonals: Newell's, for quads)."""
    a, b, c, d = (vertices[row] for row in surface.quarters)
    (ux, uy, uz), (vx, vy, vz) = (c - a).T, (d - b).T
    out = np.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], axis=1)
    return out / np.maximum(np.sqrt((out * out).sum(axis=1, keepdims=True)), 1e-12)


def centroids(vertices: np.ndarray, surface: Surface) -> np.ndarray:
    """(F, 3) middle of four points around each face."""
    a, b, c, d = (vertices[row] for row in surface.quarters)
    return (a + b + c + d) / 4


class MeshBuilder:
    """Collects faces; ``build`` makes the mesh."""

    def __init__(self) -> None:
        self._vertices: list[np.ndarray] = []
        self._faces: list[np.ndarray] = []
        self._colour: list[Colour] = []
        self._gloss: list[float] = []
        self._lamp: list[int] = []
        self._lift: list[float] = []
        self._count = 0

    def points(self, points: np.ndarray | Sequence[Point]) -> int:
        """Adds vertices, returns the index of the first."""
        array = np.asarray(points, float).reshape(-1, 3)
        self._vertices.append(array)
        self._count += len(array)
        return self._count - len(array)

    def face(
        self,
        index: Sequence[int] | np.ndarray,
        colour: Colour,
        *,
        gloss: float = 0.0,
        lamp: Lamp = Lamp.NONE,
        lift: float = 0.0,
    ) -> None:
        """Adds one polygon over vertices that are there already."""
        self._faces.append(np.asarray(index, np.intp))
        self._colour.append(colour)
        self._gloss.append(gloss)
        self._lamp.append(int(lamp))
        self._lift.append(lift)

    def polygon(self, points: np.ndarray | Sequence[Point], colour: Colour, **look: float) -> None:
        """Adds one polygon with vertices of its own."""
        array = np.asarray(points, float)
        first = self.points(array)
        self.face(np.arange(first, first + len(array)), colour, **look)  # type: ignore[arg-type]

    def box(self, low: Point, high: Point, colour: Colour, *, top: Colour | None = None, **look: float) -> None:
        """Adds the six faces of an upright box between two corners."""
        x, y, z = zip(low, high, strict=True)
        first = self.points([(x[i], y[j], z[k]) for i in (0, 1) for j in (0, 1) for k in (0, 1)])
        sides = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (1, 5, 7, 3), (0, 2, 6, 4))
        for number, side in enumerate(sides):
            face = [first + i for i in side]
            self.face(face, top if top is not None and number == 4 else colour, **look)  # type: ignore[arg-type]

    def tube(self, ends: tuple[np.ndarray, np.ndarray], radii: tuple[float, float], colour: Colour, sides: int) -> None:
        """Adds a tapered prism between two points with flat caps: a limb, a pole, a spoke."""
        start, stop = (np.asarray(e, float) for e in ends)
        axis = stop - start
        axis = axis / max(float(np.linalg.norm(axis)), 1e-9)
        helper = np.array([0.0, 1.0, 0.0]) if abs(axis[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
        u = np.cross(helper, axis)
        u /= np.linalg.norm(u)
        v = np.cross(axis, u)
        angle = np.arange(sides) * (2 * np.pi / sides)
        ring = np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * v
        first = self.points(np.concatenate([start + ring * radii[0], stop + ring * radii[1]]))
        for i in range(sides):
            j = (i + 1) % sides
            self.face([first + i, first + j, first + sides + j, first + sides + i], colour)
        self.face(np.arange(first, first + sides)[::-1], colour)
        self.face(np.arange(first + sides, first + 2 * sides), colour)

    def disc(self, centre: Point, radius: float, side: int, colour: Colour, *, corners: int = 14, lift: float) -> None:
        """Adds a disc in the x-z plane that looks to the left (side 1) or right (side -1)."""
        angle = np.arange(corners) * (-side * 2 * np.pi / corners)
        x, y, z = centre
        points = np.stack([x + radius * np.cos(angle), np.full(corners, y), z + radius * np.sin(angle)], axis=1)
        self.polygon(points, colour, lift=lift)

    def build(self) -> Mesh:
        """The mesh of everything added."""
        return Mesh(np.concatenate(self._vertices), self.surface())

    def surface(self) -> Surface:
        """The surface of everything added."""
        return Surface(
            tuple(self._faces),
            np.array(self._colour, float),
            np.array(self._gloss, float),
            np.array(self._lamp, int),
            np.array(self._lift, float),
        )

    @property
    def count(self) -> int:
        """Vertices so far."""
        return self._count
