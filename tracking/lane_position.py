"""Which lane each object is in: its lateral place against the ego lane, followed ahead along the lane's own bend."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from perception.types import BELIEVED_SCORE, Lanes

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
    from perception.lanes.fit_kernels import places

    width_m = lanes.width_m if math.isfinite(lanes.width_m) else DEFAULT_LANE_WIDTH_M
    coeff, ends_m, source = np.full((2, 4), np.nan), np.full((2, 3), np.nan), "path"
    for k, boundary in enumerate((lanes.left, lanes.right)):
        if boundary is not None and boundary.score >= BELIEVED_SCORE:
            near_m, far_m = boundary.x_range_m
            coeff[k], coeff[k, : len(boundary.coeff)] = 0.0, boundary.coeff
            ends_m[k], source = (near_m, far_m, far_m + TRUSTED_BEYOND_M), "paint"
    offset_m, index, line_m = places(np.array(xy_m, np.float64, order="C"), coeff, ends_m, width_m, path_curvature_pm)
    return LanePositions(offset_m, index, float(width_m), source, line_m)
