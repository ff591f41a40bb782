"""The bird's-eye view: exact coordinates, and a painted road comes out where it was painted."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geometry.birdseye import BirdsEyeView
from geometry.camera import Camera
from geometry.distortion import Distortion
from geometry.profiles import load_profile, profile_names

LENS = Distortion("brown", (-0.25, 0.06, 0.001, -0.0005, 0.0))
CAMERA = Camera(1280, 720, 1000.0, 1000.0, 650.0, 350.0, 1.4, 0.03, 0.02, 0.02, LENS)


def test_edges_of_the_region_are_edges_of_the_outer_pixels() -> None:
    view = BirdsEyeView(CAMERA, (5.0, 45.0), (-8.0, 12.0), (0.2, 0.1))
    assert view.size_px == (200, 200)
    np.testing.assert_allclose(view.px_from_vehicle(np.array([45.0, 12.0])), [-0.5, -0.5])
    np.testing.assert_allclose(view.px_from_vehicle(np.array([5.0, -8.0])), [199.5, 199.5])
    np.testing.assert_allclose(view.vehicle_from_px(np.array([0.0, 0.0])), [44.9, 11.95])


def test_a_region_that_is_no_whole_number_of_pixels_grows() -> None:
    view = BirdsEyeView(CAMERA, (5.0, 45.05), (-8.03, 12.0), (0.1, 0.05))
    assert view.size_px == (401, 401)
    assert BirdsEyeView(CAMERA, (0.1, 0.4), (-0.3, 0.3), (0.1, 0.1)).size_px == (6, 3)  # 0.3 / 0.1 < 3 in binary


@given(st.floats(-5, 100), st.floats(-20, 20))
def test_there_and_back(x: float, y: float) -> None:
    view = BirdsEyeView(CAMERA)
    point = np.array([x, y])
    np.testing.assert_allclose(view.vehicle_from_px(view.px_from_vehicle(point)), point, atol=1e-9)
    there = view.px_from_vehicle(torch.from_numpy(point))
    np.testing.assert_allclose(there.numpy(), view.px_from_vehicle(point))


def test_forward_is_up_and_left_is_left() -> None:
    view = BirdsEyeView(CAMERA)
    near, far, left = view.px_from_vehicle(np.array([[10.0, 0.0], [30.0, 0.0], [10.0, 3.0]]))
    assert far[1] < near[1]
    assert left[0] < near[0]


@pytest.mark.parametrize("camera", [CAMERA, CAMERA.undistorted()])
def test_stripes_painted_on_the_road_come_out_straight(camera: Camera) -> None:
    """Paint the picture by the road point under every pixel; the view shows the same paint, to 2 cm."""
    u, v = np.meshgrid(np.arange(camera.width_px, dtype=float), np.arange(camera.height_px, dtype=float))
    xy, valid = camera.ground_from_px(np.stack([u, v], axis=-1))

    def paint(points: np.ndarray) -> np.ndarray:  # smooth stripes along the road, 2 m apart
        return 127.5 + 100 * np.sin(points[..., 1] * math.pi)

    picture = np.where(valid, paint(np.nan_to_num(xy)), 0).round().astype(np.uint8)
    view = BirdsEyeView(camera, (4.0, 24.0), (-6.0, 6.0), (0.1, 0.05))
    seen = view.warp(picture).astype(float)
    width, height = view.size_px
    uu, vv = np.meshgrid(np.arange(width), np.arange(height))
    expected = paint(view.vehicle_from_px(np.stack([uu, vv], axis=-1)))
    inner = cv2.erode(view.visible.astype(np.uint8), np.ones((3, 3))).astype(bool)
    inner[: int(height * 0.4)] = False  # beyond 16 m a picture pixel is coarser than the paint
    assert inner.mean() > 0.3
    assert np.abs(seen - expected)[inner].max() < 100 * math.pi * 0.02


def test_visible_is_what_the_picture_shows() -> None:
    view = BirdsEyeView(CAMERA, (2.0, 52.0), (-12.0, 12.0), (0.2, 0.2))
    white = view.warp(np.full((720, 1280), 255, np.uint8))
    inside = cv2.erode(view.visible.astype(np.uint8), np.ones((3, 3))).astype(bool)
    outside = cv2.erode((~view.visible).astype(np.uint8), np.ones((3, 3))).astype(bool)
    assert inside.any() and outside.any()
    assert (white[inside] == 255).all()
    assert (white[outside] == 0).all()
    px, _ = CAMERA.px_from_ground(np.array([[10.0, 0.0], [2.0, 11.0]]))
    assert CAMERA.in_image(px).tolist() == [True, False]
    u, v = np.round(view.px_from_vehicle(np.array([[10.0, 0.0], [2.1, 11.0]]))).astype(int).T
    assert view.visible[v, u].tolist() == [True, False]


def test_points_behind_the_camera_are_not_visible() -> None:
    view = BirdsEyeView(CAMERA, (-10.0, 10.0), (-5.0, 5.0), (0.5, 0.5))
    assert not view.visible[20:].any()
    assert np.isnan(view.source_px[20:]).all()
    assert view.warp(np.full((720, 1280, 3), 9, np.uint8))[20:].max() == 0


@pytest.mark.parametrize("profile", profile_names())
def test_every_profile_makes_a_view(profile: str) -> None:
    camera = load_profile(profile)
    view = BirdsEyeView(camera)
    assert view.visible.mean() > 0.3
    picture = np.full((camera.height_px, camera.width_px, 3), 7, np.uint8)
    assert view.warp(picture)[view.visible].mean() > 6.5


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="x_range_m"):
        BirdsEyeView(CAMERA, (10.0, 5.0))
    with pytest.raises(ValueError, match="metres_per_px"):
        BirdsEyeView(CAMERA, metres_per_px=(0.1, 0.0))
    with pytest.raises(ValueError, match="640x360, the camera 1280x720"):
        BirdsEyeView(CAMERA).warp(np.zeros((360, 640, 3), np.uint8))


def test_equal_views_can_share_a_cache() -> None:
    assert len({BirdsEyeView(CAMERA), BirdsEyeView(CAMERA), BirdsEyeView(CAMERA.mounted(pitch_rad=0.0))}) == 2


def test_straight_road_is_straight(shared: Path) -> None:
    """The yellow line of a straight highway: one column of the view, forward and back, to 0.2 m."""
    picture = cv2.imread(str(shared / "data/pictures/udacity_adv_straight_lines1.jpg"))
    # Between the recording of the video that the profile's mount is from and this one, the mount was touched.
    camera = load_profile("udacity").mounted(pitch_rad=math.radians(-1.9), yaw_rad=math.radians(-1.92))
    view = BirdsEyeView(camera, (5.0, 35.0), (0.5, 3.5), (0.25, 0.05))
    yellow = cv2.cvtColor(view.warp(picture), cv2.COLOR_BGR2LAB)[..., 2].astype(float)
    column = yellow.argmax(axis=1)
    y_m = view.vehicle_from_px(np.stack([column, np.arange(len(column))], axis=-1))[:, 1]
    assert np.abs(y_m - np.median(y_m)).max() < 0.2


@pytest.mark.parametrize("lens", [Distortion(), LENS, Distortion("fisheye", (-0.02, 0.01, -0.005, 0.001))])
@pytest.mark.parametrize("x_range_m", [(4.0, 44.0), (-5.0, 25.0)])
def test_the_remap_follows_the_camera(lens: Distortion, x_range_m: tuple[float, float]) -> None:
    """A picture that holds its own pixel coordinates, seen from above, gives those that ``project`` gives."""
    camera = Camera(1280, 720, 1000.0, 1010.0, 650.0, 350.0, 1.4, 0.03, 0.02, 0.02, lens)
    view = BirdsEyeView(camera, x_range_m, (-9.0, 9.0), (0.2, 0.1))
    u, v = np.meshgrid(np.arange(1280, dtype=np.float32), np.arange(720, dtype=np.float32))
    inner = cv2.erode(view.visible.astype(np.uint8), np.ones((3, 3))).astype(bool)
    assert inner.mean() > 0.2
    for picture, axis in ((u, 0), (v, 1)):
        assert np.abs(view.warp(picture) - view.source_px[..., axis])[inner].max() < 1 / 32
