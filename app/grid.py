"""A metre grid drawn back onto the picture: the eye's proof that a camera is calibrated."""

from __future__ import annotations

import cv2
import numpy as np

from geometry.camera import Camera

AHEAD_M = (5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 80.0)
ASIDE_M = (-5.55, -1.85, 1.85, 5.55)  # edges of three lanes 3.7 m wide
_NEAREST_M = 2.0
_LINE = (60, 220, 60)
_LANE = (0, 200, 255)
_HORIZON = (255, 160, 60)


def draw_grid(bgr: np.ndarray, camera: Camera) -> np.ndarray:
    """A copy of the picture with lines across the road at round distances, lane edges 3.7 m apart and the horizon.

    Args:
        bgr: (H, W, 3) uint8 of the camera's size.
    """
    picture = bgr.copy()
    thick = max(1, round(camera.height_px / 500))
    across = np.linspace(ASIDE_M[0], ASIDE_M[-1], 60)
    ahead = _NEAREST_M + np.linspace(0.0, 1.0, 200) ** 3 * (AHEAD_M[-1] - _NEAREST_M)
    for y_m in ASIDE_M:
        _draw(picture, camera, np.stack([ahead, np.full_like(ahead, y_m)], axis=-1), _LANE, thick)
    last_y_px = np.inf
    for x_m in AHEAD_M:
        line = np.stack([np.full_like(across, x_m), across], axis=-1)
        _draw(picture, camera, line, _LINE, thick)
        px, valid = camera.px_from_ground(np.array([x_m, ASIDE_M[0]]))
        if bool(valid) and bool(camera.in_image(px)) and last_y_px - px[1] > 11 * thick:
            _label(picture, f"{x_m:.0f} m", px, thick)
            last_y_px = float(px[1])
    far = np.array([[1.0, y, 0.0] for y in np.linspace(-1.5, 1.5, 60)]) * 1e7
    px, valid = camera.project(far)
    _polyline(picture, px, valid, _HORIZON, thick)
    return picture


def _draw(picture: np.ndarray, camera: Camera, xy_m: np.ndarray, colour: tuple[int, int, int], thick: int) -> None:
    px, valid = camera.px_from_ground(xy_m)
    _polyline(picture, px, valid, colour, thick)


def _polyline(picture: np.ndarray, px: np.ndarray, valid: np.ndarray, colour: tuple[int, int, int], thick: int) -> None:
    """The line through points (N, 2) wherever two neighbours are valid; with an eighth of a pixel."""
    limit = 4.0 * max(picture.shape)
    valid = valid & (np.abs(np.nan_to_num(px, nan=1e9)) < limit).all(axis=-1)
    whole = np.round(np.where(valid[:, None], px, 0.0) * 8).astype(np.int32)
    breaks = np.flatnonzero(np.diff(valid)) + 1
    runs = [run for run, seen in zip(np.split(whole, breaks), np.split(valid, breaks), strict=True) if seen[0]]
    cv2.polylines(picture, [run for run in runs if len(run) > 1], False, colour, thick, cv2.LINE_AA, 3)


def _label(picture: np.ndarray, text: str, px: np.ndarray, thick: int) -> None:
    size = 0.45 * thick + 0.15
    place = (round(float(px[0])) + 4, round(float(px[1])) + 4)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 3 * thick, cv2.LINE_AA)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), thick, cv2.LINE_AA)
