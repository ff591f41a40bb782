"""Time to collision and its interval."""

from __future__ import annotations

import numpy as np


def time_to_collision(
    x_m: np.ndarray, closing_mps: np.ndarray, cov: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time until x falls to zero at the present closing speed, and its 68 % interval; inf when opening.

    The interval bounds the ratio of two correlated normal variables by Fieller's theorem (Journal of the Royal
    Statistical Society B 16, 1954): exact, where a first-order expansion would claim precision at low closing speed.

    Args:
        x_m, closing_mps: (N,) distance and closing speed (positive: approaching).
        cov: (N, 2, 2) their covariance.
    """
    from tracking.motion_kernels import collisions

    out = np.empty((3, len(x_m)))
    collisions(*(np.ascontiguousarray(part, np.float64) for part in (x_m, closing_mps, cov)), out)
    return out[0], out[1], out[2]
