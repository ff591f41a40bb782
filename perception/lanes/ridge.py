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
from perception.lanes.slices import STEP_M, FreeRoad, SliceGrid

_LOG_OFFSET = 8.0  # grey levels: below that a camera's noise is larger than the signal
_UNIT = 5000  # fixed point: the logarithm of the brightest pixel, 5.57, has room in 16 bits, which are twice as fast
_LOG = np.rint(_UNIT * np.log(np.arange(256) + _LOG_OFFSET)).astype(np.int16)
# From a marking's middle to the road beside it: markings are 0.10 to 0.20 m wide, on motorways up to 0.30 m.
_NARROW_REACH_M, _WIDE_REACH_M, _MARKER_REACH_M = 0.18, 0.30, 0.24
_REACH_PX = 1.5  # the same in picture pixels, where those are wider: what the lens blurs
_YELLOW_GAIN = 0.7  # the red-to-blue contrast is noisier than the brightness
_MOST_PAINT, _MOST_MARKER = 2.0, 0.7  # natural logarithm: runs of more would not fit into 16 bits
_MARKER_FAR_M = 50.0  # beyond, the run spans metres of road and smears bends
_PAINT_RUN, _MARKER_RUN = 3, 9  # slices that are added up along the road
_MIN_PAINT, _MIN_MARKER = 0.03, 0.006  # natural logarithm: fainter contrast a person does not see either
_SATURATION = 6.0  # in units of the slice's own unrest: stronger is not more certain
_MIN_STRENGTH = 1.6
# Sigma of a crossing's lateral position on the road and in the picture. Rough joints look like markers, beside them.
_PAINT_SIGMA_M, _MARKER_SIGMA_M, _SIGMA_PX = 0.05, 0.08, 0.7
_PAINT_SHARE = 0.5
_HILL_M = 0.15  # sigma at 50 m of what the road's rise and fall, unknown here, adds
_AROUND = (41, 15)  # columns (2.5 m) and slices that the unrest is taken over
_THIN = 3
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
        tint: (S, L) int16 red-to-blue logarithm in fixed point.
    """

    strength: np.ndarray
    paint: np.ndarray
    tint: np.ndarray

    def yellow(self, at: np.ndarray) -> np.ndarray:
        """Red-to-blue logarithm at flat indices ``at``, of any shape."""
        return self.tint.ravel().take(at) * (1 / _UNIT)


def marking_evidence(view: np.ndarray, grid: SliceGrid) -> Evidence:
    """Evidence of a view (S, L, 3) of the grid."""
    blue, green, red = (cv2.extractChannel(view, channel) for channel in range(3))
    light = cv2.LUT(cv2.addWeighted(green, 0.5, red, 0.5, 0.0), _LOG)
    yellow = cv2.blur(light - cv2.LUT(blue, _LOG), (3, 3))
    narrow, wide = cv2.blur(light, (3, 1)), cv2.blur(light, (3, 3))
    paint = cv2.max(_two_sided(narrow, grid, _NARROW_REACH_M), _two_sided(wide, grid, _WIDE_REACH_M))
    paint = cv2.addWeighted(paint, 1.0, _two_sided(yellow, grid, _NARROW_REACH_M), _YELLOW_GAIN, 0.0)
    change = np.zeros_like(narrow)
    change[2:-2] = cv2.max(cv2.absdiff(narrow[3:-1], narrow[1:-3]), cv2.absdiff(narrow[4:], narrow[:-4]))
    marker = _run(_two_sided(change, grid, _MARKER_REACH_M), _MARKER_RUN, _MOST_MARKER)
    marker[grid.x_m > _MARKER_FAR_M] = 0
    painted = _in_unrest(_run(paint, _PAINT_RUN, _MOST_PAINT), _PAINT_RUN * _MIN_PAINT)
    marked = _in_unrest(marker, _MARKER_RUN * _MIN_MARKER)
    return Evidence(cv2.max(painted, marked), painted, yellow)


def _two_sided(values: np.ndarray, grid: SliceGrid, reach_m: float) -> np.ndarray:
    """(S, L) how far values exceed the greater of those a reach to the left and to the right; 0 where they do not."""
    out = np.empty_like(values)
    width = values.shape[1]
    for k, rows in grid.strips(reach_m, _REACH_PX):
        # On the flat array, which is contiguous: what runs over a slice's ends is taken back below.
        flat, to = values[rows].reshape(-1), out[rows].reshape(-1)
        np.maximum(flat[: -2 * k], flat[2 * k :], out=to[k:-k])
        np.subtract(flat[k:-k], to[k:-k], out=to[k:-k])
        np.maximum(to, 0, out=to)
        margin = min(k, width)
        out[rows, :margin] = 0
        out[rows, width - margin :] = 0
    return out


def _run(values: np.ndarray, count: int, most: float) -> np.ndarray:
    """(S, L) sums of an odd ``count`` of neighbouring slices, of values up to ``most``; fewer at the ends."""
    values = cv2.min(values, int(_UNIT * most))
    total, reach = values.copy(), count // 2
    for k in range(1, reach + 1):
        total[k:] += values[:-k]
        total[:-k] += values[k:]
    return total


def _in_unrest(values: np.ndarray, floor: float) -> np.ndarray:
    """(S, L) float32 values over the mean of what is usual around them: on vehicles and grass, much of everything."""
    some = cv2.min(values[::_THIN], int(_UNIT * 12 * floor))  # it varies so slowly that every third slice will do
    unrest = cv2.blur(some, (_AROUND[0], _AROUND[1] // _THIN)).astype(np.float32)
    unrest += _UNIT * floor
    return np.divide(values, np.repeat(unrest, _THIN, axis=0)[: len(values)], dtype=np.float32)


def find_crossings(evidence: Evidence, grid: SliceGrid, free: FreeRoad) -> Crossings:
    """The ridges' crests along each slice, the strongest few of each.

    Args:
        free: where nothing covers the road.
    """
    response, width = evidence.strength.ravel(), evidence.strength.shape[1]
    crest = np.zeros(len(response), bool)
    inner = crest[1:-1]
    np.greater_equal(response[1:-1], response[:-2], out=inner)
    inner &= response[1:-1] > response[2:]
    inner &= response[1:-1] > _MIN_STRENGTH
    crest &= free.visible
    at = np.flatnonzero(crest)
    at = at[free.at(at)]
    row = at // width
    at, row = _strongest(at, row, response[at], len(grid.x_m))
    column, strength = at - row * width, response[at]
    before, after = response[at - 1], response[at + 1]
    bend = np.minimum(before - 2 * strength + after, -1e-6)
    fine = column + np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    x = grid.x_m[row]
    xy = np.stack([x, grid.y_m[0] - STEP_M * fine], axis=-1)
    on_road = np.where(evidence.paint.ravel()[at] > _PAINT_SHARE * strength, _PAINT_SIGMA_M, _MARKER_SIGMA_M)
    sigma = np.sqrt(on_road**2 + ((_SIGMA_PX * grid.pixel_m) ** 2 + (_HILL_M * (grid.x_m / 50) ** 2) ** 2)[row])
    weight = np.minimum(strength, _SATURATION) / _SATURATION
    weight = np.where(_upright(response, at, row, column, grid), _UPRIGHT_WEIGHT * weight, weight)
    return Crossings(row, fine, xy, sigma, weight, evidence.yellow(at))


def _strongest(at: np.ndarray, row: np.ndarray, strength: np.ndarray, slices: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices and slices (ascending) without those beyond the strongest few of their slice."""
    if len(at) == 0:
        return at, row
    order = np.argsort(row - strength / (1.001 * strength.max()))  # by slice, the strongest first
    first = np.zeros(slices + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=slices), out=first[1:])
    keep = order[np.arange(len(order)) - first[row] < _MAX_IN_SLICE]
    return at[keep], row[keep]


def _upright(response: np.ndarray, at: np.ndarray, row: np.ndarray, column: np.ndarray, grid: SliceGrid) -> np.ndarray:
    """(N,) bool: crests (flat indices ``at``) that go on towards the camera's foot rather than along the road.

    The edges of what stands on the road (vehicles, posts, trees) are drawn out radially in any view of the road plane.
    """
    slices, width = len(grid.x_m), len(grid.y_m)
    y = grid.y_m[column] / (STEP_M * grid.x_m[row])
    low = np.full(len(row), np.inf, np.float32)
    along, radial, apart = low, low, low
    for step in (-_LOOK_SLICES, _LOOK_SLICES):
        other = np.clip(row + step, 0, slices - 1)
        shift = np.rint(y * (grid.x_m[row] - grid.x_m[other])).astype(np.int64)
        start = other * width
        radial = np.minimum(radial, response[start + np.clip(column + shift, 0, width - 1)])
        here = start + column  # crests lie off the border, so that the neighbours exist
        along = np.minimum(along, np.maximum(np.maximum(response[here - 1], response[here]), response[here + 1]))
        apart = np.minimum(apart, np.abs(shift))
    return (apart >= 2) & (radial > _MIN_STRENGTH) & (radial > along)
