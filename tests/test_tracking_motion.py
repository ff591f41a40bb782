"""Metric tracks: the filter is what it says it is, and right on worlds whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geometry.box3d import outline_px
from geometry.camera import Camera
from geometry.size_priors import size_priors
from geometry.types import GroundPoints
from perception.types import CLASS_ID
from tracking.box_model import LOG_H, SHARED, STATES, YAWS_RAD, Step, edges, move, sides, turns
from tracking.motion import MetricFilter, MetricState, MotionConfig, time_to_collision
from tracking.shared_filter import Measured, RowsGiven, Shared, predict_rows, predict_shared, surprise, update
from tracking.size import WidePrior, apply_priors, exchange_prior, wide_prior
from tracking.types import EgoMotion

CAMERA = Camera(1242, 375, 721.5, 721.5, 609.6, 172.9, 1.65)
CAR = CLASS_ID["car"]


def positive(rng: np.random.Generator, *shape: int) -> np.ndarray:
    root = rng.standard_normal(shape)
    return root @ np.swapaxes(root, -1, -2) + 0.1 * np.eye(shape[-1])


def states(rng: np.random.Generator, count: int) -> np.ndarray:
    low = np.array([2.0, -0.3, -0.3, -0.1, 0.2, 0.4, 1.2, -0.01, -0.2])
    high = np.array([4.0, 0.3, 0.3, 0.1, 0.8, 0.6, 1.6, 0.01, 0.1])
    return low + (high - low) * rng.random((count, STATES))


# -- the filter of rows that share unknowns ---------------------------------------------------------------------------


def test_rows_given_shared_unknowns_equal_the_joint_filter() -> None:
    """Random linear measurements; the joint Kalman filter over all states at once is the reference (to 1e-9)."""
    rng = np.random.default_rng(0)
    rows, n, m, k = 4, 3, 2, 2
    shared = Shared(rng.standard_normal(m), positive(rng, m, m))
    given_shared = RowsGiven(rng.standard_normal((rows, n)), positive(rng, rows, n, n), np.zeros((rows, n, m)))
    x = np.concatenate([shared.mean, given_shared.mean.ravel()])
    P = np.zeros((len(x), len(x)))
    P[:m, :m] = shared.cov
    for i in range(rows):
        at = slice(m + i * n, m + (i + 1) * n)
        P[at, at] = given_shared.cov[i]
    for _ in range(6):
        H, D = rng.standard_normal((rows, k, n)), rng.standard_normal((rows, k, m))
        R, z = positive(rng, rows, k, k), rng.standard_normal((rows, k))
        whole, noise = np.zeros((rows * k, len(x))), np.zeros((rows * k, rows * k))
        for i in range(rows):
            whole[i * k : (i + 1) * k, :m] = D[i]
            whole[i * k : (i + 1) * k, m + i * n : m + (i + 1) * n] = H[i]
            noise[i * k : (i + 1) * k, i * k : (i + 1) * k] = R[i]
        expected = np.einsum("rkn,rn->rk", H, given_shared.mean) + D @ shared.mean
        measured = Measured(z - expected, H, D, R)
        innovation = whole @ P @ whole.T + noise
        nis = [
            (z[i] - expected[i]) @ np.linalg.solve(innovation[i * k : i * k + k, i * k : i * k + k], z[i] - expected[i])
            for i in range(rows)
        ]
        np.testing.assert_allclose(surprise(shared, given_shared, measured), nis, rtol=1e-9)
        shared, given_shared = update(shared, given_shared, measured)
        K = P @ whole.T @ np.linalg.inv(innovation)
        x, P = x + K @ (z.ravel() - whole @ x), (np.eye(len(x)) - K @ whole) @ P
        np.testing.assert_allclose(shared.mean, x[:m], atol=1e-9)
        np.testing.assert_allclose(shared.cov, P[:m, :m], atol=1e-9)
        np.testing.assert_allclose(given_shared.mean.ravel(), x[m:], atol=1e-9)
        marginal = given_shared.marginal(shared)
        for i in range(rows):
            at = slice(m + i * n, m + (i + 1) * n)
            np.testing.assert_allclose(marginal[i], P[at, at], atol=1e-9)
            np.testing.assert_allclose(given_shared.gain[i] @ shared.cov, P[at, :m], atol=1e-9)


def test_with_memory_the_rows_equal_the_joint_filter_in_drift() -> None:
    """Two unknowns that drift between measurements: what they were stays common to all rows (to 1e-8); without memory
    that is lost."""
    rng = np.random.default_rng(11)
    rows, n, m, k = 3, 2, 2, 2
    decay, noise = np.array([0.9, 0.5]), np.array([0.02, 0.3])
    start = Shared(rng.standard_normal(m), positive(rng, m, m))
    given_shared = RowsGiven(rng.standard_normal((rows, n)), positive(rng, rows, n, n), np.zeros((rows, n, m)))
    x = np.concatenate([start.mean, given_shared.mean.ravel()])
    P = np.zeros((len(x), len(x)))
    P[:m, :m] = start.cov
    for i in range(rows):
        at = slice(m + i * n, m + (i + 1) * n)
        P[at, at] = given_shared.cov[i]
    A, Q = np.diag(np.concatenate([decay, np.ones(rows * n)])), np.zeros_like(P)
    Q[:m, :m] = np.diag(noise)
    filters = dict.fromkeys((0, rows * n), (start, given_shared))
    for _ in range(6):
        x, P = A @ x, A @ P @ A.T + Q
        H, D = rng.standard_normal((rows, k, n)), rng.standard_normal((rows, k, m))
        R, z = positive(rng, rows, k, k), rng.standard_normal((rows, k))
        whole, R_whole = np.zeros((rows * k, len(x))), np.zeros((rows * k, rows * k))
        for i in range(rows):
            at = slice(i * k, i * k + k)
            whole[at, :m], whole[at, m + i * n : m + (i + 1) * n], R_whole[at, at] = D[i], H[i], R[i]
        K = P @ whole.T @ np.linalg.inv(whole @ P @ whole.T + R_whole)
        x, P = x + K @ (z.ravel() - whole @ x), (np.eye(len(x)) - K @ whole) @ P
        for memory, (shared, row) in filters.items():
            shared, row = predict_shared(shared, row, decay, noise, memory)
            D_all = np.concatenate([D, np.zeros((rows, k, memory))], axis=2)
            residual = z - (H @ row.mean[..., None])[..., 0] - D_all @ shared.mean
            filters[memory] = update(shared, row, Measured(residual, H, D_all, R))
    shared, row = filters[rows * n]
    np.testing.assert_allclose(shared.mean[:m], x[:m], atol=1e-8)
    np.testing.assert_allclose(shared.cov[:m, :m], P[:m, :m], atol=1e-8)
    np.testing.assert_allclose(row.mean.ravel(), x[m:], atol=1e-8)
    for i in range(rows):
        at = slice(m + i * n, m + (i + 1) * n)
        np.testing.assert_allclose(row.marginal(shared)[i], P[at, at], atol=1e-8)
    assert not np.allclose(filters[0][0].cov, P[:m, :m], rtol=1e-3)


def test_drift_of_the_shared_unknowns_keeps_what_each_row_knows() -> None:
    """The joint of each row with the drifted unknowns: cov(row) is as before, cov(row, s) decays."""
    rng = np.random.default_rng(1)
    shared = Shared(rng.standard_normal(3), positive(rng, 3, 3))
    rows = RowsGiven(rng.standard_normal((5, 4)), positive(rng, 5, 4, 4), rng.standard_normal((5, 4, 3)))
    decay, noise = np.array([1.0, 0.7, 0.2]), np.array([0.01, 0.4, 2.0])
    later, moved = predict_shared(shared, rows, decay, noise)
    np.testing.assert_allclose(later.cov, decay[:, None] * shared.cov * decay + np.diag(noise))
    np.testing.assert_allclose(moved.marginal(later), rows.marginal(shared), atol=1e-10)
    np.testing.assert_allclose(moved.gain @ later.cov, rows.gain @ shared.cov * decay, atol=1e-10)
    same = predict_rows(moved, moved.mean, np.tile(np.eye(4), (5, 1, 1)), np.zeros((5, 4, 4)))
    np.testing.assert_array_equal(same.cov, moved.cov)


def test_drift_of_the_unknowns_is_what_linear_algebra_says_of_it() -> None:
    """With memory beside the unknowns, with noise and with none at all of it, where nothing is left behind."""
    from tracking.shared_kernels import drifted_shared

    rng = np.random.default_rng(3)
    whole, decay = positive(rng, 7, 7), np.array([0.999, 0.7, 0.2])
    for noise in (np.array([1e-5, 0.4, 2.0]), np.zeros(3)):
        after, smooth, root = np.empty((7, 7)), np.empty((7, 3)), np.empty((7, 7))
        assert drifted_shared(whole, decay, noise, after, smooth, root)
        forward = decay[:, None] * whole[:3]
        expected = np.eye(7)
        expected[:3, :3] = forward[:, :3] * decay + np.diag(noise)
        np.testing.assert_allclose(after, expected, rtol=1e-12)
        np.testing.assert_allclose(smooth, np.linalg.solve(expected[:3, :3], forward).T, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(root @ root.T, whole - smooth @ forward, atol=1e-12 * whole.max())
        np.testing.assert_array_equal(root, np.tril(root))
    assert not root[:, :3].any() and root[3:, 3:].any()
    assert not drifted_shared(-whole, decay, np.zeros(3), after, smooth, root)
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        predict_shared(Shared(np.zeros(3), -whole[:3, :3]), RowsGiven(*[np.empty((0, 2))] * 3), decay, np.zeros(3))


# -- the model of a box -----------------------------------------------------------------------------------------------


def test_derivatives_of_the_edges_are_finite_differences() -> None:
    rng = np.random.default_rng(2)
    state, shared, yaw = (
        states(rng, 12),
        np.array([0.01, -0.004, 0.03, 0.02]),
        rng.dirichlet(np.ones(len(YAWS_RAD)), 12),
    )
    at = turns(rng.uniform(-0.6, 0.6, 12))
    model = edges(state, shared, 1.65, yaw, (at, sides(state, at)))
    for column in range(STATES):
        step = np.zeros(STATES)
        step[column] = 1e-6
        up, down = (edges(state + s, shared, 1.65, yaw, (at, sides(state + s, at))).slope for s in (step, -step))
        np.testing.assert_allclose(model.by_state[:, :, column], (up - down) / 2e-6, atol=1e-7)
    for column in range(SHARED):
        step = np.zeros(SHARED)
        step[column] = 1e-6
        up, down = (edges(state, shared + s, 1.65, yaw, (at, sides(state, at))).slope for s in (step, -step))
        np.testing.assert_allclose(model.by_shared[:, :, column], (up - down) / 2e-6, atol=1e-7)


@pytest.mark.parametrize("axis", [0.0, 0.35])
@pytest.mark.parametrize("heading", range(len(YAWS_RAD)))
def test_edges_are_the_outline_of_a_box_in_space(heading: int, axis: float) -> None:
    """Against ``geometry.box3d``: another way to the same box."""
    hwl, y_m, x_near = np.array([1.4, 1.7, 4.1]), 3.0, 14.0
    yaw = YAWS_RAD[heading] + axis
    half = 0.5 * (hwl[2] * abs(math.cos(yaw)) + hwl[1] * abs(math.sin(yaw)))
    solid = np.array([[*hwl, x_near + half, y_m, 0.0, yaw]])
    box = outline_px(CAMERA, solid)[0][0]
    state = np.array([[math.log(x_near), y_m / x_near, 0, 0, *np.log(hwl), 0, 0]])
    at = turns(np.array([axis]))
    slope = edges(state, np.zeros(SHARED), 1.65, np.eye(len(YAWS_RAD))[[heading]], (at, sides(state, at))).slope[0]
    px = [609.6 - 721.5 * slope[0], 172.9 - 721.5 * slope[1], 609.6 - 721.5 * slope[2], 172.9 - 721.5 * slope[3]]
    np.testing.assert_allclose(px, box, atol=1e-6)


def test_scale_cannot_be_seen_but_by_the_road() -> None:
    """Nearer and smaller by the same factor leaves all edges but for the part that the camera's height makes."""
    rng = np.random.default_rng(3)
    state = states(rng, 20)
    scale = np.array([1.0, 0, 0, 0, 1.0, 1.0, 1.0, 0, 0])
    at = turns(np.zeros(20))
    model = edges(state, np.zeros(SHARED), 1e-9, np.tile(np.eye(len(YAWS_RAD))[0], (20, 1)), (at, sides(state, at)))
    np.testing.assert_allclose(model.by_state @ scale, 0.0, atol=1e-9)


def test_motion_is_rigid_motion_of_the_vehicle_and_a_fading_acceleration() -> None:
    """Positions and velocities in closed form: a(t) = a exp(-t / T) integrated once and twice."""
    rng = np.random.default_rng(4)
    state = states(rng, 10)
    step, fading_s = Step(0.2, turn_rad=0.05, faster_mps=0.7, aside_mps=0.4), 1.5
    new, F = move(state, step, fading_s)
    x, place, v = np.exp(state[:, :1]), np.stack([np.ones(10), state[:, 1]], axis=1), state[:, 2:4]
    a, kept = np.stack([state[:, 8], np.zeros(10)], axis=1), math.exp(-0.2 / fading_s)
    once = fading_s * (1 - kept)
    twice = fading_s * (0.2 - once)
    c, s = math.cos(0.05), math.sin(0.05)
    into = np.array([[c, s], [-s, c]])
    np.testing.assert_allclose(
        np.exp(new[:, :1]) * np.stack([np.ones(10), new[:, 1]], 1), (place + 0.2 * v + twice * a) * x @ into.T
    )
    np.testing.assert_allclose(np.exp(new[:, :1]) * new[:, 2:4], ((v + once * a) * x - [0.7, 0.4]) @ into.T)
    np.testing.assert_allclose(np.exp(new[:, 0]) * new[:, 8], kept * c * state[:, 8] * x[:, 0])
    for column in range(STATES):
        nudge = np.zeros(STATES)
        nudge[column] = 1e-6
        numeric = (move(state + nudge, step, fading_s)[0] - move(state - nudge, step, fading_s)[0]) / 2e-6
        np.testing.assert_allclose(F[:, :, column], numeric, atol=1e-7)


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_mixture_in_place_of_the_wide_prior_equals_importance_sampling() -> None:
    """Samples of the filter's Gaussian, weighted by mixture over wide prior, are the posterior by definition."""
    rng = np.random.default_rng(5)
    priors = size_priors(np.array([CAR]))
    wide = wide_prior(priors)
    mean, sigma = wide.mean[0] + [0.12, 0.05, 0.02], np.array([0.08, 0.05, 0.1])
    draw = mean + sigma * rng.standard_normal((400_000, 3))

    def log_density(centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
        return np.sum(-0.5 * ((draw - centre) / spread) ** 2 - np.log(spread), axis=1)

    kinds = [np.log(priors.share[0, k]) + log_density(priors.log_hwl[0, k], priors.spread[0, k]) for k in range(2)]
    weight = np.exp(np.logaddexp(*kinds) - log_density(wide.mean[0], wide.sigma[0]))
    weight /= weight.sum()
    van = float(weight @ np.exp(kinds[1] - np.logaddexp(*kinds)))
    whole_mean, whole_cov = np.zeros((1, STATES)), 0.1 * np.eye(STATES)[None]
    sizes = slice(LOG_H, LOG_H + 3)
    whole_mean[0, sizes], whole_cov[0, sizes, sizes] = mean, np.diag(sigma**2)
    rows, shared = RowsGiven(whole_mean, whole_cov, np.zeros((1, STATES, 1))), Shared(np.zeros(1), np.eye(1))
    joined = apply_priors(shared, rows, priors, np.array([[1.0 - van, van]]), wide.mean)
    np.testing.assert_allclose(joined.mean[0, sizes], weight @ draw, atol=2e-3)
    np.testing.assert_allclose(
        np.sqrt(np.diag(joined.cov[0])[sizes]), np.sqrt(weight @ (draw - weight @ draw) ** 2), rtol=0.03
    )


def test_another_class_wide_prior_equals_a_filter_begun_with_it() -> None:
    """Two rows and the shared unknowns as one joint Gaussian, in information form."""
    rng, unknowns = np.random.default_rng(5), 3
    old = WidePrior(np.array([0.5, -0.5, 0.3]), np.array([0.1, 0.2, 0.3]))
    new = WidePrior(np.array([0.1, -0.6, 0.9]), np.array([0.4, 0.1, 0.35]))
    count, sizes = 2 * STATES + unknowns, np.arange(LOG_H, LOG_H + 3)

    def joint(prior: WidePrior) -> tuple[np.ndarray, np.ndarray]:
        whole = information.copy()
        whole[sizes, sizes] += prior.sigma**-2.0
        cov = np.linalg.inv(whole)
        at_zero = push.copy()
        at_zero[sizes] += prior.sigma**-2.0 * prior.mean
        return cov @ at_zero, cov

    def split(mean: np.ndarray, cov: np.ndarray) -> tuple[Shared, RowsGiven]:
        own, s = [slice(0, STATES), slice(STATES, 2 * STATES)], slice(2 * STATES, count)
        gain = np.array([cov[row, s] @ np.linalg.inv(cov[s, s]) for row in own])
        given_s = np.array([cov[row, row] - G @ cov[s, row] for row, G in zip(own, gain, strict=True)])
        return Shared(mean[s], cov[s, s]), RowsGiven(np.array([mean[row] for row in own]), given_s, gain)

    # Rows are independent given the shared unknowns: no information links one to the other.
    information, push = np.zeros((count, count)), rng.standard_normal(count)
    for row in range(2):
        at = np.r_[row * STATES : (row + 1) * STATES, 2 * STATES : count]
        information[np.ix_(at, at)] += positive(rng, STATES + unknowns, STATES + unknowns)
    shared, rows = split(*joint(old))
    shared = exchange_prior(shared, rows, 0, old, new)
    right_shared, right = split(*joint(new))
    for got, wanted in zip(
        (shared.mean, shared.cov, rows.mean, rows.cov, rows.gain),
        (right_shared.mean, right_shared.cov, right.mean, right.cov, right.gain),
        strict=True,
    ):
        np.testing.assert_allclose(got, wanted, atol=1e-9)


# -- worlds -----------------------------------------------------------------------------------------------------------


def unranged(count: int) -> GroundPoints:
    return GroundPoints(np.full((count, 2), np.nan), np.full((count, 2, 2), np.nan), np.zeros(count, bool))


def drive(
    metric: MetricFilter,
    near_m: np.ndarray,
    hwl: tuple[float, float, float],
    ego: EgoMotion | None,
    camera: Camera = CAMERA,
    votes: np.ndarray | None = None,
) -> list[MetricState]:
    """One body along the road at y = 0.5, its nearest face at ``near_m`` frame by frame, 10 frames a second; a car, or
    of the classes voted frame by frame."""
    answers, votes = [], np.full(len(near_m), CAR) if votes is None else votes
    for index, x in enumerate(near_m):
        box, _ = outline_px(camera, np.array([[*hwl, x + hwl[2] / 2, 0.5, 0.0, 0.0]]))
        metric.predict(0.1 if index else 0.0, ego)
        if index:
            metric.update(np.array([0]), unranged(1), box, votes[[index]], CAMERA, 0.1 * index)
        else:
            metric.birth(unranged(1), box, votes[[0]], CAMERA, 0.0)
        answers.append(metric.state())
    return answers


def test_braking_to_a_slower_car_range_speed_and_time_to_collision() -> None:
    """Own speed 20 m/s, theirs 12: after one second within 2 %, 0.5 m/s and 10 %."""
    near = 50.0 - 0.8 * np.arange(45)
    ego = EgoMotion(speed_mps=20.0, speed_sigma_mps=0.1, source="given")
    states_ = drive(MetricFilter(MotionConfig.exact()), near, (1.55, 1.7, 4.2), ego)
    for x, state in list(zip(near, states_, strict=True))[10:]:
        assert state.absolute.all()
        assert state.xy_m[0, 0] == pytest.approx(x, rel=0.02)
        assert state.v_mps[0, 0] == pytest.approx(12.0, abs=0.5)
        assert state.ttc_s[0] == pytest.approx(x / 8.0, rel=0.1)
        assert state.ttc_low_s[0] < x / 8.0 < state.ttc_high_s[0]
    assert states_[-1].xy_m[0, 1] == pytest.approx(0.5, abs=0.15)


def test_without_own_speed_velocities_are_relative_and_say_so() -> None:
    near = 50.0 - 0.8 * np.arange(30)
    state = drive(MetricFilter(MotionConfig.exact()), near, (1.5, 1.63, 3.9), None)[-1]
    assert not state.absolute.any()
    assert state.v_mps[0, 0] == pytest.approx(-8.0, abs=0.5)


def test_opening_has_no_collision() -> None:
    state = drive(MetricFilter(MotionConfig.exact()), 10.0 + 0.8 * np.arange(30), (1.5, 1.63, 3.9), None)[-1]
    assert state.ttc_s[0] == math.inf and state.ttc_high_s[0] == math.inf


def test_size_learned_near_is_kept_as_it_moves_away() -> None:
    """A van called car: 2.1 m high. Its height is learned under 15 m and its range stays right at 60 m, where height
    alone would be 29 % short."""
    near = np.concatenate([10.0 + 0.05 * np.arange(40), 12.0 + 0.6 * np.arange(80)])
    states_ = drive(MetricFilter(MotionConfig.exact()), near, (2.1, 1.9, 5.0), None)
    assert states_[-1].size_m[0, 0] == pytest.approx(2.1, rel=0.05)
    assert states_[-1].xy_m[0, 0] == pytest.approx(near[-1], rel=0.05)


def test_an_object_whose_foot_was_hidden_keeps_its_distance_when_it_comes_into_view() -> None:
    """A truck 3.2 m high at 30 m, whose lower half a car hides for two seconds, is not learned as a small one."""
    truck = outline_px(CAMERA, np.array([[3.2, 2.5, 8.0, 30.0 + 4.0, 0.5, 0.0, 0.0]]))[0]
    car = outline_px(CAMERA, np.array([[1.5, 1.8, 4.2, 12.0 + 2.1, 0.5, 0.0, 0.0]]))[0]
    away = car + np.array([600.0, 0.0, 600.0, 0.0])
    cut = truck.copy()
    cut[0, 3] = car[0, 1] + 5.0  # where the car begins, and a little of what is seen through its windows
    assert cut[0, 3] - cut[0, 1] < 0.75 * (truck[0, 3] - truck[0, 1])
    metric, rows, kinds = MetricFilter(), np.array([0, 1]), np.array([CLASS_ID["truck"], CAR])
    for index in range(40):
        boxes = np.concatenate([cut, car] if index < 20 else [truck, away])
        metric.predict(0.1 if index else 0.0, None)
        if index:
            metric.update(rows, unranged(2), boxes, kinds, CAMERA, 0.1 * index)
        else:
            metric.birth(unranged(2), boxes, kinds, CAMERA, 0.0)
        if index >= 5:
            assert metric.state().xy_m[0, 0] == pytest.approx(30.0, rel=0.25)
    assert metric.state().size_m[0, 0] == pytest.approx(3.2, rel=0.15)


OWN_12 = EgoMotion(speed_mps=12.0, speed_sigma_mps=0.1, source="given")


@pytest.mark.parametrize("born", ["rider", "person"])
def test_a_bicycle_taken_for_its_rider_gets_its_own_distance_when_it_is_voted_one(born: str) -> None:
    """It looked as far as a body of a rider's height is; the size changes a while after the vote, and the place."""
    near, bicycle = 28.0 - 0.5 * np.arange(40), CLASS_ID["bicycle"]
    votes = np.where(np.arange(40) < 12, CLASS_ID[born], bicycle)
    answers = drive(MetricFilter(), near, (1.10, 0.55, 1.75), OWN_12, votes=votes)
    x_m = np.array([answer.xy_m[0, 0] for answer in answers])
    assert x_m[11] > 1.15 * near[11]
    np.testing.assert_allclose(x_m[18:], near[18:], rtol=0.10)
    right = drive(MetricFilter(), near, (1.10, 0.55, 1.75), OWN_12, votes=np.full(40, bicycle))
    for now, other in zip(answers[18:], right[18:], strict=True):
        assert abs(now.xy_m[0, 0] - other.xy_m[0, 0]) < math.sqrt(other.cov[0, 0, 0])
        assert abs(now.v_mps[0, 0] - other.v_mps[0, 0]) < math.sqrt(other.cov[0, 2, 2])


@pytest.mark.parametrize("hwl", [(1.5, 1.65, 4.0), (2.1, 1.9, 5.0)])
def test_a_car_that_flickers_to_a_truck_and_back_keeps_its_velocity(hwl: tuple[float, float, float]) -> None:
    near, frame = 40.0 - 0.4 * np.arange(60), np.arange(60)
    votes = np.where((frame >= 20) & (frame < 32), CLASS_ID["truck"], CAR)
    steady = drive(MetricFilter(), near, hwl, OWN_12)
    flickered = drive(MetricFilter(), near, hwl, OWN_12, votes=votes)
    for was, now in zip(steady[18:], flickered[18:], strict=True):
        assert abs(now.v_mps[0, 0] - was.v_mps[0, 0]) < math.sqrt(now.cov[0, 2, 2])
        assert now.ttc_s[0] == pytest.approx(was.ttc_s[0], rel=0.25)
    end, always = flickered[-1], steady[-1]
    assert abs(end.xy_m[0, 0] - always.xy_m[0, 0]) < math.sqrt(end.cov[0, 0, 0])
    assert end.v_mps[0, 0] == pytest.approx(always.v_mps[0, 0], abs=0.5)


def test_a_vote_that_does_not_last_changes_nothing() -> None:
    near, votes = 40.0 - 0.4 * np.arange(30), np.where(np.arange(30) % 8 < 4, CAR, CLASS_ID["truck"])
    steady = drive(MetricFilter(), near, (1.5, 1.65, 4.0), OWN_12)[-1]
    flickered = drive(MetricFilter(), near, (1.5, 1.65, 4.0), OWN_12, votes=votes)[-1]
    np.testing.assert_array_equal(flickered.xy_m, steady.xy_m)
    np.testing.assert_array_equal(flickered.cov, steady.cov)


def test_many_objects_tell_the_pitch() -> None:
    """The camera looks half a degree lower than believed; people of usual height at many ranges give it away."""
    tilted = CAMERA.mounted(pitch_rad=math.radians(0.5))
    metric = MetricFilter(MotionConfig.outlines())
    x_m = np.array([7.0, 10.0, 14.0, 20.0, 28.0, 40.0])
    person = np.full(6, CLASS_ID["person"])
    solid = np.stack(
        [[1.73, 0.62, 0.75, x + 0.375, y, 0.0, 0.0] for x, y in zip(x_m, np.linspace(-3, 3, 6), strict=True)]
    )
    boxes, _ = outline_px(tilted, solid)
    metric.birth(unranged(6), boxes, person, CAMERA, 0.0)
    for index in range(1, 40):
        metric.predict(0.1)
        metric.update(np.arange(6), unranged(6), boxes, person, CAMERA, 0.1 * index)
    state = metric.state()
    assert metric.pitch_rad == pytest.approx(math.radians(0.5), abs=math.radians(0.15))
    np.testing.assert_allclose(state.xy_m[:, 0], x_m, rtol=0.04)
    flat = tilted.height_m / np.tan(np.arctan(1.65 / x_m) - math.radians(0.5))
    assert abs(flat[-1] / x_m[-1] - 1) > 0.2  # what the road alone would say of the farthest


def test_one_car_on_a_side_street_does_not_tilt_the_road_of_the_others() -> None:
    """Six cars on the plane, one 0.6 m below it: that one's road departs, the others' distances stay right."""
    metric = MetricFilter(MotionConfig.outlines())
    x_m = np.array([9.0, 13.0, 18.0, 24.0, 31.0, 40.0, 16.0])
    below = np.array([0, 0, 0, 0, 0, 0, -0.6])
    y_m = np.array([-4.0, 0, 4, -4, 0, 4, 7])
    solid = np.stack([[1.49, 1.63, 3.9, x + 1.95, y, z, 0.0] for x, y, z in zip(x_m, y_m, below, strict=True)])
    boxes, car = outline_px(CAMERA, solid)[0], np.full(7, CAR)
    metric.birth(unranged(7), boxes, car, CAMERA, 0.0)
    for index in range(1, 40):
        metric.predict(0.1)
        metric.update(np.arange(7), unranged(7), boxes, car, CAMERA, 0.1 * index)
    state = metric.state()
    np.testing.assert_allclose(state.xy_m[:6, 0], x_m[:6], rtol=0.03)
    np.testing.assert_allclose(state.xy_m[6, 0], x_m[6], rtol=0.2)  # its ground contact alone would say 11.7 m


def test_ranges_of_another_sensor_win_over_the_box() -> None:
    """A bus-high "car" whose box looks near: measured ranges are believed where the settings say they are measured."""
    boxes, _ = outline_px(CAMERA, np.array([[2.9, 2.2, 6.0, 33.0, 0.0, 0.0, 0.0]]))
    found = {}
    for measured in (False, True):
        metric = MetricFilter(MotionConfig(measured_ranges=measured, overhang_m=0.0))
        ranges = GroundPoints(np.array([[30.0, 0.0]]), np.diag([0.25, 0.25])[None], np.array([True]))
        metric.birth(ranges, boxes, np.array([CAR]), CAMERA, 0.0)
        for index in range(1, 10):
            metric.predict(0.1)
            metric.update(np.array([0]), ranges, boxes, np.array([CAR]), CAMERA, 0.1 * index)
        found[measured] = metric.state().xy_m[0, 0]
    assert found[True] == pytest.approx(30.0, rel=0.03)
    assert found[False] < 0.85 * 30.0


def test_covariance_is_honest() -> None:
    """48 worlds drawn from the filter's own assumptions (sizes, edges, slope of the road under the car): one sigma
    covers near 68 %."""
    rng = np.random.default_rng(7)
    within, config = [], MotionConfig.exact()
    slope = math.sqrt(config.mount_pitch_rad**2 + config.road_pitch_rad**2 + config.own_road_rad**2)
    for _ in range(48):
        size = np.exp(np.log([1.49, 1.63, 3.9]) + np.array([0.08, 0.07, 0.15]) * rng.standard_normal(3))
        start, closing = rng.uniform(25, 50), rng.uniform(0.0, 0.6)
        tilted = CAMERA.mounted(pitch_rad=slope * rng.standard_normal())
        metric = MetricFilter(config)
        for index in range(20):
            x = start - closing * index
            box, _ = outline_px(tilted, np.array([[*size, x + size[2] / 2, 0.0, 0.0, 0.0]]))
            edge_px = np.hypot(config.noise.edge_px, config.noise.edge_share * (box[:, 3:] - box[:, 1:2]))
            box = box + edge_px * rng.standard_normal((1, 4))
            metric.predict(0.1 if index else 0.0)
            if index:
                metric.update(np.array([0]), unranged(1), box, np.array([CAR]), CAMERA, 0.0)
            else:
                metric.birth(unranged(1), box, np.array([CAR]), CAMERA, 0.0)
        state = metric.state()
        within.append(abs(state.xy_m[0, 0] - x) <= math.sqrt(state.cov[0, 0, 0]))
    assert 0.55 <= np.mean(within) <= 0.85


# -- time to collision ------------------------------------------------------------------------------------------------


def test_interval_of_time_to_collision_covers_68_per_cent() -> None:
    """Fieller's interval is exact in repetition: draw measurements about a true ratio, count how often it is inside."""
    rng = np.random.default_rng(8)
    cov = np.array([[1.0, 0.3], [0.3, 0.5]])
    truth = np.array([20.0, 5.0])
    drawn = truth + rng.standard_normal((20_000, 2)) @ np.linalg.cholesky(cov).T
    _, low, high = time_to_collision(drawn[:, 0], drawn[:, 1], np.tile(cov, (20_000, 1, 1)))
    assert np.mean((low <= 4.0) & (high >= 4.0)) == pytest.approx(0.683, abs=0.015)


def test_time_to_collision_by_hand() -> None:
    ttc, low, high = time_to_collision(np.array([20.0, 20.0]), np.array([5.0, -5.0]), np.zeros((2, 2, 2)))
    np.testing.assert_allclose(ttc, [4.0, np.inf])
    np.testing.assert_allclose(low, [4.0, np.inf])
    np.testing.assert_allclose(high, [4.0, np.inf])


# -- rows and bad input -----------------------------------------------------------------------------------------------


def test_rows_parallel_births_and_drops() -> None:
    metric = MetricFilter()
    boxes = np.array([[600, 150, 640, 220], [100, 100, 300, 300], [700, 160, 720, 200]], dtype=float)
    metric.birth(unranged(3), boxes, np.array([CAR, CAR, CLASS_ID["person"]]), CAMERA, 0.0)
    before = metric.state()
    metric.keep(np.array([True, False, True]))
    after = metric.state()
    assert len(metric) == len(after.xy_m) == 2
    np.testing.assert_allclose(after.xy_m, before.xy_m[[0, 2]], rtol=0.05)
    metric.keep(np.zeros(2, bool))
    assert metric.state().cov.shape == (0, 4, 4)


def test_without_a_camera_nothing_is_known() -> None:
    metric = MetricFilter()
    metric.birth(unranged(1), np.array([[1.0, 1, 50, 50]]), np.array([CAR]), None, 0.0)
    state = metric.state()
    assert np.isnan(state.xy_m).all() and np.isnan(state.ttc_s).all()
    assert np.isfinite(state.size_m).all()


def test_sign_is_ranged_by_its_size_alone() -> None:
    metric = MetricFilter()
    sign = CLASS_ID["traffic sign"]
    height_px = 721.5 * math.exp(size_priors(np.array([sign])).moments()[0][0, 0]) / 20.0
    box = np.array([[700.0, 60.0, 700.0 + height_px, 60.0 + height_px]])
    metric.birth(unranged(1), box, np.array([sign]), CAMERA, 0.0)
    state = metric.state()
    assert state.xy_m[0, 0] == pytest.approx(20.0, rel=0.1)
    assert math.sqrt(state.cov[0, 0, 0]) > 3.0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), dt_s=st.sampled_from([0.0, 0.02, 0.1, 1.0]))
def test_any_boxes_leave_numbers_or_nan_and_covariances_positive(seed: int, dt_s: float) -> None:
    rng = np.random.default_rng(seed)
    metric = MetricFilter()
    corner = rng.uniform(-50, 1300, (6, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0, 600, (6, 2))], axis=1)
    metric.birth(unranged(6), boxes, rng.integers(0, 10, 6), CAMERA, 0.0)
    for _ in range(8):
        speed = rng.choice([np.nan, 0.0, 30.0])
        metric.predict(dt_s, EgoMotion(speed_mps=speed, yaw_rate_radps=rng.choice([np.nan, -0.5, 0.5])))
        rows = np.flatnonzero(rng.random(6) < 0.7)
        boxes = boxes + rng.normal(0, 30, boxes.shape)
        metric.update(rows, unranged(len(rows)), boxes[rows], rng.integers(0, 10, len(rows)), CAMERA, 0.0)
    state = metric.state()
    known = np.isfinite(state.xy_m[:, 0])
    assert np.isfinite(state.cov[known]).all()
    scale = np.sqrt(np.einsum("nii->ni", state.cov[known]))
    correlation = state.cov[known] / scale[:, :, None] / scale[:, None]
    assert (np.linalg.eigvalsh(correlation) > -1e-6).all()
    assert (state.ttc_low_s[known] <= state.ttc_high_s[known]).all()


# -- body kinds -------------------------------------------------------------------------------------------------------


def kinds_after(hwl: tuple[float, float, float], near_m: np.ndarray) -> tuple[float, MetricState]:
    """Probability of a van, and the state, of a body among four cars on a plane road, all called car."""
    metric = MetricFilter(MotionConfig.outlines())
    others = np.array(
        [[1.49, 1.63, 3.9, x, y, 0.0, 0.0] for x, y in [(14.0, -4.0), (22.0, 4.0), (31.0, -4.0), (40.0, 4.0)]]
    )
    car = np.full(5, CAR)
    for index, x in enumerate(near_m):
        solid = np.vstack([[*hwl, x + hwl[2] / 2, 0.0, 0.0, 0.0], others])
        boxes, _ = outline_px(CAMERA, solid)
        metric.predict(0.1 if index else 0.0)
        if index:
            metric.update(np.arange(5), unranged(5), boxes, car, CAMERA, 0.1 * index)
        else:
            metric.birth(unranged(5), boxes, car, CAMERA, 0.0)
    state = metric.state()
    joined = metric._joined()
    assert joined is not None
    return float(joined.kind_share[0, 1]), state


def test_a_van_called_car_is_told_by_the_road_it_stands_on() -> None:
    """Met at 50 m, where its box is that of a car a third nearer; at 15 m it is known for what it is."""
    near = np.linspace(50.0, 15.0, 60)
    van, state = kinds_after((2.4, 1.9, 5.0), near)
    assert van > 0.95
    assert state.xy_m[0, 0] == pytest.approx(near[-1], rel=0.06)
    car, state = kinds_after((1.5, 1.65, 4.0), near)
    assert car < 0.05
    assert state.xy_m[0, 0] == pytest.approx(near[-1], rel=0.04)


def test_heights_on_a_grid_equal_a_kalman_filter_at_every_height_and_scale() -> None:
    """The compiled loop against the plain formulas, a gap in between; where the angle tells the height there is no
    departure at that height."""
    from tracking.motion_kernels import kind_shares, weigh_heights

    rng = np.random.default_rng(6)
    rows, log_h, scales = np.array([2, 0]), np.sort(rng.uniform(0.3, 1.2, (3, 7)), axis=1), np.array([0.1, 1.0, 20.0])
    mean, log_like, var = np.zeros((3, 7, 3)), np.zeros((3, 7, 3)), np.full((3, 3), -1.0)
    m, ll, v = mean.copy(), log_like.copy(), var.copy()
    camera_m, pitch_var, persist_s, forget_s = 1.65, 1e-5, 10.0, 20.0
    for since_s in (0.0, 0.1, 0.7):
        angle, depth = rng.uniform(0.05, 0.2, 2), np.full(2, 4.0)
        bottom = -angle * [0.8, 1.4]  # a roof above the camera, and one below it
        boxes = np.column_stack([angle, bottom, depth, [1e-6, 2e-6], [1e-4, 2e-4], [since_s] * 2])
        weigh_heights(
            rows, boxes, np.array([camera_m, pitch_var, persist_s, forget_s]), scales, log_h, (mean, log_like), var
        )
        for i, row in enumerate(rows):
            h = np.exp(log_h[row])
            x = (h + (0.4 * angle[i] * 4.0 if i else 0.0)) / angle[i]  # below: the far rim's slope times its depth
            stationary = boxes[i, 4] * scales + pitch_var
            keep = math.exp(-since_s / persist_s)
            prior = np.where(v[row] < 0, stationary, keep**2 * v[row] + (1 - keep**2) * stationary)
            rest, whole = bottom[i] + camera_m / x[:, None] - keep * m[row], prior + boxes[i, 3]
            m[row] = keep * m[row] + prior / whole * rest
            v[row] = prior - prior**2 / whole
            ll[row] = math.exp(-since_s / forget_s) * ll[row] - 0.5 * (rest**2 / whole + np.log(whole))
    np.testing.assert_allclose(mean, m, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(var, v, rtol=1e-9)
    np.testing.assert_allclose(log_like, ll, rtol=1e-9)
    log_prior, shape, weight = rng.standard_normal((3, 7, 2)), rng.standard_normal((2, 2)), np.log([0.2, 0.5, 0.3])
    whole = np.exp(ll[rows][..., None] + weight[:, None] + log_prior[rows][:, :, None] + shape[:, None, None])
    expected = whole.sum(axis=(1, 2))
    got = kind_shares(rows, log_like, weight, log_prior, shape)
    np.testing.assert_allclose(got, expected / expected.sum(axis=1, keepdims=True), rtol=1e-9)


# -- what stands still ------------------------------------------------------------------------------------------------


def passing(speed_mps: float, of_mps: float, met_m: float) -> tuple[MetricFilter, MetricState, float]:
    """A car 12 % lower than usual, met at ``met_m``, that moves at ``of_mps`` while the vehicle drives past it for
    two and a half seconds; where it is then."""
    metric = MetricFilter(MotionConfig.outlines())
    near = met_m + (of_mps - speed_mps) * 0.1 * np.arange(26)
    ego = EgoMotion(speed_mps, 0.05, 0.0, 0.001, source="given")
    return metric, drive(metric, near, (1.31, 1.63, 3.9), ego)[-1], float(near[-1])


def test_the_own_way_past_a_standing_car_tells_how_far_it_is() -> None:
    metric, state, true_m = passing(12.0, 0.0, 45.0)
    assert metric._standing.still.all()
    assert state.xy_m[0, 0] == pytest.approx(true_m, rel=0.03)
    assert state.size_m[0, 0] == pytest.approx(1.31, rel=0.04)
    assert np.hypot(*state.v_mps[0]) < 0.3
    alone = MetricFilter(MotionConfig.outlines())
    blind = drive(alone, 45.0 - 1.2 * np.arange(26), (1.31, 1.63, 3.9), None)[-1]
    assert state.cov[0, 0, 0] < 0.5 * blind.cov[0, 0, 0]


@pytest.mark.parametrize("of_mps", [11.0, 5.0, -8.0])
def test_what_moves_is_not_taken_to_stand(of_mps: float) -> None:
    metric, state, _ = passing(12.0, of_mps, 60.0)
    assert not metric._standing.still.any()
    assert state.v_mps[0, 0] == pytest.approx(of_mps, abs=2.5)


def test_a_car_that_starts_is_let_go() -> None:
    """Parked for two seconds, then it drives off at 2 m/s^2."""
    metric, ego = MetricFilter(MotionConfig.outlines()), EgoMotion(6.0, 0.05, 0.0, 0.001, source="given")
    t = 0.1 * np.arange(51)
    near = 35.0 - 6.0 * t + np.maximum(t - 2.0, 0.0) ** 2
    states = drive(metric, near, (1.49, 1.63, 3.9), ego)
    assert abs(states[20].v_mps[0, 0]) < 0.3
    assert states[45].v_mps[0, 0] == pytest.approx(5.0, abs=1.0)  # two and a half seconds after
    assert not metric._standing.still.any()
    assert states[-1].v_mps[0, 0] == pytest.approx(6.0, abs=1.5)
    assert states[-1].xy_m[0, 0] == pytest.approx(near[-1], rel=0.1)


def test_standing_evidence_equals_bayes_formula() -> None:
    """The compiled loop against Gaussians written out."""
    from scipy.stats import multivariate_normal

    from tracking.motion_kernels import standing

    rng = np.random.default_rng(8)
    mean, cov, gain = states(rng, 6), positive(rng, 6, STATES, STATES), 0.1 * rng.standard_normal((6, STATES, 4))
    shared, shared_cov = 0.1 * rng.standard_normal(4), positive(rng, 4, 4)
    H, D, R = np.zeros((6, 2, STATES)), np.zeros((6, 2, 4)), np.zeros((6, 2, 2))
    residual, evidence = np.empty((6, 2)), np.empty((6, 2))
    standing(mean, cov, gain, shared, shared_cov, (9.0, 0.05, 1.0, 0.4, 0.09, 10.0, 0.7), (H, D, R), residual, evidence)
    for i in range(6):
        x, speed = math.exp(mean[i, 0]), 9.0 * math.exp(0.05 * shared[3] + shared[2])
        over_ground = np.array([x * mean[i, 2] + speed, x * mean[i, 3] + 0.4])
        np.testing.assert_allclose(-residual[i] * x, over_ground)
        C = H[i] @ gain[i] + D[i]
        S = x * x * (H[i] @ cov[i] @ H[i].T + C @ shared_cov @ C.T + R[i])
        stands, moves = (
            multivariate_normal(np.zeros(2), S + wide).logpdf(over_ground) for wide in (0.0, np.diag([100.0, 0.49]))
        )
        assert evidence[i, 0] == pytest.approx(stands - moves, abs=1e-9)
        assert evidence[i, 1] == pytest.approx(over_ground @ np.linalg.solve(S, over_ground))
        for column, nudge in ((0, 1e-6), (2, 1e-6), (3, 1e-6)):  # derivatives of the velocity over the distance
            state = mean[i].copy()
            state[column] += nudge
            there = np.array([state[2] + speed * math.exp(-state[0]), state[3]])
            here = np.array([mean[i, 2] + speed / x, mean[i, 3]])
            np.testing.assert_allclose(H[i, :, column], (there - here) / nudge, atol=1e-4)
        for column in (2, 3):
            by = speed / x * (1.0 if column == 2 else 0.05)
            np.testing.assert_allclose(D[i, :, column], [by, 0.0])
