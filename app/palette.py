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


@cache
def bgr(colour: str) -> tuple[int, int, int]:
    """OpenCV's blue, green, red of a hex colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return blue, green, red


_OBJECT_BGR = np.array([bgr(colour) for colour in (*CLASS_COLOURS, ALERT)])


def colours_of(class_id: np.ndarray, alert: np.ndarray | None = None) -> np.ndarray:
    """(N, 3) blue, green, red of objects, those warned of in the alert colour."""
    return _OBJECT_BGR[class_id if alert is None else np.where(alert, len(CLASSES), class_id)]


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
        from app.picture_kernels import shade as blend

        blend(rows_of(image), np.array(box), np.array(bgr(colour)), round(256 * strength))


def tint(
    image: np.ndarray, polygons_px: Sequence[np.ndarray] | np.ndarray, colours_bgr: np.ndarray, strength: float
) -> None:
    """Blend filled polygons, (K, 2) corners each, in colours (N, 3) over the picture in place, one after the other."""
    from app.picture_kernels import tint as blend

    if len(polygons_px):
        ends = np.cumsum([len(polygon) for polygon in polygons_px])
        points = np.concatenate(polygons_px).astype(np.float64, order="C")
        blend(rows_of(image), points, ends, colours_bgr, round(256 * strength))


def frame_boxes(image: np.ndarray, boxes_px: np.ndarray, colours_bgr: np.ndarray, thickness_px: int) -> None:
    """Draw the edges of boxes (N, 4) in colours (N, 3), in place."""
    from app.picture_kernels import frame_boxes as draw

    draw(rows_of(image), boxes_px.astype(np.int64, order="C"), colours_bgr, thickness_px)


class Strokes:
    """Lines to be drawn in one go, those given first below the others."""

    def __init__(self) -> None:
        self._points: list[np.ndarray] = []
        self._counts: list[int] = []
        self._lengths: list[int] = []
        self._widths_px: list[float] = []
        self._colours: list[np.ndarray | Sequence[Sequence[int]]] = []

    def add(self, lines_px: np.ndarray, colours_bgr: np.ndarray | Sequence[Sequence[int]], width_px: float) -> None:
        """Lines of equal numbers of points (N, K, 2), x and y in pixels, in colours (N, 3)."""
        count, length = lines_px.shape[:2]
        if count:
            self._points.append(lines_px.reshape(-1, 2))
            self._counts.append(count)
            self._lengths.append(length)
            self._widths_px.append(width_px)
            self._colours.append(colours_bgr)

    def add_uneven(
        self, points_px: np.ndarray, lengths: Sequence[int], colours_bgr: np.ndarray, width_px: float
    ) -> None:
        """N lines one after the other in (K, 2) points, so many points of each, in colours (N, 3)."""
        if lengths:
            self._points.append(points_px)
            self._counts.extend([1] * len(lengths))
            self._lengths.extend(lengths)
            self._widths_px.extend([width_px] * len(lengths))
            self._colours.append(colours_bgr)

    def draw(self, image: np.ndarray) -> None:
        """Draw them on the picture in place."""
        from app.picture_kernels import strokes

        if self._counts:
            lengths, widths_px = np.repeat((self._lengths, self._widths_px), self._counts, axis=1)
            points, colours = np.concatenate(self._points, dtype=np.float64), np.concatenate(self._colours)
            strokes(rows_of(image), points, lengths.cumsum().astype(np.int64), widths_px, colours)


def rows_of(image: np.ndarray) -> np.ndarray:
    """(H, 3 W) view of a picture, or of some of its columns."""
    rows = image.reshape(len(image), -1)
    if not np.may_share_memory(rows, image):
        raise ValueError(f"a picture with strides {image.strides} cannot be drawn on in place")
    return rows
