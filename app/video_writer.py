"""Pictures out: H.264 that every browser and phone plays, whole under its final name or not there at all."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.partial import PartialFile, partial_path
from geometry.errors import InputError

TIME_BASE = Fraction(1, 90_000)  # MPEG's clock: exact for 24, 25, 30, 50 and 60 Hz, 11 microseconds fine for the rest
_BT709 = 1  # ITU-T H.273: code point of primaries, transfer and matrix that high definition and browsers assume
_LIMITED_RANGE = 1
KEY_FRAME_EVERY_S = 2.0  # what a player can jump to
# With B frames and the macroblock tree x264 165's assembly reads memory of the stack that nothing was written to where
# the picture is an odd number of macroblocks wide (valgrind tells; its C code does not): equal pictures then give other
# bytes now and then. Without the tree files are 5 % larger at equal quality, and equal.
_REPEATABLE = "mbtree=0"
# What makes x264's ultrafast as good as its superfast at half of its time: the tools that cost little are put back. At
# crf 25 files are some percent smaller than superfast's at 23, at equal noise (no adaptive quantisation). Arithmetic
# coding stays out: the same pictures take a tenth less room with it, and a tenth more time.
_CHEAP_TOOLS = "8x8dct=1:no-deblock=0:deblock=0,0:subme=1"


def name_colours(context: Any) -> None:
    """Says in an encoder's stream which colours ``Pictures420`` makes."""
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED_RANGE


class Pictures420:
    """Makes FFmpeg's 4:2:0 pictures of (H, W, 3) blue-green-red ones, in the colours that ``name_colours`` says.

    Odd sizes are padded to even by repeating the last column or row. One picture is made again and again: encoders copy
    what they are given, and the next one may be made when ``encode`` has returned.
    """

    def __init__(self) -> None:
        from app.picture_kernels import planes_420

        self._fill = planes_420
        self._picture: Any = None
        self._planes: list[np.ndarray] = []

    def __call__(self, *parts: np.ndarray) -> Any:
        """The picture that parts of one height make side by side, its time not set."""
        height = parts[0].shape[0]
        width = sum(part.shape[1] for part in parts)
        if height % 2 or any(part.shape[1] % 2 for part in parts):
            whole = np.concatenate(parts, axis=1)
            parts = (cv2.copyMakeBorder(whole, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE),)
            height, width = parts[0].shape[:2]
        if self._picture is None or (self._picture.height, self._picture.width) != (height, width):
            self._make(height, width)
        left = 0
        for part in parts:
            self._fill(np.ascontiguousarray(part).reshape(height, -1), left, *self._planes)
            left += part.shape[1]
        return self._picture

    def _make(self, height: int, width: int) -> None:
        import av

        self._picture = av.VideoFrame(width, height, "yuv420p")
        rows = ((plane, plane.height) for plane in self._picture.planes)
        self._planes = [np.frombuffer(plane, np.uint8).reshape(count, plane.line_size) for plane, count in rows]


class VideoWriter(PartialFile):
    """Writes (H, W, 3) blue-green-red pictures with their times into an .mp4 (H.264, yuv420p, +faststart).

    As a context manager it renames the file to its final name when the block ends without an exception; otherwise it
    closes it properly under ``partial_path``: playable up to the last frame. Odd sizes are padded to even by repeating
    the last column or row, because 4:2:0 has one colour for 2 x 2 pixels. Equal pictures and settings give equal bytes.

    Args:
        path: final name.
        size_px: width and height of the pictures.
        rate: nominal pictures a second, a hint to the encoder; the times given with the pictures count.
        crf: constant rate factor of x264: 20 looks lossless, 25 is good, 30 is small.
        preset: x264's, from ultrafast, here with the tools that cost little, to veryslow.
        threads: of the encoder; the file depends on it in its last bits, so it does not follow the machine.

    Raises:
        InputError: the file cannot be made or written (no folder, no right, no space).
    """

    def __init__(
        self,
        path: str | Path,
        size_px: tuple[int, int],
        rate: Fraction,
        *,
        crf: int = 25,
        preset: str = "ultrafast",
        threads: int = 1,
    ) -> None:
        import av

        self.path = Path(path)
        self.partial = partial_path(self.path)
        self.frames = 0
        self._width, self._height = size_px
        self._last_pts = -1
        self._pictures = Pictures420()
        try:
            self.partial.touch()  # FFmpeg would find out at the first frame only
            self._container: Any = av.open(str(self.partial), "w", format="mp4", options={"movflags": "+faststart"})
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        stream = self._container.add_stream("libx264", rate=rate.limit_denominator(100_000))
        stream.width = self._width + self._width % 2
        stream.height = self._height + self._height % 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": preset, "crf": str(crf), "threads": str(threads)}
        stream.options |= {"x264-params": f"{_REPEATABLE}:{_CHEAP_TOOLS}" if preset == "ultrafast" else _REPEATABLE}
        context = stream.codec_context
        context.time_base = TIME_BASE
        context.gop_size = max(1, round(KEY_FRAME_EVERY_S * rate))
        name_colours(context)
        self._stream = stream

    def write(self, bgr: np.ndarray | Sequence[np.ndarray], t_s: float) -> None:
        """Adds a picture, or what several of them are side by side, shown from ``t_s`` on; times must rise."""
        import av

        parts = (bgr,) if isinstance(bgr, np.ndarray) else tuple(bgr)
        shape = (parts[0].shape[0], sum(part.shape[1] for part in parts), 3)
        if shape != (self._height, self._width, 3) or any(part.shape[::2] != shape[::2] for part in parts):
            got = " and ".join(str(part.shape) for part in parts)
            raise ValueError(f"picture has shape {got}, must be ({self._height}, {self._width}, 3)")
        picture = self._pictures(*parts)
        picture.pts = self._last_pts = max(self._last_pts + 1, round(t_s / TIME_BASE))
        picture.time_base = TIME_BASE
        try:
            self._container.mux(self._stream.encode(picture))
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        self.frames += 1

    def close(self) -> None:
        """Ends the file, still under its partial name."""
        import av

        if self._container is None:
            return
        container, self._container = self._container, None
        try:
            if self.frames:
                container.mux(self._stream.encode())
            container.close()
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def finish(self) -> Path:
        """Ends the file and gives it its final name.

        Raises:
            InputError: no frame was written, or the disk refused.
        """
        self.close()
        if not self.frames:
            self.partial.unlink(missing_ok=True)
            raise InputError(f"{self.path} was given no frame; wanted at least one")
        self.partial.replace(self.path)
        return self.path

    def _failed(self, error: BaseException) -> InputError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return InputError(f"{self.partial} cannot be written: {reason}")
