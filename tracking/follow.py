"""Where boxes went between detector frames: sparse optical flow inside each box, all boxes in one call.

With a detector that looks at every n-th picture only, the tracks go on by their filters; this image cue keeps them on
the objects. The motion of a box is the median shift of its points and the median growth of their distances (Kalal,
Mikolajczyk and Matas, Forward-backward error, ICPR 2010: the median flow tracker).
"""

from __future__ import annotations

import cv2
import numpy as np

from perception.types import Detections
from tracking.types import Tracks

_GRID = 6  # points per side of a box
_INSET = 0.15  # of the box's size: its rim is mostly background
_SMALLEST_PX = 6.0  # in the reduced picture; smaller boxes hold nothing to follow
_LEAST_POINTS = 6
_MAX_GROWTH = 1.3  # of a box between two pictures
_WIDTH_PX = 960


class BoxFollower:
    """Remembers the last picture; ``step`` once a frame, whether the detector looked at it or not."""

    def __init__(self) -> None:
        self._grey: np.ndarray | None = None

    def step(self, bgr: np.ndarray, tracks: Tracks) -> Detections:
        """Boxes of the last frame's tracks as they stand in this picture; those that cannot be followed are left out.

        Args:
            bgr: (H, W, 3) uint8 picture of this frame; one without pixels gives no box.
            tracks: reported at the last frame.

        Returns:
            Boxes with their tracks' classes and scores, for ``Tracker.update(..., detected=False)``.
        """
        if not bgr.size:  # a replay has no pictures
            self._grey = None
            return Detections.empty()
        scale = min(1.0, _WIDTH_PX / bgr.shape[1])
        grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        if scale < 1.0:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        before, self._grey = self._grey, grey
        if before is None or before.shape != grey.shape or not len(tracks):
            return Detections.empty()
        moved, good = _moved(before, grey, tracks.xyxy_px * scale)
        return Detections(moved[good] / scale, np.clip(tracks.score[good], 0.0, 1.0), tracks.class_id[good])


def _moved(before: np.ndarray, now: np.ndarray, xyxy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) after the motion between two grey pictures, and which of them (N,) could be followed."""
    count = len(xyxy)
    size = xyxy[:, 2:] - xyxy[:, :2]
    steps = np.linspace(_INSET, 1 - _INSET, _GRID)
    share = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    start = xyxy[:, None, :2] + share * size[:, None]
    points = start.reshape(-1, 1, 2).astype(np.float32)
    flow = cv2.SparsePyrLKOpticalFlow.create(winSize=(11, 11), maxLevel=3)
    ahead, there, _ = flow.calc(before, now, points, points.copy())
    back, again, _ = flow.calc(now, before, ahead, ahead.copy())
    error = np.linalg.norm(back - points, axis=-1).reshape(count, -1)
    good = (there & again).reshape(count, -1).astype(bool) & (error < 1.0)
    end = np.where(good[..., None], ahead.reshape(count, -1, 2), np.nan)
    enough = (good.sum(axis=1) >= _LEAST_POINTS) & (size.min(axis=1) >= _SMALLEST_PX)
    shift, growth = np.zeros((count, 2)), np.ones(count)
    if enough.any():
        shift[enough] = np.nanmedian(end[enough] - start[enough], axis=1)
        growth[enough] = _growth(start[enough], end[enough])
    enough &= (growth < _MAX_GROWTH) & (growth > 1 / _MAX_GROWTH)
    centre = 0.5 * (xyxy[:, :2] + xyxy[:, 2:]) + shift
    reach = 0.5 * size * growth[:, None]
    return np.concatenate((centre - reach, centre + reach), axis=1), enough


def _growth(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Median ratio (N,) of distances between points, each with the one half the grid away; NaN points do not count."""
    apart = np.linalg.norm(end - np.roll(end, end.shape[1] // 2, axis=1), axis=-1)
    was = np.linalg.norm(start - np.roll(start, start.shape[1] // 2, axis=1), axis=-1)
    ratio = np.where(was > 0, apart / np.maximum(was, 1e-9), np.nan)
    known = np.isfinite(ratio).any(axis=1)
    growth = np.ones(len(ratio))
    growth[known] = np.nanmedian(ratio[known], axis=1)
    return growth
