"""A live source followed until it ends or a person stops it: newest picture in, annotated picture and records out.

Frames that come while one is worked on are skipped, so the delay stays that of one frame however slow the machine is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from app.config import Settings
from app.draw import Painter
from app.jobs.limits import LIVE_LIMIT_S
from app.jobs.store import VIEW
from app.mount import camera_at
from app.palette import put_text, shade, text_width
from app.pipeline import Pipeline, build_pipeline
from app.player.clip import CLIP
from app.record import Header, RecordWriter
from app.runner import RECORD, SETTINGS, SUMMARY, write_whole
from app.summary import Tally
from app.types import FrameResult
from app.video import ClipInfo, ReadReport, VideoWriter, frames, probe
from geometry.errors import InputError
from perception.types import Frame

_VIEW_EVERY_S = 0.08


@dataclass(frozen=True)
class LiveProgress:
    """How it goes: frames worked on, frames a second over the last ones, and how old the newest picture was when it
    had been drawn (s, from its arrival here: what the camera and the network took before is not known)."""

    frames: int
    fps: float
    delay_s: float


class Stopped(Exception):
    """A person ended it."""


class Live:
    """One live run. ``stop`` may be called from a signal handler: it ends even a source that has fallen silent.

    Args:
        source: webcam number or stream address.
        out: folder for the record, the plain clip as it was seen, the newest annotated picture and the summary.
    """

    def __init__(
        self, source: str, out: Path, settings: Settings, on_progress: Callable[[LiveProgress], None] = lambda _: None
    ) -> None:
        self.source, self.out, self.settings = source, out, settings
        self._on_progress = on_progress
        self._stopped = False
        self._waiting = False
        self._tally = Tally()
        self._report = ReadReport()
        self._viewed_s = 0.0
        self._fps = 0.0
        self._last_s = 0.0

    def stop(self) -> None:
        """Ends the run after the picture it is at; at once where it waits for one."""
        self._stopped = True
        if self._waiting:
            raise Stopped

    def run(self) -> str:
        """Follows the source to its end; says in one sentence why it ended.

        Raises:
            InputError: the source cannot be opened, is not live, or gave no picture at all.
        """
        self.out.mkdir(exist_ok=True)
        try:
            self._waiting = True
            info = probe(self.source)
            self._waiting = False
        except Stopped:
            raise InputError("stopped before the first picture came") from None
        if not info.live:
            raise InputError(f"{self.source} is no live source but a clip with an end: save it and upload it")
        started_s = time.perf_counter()
        pipeline = build_pipeline(self.settings, info.size_px)
        header = Header(
            clip={"source": info.source, "kind": info.kind, "width_px": info.width_px, "height_px": info.height_px},
            camera=pipeline.camera,
            detector=pipeline.detector_description,
            settings=self.settings.model_dump(mode="json"),
        )
        with (
            VideoWriter(self.out / CLIP, info.size_px, info.rate, preset="ultrafast") as video,
            RecordWriter(self.out / RECORD, header) as record,
        ):
            why = self._follow(info, pipeline, video, record)
        self._finish(pipeline, why, time.perf_counter() - started_s)
        return why

    def _follow(self, info: ClipInfo, pipeline: Pipeline, video: VideoWriter, record: RecordWriter) -> str:
        painter = Painter(*info.size_px)
        camera = pipeline.camera
        first_s: float | None = None
        with closing(frames(info, report=self._report)) as source:  # type: ignore[type-var]
            while not self._stopped:
                try:
                    self._waiting = True
                    came = next(source, None)
                    self._waiting = False
                except Stopped:
                    break
                except InputError as error:
                    if first_s is None:
                        raise
                    return str(error)
                if came is None:
                    return (self._report.lost and f"the source was lost: {self._report.lost}") or "the source has ended"
                first_s = came.t_s if first_s is None else first_s
                frame = Frame(came.index, came.t_s - first_s, came.bgr)
                result = pipeline.step(frame)
                video.write(frame.bgr, frame.t_s)
                record.write(result)
                self._tally.add(result)
                self._show(painter.draw(frame, result, camera_at(camera, result.pose)), came.t_s, result)
                if frame.t_s > LIVE_LIMIT_S:
                    return f"ended after {LIVE_LIMIT_S / 60:.0f} minutes, the most a live run may last"
        if first_s is None:
            raise InputError("stopped before the first picture came")
        return "stopped"

    def _show(self, picture: np.ndarray, came_s: float, result: FrameResult) -> None:
        delay_s = self._report.age_s(came_s)
        now_s = time.monotonic()
        if self._last_s:
            self._fps += 0.1 * (1.0 / max(now_s - self._last_s, 1e-3) - self._fps)
        self._last_s = now_s
        self._on_progress(LiveProgress(self._tally.frames, self._fps, delay_s))
        if now_s - self._viewed_s < _VIEW_EVERY_S:
            return
        self._viewed_s = now_s
        stamp(picture, f"delay {delay_s:.2f} s   {self._fps:.0f} frames/s   {self._report.skipped_late} skipped")
        done, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
        if done:
            half = self.out / f"{VIEW}.tmp"
            half.write_bytes(jpeg.tobytes())
            half.replace(self.out / VIEW)

    def _finish(self, pipeline: Pipeline, why: str, wall_s: float) -> None:
        summary = self._tally.summary(
            "complete",
            wall_s=wall_s,
            notes=(*pipeline.notes, *self._report.notes(), f"{self._report.skipped_late} frames skipped; {why}"),
            detector=pipeline.detector_description,
            files={"clip": str(self.out / CLIP), "record": str(self.out / RECORD)},
        )
        write_whole(self.out / SETTINGS, self.settings.toml())
        write_whole(self.out / SUMMARY, json.dumps(summary.plain(), indent=1) + "\n")


def stamp(picture: np.ndarray, text: str) -> None:
    """Writes a line at the lower left of a picture, in place."""
    size_px = max(11, picture.shape[0] // 32)
    bottom = picture.shape[0] - size_px // 2
    shade(picture, (0, bottom - round(1.4 * size_px), text_width(text, size_px) + 2 * size_px, picture.shape[0]))
    put_text(picture, text, (size_px // 2, bottom - size_px // 3), size_px)
