"""Chessboards out of folders and videos, and the picture that shows how well they fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from geometry.calibration_chessboard import ChessboardCalibration, find_corners
from geometry.errors import InputError

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
_MAX_BOARDS = 40
_MOVED_SHARE = 0.04  # of the picture's width: a board that moved less than that teaches nothing new
_EVERY_S = 0.3
_TARGET_PX = 640


@dataclass
class FoundBoards:
    """By picture name: corners (None where no whole board is seen), sizes, and the pictures of those found."""

    corners_px: dict[str, np.ndarray | None] = field(default_factory=dict)
    sizes_px: dict[str, tuple[int, int]] = field(default_factory=dict)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, name: str, bgr: np.ndarray, corners: np.ndarray | None) -> None:
        """One picture; it is kept only where it shows a board."""
        self.corners_px[name] = corners
        self.sizes_px[name] = (bgr.shape[1], bgr.shape[0])
        if corners is not None:
            self.pictures[name] = bgr


def corners_of_folder(folder: Path, pattern: tuple[int, int], console: Console) -> FoundBoards:
    """Boards of a folder of pictures. Raises InputError where it holds none, or one that cannot be read."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise InputError(f"{folder}: holds no pictures, wanted jpg or png files of a chessboard")
    found = FoundBoards()
    for path in track(paths, "looking for boards", console=console):
        bgr = cv2.imread(str(path))
        if bgr is None:
            raise InputError(f"{path}: cannot be read as a picture; take it out of the folder")
        found.add(path.name, bgr, find_corners(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), pattern))
    return found


def corners_of_video(path: Path, pattern: tuple[int, int], console: Console) -> FoundBoards:
    """Boards of a video: some each second, each at another place than the last. Raises InputError as ``frames``."""
    from app.video import frames

    found, last, next_s = FoundBoards(), None, 0.0
    with console.status("looking for boards"):
        for frame in frames(str(path)):
            if frame.t_s < next_s:
                continue
            next_s = frame.t_s + _EVERY_S
            corners = find_corners(cv2.cvtColor(frame.bgr, cv2.COLOR_BGR2GRAY), pattern)
            if corners is None:
                continue
            if last is None or np.abs(corners - last).mean() > _MOVED_SHARE * frame.bgr.shape[1]:
                found.add(f"{frame.t_s:.1f} s", frame.bgr.copy(), corners)
                last = corners
            if len(found.pictures) == _MAX_BOARDS:
                break
    if not found.corners_px:
        raise InputError(f"{path}: shows no whole chessboard of {pattern[0]}x{pattern[1]} inner corners")
    return found


def check_picture(result: ChessboardCalibration, found: FoundBoards) -> bytes:
    """PNG of the best and the worst board used: corners found and modelled, and beside them the lens corrected."""
    used = sorted((board for board in result.boards if board.used), key=lambda board: board.rms_px)
    camera, rows = result.camera, []
    for board in (used[0], used[-1]):
        picture = found.pictures[board.name].copy()
        straight = _corrected(picture, result)
        assert board.corners_px is not None and board.fitted_px is not None
        for seen, modelled in zip(board.corners_px, board.fitted_px, strict=True):
            cv2.circle(picture, tuple(int(v) for v in np.round(seen * 8)), 48, (60, 220, 60), 2, cv2.LINE_AA, 3)
            cv2.circle(picture, tuple(int(v) for v in np.round(modelled * 8)), 20, (40, 40, 255), -1, cv2.LINE_AA, 3)
        label = f"{board.name}: {board.rms_px:.2f} px"
        cv2.putText(picture, label, (16, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 2, cv2.LINE_AA)
        height_px = round(_TARGET_PX * camera.height_px / camera.width_px)
        pair = [cv2.resize(side, (_TARGET_PX, height_px), interpolation=cv2.INTER_AREA) for side in (picture, straight)]
        rows.append(np.hstack(pair))
    done, data = cv2.imencode(".png", np.vstack(rows))
    if not done:
        raise InputError("the check picture cannot be written as PNG")
    return data.tobytes()


def _corrected(picture: np.ndarray, result: ChessboardCalibration) -> np.ndarray:
    """The picture as an ideal lens of the same focal length had taken it."""
    camera, lens = result.camera, result.camera.distortion
    size = (camera.width_px, camera.height_px)
    if lens.model == "fisheye":
        k = np.array(lens.coefficients)
        maps = cv2.fisheye.initUndistortRectifyMap(camera.matrix, k, np.eye(3), camera.matrix, size, cv2.CV_16SC2)
    else:
        k = np.array(lens.brown)
        maps = cv2.initUndistortRectifyMap(camera.matrix, k, np.eye(3), camera.matrix, size, cv2.CV_16SC2)
    return cv2.remap(picture, maps[0], maps[1], cv2.INTER_LINEAR)
