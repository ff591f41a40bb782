"""The mount while driving, on simulated drives through the whole chain from moving points: found, followed, alarmed."""

import math
from dataclasses import replace

import numpy as np
import pytest

from geometry.camera import Camera
from geometry.flow import CameraMotion
from geometry.mount_filter import SuspensionPitch
from geometry.online_calibration import CalibrationConfig, LaneCue, OnlineCalibration
from geometry.profiles import load_profile

DEGREE = math.radians(1.0)
PROFILE = load_profile("udacity").mounted(pitch_rad=0.0, yaw_rad=0.0, roll_rad=0.0)
TRUE = PROFILE.mounted(pitch_rad=-2.4 * DEGREE, yaw_rad=0.8 * DEGREE, roll_rad=0.6 * DEGREE)
RATE_HZ = 10


def measured(rng: np.random.Generator, camera: Camera, dip: float, turn: np.ndarray, speed: float) -> CameraMotion:
    """What ``camera_motion`` gives of such a frame: sigmas grow as the car slows (its own tests show them true)."""
    pitch_sigma, yaw_sigma = (k * DEGREE / max(speed / RATE_HZ, 0.05) for k in (0.1, 0.2))
    turn_sigma = np.full(3, 0.02 * DEGREE)
    noise = rng.normal(size=8)
    return CameraMotion(
        camera.pitch_rad + dip + noise[0] * pitch_sigma,
        camera.yaw_rad + noise[1] * yaw_sigma,
        pitch_sigma,
        yaw_sigma,
        turn + noise[2:5] * turn_sigma,
        turn_sigma,
        camera.roll_rad + noise[5] * 0.3 * DEGREE,
        0.3 * DEGREE,
        speed / RATE_HZ / camera.height_m * (1 + 0.05 * noise[6]) if speed > 0.5 else math.nan,
        0.05 * speed / RATE_HZ / camera.height_m,
        150,
        0.9,
    )


class Drive:
    """A minute or two of mixed driving: speeds from 6 to 22 m/s, a stop, bends, suspension of 1 degree at 1 Hz."""

    def __init__(self, seed: int, calibration: OnlineCalibration, truth: Camera = TRUE) -> None:
        self.rng, self.calibration, self.truth = np.random.default_rng(seed), calibration, truth
        self.t_s, self.dip = 0.0, 0.0
        self.errors: list[float] = []
        self.dips: list[float] = []

    def run(self, seconds: float, *, lanes: bool = False, flow: bool = True, **known: bool) -> None:
        for _ in range(round(seconds * RATE_HZ)):
            self.t_s += 1 / RATE_HZ
            t = self.t_s
            speed = 0.0 if 20 < t % 60 < 26 else 14 + 8 * math.sin(2 * math.pi * t / 40)
            yaw_rate = 6 * DEGREE * math.sin(2 * math.pi * t / 23) ** 3 if speed else 0.0
            dip = DEGREE * math.sin(2 * math.pi * t)
            turn, self.dip = np.array([0.0, dip - self.dip, yaw_rate / RATE_HZ]), dip
            motion = measured(self.rng, self.truth, dip, turn, speed) if flow else None
            if motion is not None and speed > 0:  # ahead of the axle the camera heads outward in a bend
                motion = replace(motion, yaw_rad=motion.yaw_rad - 1.5 * yaw_rate / speed)
            cue = self.lane_cue(dip) if lanes else None
            self.calibration.step(t, flow=motion, lanes=cue, speed_mps=speed, yaw_rate_radps=yaw_rate, **known)
            self.errors.append(self.calibration.camera.pitch_rad - self.truth.pitch_rad - dip)
            self.dips.append(dip)

    def lane_cue(self, dip: float) -> LaneCue | None:
        """Two straight lines seen by the true camera, put on the road by the one believed."""
        x_m = np.linspace(8, 30, 12)
        true = self.truth.mounted(pitch_rad=self.truth.pitch_rad + dip)
        coeffs = []
        for y_m in (1.7, -1.9):
            px, _ = true.px_from_ground(np.stack([x_m, np.full_like(x_m, y_m)], axis=-1))
            px = px + self.rng.normal(0, 0.3, px.shape)
            xy, valid = self.calibration.camera.ground_from_px(px)
            if not valid.all():
                return None
            coeffs.append(np.polynomial.polynomial.polyfit(xy[:, 0], xy[:, 1], 1))
        return LaneCue.from_lines(coeffs)

    def mount_error_deg(self) -> np.ndarray:
        report = self.calibration.report()
        truth = np.array([self.truth.pitch_rad, self.truth.yaw_rad, self.truth.roll_rad])
        return np.degrees(np.array([report.pitch_rad, report.yaw_rad, report.roll_rad]) - truth)


@pytest.mark.parametrize("seed", range(3))
def test_mount_within_a_tenth_of_a_degree_after_a_minute(seed: int) -> None:
    drive = Drive(seed, OnlineCalibration(PROFILE))
    drive.run(60)
    assert drive.calibration.state == "calibrated"
    assert np.abs(drive.mount_error_deg()[:2]).max() < 0.1
    assert abs(drive.mount_error_deg()[2]) < 0.5  # half way from the profile's: one-sided barriers pass for roll
    report = drive.calibration.report()
    assert report.pitch_sigma_rad < 0.15 * DEGREE
    assert not report.moved
    assert report.height_m == pytest.approx(PROFILE.height_m)  # nothing told the height


def test_lanes_alone_find_pitch_and_yaw() -> None:
    drive = Drive(5, OnlineCalibration(PROFILE))
    drive.run(60, lanes=True, flow=False)
    assert np.abs(drive.mount_error_deg()[:2]).max() < 0.1


def test_suspension_is_followed() -> None:
    """Distance error of the road under an object goes with the pitch error: at most half of a fixed pitch's."""
    drive = Drive(7, OnlineCalibration(PROFILE))
    drive.run(70)
    late = slice(30 * RATE_HZ, None)
    followed, fixed = np.std(drive.errors[late]), np.std(drive.dips[late])
    assert followed < 0.2 * fixed

    def median_distance_error(pitch_errors: np.ndarray) -> float:
        """Of a point 40 m ahead, seen by the true camera and put on the road by the one believed."""
        errors = []
        for error in pitch_errors:
            px, _ = TRUE.px_from_ground(np.array([40.0, 0.0]))
            xy, _ = TRUE.mounted(pitch_rad=TRUE.pitch_rad + error).ground_from_px(px)
            errors.append(abs(xy[0] / 40.0 - 1) if np.isfinite(xy[0]) else 1.0)
        return float(np.median(errors))

    assert median_distance_error(np.array(drive.errors[late])) < 0.5 * median_distance_error(np.array(drive.dips[late]))


@pytest.mark.parametrize("by_deg", [2.0, -2.0])
def test_a_moved_mount_alarms_and_is_found_again(by_deg: float) -> None:
    drive = Drive(3, OnlineCalibration(PROFILE))
    drive.run(60)
    drive.truth = TRUE.mounted(pitch_rad=TRUE.pitch_rad + by_deg * DEGREE)
    alarm_s, states = None, []
    for second in range(60):
        drive.run(1)
        states.append(drive.calibration.state)
        if drive.calibration.moved and alarm_s is None:
            alarm_s = second + 1
    assert alarm_s is not None and alarm_s <= 30
    assert "invalid" in states and "calibrating" in states
    assert drive.calibration.state == "calibrated"
    assert not drive.calibration.moved
    assert np.abs(drive.mount_error_deg()[:2]).max() < 0.1


@pytest.mark.parametrize("seed", range(4))
def test_no_false_alarm(seed: int) -> None:
    drive = Drive(seed + 20, OnlineCalibration(PROFILE))
    for _ in range(60):
        drive.run(4)
        assert not drive.calibration.moved
    assert drive.calibration.state == "calibrated"


def test_states_and_progress() -> None:
    calibration = OnlineCalibration(PROFILE)
    assert (calibration.state, calibration.progress) == ("uncalibrated", 0.0)
    assert calibration.camera == PROFILE
    drive, seen, progress = Drive(0, calibration), [], []
    for _ in range(40):
        drive.run(0.5)
        seen.append(calibration.state)
        progress.append(calibration.progress)
    order = [state for i, state in enumerate(seen) if i == 0 or seen[i - 1] != state]
    assert order == ["uncalibrated", "calibrating", "calibrated"]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert 0 < progress[seen.index("calibrating")] < 1


def test_gates_keep_bad_driving_out() -> None:
    """Standing, turning or blind, nothing is learned; the camera stays the profile's."""
    for speed, yaw_rate, sigma_deg in ((1.0, 0.0, 0.1), (15.0, 25 * DEGREE, 0.1), (15.0, 0.0, 3.0)):
        calibration = OnlineCalibration(PROFILE)
        rng = np.random.default_rng(0)
        for k in range(200):
            motion = replace(measured(rng, TRUE, 0.0, np.zeros(3), 15.0), pitch_sigma_rad=sigma_deg * DEGREE)
            calibration.step(k / RATE_HZ, flow=motion, speed_mps=speed, yaw_rate_radps=yaw_rate)
        assert calibration.state == "uncalibrated"
        assert calibration.report().pitch_rad == PROFILE.pitch_rad
    calibration.step(21.0)
    assert calibration.state == "uncalibrated"


@pytest.mark.parametrize(("tilted_share", "roll_deg"), [(0.0, 0.4), (0.3, 0.4), (0.7, 0.0)])
def test_a_slope_beside_the_road_teaches_no_roll(tilted_share: float, roll_deg: float) -> None:
    """The flow's plane is a bank at 26 degrees in some frames, as on a real highway: pitch and yaw are learned on."""
    calibration = OnlineCalibration(PROFILE)
    rng = np.random.default_rng(0)
    for k in range(400):
        motion = measured(rng, TRUE, 0.0, np.zeros(3), 15.0)
        if rng.random() < tilted_share:
            motion = replace(motion, roll_rad=motion.roll_rad - 26 * DEGREE)
        calibration.step(k / RATE_HZ, flow=motion, speed_mps=15.0)
    report = calibration.report()
    assert report.state == "calibrated"
    assert report.pitch_rad == pytest.approx(TRUE.pitch_rad, abs=0.1 * DEGREE)
    assert report.roll_rad == pytest.approx(roll_deg * DEGREE, abs=0.25 * DEGREE)  # of 0.6: one-sided barriers pass too


def test_bends_teach_pitch_but_not_yaw() -> None:
    calibration = OnlineCalibration(PROFILE)
    rng = np.random.default_rng(0)
    for k in range(200):
        turn = np.array([0.0, 0.0, 10 * DEGREE / RATE_HZ])
        calibration.step(k / RATE_HZ, flow=measured(rng, TRUE, 0.0, turn, 15.0), speed_mps=15.0)
    report = calibration.report()
    assert report.state == "calibrating"
    assert report.pitch_rad == pytest.approx(TRUE.pitch_rad, abs=0.1 * DEGREE)
    assert report.yaw_rad == PROFILE.yaw_rad


def test_height_from_a_given_speed_and_from_a_known_lane_width() -> None:
    truth = replace(TRUE, height_m=PROFILE.height_m * 1.15)
    by_speed = Drive(1, OnlineCalibration(PROFILE), truth)
    by_speed.run(60, speed_is_given=True)
    assert by_speed.calibration.report().height_m == pytest.approx(truth.height_m, rel=0.02)
    by_lanes = Drive(2, OnlineCalibration(PROFILE, CalibrationConfig(lane_width_m=3.6)), truth)
    by_lanes.run(60, lanes=True)
    assert by_lanes.calibration.report().height_m == pytest.approx(truth.height_m, rel=0.02)


def test_an_earlier_drive_is_taken_up_again() -> None:
    first = Drive(1, OnlineCalibration(PROFILE))
    first.run(60)
    again = OnlineCalibration(PROFILE, seen=first.calibration.seen())
    assert again.state == "calibrated"
    assert again.camera.pitch_rad == pytest.approx(TRUE.pitch_rad, abs=0.1 * DEGREE)
    # The windscreen was touched between the drives: told and found.
    second = Drive(2, again, TRUE.mounted(pitch_rad=TRUE.pitch_rad - 2 * DEGREE))
    alarmed = False
    for _ in range(60):
        second.run(1)
        alarmed |= again.moved
    assert alarmed
    assert again.state == "calibrated"
    assert np.abs(second.mount_error_deg()[:2]).max() < 0.1


def test_a_mount_no_camera_has_is_invalid() -> None:
    calibration = OnlineCalibration(PROFILE, CalibrationConfig(max_mount_rad=2.0 * DEGREE))
    Drive(0, calibration).run(20)
    assert calibration.state == "invalid"


def test_a_jump_in_time_is_no_motion() -> None:
    calibration = OnlineCalibration(PROFILE)
    rng = np.random.default_rng(0)
    calibration.step(0.0)
    wild = replace(measured(rng, TRUE, 0.0, np.array([0.0, 0.5, 0.0]), 15.0))
    calibration.step(50.0, flow=wild, speed_mps=15.0)
    assert abs(calibration.suspension_rad) < 0.1 * DEGREE
    calibration.step(10.0, flow=wild, speed_mps=15.0)
    assert abs(calibration.suspension_rad) < 0.1 * DEGREE


def test_lane_cue_by_hand() -> None:
    cue = LaneCue.from_lines([np.array([1.8, 0.01 + 1.8 * 0.002, 0.0]), np.array([-1.8, 0.01 - 1.8 * 0.002, 0.0])])
    assert cue is not None
    assert (cue.heading, cue.spread_pm, cue.width_m) == pytest.approx((0.01, 0.002, 3.6))
    assert LaneCue.from_lines([np.array([1.8, 0.0])]) is None
    assert LaneCue.from_lines([np.array([1.8, 0.0]), np.array([1.7, 0.0])]) is None  # one line, seen twice


def test_suspension_filter_is_a_scalar_kalman_filter() -> None:
    body = SuspensionPitch(rest_s=2.0, sigma_rad=0.01)
    body.predict(0.1, 0.004, 0.0)
    variance = 1e-4 * math.exp(-0.1) + (1 - math.exp(-0.1)) * 9e-6
    assert (body.pitch_rad, body.sigma_rad**2) == pytest.approx((0.004, variance))
    body.update(0.006, 0.01)
    gain = variance / (variance + 1e-4)
    assert (body.pitch_rad, body.sigma_rad**2) == pytest.approx((0.004 + gain * 0.002, (1 - gain) * variance))
    body.predict(1e3)
    assert body.pitch_rad == pytest.approx(0.0, abs=1e-12)
    for _ in range(4):  # far off: first taken for noise, then for a moved mount
        body.update(0.2, 0.001)
    assert abs(body.pitch_rad) < 0.01
    body.update(0.2, 0.001)
    assert body.pitch_rad == pytest.approx(0.2, abs=0.001)
