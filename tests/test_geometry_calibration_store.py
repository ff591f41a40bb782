"""A mount learned is kept in a file and taken up again; a file of another camera is told."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geometry.calibration_store import load_calibration, save_calibration
from geometry.errors import InputError
from geometry.online_calibration import OnlineCalibration
from geometry.profiles import load_profile

CAMERA = load_profile("kitti")
SEEN = np.array([-0.01, 0.02, 0.005, math.log(1.05)])


def test_kept_and_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "kitti.mount.toml"
    assert load_calibration(CAMERA, path) is None
    save_calibration(OnlineCalibration(CAMERA), CAMERA, path)
    assert not path.exists()  # nothing measured, nothing kept
    save_calibration(OnlineCalibration(CAMERA, seen=(SEEN, 20)), CAMERA, path)
    again = load_calibration(CAMERA, path)
    assert again is not None
    np.testing.assert_allclose(again[0], SEEN, atol=1e-12)
    assert again[1] == 20
    calibration = OnlineCalibration(CAMERA, seen=again)
    assert calibration.state == "calibrated"
    assert calibration.camera.pitch_rad == pytest.approx(-0.01, abs=1e-4)
    assert calibration.camera.height_m == pytest.approx(CAMERA.height_m * 1.05, rel=2e-3)


def test_what_was_never_measured_stays_unknown(tmp_path: Path) -> None:
    seen = SEEN.copy()
    seen[2:] = np.nan
    save_calibration(OnlineCalibration(CAMERA, seen=(seen, 9)), CAMERA, tmp_path / "m.toml")
    again = load_calibration(CAMERA, tmp_path / "m.toml")
    assert again is not None
    np.testing.assert_array_equal(np.isnan(again[0]), [False, False, True, True])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('camera = "kitti"', 'camera = "other"', "was kept for camera 'other'"),
        ("width_px = 1242", "width_px = 640", "at 640x375"),
        ("blocks = 20", "blocks = 0", "blocks is 0"),
        ("pitch_down_deg = ", "pitch_down_deg = 9", "pitch_down_deg is 9"),
        ("blocks = 20", "blocks = ", "is not a kept calibration"),
        ("blocks = 20", "blocks = 20\ncolour = 1", "key colour is unknown"),
    ],
)
def test_wrong_files_are_told(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "m.toml"
    save_calibration(OnlineCalibration(CAMERA, seen=(np.abs(SEEN), 20)), CAMERA, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError) as caught:
        load_calibration(CAMERA, path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_size_of_the_camera_is_another_camera(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    save_calibration(OnlineCalibration(CAMERA, seen=(SEEN, 20)), CAMERA, path)
    with pytest.raises(InputError, match="delete it to start anew"):
        load_calibration(replace(CAMERA, fx_px=700.0), path)
