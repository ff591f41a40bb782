"""One frame as the tracker sees it: where and when, and the detections that can be used."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geometry.camera import Camera
from geometry.errors import InputError
from geometry.types import GroundPoints
from perception.types import CLASSES, Detections, Lanes

EVIDENCE_PERIOD_S = 0.1  # evidence nearer in time than this is not independent: it counts in proportion
D_XYXY, D_BOX = slice(0, 4), slice(4, 8)  # corners; centre and size; pixels
D_SCORE, D_CLASS, D_ROW, D_ODDS, D_EVIDENCE = range(8, 13)
"""Columns of detections: score, class, row in the caller's order, log-odds of the score, log likelihood ratio of
existence (after ``life_kernels.born``: the probability to be real)."""
D_WIDTH = 13

_MOST_STRETCH = 4.0  # of what grows with the time between frames: 2.5 frames a second, beyond all is guesswork


class Scene(NamedTuple):
    """Where and when a frame was taken, and what is known of its detections in metres.

    ``picture`` is its width and height in pixels, 0 where not known.
    """

    t_s: float
    dt_s: float
    ranges: GroundPoints | None
    camera: Camera | None
    lanes: Lanes | None = None
    picture: tuple[float, float] = (0.0, 0.0)

    @property
    def stretch(self) -> float:
        """Time since the last frame in tenths of a second, where it is longer: settings are for 10 Hz and faster."""
        return min(max(self.dt_s / EVIDENCE_PERIOD_S, 1.0), _MOST_STRETCH)

    def ranges_of(self, rows: np.ndarray) -> GroundPoints:
        """Ranges of some detections; not valid where none are known."""
        if self.ranges is not None:
            return self.ranges[rows]
        count = len(rows)
        return GroundPoints(np.full((count, 2), np.nan), np.full((count, 2, 2), np.nan), np.zeros(count, bool))


class Seen(NamedTuple):
    """Usable detections of a frame: (M, D_WIDTH) and, where pictures tell, (M, D) embeddings, NaN where unknown."""

    data: np.ndarray
    look: np.ndarray | None = None


def check_detections(detections: Detections) -> None:
    """Raises:
    InputError: boxes, scores or classes that are none.
    """
    if not len(detections):
        return
    xyxy, score, class_id = detections.xyxy_px, detections.score, detections.class_id
    if not np.isfinite(xyxy).all():
        bad = int(np.flatnonzero(~np.isfinite(xyxy).all(axis=1))[0])
        raise InputError(f"box of detection {bad} is {xyxy[bad].tolist()}, must be finite pixels; look at the detector")
    if not (score.min() >= 0.0 and score.max() <= 1.0):
        bad = int(np.flatnonzero(~((score >= 0) & (score <= 1)))[0])
        raise InputError(f"score of detection {bad} is {score[bad]}, must be between 0 and 1; look at the detector")
    if class_id.min() < 0 or class_id.max() >= len(CLASSES):
        bad = int(np.flatnonzero((class_id < 0) | (class_id >= len(CLASSES)))[0])
        raise InputError(f"class of detection {bad} is {class_id[bad]}, must be from 0 to {len(CLASSES) - 1}")
