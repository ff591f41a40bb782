"""What the ``calibrate`` commands share: reading a frame and sizes, writing the profile and its check picture."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from app.grid import draw_grid
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.profiles import save_profile


def parse_size(text: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT`` as two numbers. Raises InputError where it is something else."""
    found = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", text.strip())
    if not found or min(int(found[1]), int(found[2])) < 2:
        raise InputError(f"got {text!r}, wanted two whole numbers like 1280x720")
    return int(found[1]), int(found[2])


def first_frame(source: str) -> np.ndarray:
    """The first picture of a clip. Raises InputError as ``app.video.frames``."""
    from app.video import frames

    for frame in frames(source):
        return frame.bgr.copy()
    raise InputError(f"{source}: has no frames")


def write_result(camera: Camera, out: Path, note: str, picture: np.ndarray | None, console: Console) -> None:
    """The profile, and where a picture is given the metre grid drawn on it, ``NAME.check.png`` beside it."""
    save_profile(camera, out, description=note)
    console.print(f"profile {out}")
    if picture is not None:
        check = out.with_suffix(".check.png")
        if not cv2.imwrite(str(check), draw_grid(picture, camera)):
            raise InputError(f"{check}: cannot be written there")
        console.print(f"check picture {check}: the grid must lie on the road, lane edges on the lane's")
