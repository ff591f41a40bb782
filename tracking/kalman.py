"""Kalman filters over all tracks at once: a general one on any arrays, and the closed form the image boxes use.

The general pair ``predict``, ``update`` takes NumPy arrays or torch tensors with one row per track and is tested
against filterpy's KalmanFilter step by step. A box moves with constant velocity in four coordinates that do not
influence each other, so its filter falls apart into 2-state filters whose matrices are three numbers: ``predict_axes``
and ``update_axes`` are the same filter written out, some twenty times cheaper than (N, 8, 8) algebra.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

Array = Any
"""A NumPy array or a torch tensor."""


def predict(x: Array, P: Array, F: Array, Q: Array) -> tuple[Array, Array]:
    """State and covariance one step later: x = F x, P = F P F' + Q.

    Args:
        x: (N, n) states, one row per track.
        P: (N, n, n) covariances.
        F: (n, n) or (N, n, n) transition.
        Q: (n, n) or (N, n, n) process noise.
    """
    xp = array_namespace(x)
    return (F @ x[..., None])[..., 0], F @ P @ xp.matrix_transpose(F) + Q


def update(x: Array, P: Array, z: Array, H: Array, R: Array) -> tuple[Array, Array]:
    """State and covariance after a measurement z = H x + noise of covariance R, in Joseph's form.

    Joseph's form, P = (I - KH) P (I - KH)' + K R K', stays symmetric positive definite under rounding
    (Bucy and Joseph, Filtering for Stochastic Processes, 1968).

    Args:
        x: (N, n); P: (N, n, n); z: (N, m); H: (m, n) or (N, m, n); R: (m, m) or (N, m, m).
    """
    xp = array_namespace(x)
    PHt = P @ xp.matrix_transpose(H)
    S = H @ PHt + R
    K = xp.matrix_transpose(xp.linalg.solve(S, xp.matrix_transpose(PHt)))
    residual = z - (H @ x[..., None])[..., 0]
    x = x + (K @ residual[..., None])[..., 0]
    like = {"dtype": x.dtype} if isinstance(x, np.ndarray) else {"dtype": x.dtype, "device": x.device}
    A = xp.eye(x.shape[-1], **like) - K @ H
    P = A @ P @ xp.matrix_transpose(A) + K @ R @ xp.matrix_transpose(K)
    return x, 0.5 * (P + xp.matrix_transpose(P))


def mahalanobis2(x: Array, P: Array, z: Array, H: Array, R: Array) -> Array:
    """Squared Mahalanobis distance (N,) of measurements (N, m) from what the states predict."""
    xp = array_namespace(x)
    residual = z - (H @ x[..., None])[..., 0]
    S = H @ P @ xp.matrix_transpose(H) + R
    return xp.sum(residual * xp.linalg.solve(S, residual[..., None])[..., 0], axis=-1)


# Independent constant-velocity axes: the covariance of (position p, velocity v) of each axis is [[pp, pv], [pv, vv]].


def predict_axes(
    p: np.ndarray,
    v: np.ndarray,
    cov: tuple[np.ndarray, np.ndarray, np.ndarray],
    dt_s: float | np.ndarray,
    noise: np.ndarray,
) -> None:
    """Move independent (position, velocity) axes on by dt_s, in place.

    White noise acceleration in continuous time (Bar-Shalom, Li and Kirubarajan, Estimation with Applications, 2001,
    6.2.2), so that two half steps equal one whole step.

    Args:
        p, v: (N, A) positions and velocities.
        cov: the arrays pp, pv, vv, (N, A) each.
        dt_s: of all, or (N, 1) of each row.
        noise: (N, A) or broadcast: power spectral density of the acceleration, (unit of p)^2 / s^3.
    """
    pp, pv, vv = cov
    p += v * dt_s
    spread = vv * dt_s
    step = noise * dt_s
    pp += (pv + pv + spread) * dt_s + step * (dt_s * dt_s / 3.0)
    pv += spread + step * (0.5 * dt_s)
    vv += step


def update_axes(
    p: np.ndarray,
    v: np.ndarray,
    cov: tuple[np.ndarray, np.ndarray, np.ndarray],
    z: np.ndarray,
    r: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Independent axes after measuring their positions z (K, A) with variance r (K, A); new arrays."""
    pp, pv, vv = cov
    inverse = 1.0 / (pp + r)
    gain_p, gain_v = pp * inverse, pv * inverse
    residual = z - p
    rest = r * inverse  # 1 - gain_p, without the cancellation
    return p + gain_p * residual, v + gain_v * residual, (pp * rest, pv * rest, vv - gain_v * pv)
