"""Compiled loops of the metric filter, over tracks.

Everything is compiled, or read from the cache on disk, when the module is imported; nobody imports it at its own
import. Nothing is checked here: arrays are C-contiguous float64 (rows: int64).
"""

from __future__ import annotations

import math

import numba
import numpy as np


def _jit(signature: str):  # type: ignore[no-untyped-def]
    return numba.njit(signature, cache=True, nogil=True, error_model="numpy")


@_jit("void(i8[::1], f8[:,::1], f8[::1], f8[::1], f8[:,::1], UniTuple(f8[:,:,::1], 2), f8[:,::1])")
def weigh_heights(rows, boxes, constants, scales, log_h, grids, var):  # type: ignore[no-untyped-def]
    """One Kalman step of the departure of the road, at every height and scale, and the log-likelihood of the box.

    Args:
        rows: (R,) rows of the grids.
        boxes: (R, 6) angle between upper and lower edge; slope of the lower edge, the pitch taken out; depth of the
            body (m); white variance; usual variance of a departure; seconds since the last box.
        constants: camera height (m), variance of the pitch, seconds that departures persist and that evidence lasts.
        scales: (J,) of the departure's variance.
        log_h: (N, G).
        grids: expected departure and log-likelihood, (N, G, J), changed in place.
        var: (N, J) variance of the departure, negative before the first box; changed in place.
    """
    mean, log_like = grids
    camera_m, pitch_var = constants[0], constants[1]
    scale_count = len(scales)
    gain, whole, constant = np.empty(scale_count), np.empty(scale_count), np.empty(scale_count)
    for i in range(len(rows)):
        row = rows[i]
        angle, bottom, depth, white, usual = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3], boxes[i, 4]
        keep, remember = math.exp(-boxes[i, 5] / constants[2]), math.exp(-boxes[i, 5] / constants[3])
        for j in range(scale_count):
            stationary = usual * scales[j] + pitch_var
            before = stationary if var[row, j] < 0.0 else keep * keep * (var[row, j] - stationary) + stationary
            whole[j] = before + white
            gain[j], constant[j] = before / whole[j], 0.5 * math.log(whole[j])
            var[row, j] = before * (1.0 - gain[j])
        for g in range(log_h.shape[1]):
            height = math.exp(log_h[row, g])
            x, below = height / angle, max(camera_m - height, 0.0)
            for _ in range(2):  # of a roof below the camera the far rim is seen
                x = height / max(angle - below * (1.0 / x - 1.0 / (x + depth)), 0.3 * angle)
            departure = bottom + camera_m / x
            for j in range(scale_count):
                expected = keep * mean[row, g, j]
                rest = departure - expected
                mean[row, g, j] = expected + gain[j] * rest
                log_like[row, g, j] = remember * log_like[row, g, j] - constant[j] - 0.5 * rest * rest / whole[j]


@_jit("f8[:,::1](i8[::1], f8[:,:,::1], f8[::1], f8[:,:,::1], f8[:,::1])")
def kind_shares(rows, log_like, log_weight, log_prior, shape):  # type: ignore[no-untyped-def]
    """Probability (R, K) of each kind: likelihoods (N, G, J) summed over scales and over heights of each kind.

    Args:
        rows: (R,) rows of ``log_like`` and ``log_prior`` (N, G, K).
        log_weight: (J,) of the scales.
        shape: (R, K) further log-likelihood of each kind.
    """
    heights, kinds = log_prior.shape[1:]
    share = np.empty((len(rows), kinds))
    for i in range(len(rows)):
        row = rows[i]
        most = -np.inf
        for g in range(heights):
            for j in range(len(log_weight)):
                most = max(most, log_like[row, g, j] + log_weight[j])
        top = -np.inf
        for k in range(kinds):
            top = max(top, shape[i, k])
        share[i] = 0.0
        for g in range(heights):
            likely = 0.0
            for j in range(len(log_weight)):
                likely += math.exp(log_like[row, g, j] + log_weight[j] - most)
            for k in range(kinds):
                share[i, k] += likely * math.exp(log_prior[row, g, k] + shape[i, k] - top)
        share[i] /= share[i].sum()
    return share
