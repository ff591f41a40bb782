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

import cv2
import numpy as np

from geometry.types import Rows
from perception.lanes.slices import STEP_M, SliceGrid

_LOG_OFFSET = 8.0  # grey levels: below that a camera's noise is larger than the signal
_LOG = np.log(np.arange(256, dtype=np.float32) + _LOG_OFFSET)
# From a marking's middle to the road beside it: markings are 0.10 to 0.20 m wide, on motorways up to 0.30 m.
_NARROW_REACH_M, _WIDE_REACH_M, _MARKER_REACH_M = 0.18, 0.30, 0.24
_REACH_PX = 1.5  # the same in picture pixels, where those are wider: what the lens blurs
_YELLOW_GAIN = 0.7  # the red-to-blue contrast is noisier than the brightness
_MARKER_FAR_M = 50.0  # beyond, the run spans metres of road and smears bends
_PAINT_RUN, _MARKER_RUN = 3, 9  # slices that are averaged along the road
_MIN_PAINT, _MIN_MARKER = 0.03, 0.006  # natural logarithm: fainter contrast a person does not see either
_SATURATION = 6.0  # in units of the slice's own unrest: stronger is not more certain
_MIN_STRENGTH = 1.6
# Sigma of a crossing's lateral position on the road and in the picture. Rough joints look like markers, beside them.
_PAINT_SIGMA_M, _MARKER_SIGMA_M, _SIGMA_PX = 0.05, 0.08, 0.7
_PAINT_SHARE = 0.5
_HILL_M = 0.15  # sigma at 50 m of what the road's rise and fall, unknown here, adds
_AROUND = (41, 15)  # columns (2.5 m) and slices that the unrest is taken over
_LOOK_SLICES = 4
_UPRIGHT_WEIGHT = 0.2
_MAX_IN_SLICE = 8  # crossings; a road has fewer boundaries in sight


@dataclass(frozen=True, eq=False)
class Crossings(Rows):
    """N places where slices cross something like a marking.

    Attributes:
        row: (N,) slice; column: (N,) sample (fractional) of the grid.
        xy_m: (N, 2) road position.
        sigma_m: (N,) standard deviation of its lateral position.
        weight: (N,) evidence between 0 and 1.
        yellow: (N,) contrast of red to blue, logarithmic.
    """

    row: np.ndarray
    column: np.ndarray
    xy_m: np.ndarray
    sigma_m: np.ndarray
    weight: np.ndarray
    yellow: np.ndarray


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence per slice and column.

    Attributes:
        strength: (S, L) float32 in units of each slice's own unrest, 0 where there is none.
        paint: (S, L) float32 the part of it that painted ridges give.
        yellow: (S, L) float32 red-to-blue logarithm.
    """

    strength: np.ndarray
    paint: np.ndarray
    yellow: np.ndarray


def marking_evidence(view: np.ndarray, grid: SliceGrid) -> Evidence:
    """Evidence of a view (S, L, 3) of the grid."""
    bright = cv2.transform(view, np.array([[0.0, 0.5, 0.5]], np.float32))
    light = cv2.LUT(bright, _LOG)
    yellow = cv2.blur(cv2.subtract(light, cv2.LUT(cv2.extractChannel(view, 0), _LOG)), (3, 3))
    narrow, wide = cv2.blur(light, (3, 1)), cv2.blur(light, (3, 3))
    paint = np.maximum(_two_sided(narrow, grid, _NARROW_REACH_M), _two_sided(wide, grid, _WIDE_REACH_M))
    paint += _YELLOW_GAIN * _two_sided(yellow, grid, _NARROW_REACH_M)
    paint = cv2.blur(paint, (1, _PAINT_RUN))
    change = np.zeros_like(narrow)
    change[2:-2] = np.maximum(np.abs(narrow[3:-1] - narrow[1:-3]), np.abs(narrow[4:] - narrow[:-4]))
    marker = cv2.blur(_two_sided(change, grid, _MARKER_REACH_M), (1, _MARKER_RUN))
    marker[grid.x_m > _MARKER_FAR_M] = 0.0
    painted, marked = _in_unrest(paint, _MIN_PAINT), _in_unrest(marker, _MIN_MARKER)
    return Evidence(np.maximum(painted, marked), painted, yellow)


def _two_sided(values: np.ndarray, grid: SliceGrid, reach_m: float) -> np.ndarray:
    """(S, L) how far values exceed the greater of those a reach to the left and to the right; 0 where they do not."""
    out = np.zeros_like(values)
    reach = np.rint(np.maximum(reach_m, _REACH_PX * grid.pixel_m) / STEP_M).astype(int)
    reach += (reach - reach.min()) % 2  # every second width: fewer strips to work on
    for k in np.unique(reach):
        rows = slice(int(np.searchsorted(-reach, -k)), int(np.searchsorted(-reach, -k, side="right")))
        beside = np.maximum(values[rows, : -2 * k], values[rows, 2 * k :])
        np.subtract(values[rows, k:-k], beside, out=out[rows, k:-k])
    return np.maximum(out, 0.0, out=out)


def _in_unrest(values: np.ndarray, floor: float) -> np.ndarray:
    """(S, L) values over the mean of what is usual around them: on vehicles and grass, much of everything."""
    unrest = cv2.blur(np.minimum(values, 12 * floor), _AROUND)
    unrest += floor
    return values / unrest


def find_crossings(evidence: Evidence, grid: SliceGrid, boxes_px: np.ndarray) -> Crossings:
    """The ridges' crests along each slice, the strongest few of each.

    Args:
        boxes_px: (B, 4) left, top, right, bottom of what covers the road: no evidence inside.
    """
    response = evidence.strength
    crest = (response > _MIN_STRENGTH) & grid.visible
    crest[:, 1:-1] &= (response[:, 1:-1] >= response[:, :-2]) & (response[:, 1:-1] > response[:, 2:])
    crest[:, [0, -1]] = False
    row, column = np.nonzero(crest)
    if len(boxes_px):
        bare = ~covered(grid.px[row, column], boxes_px)
        row, column = row[bare], column[bare]
    strength = response[row, column]
    order = np.lexsort((-strength, row))
    starts = np.searchsorted(row[order], row[order])
    order = order[np.arange(len(order)) - starts < _MAX_IN_SLICE]
    row, column, strength = row[order], column[order], strength[order]
    before, after = response[row, column - 1], response[row, column + 1]
    bend = np.minimum(before - 2 * strength + after, -1e-6)
    fine = column + np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    xy = np.stack([grid.x_m[row], grid.y_m[0] - STEP_M * fine], axis=-1)
    on_road = np.where(evidence.paint[row, column] > _PAINT_SHARE * strength, _PAINT_SIGMA_M, _MARKER_SIGMA_M)
    sigma = np.hypot(np.hypot(on_road, _SIGMA_PX * grid.pixel_m[row]), _HILL_M * (grid.x_m[row] / 50) ** 2)
    weight = np.minimum(strength, _SATURATION) / _SATURATION
    weight = np.where(_upright(response, row, column, grid), _UPRIGHT_WEIGHT * weight, weight)
    return Crossings(row, fine, xy, sigma, weight, evidence.yellow[row, column])


def _upright(response: np.ndarray, row: np.ndarray, column: np.ndarray, grid: SliceGrid) -> np.ndarray:
    """(N,) bool: crests that go on towards the camera's foot rather than along the road.

    The edges of what stands on the road (vehicles, posts, trees) are drawn out radially in any view of the road plane.
    """
    last_row, last_column = response.shape[0] - 1, response.shape[1] - 1
    along = np.full(len(row), np.inf, np.float32)
    radial, apart = along.copy(), along.copy()
    y = grid.y_m[column]
    flat, width = response.ravel(), response.shape[1]
    for step in (-_LOOK_SLICES, _LOOK_SLICES):
        other = np.clip(row + step, 0, last_row)
        shift = np.rint(-y * (grid.x_m[other] / grid.x_m[row] - 1) / STEP_M).astype(int)
        at = np.clip(column + shift, 0, last_column)
        radial = np.minimum(radial, flat[other * width + at])
        here = other * width + column  # crests lie off the border, so that the neighbours exist
        along = np.minimum(along, np.maximum(np.maximum(flat[here - 1], flat[here]), flat[here + 1]))
        apart = np.minimum(apart, np.abs(shift))
    return (apart >= 2) & (radial > _MIN_STRENGTH) & (radial > along)


def covered(px: np.ndarray, boxes_px: np.ndarray) -> np.ndarray:
    """(...) bool: pixels (..., 2) inside any of the boxes (B, 4)."""
    inside = np.zeros(px.shape[:-1], bool)
    for left, top, right, bottom in boxes_px:
        inside |= (px[..., 0] > left) & (px[..., 0] < right) & (px[..., 1] > top) & (px[..., 1] < bottom)
    return inside
