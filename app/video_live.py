"""Live sources: a thread keeps only the newest picture, so that what is slow skips frames and never lags."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from app.video_types import ClipInfo, ReadReport
from geometry.errors import InputError
from perception.types import Frame

_NO_FRAME_S = 10.0  # a live source that is silent for so long is gone

# Reads on: the next picture as (seconds, something that makes the picture), or None at the end.
Grab = Callable[[], "tuple[float, Callable[[], np.ndarray | None]] | None"]


class LatestFrame:
    """Reads a source in a thread of its own and holds the newest picture only.

    Args:
        grab: called in the thread, again and again.
        release: called in the thread when it ends: nothing may close a source that it still reads.
    """

    def __init__(self, grab: Grab, release: Callable[[], None] = lambda: None) -> None:
        self._grab, self._release = grab, release
        self._news = threading.Condition()
        self._latest: tuple[int, float, Callable[[], np.ndarray | None]] | None = None
        self._ended = False
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="latest-frame", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        index = 0
        try:
            while not self._stop.is_set():
                grabbed = self._grab()
                if grabbed is None:
                    break
                with self._news:
                    self._latest = (index, *grabbed)
                    self._news.notify()
                index += 1
        except Exception as error:  # handed to the thread that asks for frames
            self._error = error
        self._release()
        with self._news:
            self._ended = True
            self._news.notify()

    def take(self, timeout_s: float = _NO_FRAME_S) -> tuple[int, float, np.ndarray] | None:
        """The newest picture not taken yet: index, seconds, (H, W, 3); waits for one; None at the end.

        Raises:
            InputError: nothing came for ``timeout_s``, or reading failed.
        """
        with self._news:
            if not self._news.wait_for(lambda: self._latest is not None or self._ended, timeout_s):
                raise InputError(f"no picture came for {timeout_s:.0f} s; is the camera still there?")
            latest, self._latest = self._latest, None
        if latest is None:
            if self._error is not None:
                raise InputError(f"the live source failed: {self._error}") from self._error
            return None
        index, t_s, picture_of = latest
        picture = picture_of()
        return None if picture is None else (index, t_s, picture)

    def close(self) -> None:
        """Ends the thread: at once, or when the source that it waits for says something or nothing for too long."""
        self._stop.set()
        self._thread.join(timeout=0.5)


def probe_camera(number: int) -> ClipInfo:
    """Facts about a webcam."""
    capture = _open_camera(number)
    try:
        good, picture = capture.read()
        if not good:
            raise InputError(f"camera {number} gives no picture; is another program using it?")
        rate = capture.get(cv2.CAP_PROP_FPS) or 30.0
    finally:
        capture.release()
    height, width = picture.shape[:2]
    return ClipInfo(str(number), "camera", width, height, Fraction(rate).limit_denominator(1001), codec="webcam")


def _open_camera(number: int) -> Any:
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        capture.release()
        raise InputError(f"no camera {number} can be opened; wanted the number of a webcam (0 is the first) or a file")
    return capture


def latest_frames(info: ClipInfo, report: ReadReport) -> Iterator[Frame]:
    """Newest frames of a webcam or an address, as fast as they are asked for; skipped ones are counted."""
    grab, release = (
        _camera_grab(int(info.source), report) if info.kind == "camera" else _stream_grab(info.source, report)
    )
    reader = LatestFrame(grab, release)
    previous = -1
    try:
        while (taken := reader.take()) is not None:
            index, t_s, picture = taken
            report.skipped_late += index - previous - 1
            previous = index
            yield Frame(index, t_s, picture)
    finally:
        reader.close()


def _camera_grab(number: int, report: ReadReport) -> tuple[Grab, Callable[[], None]]:
    capture = _open_camera(number)
    start_s = report.live_since_s = time.monotonic()

    def grab() -> tuple[float, Callable[[], np.ndarray | None]] | None:
        good, picture = capture.read()
        return (time.monotonic() - start_s, lambda: picture) if good else None

    return grab, capture.release


def _stream_grab(address: str, report: ReadReport) -> tuple[Grab, Callable[[], None]]:
    import av

    from app.video import open_container

    container = open_container(address)
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1  # frame threads hold frames back: here only the newest counts
    decoded = container.decode(stream)
    start_s = report.live_since_s = time.monotonic()

    def grab() -> tuple[float, Callable[[], np.ndarray | None]] | None:
        try:
            picture = next(decoded, None)
        except (av.error.FFmpegError, OSError) as error:
            report.lost = error.strerror or type(error).__name__  # what was seen so far still counts
            return None
        if picture is None:
            return None
        # The time of arrival: cameras restart and clocks of streams jump, the vehicle's time does not.
        return time.monotonic() - start_s, lambda: picture.to_ndarray(format="bgr24")

    return grab, container.close
