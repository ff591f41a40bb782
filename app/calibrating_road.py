"""The mount from a clip of a road: where the camera travels (optical flow) and how the lanes run, one beside the other.

Flow needs a clip and no markings; lanes need markings and no motion, and alone give the height. Pitch and yaw are the
mean of both by inverse variance; how far they disagree tells how much to trust the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from geometry.calibration import CalibrationConfig, MountReport, OnlineCalibration
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.flow import mount_from_heading
from perception.lanes.mount import FoundMount, find_mount, vanishing_point
from perception.types import Detections, Frame
from tracking.ego_motion import EgoMotionEstimator

_PICTURES = 40
_PICTURE_EVERY_S = 0.5
_UNKNOWN = CalibrationConfig(prior_sigma_rad=math.radians(6.0), max_mount_rad=math.radians(30.0))
_MIN_BLOCKS = 2
_LANE_SIGMA_RAD = math.radians(0.15)  # systematic part: slopes and bends that all pictures share
_AGREE_RAD = math.radians(0.6)


@dataclass
class RoadSurvey:
    """Collects what a clip shows, frame by frame: pictures for the lanes, flow for the heading.

    Args:
        camera: lens and size; its mount is where the search starts.
    """

    camera: Camera
    pictures: list[np.ndarray] = field(default_factory=list)
    _held: list[Frame] = field(default_factory=list)
    _calibration: OnlineCalibration | None = None
    _ego: EgoMotionEstimator = field(default_factory=EgoMotionEstimator)
    _next_s: float = -math.inf

    def add(self, frame: Frame) -> None:
        """One frame; times must rise."""
        if frame.t_s >= self._next_s:
            self._next_s = frame.t_s + _PICTURE_EVERY_S
            self.pictures.append(frame.bgr.copy())
            if len(self.pictures) > _PICTURES:  # a long clip: keep every other picture, take half as many from now on
                del self.pictures[1::2]
        if self._calibration is None:
            self._start()
        calibration = self._calibration
        assert calibration is not None
        ego = self._ego.step(frame.bgr, calibration.camera, Detections.empty(), frame.t_s)
        calibration.step(
            frame.t_s, flow=self._ego.camera_motion, speed_mps=ego.speed_mps, yaw_rate_radps=ego.yaw_rate_radps
        )

    def _start(self) -> None:
        """From where the first picture's lines meet, if they do: mounts may be many degrees from level."""
        start = self.camera
        try:
            direction, _ = start.normalised(np.array(vanishing_point(self.pictures[:1])))
            pitch, yaw = mount_from_heading(np.array([*direction, 1.0]), start.roll_rad)
            start = start.mounted(pitch_rad=pitch, yaw_rad=yaw)
        except InputError:
            pass
        self._calibration = OnlineCalibration(start, _UNKNOWN)

    @property
    def flow(self) -> MountReport | None:
        """What the flow shows; None with too little good driving."""
        calibration = self._calibration
        return calibration.report() if calibration is not None and calibration.blocks >= _MIN_BLOCKS else None


@dataclass(frozen=True)
class RoadCalibration:
    """A mount found, and what each cue says of it."""

    camera: Camera
    pitch_sigma_rad: float
    yaw_sigma_rad: float
    lanes: FoundMount | None
    flow: MountReport | None
    warnings: tuple[str, ...]


def survey(frames: Iterator[Frame], camera: Camera, *, lane_width_m: float) -> RoadCalibration:
    """The mount from the frames of a clip, or from unrelated pictures of one camera.

    Raises:
        InputError: neither enough lanes nor enough steady driving are in it.
    """
    collected = RoadSurvey(camera)
    for frame in frames:
        collected.add(frame)
    return conclude(collected, lane_width_m=lane_width_m)


def conclude(collected: RoadSurvey, *, lane_width_m: float) -> RoadCalibration:
    """What the frames collected say together. Raises InputError as ``survey``."""
    camera, flow = collected.camera, collected.flow
    lanes, problem = None, ""
    try:
        lanes = find_mount(collected.pictures, lane_width_m=lane_width_m, camera=camera)
    except InputError as error:
        problem = str(error)
    if lanes is None and flow is None:
        raise InputError(f"the road does not show the mount: no steady driving of some seconds, and {problem}")
    votes = []
    if lanes is not None:
        root = math.sqrt(lanes.pictures)
        sigma = [math.hypot(s / root, _LANE_SIGMA_RAD) for s in (lanes.pitch_sigma_rad, lanes.yaw_sigma_rad)]
        votes.append((lanes.camera.pitch_rad, lanes.camera.yaw_rad, *sigma))
    if flow is not None:
        votes.append((flow.pitch_rad, flow.yaw_rad, flow.pitch_sigma_rad, flow.yaw_sigma_rad))
    pitch, pitch_sigma = _mean([(v[0], v[2]) for v in votes])
    yaw, yaw_sigma = _mean([(v[1], v[3]) for v in votes])
    found = camera.mounted(pitch_rad=pitch, yaw_rad=yaw)
    if flow is not None and flow.roll_sigma_rad < math.radians(0.3):
        found = found.mounted(roll_rad=flow.roll_rad)
    if lanes is not None:
        found = found.mounted(height_m=lanes.camera.height_m)
    return RoadCalibration(found, pitch_sigma, yaw_sigma, lanes, flow, tuple(_doubts(camera, lanes, flow, problem)))


def _mean(votes: list[tuple[float, float]]) -> tuple[float, float]:
    """Mean of (value, sigma) by inverse variance, and its sigma, no smaller than what the votes differ by."""
    values, sigmas = np.array(votes).T
    weight = sigmas**-2.0
    mean = float(np.sum(values * weight) / weight.sum())
    return mean, math.hypot(float(weight.sum() ** -0.5), float(np.ptp(values)) / 4)


def _doubts(camera: Camera, lanes: FoundMount | None, flow: MountReport | None, problem: str) -> Iterator[str]:
    if lanes is None:
        yield f"the height is not measured, {camera.height_m:.2f} m is assumed: {problem}"
    if flow is None:
        yield "no steady driving of some seconds was seen: pitch and yaw are from the lanes alone"
    if lanes is not None and flow is not None:
        apart = max(abs(lanes.camera.pitch_rad - flow.pitch_rad), abs(lanes.camera.yaw_rad - flow.yaw_rad))
        if apart > _AGREE_RAD:
            yield f"lanes and motion disagree by {math.degrees(apart):.1f} degrees: look at the check picture"
