"""Tracks as boxes in space: the body behind the nearest face that the track stands for."""

from __future__ import annotations

import numpy as np

from tracking.types import Tracks

_UNKNOWN_SIZE_M = (1.5, 1.8, 4.2)  # a mid-size car, where nothing is believed of the size


def bodies(tracks: Tracks) -> np.ndarray:
    """(N, 7) boxes for ``geometry.box3d``: height, width, length, x, y, z of the bottom's centre, yaw; vehicle frame.

    ``Tracks.xy_m`` is the nearest face's x and the body's lateral centre, so the centre lies half the body's extent
    along x further on. Rows without a position are NaN.
    """
    size_m = np.where(np.isfinite(tracks.size_m), tracks.size_m, _UNKNOWN_SIZE_M)
    yaw_rad = np.nan_to_num(tracks.yaw_rad)
    half_x_m = (np.abs(np.cos(yaw_rad)) * size_m[:, 2] + np.abs(np.sin(yaw_rad)) * size_m[:, 1]) / 2
    x_m, y_m = tracks.xy_m[:, 0] + half_x_m, tracks.xy_m[:, 1]
    return np.column_stack([size_m, x_m, y_m, np.zeros(len(tracks)), yaw_rad])
