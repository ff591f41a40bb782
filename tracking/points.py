"""Points followed from picture to picture: a pyramid of each picture, made once, and Lucas-Kanade flow between two."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

LEVELS = 3


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A grey picture (H, W) uint8 and its halvings; pixel (x, y) of a level is pixel (2x, 2y) of the one below."""

    levels: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, grey: np.ndarray) -> Pyramid:
        levels = [np.ascontiguousarray(grey)]
        for _ in range(1, LEVELS):
            levels.append(cv2.pyrDown(levels[-1]))
        return cls(tuple(levels))


class PointFollower:
    """Follows some hundred points at a time."""

    def __init__(self) -> None:
        from tracking.point_kernels import WINDOW, follow_level

        self._follow = follow_level
        self._room = np.empty((5, WINDOW + 3, WINDOW + 3), np.float32)

    def follow(
        self, before: Pyramid, now: Pyramid, points_px: np.ndarray, expected_px: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where points (N, 2) float32 are now, and which (N,) of them were found.

        Args:
            expected_px: (N, 2) where they should be: what moved farther than a dozen pixels from there is not found.
        """
        places, found = np.array(expected_px, np.float32, order="C"), np.zeros(len(points_px), bool)
        points = np.ascontiguousarray(points_px, np.float32)
        for level in range(len(before.levels) - 1, -1, -1):
            pair = before.levels[level], now.levels[level]
            self._follow(*pair, np.float32(0.5**level), points, places, found, self._room)
        return places, found
