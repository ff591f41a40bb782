"""Colours and text of every picture: the Okabe-Ito palette, which colour-blind people can tell apart.

Source: M. Okabe, K. Ito, "Color Universal Design", 2008. Colours are red-green-blue hex; OpenCV wants them reversed.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from perception.types import CLASSES

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE, GREY, WHITE = "#0072B2", "#D55E00", "#CC79A7", "#BFBFBF", "#FFFFFF"

CLASS_COLOURS: tuple[str, ...] = (SKY, BLUE, BLUE, BLUE, ORANGE, PURPLE, PURPLE, PURPLE, GREY, GREY)
"""One colour a class of ``CLASSES``: cars, large vehicles, people, two-wheelers, lights and signs."""
ALERT, EGO_LANE, OTHER_LANE, PANEL = VERMILLION, GREEN, GREY, "#15181C"

assert len(CLASS_COLOURS) == len(CLASSES)


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


def text_width(text: str, size_px: int, *, weight: int = 500) -> int:
    """Width in pixels that ``put_text`` will take."""
    return cv2.getTextSize((0, 0), text, (0, 0), _font(), size_px, weight)[2]


def shade(image: np.ndarray, box: tuple[int, int, int, int], colour: str = PANEL, strength: float = 0.6) -> None:
    """Blend a colour over the rectangle (left, top, right, bottom) in place, clipped to the picture."""
    left, top, right, bottom = box
    region = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if region.size:
        flat = np.empty_like(region)
        flat[:] = bgr(colour)
        cv2.addWeighted(flat, strength, region, 1.0 - strength, 0.0, dst=region)
