"""Haze: a picture made easier to see in, only where its own statistics say that it needs it.

The dark channel prior (He, Sun, Tang, "Single image haze removal using dark channel prior", CVPR 2009) on a small copy.
Kept because lanes gain by it; brightening of dark pictures was measured too and is not here, because detection lost by
it and lanes, which are read in logarithms, had nothing to gain (docs/lanes.md has the figures).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_SMALL_PX = 96  # width of the copy that is measured and that the transmission is worked out on
_NIGHT_KEY = 0.12  # geometric mean of the brightness (0 to 1) under which a picture counts as dark; dusk has about 0.2
_LOG_OFFSET = 1 / 255
_HAZE_DARK_CHANNEL = 0.5  # median dark channel of the lower half; bright concrete on clear days has up to 0.48
_HAZE_CONTRAST = 0.10  # standard deviation of the brightness there: haze is bright AND flat
_PATCH = 5  # small pixels of the dark channel's minimum
_KEEP_HAZE = 0.9  # omega of the paper: a little haze is left so that depth still shows
_MIN_TRANSMISSION = 0.25  # less would be noise alone
_BAND_ROWS = 8
_SMOOTH_ROWS = 3.0  # small rows


@dataclass(frozen=True)
class Visibility:
    """What a picture's statistics say.

    Attributes:
        key: geometric mean of the brightness, 0 to 1.
        dark_channel: median of the dark channel in the lower half, 0 to 1: near 0 on clear days, high in haze.
        contrast: standard deviation of the brightness in the lower half, 0 to 1.
    """

    key: float
    dark_channel: float
    contrast: float

    @property
    def is_dark(self) -> bool:
        return self.key < _NIGHT_KEY

    @property
    def is_hazy(self) -> bool:
        return not self.is_dark and self.dark_channel > _HAZE_DARK_CHANNEL and self.contrast < _HAZE_CONTRAST


def measure_visibility(bgr: np.ndarray) -> Visibility:
    """Statistics of a picture (H, W, 3) uint8, on a small copy."""
    small = _small(bgr)
    brightness = small.max(axis=2)
    lower = slice(small.shape[0] // 2, None)
    return Visibility(
        float(np.exp(np.log(brightness + _LOG_OFFSET).mean())),
        float(np.median(_dark_channel(small)[lower])),
        float(brightness[lower].std()),
    )


def enhance(bgr: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) uint8 without its haze; the very same object where there is none."""
    return dehaze(bgr) if measure_visibility(bgr).is_hazy else bgr


def dehaze(bgr: np.ndarray) -> np.ndarray:
    """Haze removed by the dark channel prior: J = (I - A) / t + A.

    The transmission t falls with distance, on a road with the picture row: one per band of rows, from a small copy,
    so that the whole picture is some differences and products. The air light A is the mean of the haziest pixels.
    """
    small = _small(bgr)
    dark = _dark_channel(small)
    air = np.maximum(small[dark >= np.quantile(dark, 0.99)].mean(axis=0), 0.3)
    transmission = 1 - _KEEP_HAZE * np.median(_dark_channel(small / air), axis=1)
    transmission = cv2.GaussianBlur(transmission.astype(np.float32)[:, None], (1, 0), 0, sigmaY=_SMOOTH_ROWS)[:, 0]
    height = bgr.shape[0]
    starts = np.arange(0, height, _BAND_ROWS)
    of_band = np.interp(starts / height, (np.arange(len(transmission)) + 0.5) / len(transmission), transmission)
    clear = np.maximum(of_band, _MIN_TRANSMISSION)
    out = np.empty_like(bgr)
    for start, share in zip(starts.tolist(), clear.tolist(), strict=True):
        # (I - A (1 - t)) / t, which saturates where it should at both ends; whole levels of the veil lose under 2.
        rows, veil = slice(start, start + _BAND_ROWS), np.rint(255 * air * (1 - share)).tolist()
        cv2.convertScaleAbs(cv2.subtract(bgr[rows], (*veil, 0.0)), dst=out[rows], alpha=1 / share)
    return out


def _small(bgr: np.ndarray) -> np.ndarray:
    """Float copy, 0 to 1, at most 96 wide."""
    height, width = bgr.shape[:2]
    scale = min(1.0, _SMALL_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Every few pixels first: an area average of the whole picture costs more than the statistics are worth.
    step = max(1, width // (4 * _SMALL_PX))
    thin = cv2.resize(bgr, (max(1, width // step), max(1, height // step)), interpolation=cv2.INTER_NEAREST)
    return cv2.resize(thin, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _dark_channel(small: np.ndarray) -> np.ndarray:
    return cv2.erode(small.min(axis=2), np.ones((_PATCH, _PATCH), np.uint8))
