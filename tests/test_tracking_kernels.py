"""The compiled loops against the same steps written plainly in NumPy."""

import numpy as np
import pytest

from geometry.boxes import iou
from tracking import kernels, life_kernels, match_kernels, score_kernels
from tracking.classes import FADE, FLICKER_COST, GROUP, HEIGHT_M
from tracking.existence import BIN, HIGHEST, LOWEST
from tracking.frame import D_BOX, D_CLASS, D_EVIDENCE, D_ODDS, D_ROW, D_SCORE, D_XYXY
from tracking.kalman import predict_axes, update_axes
from tracking.table import (
    BELIEVED,
    BORN,
    BOX,
    CLASS,
    DETECTION,
    KEPT,
    LAST,
    MISSED,
    PP,
    PRESENT,
    PV,
    RATE,
    STATE,
    VOTES,
    VV,
    WIDTH,
    XYXY,
)

UNKNOWN = 0.0, 0.0  # size of the picture


def random_boxes(rng: np.random.Generator, count: int, spread: float = 1000.0) -> np.ndarray:
    """Corners (count, 4)."""
    low = rng.uniform(0, spread, (count, 2))
    return np.concatenate([low, low + rng.uniform(5, 120, (count, 2))], axis=1)


def random_seen(rng: np.random.Generator, count: int, spread: float = 1000.0) -> np.ndarray:
    score, class_id = rng.uniform(0, 1, count), rng.integers(0, len(GROUP), count)
    seen, valid = kernels.read_detections(random_boxes(rng, count, spread), score, class_id)
    assert valid
    seen[:, D_EVIDENCE] = rng.normal(0, 2, count)
    return seen


def random_tracks(rng: np.random.Generator, count: int, spread: float = 1000.0) -> np.ndarray:
    data = rng.uniform(0, 1, (count, WIDTH))
    xyxy = random_boxes(rng, count, spread)
    data[:, BOX] = np.concatenate([(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], axis=1)
    data[:, RATE] = rng.normal(0, 50, (count, 4))
    data[:, PP], data[:, PV], data[:, VV] = (rng.uniform(*ends, (count, 4)) for ends in ((2, 40), (0, 5), (20, 90)))
    data[:, CLASS] = rng.integers(0, len(GROUP), count)
    return data


def corners(box: np.ndarray, half: float) -> np.ndarray:
    return np.concatenate([box[:, :2] - half * box[:, 2:], box[:, :2] + half * box[:, 2:]], axis=1)


def test_detections_are_read_as_they_are_and_those_without_area_passed_over() -> None:
    rng = np.random.default_rng(0)
    xyxy, score, class_id = random_boxes(rng, 9), rng.uniform(0.1, 0.9, 9), np.arange(9) % len(GROUP)
    xyxy[[2, 5], 2] = xyxy[[2, 5], 0]
    seen, valid = kernels.read_detections(xyxy, score, class_id)
    rows = np.setdiff1d(np.arange(9), [2, 5])
    assert valid and seen[:, D_ROW].tolist() == rows.tolist()
    np.testing.assert_array_equal(seen[:, D_XYXY], xyxy[rows])
    np.testing.assert_allclose(corners(seen[:, D_BOX], 0.5), xyxy[rows], atol=1e-12)
    np.testing.assert_allclose(seen[:, D_ODDS], np.log(score[rows] / (1 - score[rows])), rtol=1e-12)
    assert seen[:, D_CLASS].tolist() == class_id[rows].tolist()


@pytest.mark.parametrize(("column", "wrong"), [(0, np.nan), (3, np.inf), (4, np.nan), (4, 1.01), (5, 99), (5, -1)])
def test_detections_that_cannot_be_are_told(column: int, wrong: float) -> None:
    table = np.array([[0.0, 0, 9, 9, 0.5, 0], [0, 0, 9, 9, 0.5, 0]])
    for row in range(2):
        bad = table.copy()
        bad[row, column] = wrong
        box, score = np.ascontiguousarray(bad[:, :4]), np.ascontiguousarray(bad[:, 4])
        assert not kernels.read_detections(box, score, bad[:, 5].astype(np.int64))[1]


def test_scores_are_counted_and_weighed_as_numpy_does() -> None:
    rng = np.random.default_rng(1)
    edges = np.arange(LOWEST, HIGHEST + BIN, BIN)
    odds, table = rng.uniform(-6, 12, 500), rng.normal(size=len(edges) - 1)
    count = np.zeros(len(edges) - 1)
    assert score_kernels.count_scores(odds, count) == odds.min()
    np.testing.assert_array_equal(count, np.histogram(np.clip(odds, LOWEST, HIGHEST - 1e-6), edges)[0])
    np.testing.assert_allclose(
        score_kernels.worth_of(odds, table), np.interp(odds, edges[:-1] + BIN / 2, table), atol=1e-12
    )
    seen, worth = random_seen(rng, 50), rng.normal(0, 3, 50)
    score_kernels.weigh_scores(seen, worth, 0.7, (0.5, 1.2, 0.8, -2.0, 4.0))
    expected = np.clip(0.5 + 1.2 * worth + 0.8 * (seen[:, D_ODDS] - 0.7), -2.0, 4.0)
    np.testing.assert_allclose(seen[:, D_EVIDENCE], expected, rtol=1e-12)


def test_prediction_of_what_comes_no_nearer_is_the_filter_on_axes() -> None:
    data = random_tracks(np.random.default_rng(2), 40)
    data[:, RATE.start + 3] = 0.0
    data[0, BOX], data[0, RATE] = [50, 50, 3, 3], [0, 0, -900, 0]
    want = data.copy()
    noise = np.square(want[:, [2, 3, 2, 3]]) * np.array([4.0, 4.0, 0.25, 0.25])
    predict_axes(want[:, BOX], want[:, RATE], (want[:, PP], want[:, PV], want[:, VV]), 0.2, noise)
    want[:, 2:4] = np.maximum(want[:, 2:4], 1.0)  # no box shrinks away
    kernels.predict(data, 0.2, 4.0, 0.25)
    assert data[0, 2] == 1.0
    np.testing.assert_allclose(data, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("closing_mps", [-12.0, 0.0, 5.0, 18.0])
def test_prediction_of_steady_motion_in_the_world_is_exact(closing_mps: float) -> None:
    """A car 1.8 x 1.5 m, 3 m to the side and 1 m below the camera, f 720, seen from the picture's vanishing point."""

    def box(t_s: float) -> np.ndarray:
        return 720.0 / (20.0 - closing_mps * t_s) * np.array([3.0, 1.0, 1.8, 1.5])

    data = random_tracks(np.random.default_rng(21), 1)
    data[:, BOX], data[:, RATE] = box(0.0), box(0.0) * closing_mps / 20.0
    data[:, VV] = 0.0  # rates are known
    for step in range(1, 6):
        kernels.predict(data, 0.1, 0.0, 0.0)
        np.testing.assert_allclose(data[0, BOX], box(0.1 * step), rtol=1e-12)
        np.testing.assert_allclose(data[0, RATE], box(0.1 * step) * closing_mps / (20.0 - closing_mps * 0.1 * step))


def test_a_rate_of_growth_that_is_not_known_bends_no_prediction() -> None:
    data = random_tracks(np.random.default_rng(22), 1)
    data[:, BOX], data[:, RATE], data[:, VV.start + 3] = [50, 60, 30, 40], [20, 10, 5, 8], 1e9
    kernels.predict(data, 0.1, 4.0, 0.25)
    np.testing.assert_allclose(data[0, BOX], [52, 61, 30.5, 40.8], rtol=1e-6)


def test_what_the_picture_cuts_off_goes_on_outside_as_the_track_has_it() -> None:
    """A car 100 px wide that leaves to the left: seen are its 40 px inside, and its width stays."""
    data = random_tracks(np.random.default_rng(23), 1)
    data[:, BOX], data[:, RATE] = [-10, 50, 100, 40], [-50, 0, 0, 0]
    seen, _ = kernels.read_detections(np.array([[0.0, 30, 40, 70]]), np.array([0.9]), np.zeros(1, np.int64))
    data[:, CLASS] = 0
    order, setting = np.zeros(1, np.int64), (0.04**2, 0.2, 0.2, 0.0, 0.0)
    gain, overlap = match_kernels.compare(data, seen, order, 0.5, setting, (200.0, 100.0))[2:]
    assert overlap[0] == pytest.approx(1.0) and gain[0] == pytest.approx(0.8)
    assert match_kernels.compare(data, seen, order, 0.5, setting, UNKNOWN)[3][0] == pytest.approx(0.4)
    for picture, width in (((200.0, 100.0), 100.0), (UNKNOWN, 40.0)):
        one = data.copy()
        one[:, PP], one[:, PV] = 1e6, 0.0  # the detection decides
        kernels.learn(one, (order, order), seen, (7.0, True), (0.04**2, 0.0, 0.2), picture)
        assert one[0, BOX.start + 2] == pytest.approx(width, rel=1e-3)
    data[:, PRESENT], data[:, BELIEVED], data[:, DETECTION] = 0.99, 1.0, -1.0
    asked = 0.5, 0.5, 0.5, -3.0, -3.0
    np.testing.assert_allclose(life_kernels.shown(data, 7.0, 1.0, asked, (200.0, 100.0))[3], [[0, 30, 40, 70]])
    np.testing.assert_allclose(life_kernels.shown(data, 7.0, 1.0, asked, UNKNOWN)[3], [[-60, 30, 40, 70]])


def test_what_goes_on_outside_the_picture_does_not_grow_without_end() -> None:
    """A box at the edge whose width once grew: every detection shows the same 40 px of it."""
    data = random_tracks(np.random.default_rng(24), 1)
    data[:, BOX], data[:, RATE] = [180, 50, 60, 40], [0, 0, 300, 0]
    seen, _ = kernels.read_detections(np.array([[160.0, 30, 199, 70]]), np.array([0.9]), np.zeros(1, np.int64))
    one = np.zeros(1, np.int64)
    for step in range(300):
        kernels.predict(data, 0.1, 4.0, 0.25)
        kernels.learn(data, (one, one), seen, (0.1 * step, True), (0.04**2, 0.0, 0.2), (200.0, 100.0))
        assert data[0, BOX.start + 2] < 3.0 * 200.0


def test_boxes_move_with_the_corners_of_the_picture() -> None:
    data = random_tracks(np.random.default_rng(3), 20)
    data[:, LAST], data[:, KEPT] = data[:, BOX], data[:, STATE]
    H = np.array([[1.02, 0.01, 7.0], [-0.02, 0.99, -3.0], [1e-5, 2e-5, 1.0]])
    xyxy = corners(data[:, BOX], 0.5).reshape(-1, 2)
    moved = np.column_stack([xyxy, np.ones(len(xyxy))]) @ H.T
    want = (moved[:, :2] / moved[:, 2:]).reshape(-1, 4)
    kernels.warp(data, H)
    for kept in (BOX, LAST, slice(KEPT.start, KEPT.start + 4)):
        np.testing.assert_allclose(corners(data[:, kept], 0.5), want, atol=1e-9)


@pytest.mark.parametrize(("tracks", "detections"), [(0, 3), (3, 0), (1, 1), (7, 5), (60, 70), (300, 250)])
@pytest.mark.parametrize("spread", [100.0, 1500.0])
def test_pairs_are_all_those_that_gain_and_gains_are_the_formula(tracks: int, detections: int, spread: float) -> None:
    rng = np.random.default_rng(tracks)
    data, seen = random_tracks(rng, tracks, spread), random_seen(rng, detections, spread)
    half, noise2, share, least = 0.58, 0.035**2, 0.2, 0.1
    order = corners(seen[:, D_BOX], half)[:, 0].argsort()
    i, j, gain, overlap = match_kernels.compare(data, seen, order, half, (noise2, share, least, 0.0, 0.0), UNKNOWN)

    wide = corners(data[:, BOX], half), corners(seen[:, D_BOX], half)
    dense = iou(*wide) if tracks and detections else np.zeros((tracks, detections))
    kind, other = data[:, CLASS].astype(int)[:, None], seen[:, D_CLASS].astype(int)[None]
    dense = np.where(GROUP[kind] == GROUP[other], dense, 0.0)
    residual = seen[None, :, D_BOX] - data[:, None, BOX]
    variance = data[:, None, PP] + noise2 * np.square(seen[None, :, [6, 7, 6, 7]])
    likeness = (1 - share) * dense + share * np.exp(-0.125 * (residual**2 / variance).sum(axis=2))
    want = np.where(dense > 0, likeness - least - np.where(kind == other, 0.0, FLICKER_COST), 0.0)
    got = np.zeros((tracks, detections))
    got[i, j] = gain
    np.testing.assert_allclose(got, np.maximum(want, 0.0), atol=1e-9)
    np.testing.assert_allclose(overlap, dense.max(axis=0, initial=0.0), atol=1e-12)


def test_learning_is_the_filter_on_axes_and_the_fading_votes() -> None:
    rng = np.random.default_rng(4)
    data, seen = random_tracks(rng, 30), random_seen(rng, 25)
    rows, columns = rng.permutation(30)[:20], rng.permutation(25)[:20]
    old, one = data[rows], seen[columns]
    r = 0.05**2 * np.square(one[:, [6, 7, 6, 7]]) * np.maximum(1.0 - 0.5 * one[:, D_SCORE], 0.05)[:, None]
    p, v, cov = update_axes(old[:, BOX], old[:, RATE], (old[:, PP], old[:, PV], old[:, VV]), one[:, D_BOX], r)
    votes = old[:, VOTES] * FADE
    votes[np.arange(20), one[:, D_CLASS].astype(int)] += one[:, D_SCORE]
    untouched = np.delete(data, rows, axis=0)
    kernels.learn(data, (rows, columns), seen, (7.0, True), (0.05**2, 0.5, 0.2), UNKNOWN)
    np.testing.assert_allclose(data[rows][:, STATE], np.concatenate([p, v, *cov], axis=1), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(data[rows][:, VOTES], votes, rtol=1e-12)
    np.testing.assert_array_equal(data[rows][:, CLASS], votes.argmax(axis=1))
    np.testing.assert_array_equal(data[rows][:, KEPT], data[rows][:, STATE])
    np.testing.assert_array_equal(np.delete(data, rows, axis=0), untouched)


def test_what_only_the_flow_followed_is_filtered_but_neither_voted_on_nor_seen() -> None:
    rng = np.random.default_rng(5)
    data, seen = random_tracks(rng, 3), random_seen(rng, 3)
    before = data.copy()
    kernels.learn(data, (np.arange(3), np.arange(3)), seen, (7.0, False), (0.05**2, 1.0, 0.2), UNKNOWN)
    assert (data[:, BOX] != before[:, BOX]).all()
    np.testing.assert_array_equal(data[:, VOTES], before[:, VOTES])
    np.testing.assert_array_equal(data[:, 20:35], before[:, 20:35])


def test_tracks_begin_from_free_detections_that_are_likely() -> None:
    rng = np.random.default_rng(6)
    seen = random_seen(rng, 40)
    taken, overlap = np.array([3, 8, 20]), rng.uniform(0, 1, 40)
    present = 1.0 / (1.0 + np.exp(-(seen[:, D_EVIDENCE] - 3.0)))
    present = np.where(seen[:, D_SCORE] >= 0.6, np.maximum(present, 0.02), present)
    free = (present >= 0.02) & (overlap < 0.9)
    free[taken] = False
    got = life_kernels.born(seen, taken, overlap, -3.0, (0.02, 0.9, 0.6, 0.02))
    assert got.tolist() == np.flatnonzero(free).tolist()
    np.testing.assert_allclose(seen[got, D_EVIDENCE], present[free], rtol=1e-12)
    new = life_kernels.newborn(seen, got, 1.5, 11, (0.035**2, 1.44, 0.16))
    size = seen[got][:, [6, 7, 6, 7]]
    np.testing.assert_array_equal(new[:, BOX], seen[got][:, D_BOX])
    np.testing.assert_allclose(new[:, PP], 0.035**2 * size**2)
    np.testing.assert_allclose(new[:, VV], np.array([1.44, 1.44, 0.16, 0.16]) * size**2)


def test_misses_are_counted_in_looks_and_a_second_one_says_less() -> None:
    data = random_tracks(np.random.default_rng(31), 3)
    data[:, MISSED] = [0.0, 0.0, 4.0]
    seen = random_seen(np.random.default_rng(31), 1)
    one = np.array([1]), np.array([0])
    ratio = life_kernels.likelihood_ratios(data, *one, seen, 1.0, (0.1, 0.4))
    np.testing.assert_allclose(ratio, [0.1, np.exp(seen[0, D_EVIDENCE]), 0.4])
    assert data[:, MISSED].tolist() == [1.0, 0.0, 5.0]


def test_what_coasts_is_reported_as_long_as_its_place_is_known() -> None:
    """By the deviation of its centre: 10 px of a box of 30 are more than a third of it in 32 of 100 cases."""
    data = random_tracks(np.random.default_rng(32), 2)
    data[:, BOX], data[:, PRESENT], data[:, BELIEVED], data[:, DETECTION] = [50, 50, 30, 30], 0.8, 1.0, -1.0
    data[:, PP] = [[1e-6] * 4, [100.0] * 4]
    share = 0.6827**2  # within one deviation along both axes
    for unseen, rows in ((0.8 * share - 0.01, [0, 1]), (0.8 * share + 0.01, [0]), (0.81, [])):
        assert life_kernels.shown(data, 7.0, 1.0, (0.5, 0.5, unseen, -3.0, -3.0), UNKNOWN)[0].tolist() == rows


def standing(x_m: np.ndarray, z_m: np.ndarray, height_m: np.ndarray, speed: float, turn: float) -> np.ndarray:
    """Rows of tracks of what stands before a camera (f 700, horizon at 180) that drives straight on and turns."""
    data = random_tracks(np.random.default_rng(41), len(x_m))
    u, v, h = 700 * x_m / z_m + 600, 700 * (1.5 - 0.5 * height_m) / z_m + 180, 700 * height_m / z_m
    growth = speed / z_m
    data[:, BOX] = np.column_stack([u, v, 1.2 * h, h])
    data[:, RATE] = np.column_stack([turn + growth * (u - 600), growth * (v - 180), growth * 1.2 * h, growth * h])
    data[:, VV] = 1e-4
    data[:, [BELIEVED, DETECTION, BORN]] = [1.0, 0.0, 0.0]
    data[:, XYXY] = [400.0, 100.0, 500.0, 200.0]
    return data


@pytest.mark.parametrize(("speed", "turn"), [(0.0, 0.0), (12.0, 0.0), (20.0, -150.0), (8.0, 90.0)])
def test_new_tracks_begin_as_what_stands_moves(speed: float, turn: float) -> None:
    """Cars and people at their mean heights, two that move by themselves among eight; the new ones are two more."""
    rng = np.random.default_rng(42)
    kind = rng.integers(0, 2, 10)
    x_m, z_m = rng.uniform(-8, 8, 10), rng.uniform(12, 60, 10)
    data = standing(x_m, z_m, HEIGHT_M[kind], speed, turn)
    data[:, CLASS] = kind
    view, new, want = data[:8], data[8:].copy(), data[8:, RATE]
    view[:2, RATE.start] += [70.0, -40.0]
    new[:, RATE] = 0.0
    life_kernels.start_rates(new, view, 9.0, HEIGHT_M, (1200.0, 360.0))
    np.testing.assert_allclose(new[:, RATE], want, rtol=0.03, atol=3.0)
    np.testing.assert_array_equal(new[:, KEPT], new[:, STATE])


def test_new_tracks_stand_where_nothing_else_is_known() -> None:
    data = standing(np.array([3.0, -2.0]), np.array([20.0, 30.0]), np.full(2, 1.5), 15.0, 100.0)
    data[:, CLASS] = 0
    for view in (data[:0], np.where(np.arange(WIDTH) == BELIEVED, 0.0, data)):
        new = data.copy()
        life_kernels.start_rates(new, np.ascontiguousarray(view), 9.0, HEIGHT_M, (1200.0, 360.0))
        np.testing.assert_array_equal(new[:, RATE], 0.0)
