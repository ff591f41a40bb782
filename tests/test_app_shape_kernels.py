"""Outlines of objects by compiled loops, against ``geometry.box3d`` and the camera in NumPy."""

import numpy as np
import pytest

from app.shape_kernels import along_road, road_outlines, standing_corners, worth_drawing
from geometry.box3d import corners
from geometry.camera import Camera


@pytest.fixture
def bodies() -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.column_stack([rng.uniform(1, 3, (20, 3)), rng.uniform(5, 60, 20), rng.uniform(-9, 9, (20, 1)),
                            np.zeros(20), rng.uniform(-4, 4, 20)])  # fmt: skip


def test_bodies_stand_where_the_ray_through_the_lower_edge_is_at_their_distance(bodies: np.ndarray) -> None:
    camera = Camera(1280, 720, 1000.0, 1000.0, 640.0, 360.0, 1.5, 0.03, -0.02, 0.01)
    rng = np.random.default_rng(2)
    nearest_m, z_m = rng.uniform(5, 60, 20), rng.uniform(-1.0, 1.0, 20)
    px, _ = camera.project(np.stack([nearest_m, rng.uniform(-5, 5, 20), z_m], axis=-1))
    bottom, _ = camera.normalised(px)
    bottom[3] = np.nan
    got, wanted = np.empty((20, 8, 3)), bodies.copy()
    standing_corners(bodies, nearest_m, bottom, camera.vehicle_from_camera_rotation.copy(), camera.height_m, got)
    wanted[:, 5] = z_m
    wanted[3, 5] = 0.0
    np.testing.assert_allclose(got, corners(wanted), atol=1e-9)


def test_ellipses_hold_two_sigma_and_unknown_ones_are_points(bodies: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    factor = rng.normal(size=(20, 2, 2))
    cov = np.zeros((20, 4, 4))
    cov[:, :2, :2] = factor @ factor.transpose(0, 2, 1) + 0.1 * np.eye(2)
    cov[4] = np.nan
    cov[5] *= 1e6
    xy_m = bodies[:, 3:5].copy()
    angle = np.linspace(0, 2 * np.pi, 16)
    circle, lines = np.stack([np.cos(angle), np.sin(angle)], axis=-1), np.empty((20, 20, 2))
    road_outlines(bodies, xy_m, cov, np.array([0.05, 60.0]), circle, lines)
    away = lines[:, :16] - xy_m[:, None]
    for row in range(20):
        if row in (4, 5):
            assert not away[row].any()
        else:
            mahalanobis2 = np.einsum("ki,ij,kj->k", away[row], np.linalg.inv(cov[row, :2, :2]), away[row])
            np.testing.assert_allclose(mahalanobis2, 4.0)
    np.testing.assert_allclose(lines[:, 16:], corners(bodies)[:, :4, :2], atol=1e-12)


def test_points_along_the_road_lie_on_their_curves_and_rows_are_even() -> None:
    coeff, far_m = np.array([[1.7, 0.02, 1e-3, -1e-5], [-1.8, 0.0, 2e-4, 0.0]]), np.array([40.0, 12.0])
    points = np.empty((2, 9, 3))
    along_road(coeff, far_m, np.linspace(0.0, 1.0, 9), 2.0, points)
    for found, c, far in zip(points, coeff, far_m, strict=True):
        np.testing.assert_allclose(found[:, 0], np.geomspace(2.0, far, 9))
        np.testing.assert_allclose(found[:, 1], np.polynomial.polynomial.polyval(found[:, 0], c))
    assert not points[..., 2].any()


def test_worth_drawing_is_what_is_in_reach_and_high_enough() -> None:
    rng = np.random.default_rng(5)
    px, projected = rng.normal(0, 60, (200, 8, 2)), rng.random((200, 8)) < 0.95
    px[~projected] = np.nan
    shown = rng.random(200) < 0.8
    wanted = shown & projected.all(axis=1)
    wanted[wanted] &= np.abs(px[wanted]).max(axis=(1, 2)) < 150.0
    wanted[wanted] &= np.ptp(px[wanted][..., 1], axis=1) >= 170.0
    worth_drawing(px, projected, 150.0, 170.0, shown)
    np.testing.assert_array_equal(shown, wanted)
    assert 5 < wanted.sum() < 150
