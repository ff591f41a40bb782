"""Where the objects of a frame are before they are tracked: by one camera, or by a second one beside it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from app.video import frames
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.ground import on_wheels, range_objects
from geometry.types import GroundPoints
from perception.types import Detections, Frame

_SAME_S = 0.004  # frames of a pair are of one instant to within the jitter of a container's time stamps


class Ranger(Protocol):
    """Anything that places the detections of a frame on the road."""

    def __call__(self, frame: Frame, camera: Camera, found: Detections) -> GroundPoints:
        """Road positions, row by row."""
        ...


def range_by_box(frame: Frame, camera: Camera, found: Detections) -> GroundPoints:
    """By the boxes alone (``geometry.ground``)."""
    boxes, hidden = on_wheels(found.xyxy_px, found.class_id)
    return range_objects(camera, boxes, found.class_id, hidden=hidden)


class StereoRanger:
    """By a second clip, of the right camera of a rectified pair; what it cannot match is left to the box.

    Args:
        right: clip or folder of pictures, frame by frame with the left one.
        baseline_m: from the left to the right lens.
        camera: the left one, of the clip's size.
        rate: pictures a second of a folder without time stamps.

    Raises:
        InputError: a distorting lens, or no such clip.
    """

    def __init__(self, right: str | Path, baseline_m: float, camera: Camera, *, rate: float | None = None) -> None:
        if camera.distortion.model != "none":
            raise InputError(
                f"camera {camera.name!r} has a distorting lens: rectify both clips, and give the rectified camera"
            )
        self._name, self._baseline_m = str(right), baseline_m
        self._frames: Iterator[Frame] = frames(
            right, rate=None if rate is None else Fraction(rate).limit_denominator(100_000)
        )
        self._next: Frame | None = next(self._frames)

    def __call__(self, frame: Frame, camera: Camera, found: Detections) -> GroundPoints:
        """Nearest faces by depth where it is known, by the box elsewhere; the frames must come in rising order.

        Raises:
            InputError: the right clip has no picture of this instant, or one of another size.
        """
        from geometry.stereo import range_in_boxes, stereo_depth

        alone = range_by_box(frame, camera, found)
        if not len(found):
            return alone
        depth = stereo_depth(frame.bgr, self._picture(frame.t_s), camera.fx_px, self._baseline_m)
        both = range_in_boxes(depth, camera, found.xyxy_px.astype(np.float64))
        pick = both.valid
        return GroundPoints(
            np.where(pick[:, None], both.xy_m, alone.xy_m),
            np.where(pick[:, None, None], both.cov_m2, alone.cov_m2),
            pick | alone.valid,
        )

    def _picture(self, t_s: float) -> np.ndarray:
        while self._next is not None and self._next.t_s < t_s - _SAME_S:
            self._next = next(self._frames, None)
        if self._next is None or self._next.t_s > t_s + _SAME_S:
            raise InputError(
                f"{self._name} has no frame at {t_s:.3f} s; the clips of a pair must have the same times frame by frame"
            )
        return self._next.bgr
