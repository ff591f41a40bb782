"""Boxes by centre and size: their corners, and where they are after the picture moved."""

from __future__ import annotations

import numpy as np


def corners(box: np.ndarray, half: float) -> np.ndarray:
    """Corners (N, 4) of boxes given by centre and size, reaching ``half`` of their size from the centre."""
    centre, reach = box[:, :2], box[:, 2:] * half
    xyxy = np.empty_like(box)
    np.subtract(centre, reach, out=xyxy[:, :2])
    np.add(centre, reach, out=xyxy[:, 2:])
    return xyxy


def warped(box: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) by centre and size after the picture moved by a (3, 3) homography."""
    xyxy = corners(box, 0.5)
    low, high = warped_points(xyxy[:, :2], homography), warped_points(xyxy[:, 2:], homography)
    return np.concatenate((0.5 * (low + high), high - low), axis=1)


def warped_points(xy: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Points (N, 2) after the picture moved by a (3, 3) homography."""
    points = np.concatenate((xy, np.ones((len(xy), 1))), axis=1) @ homography.T
    return points[:, :2] / points[:, 2:]
