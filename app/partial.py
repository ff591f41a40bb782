"""Files that are whole under their final name, or not there at all; and how large they are."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from geometry.errors import InputError


def partial_path(path: Path) -> Path:
    """Where a file is written before it is whole: ``clip.mp4`` -> ``clip.partial.mp4``, in the same folder."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


class PartialFile(ABC):
    """A file written under its partial name; as a context manager it gets its final one only without an exception."""

    @abstractmethod
    def close(self) -> None:
        """Ends the file, still under its partial name."""

    @abstractmethod
    def finish(self) -> Path:
        """Ends the file and gives it its final name."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
            return
        try:
            self.close()
        except InputError:
            return  # the error that is already on its way says why


def size_words(path: Path) -> str:
    """How large a file is, for a screen."""
    count = path.stat().st_size
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{math.ceil(count / 1e3)} kB"
