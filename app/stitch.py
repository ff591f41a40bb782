"""A long clip in segments, and their results joined as if it had been run whole.

What costs is done per segment, each with a lead-in before its start: decoding, the network, own motion, lanes, drawing,
encoding. What identities come from is done once over the joined record, as a replay does it: ranges, tracks and events
run again from the first frame to the last, so that tracks go through the seams like through any other frame and the
identities are those of a whole run. Videos are joined packet by packet, without encoding them again.

Two things differ from a whole run. Where the mount is followed, each segment finds it anew from the profile's. And the
video shows what a segment's own tracks said: the same after a lead-in of some seconds, but for the oldest trails.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from app.batch_plan import ClipJob
from app.config import Settings
from app.record import Header, Recording, RecordWriter, stream
from app.replay import replay
from app.runner import RECORD, SETTINGS, SUMMARY, VIDEO, write_whole
from app.summary import RunSummary, Tally
from app.types import FrameResult
from app.video import probe
from geometry.errors import InputError

LEAD_S = 4.0  # tracks are confirmed in under 1 s, trails are 2 s long, lanes settle in 1 to 2 s


def segments(job: ClipJob, base: Settings) -> tuple[ClipJob, ...]:
    """The jobs of a clip's segments; none for a clip that is not longer than two, or whose length is not known.

    Each is ``split_s`` long, the last one up to twice that: no frame is in two of them, and none in no one.

    Raises:
        InputError: the clip cannot be read, or the settings cannot be used for segments.
    """
    clip = job.settings(base).clip
    if not clip.split_s:
        return ()
    if base.detector.every > 1:
        raise InputError("segments need the detector on every frame: leave out --split, or detector.every in settings")
    length_s = probe(job.clip).duration_s
    if length_s is None:
        return ()
    end_s = length_s if clip.end_s is None else min(clip.end_s, length_s)
    count = int((end_s - clip.start_s) / clip.split_s)
    if count < 2:
        return ()
    lead_s = clip.lead_s or LEAD_S
    seams = [clip.start_s + number * clip.split_s for number in range(count)]
    found = []
    for number, start_s in enumerate(seams):
        own: dict[str, Any] = {"split_s": 0.0, "start_s": start_s, "lead_s": lead_s if number else clip.lead_s}
        end = seams[number + 1] if number + 1 < count else clip.end_s
        if end is not None:
            own["end_s"] = end
        found.append(ClipJob(job.clip, f"{job.name}.{number:04d}", job.own | {"clip": own}))
    return tuple(found)


def stitch(folders: Sequence[Path], out: Path, settings: Settings) -> RunSummary:
    """Joins the results of segments, in order, into the files of one run.

    Args:
        settings: of the clip as a whole.

    Raises:
        InputError: a segment's files cannot be read, or do not fit together; the folder cannot be written.
    """
    parts = [stream(folder) for folder in folders]
    header = replace(parts[0].header, settings=settings.model_dump(mode="json"))
    tally = Tally()
    firsts_s: list[float] = []
    with RecordWriter(out / RECORD, header) as writer:
        for part, result in _replayed(header, parts):
            if part == len(firsts_s):
                firsts_s.append(result.t_s)
            writer.write(result)
            tally.add(result)
    videos = [folder / VIDEO for folder in folders]
    written = {"record": out / RECORD, "settings": out / SETTINGS, "summary": out / SUMMARY}
    if all(video.exists() for video in videos):
        join_videos(videos, [first_s - firsts_s[0] for first_s in firsts_s], out / VIDEO)
        written = {"video": out / VIDEO} | written
    summary = _summary(folders, tally, header, {name: str(path) for name, path in written.items()})
    write_whole(out / SETTINGS, settings.toml())
    write_whole(out / SUMMARY, json.dumps(summary.plain(), indent=1) + "\n")
    return summary


def _replayed(header: Header, parts: Sequence[Recording]) -> Iterator[tuple[int, FrameResult]]:
    """Number of the segment and result of each frame of the whole clip, with the times that the segments took."""
    waiting: deque[tuple[int, dict[str, float]]] = deque()

    def frames() -> Iterator[FrameResult]:
        for number, part in enumerate(parts):
            for result in part.results:
                waiting.append((number, result.stage_ms))
                yield result

    for result in replay(Recording(header, frames())):
        number, stage_ms = waiting.popleft()
        yield number, replace(result, stage_ms=stage_ms)


def _summary(folders: Sequence[Path], tally: Tally, header: Header, files: dict[str, str]) -> RunSummary:
    told = [json.loads((folder / SUMMARY).read_text(encoding="utf-8")) for folder in folders]
    notes = dict.fromkeys(note for summary in told for note in summary["notes"])
    return RunSummary(
        state="complete",
        frames=tally.frames,
        clip_s=tally.clip_s,
        wall_s=sum(summary["wall_s"] for summary in told),
        stage_ms=tally.stage_ms(),
        objects=tally.objects(),
        warnings=tally.warnings(),
        events=tuple(tally.events),
        nearest=tally.nearest,
        notes=(*notes, f"run in {len(folders)} segments"),
        detector=header.detector,
        files=files,
    )


def join_videos(videos: Sequence[Path], starts_s: Sequence[float], target: Path) -> None:
    """Videos of the same encoder and size one after the other, as they are: packets are copied, only times change.

    Args:
        starts_s: when each begins in the joined one.

    Raises:
        InputError: they were encoded differently, or the disk refused.
    """
    import av

    try:
        with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as joined:
            stream, setup, last = None, b"", None
            for path, start_s in zip(videos, starts_s, strict=True):
                with av.open(str(path)) as part:
                    source = part.streams.video[0]
                    if stream is None:
                        stream, setup = joined.add_stream_from_template(source), source.codec_context.extradata
                    if source.codec_context.extradata != setup:
                        raise InputError(f"{path} was encoded in another way than {videos[0]}; run the clip again")
                    for packet in part.demux(source):
                        if packet.dts is None:
                            continue
                        shift = round(Fraction(start_s) / packet.time_base)
                        packet.pts += shift
                        packet.dts = packet.dts + shift if last is None else max(packet.dts + shift, last + 1)
                        last = packet.dts
                        packet.stream = stream
                        joined.mux(packet)
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{target} cannot be joined: {error.strerror or error}") from error
