"""Points followed from picture to picture: known motions, OpenCV beside it, and what cannot be followed."""

import cv2
import numpy as np
import pytest

from tracking.points import PointFollower, Pyramid


def texture(seed: int = 0, size: tuple[int, int] = (240, 320), matrix: np.ndarray | None = None) -> np.ndarray:
    """A sum of waves; with a (2, 3) matrix, what stood at a point stands where that takes it: exact between pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    if matrix is not None:
        back = np.linalg.inv(matrix[:, :2])
        x, y = back @ (np.stack([x.ravel(), y.ravel()]) - matrix[:, 2:])
    waves = [
        rng.uniform(0.5, 1.0) * np.cos(2 * np.pi * (x * np.cos(a) + y * np.sin(a)) / rng.uniform(8, 40) + a * 7)
        for a in rng.uniform(0, 2 * np.pi, 24)
    ]
    return np.rint(128 + 20 * np.sum(waves, axis=0).reshape(size)).clip(0, 255).astype(np.uint8)


def shifted(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y]])


def grid() -> np.ndarray:
    x, y = np.meshgrid(np.arange(30, 291, 20), np.arange(30, 211, 20))
    return np.stack([x.ravel(), y.ravel()], axis=-1).astype(np.float32)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.37, -0.81), (5.3, 2.6), (-9.2, 7.7)])
def test_a_shift_is_found_between_pixels(shift: tuple[float, float]) -> None:
    pair = Pyramid.of(texture()), Pyramid.of(texture(matrix=shifted(*shift)))
    places, found = PointFollower().follow(*pair, grid(), grid())
    assert found.mean() > 0.97
    error = np.linalg.norm(places - grid() - shift, axis=1)[found]
    assert np.median(error) < 0.03 and np.quantile(error, 0.9) < 0.1


def test_a_turn_and_a_growth_are_found() -> None:
    matrix = cv2.getRotationMatrix2D((160.0, 120.0), 0.7, 1.01)
    places, found = PointFollower().follow(Pyramid.of(texture()), Pyramid.of(texture(matrix=matrix)), grid(), grid())
    expected = grid() @ matrix[:, :2].T + matrix[:, 2]
    assert found.mean() > 0.95
    assert np.median(np.linalg.norm(places - expected, axis=1)[found]) < 0.06


def test_long_ways_are_found_from_a_good_guess_alone() -> None:
    image, now = texture(1), texture(1, matrix=shifted(40.0, 0.0))
    inner = grid()[grid()[:, 0] < 230]
    pair = Pyramid.of(image), Pyramid.of(now)
    places, found = PointFollower().follow(*pair, inner, inner + np.float32([37.0, 2.0]))
    assert np.median(np.linalg.norm(places - inner - [40, 0], axis=1)[found]) < 0.05
    lost, seen = PointFollower().follow(*pair, inner, inner)
    assert np.median(np.linalg.norm(lost - inner - [40, 0], axis=1)[seen]) > 10.0


def test_places_are_those_of_opencv() -> None:
    rng = np.random.default_rng(5)
    image = texture(2, (300, 400))
    now = texture(2, (300, 400), np.array([[1.01, 0.01, 2.3], [-0.01, 1.01, -1.4]]))
    now = np.clip(now + rng.normal(0, 3, now.shape), 0, 255).astype(np.uint8)
    points = cv2.goodFeaturesToTrack(image, 150, 0.01, 8, blockSize=9).reshape(-1, 2)
    theirs, status, _ = cv2.calcOpticalFlowPyrLK(
        image, now, points, None, winSize=(9, 9), maxLevel=2,
        criteria=(cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 15, 0.003),
    )  # fmt: skip
    places, found = PointFollower().follow(Pyramid.of(image), Pyramid.of(now), points, points)
    both = found & (status[:, 0] > 0)
    assert both.mean() > 0.9
    apart = np.linalg.norm(places - theirs, axis=1)[both]
    assert np.median(apart) < 0.01 and np.quantile(apart, 0.9) < 0.1


def test_what_has_no_contrast_or_leaves_the_picture_is_not_found() -> None:
    flat = np.full((120, 160), 90, np.uint8)
    points = np.array([[50.0, 50.0], [80.0, 60.0]], np.float32)
    _, found = PointFollower().follow(Pyramid.of(flat), Pyramid.of(flat), points, points)
    assert not found.any()
    edge = flat.copy()
    edge[:, 80:] = 200
    _, found = PointFollower().follow(Pyramid.of(edge), Pyramid.of(edge), points, points)
    assert not found.any(), "along an edge the place is unknown"
    image, now = texture(3), texture(3, matrix=shifted(8.0, 0.0))
    border = np.array([[317.0, 100.0], [316.0, 50.0]], np.float32)
    _, found = PointFollower().follow(Pyramid.of(image), Pyramid.of(now), border, border + np.float32([8, 0]))
    assert not found.any()
    empty = np.empty((0, 2), np.float32)
    places, found = PointFollower().follow(Pyramid.of(image), Pyramid.of(now), empty, empty)
    assert places.shape == (0, 2) and found.shape == (0,)


@pytest.mark.parametrize("size", [(3, 5), (17, 9), (12, 300)])
def test_small_pictures_harm_nothing(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)
    points = np.array([[0.0, 0.0], [size[1] - 1.0, size[0] - 1.0], [size[1] / 2, size[0] / 2]], np.float32)
    places, found = PointFollower().follow(Pyramid.of(image), Pyramid.of(image), points, points)
    np.testing.assert_allclose(places[found], points[found], atol=0.01)


def test_points_inside_boxes_are_left_out_and_moves_are_told() -> None:
    from tracking.point_kernels import leave_out

    rng = np.random.default_rng(4)
    before, now = rng.uniform(0, 100, (2, 60, 2)).astype(np.float32)
    boxes, found = np.array([[10, 20, 50, 60], [40, 0, 90, 30]]), rng.random(60) < 0.8
    inside = ((now[:, None] >= boxes[:, :2]) & (now[:, None] < boxes[:, 2:])).all(axis=2).any(axis=1)
    left, moved = found.copy(), np.empty(60, np.float32)
    count = leave_out(before, now, boxes, left, moved)
    np.testing.assert_array_equal(left, found & ~inside)
    np.testing.assert_array_equal(moved[:count], np.abs(now - before)[found].max(axis=1))
    assert 5 < inside.sum() < 55
