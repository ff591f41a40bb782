"""The camera's motion from moving points whose true motion is known, with noise and outliers; and on real frames."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geometry.camera import Camera
from geometry.flow import camera_motion, mount_from_heading
from geometry.online_calibration import OnlineCalibration
from geometry.profiles import load_profile
from perception.types import Detections
from tracking.ego_motion import EgoMotionEstimator

angles = st.floats(-0.3, 0.3)


def scene(rng: np.random.Generator, count: int) -> np.ndarray:
    """Points of a road, of what stands beside it, and of the distance, in metres."""
    road = np.c_[rng.uniform(4, 40, count), rng.uniform(-8, 8, count), np.zeros(count)]
    aside = rng.choice([-1, 1], count) * rng.uniform(6, 15, count)
    sides = np.c_[rng.uniform(4, 60, count), aside, rng.uniform(0, 6, count)]
    far = np.c_[rng.uniform(60, 400, count), rng.uniform(-80, 80, count), rng.uniform(0, 20, count)]
    return np.concatenate([road, sides, far])


def moved_points(
    camera: Camera, forward_m: float, turn_rad: float, dips_rad: tuple[float, float], seed: int, outliers: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels before and after an arc; the body pitches by ``dips_rad`` before and after; noise of 0.25 px."""
    rng = np.random.default_rng(seed)
    points = scene(rng, 800)
    chord = forward_m * np.array([math.cos(turn_rad / 2), math.sin(turn_rad / 2), 0.0])
    cos, sin = math.cos(turn_rad), math.sin(turn_rad)
    later = (points - chord) @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    before, seen_before = camera.mounted(pitch_rad=camera.pitch_rad + dips_rad[0]).project(points)
    now, seen_now = camera.mounted(pitch_rad=camera.pitch_rad + dips_rad[1]).project(later)
    seen = seen_before & seen_now & camera.in_image(before) & camera.in_image(now)
    rows = rng.permutation(np.flatnonzero(seen))[:200]
    now = now[rows] + rng.normal(0, 0.25, (len(rows), 2))
    wrong = rng.random(len(rows)) < outliers
    now[wrong] += rng.normal(0, 15, (int(wrong.sum()), 2))
    return before[rows], now


@given(angles, angles, angles)
def test_mount_from_heading_is_the_inverse_of_the_camera(pitch: float, yaw: float, roll: float) -> None:
    camera = Camera(640, 480, 500, 500, 320, 240, 1.5, pitch, yaw, roll)
    forward = camera.vehicle_from_camera_rotation[0]  # the vehicle's x axis in the camera frame
    assert mount_from_heading(forward, roll) == pytest.approx((pitch, yaw), abs=1e-12)
    assert mount_from_heading(3.0 * forward, roll) == pytest.approx((pitch, yaw), abs=1e-12)


@pytest.mark.parametrize("profile", ["udacity", "kitti", "comma"])
@pytest.mark.parametrize("turn_deg", [0.0, 1.0])
def test_heading_turn_and_road_are_found(profile: str, turn_deg: float) -> None:
    """Over 20 pairs: no bias, errors as the sigmas say, from a start 2 degrees off."""
    believed = load_profile(profile).mounted(pitch_rad=0.0, yaw_rad=0.0, roll_rad=0.0)
    camera = believed.mounted(pitch_rad=math.radians(-1.5), yaw_rad=math.radians(1.5), roll_rad=math.radians(0.5))
    dips = math.radians(0.1), math.radians(0.3)
    errors, scaled = [], []
    for seed in range(20):
        motion = camera_motion(believed, *moved_points(camera, 1.0, math.radians(turn_deg), dips, seed))
        assert motion is not None
        error = np.array([motion.pitch_rad - camera.pitch_rad - dips[1], motion.yaw_rad - camera.yaw_rad])
        turn = motion.turn_rad - [0.0, dips[1] - dips[0], math.radians(turn_deg)]
        tail = [motion.roll_rad - camera.roll_rad, (motion.travel_per_height * camera.height_m - 1.0)]
        errors.append([*np.degrees(error), *np.degrees(turn), math.degrees(tail[0]), tail[1]])
        scaled.append(error / [motion.pitch_sigma_rad, motion.yaw_sigma_rad])
        assert motion.inlier_share > 0.75
    median = np.median(errors, axis=0)
    assert np.abs(median[:2]).max() < 0.1
    assert np.abs(median[2:5]).max() < 0.05
    assert abs(median[5]) < 0.3
    assert abs(median[6]) < 0.04
    assert 0.3 < np.median(np.abs(scaled)) < 1.5  # a normal distribution has 0.67


def test_too_little_is_none() -> None:
    camera = load_profile("kitti")
    before, now = moved_points(camera, 1.0, 0.0, (0.0, 0.0), 0)
    assert camera_motion(camera, before[:10], now[:10]) is None
    assert camera_motion(camera, np.empty((0, 2)), np.empty((0, 2))) is None
    assert camera_motion(camera, np.full((50, 2), np.nan), now[:50]) is None


def test_standing_still_is_not_sure_where_it_heads() -> None:
    camera = load_profile("kitti")
    before, now = moved_points(camera, 0.0, 0.0, (0.0, 0.0), 1)
    motion = camera_motion(camera, before, now)
    assert motion is None or motion.pitch_sigma_rad > math.radians(0.6)


@pytest.mark.slow
def test_kitti_pitch_roll_and_speed(shared: Path) -> None:
    """Against the LiDAR's road plane (0.27 degrees up, roll 0.56) and the GPS/IMU's speed and yaw rate."""
    root = shared / "data/kitti_0005"
    camera, ego, rows = load_profile("kitti"), EgoMotionEstimator(), []
    calibration = OnlineCalibration(camera)
    boxes: dict[int, list[list[float]]] = {}
    for line in (root / "label.txt").read_text().splitlines():
        words = line.split()
        boxes.setdefault(int(words[0]), []).append([float(v) for v in words[6:10]])
    for index in range(154):
        picture = cv2.imread(str(root / f"image_02/{index:010}.jpg"))
        truth = np.array((root / f"oxts/data/{index:010}.txt").read_text().split(), float)
        moving = np.array(boxes.get(index, [])).reshape(-1, 4)
        found = Detections(moving, np.ones(len(moving)), np.zeros(len(moving)))
        own = ego.step(picture, calibration.camera, found, index / 10)
        motion = ego.camera_motion
        calibration.step(index / 10, flow=motion, speed_mps=own.speed_mps, yaw_rate_radps=own.yaw_rate_radps)
        if motion is not None:
            yaw_rate = math.degrees(motion.turn_rad[2]) * 10 - math.degrees(truth[19])
            row = np.degrees([motion.pitch_rad, motion.pitch_sigma_rad, motion.roll_rad])
            rows.append([*row, own.speed_mps / truth[8], yaw_rate])
    pitch, sigma, roll, speed, yaw_rate = np.array(rows).T
    assert len(rows) > 145
    assert np.average(pitch, weights=sigma**-2.0) == pytest.approx(-0.27, abs=0.2)
    assert math.degrees(calibration.report().pitch_rad) == pytest.approx(-0.27, abs=0.2)
    assert np.nanmedian(roll) == pytest.approx(0.56, abs=1.0)
    assert np.nanmedian(speed) == pytest.approx(1.0, abs=0.08)
    assert np.median(np.abs(yaw_rate)) < 0.4


def test_the_bonnet_is_no_road() -> None:
    """Corners of the vehicle's own bonnet stay where they are: neither speed nor turn may rest on them."""
    camera = load_profile("udacity")
    before, now = moved_points(camera, 1.0, math.radians(0.5), (0.0, 0.0), 4)
    rng = np.random.default_rng(0)
    bonnet = np.c_[rng.uniform(300, 1000, 120), rng.uniform(660, 715, 120)]
    seen = bonnet + rng.normal(0, 0.2, bonnet.shape)
    motion = camera_motion(camera, np.concatenate([before, bonnet]), np.concatenate([now, seen]))
    assert motion is not None
    assert motion.travel_per_height * camera.height_m == pytest.approx(1.0, rel=0.1)
    assert math.degrees(motion.turn_rad[2]) == pytest.approx(0.5, abs=0.05)
    # Standing, everything stays: then nothing is taken for a bonnet.
    before, now = moved_points(camera, 0.0, 0.0, (0.0, 0.0), 5, outliers=0.0)
    motion = camera_motion(camera, before, now)
    assert motion is None or motion.inliers > 150
