"""Stereo: a rendered pair of known depths, and depth in boxes as metres on the road."""

import numpy as np
import pytest

from geometry.camera import Camera
from geometry.errors import InputError
from geometry.stereo import range_in_boxes, stereo_depth

FOCAL_PX, BASELINE_M = 500.0, 0.5
CAMERA = Camera(480, 240, FOCAL_PX, FOCAL_PX, 239.5, 119.5, 1.5)
WALL_M, BOX_M = 25.0, 10.0  # disparities 10 and 25 px
BOX = (180, 80, 300, 180)


def pair() -> tuple[np.ndarray, np.ndarray]:
    """A textured wall and before it a textured box, as left and right camera see them."""
    rng = np.random.default_rng(0)
    wall = rng.integers(0, 255, (240, 560), dtype=np.uint8)
    face = rng.integers(0, 255, (BOX[3] - BOX[1], BOX[2] - BOX[0]), dtype=np.uint8)
    left, right = wall[:, :480].copy(), wall[:, 10:490].copy()
    left[BOX[1] : BOX[3], BOX[0] : BOX[2]] = face
    right[BOX[1] : BOX[3], BOX[0] - 25 : BOX[2] - 25] = face
    return left, right


def test_depth_of_a_rendered_pair() -> None:
    depth = stereo_depth(*pair(), FOCAL_PX, BASELINE_M)
    face = depth.depth_m[BOX[1] + 5 : BOX[3] - 5, BOX[0] + 5 : BOX[2] - 5]
    assert np.nanmedian(face) == pytest.approx(BOX_M, rel=0.01)
    assert np.isfinite(face).mean() > 0.9
    wall = depth.depth_m[10:60, 60:460]
    assert np.nanmedian(wall) == pytest.approx(WALL_M, rel=0.02)
    assert depth.sigma_m(np.array(10.0)) == pytest.approx(0.5 * 100 / (FOCAL_PX * BASELINE_M))


def test_range_in_boxes() -> None:
    depth = stereo_depth(*pair(), FOCAL_PX, BASELINE_M)
    boxes = np.array([BOX, (20.0, 10.0, 60.0, 50.0), (0.0, 0.0, 0.0, 0.0), (600.0, 0.0, 700.0, 50.0)], dtype=float)
    points = range_in_boxes(depth, CAMERA, boxes)
    assert points.valid.tolist() == [True, True, False, False]
    assert points.xy_m[0] == pytest.approx([BOX_M, 0.0], abs=0.15)
    assert points.xy_m[1, 0] == pytest.approx(WALL_M, rel=0.03)
    assert points.xy_m[1, 1] == pytest.approx(WALL_M * (239.5 - 40) / FOCAL_PX, rel=0.05)
    assert np.isnan(points.xy_m[2:]).all()
    assert (np.linalg.eigvalsh(points.cov_m2[:2]) > 0).all()
    assert points.cov_m2[1, 0, 0] > points.cov_m2[0, 0, 0]
    assert len(range_in_boxes(depth, CAMERA, np.empty((0, 4)))) == 0


def test_impossible_pairs_are_told() -> None:
    left, right = pair()
    with pytest.raises(InputError, match="480x240, the right one 470x240"):
        stereo_depth(left, right[:, :470], FOCAL_PX, BASELINE_M)
    with pytest.raises(InputError, match="must be positive"):
        stereo_depth(left, right, FOCAL_PX, 0.0)
