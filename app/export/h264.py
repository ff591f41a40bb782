"""The clip of a record as H.264 access units in Annex B form, one a picture, as MCAP and rerun want them.

Both take no B-frames, because their players show each picture as it comes: "Foxglove does not support video streams
that include B frames because they require lookahead" (CompressedVideo), and rerun's video streams say the same. What is
H.264 without B-frames, as most dashcams write it, is passed on bit for bit; anything else is encoded again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from app.record import Recording, clip_path
from app.video import frames, probe
from app.video_writer import KEY_FRAME_EVERY_S, TIME_BASE, Pictures420, name_colours

_SLACK_S = 1e-5  # the times of a record are rounded to microseconds, those of an MP4 to 11 of them
_CRF, _PRESET, _THREADS = 23, "veryfast", 2  # smaller than the annotated video: an export is made once


@dataclass(frozen=True)
class Sample:
    """One picture: its time in the record's clock, an Annex B access unit, whether decoding can begin with it."""

    t_s: float
    data: bytes
    key: bool


@dataclass(frozen=True)
class ClipVideo:
    """A file, or a folder of pictures, with what a record saw, in the record's clock."""

    path: Path

    def samples(self, first_s: float) -> Iterator[Sample]:
        """Pictures from first_s on, and what is needed to decode the first of them.

        Raises:
            InputError: the file cannot be read.
        """
        as_it_is = passes_as_it_is(self.path)
        units = _passed(self.path) if as_it_is else _encoded(self.path, max(0.0, first_s - _SLACK_S))
        return _decodable(units, first_s)


def clip_of(recording: Recording) -> ClipVideo | None:
    """The pictures of a record: the clip it was made of, or the page's copy of it in the run's folder; None without."""
    path = clip_path(recording)
    return None if path is None else ClipVideo(path)


class Pictures:
    """The pictures of a record, given out in step with its frames."""

    def __init__(self, recording: Recording) -> None:
        self.clip = clip_of(recording)
        self._samples: Iterator[Sample] | None = None
        self._next: Sample | None = None

    def until(self, t_s: float) -> Iterator[Sample]:
        """Those that were not given out yet and are not after ``t_s``; the first call says where the record begins."""
        if self._samples is None:
            self._samples = iter(()) if self.clip is None else self.clip.samples(t_s)
        while True:
            if self._next is None:
                self._next = next(self._samples, None)
            if self._next is None or self._next.t_s > t_s + _SLACK_S:
                return
            at_frame = abs(self._next.t_s - t_s) <= _SLACK_S  # then exactly: its time is that of the frame
            yield replace(self._next, t_s=t_s) if at_frame else self._next
            self._next = None


def passes_as_it_is(path: Path) -> bool:
    """Whether the file is H.264 4:2:0 in an MP4 or Matroska, upright, and without B-frames: times rise in the order
    of decoding."""
    import av

    if path.is_dir():
        return False
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        code = stream.codec_context
        if code.name != "h264" or code.pix_fmt not in ("yuv420p", "yuvj420p"):
            return False
        if not {"mp4", "matroska"} & set(container.format.name.split(",")):
            return False
        first = next(container.decode(stream), None)
        if first is None or first.rotation:
            return False
    with av.open(str(path)) as container:
        times = [packet.pts for packet in container.demux(container.streams.video[0]) if packet.size]
    return None not in times and all(a < b for a, b in pairwise(times))


def _passed(path: Path) -> Iterator[Sample]:
    import av
    from av.bitstream import BitStreamFilterContext

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        to_annex_b = BitStreamFilterContext("h264_mp4toannexb", stream)  # adds the parameter sets to key frames, too
        start = stream.start_time or 0
        for packet in container.demux(stream):
            if packet.size:
                for unit in to_annex_b.filter(packet):
                    ticks = (unit.pts or 0) - start
                    yield Sample(float(ticks * (stream.time_base or TIME_BASE)), bytes(unit), unit.is_keyframe)


def _encoded(path: Path, first_s: float) -> Iterator[Sample]:
    info = probe(path)
    encoder, pictures = _encoder(info.size_px, info.rate), Pictures420()
    for frame in frames(info, start_s=first_s):
        picture = pictures(frame.bgr)
        picture.pts, picture.time_base = round(frame.t_s / TIME_BASE), TIME_BASE
        yield from _samples(encoder.encode(picture))
    yield from _samples(encoder.encode(None))


def _encoder(size_px: tuple[int, int], rate: Fraction) -> Any:
    import av

    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = (side + side % 2 for side in size_px)
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = TIME_BASE
    encoder.framerate = rate.limit_denominator(100_000)
    encoder.gop_size = max(1, round(KEY_FRAME_EVERY_S * rate))
    encoder.options = {"crf": str(_CRF), "preset": _PRESET, "threads": str(_THREADS), "bf": "0"}
    name_colours(encoder)
    return encoder


def _samples(packets: Iterable[Any]) -> Iterator[Sample]:
    for packet in packets:
        yield Sample(float(packet.pts * TIME_BASE), bytes(packet), packet.is_keyframe)


def _decodable(samples: Iterable[Sample], first_s: float) -> Iterator[Sample]:
    """Samples from a time on, and before them what the first needs to be decoded."""
    waiting: deque[Sample] = deque()
    for sample in samples:
        if sample.t_s >= first_s - _SLACK_S:
            yield from waiting
            waiting.clear()
            yield sample
            continue
        if sample.key:
            waiting.clear()
        waiting.append(sample)
