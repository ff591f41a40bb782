"""The road's plane and the way travelled over it: closed forms, finite differences, NumPy, and points gone astray."""

import math

import cv2
import numpy as np
import pytest

from geometry import flow_kernels, solve_kernels
from geometry import road_kernels as kernels

LEVEL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # vehicle from camera
NOISE, HEIGHT_M = 4e-4, 1.5
CERTAIN = np.diag([1e-5**-2] * 3 + [1e-4**-2] * 2)


def driven(
    count: int,
    way_m: float,
    seed: int = 6,
    low_m: float = 5.0,
    high_m: float = 20.0,
    normal: tuple[float, ...] = (0, 1, 0),
) -> tuple[np.ndarray, np.ndarray]:
    """Points (count, 2) of a plane 1.5 m below a level camera, before and after a way straight ahead."""
    rng = np.random.default_rng(seed)
    x_m, y_m = rng.uniform(low_m, high_m, count), rng.uniform(-1.9, 1.9, count)
    rays = np.column_stack((-y_m / x_m, HEIGHT_M / x_m, np.ones(count)))
    depth = HEIGHT_M / (rays @ normal)
    now = rays * depth[:, None]
    before = now + np.array([0.0, 0.0, way_m])
    return before[:, :2] / before[:, 2:], now[:, :2] / now[:, 2:]


def told(
    before: np.ndarray, now: np.ndarray, rotation: np.ndarray = LEVEL, certain: np.ndarray = CERTAIN
) -> np.ndarray:
    """Roll, its sigma, way over height, its sigma."""
    out, plane, room = np.empty(4), np.empty(8), (np.empty((8, 8)), np.empty((8, 9)))
    weight, state = np.ones(len(now)), np.zeros(5)
    state[3:] = 0.0
    known = (HEIGHT_M, NOISE)
    excess = kernels.road_plane(before.copy(), now.copy(), weight, state, certain, rotation, known, plane, room)
    kernels.tell_road(plane, excess, room, out)
    return out


@pytest.mark.parametrize("way_m", [0.1, 0.9, 2.0])
def test_a_road_driven_over_is_the_plane_that_it_is(way_m: float) -> None:
    """Growth is way / depth exactly, so the plane is level and the way over the height is what it is."""
    roll, _, travel, sigma = told(*driven(40, way_m))
    assert roll == pytest.approx(0.0, abs=1e-6)
    assert travel == pytest.approx(way_m / HEIGHT_M, rel=1e-6)
    assert 0.0 < sigma < 0.05 * travel


def test_too_little_road_tells_nothing() -> None:
    assert np.isnan(told(*driven(7, 0.9))).all()
    assert np.isnan(told(*driven(60, 0.9, low_m=30.0, high_m=60.0))).all()
    before, now = driven(40, 0.9)
    assert np.isnan(told(now, before)).all()  # backwards: nothing moves away


@pytest.mark.parametrize("seed", range(5))
def test_more_points_astray_than_followed(seed: int) -> None:
    """Of 60 points 35 were lost and stay behind by any share of the way; the way is that of the others."""
    before, now = driven(60, 0.9, seed)
    rng = np.random.default_rng(seed)
    now[:35] = before[:35] + rng.uniform(-0.5, 0.9, (35, 1)) * (now - before)[:35]
    now += rng.normal(0.0, NOISE, now.shape)
    _, _, travel, sigma = told(before, now)
    assert abs(travel - 0.6) < 3.0 * sigma
    assert sigma < 0.03


@pytest.mark.parametrize("seed", range(5))
def test_what_stands_beside_the_road_does_not_tilt_it(seed: int) -> None:
    """Kerbs and bollards at one side are nearer than the road there; a free fit shortens the way by 10 % and more."""
    before, now = driven(45, 0.9, seed)
    rng = np.random.default_rng(10 + seed)
    raised = now[:, 0] < -0.05
    lifted = 1.0 - rng.uniform(0.0, 0.3, (len(now), 1)) * raised[:, None]  # share of the depth of the road there
    depth = (HEIGHT_M / now[:, 1:]) * lifted
    points = np.column_stack((now, np.ones(len(now)))) * depth + [0.0, 0.0, 0.9]
    before = points[:, :2] / points[:, 2:] + rng.normal(0.0, NOISE, now.shape)
    _, _, travel, sigma = told(before, now)
    assert abs(travel / 0.6 - 1.0) < 0.06
    assert abs(travel - 0.6) < 3.0 * sigma


def test_the_roll_told_is_not_the_roll_believed() -> None:
    """A road tilted by 3 degrees, whatever roll of the camera is believed."""
    tilt = math.radians(3.0)
    before, now = driven(60, 0.9, normal=(math.sin(tilt), math.cos(tilt), 0.0))
    for believed in (0.0, math.radians(1.0)):
        rotation = LEVEL @ cv2.Rodrigues(np.array([0.0, 0.0, believed]))[0]
        roll, sigma, _, _ = told(before, now, np.ascontiguousarray(rotation))
        assert roll == pytest.approx(tilt, abs=math.radians(0.2))
        assert sigma < math.radians(1.0)


def test_growths_and_how_they_change() -> None:
    rng = np.random.default_rng(3)
    before, now = driven(30, 0.9)
    state = np.array([0.004, -0.006, 0.003, 0.02, -0.01])
    now = now + rng.normal(0.0, 0.002, now.shape)

    def growths(at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        out = np.empty(30), np.empty(30), np.empty((30, 5))
        kernels.growths(before, now, at, *out)
        return out

    growth, noise, by_state = growths(state)
    turned = np.column_stack((before, np.ones(30))) @ cv2.Rodrigues(state[:3])[0].T
    away = turned[:, :2] / turned[:, 2:] - state[3:]
    moved = now - away - state[3:]
    np.testing.assert_allclose(growth, (moved * away).sum(1) / (away**2).sum(1), rtol=1e-9)
    np.testing.assert_allclose(noise, np.sqrt(2.0) / np.linalg.norm(away, axis=1), rtol=1e-9)
    for k in range(5):
        step = 1e-6 * np.eye(5)[k]
        if k < 3:  # a further small turn, after the one there is
            far = [
                cv2.Rodrigues(cv2.Rodrigues(s * step[:3])[0] @ cv2.Rodrigues(state[:3])[0])[0].ravel() for s in (1, -1)
            ]
            ends = [growths(np.array([*turn, *state[3:]]))[0] for turn in far]
        else:
            ends = [growths(state + s * step)[0] for s in (1, -1)]
        np.testing.assert_allclose(by_state[:, k], (ends[0] - ends[1]) / 2e-6, rtol=1e-4, atol=1e-5)


def test_a_focus_that_is_not_sure_makes_the_way_less_sure() -> None:
    before, now = driven(40, 0.9)
    sure, unsure = told(before, now), told(before, now, certain=np.diag([1e-5**-2] * 3 + [0.01**-2] * 2))
    assert unsure[3] > 1.2 * sure[3]


def test_what_most_agree_on_wins() -> None:
    slope, sigma = np.linspace(0.1, 0.4, 20), np.full(20, 0.003)
    growth = 0.5 * slope
    growth[8:] = np.linspace(-0.3, 0.3, 12)  # twelve say twelve different things, eight the same
    everyone = np.ones(20, bool)
    assert kernels.most_agreed(growth, slope, sigma, everyone) == pytest.approx(0.5, abs=0.02)
    assert kernels.most_agreed(-slope, slope, sigma, everyone) == 0.0
    assert kernels.most_agreed(growth, slope, sigma, np.zeros(20, bool)) == 0.0


def test_the_fit_is_the_least_squares_of_what_agrees() -> None:
    """Without outliers and with weak beliefs the plane is NumPy's weighted solution within its own deviation."""
    rng = np.random.default_rng(1)
    rays = np.column_stack((rng.uniform(-0.5, 0.5, 80), rng.uniform(0.1, 0.5, 80), np.ones(80)))
    truth, sigma = 0.6 * np.array([0.01, 0.9999, 0.0]), rng.uniform(0.002, 0.01, 80)
    growth = rays @ truth + rng.normal(0, sigma)
    growth[:12] += 0.2
    design, plane = np.column_stack((rays, np.zeros((80, 5)))), np.zeros(8)
    plane[:3] = 0.6 * -LEVEL[2]
    room = np.empty((8, 8)), np.empty((8, 9))
    excess = kernels.plane_from_growth(
        design, growth, sigma, np.arange(80) < 60, np.zeros(2), LEVEL, CERTAIN, plane, room
    )
    good = np.arange(80) >= 12
    known = np.linalg.lstsq(rays[good] / sigma[good, None], growth[good] / sigma[good], rcond=None)[0]
    spread = np.sqrt(np.diag(np.linalg.inv(room[0])))[:3]
    assert (np.abs(plane[:3] - known) < 2.0 * spread).all()
    assert (np.abs(plane[:3] - truth) < 4.0 * spread).all()
    assert 1.0 <= excess < 1.5


def test_a_whole_motion_tells_the_road_as_its_parts_do() -> None:
    """Road and houses by the whole loop: turn, focus, then the road with what the first two are sure of."""
    road = driven(50, 0.9)
    rng = np.random.default_rng(2)
    place = np.column_stack((rng.uniform(-8, 8, 60), rng.uniform(-4, 0.5, 60), rng.uniform(8, 40, 60)))
    there = place + np.array([0.0, 0.0, 0.9])
    before = np.concatenate((road[0], there[:, :2] / there[:, 2:]))
    now = np.concatenate((road[1], place[:, :2] / place[:, 2:]))
    out, priors = np.empty(flow_kernels.TOLD), np.full((2, 5), 1.0)
    assert flow_kernels.motion(before.copy(), now.copy(), LEVEL, HEIGHT_M, NOISE, priors, out)
    assert out[flow_kernels.TRAVEL] == pytest.approx(0.6, rel=1e-3)
    assert out[flow_kernels.ROLL] == pytest.approx(0.0, abs=1e-3)
    assert solve_kernels.geman_mcclure(1.0, 1.0) == 0.25
