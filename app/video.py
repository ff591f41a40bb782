"""Pictures in: clips, folders of pictures, webcams and streams become ``Frame``s with exact times in seconds.

Times come from the container (presentation time stamps times the rational time base), never from counting frames, so
clips of variable rate keep their clock; time 0 is the start of the stream. Every frame is decoded, but only those that
are asked for are converted to blue-green-red. Rotation flags are applied: a frame stands as a player would show it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.video_folder import folder_frames, probe_folder
from app.video_types import BufferPool, ClipInfo, FreshBuffers, ReadReport, SourceKind
from app.video_writer import VideoWriter
from geometry.errors import InputError
from perception.types import Frame

__all__ = ["MIN_SIDE_PX", "BufferPool", "ClipInfo", "ReadReport", "VideoWriter", "frames", "glimpses", "probe"]

MIN_SIDE_PX = 16  # a car 50 m away is narrower than a pixel in such a picture: there is nothing to find
_SHORT_FRAMES = 600  # such a clip is read through as fast as it is looked at here and there
_SEEK_FRAMES = 30  # decoded at most from a key frame towards the time that was asked for
_BACKWARD_JUMP_S = 1.0  # a clock that falls back further than this was reset (clips glued together)

Source = str | Path | int


def probe(source: Source) -> ClipInfo:
    """Facts about a source, found by opening it and decoding one frame.

    Args:
        source: file, folder of pictures, webcam number, or RTSP / HTTP address.

    Raises:
        InputError: nothing there, nothing that can be decoded, or pictures too small to use.
    """
    kind, name = _kind(source)
    if kind == "folder":
        info = probe_folder(Path(name))
    elif kind == "camera":
        from app.video_live import probe_camera

        info = probe_camera(int(name))
    else:
        info = _probe_container(kind, name)
    if min(info.size_px) < MIN_SIDE_PX:
        raise InputError(
            f"{name} has pictures of {info.width_px}x{info.height_px} pixels; "
            f"at least {MIN_SIDE_PX}x{MIN_SIDE_PX} are needed to see anything on a road"
        )
    return info


def frames(  # noqa: PLR0913 - each is one choice of the caller, all with plain defaults
    source: Source | ClipInfo,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    every: int = 1,
    rate: Fraction | None = None,
    threads: int = 0,
    buffers: BufferPool | None = None,
    report: ReadReport | None = None,
) -> Iterator[Frame]:
    """Frames of a source in order, as (H, W, 3) blue-green-red with their index in the source and time in seconds.

    Args:
        source: as ``probe`` takes it, or what it gave.
        start_s, end_s: only frames with start_s <= t < end_s.
        every: only each n-th frame of the source (indices divisible by it); the others are never converted.
        rate: pictures a second of a folder without time stamps.
        threads: of the decoder; 0 lets it choose.
        buffers: reused for the pictures: hold no frame for longer than you need it. None: each frame its own.
        report: where trouble is counted.

    Raises:
        InputError: as ``probe``; or the clip breaks off before the end that it declares.
    """
    if not (start_s >= 0 and (end_s is None or end_s > start_s)):
        raise InputError(f"cannot read from {start_s} s to {end_s} s; wanted 0 <= start < end")
    if every < 1:
        raise InputError(f"cannot take every {every}th frame; wanted a whole number from 1")
    report = report if report is not None else ReadReport()
    buffers = buffers if buffers is not None else FreshBuffers()
    info = source if isinstance(source, ClipInfo) else probe(source)
    if info.live:
        from app.video_live import latest_frames

        stream: Iterator[Frame] = latest_frames(info, report)
    elif info.kind == "folder":
        stream = folder_frames(Path(info.source), rate, every, report)
    else:
        stream = _container_frames(info, _Reading(start_s, end_s, every, threads), buffers, report)
    taken = 0
    for frame in stream:
        if end_s is not None and frame.t_s >= end_s:
            break
        if frame.t_s >= start_s and frame.index % every == 0:
            taken += 1
            yield frame
    if taken == 0:
        length = "" if info.duration_s is None else f", which is {info.duration_s:.2f} s long"
        until = "its end" if end_s is None else f"{end_s:g} s"
        comma = "," if length else ""
        raise InputError(
            f"no frame of {info.source}{length}{comma} lies between {start_s:g} s and {until}; give another range"
        )


def glimpses(info: ClipInfo, count: int) -> Iterator[Frame]:
    """About ``count`` frames from all over a clip or a folder, with their times, index 0.

    A long clip is not read through: near each place the first frame from a key frame on is taken, so there may be
    fewer. A clip that breaks off ends them.

    Raises:
        InputError: it cannot be opened.
    """
    total = info.frames or 0
    if info.kind == "file" and total > _SHORT_FRAMES and info.duration_s:
        yield from _seek_glimpses(info, count)
        return
    try:
        for frame in frames(info, every=max(1, total // count)):
            yield Frame(0, frame.t_s, frame.bgr)
    except InputError:
        return


def _seek_glimpses(info: ClipInfo, count: int) -> Iterator[Frame]:
    import av

    assert info.duration_s is not None
    taken: set[int] = set()
    with open_container(info.source) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        start = stream.start_time or 0
        for number in range(count):
            target = start + int((number + 0.5) / count * info.duration_s / stream.time_base)
            try:
                container.seek(target, stream=stream, backward=True)
            except av.error.FFmpegError:
                return
            last = None
            for _, last in zip(range(_SEEK_FRAMES), _decoded(container, stream, ReadReport()), strict=False):
                if last.pts is None or last.pts >= target:
                    break
            if last is not None and last.pts is not None and last.pts not in taken:
                taken.add(last.pts)
                yield Frame(0, float((last.pts - start) * stream.time_base), _bgr(last, info, FreshBuffers()))


# -- kinds of source ------------------------------------------------------------------------------------------------


def _kind(source: Source) -> tuple[SourceKind, str]:
    name = str(source)
    if re.match(r"(rtsps?|rtmp|https?|udp|srt|tcp)://", name):
        return "url", name
    path = Path(name)
    if path.is_dir():
        return "folder", name
    if not path.exists():
        if name.isdigit():
            return "camera", name
        raise InputError(
            f"no such file: {name}; wanted a clip, a folder of pictures, a webcam number or an rtsp:// address"
        )
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{name} is empty (0 bytes); wanted a video clip")
    return "file", name


# -- containers: files and addresses --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reading:
    start_s: float
    end_s: float | None
    every: int
    threads: int


def open_container(name: str) -> Any:
    """The container of a file or an address, opened for reading; faults become one line."""
    import av

    options = {"rtsp_transport": "tcp"} if name.startswith("rtsp") else {}
    try:
        container = av.open(name, options=options, timeout=(10.0, 10.0) if "://" in name else None)
    except (av.error.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{name} cannot be opened as video ({reason}); is it whole, and a video at all?") from error
    if not container.streams.video:
        container.close()
        raise InputError(f"{name} holds no video stream; wanted a clip with pictures")
    return container


def _probe_container(kind: SourceKind, name: str) -> ClipInfo:
    with open_container(name) as container:
        stream = container.streams.video[0]
        first = next(_decoded(container, stream, ReadReport()), None)
        if first is None:
            raise InputError(f"{name} holds no frame that can be decoded; wanted a clip with at least one")
        turned = first.rotation % 180 != 0
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        duration = None
        if stream.duration is not None:
            duration = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration = container.duration / 1e6  # AV_TIME_BASE: microseconds
        return ClipInfo(
            source=name,
            kind=kind,
            width_px=first.height if turned else first.width,
            height_px=first.width if turned else first.height,
            rate=rate,
            duration_s=duration,
            frames=stream.frames or (round(duration * rate) if duration else None),
            codec=stream.codec_context.name,
            pixel_format=first.format.name,
            rotation_deg=first.rotation,
        )


def _decoded(container: Any, stream: Any, report: ReadReport) -> Iterator[Any]:
    """Decoded frames; packets that cannot be decoded are counted and left out."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.EOFError):
            return
        except av.error.FFmpegError:
            report.corrupt += 1
            return
        try:
            decoded = packet.decode()
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            report.corrupt += 1
            continue
        yield from decoded


class _Clock:
    """Seconds since the start of the stream, strictly rising."""

    def __init__(self, stream: Any, period_s: Fraction, report: ReadReport) -> None:
        self._start = stream.start_time
        self._time_base = stream.time_base
        self._period_s = period_s
        self._offset_s = Fraction(0)
        self._last_s: Fraction | None = None
        self._report = report

    def time_s(self, frame: Any) -> Fraction | None:
        """Time of a decoded frame, None for one that is not after the frame before."""
        last_s = self._last_s
        if frame.pts is None:
            time_s = Fraction(0) if last_s is None else last_s + self._period_s
        else:
            if self._start is None:
                self._start = frame.pts
            time_s = (frame.pts - self._start) * (frame.time_base or self._time_base) + self._offset_s
            if last_s is not None and time_s < last_s - _BACKWARD_JUMP_S:
                self._offset_s += last_s + self._period_s - time_s
                time_s = last_s + self._period_s
                self._report.clock_resets += 1
        if last_s is not None and time_s <= last_s:
            self._report.out_of_order += 1
            return None
        self._last_s = time_s
        return time_s


def _container_frames(info: ClipInfo, reading: _Reading, buffers: BufferPool, report: ReadReport) -> Iterator[Frame]:
    with open_container(info.source) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = reading.threads
        times = _seek(container, stream, reading.start_s) if reading.start_s > 0 else []
        clock = _Clock(stream, 1 / info.rate, report)
        index = -1
        last_s = 0.0
        for decoded in _decoded(container, stream, report):
            time_s = clock.time_s(decoded)
            if time_s is None:
                continue
            index = bisect_left(times, decoded.pts) if times and decoded.pts <= times[-1] else index + 1
            last_s = float(time_s)
            if last_s < reading.start_s:
                continue
            if index % reading.every == 0:
                yield Frame(index, last_s, _bgr(decoded, info, buffers))
            elif reading.end_s is not None and last_s >= reading.end_s:
                return
        _check_whole(info, index + 1, last_s)


def _seek(container: Any, stream: Any, start_s: float) -> list[int]:
    """Moves to the last key frame before ``start_s``; the time stamps of all frames up to there, sorted.

    The packets before it are read but not decoded: that is the only way to know the index of a frame in every format.
    An empty list means that nothing was skipped.
    """
    if stream.start_time is None:
        return []
    target = stream.start_time + int(start_s / stream.time_base)
    times: list[int] = []
    key = stream.start_time
    for packet in container.demux(stream):
        if packet.pts is None:
            break
        if not packet.is_discard:
            times.append(packet.pts)
        if packet.is_keyframe and packet.pts <= target:
            key = packet.pts
        if packet.dts is not None and packet.dts > target:
            break
    container.seek(key, stream=stream, backward=True)
    return sorted(time for time in times if time <= target)  # later ones are not all known yet


def _bgr(decoded: Any, info: ClipInfo, buffers: BufferPool) -> np.ndarray:
    """The picture upright in blue-green-red, in a buffer of the pool; a size that changes mid-clip is scaled back."""
    turned = info.rotation_deg % 180 != 0
    width, height = (info.height_px, info.width_px) if turned else info.size_px
    converted = decoded.reformat(width=width, height=height, format="bgr24", threads=1)
    plane = converted.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)[:, : 3 * width].reshape(height, width, 3)
    target = buffers.take(info.height_px, info.width_px)
    quarter = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
    turn = quarter.get(info.rotation_deg % 360)
    if turn is None:
        np.copyto(target, rows)
    else:
        cv2.rotate(np.ascontiguousarray(rows), turn, dst=target)
    return target


def _check_whole(info: ClipInfo, count: int, last_s: float) -> None:
    """Whether the end that the container declares was reached, within 2 % and two frames."""
    if info.kind != "file" or not info.frames or info.duration_s is None:
        return
    slack = max(2.0, 0.02 * info.frames)
    if count < info.frames - slack and last_s < info.duration_s - slack / float(info.rate):
        raise InputError(
            f"{info.source} breaks off: {count} of {info.frames} frames ({last_s:.2f} of {info.duration_s:.2f} s) "
            f"could be read; copy it again, or use what is there with --end {last_s:.2f}"
        )
