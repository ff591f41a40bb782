"""Colours and text of every picture: the Okabe-Ito palette, which colour-blind people can tell apart.

Source: M. Okabe, K. Ito, "Color Universal Design", 2008. Colours are red-green-blue hex; OpenCV wants them reversed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

import cv2
import numpy as np

from perception.types import CLASSES

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE, GREY, WHITE = "#0072B2", "#D55E00", "#CC79A7", "#BFBFBF", "#FFFFFF"

CLASS_COLOURS: tuple[str, ...] = (SKY, BLUE, BLUE, BLUE, ORANGE, PURPLE, PURPLE, PURPLE, GREY, GREY)
"""One colour a class of ``CLASSES``: cars, large vehicles, people, two-wheelers, lights and signs."""
ALERT, EGO_LANE, OTHER_LANE, PANEL = VERMILLION, GREEN, GREY, "#15181C"

assert len(CLASS_COLOURS) == len(CLASSES)


_BAND_PX = 64


@cache
def bgr(colour: str) -> tuple[int, int, int]:
    """OpenCV's blue, green, red of a hex colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return blue, green, red


@cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")


def put_text(
    image: np.ndarray, text: str, at: tuple[int, int], size_px: int, colour: str = WHITE, *, weight: int = 500
) -> int:
    """Write text in place, its baseline's left end ``at`` (x, y); returns the x where it ended."""
    return cv2.putText(image, text, at, bgr(colour), _font(), size_px, weight)[0]


@lru_cache(4096)
def text_width(text: str, size_px: int, *, weight: int = 500) -> int:
    """Width in pixels that ``put_text`` will take."""
    return cv2.getTextSize((0, 0), text, (0, 0), _font(), size_px, weight)[2]


def shade(image: np.ndarray, box: tuple[int, int, int, int], colour: str = PANEL, strength: float = 0.6) -> None:
    """Blend a colour over the rectangle (left, top, right, bottom) in place, clipped to the picture."""
    left, top, right, bottom = box
    region = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if region.size:
        cv2.addWeighted(_flat(colour, region.shape), strength, region, 1.0 - strength, 0.0, dst=region)


def tint_all(image: np.ndarray, polygons_px: np.ndarray, colours: Sequence[str], strength: float) -> None:
    """Blend filled polygons (N, K, 2) int32 over the picture in place, one after the other.

    Only the rows and columns of each are touched.
    """
    size_px = image.shape[1], image.shape[0]
    low = polygons_px.min(axis=1).clip(0, size_px)
    high = (polygons_px.max(axis=1) + 1).clip(0, size_px)
    inside = polygons_px - low[:, None]
    for (left, top), (right, bottom), polygon, colour in zip(low.tolist(), high.tolist(), inside, colours, strict=True):
        _tint(image[top:bottom, left:right], polygon, colour, strength)


def tint_between(image: np.ndarray, left_px: np.ndarray, right_px: np.ndarray, colour: str, strength: float) -> None:
    """Blend the area between two lines (K, 2), both from the bottom up, over the picture in place.

    It is done in bands, whose own columns are far fewer than those of the whole area.
    """
    polygon = np.rint(np.concatenate([left_px, right_px[::-1]])).astype(np.int32)
    top, bottom = polygon[:, 1].min().clip(0), (polygon[:, 1].max() + 1).clip(0, image.shape[0])
    rows = np.arange(top, bottom)
    columns = np.stack([np.interp(rows, line[::-1, 1], line[::-1, 0]) for line in (left_px, right_px)])
    for band in range(0, len(rows), _BAND_PX):
        part = columns[:, band : band + _BAND_PX].clip(0, image.shape[1])
        low, high, first = max(int(part.min()) - 2, 0), int(part.max()) + 3, int(top) + band
        inside = polygon - np.array([low, first], np.int32)
        _tint(image[first : first + part.shape[1], low:high], inside, colour, strength)


def _tint(region: np.ndarray, polygon_px: np.ndarray, colour: str, strength: float) -> None:
    if region.size:
        over = region.copy()
        cv2.fillPoly(over, [polygon_px], bgr(colour))
        cv2.addWeighted(over, strength, region, 1.0 - strength, 0.0, dst=region)


@lru_cache(64)
def _flat(colour: str, shape: tuple[int, ...]) -> np.ndarray:
    """A picture of one colour."""
    return np.full(shape, bgr(colour), np.uint8)
