"""The compiled loops of the camera's motion against NumPy, OpenCV, SciPy and finite differences."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares

from geometry import flow_kernels as kernels

NOISE = 4e-4


def moved(seed: int, count: int = 150) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points before and now (count, 2), the turn (3,) and focus (2,) that moved them, with noise."""
    rng = np.random.default_rng(seed)
    turn, focus = rng.normal(0, 0.01, 3), rng.normal(0, 0.03, 2)
    before = rng.uniform([-0.8, -0.3], [0.8, 0.4], (count, 2))
    turned = np.column_stack((before, np.ones(count))) @ cv2.Rodrigues(turn)[0].T
    turned = turned[:, :2] / turned[:, 2:]
    now = turned + (turned - focus) * rng.uniform(0.0, 0.15, (count, 1)) + rng.normal(0, NOISE, (count, 2))
    return before, now, turn, focus


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_the_median_is_numpys_upper_one(numbers: list[float]) -> None:
    values = np.array(numbers)
    assert kernels.upper_median(values.copy(), len(values)) == np.sort(values)[len(values) // 2]


@pytest.mark.parametrize("size", [1, 3, 5])
def test_systems_are_solved_as_numpy_solves_them(size: int) -> None:
    rng = np.random.default_rng(size)
    root, vector = rng.normal(size=(size, size + 2)), rng.normal(size=size)
    matrix = root @ root.T
    solution = vector.copy()
    kernels.solve_positive(matrix.copy(), solution)
    np.testing.assert_allclose(solution, np.linalg.solve(matrix, vector), rtol=1e-8)


@pytest.mark.parametrize(
    "omega", [[0.0, 0.0, 0.0], [1e-12, 0, 0], [1e-5, -2e-5, 3e-5], [0.3, -0.7, 1.1], [0.0, 3.1, 0.0]]
)
def test_rotations_are_opencvs(omega: list[float]) -> None:
    turn = np.empty((3, 3))
    kernels.rotation(np.array(omega), turn)
    np.testing.assert_allclose(turn, cv2.Rodrigues(np.array(omega))[0], atol=1e-12)


def test_normal_equations_are_sums_of_weighted_products() -> None:
    rng = np.random.default_rng(0)
    design, error, weight = rng.normal(size=(30, 4)), rng.normal(size=30), rng.uniform(size=30)
    matrix, vector = np.ones((4, 4)), np.ones(4)
    kernels.normal_equations(design, error, weight, matrix, vector)
    np.testing.assert_allclose(matrix, 1 + design.T @ (weight[:, None] * design))
    np.testing.assert_allclose(vector, 1 + design.T @ (weight * error))


def distances(state: np.ndarray, before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """(N,) signed distances of points from their lines through the focus, plainly."""
    turned = np.column_stack((before, np.ones(len(before)))) @ cv2.Rodrigues(state[:3])[0].T
    turned = turned[:, :2] / turned[:, 2:]
    away, way = turned - state[3:], now - turned
    return (away[:, 0] * way[:, 1] - away[:, 1] * way[:, 0]) / np.linalg.norm(away, axis=1)


def test_distances_and_how_they_fall() -> None:
    """Without noise to take off, the Jacobian is that of the distances of points that have moved little."""
    before, now, turn, focus = moved(3)
    error, jacobian, rotation = np.empty(len(now)), np.empty((len(now), 5)), np.empty((3, 3))
    kernels.rotation(turn, rotation)
    state = np.concatenate((turn, focus))
    kernels.distances_from_lines(before, now, rotation, focus, 0.0, error, jacobian)
    np.testing.assert_allclose(error, distances(state, before, now), atol=1e-12)
    step, far = 1e-6, np.linalg.norm(before - focus, axis=1) > 0.1
    for k in (3, 4):  # of the turn the kernel has the share that moves the point, not what turns its line
        ahead = distances(state + step * np.eye(5)[k], before, now)
        np.testing.assert_allclose(jacobian[far, k], (ahead - error)[far] / step, atol=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_turn_and_focus_are_those_of_a_library(seed: int) -> None:
    """SciPy's robust least squares on the same distances, without and with outliers."""
    before, now, turn, focus = moved(seed)
    now[:10] += 0.05
    state, weight, information = np.zeros(5), np.empty(len(now)), np.empty((5, 5))
    spread = kernels.turn_and_focus(before, now, NOISE, 27 * NOISE, np.full((2, 5), 1.0), state, weight, information)
    known = least_squares(distances, np.zeros(5), args=(before, now), loss="cauchy", f_scale=NOISE).x
    np.testing.assert_allclose(state, known, atol=2e-3)
    np.testing.assert_allclose(state, [*turn, *focus], atol=4e-3)
    assert weight[:10].max() < 0.05 < 0.5 < np.median(weight)
    assert spread == pytest.approx(NOISE, rel=0.5)
    assert (np.linalg.eigvalsh(information) > 0).all()


def test_a_plane_is_found_among_points_beside_it() -> None:
    rng = np.random.default_rng(1)
    rays = np.column_stack((rng.uniform(-0.5, 0.5, 80), rng.uniform(0.1, 0.5, 80), np.ones(80)))
    truth = 0.6 * np.array([0.03, 0.9993, 0.02])
    sigma = rng.uniform(0.002, 0.01, 80)
    growth = rays @ truth + rng.normal(0, sigma)
    growth[:12] += 0.2  # kerbs and cars
    plane, information = np.array([0.0, 1.0, 0.0]), np.empty((3, 3))
    excess = kernels.plane_from_growth(rays, growth, sigma, np.arange(80) < 60, plane, information)
    good = np.arange(80) >= 12
    known = np.linalg.lstsq(rays[good] / sigma[good, None], growth[good] / sigma[good], rcond=None)[0]
    spread = np.sqrt(np.diag(np.linalg.inv(information)))
    assert (np.abs(plane - known) < spread).all()
    assert (np.abs(plane - truth) < 4 * spread).all()
    assert 1.0 <= excess < 1.5
