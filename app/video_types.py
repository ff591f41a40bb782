"""What is known of a source, what went wrong while reading it, and the buffers that frames travel in."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np

SourceKind = Literal["file", "folder", "camera", "url"]


@dataclass(frozen=True)
class ClipInfo:
    """What a source is: sizes after rotation, the mean rate as a fraction, length where it is known."""

    source: str
    kind: SourceKind
    width_px: int
    height_px: int
    rate: Fraction
    duration_s: float | None = None
    frames: int | None = None
    codec: str = ""
    pixel_format: str = ""
    rotation_deg: int = 0

    @property
    def size_px(self) -> tuple[int, int]:
        return self.width_px, self.height_px

    @property
    def live(self) -> bool:
        """Whether frames come at their own pace and what is not taken is lost."""
        return self.kind == "camera" or (self.kind == "url" and self.duration_s is None)


@dataclass
class ReadReport:
    """What went wrong while reading, counted; filled while the frames are taken.

    ``live_since_s``: when a live source's clock was 0, on the clock of ``time.monotonic``.
    """

    corrupt: int = 0
    out_of_order: int = 0
    clock_resets: int = 0
    skipped_late: int = 0
    lost: str = ""
    live_since_s: float = math.nan

    def age_s(self, t_s: float) -> float:
        """How long ago a live frame with this time came here; NaN where the source is not live."""
        return time.monotonic() - self.live_since_s - t_s

    def notes(self) -> list[str]:
        """One sentence for each kind of trouble."""
        said = {
            "could not be decoded and were left out": self.corrupt,
            "had a time that was not after the one before and were left out": self.out_of_order,
            "time(s) the clock of the clip fell back and was carried on": self.clock_resets,
        }
        notes = [f"{count} {'' if 'clock' in text else 'frame(s) '}{text}" for text, count in said.items() if count]
        if self.lost:
            notes.append(f"the live source was lost: {self.lost}")
        return notes


@dataclass
class BufferPool:
    """Frame buffers used again and again: a buffer is free when nobody but the pool holds it or a view of it."""

    _buffers: list[np.ndarray] = field(default_factory=list)

    def take(self, height_px: int, width_px: int) -> np.ndarray:
        """A (H, W, 3) uint8 buffer with old content; a new one only where all others are in use."""
        shape = (height_px, width_px, 3)
        for position in range(len(self._buffers)):
            # Two references: the list's and the argument of getrefcount. A view or a consumer would be a third.
            if self._buffers[position].shape == shape and sys.getrefcount(self._buffers[position]) == 2:
                return self._buffers[position]
        buffer = np.empty(shape, np.uint8)
        self._buffers.append(buffer)
        return buffer

    def __len__(self) -> int:
        return len(self._buffers)


class FreshBuffers(BufferPool):
    """A pool that never lends a buffer twice."""

    def take(self, height_px: int, width_px: int) -> np.ndarray:
        return np.empty((height_px, width_px, 3), np.uint8)
