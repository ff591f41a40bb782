"""Runs again without the network: detections are a record like any other.

With the clip (``--detections FILE``) geometry, own motion, lanes, tracking and events run again on its pictures.
Without it (the record in place of the clip) lanes, own motion and mount are the record's, too; nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.config import Settings
from app.pipeline import Motion, Pipeline, PipelineConfig
from app.record import Header, RecordWriter, find, read
from app.summary import Tally
from app.types import CameraPose, FrameResult
from geometry.calibration import CameraMotion
from geometry.camera import Camera
from geometry.errors import InputError
from perception.types import Detections, Frame, Lanes
from tracking.ego_motion import EgoMotion
from tracking.tracker import Tracker


class RecordedDetections:
    """Detections of a record, asked for frame by frame in rising order.

    Raises:
        InputError: no record, or one of a clip of another size.
    """

    def __init__(self, path: str | Path, size_px: tuple[int, int]) -> None:
        self._path = find(path)
        self._lines = read(self._path)
        self.header = read_header_of(self._lines, self._path)
        camera = self.header.camera
        if (camera.width_px, camera.height_px) != size_px:
            raise InputError(
                f"{self._path} has detections in pictures of {camera.width_px}x{camera.height_px} pixels, "
                f"the clip has {size_px[0]}x{size_px[1]}; wanted the record of this clip"
            )
        self._next: FrameResult | None = None

    def of(self, frame: Frame) -> Detections:
        """Detections of a frame.

        Raises:
            InputError: the record has no such frame.
        """
        while self._next is None or self._next.index < frame.index:
            line = next(self._lines, None)
            if not isinstance(line, FrameResult):
                break
            self._next = line
        if self._next is None or self._next.index != frame.index:
            raise InputError(
                f"{self._path} has no frame {frame.index} ({frame.t_s:.2f} s); "
                "wanted a record with every frame of this run: mind --start, --end and --every"
            )
        return self._next.detections


def read_header_of(lines: Iterator[Header | FrameResult], path: Path) -> Header:
    """The header, first of the lines of a record."""
    header = next(lines, None)
    if not isinstance(header, Header):
        raise InputError(f"{path} is empty; wanted a roadlens record")
    return header


class _Recorded:
    """Lanes, own motion and mount of the frame that is being replayed."""

    camera_motion: CameraMotion | None = None

    def __init__(self) -> None:
        self.now: FrameResult | None = None

    def _result(self) -> FrameResult:
        if self.now is None:
            raise RuntimeError("set .now to the recorded frame before each step")
        return self.now


class _RecordedLanes(_Recorded):
    def step(
        self, frame: Frame, camera: Camera, detections: Detections, *, forward_m: float = 0.0, yaw_rad: float = 0.0
    ) -> Lanes:
        return self._result().lanes


class _RecordedEgo(_Recorded):
    def step(self, bgr: np.ndarray, camera: Camera, detections: Detections, t_s: float) -> EgoMotion:
        return self._result().ego


class _RecordedMount(_Recorded):
    def step(self, t_s: float, ego: EgoMotion, flow: CameraMotion | None, lanes: Lanes) -> CameraPose:
        return self._result().pose


def replay(path: str | Path, settings: Settings | None = None) -> Iterator[FrameResult]:
    """Ranges, tracks and events again from a record alone: no clip, no pictures, no network.

    Args:
        settings: whose event thresholds are used; None: those of the record.

    Raises:
        InputError: no such record.
    """
    found = find(path)
    lines = read(found)
    header = read_header_of(lines, found)
    settings = settings or Settings.checked(header.settings, what=str(found))
    every = Settings.checked(header.settings, what=str(found)).detector.every  # as it was when detections were made
    lanes, ego, mount = _RecordedLanes(), _RecordedEgo(), _RecordedMount()
    pipeline = Pipeline(
        header.camera, None, lanes, Tracker(), PipelineConfig(every, settings.events), Motion(ego, mount)
    )
    nothing = np.empty((0, 0, 3), np.uint8)
    for line in lines:
        if isinstance(line, FrameResult):
            lanes.now = ego.now = mount.now = line
            yield pipeline.step(Frame(line.index, line.t_s, nothing), line.detections)


def replay_run(path: str | Path, out: Path, settings: Settings | None = None) -> Tally:
    """Replays a record into ``out/results.jsonl``; gives what was found.

    Raises:
        InputError: no such record, or the folder cannot be written, or holds that very record.
    """
    found = find(path)
    target = out / "results.jsonl"
    if target.exists():
        raise InputError(f"{target} is there already; give another folder with --out")
    header = read_header_of(read(found), found)
    if settings is not None:
        header = replace(header, settings=settings.model_dump(mode="json"))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {out} cannot be made: {error.strerror}") from error
    tally = Tally()
    with RecordWriter(target, header) as writer:
        for result in replay(found, settings):
            writer.write(result)
            tally.add(result)
    return tally
