"""The camera's mount from frame to frame: as the profile says, or followed while driving."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from app.types import CameraPose
from geometry.calibration import CalibrationConfig, CameraMotion, LaneCue, OnlineCalibration
from geometry.calibration_store import load_calibration, save_calibration
from geometry.camera import Camera
from perception.types import Lanes
from tracking.types import EgoMotion, Tracks

NO_TRACKS = Tracks.empty()
_KEEP_EVERY_S = 10.0
# Sigmas, and the share of the first: lanes of motorways and main roads are within 4 % of 3.6 m (3.5 to 3.75 m), those
# of towns down to 3.0 m.
_HEIGHT_BY_LANES = (0.04, 0.1), 0.8


class MountModel(Protocol):
    """Anything that knows how the camera is mounted at a frame."""

    def step(
        self, t_s: float, ego: EgoMotion, flow: CameraMotion | None, lanes: Lanes, tracks: Tracks = NO_TRACKS
    ) -> CameraPose:
        """The mount at this frame; ``lanes`` and ``tracks`` are those of the frame before."""
        ...


def pose_of(camera: Camera) -> CameraPose:
    """The mount of a camera that nothing has to be found out about."""
    return CameraPose(
        height_m=camera.height_m,
        pitch_rad=camera.pitch_rad,
        yaw_rad=camera.yaw_rad,
        roll_rad=camera.roll_rad,
        horizon_y_px=camera.horizon_y_px,
    )


def camera_at(camera: Camera, pose: CameraPose) -> Camera:
    """The camera as it was believed to be mounted at a frame."""
    return camera.mounted(
        height_m=pose.height_m, pitch_rad=pose.pitch_rad, yaw_rad=pose.yaw_rad, roll_rad=pose.roll_rad
    )


class FixedMount:
    """The mount of the profile."""

    def __init__(self, camera: Camera) -> None:
        self._pose = pose_of(camera)

    def step(
        self, t_s: float, ego: EgoMotion, flow: CameraMotion | None, lanes: Lanes, tracks: Tracks = NO_TRACKS
    ) -> CameraPose:
        """The same pose every frame."""
        return self._pose


class FollowedMount:
    """The mount as flow and lanes show it, suspension included, and the height that the vehicles met tell.

    Args:
        camera: of the profile.
        kept: file in which the mount is kept from drive to drive: read now, written while driving; None: nothing is.
        lane_width_m: known width of the lane driven in: the camera's height follows from it; None: it is not known.
        height_by_lanes: the camera's height is one that the lanes of the clip told, if they are as wide as most.

    Raises:
        InputError: the file is of another camera or no such file.
    """

    def __init__(
        self,
        camera: Camera,
        kept: str | Path | None = None,
        *,
        lane_width_m: float | None = None,
        height_by_lanes: bool = False,
    ) -> None:
        self._profile, self._kept = camera, kept
        seen = load_calibration(camera, kept) if kept is not None else None
        config = CalibrationConfig(lane_width_m=math.nan if lane_width_m is None else lane_width_m)
        if height_by_lanes:
            sigmas, share = _HEIGHT_BY_LANES
            config = replace(config, prior_height_sigmas=sigmas, prior_height_share=share)
        self._calibration = OnlineCalibration(camera, config, seen=seen)
        self._save_s = math.nan

    def step(
        self, t_s: float, ego: EgoMotion, flow: CameraMotion | None, lanes: Lanes, tracks: Tracks = NO_TRACKS
    ) -> CameraPose:
        """The pose of this frame."""
        calibration = self._calibration
        seen = tracks.detection >= 0
        if seen.any():
            calibration.see_vehicles(tracks.track_id[seen], tracks.class_id[seen], tracks.xyxy_px[seen])
        camera = calibration.step(
            t_s,
            flow=flow,
            lanes=LaneCue.from_lines([boundary.coeff for boundary in lanes.boundaries]),
            speed_mps=ego.speed_mps,
            yaw_rate_radps=ego.yaw_rate_radps,
            speed_is_given=ego.source == "given",
        )
        self._keep(t_s)
        return replace(pose_of(camera), state=calibration.state, progress=calibration.progress)

    def _keep(self, t_s: float) -> None:
        """Writes what is known every few seconds, once it is sure."""
        if self._kept is None or self._calibration.state != "calibrated" or t_s < self._save_s:
            return
        self._save_s = t_s + _KEEP_EVERY_S
        save_calibration(self._calibration, self._profile, self._kept)
