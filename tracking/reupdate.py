"""Observation-centred re-update: what the filter believed while it saw nothing is undone once a track is seen again.

Over a gap the filter went on with the velocity that it had, right or wrong. Seen again, it is run once more from its
state at the last observation, along virtual observations on the straight line from that observation to the new one
(Cao, Pang, Weng, Khirodkar and Kitani, Observation-Centric SORT, CVPR 2023, 4.1).
"""

from __future__ import annotations

import numpy as np

from tracking.kalman import predict_axes, update_axes
from tracking.table import BOX, PP, PV, RATE, VV

STEP_S = 0.1
"""Time between virtual observations, whatever the frame rate: more of them would only count the same line twice."""


def reupdated(
    kept: np.ndarray, ends: tuple[np.ndarray, np.ndarray], gap_s: np.ndarray, r: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """States after the new observation, by way of the virtual path.

    Args:
        kept: (K, 20) columns ``table.STATE`` as they were after the last observation.
        ends: (K, 4) last observation and (K, 4) new one: centre and size in pixels, both in the new picture.
        gap_s: (K,) seconds between the two, positive.
        r: (K, 4) variance of the observations.
        noise: (K, 4) spectral density of the acceleration.

    Returns:
        (K, 20); a gap of one step or less gives what the filter gives without virtual observations.
    """
    steps = np.maximum(np.ceil(gap_s / STEP_S - 1e-6), 1.0)
    order = np.argsort(-steps)  # longest first: those still under way are always the first rows, plain views
    steps = steps[order]
    state, first, r, noise = kept[order], ends[0][order], r[order], noise[order]
    step, dt_s = (ends[1][order] - first) / steps[:, None], (gap_s[order] / steps)[:, None]
    for k in range(1, int(steps.max(initial=0.0)) + 1):
        n = int(np.count_nonzero(steps >= k))
        p, v = state[:n, BOX], state[:n, RATE]
        cov = state[:n, PP], state[:n, PV], state[:n, VV]
        predict_axes(p, v, cov, dt_s[:n], noise[:n])
        p[:], v[:], (cov[0][:], cov[1][:], cov[2][:]) = update_axes(p, v, cov, first[:n] + k * step[:n], r[:n])
    result = np.empty_like(state)
    result[order] = state
    return result
