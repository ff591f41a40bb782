"""Marking evidence along the slices: painted ridges, raised markers, and where the slices cross them.

Paint is brighter (or yellower) than the road on BOTH its sides: the response is the lesser of the two contrasts, so
that the edge of a shadow, a kerb or a vehicle, bright on one side only, gives nothing (the symmetrical local
threshold compared by Veit et al., "Evaluation of Road Marking Feature Extraction", ITSC 2008). Contrasts are taken of
logarithms: a shadow over paint and road alike leaves them as they are.

Raised markers (Botts' dots, cat's eyes) are a hand wide and often no brighter than the concrete around them, but each
has a lit and a shaded face: contrast ALONG the road that is there in a strip of a marking's width and not beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geometry.camera import Camera
from geometry.types import Rows
from perception.lanes.slices import FreeRoad, SliceGrid

_MIN_PAINT, _MIN_MARKER = 0.03, 0.006  # natural logarithm: fainter contrast a person does not see either
_SAME_ROAD = np.eye(3)
_MARKER_FAR_M = 50.0  # beyond, the run spans metres of road and smears bends


@dataclass(frozen=True, eq=False)
class Crossings(Rows):
    """N places where slices cross something like a marking.

    Attributes:
        row: (N,) slice; column: (N,) sample (fractional) of the grid.
        points: (N, 5) road position x and y, standard deviation of y, weight (evidence between 0 and 1) and tint
            (contrast of red to blue, logarithmic).
    """

    row: np.ndarray
    column: np.ndarray
    points: np.ndarray

    @property
    def xy_m(self) -> np.ndarray:
        """(N, 2) road position."""
        return self.points[:, :2]

    @property
    def weight(self) -> np.ndarray:
        """(N,) evidence between 0 and 1."""
        return self.points[:, 3]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence per slice and column.

    Attributes:
        strength: (S, L) float32 in units of each slice's own unrest, 0 where there is none.
        paint: (S, L) float32 the part of it that painted ridges give.
        tint: (S, L) float32 red-to-blue logarithm.
    """

    strength: np.ndarray
    paint: np.ndarray
    tint: np.ndarray


def marking_evidence(view: np.ndarray, grid: SliceGrid, shift: np.ndarray | None = None) -> Evidence:
    """Evidence of a view (S, L, 3) uint8 of the grid.

    Args:
        shift: (S,) columns to the right of straight ahead that the road is believed to run (``SliceGrid.shift``): it
            is along the road that evidence adds up. None: straight ahead.
    """
    from perception.lanes.kernels import MARKER_RUN, PAINT_RUN, in_unrest, ridges

    paint, marker, tint = ridges(view, grid.reach, grid.straight if shift is None else shift, grid.spans)
    marker[: grid.count_beyond(_MARKER_FAR_M)] = 0
    in_unrest(paint, grid.spans, PAINT_RUN * _MIN_PAINT)
    in_unrest(marker, grid.spans, MARKER_RUN * _MIN_MARKER)
    return Evidence(np.maximum(paint, marker), paint, tint)


def find_crossings(
    evidence: Evidence,
    grid: SliceGrid,
    free: FreeRoad,
    shift: np.ndarray | None = None,
    camera: Camera | None = None,
) -> Crossings:
    """The ridges' crests along each slice, the strongest few of each.

    Args:
        free: where nothing covers the road.
        shift: as for ``marking_evidence``.
        camera: whose road plane they are told on, where its mount differs from the grid's.
    """
    from perception.lanes.kernels import crossings

    shift = grid.straight if shift is None else shift
    road = _SAME_ROAD if camera is None or camera is grid.camera else grid.road_from_grid(camera)
    return Crossings(
        *crossings(evidence.strength, evidence.paint, evidence.tint, free.arrays, grid.slices, shift, road)
    )
