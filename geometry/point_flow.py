"""Corners followed from frame to frame: the point pairs that ``geometry.flow`` takes.

Lucas-Kanade in a pyramid (J.-Y. Bouguet, "Pyramidal implementation of the Lucas Kanade feature tracker", 2000), forth
and back: a point that does not return to where it came from is dropped.
"""

from __future__ import annotations

import cv2
import numpy as np

_MAX_POINTS = 250
_CELLS = (
    4,
    3,
)  # columns, rows: every part of the picture gives some points, the textured ones no more than their share
_RETURN_PX = 0.7
_WINDOW_PX = 15
_WORK_WIDTH_PX = 960


class PointFlow:
    """Follows corners through a clip; give it every frame in order."""

    def __init__(self) -> None:
        self._gray: np.ndarray | None = None

    def step(self, bgr: np.ndarray, boxes_px: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Points (N, 2) of the last frame and where they are in this one, in its pixels.

        Args:
            bgr: (H, W, 3) or (H, W) uint8.
            boxes_px: (M, 4) xyxy of what moves by itself: no corners are taken there.
        """
        gray = bgr if bgr.ndim == 2 else cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        scale = min(1.0, _WORK_WIDTH_PX / gray.shape[1])
        if scale < 1.0:
            gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        last, self._gray = self._gray, gray
        nothing = np.empty((0, 2)), np.empty((0, 2))
        if last is None or last.shape != gray.shape:
            return nothing
        corners = _corners(last, _mask(gray.shape, None if boxes_px is None else boxes_px * scale))
        if len(corners) == 0:
            return nothing
        there, found = _follow(last, gray, corners)
        back, found_back = _follow(gray, last, there)
        returned = np.abs(back - corners).max(axis=(1, 2)) < _RETURN_PX
        kept = returned & found & found_back
        before, now = corners[kept, 0].astype(np.float64), there[kept, 0].astype(np.float64)
        return (before + 0.5) / scale - 0.5, (now + 0.5) / scale - 0.5


def _follow(last: np.ndarray, gray: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where points (N, 1, 2) are in the next picture, and which were found (N,)."""
    window = (_WINDOW_PX, _WINDOW_PX)
    there, found, _ = cv2.calcOpticalFlowPyrLK(last, gray, points, None, winSize=window, maxLevel=3)
    return there, found[:, 0] == 1


def _mask(shape: tuple[int, ...], boxes_px: np.ndarray | None) -> np.ndarray:
    mask = np.full(shape[:2], 255, np.uint8)
    for x1, y1, x2, y2 in [] if boxes_px is None else np.round(boxes_px).astype(int):
        mask[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = 0
    return mask


def _corners(gray: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(N, 1, 2) float32 corners, the best of every cell of the picture."""
    columns, rows = _CELLS
    height, width = gray.shape
    quota = _MAX_POINTS // (columns * rows)
    found = []
    for row in range(rows):
        for column in range(columns):
            top, left = height * row // rows, width * column // columns
            part = np.s_[top : height * (row + 1) // rows, left : width * (column + 1) // columns]
            corners = cv2.goodFeaturesToTrack(gray[part], quota, 0.02, 8, mask=mask[part])
            if corners is not None:
                found.append(corners + np.array([left, top], np.float32))
    return np.concatenate(found) if found else np.empty((0, 1, 2), np.float32)
