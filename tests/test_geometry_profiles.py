"""Camera files: what is written is read back; what is wrong is told in one line: file, key, got, wanted."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geometry.camera import Camera
from geometry.distortion import Distortion
from geometry.errors import InputError
from geometry.profiles import (
    camera_from_fov,
    camera_from_toml,
    load_profile,
    profile_names,
    save_profile,
    toml_from_camera,
)

GOOD = """
name = "mine"
description = "measured"

[image]
width_px = 1280
height_px = 720

[intrinsics]
fx_px = 1000.0
fy_px = 1001.0
cx_px = 640.5
cy_px = 359.5

[distortion]
model = "brown"
coefficients = [-0.2, 0.05, 0.0, 0.0]

[mount]
height_m = 1.3
pitch_down_deg = 2.0
yaw_left_deg = -1.0
roll_right_down_deg = 0.5
"""


def test_package_profiles_hold_the_published_numbers() -> None:
    assert profile_names() == ("caltech", "comma", "generic", "kitti", "udacity")
    caltech = load_profile("caltech")
    assert (caltech.fx_px, caltech.fy_px, caltech.cx_px, caltech.cy_px) == (309.4362, 344.2161, 318.9034, 257.5352)
    assert (caltech.width_px, caltech.height_px, caltech.height_m) == (640, 480, 2.1798)
    assert math.degrees(caltech.pitch_rad) == pytest.approx(14.0)
    kitti = load_profile("kitti")
    assert (kitti.fx_px, kitti.fy_px, kitti.cx_px, kitti.cy_px) == (721.5377, 721.5377, 609.5593, 172.854)
    assert (kitti.width_px, kitti.height_px, kitti.height_m, kitti.pitch_rad) == (1242, 375, 1.65, 0.0)
    comma = load_profile("comma")
    assert (comma.fx_px, comma.width_px, comma.height_px, comma.height_m) == (910.0, 1164, 874, 1.22)
    generic = load_profile("generic")
    assert 2 * math.degrees(math.atan(generic.width_px / 2 / generic.fx_px)) == pytest.approx(65.0)
    udacity = load_profile("udacity")
    assert udacity.fx_px == pytest.approx(1157.5, abs=2)
    assert udacity.fy_px == pytest.approx(1151.9, abs=2)
    assert udacity.distortion.model == "brown"


def test_values_and_degrees_are_read() -> None:
    camera = camera_from_toml(GOOD)
    assert camera.name == "mine"
    assert camera.fy_px == 1001.0
    assert camera.distortion == Distortion("brown", (-0.2, 0.05, 0.0, 0.0))
    assert math.degrees(camera.pitch_rad) == pytest.approx(2.0)
    assert math.degrees(camera.yaw_rad) == pytest.approx(-1.0)
    assert math.degrees(camera.roll_rad) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("old", "new", "key", "got", "wanted"),
    [
        ("height_m = 1.3\n", "", "[mount] height_m", "missing", "number"),
        ("height_m = 1.3", "height_m = -1.2", "[mount] height_m", "-1.2", "from 0.01 to 10"),
        ("height_m = 1.3", "height_m = 130", "[mount] height_m", "130", "from 0.01 to 10"),
        ("height_m = 1.3", "height_m = nan", "[mount] height_m", "nan", "number"),
        ("height_m = 1.3", 'height_m = "1.3"', "[mount] height_m", "'1.3'", "number"),
        ("height_m = 1.3", "height_m = true", "[mount] height_m", "True", "number"),
        ("pitch_down_deg", "pitch_deg", "[mount] pitch_deg", "unknown", "pitch_down_deg"),
        ("pitch_down_deg = 2.0", "pitch_down_deg = inf", "[mount] pitch_down_deg", "inf", "number"),
        ("fx_px = 1000.0", "fx_px = 0", "[intrinsics] fx_px", "0", "number"),
        ("fx_px = 1000.0\n", "", "[intrinsics] fx_px", "missing", "number"),
        ("fx_px = 1000.0", "horizontal_fov_deg = 60", "[intrinsics] fy_px", "unknown", "horizontal_fov_deg"),
        ("width_px = 1280", "width_px = 1280.5", "[image] width_px", "1280.5", "whole number"),
        ("[image]", "[picture]", "key picture", "unknown", "image"),
        ('name = "mine"', "name = 3", "name", "3", "text"),
        ('name = "mine"', "", "name", "missing", "text"),
        ('name = "mine"', 'name = "mine"\ncolour = "red"', "key colour", "unknown", "name"),
        ('"brown"', '"zoom"', "[distortion]", "zoom", "brown"),
        ("[-0.2, 0.05, 0.0, 0.0]", "[-0.2]", "[distortion]", "1 coefficients", "4 or 5 or 8"),
        ("[-0.2, 0.05, 0.0, 0.0]", "[-0.2, 0.05, 0.0, nan]", "[distortion]", "nan", "finite"),
        ("[-0.2, 0.05, 0.0, 0.0]", '["a"]', "[distortion] coefficients", "'a'", "list of numbers"),
        ("[mount]", "[mount", "", "is not TOML", "camera profile"),
    ],
)
def test_each_fault_is_one_clear_line(tmp_path: Path, old: str, new: str, key: str, got: str, wanted: str) -> None:
    assert old in GOOD
    path = tmp_path / "cam.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(InputError) as caught:
        load_profile(path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(path), key, got, wanted):
        assert part in message


def test_what_is_no_profile_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'kity' is neither a profile nor a file: give one of caltech, comma"):
        load_profile("kity")
    with pytest.raises(InputError, match="is a folder"):
        load_profile(tmp_path)
    binary = tmp_path / "x.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"x\.toml: cannot be read as text"):
        load_profile(binary)


@given(
    st.tuples(st.integers(1, 8000), st.integers(1, 8000)),
    st.tuples(*[st.floats(1, 1e5)] * 2, *[st.floats(-1e4, 1e4)] * 2),
    st.floats(0.01, 10),
    st.tuples(*[st.floats(-1.5, 1.5)] * 3),
    st.sampled_from([Distortion(), Distortion("fisheye", (1e-9, -0.1, 3.5, 0.0)), Distortion("brown", (-0.3,) * 8)]),
    st.text(),
)
def test_what_is_written_is_read_back(
    size: tuple, pinhole: tuple, height: float, mount: tuple, lens: Distortion, name: str
) -> None:
    camera = Camera(*size, *pinhole, height, *mount, distortion=lens, name=name)
    again = camera_from_toml(toml_from_camera(camera, description=name))
    for field in ("width_px", "height_px", "fx_px", "fy_px", "cx_px", "cy_px", "height_m", "distortion", "name"):
        assert getattr(again, field) == getattr(camera, field)
    for field in ("pitch_rad", "yaw_rad", "roll_rad"):
        assert getattr(again, field) == pytest.approx(getattr(camera, field), abs=1e-13)


def test_save_is_whole_or_not_at_all(tmp_path: Path) -> None:
    camera = load_profile("udacity")
    save_profile(camera, tmp_path / "mine.toml")
    assert load_profile(tmp_path / "mine.toml") == camera
    assert [p.name for p in tmp_path.iterdir()] == ["mine.toml"]
    with pytest.raises(InputError, match="cannot be written"):
        save_profile(camera, tmp_path / "absent" / "mine.toml")


def test_camera_from_a_field_of_view() -> None:
    camera = camera_from_fov(1920, 1080, math.radians(90), height_m=1.4, pitch_rad=0.02)
    assert camera.fx_px == camera.fy_px == pytest.approx(960.0)
    assert (camera.cx_px, camera.cy_px) == (959.5, 539.5)
    # The rays through the outer edges of the picture stand 90 degrees apart.
    level = camera.mounted(pitch_rad=0.0)
    rays, _ = level.ray(np.array([[-0.5, 539.5], [1919.5, 539.5]]))
    assert rays[0] @ rays[1] == pytest.approx(0.0, abs=1e-12)
    for degrees in (0.0, 180.0, float("nan")):
        with pytest.raises(InputError, match="between 1 and 170"):
            camera_from_fov(1920, 1080, math.radians(degrees))


def test_a_place_below_a_file_is_no_place_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"cannot be written there \(Not a directory\)"):
        save_profile(load_profile("kitti"), tmp_path / "file" / "camera.toml")
