"""Intrinsics and lens from pictures of a chessboard (Z. Zhang, "A flexible new technique for camera
calibration", PAMI 2000).

Boards that are not seen whole, pictures of another size and boards that fit far worse than the others are left out,
each with its reason. Cornering and optimisation are OpenCV's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from geometry.camera import Camera
from geometry.distortion import Distortion
from geometry.errors import InputError

_MIN_BOARDS = 4  # nine numbers from two a board; fewer than four cannot tell the lens from the focal length
_ODD_PX = (
    2  # pictures of one camera that differ by so little were cut or padded by a program: pixels stay where they are
)
_WINDOW_PX = 5  # half width of the corner refinement: wider reaches neighbouring corners of far boards
_WORSE = 4.0  # times the median error of all boards, and above 1 px: a bent board or a wrong corner
_WORSE_PX = 1.0
_GRID = (4, 4)  # rows and columns of the coverage table


@dataclass(frozen=True)
class Board:
    """One picture and what became of it: ``corners_px`` (N, 2) where found, ``reason`` empty where it was used."""

    name: str
    corners_px: np.ndarray | None
    reason: str = ""
    rms_px: float = math.nan
    tilt_deg: float = math.nan
    distance_squares: float = math.nan
    fitted_px: np.ndarray | None = None

    @property
    def used(self) -> bool:
        """Whether the calibration rests on it."""
        return not self.reason


@dataclass(frozen=True)
class ChessboardCalibration:
    """A lens found and what it rests on.

    Attributes:
        camera: with the mount of a nominal dashcam: a chessboard says nothing of the mount.
        rms_px: root mean square distance of corners from where the model has them.
        sigma: standard deviations of fx, fy, cx, cy in pixels.
        boards: every picture given, in order.
        coverage: (rows, columns) share of the corners in each cell of the picture.
    """

    camera: Camera
    rms_px: float
    sigma: tuple[float, float, float, float]
    boards: tuple[Board, ...]
    coverage: np.ndarray

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the result less trustworthy, in plain words."""
        used = [board for board in self.boards if board.used]
        found = []
        if len(used) < 10:
            found.append(f"only {len(used)} boards were used; 10 to 20 give a lens that holds at the edges")
        if (empty := int((self.coverage == 0).sum())) > 0:
            found.append(
                f"{empty} of {self.coverage.size} parts of the picture have no corner: hold the board there too"
            )
        if np.percentile([board.tilt_deg for board in used], 90) < 15:
            found.append("hardly any board is tilted: tilt it by 20 to 40 degrees, else the focal length is loose")
        return tuple(found)


def find_corners(gray: np.ndarray, pattern: tuple[int, int]) -> np.ndarray | None:
    """(N, 2) inner corners of a board with ``pattern`` (columns, rows) of them, row by row; None where it is not whole.

    Args:
        gray: (H, W) uint8.
    """
    flags = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE
    found, corners = cv2.findChessboardCorners(gray, pattern, flags=flags)
    if not found:
        return None
    accuracy = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 1e-3)
    return cv2.cornerSubPix(gray, corners, (_WINDOW_PX, _WINDOW_PX), (-1, -1), accuracy).reshape(-1, 2)


def calibrate_chessboard(
    corners_px: Mapping[str, np.ndarray | None],
    sizes_px: Mapping[str, tuple[int, int]],
    pattern: tuple[int, int],
    *,
    lens: str = "brown",
) -> ChessboardCalibration:
    """Intrinsics and lens from the corners of boards.

    Args:
        corners_px: by picture name, (N, 2) corners as ``find_corners`` gives them, or None.
        sizes_px: width and height of each picture.
        pattern: inner corners in a row, and rows.
        lens: brown (k1, k2, p1, p2, k3) or fisheye.

    Raises:
        InputError: fewer than four boards can be used.
    """
    size = Counter(sizes_px.values()).most_common(1)[0][0] if sizes_px else (0, 0)
    boards = [_judged(name, corners, sizes_px[name], size, pattern) for name, corners in corners_px.items()]
    while True:
        used = [index for index, board in enumerate(boards) if board.used]
        if len(used) < _MIN_BOARDS:
            raise InputError(
                f"{len(used)} of {len(boards)} pictures show a whole chessboard of {pattern[0]}x{pattern[1]} inner "
                f"corners, need at least {_MIN_BOARDS}: check the pattern, show the whole board"
            )
        fit = _fit([boards[index] for index in used], size, pattern, lens)
        errors = np.array([board.rms_px for board in fit.boards])
        limit = max(_WORSE * float(np.median(errors)), _WORSE_PX)
        for index, board in zip(used, fit.boards, strict=True):
            boards[index] = board
        worst = int(np.argmax(errors))
        if errors[worst] <= limit:
            return replace(fit, boards=tuple(boards))
        reason = f"fits {errors[worst]:.1f} px badly, {errors[worst] / np.median(errors):.1f} times the median board"
        boards[used[worst]] = replace(boards[used[worst]], reason=reason)


def _judged(
    name: str, corners: np.ndarray | None, own: tuple[int, int], size: tuple[int, int], pattern: tuple[int, int]
) -> Board:
    if max(abs(own[0] - size[0]), abs(own[1] - size[1])) > _ODD_PX:
        return Board(name, corners, f"is {own[0]}x{own[1]}, most are {size[0]}x{size[1]}")
    if corners is None:
        return Board(name, None, f"does not show all {pattern[0]}x{pattern[1]} inner corners")
    return Board(name, corners)


def _fit(boards: Sequence[Board], size: tuple[int, int], pattern: tuple[int, int], lens: str) -> ChessboardCalibration:
    plane = np.zeros((pattern[0] * pattern[1], 3), np.float32)
    plane[:, :2] = np.mgrid[: pattern[0], : pattern[1]].T.reshape(-1, 2)
    seen = [np.asarray(board.corners_px, np.float32)[:, None] for board in boards]
    planes = [plane[:, None]] * len(boards)
    if lens == "fisheye":
        flags = cv2.CALIB_RECOMPUTE_EXTRINSIC | cv2.CALIB_FIX_SKEW
        # This one function wants its points in a row, in double precision.
        objects, images = ([np.float64(a).reshape(1, -1, a.shape[-1]) for a in many] for many in (planes, seen))
        _, matrix, k, turns, places = cv2.fisheye.calibrate(
            objects, images, size, np.eye(3), np.zeros((4, 1)), flags=flags
        )
        sigma = np.full(4, math.nan)
    else:
        guess, none = np.eye(3), np.zeros(5)
        _, matrix, k, turns, places, spread, _, _ = cv2.calibrateCameraExtended(planes, seen, size, guess, none)
        sigma = spread.ravel()[:4]
    model = Distortion("fisheye" if lens == "fisheye" else "brown", tuple(float(v) for v in k.ravel()))
    (fx, _, cx), (_, fy, cy), _ = (tuple(float(v) for v in row) for row in matrix)
    camera = Camera(*size, fx, fy, cx, cy, height_m=1.3, distortion=model, name="chessboard")
    done, squares = [], []
    for board, turn, place in zip(boards, turns, places, strict=True):
        rotation = cv2.Rodrigues(turn)[0]
        fitted, _ = camera.project_camera(plane.astype(np.float64) @ rotation.T + place.ravel())
        apart = np.sum((fitted - board.corners_px) ** 2, axis=1)
        squares.append(apart)
        tilt = math.degrees(math.acos(min(1.0, abs(float(rotation[2, 2])))))
        rms = math.sqrt(float(apart.mean()))
        far = float(np.linalg.norm(place))
        done.append(replace(board, rms_px=rms, tilt_deg=tilt, distance_squares=far, fitted_px=fitted))
    every = np.concatenate([board.corners_px for board in boards])
    bins = [np.linspace(0, size[1], _GRID[0] + 1), np.linspace(0, size[0], _GRID[1] + 1)]
    counts = np.histogram2d(every[:, 1], every[:, 0], bins=bins)[0]
    rms = math.sqrt(float(np.concatenate(squares).mean()))
    deviations = (float(sigma[0]), float(sigma[1]), float(sigma[2]), float(sigma[3]))
    return ChessboardCalibration(camera, rms, deviations, tuple(done), counts / counts.sum())
