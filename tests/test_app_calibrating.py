"""The calibrate and stereo commands, end to end: the profiles they write, the grid they draw, what they refuse."""

import json
import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from app.calibrating import parse_size
from app.calibrating_road import RoadCalibration
from app.cli import app
from app.grid import draw_grid
from app.jobs.stills import survey_in_child
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.profiles import load_profile, save_profile
from geometry.vehicle_heights import HeightFound
from perception.lanes.mount import FoundMount

runner = CliRunner()


def run(*words: str) -> str:
    result = runner.invoke(app, list(words))
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_grid_lies_where_the_road_is() -> None:
    camera = load_profile("udacity")
    black = np.zeros((720, 1280, 3), np.uint8)
    picture = draw_grid(black, camera)
    assert not black.any()
    for x_m, y_m in ((10.0, 0.0), (20.0, 0.5), (12.3, 1.85), (7.0, -1.85)):
        px, _ = camera.px_from_ground(np.array([x_m, y_m]))
        u, v = np.round(px).astype(int)
        assert picture[v - 1 : v + 2, u - 1 : u + 2].max() > 100
    px, _ = camera.px_from_ground(np.array([12.3, 0.0]))  # between the lines nothing is drawn
    u, v = np.round(px).astype(int)
    assert picture[v, u].max() == 0
    assert not picture[: int(camera.horizon_y_px) - 40].any()


def test_grid_of_a_camera_that_sees_no_road() -> None:
    up = Camera(320, 240, 300, 300, 160, 120, 1.5, math.radians(-60))
    assert draw_grid(np.zeros((240, 320, 3), np.uint8), up).shape == (240, 320, 3)


def test_fov(tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    run("calibrate", "fov", "90", "--size", "1920x1080", "--height", "1.4", "--pitch", "2", "--out", str(out))
    camera = load_profile(out)
    assert camera.fx_px == pytest.approx(960.0)
    assert (camera.height_m, math.degrees(camera.pitch_rad)) == pytest.approx((1.4, 2.0))
    run("calibrate", "fov", "90", "--diagonal", "--size", "1600x1200", "--out", str(out))
    assert load_profile(out).fx_px == pytest.approx(1000.0)  # half a diagonal of 2000 at 45 degrees
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fov", "200"], "between 1 and 170"),
        (["fov", "65", "--size", "wide"], "wanted two whole numbers"),
        (["fov", "65", "--height", "-1"], "height_m is -1"),
        (["chessboard", "."], "holds no pictures"),
        (["chessboard", ".", "--lens", "zoom"], "wanted brown or fisheye"),
        (["road", "nowhere.mp4"], "nowhere.mp4"),
    ],
)
def test_what_cannot_be_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        run("calibrate", *words)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_parse_size() -> None:
    assert parse_size("1280x720") == (1280, 720)
    assert parse_size(" 9×6 ") == (9, 6)
    for text in ("", "1x1", "0x50", "12", "-5x5"):
        with pytest.raises(InputError):
            parse_size(text)


def test_chessboards_of_a_folder(tmp_path: Path) -> None:
    """Rendered boards of an ideal lens give its focal length back; a picture without one is named."""
    boards = tmp_path / "boards"
    boards.mkdir()
    squares = np.kron(np.indices((7, 10)).sum(axis=0) % 2, np.ones((40, 40))) * 220 + 20
    sheet = cv2.copyMakeBorder(squares.astype(np.uint8), 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=240)
    matrix = np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]])
    centred = np.array([[1 / 40, 0, -6.0], [0, 1 / 40, -4.5], [0, 0, 1]])
    rng = np.random.default_rng(0)
    for k in range(10):
        rotation = cv2.Rodrigues(rng.uniform(-0.5, 0.5, 3))[0]
        place = np.array([rng.uniform(-3, 3), rng.uniform(-2, 2), rng.uniform(14, 20)])
        warp = matrix @ np.column_stack([rotation[:, 0], rotation[:, 1], place]) @ centred
        cv2.imwrite(str(boards / f"{k}.png"), cv2.warpPerspective(sheet, warp, (640, 480), borderValue=200))
    cv2.imwrite(str(boards / "empty.png"), np.full((480, 640), 128, np.uint8))
    out, figures = tmp_path / "cam.toml", tmp_path / "cam.json"
    text = run("calibrate", "chessboard", str(boards), "--out", str(out), "--json", str(figures))
    assert "empty.png" in text
    camera = load_profile(out)
    assert (camera.fx_px, camera.fy_px) == pytest.approx((600, 600), rel=0.01)
    values = json.loads(figures.read_text())
    assert values["boards_given"] == 11
    assert values["boards_used"] <= 10
    assert values["rms_px"] < 0.3
    assert cv2.imread(str(tmp_path / "cam.check.png")) is not None


def test_stereo(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wall = rng.integers(0, 255, (200, 560, 3), dtype=np.uint8)
    for name, shift in (("left", 0), ("right", 10)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), wall[:, shift : shift + 480])
    pair = [str(tmp_path / "left.png"), str(tmp_path / "right.png")]
    run("stereo", *pair, "--baseline", "0.5", "--camera", "kitti", "--no-boxes", "--out", str(tmp_path / "out"))
    depth = cv2.imread(str(tmp_path / "out/depth_cm.png"), cv2.IMREAD_UNCHANGED)
    focal = load_profile("kitti").for_size(480, 200).fx_px
    assert np.median(depth[depth > 0]) / 100 == pytest.approx(focal * 0.5 / 10, rel=0.02)
    with pytest.raises(InputError, match="distorting lens"):
        run("stereo", *pair, "--baseline", "0.5", "--camera", "udacity", "--no-boxes", "--out", str(tmp_path / "out"))
    with pytest.raises(InputError, match="cannot be read as a picture"):
        run("stereo", pair[0], str(tmp_path / "x.png"), "--baseline", "0.5", "--no-boxes")


LANES = FoundMount(load_profile("generic").mounted(height_m=1.2), 20, 3.7, 0.01, 0.01)


@pytest.mark.parametrize(
    ("lanes", "vehicles", "sigma", "words"),
    [
        (LANES, None, 0.05, "height 1.30 ± 0.07 m if the lane is 3.7 m wide"),
        (
            LANES,
            HeightFound(math.log(1.5), 0.1, 9),
            0.05,
            "height 1.30 ± 0.07 m: 1.20 m if the lane is 3.7 m wide, 1.50 ± 0.15 m by the heights of 9 vehicles",
        ),
        (
            None,
            HeightFound(math.log(1.5), 0.1, 9),
            0.1,
            "height 1.30 ± 0.13 m by the heights of 9 vehicles",
        ),
        (None, None, math.nan, "height 1.30 m is assumed: no lane and too few vehicles told it"),
    ],
)
def test_the_height_says_where_it_came_from(
    lanes: FoundMount | None, vehicles: HeightFound | None, sigma: float, words: str
) -> None:
    camera = load_profile("generic").mounted(height_m=1.3)
    assert RoadCalibration(camera, 0.0, 0.0, sigma, lanes, None, vehicles, ()).height_words == words


@pytest.mark.slow
def test_the_pages_wizard_has_the_word_of_the_vehicles(tmp_path: Path) -> None:
    """A sample's street: lane and vehicles together are nearer to the true 1.3 m than the lane alone, 3.7 m wide."""
    clip = Path(__file__).parents[1] / "sample_videos" / "city_people_stopped_car.mp4"
    before, after = tmp_path / "before.toml", tmp_path / "after.toml"
    true = load_profile(clip.with_suffix(".toml"))
    save_profile(true.mounted(height_m=2.0, pitch_rad=0.0), before)
    found = survey_in_child(clip, before, after, 3.7)
    said = re.fullmatch(
        r"height ([\d.]+) ± ([\d.]+) m: ([\d.]+) m if .*, ([\d.]+) ± [\d.]+ m by .* vehicles", found.height
    )
    assert said is not None, found.height
    together_m, sigma_m, lanes_m, _ = (float(text) for text in said.groups())
    assert load_profile(after).height_m == pytest.approx(together_m, abs=0.005)
    assert abs(together_m - 1.3) < min(abs(lanes_m - 1.3), 3.0 * sigma_m)


@pytest.mark.slow
def test_road_of_a_real_clip(shared: Path, tmp_path: Path) -> None:
    """Motion and lanes, which share nothing but the lens, agree; the profile that comes with the package is theirs."""
    out, figures = tmp_path / "cam.toml", tmp_path / "cam.json"
    clip = str(shared / "data/clips/udacity_highway.mp4")
    run("calibrate", "road", clip, "--camera", "udacity", "--seconds", "7", "--out", str(out), "--json", str(figures))
    camera, profile = load_profile(out), load_profile("udacity")
    assert math.degrees(camera.pitch_rad - profile.pitch_rad) == pytest.approx(0.0, abs=0.25)
    assert math.degrees(camera.yaw_rad - profile.yaw_rad) == pytest.approx(0.0, abs=0.4)
    assert camera.height_m == pytest.approx(profile.height_m, rel=0.05)
    assert json.loads(figures.read_text())["height_m"] == camera.height_m
    assert cv2.imread(str(tmp_path / "cam.check.png")).shape == (720, 1280, 3)


@pytest.mark.slow
def test_road_without_paint_tells_the_height_by_its_vehicles(shared: Path, tmp_path: Path) -> None:
    """KITTI's street: the camera is 1.65 m above the road, the profile starts from another height."""
    out, figures = tmp_path / "cam.toml", tmp_path / "cam.json"
    drive = str(shared / "data/kitti_0005/image_02")
    run("calibrate", "road", drive, "--camera", "kitti", "--seconds", "15", "--out", str(out), "--json", str(figures))
    values = json.loads(figures.read_text())
    assert values["vehicles"] >= 5
    assert values["height_by_vehicles_m"] == pytest.approx(1.65, rel=0.15)
    assert abs(values["height_by_vehicles_m"] - 1.65) < 2.0 * values["height_by_vehicles_sigma_m"] < 0.4
    assert abs(values["height_m"] - 1.65) < 2.0 * values["height_sigma_m"] < 0.45
    # Kerbs and shadows are no lane: they said 11.6 degrees of yaw, which motion alone has about right.
    assert "height_by_lanes_m" not in values
    assert abs(values["yaw_left_deg"]) < 1.5 and values["pitch_down_deg"] == pytest.approx(-0.27, abs=0.3)
    profile = tmp_path / "wrong.toml"
    with pytest.raises(InputError):
        run("calibrate", "road", drive, "--detector", str(profile))
