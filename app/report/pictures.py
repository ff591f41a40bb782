"""Pictures of moments: the clip's frame with what is known drawn on it, as JPEG for HTML."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from app.draw import Painter
from app.mount import camera_at
from app.record import Header
from app.types import FrameResult
from app.video import frames
from geometry.errors import InputError
from perception.types import Frame

_WIDTH_PX, _QUALITY = 640, 82


def pictures(header: Header, clip: Path, results: Sequence[FrameResult]) -> dict[int, str]:
    """Data URIs of frames by index, what is known drawn on them; those that cannot be read are left out.

    Args:
        clip: with the pictures at the times of the record.
    """
    camera = header.camera
    found = {}
    for result in results:
        picture = picture_at(clip, result.t_s)
        if picture is None:
            continue
        if picture.shape[:2] == (camera.height_px, camera.width_px):
            painter = Painter(camera.width_px, camera.height_px, birdseye=False)
            frame = Frame(result.index, result.t_s, picture)
            picture = painter.draw(frame, result, camera_at(camera, result.pose))
        found[result.index] = jpeg(picture)
    return found


def picture_at(clip: Path, t_s: float) -> np.ndarray | None:
    """The frame shown at a time, None where there is none."""
    try:
        first = next(iter(frames(clip, start_s=max(0.0, t_s - 1e-3), end_s=t_s + 1.0, threads=1)), None)
    except InputError:
        return None
    return None if first is None else first.bgr


def jpeg(bgr: np.ndarray) -> str:
    """A data URI of a picture, reduced to what a report shows."""
    scale = min(1.0, _WIDTH_PX / bgr.shape[1])
    small = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1.0 else bgr
    data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
