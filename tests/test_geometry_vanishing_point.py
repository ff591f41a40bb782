"""Mount and vanishing point in turn, with yaw, roll, distortion and off-centre points."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geometry.camera import Camera
from geometry.distortion import Distortion
from geometry.errors import InputError
from geometry.profiles import load_profile, profile_names
from geometry.vanishing_point import facing, vanishing_point


def small(limit_deg: float) -> st.SearchStrategy[float]:
    return st.floats(-math.radians(limit_deg), math.radians(limit_deg))


@settings(deadline=None)
@given(pitch=small(15), yaw=small(15), roll=small(10), profile=st.sampled_from(profile_names()))
def test_a_mount_is_found_back_from_its_vanishing_point(pitch: float, yaw: float, roll: float, profile: str) -> None:
    camera = load_profile(profile).mounted(pitch_rad=pitch, yaw_rad=yaw, roll_rad=roll)
    point = vanishing_point(camera)
    if not np.isfinite(point).all():
        return
    found = facing(load_profile(profile), point, roll)
    assert (found.pitch_rad, found.yaw_rad, found.roll_rad) == pytest.approx((pitch, yaw, roll), abs=1e-7)


def test_a_level_camera_looks_at_its_principal_point() -> None:
    camera = Camera(640, 480, 500.0, 520.0, 310.0, 250.0, 1.3)
    assert vanishing_point(camera) == pytest.approx((310.0, 250.0), abs=1e-6)


def test_signs_a_point_above_means_nose_down_and_one_to_the_right_means_yaw_to_the_left() -> None:
    camera = Camera(640, 480, 500.0, 500.0, 320.0, 240.0, 1.3)
    found = facing(camera, (320.0 + 50.0, 240.0 - 25.0), 0.0)
    assert found.pitch_rad > 0 and found.yaw_rad > 0
    assert math.tan(found.pitch_rad) == pytest.approx(25 / 500)


def test_straight_lines_of_the_road_meet_there() -> None:
    camera = Camera(640, 480, 500.0, 500.0, 320.0, 240.0, 1.3, 0.1, -0.08, 0.05)
    near, far = (camera.px_from_ground(np.array([x, -1.5]))[0] for x in (8.0, 30.0))
    x_px, y_px = vanishing_point(camera)
    along, towards = far - near, np.array([x_px, y_px]) - near
    assert abs(along[0] * towards[1] - along[1] * towards[0]) < 1e-6 * np.linalg.norm(along) * np.linalg.norm(towards)


def test_a_point_the_lens_cannot_show_is_refused() -> None:
    lens = Distortion("brown", (-0.3, 0.0, 0.0, 0.0))
    with pytest.raises(InputError, match="outside of what this lens can show"):
        facing(Camera(640, 480, 500.0, 500.0, 320.0, 240.0, 1.3, distortion=lens), (5000.0, 240.0), 0.0)
