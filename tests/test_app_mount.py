"""The mount that a run follows, kept in a file from one run to the next."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.mount import FixedMount, FollowedMount, camera_at, pose_of
from geometry.errors import InputError
from geometry.flow import CameraMotion
from geometry.profiles import load_profile
from perception.types import LaneBoundary, Lanes
from tracking.types import EgoMotion

CAMERA = load_profile("kitti")
PITCH = math.radians(-1.5)
EGO = EgoMotion(speed_mps=15.0, yaw_rate_radps=0.0, source="flow")


def motion(pitch_rad: float) -> CameraMotion:
    small = math.radians(0.1)
    return CameraMotion(
        pitch_rad, 0.0, small, small, np.zeros(3), np.full(3, 1e-4), math.nan, math.nan, math.nan, math.nan, 100, 0.9
    )


def drive(mount: FollowedMount, seconds: float, pitch_rad: float = PITCH) -> str:
    state = ""
    for k in range(round(seconds * 10)):
        state = mount.step(k / 10, EGO, motion(pitch_rad), Lanes()).state
    return state


def test_a_fixed_mount_is_the_profile() -> None:
    pose = FixedMount(CAMERA).step(0.0, EGO, motion(PITCH), Lanes())
    assert pose == pose_of(CAMERA)
    assert camera_at(CAMERA, pose) == CAMERA
    assert pose.state == "fixed"


def test_a_mount_is_kept_from_run_to_run(tmp_path: Path) -> None:
    kept = tmp_path / "kitti.mount.toml"
    first = FollowedMount(CAMERA, kept)
    assert first.step(0.0, EGO, None, Lanes()).state == "uncalibrated"
    assert drive(first, 5) == "calibrating"
    assert not kept.exists()  # what is not sure yet is not kept
    assert drive(FollowedMount(CAMERA, kept), 20) == "calibrated"
    again = FollowedMount(CAMERA, kept).step(0.0, EGO, None, Lanes())
    assert again.state == "calibrated"
    assert again.pitch_rad == pytest.approx(PITCH, abs=math.radians(0.05))
    with pytest.raises(InputError, match="was kept for camera 'kitti'"):
        FollowedMount(replace(CAMERA, name="other"), kept)


def test_lanes_of_the_last_frame_tell_the_pitch() -> None:
    """Two lines that open as seen by a camera pitched wrongly, with no flow at all."""
    mount = FollowedMount(CAMERA)
    true = CAMERA.mounted(pitch_rad=PITCH)
    lanes, pose = Lanes(), pose_of(CAMERA)
    x_m = np.linspace(6, 25, 10)
    for k in range(300):
        pose = mount.step(k / 10, EGO, None, lanes)
        used, sides = camera_at(CAMERA, pose), []
        for y_m in (1.8, -1.8):
            px, _ = true.px_from_ground(np.stack([x_m, np.full_like(x_m, y_m)], axis=-1))
            xy, _ = used.ground_from_px(px)
            coeff = np.polynomial.polynomial.polyfit(xy[:, 0], xy[:, 1], 2)
            sides.append(LaneBoundary(coeff, np.eye(3) * 1e-4, (6.0, 25.0), "solid", 0.9))
        lanes = Lanes(*sides)
    assert pose.pitch_rad == pytest.approx(PITCH, abs=math.radians(0.1))
    assert pose.yaw_rad == pytest.approx(0.0, abs=math.radians(0.1))


def test_a_known_lane_width_tells_the_height(tmp_path: Path) -> None:
    """A camera 20 % higher than its profile says shows lanes as much narrower than they are: 3.5 m as 2.92."""
    mount = FollowedMount(CAMERA, tmp_path / "kitti.mount.toml", lane_width_m=3.5)
    height = CAMERA.height_m
    for k in range(600):
        seen_m = 3.5 * height / (1.2 * CAMERA.height_m)  # as the camera believed in would measure them
        height = mount.step(k / 10, EGO, motion(PITCH), straight_lane(seen_m)).height_m
    assert height == pytest.approx(1.2 * CAMERA.height_m, rel=0.03)
    again = FollowedMount(CAMERA, tmp_path / "kitti.mount.toml").step(0.0, EGO, None, Lanes())
    assert again.height_m == pytest.approx(height, rel=0.03)


def straight_lane(width_m: float) -> Lanes:
    left, right = (
        LaneBoundary(np.array([y_m, 0.0, 0.0]), 1e-4 * np.eye(3), (5.0, 40.0), "solid", 0.9)
        for y_m in (width_m / 2, -width_m / 2)
    )
    return Lanes(left, right)
