"""The plain clip as every browser plays it: H.264, 4:2:0, one MP4 whose index comes first."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from app.partial import partial_path
from app.video import frames, probe
from app.video_writer import VideoWriter

CLIP = "clip.mp4"
"""Name of the plain clip in a run's folder."""


def browser_clip(source: str | Path, out: str | Path, *, end_s: float | None = None) -> Path:
    """Writes the clip for the player; what a browser plays as it is, is copied without encoding it again.

    Times start at 0 with the first picture, as the records' do. Of a clip that breaks off, what is there is copied.

    Args:
        end_s: where a clip that must be encoded again may end.

    Raises:
        InputError: the clip cannot be read, or the file cannot be written.
    """
    path, info = Path(out), probe(source)
    if Path(source).is_file() and _plays_as_it_is(Path(source)):
        _remux(Path(source), path)
    else:
        with VideoWriter(path, info.size_px, info.rate) as writer:
            for frame in frames(source, end_s=end_s):
                writer.write(frame.bgr, frame.t_s)
    return path


def _plays_as_it_is(path: Path) -> bool:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        code = stream.codec_context
        plain = code.name == "h264" and code.pix_fmt in ("yuv420p", "yuvj420p")
        first = next(container.decode(stream), None)
        upright = first is not None and not getattr(first, "rotation", 0)
        return plain and upright and "mp4" in container.format.name


def _remux(source: Path, out: Path) -> None:
    import av

    partial = partial_path(out)
    with av.open(str(source)) as container, av.open(str(partial), "w", options={"movflags": "+faststart"}) as target:
        stream = container.streams.video[0]
        copy = target.add_stream_from_template(stream)
        start = stream.start_time or 0
        for packet in _readable(container.demux(stream)):
            if packet.dts is None:
                continue
            packet.dts -= start
            if packet.pts is not None:
                packet.pts -= start
            packet.time_base = stream.time_base or Fraction(1, 90000)
            packet.stream = copy
            target.mux(packet)
    partial.replace(out)


def _readable(packets: Iterator[Any]) -> Iterator[Any]:
    """Packets up to the end, or to where the clip breaks off."""
    import av

    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            return
        if packet is None:
            return
        yield packet
