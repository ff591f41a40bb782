"""One clip from start to end: decode | detect | step | draw | encode at the same time, files whole or partial by name.

Everything is written under partial names (``annotated.partial.mp4``) and renamed when the last frame is through, the
summary last: a folder with ``summary.json`` is complete. A run that is stopped, or fails half way, leaves a playable
video and readable records under their partial names and nothing under the final ones.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from app.config import Settings
from app.draw import Painter
from app.first_look import start_camera
from app.mount import camera_at
from app.overlap import ahead
from app.partial import partial_path
from app.pipeline import Pipeline, Stopwatch, build_pipeline
from app.record import Header, RecordWriter
from app.replay import RecordedDetections
from app.summary import RunSummary, Tally
from app.types import FrameResult
from app.video import BufferPool, ClipInfo, ReadReport, Source, VideoWriter, frames, probe
from geometry.errors import InputError
from perception.types import Detections, Frame, ObjectDetector

VIDEO = "annotated.mp4"
RECORD = "results.jsonl"
SETTINGS = "settings.toml"
SUMMARY = "summary.json"


@dataclass(frozen=True)
class Progress:
    """How far a run is; ``total`` is None where the source does not say."""

    frames: int
    total: int | None
    t_s: float
    fps: float

    @property
    def share(self) -> float | None:
        return None if not self.total else min(1.0, self.frames / self.total)


OnProgress = Callable[[Progress], None]
ShouldStop = Callable[[], bool]


_ONE_PICTURE = (
    "a single picture: objects are believed once they are seen again, so none is shown; what the network saw stands in "
    "the record as detections"
)


@dataclass(frozen=True)
class Job:
    """What belongs to a run beside its settings: a detector loaded before (reused over clips), or the record whose
    detections are used instead of one, watchers, a permit."""

    detector: ObjectDetector | None = None
    detections: Path | None = None
    on_progress: OnProgress | None = None
    should_stop: ShouldStop | None = None
    overwrite: bool = False


def run_clip(
    source: Source,
    out_dir: str | Path,
    settings: Settings,
    *,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
    job: Job | None = None,
) -> RunSummary:
    """Runs the pipeline over a clip and writes annotated.mp4, results.jsonl, settings.toml and summary.json.

    Args:
        on_progress: called after each frame.
        should_stop: asked after each frame; true ends the run early, its files keep their partial names.
        job: an open detector or recorded detections, the permit to overwrite.

    Raises:
        InputError: the clip, the settings or the folder cannot be used.
    """
    job = replace(job or Job(), on_progress=on_progress, should_stop=should_stop)
    info = probe(source)
    recorded = None if job.detections is None else RecordedDetections(job.detections, info, settings)
    if recorded is None:
        start = start_camera(info, settings)
        pipeline = build_pipeline(settings, info.size_px, detector=job.detector, start=start)
    else:
        settings, pipeline = recorded.settings, recorded.pipeline()
    return _Run(info, Path(out_dir), settings, pipeline, job, recorded).go()


def expected_frames(info: ClipInfo, settings: Settings) -> int | None:
    """How many frames a run will take, None where the source has no end."""
    if info.duration_s is None or info.frames is None:
        return None
    clip = settings.clip
    end_s = info.duration_s if clip.end_s is None else min(clip.end_s, info.duration_s)
    share = max(0.0, end_s - clip.start_s) / info.duration_s if info.duration_s > 0 else 1.0
    return max(1, round(info.frames * share / clip.every))


class _Stopped(Exception):
    """A person ended the run."""


class _Run:
    """The state of one run."""

    def __init__(
        self,
        info: ClipInfo,
        out: Path,
        settings: Settings,
        pipeline: Pipeline,
        job: Job,
        recorded: RecordedDetections | None = None,
    ) -> None:
        self.info = info
        self.out = out
        self.settings = settings
        self.pipeline = pipeline
        self.job = job
        self.recorded = recorded
        self.detector = recorded.header.detector if recorded else pipeline.detector_description
        self.report = ReadReport()
        self.tally = Tally()
        self.camera = pipeline.camera  # as given; the pipeline's own follows the mount
        self.painter = Painter(*info.size_px, birdseye=settings.video.birdseye) if settings.video.write else None

    def go(self) -> RunSummary:
        """Runs to the end, or to where it is stopped."""
        self._make_folder()
        started_s = time.perf_counter()
        state: Literal["complete", "stopped"] = "complete"
        try:
            with RecordWriter(self.out / RECORD, self._header()) as record, self._video() as video:
                self._write(record, video, started_s)
        except (_Stopped, KeyboardInterrupt):
            state = "stopped"
        except InputError:
            if not self.tally.frames:  # nothing came of it: nothing is worth keeping
                self._clear()
            raise
        return self._finish(state, time.perf_counter() - started_s)

    # -- stages: each is a generator that runs ahead of the next one in a thread of its own -------------------

    def _decoded(self) -> Iterator[tuple[Frame, dict[str, float]]]:
        watch = Stopwatch()
        for frame in self._frames():
            watch.lap("decode")
            yield frame, watch.ms
            del frame  # its buffer is free when the last stage lets go of it
            watch = Stopwatch()

    def _frames(self) -> Iterator[Frame]:
        if self.recorded is not None and self.recorded.kept and self.painter is None:
            return self.recorded.frames()  # nobody looks at pictures
        clip = self.settings.clip
        return frames(
            self.info,
            start_s=max(0.0, clip.start_s - clip.lead_s),
            end_s=clip.end_s,
            every=clip.every,
            rate=None if clip.rate_hz is None else Fraction(clip.rate_hz).limit_denominator(1001),
            buffers=BufferPool(),
            report=self.report,
        )

    def _detected(self) -> Iterator[tuple[Frame, Detections, dict[str, float]]]:
        with closing(ahead(self._decoded(), name="decode")) as decoded:
            for frame, stage_ms in decoded:
                watch = Stopwatch(stage_ms)
                found = self.recorded.of(frame) if self.recorded else self.pipeline.detect(frame)
                watch.lap("detect")
                yield frame, found, watch.ms
                del frame

    def _stepped(self) -> Iterator[tuple[Frame, FrameResult]]:
        with closing(ahead(self._detected(), name="detect")) as detected:
            for frame, found, stage_ms in detected:
                yield frame, self.pipeline.step(frame, found, stage_ms=stage_ms)
                del frame

    def _drawn(self) -> Iterator[tuple[FrameResult, tuple[np.ndarray, ...]]]:
        with closing(ahead(self._stepped(), name="step")) as stepped:
            for frame, result in stepped:
                picture: tuple[np.ndarray, ...] = ()
                if self.painter is not None:
                    watch = Stopwatch(result.stage_ms)
                    picture = self.painter.draw_on(frame, result, camera_at(self.camera, result.pose))
                    watch.lap("draw")
                    result = replace(result, stage_ms=watch.ms)
                yield result, picture
                del frame, picture

    def _write(self, record: RecordWriter, video: VideoWriter | None, started_s: float) -> None:
        total = expected_frames(self.info, self.settings)
        first_s: float | None = None
        with closing(ahead(self._drawn(), name="draw")) as drawn:
            for result, picture in drawn:
                if result.t_s < self.settings.clip.start_s:
                    del picture
                    continue  # the lead-in
                watch = Stopwatch(result.stage_ms)
                first_s = result.t_s if first_s is None else first_s
                if video is not None and picture:
                    video.write(picture, result.t_s - first_s)
                    watch.lap("encode")
                record.write(replace(result, stage_ms=watch.ms))
                watch.lap("record")
                self.tally.add(replace(result, stage_ms=watch.ms))
                del picture
                if self.job.on_progress is not None:
                    fps = self.tally.frames / (time.perf_counter() - started_s)
                    self.job.on_progress(Progress(self.tally.frames, total, result.t_s, fps))
                if self.job.should_stop is not None and self.job.should_stop():
                    raise _Stopped

    # -- files ------------------------------------------------------------------------------------------------

    def _make_folder(self) -> None:
        if (self.out / SUMMARY).exists() and not self.job.overwrite:
            raise InputError(f"{self.out} holds a finished run; give another folder with --out, or --overwrite it")
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the folder {self.out} cannot be made: {error.strerror}") from error

    def _header(self) -> Header:
        clip = asdict(self.info) | {"rate": str(self.info.rate)}
        return Header(
            clip=clip,
            camera=self.camera,
            detector=self.detector,
            settings=self.settings.model_dump(mode="json"),
        )

    def _video(self) -> AbstractContextManager[VideoWriter | None]:
        if self.painter is None:
            return nullcontext()
        choice = self.settings.video
        return VideoWriter(
            self.out / VIDEO,
            self.painter.size_px,
            self.info.rate / self.settings.clip.every,
            crf=choice.crf,
            preset=choice.preset,
            threads=choice.threads,
        )

    def _finish(self, state: Literal["complete", "stopped"], wall_s: float) -> RunSummary:
        named = partial_path if state == "stopped" else Path
        wanted = {"record": self.out / RECORD, "settings": self.out / SETTINGS, "summary": self.out / SUMMARY}
        if self.painter is not None and self.tally.frames:
            wanted = {"video": self.out / VIDEO} | wanted
        files = {name: named(path) for name, path in wanted.items()}
        summary = self.tally.summary(
            state,
            wall_s=wall_s,
            notes=self._notes(),
            detector=self.detector,
            files={name: str(path) for name, path in files.items()},
        )
        write_whole(files["settings"], self.settings.toml())
        write_whole(files["summary"], json.dumps(summary.plain(), indent=1) + "\n")
        if state == "complete":
            self._sweep(set(files.values()))
        return summary

    def _notes(self) -> tuple[str, ...]:
        """What a person should know of the run."""
        recorded = self.recorded.notes if self.recorded else ()
        alone = (_ONE_PICTURE,) if self.tally.frames == 1 else ()
        return (*self.pipeline.notes, *recorded, *self.report.notes(), *alone)

    def _clear(self) -> None:
        """Removes what this run has begun, and the folder where nothing else is in it."""
        for name in (VIDEO, RECORD):
            partial_path(self.out / name).unlink(missing_ok=True)
        with suppress(OSError):
            self.out.rmdir()

    def _sweep(self, written: set[Path]) -> None:
        """Removes what runs before this one left in the folder under our names."""
        for name in (VIDEO, RECORD, SETTINGS, SUMMARY):
            for path in (self.out / name, partial_path(self.out / name)):
                if path not in written:
                    path.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Writes a text file under a temporary name in the same folder, then renames it: whole or not there."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # there may be no such folder at all
            temporary.unlink()
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
