"""What every format's writer is: frames in, files that are whole or not there."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from app.partial import partial_path
from app.record import Recording
from app.types import FrameResult
from geometry.errors import InputError
from tracking.types import Tracks, TrackState

PIXEL_CENTRE_PX = 0.5
"""Our pixel (0, 0) is the centre of the top-left pixel; formats that count from its corner have this much more."""


class Exporter(ABC):
    """Writes one format as a context manager: names become final when the block ends without an exception.

    After one nothing is left behind. A subclass names its files, opens ``self.partial[...]`` and writes.
    """

    names: tuple[str, ...]

    def __init__(self, recording: Recording, folder: Path) -> None:
        self.recording = recording
        self.header = recording.header
        self.paths = [folder / name for name in self.names]
        self.partial = [partial_path(path) for path in self.paths]

    @abstractmethod
    def begin(self) -> None:
        """Opens the files."""

    @abstractmethod
    def write(self, result: FrameResult) -> None:
        """Adds a frame."""

    @abstractmethod
    def close(self) -> None:
        """Ends the files, still under their partial names."""

    def __enter__(self) -> Self:
        try:
            self.begin()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        whole = False
        try:
            self.close()
            whole = error is None
        except (OSError, InputError):
            if error is None:  # else the error that is already on its way says why
                raise
        finally:
            if not whole:
                self._remove()
        if whole:
            for partial, path in zip(self.partial, self.paths, strict=True):
                partial.replace(path)

    def _remove(self) -> None:
        for partial in self.partial:
            partial.unlink(missing_ok=True)


class TextExporter(Exporter):
    """A format of one text file, a line an object."""

    def begin(self) -> None:
        self._number = 0
        self._file = self.partial[0].open("w", encoding="utf-8", newline="\n")

    def write(self, result: FrameResult) -> None:
        self._file.writelines(line + "\n" for line in self.lines(self._number, result))
        self._number += 1

    @abstractmethod
    def lines(self, number: int, result: FrameResult) -> list[str]:
        """Lines of the n-th frame of the record, from 0."""

    def close(self) -> None:
        self._file.close()


def believed(result: FrameResult) -> Tracks:
    """Confirmed and coasting tracks."""
    return result.tracks[result.tracks.state != TrackState.TENTATIVE]


def confirmed(result: FrameResult) -> Tracks:
    """Tracks that were seen in this frame and are believed: what benchmarks ask for."""
    return result.tracks[result.tracks.state == TrackState.CONFIRMED]


def finite(value: Any) -> Any:
    """The value, or None where it is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def quaternion_xyzw(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """The unit quaternion of a (3, 3) rotation, scalar last."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(rotation).as_quat().tolist()
    return x, y, z, w
