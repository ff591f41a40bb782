"""Which lane each object is in: its lateral place against the ego lane, followed ahead along the lane's own bend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perception.types import BELIEVED_SCORE, LaneBoundary, Lanes

TRUSTED_BEYOND_M = 10.0
"""How far past its evidence a line's tangent still says on which side of the line an object is."""
DEFAULT_LANE_WIDTH_M = 3.5  # between the 3.25 m of town streets and the 3.75 m of motorways (RAA 2008, RASt 06)


@dataclass(frozen=True, eq=False)
class LanePositions:
    """Lateral places of N objects against the ego lane.

    Attributes:
        offset_m: (N,) from the lane's centre at the object's own distance, positive to the left.
        index: (N,) 0 in the ego lane, 1 the next to the left, -1 the next to the right, and so on.
        width_m: width of the ego lane used.
        source: whether paint, or only the vehicle's own path, was followed.
        line_m: (N, 2) lateral places, at the objects' own distances, of the left and the right line of the ego lane;
            NaN where it is not seen.
    """

    offset_m: np.ndarray
    index: np.ndarray
    width_m: float
    source: str
    line_m: np.ndarray


def lane_positions(xy_m: np.ndarray, lanes: Lanes, *, path_curvature_pm: float = 0.0) -> LanePositions:
    """Place objects in lanes.

    Args:
        xy_m: (N, 2) vehicle metres; NaN rows give NaN offsets and index 0.
        lanes: of the same frame; one boundary is enough, without any the vehicle's own path is followed.
        path_curvature_pm: 1/m of that path, yaw rate over speed, positive to the left.
    """
    x_m, y_m = xy_m[:, 0], xy_m[:, 1]
    left, right = (b if b is not None and b.score >= BELIEVED_SCORE else None for b in (lanes.left, lanes.right))
    width_m = lanes.width_m if np.isfinite(lanes.width_m) else DEFAULT_LANE_WIDTH_M
    source = "paint"
    line_m = np.full((len(x_m), 2), np.nan)
    for column, boundary in enumerate((left, right)):
        if boundary is not None:
            line_m[:, column] = _follow(boundary, x_m)
    if left is not None and right is not None:
        centre_m = line_m.mean(axis=1)
    elif left is not None:
        centre_m = line_m[:, 0] - width_m / 2
    elif right is not None:
        centre_m = line_m[:, 1] + width_m / 2
    else:
        centre_m, source = path_curvature_pm * x_m**2 / 2, "path"
    offset_m = y_m - centre_m
    index = np.rint(np.where(np.isnan(offset_m), 0.0, offset_m) / width_m).astype(np.int64)
    for column, boundary in enumerate((left, right)):
        if boundary is not None:
            line_m[x_m > boundary.x_range_m[1] + TRUSTED_BEYOND_M, column] = np.nan
    return LanePositions(offset_m, index, float(width_m), source, line_m)


def _follow(boundary: LaneBoundary, x_m: np.ndarray) -> np.ndarray:
    """The boundary's y, continued along its tangent beyond its evidence, where a polynomial would run away."""
    near_m, far_m = boundary.x_range_m
    inside = np.minimum(np.maximum(x_m, near_m), far_m)
    y_m, slope = 0.0, 0.0
    for coefficient in boundary.coeff[::-1].tolist():  # Horner's rule, of the derivative as well
        slope = slope * inside + y_m
        y_m = y_m * inside + coefficient
    return y_m + slope * (x_m - inside)
