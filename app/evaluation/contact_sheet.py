"""Pictures side by side on one sheet: the quickest way to see what kind of mistakes are made."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from app.palette import YELLOW, put_text

TILE_PX = (640, 360)
_COLUMNS = 2
_TEXT_PX = 20


def contact_sheet(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """(H, W, 3) uint8 sheet of pictures (h, w, 3) of any sizes in two columns, each with its caption.

    Pictures are fitted into tiles of 640x360 with their aspect kept.
    """
    tiles = [_tile(picture, caption) for picture, caption in zip(pictures, captions, strict=True)]
    while not tiles or len(tiles) % _COLUMNS:
        tiles.append(np.zeros((TILE_PX[1], TILE_PX[0], 3), np.uint8))
    return np.vstack([np.hstack(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)])


def _tile(picture: np.ndarray, caption: str) -> np.ndarray:
    tile = np.zeros((TILE_PX[1], TILE_PX[0], 3), np.uint8)
    scale = min(TILE_PX[0] / picture.shape[1], TILE_PX[1] / picture.shape[0])
    width, height = max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1)
    left, top = (TILE_PX[0] - width) // 2, (TILE_PX[1] - height) // 2
    tile[top : top + height, left : left + width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    put_text(tile, caption, (8, 6 + _TEXT_PX), _TEXT_PX, YELLOW, weight=600)
    return tile
