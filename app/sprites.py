"""Small pictures that are painted once and laid over many frames: labels, lines of text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from app.palette import WHITE, put_text, rows_of, text_width


@dataclass(frozen=True, eq=False)
class Sprite:
    """A small picture to be laid over another: what is kept of that one in 256ths, and what is added, (h, 3 w) each."""

    keep: np.ndarray
    add: np.ndarray

    @classmethod
    def of(cls, width_px: int, height_px: int, paint: Callable[[np.ndarray], object]) -> Sprite:
        """What ``paint`` does to a picture, found by letting it paint on black and on white: text with its soft edges
        is drawn once and then laid down at a tenth of the time."""
        black = np.zeros((height_px, width_px, 3), np.uint8)
        white = np.full_like(black, 255)
        paint(black)
        paint(white)
        keep = ((white.astype(np.int64) - black) * 256 + 127) // 255
        return cls(keep.clip(0).astype(np.uint16).reshape(height_px, -1), black.reshape(height_px, -1))

    def lay(self, image: np.ndarray, left: int, top: int) -> None:
        """Lay it over the picture in place with its corner at a pixel, clipped to the picture."""
        from app.picture_kernels import lay_over

        height, width = image.shape[:2]
        x1, x2 = max(left, 0), min(left + self.keep.shape[1] // 3, width)
        y1, y2 = max(top, 0), min(top + len(self.keep), height)
        if x1 >= x2 or y1 >= y2:
            return
        keep, add = self.keep, self.add
        if keep.shape != (y2 - y1, 3 * (x2 - x1)):
            part = np.s_[y1 - top : y2 - top, 3 * (x1 - left) : 3 * (x2 - left)]
            keep, add = np.ascontiguousarray(keep[part]), np.ascontiguousarray(add[part])
        lay_over(rows_of(image)[y1:y2, 3 * x1 : 3 * x2], keep, add)


@lru_cache(256)
def text_sprite(text: str, size_px: int, colour: str, weight: int) -> Sprite:
    """A line of text; its baseline is ``size_px`` below its upper edge."""
    width = text_width(text, size_px, weight=weight) + 4
    return Sprite.of(
        width, round(1.4 * size_px), lambda image: put_text(image, text, (2, size_px), size_px, colour, weight=weight)
    )


def lay_text(
    image: np.ndarray, text: str, at: tuple[int, int], size_px: int, colour: str = WHITE, *, weight: int = 500
) -> None:
    """``put_text`` for what stays the same from frame to frame."""
    text_sprite(text, size_px, colour, weight).lay(image, at[0] - 2, at[1] - size_px)
