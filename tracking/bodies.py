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
    space = np.empty((len(tracks), 7))
    known = np.isfinite(tracks.size_m)
    space[:, :3] = tracks.size_m if known.all() else np.where(known, tracks.size_m, _UNKNOWN_SIZE_M)
    yaw_rad = np.where(np.isnan(tracks.yaw_rad), 0.0, tracks.yaw_rad)
    half_x_m = (np.abs(np.cos(yaw_rad)) * space[:, 2] + np.abs(np.sin(yaw_rad)) * space[:, 1]) / 2
    space[:, 3], space[:, 4] = tracks.xy_m[:, 0] + half_x_m, tracks.xy_m[:, 1]
    space[:, 5], space[:, 6] = 0.0, yaw_rad
    return space
