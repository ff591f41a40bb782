"""Own motion: against the GPS/IMU of a real drive, and what must hold without one."""

import gzip
import json
import math
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.video import frames
from geometry.profiles import load_profile
from perception.types import Detections
from tracking.ego_motion import EgoMotionConfig, EgoMotionEstimator

SAMPLES = Path(__file__).resolve().parents[1] / "sample_videos"


def seconds(path: Path) -> np.ndarray:
    stamps = [datetime.fromisoformat(line.strip()[:26]) for line in path.read_text().splitlines() if line.strip()]
    return np.array([stamp.timestamp() for stamp in stamps])


def boxes_of(path: Path) -> dict[int, list[list[float]]]:
    found: dict[int, list[list[float]]] = {}
    for line in path.read_text().splitlines():
        words = line.split()
        if words[2] != "DontCare":
            found.setdefault(int(words[0]), []).append([float(word) for word in words[6:10]])
    return found


@pytest.mark.slow
def test_speed_and_yaw_rate_of_a_real_drive(shared: Path) -> None:
    drive = shared / "data" / "kitti_0005"
    times, imu_times = seconds(drive / "timestamps.txt"), seconds(drive / "oxts" / "timestamps.txt")
    imu = np.array([np.loadtxt(path) for path in sorted((drive / "oxts" / "data").glob("*.txt"))])
    speed, yaw_rate = (np.interp(times, imu_times, imu[:, column]) for column in (8, 22))
    boxes, camera, estimator = boxes_of(drive / "label.txt"), load_profile("kitti"), EgoMotionEstimator()
    errors, turns, sigmas, shares = [], [], [], []
    for k, path in enumerate(sorted((drive / "image_02").glob("*.jpg"))):
        xyxy = np.array(boxes.get(k, []), np.float32).reshape(-1, 4)
        found = Detections(xyxy, np.ones(len(xyxy)), np.zeros(len(xyxy)))
        ego = estimator.step(cv2.imread(str(path)), camera, found, times[k] - times[0])
        if math.isfinite(ego.speed_mps):
            errors.append(abs(ego.speed_mps - speed[k]))
            turns.append(abs(ego.yaw_rate_radps - yaw_rate[k]))
            sigmas.append(ego.speed_sigma_mps)
            shares.append(ego.speed_mps / speed[k] - 1.0)
    assert len(errors) > 0.9 * len(times)
    assert np.median(errors) < 0.25
    assert abs(np.mean(shares)) < 0.03 and np.sqrt(np.mean(np.square(shares))) < 0.075
    assert 0.4 < np.mean(np.square(np.divide(errors, sigmas))) < 2.0  # the deviation stated is the deviation
    assert np.median(turns) < 0.005
    assert 0.02 < np.median(sigmas) < 1.0


@pytest.mark.parametrize("clip", ["city_people_stopped_car", "curved_night_rain"])
def test_a_speed_is_given_by_day_and_by_night_in_rain(clip: str) -> None:
    """By night one point in eight goes where it should."""
    path = SAMPLES / f"{clip}.mp4"
    camera, estimator = load_profile(str(path.with_suffix(".toml"))), EgoMotionEstimator()
    with gzip.open(path.with_suffix(".truth.jsonl.gz"), "rt") as lines:
        true = {row["index"]: row for row in map(json.loads, lines) if "index" in row}
    known, right = 0, 0
    shown = list(frames(path, end_s=3.0))
    for frame in shown:
        truth = true[frame.index]
        boxes = np.array([row[2:6] for row in truth["objects"]], np.float32).reshape(-1, 4)
        found = Detections(boxes, np.ones(len(boxes)), np.zeros(len(boxes)))
        ego = estimator.step(frame.bgr, camera, found, frame.t_s)
        if math.isfinite(ego.speed_mps):
            known += 1
            right += abs(ego.speed_mps - truth["speed_mps"]) < 3.0 * ego.speed_sigma_mps
    assert known >= 0.9 * len(shown)
    assert right >= 0.9 * known


def test_a_speed_that_the_road_seldom_shows_is_not_given() -> None:
    for least, source in ((0.4, "flow"), (1.01, "none")):  # of the last seconds
        camera, estimator = load_profile("kitti"), EgoMotionEstimator(EgoMotionConfig(least_share=least))
        for k in range(4):
            ego = estimator.step(textured(), camera, Detections.empty(), 0.1 * k)
        assert ego.source == source and math.isnan(ego.speed_mps) == (source == "none")


def textured(shift: int = 0) -> np.ndarray:
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 255, (375, 1300, 3), dtype=np.uint8), (0, 0), 2)
    return np.ascontiguousarray(image[:, 20 + shift : 1262 + shift])


def test_a_standing_vehicle_stands() -> None:
    camera, estimator = load_profile("kitti"), EgoMotionEstimator()
    for k in range(8):
        ego = estimator.step(textured(), camera, Detections.empty(), 0.1 * k)
    assert ego.source == "flow"
    assert ego.speed_mps == pytest.approx(0.0, abs=0.1)
    assert ego.yaw_rate_radps == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_allclose(ego.image_from_previous / ego.image_from_previous[2, 2], np.eye(3), atol=0.2)


def test_a_turn_to_the_left_moves_the_far_scene_to_the_right() -> None:
    camera, estimator = load_profile("kitti"), EgoMotionEstimator()
    for k in range(4):
        ego = estimator.step(textured(-4 * k), camera, Detections.empty(), 0.1 * k)
    assert ego.yaw_rate_radps == pytest.approx(math.atan2(4, camera.fx_px) / 0.1, rel=0.2)
    centre = ego.image_from_previous @ [camera.cx_px, camera.cy_px, 1.0]
    assert centre[0] / centre[2] - camera.cx_px == pytest.approx(4.0, abs=0.8)


class Given:
    def at(self, t_s: float) -> tuple[float, float]:
        return (13.0, 0.2) if t_s < 0.35 else (math.nan, math.nan)


def test_a_supplied_speed_wins_while_it_is_there() -> None:
    camera, estimator = load_profile("kitti"), EgoMotionEstimator(supplied=Given())
    egos = [estimator.step(textured(), camera, Detections.empty(), 0.1 * k) for k in range(6)]
    assert [ego.source for ego in egos[:4]] == ["given"] * 4
    assert egos[2].speed_mps == 13.0 and egos[2].speed_sigma_mps == 0.2
    assert egos[5].source == "flow" and egos[5].speed_mps == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("image", [np.zeros((375, 1242, 3), np.uint8), np.full((20, 30, 3), 200, np.uint8)])
def test_nothing_to_see_gives_no_number(image: np.ndarray) -> None:
    camera, estimator = load_profile("kitti").resized(image.shape[1], image.shape[0]), EgoMotionEstimator()
    for k in range(3):
        ego = estimator.step(image, camera, Detections.empty(), 0.1 * k)
    assert math.isnan(ego.speed_mps) and ego.source == "none" and ego.image_from_previous is None


def test_pictures_far_apart_in_time_are_not_compared() -> None:
    camera, estimator = load_profile("kitti"), EgoMotionEstimator()
    estimator.step(textured(), camera, Detections.empty(), 0.0)
    assert math.isnan(estimator.step(textured(), camera, Detections.empty(), 5.0).speed_mps)
    assert estimator.camera_motion is None
