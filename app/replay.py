"""Runs again without the network: detections are a record like any other.

With the clip (``run --detections``) geometry, own motion, lanes, tracking and events run again on its pictures, unless
lanes, own motion and mount would come out as they are in the record: then they are taken from it. Without the clip (the
record in its place) they always are; nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from app import __version__
from app.config import Settings
from app.first_look import start_camera, wants_look
from app.mount import NO_TRACKS
from app.pipeline import TIME_DECIMALS, Motion, Pipeline, PipelineConfig, build_pipeline
from app.record import Header, Recording, RecordWriter, find, stream
from app.summary import Tally
from app.types import CameraPose, FrameResult
from app.video_types import ClipInfo
from geometry.calibration import CameraMotion
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.profiles import load_profile
from perception.types import Detections, Frame, Lanes
from tracking.ego_motion import EgoMotion
from tracking.tracker import Tracker
from tracking.types import Tracks

_NO_PICTURE = np.empty((0, 0, 3), np.uint8)


class RecordedDetections:
    """Detections of a record for a run of its clip, asked for frame by frame in rising order.

    Where nothing that lanes, own motion and mount follow from has changed since, they are the record's, too, and
    the clip is not decoded unless it is drawn on.

    Args:
        path: a record, or a run's folder.
        info: of the clip that is to be run.
        settings: of the run.

    Attributes:
        kept: whether lanes, own motion and mount are the record's.
        settings: of the run, with the record's answer to how often the detector looked.

    Raises:
        InputError: no record, or one of a clip of another size.
    """

    def __init__(self, path: str | Path, info: ClipInfo, settings: Settings) -> None:
        recording = stream(path)
        self._path = find(path)
        self._frames = iter(recording.results)
        self.header = recording.header
        camera = self.header.camera
        if (camera.width_px, camera.height_px) != info.size_px:
            raise InputError(
                f"{self._path} has detections in pictures of {camera.width_px}x{camera.height_px} pixels, "
                f"the clip has {info.width_px}x{info.height_px}; wanted the record of this clip"
            )
        before = Settings.checked(self.header.settings, what=str(self._path))
        self.settings = settings.changed(detector={"every": before.detector.every})
        self.kept = not recording.partial and _same_sight(self.header, before, info, settings)
        self._info = info
        self._known = _Known()
        self._next: FrameResult | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of it."""
        return ("lanes, own motion and mount are those of the record",) if self.kept else ()

    def pipeline(self) -> Pipeline:
        """A pipeline that takes from the record what has not changed.

        Raises:
            InputError: as ``build_pipeline``.
        """
        if self.kept:
            return _pipeline(self.header, self.settings, self._known)
        start = start_camera(self._info, self.settings)
        return build_pipeline(self.settings, self._info.size_px, load=False, start=start)

    def frames(self) -> Iterator[Frame]:
        """The record's frames without pictures: all that a kept run needs."""
        for result in self._frames:
            self._known.add(result)
            yield Frame(result.index, result.t_s, _NO_PICTURE)

    def of(self, frame: Frame) -> Detections:
        """Detections of a frame.

        Raises:
            InputError: the record has no such frame.
        """
        known = self._known.get(frame.t_s)
        if known is not None:
            return known.detections
        while self._next is None or self._next.index < frame.index:
            self._next = next(self._frames, None)
            if self._next is None:
                break
        if self._next is None or self._next.index != frame.index:
            raise InputError(
                f"{self._path} has no frame {frame.index} ({frame.t_s:.2f} s); "
                "wanted a record with every frame of this run: mind --start, --end and --every"
            )
        if self.kept:
            self._known.add(self._next)
        return self._next.detections


def _same_sight(header: Header, before: Settings, info: ClipInfo, now: Settings) -> bool:
    """Whether lanes, own motion and mount would come out as they are in the record: the same program, clip, frames,
    camera and settings of them, and none that reads or writes a file."""
    clip = asdict(info) | {"rate": str(info.rate)}
    facts = [name for name in clip if name != "source"]
    return (
        header.roadlens == __version__
        and all(header.clip.get(name) == clip[name] for name in facts)
        and _same_start(header, before, info, now)
        and (before.clip, before.lanes, before.ego) == (now.clip, now.lanes, now.ego)
        and before.camera.calibrate == now.camera.calibrate
        and (before.camera.mount_file, now.camera.mount_file) == (None, None)
        and not isinstance(now.ego.speed, str)
        and now.tracker.reid is None  # looks at the pictures
    )


def _same_start(header: Header, before: Settings, info: ClipInfo, now: Settings) -> bool:
    """Whether a run would begin with the record's camera; a look at the same clip finds the same again."""
    profile = load_profile(now.camera.profile).for_size(*info.size_px)
    if not (wants_look(info, now) and wants_look(info, before)):
        return header.camera == profile
    same_width = before.camera.lane_width_m == now.camera.lane_width_m
    lens = header.camera.mounted(
        height_m=profile.height_m, pitch_rad=profile.pitch_rad, yaw_rad=profile.yaw_rad, roll_rad=profile.roll_rad
    )
    return same_width and lens == profile


class _Known:
    """Recorded results by their times, between the stage that reads them and the one that uses them last."""

    def __init__(self) -> None:
        self._results: dict[float, FrameResult] = {}

    def add(self, result: FrameResult) -> None:
        self._results[result.t_s] = result

    def get(self, t_s: float) -> FrameResult | None:
        return self._results.get(round(t_s, TIME_DECIMALS))

    def at(self, t_s: float) -> FrameResult:
        return self._results[round(t_s, TIME_DECIMALS)]

    def done(self, t_s: float) -> None:
        del self._results[round(t_s, TIME_DECIMALS)]


@dataclass
class _RecordedLanes:
    known: _Known

    def step(
        self, frame: Frame, camera: Camera, detections: Detections, *, forward_m: float = 0.0, yaw_rad: float = 0.0
    ) -> Lanes:
        lanes = self.known.at(frame.t_s).lanes
        self.known.done(frame.t_s)  # the pipeline asks for lanes last
        return lanes


@dataclass
class _RecordedEgo:
    known: _Known
    camera_motion: CameraMotion | None = None

    def step(self, bgr: np.ndarray, camera: Camera, detections: Detections, t_s: float) -> EgoMotion:
        return self.known.at(t_s).ego


@dataclass
class _RecordedMount:
    known: _Known

    def step(
        self, t_s: float, ego: EgoMotion, flow: CameraMotion | None, lanes: Lanes, tracks: Tracks = NO_TRACKS
    ) -> CameraPose:
        return self.known.at(t_s).pose


def _pipeline(header: Header, settings: Settings, known: _Known) -> Pipeline:
    """A pipeline whose lanes, own motion and mount are recorded."""
    config = PipelineConfig(settings.detector.every, settings.events)
    motion = Motion(_RecordedEgo(known), _RecordedMount(known))
    return Pipeline(header.camera, None, _RecordedLanes(known), Tracker(), config, motion)


def settings_of(header: Header, changed: Settings | None, what: str) -> Settings:
    """Settings of a replay: the record's, with other events where they are given.

    Raises:
        InputError: a change of what only pictures can answer.
    """
    before = Settings.checked(header.settings, what=what)
    if changed is None:
        return before
    for section in ("clip", "camera", "tracker", "ego", "lanes"):
        if section in changed.model_fields_set and getattr(changed, section) != getattr(before, section):
            raise InputError(
                f"a replay without pictures keeps the record's [{section}]; to change it, run the clip again with "
                f"its detections: roadlens run CLIP --detections {what} --settings FILE"
            )
    return before.changed(events=asdict(changed.events))


def replay(recording: Recording, settings: Settings | None = None) -> Iterator[FrameResult]:
    """Ranges, tracks and events again from a record alone: no clip, no pictures, no network.

    Args:
        settings: whose event thresholds are used; None: those of the record.

    Raises:
        InputError: a record that breaks, or settings that only pictures can answer.
    """
    known = _Known()
    settings = settings_of(recording.header, settings, str(recording.folder))
    pipeline = _pipeline(recording.header, settings, known)
    for result in recording.results:
        known.add(result)
        yield pipeline.step(Frame(result.index, result.t_s, _NO_PICTURE), result.detections)


def replay_run(
    path: str | Path,
    out: Path,
    settings: Settings | None = None,
    *,
    on_frame: Callable[[int], None] = lambda done: None,
) -> Tally:
    """Replays a record into ``out/results.jsonl``; gives what was found; ``on_frame`` is told how far it is.

    Raises:
        InputError: no such record, or the folder cannot be written, or holds that very record.
    """
    recording = stream(path)
    target = out / "results.jsonl"
    if target.exists():
        raise InputError(f"{target} is there already; give another folder with --out")
    used = settings_of(recording.header, settings, str(path))
    header = replace(recording.header, settings=used.model_dump(mode="json"))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {out} cannot be made: {error.strerror}") from error
    tally = Tally()
    with RecordWriter(target, header) as writer:
        for result in replay(recording, settings):
            writer.write(result)
            tally.add(result)
            on_frame(tally.frames)
    return tally
