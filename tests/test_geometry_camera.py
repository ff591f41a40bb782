"""The camera against published numbers, against OpenCV and against itself: scaled, cropped, rotated, random."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from geometry.camera import Camera
from geometry.distortion import Distortion, distort, undistort
from geometry.profiles import load_profile, profile_names

LENSES = {
    "none": Distortion(),
    "brown4": Distortion("brown", (-0.30, 0.09, 0.001, -0.0005)),
    "brown5": Distortion("brown", (-0.2671, 0.1033, -0.0009, 0.0008, -0.1961)),
    "brown8": Distortion("brown", (0.3, 0.1, 0.001, 0.002, 0.05, 0.4, 0.1, 0.01)),
    "pincushion": Distortion("brown", (0.2, 0.05, 0.0, 0.0)),
    "fisheye": Distortion("fisheye", (-0.02, 0.01, -0.005, 0.001)),
}
MONO = Camera(640, 480, 800.0, 800.0, 320.0, 240.0, 2.18, math.radians(14.0))

angles = st.floats(-0.15, 0.15)
lenses = st.sampled_from(sorted(LENSES))
cameras = st.builds(
    lambda f, ratio, c, height, mount, lens: Camera(
        1280, 720, f, f * ratio, 639.5 + c[0], 359.5 + c[1], height, *mount, distortion=LENSES[lens]
    ),
    st.floats(700, 2000),
    st.floats(0.9, 1.1),
    st.tuples(st.floats(-80, 80), st.floats(-80, 80)),
    st.floats(0.5, 4.0),
    st.tuples(angles, angles, angles),
    lenses,
)


def pixel_grid(camera: Camera, step: int = 40) -> np.ndarray:
    u, v = np.meshgrid(np.arange(0, camera.width_px, step), np.arange(0, camera.height_px, step))
    return np.stack([u, v], axis=-1).reshape(-1, 2).astype(float)


def test_beyond_the_fold_of_a_lens_nothing_is_seen() -> None:
    """A ray beyond the fold, which tangential terms pull inwards, shares its pixel with another: it has none."""
    lens = LENSES["brown5"]
    u, v = np.meshgrid(np.linspace(-1.3, 1.3, 400), np.linspace(-1.3, 1.3, 400))
    ideal = np.stack([u, v], axis=-1)
    distorted, seen = distort(lens, ideal)
    back, valid = undistort(lens, distorted[seen])
    assert 0.3 < seen.mean() < 1.0 and valid.all()
    np.testing.assert_allclose(back, ideal[seen], atol=1e-9)


def test_golden_facts_of_mono_camera() -> None:
    """The documented example of MATLAB's monoCamera."""
    px, valid = MONO.px_from_ground(np.array([10.0, 0.0]))
    assert valid
    np.testing.assert_allclose(px, [320.0, 216.2296], atol=1e-4)
    xy, valid = MONO.ground_from_px(np.array([300.0, 300.0]))
    assert valid
    np.testing.assert_allclose(xy, [6.5959, 0.1732], atol=1e-4)


def test_signs_of_the_mount() -> None:
    level = Camera(1280, 720, 1000.0, 1000.0, 640.0, 360.0, 1.5)
    ahead = np.array([20.0, 0.0])
    assert level.horizon_y_px == pytest.approx(360.0, abs=1e-4)
    assert level.px_from_ground(ahead)[0] == pytest.approx([640.0, 360.0 + 1000 * 1.5 / 20])
    left = level.px_from_ground(np.array([20.0, 1.0]))[0]
    assert left[0] == pytest.approx(640.0 - 1000 / 20)
    # Nose down: the road moves up. Turned left: what is ahead moves right. Right side down: the left side rises.
    assert level.mounted(pitch_rad=0.1).horizon_y_px == pytest.approx(360.0 - 1000 * math.tan(0.1), abs=1e-3)
    assert level.mounted(yaw_rad=0.1).px_from_ground(ahead)[0][0] > 640.0
    rolled = level.mounted(roll_rad=0.1)
    assert rolled.px_from_ground(np.array([20.0, 5.0]))[0][1] > rolled.px_from_ground(np.array([20.0, -5.0]))[0][1]


@pytest.mark.parametrize("lens", sorted(LENSES))
@pytest.mark.parametrize("profile", profile_names())
def test_pixel_to_ground_and_back(profile: str, lens: str) -> None:
    camera = load_profile(profile)
    for cam in (camera, replace(camera, distortion=LENSES[lens], roll_rad=0.03)):
        px = pixel_grid(cam)
        xy, valid = cam.ground_from_px(px)
        assert valid.sum() > 50
        again, valid_again = cam.px_from_ground(xy[valid])
        assert valid_again.all()
        np.testing.assert_allclose(again, px[valid], atol=1e-6)


@given(cameras, st.floats(0, 1279), st.floats(0, 719))
@settings(max_examples=300, deadline=None)
def test_round_trip_of_random_cameras(camera: Camera, u: float, v: float) -> None:
    px = np.array([u, v])
    xy, valid = camera.ground_from_px(px)
    ray, seen = camera.ray(px)
    if seen:
        assert np.linalg.norm(ray) == pytest.approx(1.0)
        assert bool(valid) == (ray[2] < -1e-4)  # the road is hit exactly where the ray falls
    if valid:
        np.testing.assert_allclose(camera.px_from_ground(xy)[0], px, atol=1e-6)
        assert xy[0] * ray[0] + xy[1] * ray[1] > 0
    else:
        assert np.isnan(xy).all()


def test_above_the_horizon_there_is_no_road() -> None:
    px = pixel_grid(MONO, 20)
    xy, valid = MONO.ground_from_px(px)
    above = px[:, 1] < MONO.horizon_y_px
    assert above.any()
    assert not valid[above].any()
    assert np.isnan(xy[above]).all()
    assert valid[px[:, 1] > MONO.horizon_y_px + 1].all()


def test_behind_and_nan_are_invalid() -> None:
    points = np.array([[-5.0, 0.0, 0.0], [np.nan, 0.0, 0.0], [0.0, 0.0, 2.18], [-1e9, 5.0, 3.0]])
    px, valid = MONO.project(points)
    assert not valid.any()
    assert np.isnan(px).all()
    for lens in LENSES.values():
        camera = Camera(640, 480, 800, 800, 320, 240, 2.0, 0.1, distortion=lens)
        xy, valid = camera.ground_from_px(np.array([[np.nan, 300.0], [np.inf, 300.0], [320.0, 400.0]]))
        assert valid.tolist() == [False, False, True]
        assert np.isnan(xy[:2]).all()


@pytest.mark.parametrize("lens", sorted(set(LENSES) - {"none"}))
def test_distortion_is_that_of_opencv(lens: str) -> None:
    model = LENSES[lens]
    xy = np.random.default_rng(1).uniform(-0.55, 0.55, (500, 2))
    ours, valid = distort(model, xy)
    assert valid.all()
    points, zero = np.c_[xy, np.ones(500)], np.zeros(3)
    k = np.array(model.coefficients)
    if model.model == "brown":
        theirs = cv2.projectPoints(points, zero, zero, np.eye(3), k)[0]
    else:
        theirs = cv2.fisheye.projectPoints(points[:, None], zero, zero, np.eye(3), k)[0]
    np.testing.assert_allclose(ours, theirs.reshape(-1, 2), atol=1e-12)
    back, valid = undistort(model, ours)
    assert valid.all()
    np.testing.assert_allclose(back, xy, atol=1e-10)


def test_outside_the_domain_of_a_lens_is_invalid() -> None:
    """A barrel folds back: k1 = -0.3 alone grows up to r = 1 / sqrt(0.9), where it reaches 2/3 of that."""
    lens = Distortion("brown", (-0.3, 0.0, 0.0, 0.0))
    fold = 1.0 / math.sqrt(0.9)
    assert lens.max_radius == pytest.approx(fold, abs=1e-3)
    _, valid = distort(lens, np.array([[fold * 0.99, 0.0], [fold * 1.01, 0.0], [1e9, 0.0]]))
    assert valid.tolist() == [True, False, False]
    _, valid = undistort(lens, np.array([[fold * 2 / 3 * 0.99, 0.0], [fold * 2 / 3 * 1.01, 0.0]]))
    assert valid.tolist() == [True, False]


def test_whole_camera_against_opencv() -> None:
    camera = load_profile("udacity").mounted(pitch_rad=0.05, yaw_rad=-0.08, roll_rad=0.02)
    points = np.random.default_rng(2).uniform([8, -4, -1], [60, 4, 3], (200, 3))
    rotation = camera.vehicle_from_camera_rotation.T
    theirs = cv2.projectPoints(
        points, cv2.Rodrigues(rotation)[0], camera.camera_from_vehicle[:3, 3], camera.matrix, camera.distortion.brown
    )[0]
    ours, valid = camera.project(points)
    assert valid.all()
    np.testing.assert_allclose(ours, theirs[:, 0], atol=1e-8)


@given(st.tuples(angles, angles, angles))
@settings(max_examples=50, deadline=None)
def test_rotation_is_yaw_pitch_roll(mount: tuple[float, float, float]) -> None:
    pitch, yaw, roll = mount
    camera = Camera(640, 480, 500, 500, 320, 240, 1.5, pitch, yaw, roll)
    forward = camera.vehicle_from_camera_rotation @ [0.0, 0.0, 1.0]
    np.testing.assert_allclose(
        forward, [math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), -math.sin(pitch)], atol=1e-12
    )
    body = Rotation.from_euler("ZYX", [yaw, pitch, roll]).as_matrix()
    axes = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    np.testing.assert_allclose(camera.vehicle_from_camera_rotation, body @ axes, atol=1e-12)


@given(cameras)
@settings(max_examples=60, deadline=None)
def test_scaled_and_cropped_cameras_agree(camera: Camera) -> None:
    road = np.array([[12.0, 0.5], [25.0, -3.0], [60.0, 1.0]])
    px, valid = camera.px_from_ground(road)
    half, _ = camera.resized(640, 360).px_from_ground(road)
    np.testing.assert_allclose(half[valid], (px[valid] + 0.5) / 2 - 0.5, atol=1e-9)
    cut, _ = camera.cropped(100, 50, 800, 600).px_from_ground(road)
    np.testing.assert_allclose(cut[valid], px[valid] - [100, 50], atol=1e-9)
    same = camera.resized(640, 360).resized(1280, 720)
    assert same.cx_px == pytest.approx(camera.cx_px)
    assert same.fy_px == pytest.approx(camera.fy_px)


@given(cameras, st.tuples(angles, angles))
@settings(max_examples=60, deadline=None)
def test_rotated_cameras_agree(camera: Camera, turn: tuple[float, float]) -> None:
    """What one camera sees in a pixel, a camera turned on the spot sees where the rotation moves the ray."""
    other = camera.mounted(pitch_rad=camera.pitch_rad + turn[0], yaw_rad=camera.yaw_rad + turn[1], roll_rad=0.0)
    px = pixel_grid(camera, 160)
    ray, seen = camera.ray(px)
    far = ray[seen] * 1e6 + np.array([0.0, 0.0, camera.height_m])
    moved, valid = other.project(far)
    back, _ = other.ray(moved[valid])
    np.testing.assert_allclose(back, ray[seen][valid], atol=1e-9)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (640, 360), (1920, 1080), (1281, 721), (854, 480)])
def test_for_size_of_the_same_shape_is_a_resize(width: int, height: int) -> None:
    camera = load_profile("udacity")
    assert camera.for_size(width, height) == camera.resized(width, height)


def test_for_size_of_another_shape_is_a_centred_cut() -> None:
    camera = load_profile("udacity")
    square = camera.for_size(360, 360)
    assert square == camera.cropped(280, 0, 720, 720).resized(360, 360)
    wide = camera.for_size(1280, 360)
    assert wide == camera.cropped(0, 180, 1280, 360)
    # An off-centre pixel of the uncut picture lands where the cut and the scale put it.
    px, _ = camera.px_from_ground(np.array([15.0, 1.0]))
    np.testing.assert_allclose(square.px_from_ground(np.array([15.0, 1.0]))[0], (px - [280, 0] + 0.5) / 2 - 0.5)


@pytest.mark.parametrize("lens", sorted(LENSES))
def test_torch_is_numpy(lens: str) -> None:
    camera = Camera(1280, 720, 1000, 990, 650, 350, 1.4, 0.02, 0.05, -0.03, LENSES[lens])
    px = pixel_grid(camera, 80)
    xy, valid = camera.ground_from_px(px)
    xy_torch, valid_torch = camera.ground_from_px(torch.from_numpy(px))
    np.testing.assert_array_equal(valid, valid_torch.numpy())
    np.testing.assert_allclose(xy, xy_torch.numpy(), rtol=1e-9)
    single, valid_single = camera.ground_from_px(px.astype(np.float32))
    near = valid & (xy[:, 0] < 50) & (xy[:, 0] > 0)
    assert valid_single[near].all()
    np.testing.assert_allclose(single[near], xy[near], rtol=2e-3, atol=2e-3)
    assert single.dtype == np.float32


def test_projection_has_exact_gradients() -> None:
    camera = load_profile("udacity")
    points = torch.tensor([[12.0, 1.0, 0.2], [30.0, -2.0, 1.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: camera.project(p)[0], (points,))
    px = torch.tensor([[700.0, 600.0], [300.0, 500.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: camera.ground_from_px(p)[0], (px,), eps=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("height_m", -1.2, "height_m is -1.2"),
        ("fx_px", float("nan"), "fx_px is nan"),
        ("width_px", 0, "width_px is 0"),
        ("yaw_rad", float("inf"), "yaw_rad is inf"),
        ("pitch_rad", 2.0, "between -90 and 90"),
    ],
)
def test_impossible_cameras_are_refused(field: str, value: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(MONO, **{field: value})


@pytest.mark.parametrize(
    ("model", "coefficients", "words"),
    [("zoom", (), "unknown"), ("brown", (0.1,), "takes 4 or 5 or 8"), ("fisheye", (0, 0, 0, math.nan), "finite")],
)
def test_impossible_lenses_are_refused(model: str, coefficients: tuple[float, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Distortion(model, coefficients)  # type: ignore[arg-type]
