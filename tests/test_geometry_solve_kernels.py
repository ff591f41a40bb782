"""Medians, small systems, rotations against NumPy and OpenCV."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geometry import solve_kernels as kernels


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
    kernels.rotation_of(np.array(omega), turn)
    np.testing.assert_allclose(turn, cv2.Rodrigues(np.array(omega))[0], atol=1e-12)


def test_normal_equations_are_sums_of_weighted_products() -> None:
    rng = np.random.default_rng(0)
    design, error, weight = rng.normal(size=(30, 4)), rng.normal(size=30), rng.uniform(size=30)
    matrix, vector = np.ones((4, 4)), np.ones(4)
    kernels.normal_equations(design, error, weight, matrix, vector)
    np.testing.assert_allclose(matrix, 1 + design.T @ (weight[:, None] * design))
    np.testing.assert_allclose(vector, 1 + design.T @ (weight * error))


def test_inverses_are_numpys() -> None:
    root = np.random.default_rng(1).normal(size=(8, 11))
    matrix, out = root @ root.T, np.empty((8, 8))
    kernels.inverse(matrix, out)
    np.testing.assert_allclose(out, np.linalg.inv(matrix), rtol=1e-8)
