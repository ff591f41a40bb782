"""The mount from a clip of a road: where the camera travels (optical flow) and how the lanes run, one beside the other.

Flow needs a clip and no markings; lanes need markings and no motion. Pitch and yaw are the mean of both by inverse
variance; how far they disagree tells how much to trust the result. The height is told by the width of the lane and by
the heights of the vehicles met (``geometry.vehicle_heights``), again by inverse variance.
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
from geometry.vehicle_heights import HeightFound, VehicleHeights
from perception.lanes.mount import FoundMount, find_mount, vanishing_point
from perception.types import Detections, Frame, ObjectDetector
from tracking.ego_motion import EgoMotionEstimator
from tracking.tracker import Tracker
from tracking.types import Tracks

LANE_WIDTH_M = 3.7
"""Where nobody says: 12 feet (3.66 m), as on US motorways; 3.5 to 3.75 m are usual elsewhere."""
_PICTURES = 40
_PICTURE_EVERY_S = 0.5
_UNKNOWN = CalibrationConfig(prior_sigma_rad=math.radians(6.0), max_mount_rad=math.radians(30.0))
_MIN_BLOCKS = 2
_LANE_SIGMA_RAD = math.radians(0.15)  # systematic part: slopes and bends that all pictures share
_AGREE_RAD = math.radians(0.6)
_LANE_HEIGHT_SIGMA = 0.04  # lanes are 3.25 to 3.75 m wide where 3.5 is said
_DETECT_EVERY_S = 0.09  # ten times a second is enough to know vehicles again
_HEIGHTS_AGREE = 3.0  # standard deviations


@dataclass
class RoadSurvey:
    """Collects what a clip shows: pictures for the lanes, flow for the heading, vehicles for the height.

    Args:
        camera: lens and size; its mount is where the search starts.
        detector: finds the vehicles; None: the height is told by the lanes alone.
    """

    camera: Camera
    detector: ObjectDetector | None = None
    pictures: list[np.ndarray] = field(default_factory=list)
    _vehicles: list[tuple[float, float, Tracks]] = field(default_factory=list)
    _calibration: OnlineCalibration | None = None
    _ego: EgoMotionEstimator = field(default_factory=EgoMotionEstimator)
    _tracker: Tracker | None = None
    _next_s: float = -math.inf
    _detect_s: float = -math.inf

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
        found = self._detect(frame)
        ego = self._ego.step(frame.bgr, calibration.camera, found or Detections.empty(), frame.t_s)
        calibration.step(
            frame.t_s, flow=self._ego.camera_motion, speed_mps=ego.speed_mps, yaw_rate_radps=ego.yaw_rate_radps
        )
        if found is not None:
            self._track(found, frame.t_s, calibration.suspension_rad)

    def _detect(self, frame: Frame) -> Detections | None:
        """What is in the frame; None where it was not looked for."""
        if self.detector is None or frame.t_s < self._detect_s:
            return None
        self._detect_s = frame.t_s + _DETECT_EVERY_S
        return self.detector.detect(frame.bgr)

    def _track(self, found: Detections, t_s: float, suspension_rad: float) -> None:
        if self._tracker is None:
            self._tracker = Tracker(size_px=(self.camera.width_px, self.camera.height_px))
        tracks = self._tracker.update(found, t_s)
        self._vehicles.append((t_s, suspension_rad, tracks[tracks.detection >= 0]))

    def height_by_vehicles(self, camera: Camera) -> HeightFound | None:
        """The height that the vehicles met tell, for a mount of known angles; None for too few of them."""
        heights = VehicleHeights()
        for t_s, suspension_rad, tracks in self._vehicles:
            swayed = camera.mounted(pitch_rad=camera.pitch_rad + suspension_rad)
            heights.see(swayed, tracks.track_id, tracks.class_id, tracks.xyxy_px, t_s)
        return heights.found()

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
    """A mount found, and what each cue says of it; ``height_sigma_rel`` is NaN where no cue told the height."""

    camera: Camera
    pitch_sigma_rad: float
    yaw_sigma_rad: float
    height_sigma_rel: float
    lanes: FoundMount | None
    flow: MountReport | None
    vehicles: HeightFound | None
    warnings: tuple[str, ...]

    @property
    def height_words(self) -> str:
        """The height with its standard deviation, and what told it: for a screen, a profile's description."""
        lanes, vehicles = self.lanes, self.vehicles
        if lanes is None and vehicles is None:
            return f"height {self.camera.height_m:.2f} m is assumed: no lane and too few vehicles told it"
        found = f"height {self.camera.height_m:.2f} ± {self.camera.height_m * self.height_sigma_rel:.2f} m"
        by_lane = "" if lanes is None else f"if the lane is {lanes.lane_width_m:g} m wide"
        by_vehicles = "" if vehicles is None else f"by the heights of {vehicles.vehicles} vehicles"
        if lanes is None or vehicles is None:
            return f"{found} {by_lane}{by_vehicles}"
        told_m = math.exp(vehicles.log_m)
        spread_m = told_m * vehicles.sigma
        return f"{found}: {lanes.camera.height_m:.2f} m {by_lane}, {told_m:.2f} ± {spread_m:.2f} m {by_vehicles}"


def survey(
    frames: Iterator[Frame], camera: Camera, detector: ObjectDetector | None = None, *, lane_width_m: float
) -> RoadCalibration:
    """The mount from the frames of a clip, or from unrelated pictures of one camera.

    Args:
        detector: as ``RoadSurvey``.

    Raises:
        InputError: neither enough lanes nor enough steady driving are in it.
    """
    collected = RoadSurvey(camera, detector)
    for frame in frames:
        collected.add(frame)
    return conclude(collected, lane_width_m=lane_width_m)


def conclude(collected: RoadSurvey, *, lane_width_m: float) -> RoadCalibration:
    """What the frames collected say together. Raises InputError as ``survey``."""
    camera, flow = collected.camera, collected.flow
    lanes, problem = _lanes(collected, lane_width_m)
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
    vehicles = collected.height_by_vehicles(found)
    told = []
    if lanes is not None:  # lines that run elsewhere than the vehicle does are hardly a lane's
        told.append(
            (math.log(lanes.camera.height_m), _LANE_HEIGHT_SIGMA * max(1.0, _apart_rad(lanes, flow) / _AGREE_RAD))
        )
    if vehicles is not None:
        told.append((vehicles.log_m, vehicles.sigma))
    log_height, height_sigma = _mean(told) if told else (math.log(camera.height_m), math.nan)
    found = found.mounted(height_m=math.exp(log_height))
    doubts = (*_angle_doubts(lanes, flow), *_height_doubts(camera, lanes, vehicles, problem))
    return RoadCalibration(found, pitch_sigma, yaw_sigma, height_sigma, lanes, flow, vehicles, doubts)


def _lanes(collected: RoadSurvey, lane_width_m: float) -> tuple[FoundMount | None, str]:
    """What the lanes say, or why they say nothing."""
    try:
        found = find_mount(collected.pictures, lane_width_m=lane_width_m, camera=collected.camera)
    except InputError as error:
        return None, str(error)
    if not found.steady:
        spread_deg = math.degrees(found.yaw_sigma_rad)
        return None, f"the lines seen are no lane's, their direction differs by {spread_deg:.1f} degrees among pictures"
    return found, ""


def _mean(votes: list[tuple[float, float]]) -> tuple[float, float]:
    """Mean of (value, sigma) by inverse variance, and its sigma, no smaller than what the votes differ by."""
    values, sigmas = np.array(votes).T
    weight = sigmas**-2.0
    mean = float(np.sum(values * weight) / weight.sum())
    return mean, math.hypot(float(weight.sum() ** -0.5), float(np.ptp(values)) / 4)


def _apart_rad(lanes: FoundMount | None, flow: MountReport | None) -> float:
    """By how much the two disagree; 0 where one is missing."""
    if lanes is None or flow is None:
        return 0.0
    return max(abs(lanes.camera.pitch_rad - flow.pitch_rad), abs(lanes.camera.yaw_rad - flow.yaw_rad))


def _angle_doubts(lanes: FoundMount | None, flow: MountReport | None) -> Iterator[str]:
    if flow is None:
        yield "no steady driving of some seconds was seen: pitch and yaw are from the lanes alone"
    apart = _apart_rad(lanes, flow)
    if apart > _AGREE_RAD:
        yield f"lanes and motion disagree by {math.degrees(apart):.1f} degrees: look at the check picture"


def _height_doubts(
    camera: Camera, lanes: FoundMount | None, vehicles: HeightFound | None, problem: str
) -> Iterator[str]:
    if lanes is None and vehicles is None:
        yield f"the height is not measured, {camera.height_m:.2f} m is assumed: {problem}"
    elif lanes is None:
        yield f"the height is told by vehicles alone: {problem}"
    elif vehicles is not None:
        by_lanes, by_vehicles = lanes.camera.height_m, math.exp(vehicles.log_m)
        sigma = math.hypot(_LANE_HEIGHT_SIGMA, vehicles.sigma)
        if abs(math.log(by_lanes / by_vehicles)) > _HEIGHTS_AGREE * sigma:
            width_m = lanes.lane_width_m * by_vehicles / by_lanes
            yield (
                f"the lane says {by_lanes:.2f} m, the vehicles {by_vehicles:.2f} m above the road: is the lane "
                f"{lanes.lane_width_m:g} m wide? {width_m:.1f} m would agree"
            )
