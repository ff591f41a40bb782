"""What light, weather and lenses do to a picture: every function maps (H, W, 3) uint8 to the same, with a generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

LUMA = np.array([0.114, 0.587, 0.299], np.float32)  # BT.601 weights of blue, green, red


def _look_up(image: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """Apply three 256-entry curves (256, 3), clipped to 0..255."""
    return cv2.LUT(image, np.clip(curves, 0, 255).astype(np.uint8)[None])


def colour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, gamma, white balance and saturation in two passes."""
    x = np.arange(256, dtype=np.float32)[:, None] / 255.0
    gamma = np.exp(rng.uniform(-0.35, 0.35))
    gain = np.exp(rng.uniform(-0.25, 0.25)) * np.exp(rng.normal(0.0, 0.05, 3))
    contrast = np.exp(rng.uniform(-0.2, 0.2))
    curves = ((x**gamma * gain - 0.5) * contrast + 0.5 + rng.uniform(-0.06, 0.06)) * 255.0
    image = _look_up(image, curves)
    if rng.random() < 0.5:
        saturation = rng.uniform(0.3, 1.5)
        mix = np.eye(3, dtype=np.float32) * saturation + (1.0 - saturation) * LUMA[None]
        image = cv2.transform(image, mix)
    return image


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Defocus, or the smear of a moving camera."""
    if rng.random() < 0.5:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3))
    length = int(rng.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.normal(0.0, 0.4)
    reach = (length - 1) / 2
    dx, dy = reach * np.cos(angle), reach * np.sin(angle)
    cv2.line(kernel, (round(reach - dx), round(reach - dy)), (round(reach + dx), round(reach + dy)), 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def noise(image: np.ndarray, rng: np.random.Generator, sigma: float | None = None) -> np.ndarray:
    """Sensor noise; one small field of samples is tiled at a random shift, which is enough and cheap."""
    sigma = rng.uniform(2.0, 12.0) if sigma is None else sigma
    height, width = image.shape[:2]
    field = rng.normal(0.0, sigma, (height // 2 + 1, width // 2 + 1, 3)).astype(np.int16)
    tiled = np.tile(field, (2, 2, 1))[:height, :width]
    return np.clip(image.astype(np.int16) + tiled, 0, 255).astype(np.uint8)


def night(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Dark, bluish, noisy, with what was bright kept bright as lamps are."""
    x = np.arange(256, dtype=np.float32)[:, None] / 255.0
    curve = (rng.uniform(0.12, 0.35) * x + 0.6 * x ** rng.uniform(3.0, 5.0)) * 255.0
    dark = _look_up(image, curve * np.array([1.08, 0.98, 0.94], np.float32))
    return noise(dark, rng, rng.uniform(2.0, 8.0))


def fog(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Airlight that thickens towards a horizon row (Koschmieder's law with distance guessed from the row)."""
    height = image.shape[0]
    horizon = rng.uniform(0.3, 0.55) * height
    rows = np.arange(height, dtype=np.float32)
    nearness = np.where(rows > horizon, (rows - horizon) / (height - horizon), 0.0)
    seen = np.exp(-rng.uniform(0.6, 1.8) * (1.0 - nearness))[:, None, None]
    light = rng.uniform(150, 225)
    return (image * seen + light * (1.0 - seen)).astype(np.uint8)


def rain(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Slanted streaks over a flatter, greyer, slightly blurred picture."""
    height, width = image.shape[:2]
    drops = np.zeros((height, width), np.uint8)
    slant, length = rng.normal(0.0, 0.25), rng.uniform(8, 22)
    starts = rng.uniform((0, -length), (width, height), (int(rng.integers(60, 300)), 2))
    for x, y in starts:
        end = (round(x + slant * length), round(y + length))
        cv2.line(drops, (round(x), round(y)), end, int(rng.integers(60, 180)), 1, cv2.LINE_AA)
    drops = cv2.GaussianBlur(drops, (3, 3), 0.7)
    flat = cv2.addWeighted(image, 0.8, np.full_like(image, 120), 0.15, 0.0)
    return cv2.add(flat, cv2.merge([drops] * 3) // 2)


@dataclass(frozen=True)
class PhotometricConfig:
    """Probability of each change."""

    colour: float = 0.8
    blur: float = 0.12
    noise: float = 0.12
    night: float = 0.04
    fog: float = 0.03
    rain: float = 0.03


STEPS: tuple[tuple[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]], ...] = (
    ("night", night),
    ("fog", fog),
    ("rain", rain),
    ("colour", colour),
    ("blur", blur),
    ("noise", noise),
)


def distort(image: np.ndarray, config: PhotometricConfig, rng: np.random.Generator) -> np.ndarray:
    """The picture after whatever the dice chose."""
    for name, step in STEPS:
        if rng.random() < getattr(config, name):
            image = step(image, rng)
    return np.ascontiguousarray(image)
