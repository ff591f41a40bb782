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
    from tracking.box_kernels import solids

    space = np.empty((len(tracks), 7))
    # Copies: columns of ``Tracks`` are read-only, which compiled loops refuse.
    solids(tracks.size_m.copy(), tracks.xy_m.copy(), tracks.yaw_rad.copy(), _UNKNOWN_SIZE_M, space)
    return space
