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
    a = closing_mps**2 - cov[:, 1, 1]
    b = x_m * closing_mps - cov[:, 0, 1]
    c = x_m**2 - cov[:, 0, 0]
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        ttc = np.where(closing_mps > 0, x_m / closing_mps, np.inf)
        one_sided = np.where(b + root > 0, np.maximum(c, 0.0) / (b + root), np.inf)
        low = np.where(a > 0, (b - root) / a, one_sided)
        high = np.where(a > 0, (b + root) / a, np.inf)
    receding = (a > 0) & (closing_mps <= 0)
    return ttc, np.where(receding, np.inf, np.maximum(low, 0.0)), np.where(receding, np.inf, high)
