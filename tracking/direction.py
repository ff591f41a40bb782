"""Velocity direction: does a detection lie where the track was heading?

Observation-centric momentum (Cao, Pang, Weng, Khirodkar and Kitani, Observation-Centric SORT, CVPR 2023, 4.2): the
angle between the direction of a track over its last observations and the direction from its last observation to the
detection. Observations, not filter states: what the filter made of a gap does not come into it.
"""

from __future__ import annotations

import numpy as np

_PER_HALF_TURN = 1.0 / np.pi


def direction_likeness(heading: np.ndarray, step: np.ndarray, variance: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """From 0.5 (straight on) to -0.5 (straight back), 0 at right angles and where a direction is not known.

    A direction is believed as far as the displacement exceeds its own noise: that of a standing object is chance.

    Args:
        heading: (K, 2) displacement of the track over its last observations, pixels.
        step: (K, 2) displacement from its last observation to the detection.
        variance: (K,) expected squared error of the two displacements, pixels^2.
    """
    length2 = (heading * heading).sum(axis=1), (step * step).sum(axis=1)
    sure = 1.0
    for square, noise in zip(length2, variance, strict=True):
        sure = sure * square / np.maximum(square + noise, 1e-12)
    cross = heading[:, 0] * step[:, 1] - heading[:, 1] * step[:, 0]
    dot = (heading * step).sum(axis=1)
    return sure * (0.5 - np.abs(np.arctan2(cross, dot)) * _PER_HALF_TURN)


def moved_anchors(anchors: np.ndarray, centre: np.ndarray, t_s: float, period_s: float) -> np.ndarray:
    """Two past observations per track, (K, 6) x, y, t of the older and of the newer, after one more.

    The older is between one and two periods old (less for a young track), at any frame rate, without a history.
    """
    due = t_s - anchors[:, 5] >= period_s - 1e-9
    new = np.concatenate((anchors[:, 3:], centre, np.full((len(centre), 1), t_s)), axis=1)
    return np.where(due[:, None], new, anchors)
