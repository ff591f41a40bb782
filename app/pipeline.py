"""The whole program in one page: one frame in, everything known of it out.

detections -> own motion -> camera mount -> lanes -> ranges -> tracks -> events. The command line, the page, the batch
and the tests run the same three lines::

    for frame in frames(path):
        result = pipeline.step(frame)
        picture = painter.draw(frame, result, pipeline.camera)
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from app.bodies import one_box_a_body
from app.camera_choice import StartCamera
from app.events import EventConfig, EventDetector
from app.kernels import load_kernels
from app.mount import FixedMount, FollowedMount, MountModel, camera_at
from app.ranging import Ranger, StereoRanger, range_by_box
from app.record_json import rounded
from app.speed import known_speed
from app.types import FrameResult
from geometry.calibration import CameraMotion
from geometry.camera import Camera
from geometry.profiles import load_profile
from perception.lanes import LaneTracker
from perception.types import Detections, Frame, LaneModel, Lanes, ObjectDetector
from tracking.appearance import Embedder, OnnxEmbedder
from tracking.config import TrackerConfig
from tracking.ego_motion import EgoMotionEstimator
from tracking.follow import BoxFollower
from tracking.motion_config import MotionConfig
from tracking.tracker import Tracker
from tracking.types import EgoMotion, Tracks

if TYPE_CHECKING:
    from app.config import CameraSettings, Settings

TIME_DECIMALS = 6  # as records have it, so that a run repeated from its records has the very same times


@dataclass(frozen=True)
class PipelineConfig:
    """Choices that belong to no single stage.

    Attributes:
        detect_every: the detector looks at each n-th frame; between, boxes of tracks are followed in the picture
            (``tracking.follow``) and stand in the place of detections.
        events: when to warn.
    """

    detect_every: int = 1
    events: EventConfig = field(default_factory=EventConfig)


class Stopwatch:
    """Milliseconds of each stage of one frame."""

    def __init__(self, already: dict[str, float] | None = None) -> None:
        self.ms: dict[str, float] = dict(already or {})
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Ends a stage."""
        now = time.perf_counter()
        self.ms[stage] = self.ms.get(stage, 0.0) + (now - self._last) * 1e3
        self._last = now


class EgoModel(Protocol):
    """Anything that follows the vehicle's own motion: ``tracking.ego_motion.EgoMotionEstimator``."""

    camera_motion: CameraMotion | None

    def step(self, bgr: np.ndarray, camera: Camera, detections: Detections, t_s: float) -> EgoMotion:
        """Motion since the last frame."""
        ...


@dataclass
class Motion:
    """How the vehicle moves over the road, and the camera on the vehicle."""

    ego: EgoModel
    mount: MountModel


class NoLanes:
    """A lane model that sees none: for clips without a marked road."""

    def step(
        self, frame: Frame, camera: Camera, detections: Detections, *, forward_m: float = 0.0, yaw_rad: float = 0.0
    ) -> Lanes:
        """No lanes."""
        return Lanes()


class Pipeline:
    """Follows one clip from its first frame to its last; make a new one for the next clip.

    Args:
        camera: of the clip's size, with the mount believed at first.
        detector: may be None where every frame comes with its detections.
        lane_model, tracker, motion: fresh ones, they remember the clip; by default the mount stays as it is.

    Attributes:
        camera: as believed at the last frame.
        ranger: places detections; another one may be set before the first frame. Its ranges lead the tracks where the
            tracker's settings say that they are measured.
        camera_note: what a person should know of how the camera was come by.
    """

    def __init__(
        self,
        camera: Camera,
        detector: ObjectDetector | None,
        lane_model: LaneModel,
        tracker: Tracker,
        config: PipelineConfig | None = None,
        motion: Motion | None = None,
    ) -> None:
        self.config = config or PipelineConfig()
        self.camera = camera
        self.detector = detector
        self._lane_model = lane_model
        self._tracker = tracker
        self.ranger: Ranger = range_by_box
        self._base = camera
        self._motion = motion or Motion(EgoMotionEstimator(), FixedMount(camera))
        self._events = EventDetector(self.config.events)
        self._lanes = Lanes()
        self._last_s: float | None = None
        self._follower = BoxFollower() if self.config.detect_every > 1 else None
        self._tracks = Tracks.empty()
        self._detected = 0
        self._stepped = 0
        self.camera_note = ""

    @property
    def detector_description(self) -> dict[str, str]:
        """Name, file, sha256, provider and input size of the detector, for records and screens."""
        return {"name": "none"} if self.detector is None else self.detector.description

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the way this pipeline was made."""
        notice = getattr(self.detector, "notice", "")
        return tuple(note for note in (notice, self.camera_note) if note)

    def detect(self, frame: Frame) -> Detections:
        """What the detector sees in this frame, rounded as records have it; nothing on frames that it leaves out.

        Call it once a frame, in order. It shares nothing with ``step``: it may run in another thread, ahead of it.
        """
        skipped = self._detected % self.config.detect_every
        self._detected += 1
        if self.detector is None or skipped:
            return Detections.empty()
        return rounded(one_box_a_body(self.detector.detect(frame.bgr)))

    def step(
        self, frame: Frame, found: Detections | None = None, *, stage_ms: dict[str, float] | None = None
    ) -> FrameResult:
        """All that is known at this frame; times must rise from call to call.

        Args:
            found: detections of this frame where they are known already; ``detect`` is called otherwise.
            stage_ms: milliseconds spent on this frame before, reported with the others.
        """
        watch = Stopwatch(stage_ms)
        if found is None:
            found = self.detect(frame)
            watch.lap("detect")
        looked = self._stepped % self.config.detect_every == 0
        self._stepped += 1
        if self._follower is not None:
            followed = self._follower.step(frame.bgr, self._tracks)
            if not looked and not len(found):  # a record has the followed boxes already
                found = rounded(followed)
            watch.lap("follow")
        t_s = round(frame.t_s, TIME_DECIMALS)
        dt_s = 0.0 if self._last_s is None else t_s - self._last_s
        self._last_s = t_s

        ego = self._motion.ego.step(frame.bgr, self.camera, found, t_s)
        watch.lap("ego motion")
        pose = self._motion.mount.step(t_s, ego, self._motion.ego.camera_motion, self._lanes, self._tracks)
        self.camera = camera_at(self._base, pose)
        watch.lap("calibration")
        moved = {"forward_m": ego.speed_mps * dt_s, "yaw_rad": ego.yaw_rate_radps * dt_s}
        self._lanes = self._lane_model.step(frame, self.camera, found, **moved)
        watch.lap("lanes")
        ranges = self.ranger(frame, self.camera, found)
        watch.lap("ranges")
        self._tracker.show(frame.bgr, self._lanes)
        tracks = self._tracker.update(found, t_s, ranges=ranges, ego=ego, camera=self.camera, detected=looked)
        self._tracks = tracks
        watch.lap("tracks")
        events = self._events.step(t_s, tracks, self._lanes, ego, pose)
        watch.lap("events")
        return FrameResult(frame.index, t_s, found, ranges, tracks, self._lanes, ego, pose, events, watch.ms)


def build_pipeline(
    settings: Settings,
    size_px: tuple[int, int],
    *,
    detector: ObjectDetector | None = None,
    load: bool = True,
    start: StartCamera | None = None,
) -> Pipeline:
    """A pipeline as the settings say, for a clip of this size.

    Args:
        detector: one that is loaded already: a network is loaded once for many clips.
        load: False leaves the detector out, for runs whose detections are known.
        start: the camera to begin with (``app.first_look``); None: that of the profile.

    Raises:
        InputError: the camera profile, a model file or the speed file cannot be used.
    """
    begin = start or StartCamera(load_profile(settings.camera.profile).for_size(*size_px))
    camera = begin.camera
    if detector is None and load:
        detector = open_detector(settings)
    load_kernels()
    lane_model = LaneTracker() if settings.lanes.enabled else NoLanes()
    right = settings.stereo.right
    config = TrackerConfig() if right is None else TrackerConfig(metric=MotionConfig(measured_ranges=True))
    pipeline = Pipeline(
        camera,
        detector,
        lane_model,
        Tracker(config, embedder=_embedder(settings)),
        PipelineConfig(settings.detector.every, settings.events),
        Motion(
            EgoMotionEstimator(supplied=known_speed(settings.ego.speed)),
            _mount(begin, settings.camera),
        ),
    )
    pipeline.camera_note = begin.note
    if right is not None:
        pipeline.ranger = StereoRanger(right, settings.stereo.baseline_m, camera, rate=settings.clip.rate_hz)
    return pipeline


def _embedder(settings: Settings) -> Embedder | None:
    """The re-identification network that the settings name, on the detector's device."""
    if settings.tracker.reid is None:
        return None
    return OnnxEmbedder(settings.tracker.reid, settings.detector.device, settings.detector.threads or None)


def _mount(start: StartCamera, settings: CameraSettings) -> MountModel:
    if not settings.calibrate:
        return FixedMount(start.camera)
    return FollowedMount(
        start.camera, settings.mount_file, lane_width_m=settings.lane_width_m, height_by_lanes=start.found
    )


def open_detector(settings: Settings) -> ObjectDetector:
    """The detector that the settings name.

    Raises:
        InputError: no such model, or one that cannot be used.
    """
    from perception.detector import load_detector

    choice = settings.detector
    return load_detector(
        choice.file,
        device=choice.device,
        input_size=choice.input_size,
        head=choice.head,
        score_threshold=choice.score_threshold,
        threads=choice.threads or None,
    )
