"""All tracks in one array, one row each: birth and deletion touch one array, columns are views into it."""

from __future__ import annotations

import numpy as np

from perception.types import CLASSES

BOX = slice(0, 4)  # centre x, y, width, height; pixels
RATE = slice(4, 8)  # their rates; pixels per second
PP, PV, VV = slice(8, 12), slice(12, 16), slice(16, 20)  # covariance per axis: box, box with rate, rate
STATE = slice(0, 20)  # all of the above
XYXY = slice(20, 24)  # the last matched detection
PRESENT, HIDDEN, BORN, SEEN, SCORE, DETECTION, ID, BELIEVED, CLASS, BEST, MEAN = range(24, 35)
"""Probabilities of being in view and of being there but hidden; seconds of birth and of the last
detection; its score; its row in this frame or -1; identity (exact in float64 up to 2^53); 1 once believed; class;
best and fading mean log-odds of its scores."""
LAST = slice(35, 39)  # the last observation, detected or followed: centre and size, moved along with the picture
KEPT = slice(39, 59)  # STATE right after it
KEPT_S = 59  # its time, seconds
ANCHORS = slice(60, 66)  # x, y, t of two observations before it (``direction.moved_anchors``)
MISSED = 66  # looks without a detection since the last one
VOTES = slice(67, 67 + len(CLASSES))
WIDTH = VOTES.stop


class TrackTable:
    """N rows of ``WIDTH`` columns, float64."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = np.empty((0, WIDTH))

    def __len__(self) -> int:
        return len(self.data)

    def column(self, index: int) -> np.ndarray:
        """(N,) view of one of the single columns."""
        return self.data[:, index]

    def append(self, rows: np.ndarray) -> None:
        """Add rows (K, WIDTH)."""
        self.data = np.concatenate((self.data, rows))

    def keep(self, mask: np.ndarray) -> None:
        """Drop the rows where the mask (N,) is False."""
        self.data = self.data[mask]
