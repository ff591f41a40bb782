"""Tracks that leave the frame: outside and going on outwards, nothing will be seen of them again."""

from __future__ import annotations

import numpy as np


def leaving(box: np.ndarray, rate: np.ndarray, size_px: tuple[int, int], inside: float) -> np.ndarray:
    """Which tracks (N,) are outside but for a share of less than ``inside`` of their area, and moving further out.

    Args:
        box, rate: (N, 4) predicted centre and size, and their rates; pixels, pixels per second.
        size_px: width and height of the picture.
        inside: share of the area, 0 to 1.
    """
    half = 0.5 * box[:, 2:]
    edge = np.array(size_px, np.float64)
    low, high = box[:, :2] - half, box[:, :2] + half
    visible = np.maximum(np.minimum(high, edge) - np.maximum(low, 0.0), 0.0) / (2.0 * half)
    outwards = ((low < 0.0) & (rate[:, :2] < 0.0)) | ((high > edge) & (rate[:, :2] > 0.0))
    return (visible.prod(axis=1) < inside) & (outwards & (visible < 1.0)).any(axis=1)
