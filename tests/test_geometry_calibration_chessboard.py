"""Lens calibration: exact corners give the exact lens; rendered boards are found; bad boards are named and left out."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from geometry.calibration_chessboard import calibrate_chessboard, find_corners
from geometry.camera import Camera
from geometry.distortion import Distortion
from geometry.errors import InputError

PATTERN = (9, 6)
BROWN = Camera(
    1280, 720, 1000.0, 990.0, 650.0, 350.0, 1.3, distortion=Distortion("brown", (-0.25, 0.08, 1e-3, -5e-4, 0))
)
FISHEYE = Camera(
    1280, 720, 700.0, 705.0, 640.0, 350.0, 1.3, distortion=Distortion("fisheye", (-0.02, 0.01, -0.005, 0.001))
)


def board_px(camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Corners (54, 2) of a board held somewhere in view."""
    plane = np.zeros((PATTERN[0] * PATTERN[1], 3))
    plane[:, :2] = np.mgrid[: PATTERN[0], : PATTERN[1]].T.reshape(-1, 2) - [4.0, 2.5]
    while True:
        rotation = cv2.Rodrigues(rng.uniform(-0.5, 0.5, 3))[0]
        place = np.array([rng.uniform(-5, 5), rng.uniform(-2.5, 2.5), rng.uniform(9, 20)])
        px, valid = camera.project_camera(plane @ rotation.T + place)
        if valid.all() and camera.in_image(px).all():
            return px


def boards(camera: Camera, count: int, noise_px: float, seed: int = 0) -> dict[str, np.ndarray | None]:
    rng = np.random.default_rng(seed)
    return {f"{k:02}.png": board_px(camera, rng) + rng.normal(0, noise_px, (54, 2)) for k in range(count)}


def sizes(names: dict[str, np.ndarray | None]) -> dict[str, tuple[int, int]]:
    return dict.fromkeys(names, (1280, 720))


@pytest.mark.parametrize(("camera", "lens"), [(BROWN, "brown"), (FISHEYE, "fisheye")])
def test_exact_corners_give_the_exact_lens(camera: Camera, lens: str) -> None:
    seen = boards(camera, 12, 0.0)
    found = calibrate_chessboard(seen, sizes(seen), PATTERN, lens=lens)
    got = found.camera
    wanted = [camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px]
    assert [got.fx_px, got.fy_px, got.cx_px, got.cy_px] == pytest.approx(wanted, abs=0.01)
    assert got.distortion.coefficients == pytest.approx(camera.distortion.coefficients, abs=1e-3)
    assert found.rms_px < 1e-3


def test_noise_is_told() -> None:
    seen = boards(BROWN, 20, 0.5)
    found = calibrate_chessboard(seen, sizes(seen), PATTERN)
    assert found.rms_px == pytest.approx(0.5 * np.sqrt(2), rel=0.1)  # both coordinates
    assert abs(found.camera.fx_px - BROWN.fx_px) < 3 * found.sigma[0]
    assert abs(found.camera.cy_px - BROWN.cy_px) < 3 * found.sigma[3]
    assert all(board.used for board in found.boards)
    assert found.coverage.sum() == pytest.approx(1.0)


def test_bad_boards_are_left_out_by_name() -> None:
    seen = boards(BROWN, 15, 0.2)
    seen["03.png"] = None
    bent = seen["07.png"]
    assert bent is not None
    seen["07.png"] = bent + np.random.default_rng(1).normal(0, 8, bent.shape)
    size = sizes(seen)
    size["05.png"] = (1281, 721)  # padded by a program: still used
    size["09.png"] = (640, 360)
    found = calibrate_chessboard(seen, size, PATTERN)
    reasons = {board.name: board.reason for board in found.boards if not board.used}
    assert set(reasons) == {"03.png", "07.png", "09.png"}
    assert "does not show all 9x6" in reasons["03.png"]
    assert "times the median board" in reasons["07.png"]
    assert "is 640x360, most are 1280x720" in reasons["09.png"]
    assert found.camera.fx_px == pytest.approx(BROWN.fx_px, abs=3)


def test_too_few_boards_is_an_error() -> None:
    seen = boards(BROWN, 3, 0.0)
    with pytest.raises(InputError, match="3 of 3 pictures show a whole chessboard of 9x6"):
        calibrate_chessboard(seen, sizes(seen), PATTERN)
    with pytest.raises(InputError, match="0 of 0 pictures"):
        calibrate_chessboard({}, {}, PATTERN)


def test_weak_sets_of_boards_are_warned_of() -> None:
    rng = np.random.default_rng(0)
    plane = np.zeros((54, 3))
    plane[:, :2] = np.mgrid[:9, :6].T.reshape(-1, 2) - [4.0, 2.5]
    seen: dict[str, np.ndarray | None] = {}
    for k in range(6):  # all upright, all in the middle
        place = [rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), 14 + k]
        seen[str(k)] = BROWN.project_camera(plane @ cv2.Rodrigues(rng.uniform(-0.05, 0.05, 3))[0].T + place)[0]
    words = " ".join(calibrate_chessboard(seen, sizes(seen), PATTERN).warnings)
    assert "only 6 boards" in words
    assert "no corner" in words
    assert "tilt" in words


def test_a_rendered_board_is_found() -> None:
    squares = np.kron(np.indices((7, 10)).sum(axis=0) % 2, np.ones((60, 60))) * 220 + 20
    sheet = cv2.copyMakeBorder(squares.astype(np.uint8), 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=240)
    warp = np.array([[0.8, 0.1, 120.0], [-0.05, 0.75, 90.0], [1e-5, 2e-5, 1.0]])
    picture = cv2.warpPerspective(sheet, warp, (900, 600), borderValue=200)
    corners = find_corners(picture, PATTERN)
    assert corners is not None
    inner = np.mgrid[2:11, 2:8].T.reshape(-1, 2) * 60.0 - 0.5
    true = cv2.perspectiveTransform(inner[None], warp)[0]
    distance = np.linalg.norm(corners[:, None] - true[None], axis=-1)
    assert distance.min(axis=0).max() < 0.3
    assert find_corners(picture, (8, 8)) is None


@pytest.mark.slow
def test_real_boards(shared: Path) -> None:
    """The published result of these pictures: f about 1157 and 1152, rms near 1.2 px; two boards are 1281x721."""
    seen, size = {}, {}
    for path in sorted((shared / "data/clips/camera_cal").glob("*.jpg")):
        gray = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        seen[path.name], size[path.name] = find_corners(gray, PATTERN), (gray.shape[1], gray.shape[0])
    found = calibrate_chessboard(seen, size, PATTERN)
    assert found.camera.fx_px == pytest.approx(1157.5, abs=5)
    assert found.camera.fy_px == pytest.approx(1151.9, abs=5)
    assert found.camera.cx_px == pytest.approx(675.4, abs=10)
    assert found.camera.cy_px == pytest.approx(386.7, abs=10)
    assert found.camera.distortion.coefficients[0] == pytest.approx(-0.267, abs=0.02)
    assert found.rms_px == pytest.approx(1.2, abs=0.2)
    used = {board.name for board in found.boards if board.used}
    assert {"calibration7.jpg", "calibration15.jpg"} <= used
    assert len(used) == 17
