"""The compiled loops of the camera's motion against NumPy, OpenCV, SciPy and finite differences."""

import cv2
import numpy as np
import pytest
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
    kernels.rotation_of(turn, rotation)
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


LEVEL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # vehicle from camera


def test_what_stays_where_the_near_road_should_move_is_the_own_body() -> None:
    rng = np.random.default_rng(4)
    before = rng.uniform([-0.5, 0.02], [0.5, 0.6], (120, 2))
    now = before + np.where(rng.random(120) < 0.5, 0.0, 0.02)[:, None]
    now[3] = np.nan
    still, near = np.abs(now - before).max(axis=1) < 4 * NOISE, now[:, 1] > 1.5 / 10.0
    wanted = np.flatnonzero(np.isfinite(now[:, 0]) & ~(still & near))
    points, kept = before.copy(), now.copy()
    count = kernels.without_own_body(points, kept, LEVEL, 1.5, NOISE)
    np.testing.assert_array_equal(points[:count], before[wanted])
    np.testing.assert_array_equal(kept[:count], now[wanted])
    standing = before.copy()  # where all stays, the vehicle stands
    assert kernels.without_own_body(before.copy(), standing, LEVEL, 1.5, NOISE) == 120


def test_motion_is_what_its_parts_say() -> None:
    """Against the parts alone, NumPy's inverse and products."""
    before, now, _, _ = moved(2)
    now[:10] += 0.05
    rows, spoiled = np.concatenate((before, np.zeros((7, 2)))), np.concatenate((now, np.full((7, 2), np.nan)))
    rotation = LEVEL @ cv2.Rodrigues(np.array([0.02, 0.03, -0.01]))[0]
    priors, told = np.full((2, 5), 1.0), np.empty(kernels.TOLD)
    assert kernels.motion(rows.copy(), spoiled.copy(), rotation, 1.5, NOISE, priors, told)
    count = kernels.without_own_body(rows, spoiled, rotation, 1.5, NOISE)
    rows, spoiled, weight, information = rows[:count], spoiled[:count], np.empty(count), np.empty((5, 5))
    state = np.array([0.0, 0.0, 0.0, *(rotation[0, :2] / rotation[0, 2])])
    spread = kernels.turn_and_focus(rows, spoiled, NOISE, NOISE * 8.0 / 0.3, priors, state, weight, information)
    agree = np.count_nonzero(weight > 0.25)
    assert 100 < agree < count
    assert told[kernels.AGREE] == agree and told[kernels.SHARE] == agree / count
    cov = np.linalg.inv(information / spread**2 + np.eye(5))
    np.testing.assert_allclose(told[kernels.TURN : kernels.TURN + 3], -rotation @ state[:3], rtol=1e-9)
    sigma = np.sqrt(np.diag(rotation @ cov[:3, :3] @ rotation.T))
    np.testing.assert_allclose(told[kernels.TURN_SIGMA : kernels.TURN_SIGMA + 3], sigma, rtol=1e-9)
    np.testing.assert_allclose(told[kernels.FOCUS : kernels.FOCUS + 2], state[3:], rtol=1e-9)
    np.testing.assert_allclose(
        told[kernels.FOCUS_SIGMA : kernels.FOCUS_SIGMA + 2], np.sqrt(np.diag(cov)[3:]), rtol=1e-9
    )
    assert not kernels.motion(rows[:19].copy(), spoiled[:19].copy(), rotation, 1.5, NOISE, priors, told)
