"""Records: JSON Lines, one header line and one line a frame; written as frames come, read back as the same types.

docs/records.md describes every key, docs/records.schema.json is the schema; ``app.record_json`` is the one place that
knows how values are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from app.partial import PartialFile, partial_path
from app.record_json import FORMAT, Header, frame_line, header_line, read_frame, read_header
from app.types import FrameResult
from geometry.errors import InputError

__all__ = [
    "FORMAT", "Header", "RecordWriter", "Recording", "Run", "clip_path", "count", "find", "load", "read", "stream",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Recording:
    """A record: its header, and its frames as often as they are gone through.

    ``partial`` where the run did not come to its end; ``folder`` where it lies.
    """

    header: Header
    results: Iterable[FrameResult]
    partial: bool = False
    folder: Path = field(default_factory=Path)


@dataclass(frozen=True, eq=False)
class Run(Recording):
    """A record whose frames are all in memory."""

    results: tuple[FrameResult, ...]


@dataclass(frozen=True)
class _Frames:
    """The frames of a file, read again whenever they are gone through."""

    path: Path

    def __iter__(self) -> Iterator[FrameResult]:
        return (line for line in read(self.path) if isinstance(line, FrameResult))


class RecordWriter(PartialFile):
    """Writes a record line by line under a partial name; whole and renamed when the block ends without an exception.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(self, path: str | Path, header: Header) -> None:
        self.path = Path(path)
        self.partial = partial_path(self.path)
        try:
            self._file: IO[str] = self.partial.open("w", encoding="utf-8")
        except OSError as error:
            raise self._failed(error) from error
        self._line(header_line(header))

    def write(self, result: FrameResult) -> None:
        """Adds a frame."""
        self._line(frame_line(result))

    def _line(self, line: str) -> None:
        try:
            self._file.write(line + "\n")
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Ends the file, still under its partial name."""
        try:
            self._file.close()
        except OSError as error:
            raise self._failed(error) from error

    def finish(self) -> Path:
        """Ends the file and gives it its final name."""
        self.close()
        self.partial.replace(self.path)
        return self.path

    def _failed(self, error: OSError) -> InputError:
        return InputError(f"{self.partial} cannot be written: {error.strerror}")


def find(path: str | Path) -> Path:
    """The record at a path: the file itself, or ``results.jsonl`` (or what is left of one) in a run's folder.

    Raises:
        InputError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        whole = path / "results.jsonl"
        path = whole if whole.exists() or not partial_path(whole).exists() else partial_path(whole)
    if not path.is_file():
        raise InputError(f"no record at {path}; wanted a results.jsonl, or the folder of a run that holds one")
    return path


def read(path: str | Path) -> Iterator[Header | FrameResult]:
    """The header, then frame by frame: records of any length in little memory.

    A last line that was cut off (a killed run) is left out; any other fault is told.

    Raises:
        InputError: no record there, or a line that is none; says which.
    """
    path = find(path)
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            try:
                values = json.loads(line)
                yield read_header(values["header"]) if number == 1 else read_frame(values)
            except InputError:
                raise
            except (ValueError, KeyError, TypeError, IndexError) as error:
                if number > 1 and not line.endswith("\n"):
                    return
                reason = f"{type(error).__name__}: {error}"
                raise InputError(f"{path}, line {number} is no line of a roadlens record ({reason})") from error


def stream(path: str | Path) -> Recording:
    """A record whose frames are read from its file (or its folder's) when they are gone through: little memory.

    Raises:
        InputError: as ``read``; an empty file.
    """
    found = find(path)
    header = next(read(found), None)
    if not isinstance(header, Header):
        raise InputError(f"{found} is empty; wanted a roadlens record")
    return Recording(header, _Frames(found), partial=".partial" in found.name, folder=found.parent)


def load(path: str | Path) -> Run:
    """A whole record in memory, from its file or its folder; four hours take gigabytes, ``stream`` takes none.

    Raises:
        InputError: as ``read``; an empty file.
    """
    recording = stream(path)
    return Run(recording.header, tuple(recording.results), partial=recording.partial, folder=recording.folder)


def count(path: str | Path) -> int:
    """How many frames a record has, by its line breaks: fast, for progress; a line that was cut off is left out."""
    with find(path).open("rb") as file:
        breaks = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    return max(0, breaks - 1)


def clip_path(recording: Recording) -> Path | None:
    """The clip that a record was made of, or the page's copy of it in the run's folder; None where neither is there."""
    places = (str(recording.header.clip.get("source") or ""), str(recording.folder / "clip.mp4"))
    return next((Path(place) for place in places if place and Path(place).exists()), None)
