"""The road of a rendered world: a centre line of known curvature, and what is painted on it.

Road coordinates are (s, d): arc length along the centre line and distance to its left, in metres. World coordinates
are a flat plane (x, y) with headings positive to the left, so that the vehicle frame is a rotated, shifted copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perception.types import LaneColour, LaneKind

STEP_M = 0.5  # of the centre line's table; the interpolation error at 30 m radius is below a micrometre
_BEHIND_M = 120.0


@dataclass(frozen=True)
class Marking:
    """A painted line at ``d_m`` left of the centre line.

    ``double`` is drawn as two stripes with one stripe's width between them.
    """

    d_m: float
    kind: LaneKind = "solid"
    colour: LaneColour = "white"
    width_m: float = 0.12

    @property
    def stripes_m(self) -> tuple[float, ...]:
        """Distances (d) of the middles of its stripes."""
        return (self.d_m + self.width_m, self.d_m - self.width_m) if self.kind == "double" else (self.d_m,)


@dataclass(frozen=True)
class Stretch:
    """Part of the road between two arc lengths."""

    from_m: float
    to_m: float


@dataclass(frozen=True)
class Road:
    """A road of known shape.

    Attributes:
        curvature: ((s_m, curvature_pm), ...): straight lines between these knots, constant outside them; positive
            bends to the left. Linear changes of curvature are the clothoids that roads are built of.
        length_m: the table reaches from 120 m before s = 0 to here.
        markings: the painted lines; ``dash_m`` is (painted, gap) of the dashed ones.
        left_m, right_m: edges of the asphalt (d), left positive.
        unpainted: stretches without longitudinal paint, such as junctions.
        junctions: stretches where another road crosses.
        crossings: zebra crossings.
    """

    curvature: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    length_m: float = 800.0
    markings: tuple[Marking, ...] = ()
    dash_m: tuple[float, float] = (3.0, 9.0)
    left_m: float = 6.0
    right_m: float = -6.0
    unpainted: tuple[Stretch, ...] = ()
    junctions: tuple[Stretch, ...] = ()
    crossings: tuple[Stretch, ...] = ()

    @cached_property
    def table_s_m(self) -> np.ndarray:
        """(K,) arc lengths of the table's nodes."""
        return np.arange(-_BEHIND_M, self.length_m + STEP_M, STEP_M)

    def curvature_pm(self, s_m: np.ndarray | float) -> np.ndarray:
        """Curvature at arc lengths of any shape, 1/m."""
        knots = np.array(self.curvature)
        return np.interp(s_m, knots[:, 0], knots[:, 1])

    @cached_property
    def _table(self) -> np.ndarray:
        """(K, 3) x, y, heading at the nodes, (0, 0, 0) at s = 0."""
        nodes, half = self.table_s_m, STEP_M / 2
        kappa, middle = self.curvature_pm(nodes), self.curvature_pm(nodes[:-1] + half)
        # Curvature is linear within a step but where a knot falls: Simpson's rule is exact for the heading.
        turn = STEP_M / 6 * (kappa[:-1] + 4 * middle + kappa[1:])
        heading = np.concatenate([[0.0], np.cumsum(turn)])
        at_middle = heading[:-1] + half / 2 * (kappa[:-1] + middle)
        step = (np.exp(1j * heading[:-1]) + 4 * np.exp(1j * at_middle) + np.exp(1j * heading[1:])) * STEP_M / 6
        place = np.concatenate([[0.0], np.cumsum(step)])
        origin = int(np.argmin(np.abs(nodes)))
        place = (place - place[origin]) * np.exp(-1j * heading[origin])
        return np.stack([place.real, place.imag, heading - heading[origin]], axis=1)

    def pose(self, s_m: np.ndarray | float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World x, y and heading of the centre line at arc lengths of any shape (cubic Hermite between nodes)."""
        s = np.clip(np.asarray(s_m, float), self.table_s_m[0], self.table_s_m[-1] - 1e-9)
        at = (s - self.table_s_m[0]) / STEP_M
        low = at.astype(int)
        u = at - low
        first, second = self._table[low], self._table[low + 1]
        p, q = first[..., :2], second[..., :2]
        tangents = [np.stack([np.cos(a[..., 2]), np.sin(a[..., 2])], axis=-1) * STEP_M for a in (first, second)]
        u_ = u[..., None]
        place = (
            (2 * u_**3 - 3 * u_**2 + 1) * p
            + (u_**3 - 2 * u_**2 + u_) * tangents[0]
            + (3 * u_**2 - 2 * u_**3) * q
            + (u_**3 - u_**2) * tangents[1]
        )
        kappa = self.curvature_pm(self.table_s_m[low])
        slope = (self.curvature_pm(self.table_s_m[low + 1]) - kappa) / STEP_M
        heading = first[..., 2] + kappa * u * STEP_M + 0.5 * slope * (u * STEP_M) ** 2
        return place[..., 0], place[..., 1], heading

    def world(self, s_m: np.ndarray | float, d_m: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """World x, y of road points (s, d)."""
        x, y, heading = self.pose(s_m)
        return x - d_m * np.sin(heading), y + d_m * np.cos(heading)

    def painted(self, marking: Marking, s_m: np.ndarray) -> np.ndarray:
        """Bool: whether the line is meant to be there at arc lengths; gaps between dashes count as there."""
        there = np.ones(np.shape(s_m), bool)
        for stretch in self.unpainted:
            there &= (s_m < stretch.from_m) | (s_m > stretch.to_m)
        return there
