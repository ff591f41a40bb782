"""Compiled loops against plain NumPy and closed forms."""

import itertools
import math

import cv2
import numpy as np
import pytest

from geometry.camera import Camera
from perception.lanes import fit_kernels, kernels
from perception.lanes.family import Shape, search
from perception.lanes.fit import Candidates, fit_family
from perception.lanes.ridge import Crossings, find_crossings, marking_evidence
from perception.lanes.select import pair_worth, pick_ego
from perception.lanes.slices import HALF_WIDTH_M, STEP_M, SliceGrid

CAMERA = Camera(1280, 720, 1000.0, 1000.0, 639.5, 359.5, height_m=1.5, pitch_rad=math.radians(3))
NO_BOXES = np.empty((0, 4))


@pytest.fixture(scope="module")
def grid():
    built = SliceGrid.build(CAMERA)
    assert built is not None
    return built


def noise_view(grid, seed=0):
    """A smooth random view with a few lines, so that every branch has work."""
    rng = np.random.default_rng(seed)
    view = cv2.GaussianBlur(rng.uniform(40, 200, (*grid.visible.shape, 3)), (0, 0), 1.2)
    view[:, [100, 101, 160, 161, 220, 221]] += 60
    return np.clip(view, 0, 255).astype(np.uint8)


def two_sided(values, reach):
    """How far each row's values exceed those a reach to both sides."""
    out = np.zeros_like(values)
    for row, k in enumerate(reach):
        line = values[row]
        out[row, k:-k] = np.maximum(line[k:-k] - np.maximum(line[: -2 * k], line[2 * k :]), 0)
    return out


def summed(values, count):
    padded = np.pad(values, ((count // 2, count // 2), (0, 0)))
    return sum(padded[k : k + len(values)] for k in range(count))


def everywhere(grid):
    """Spans of a picture without edges."""
    return np.tile([0, len(grid.y_m)], (len(grid.x_m), 1)).astype(np.int64)


def test_ridges_are_those_of_plain_numpy(grid):
    view = noise_view(grid)
    blue, green, red = (view[..., k].astype(float) for k in range(3))
    light = np.log(0.5 * (green + red) + 8)
    hue = light - np.log(blue + 8)
    edge = cv2.BORDER_REPLICATE
    narrow, wide = cv2.blur(light, (3, 1)), cv2.blur(light, (3, 3), borderType=edge)
    tint = cv2.blur(hue, (3, 3), borderType=edge)
    reach = grid.reach
    paint = np.maximum(two_sided(narrow, reach[:, 0]), two_sided(wide, reach[:, 1]))
    paint = np.minimum(paint + 0.7 * two_sided(tint, reach[:, 0]), 2.0)
    change = np.zeros_like(narrow)
    change[2:-2] = np.maximum(np.abs(narrow[3:-1] - narrow[1:-3]), np.abs(narrow[4:] - narrow[:-4]))
    marker = np.minimum(two_sided(change, reach[:, 2]), 0.7)
    for row, k in enumerate(reach[:, 2]):
        marker[row, k:-k] -= 0.4 * np.abs(narrow[row, : -2 * k] - narrow[row, 2 * k :])
    marker = np.maximum(marker, 0)
    found = kernels.ridges(view, reach, grid.straight, everywhere(grid))
    for got, expected, atol in zip(found, (summed(paint, 3), summed(marker, 9), tint), (2e-5, 5e-5, 1e-5), strict=True):
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(got[:, 30:-30], expected[:, 30:-30], atol=atol)


def rolled(values, shift):
    """Each slice moved to the right, around the end."""
    return np.stack([np.roll(row, by, axis=0) for row, by in zip(values, shift, strict=True)])


def test_a_bent_road_gives_the_evidence_of_a_straight_one(grid):
    """The same road with every slice moved aside, and its shift told: the same evidence, moved."""
    view, shift = noise_view(grid), grid.shift(0.02, 3e-4, 0.0)
    assert 25 < np.ptp(shift) < 80
    reach = np.ascontiguousarray(np.broadcast_to(grid.reach[-1], grid.reach.shape))
    straight = kernels.ridges(view, reach, grid.straight, everywhere(grid))
    bent = kernels.ridges(rolled(view, shift), reach, shift, everywhere(grid))
    for along, expected in zip(bent, straight, strict=True):
        np.testing.assert_allclose(rolled(along, -shift)[:, 90:-90], expected[:, 90:-90], atol=1e-5)


def test_the_edge_of_the_picture_is_no_marking(grid):
    """Beyond it all is black; inside, the evidence is that of a picture which goes on."""
    view, column = noise_view(grid), np.arange(len(grid.y_m))
    inside_it = (column >= grid.spans[:, :1]) & (column < grid.spans[:, 1:])
    cut = np.where(inside_it[..., None], view, 0).astype(np.uint8)
    whole = kernels.ridges(view, grid.reach, grid.straight, everywhere(grid))
    for got, expected in zip(kernels.ridges(cut, grid.reach, grid.straight, grid.spans), whole, strict=True):
        deep = cv2.erode(np.pad(inside_it, 1).astype(np.uint8), np.ones((13, 25), np.uint8))[1:-1, 1:-1] > 0
        np.testing.assert_allclose(got[deep], expected[deep], atol=1e-5)
        assert not got[~inside_it].any()
    black = np.where(inside_it[..., None], 120, 0).astype(np.uint8) * np.ones(3, np.uint8)
    paint, marker, _ = kernels.ridges(black, grid.reach, grid.straight, grid.spans)
    assert paint.max() < 1e-4 and marker.max() < 1e-4


def test_unrest_is_the_mean_of_what_is_usual_around(grid):
    values = np.random.default_rng(5).gamma(0.5, 0.2, grid.visible.shape).astype(np.float32)
    found = values.copy()
    kernels.in_unrest(found, everywhere(grid), 0.05)
    around = cv2.blur(np.minimum(values[::3], 12 * 0.05), (41, 5))
    expected = values / (np.repeat(around, 3, axis=0)[: len(values)] + 0.05)
    np.testing.assert_allclose(found[9:-9, 21:-21], expected[9:-9, 21:-21], rtol=1e-4)


def test_the_edge_of_a_shadow_is_no_marker(grid):
    """An edge aslant of the slices changes along the road in a narrow strip, as a marker does."""
    slices, width = grid.visible.shape
    column = 150 + np.arange(slices) // 3
    shadow = np.where(np.arange(width) < column[:, None], 120, 50)
    shadow = cv2.GaussianBlur(np.repeat(shadow[..., None], 3, axis=2).astype(np.float32), (3, 3), 0.8)
    dots = np.full((slices, width, 3), 120.0)
    dots[10::20, 150:152], dots[12::20, 150:152] = 170, 70  # lit and shaded faces
    markers = [
        kernels.ridges(view.round().astype(np.uint8), grid.reach, grid.straight, everywhere(grid))[1][120:200]
        for view in (shadow, dots)
    ]
    assert markers[0].max() < 0.35 * markers[1].max()


def test_crossings_are_the_strongest_crests_of_each_slice(grid):
    evidence = marking_evidence(noise_view(grid), grid)
    box = np.array([[500.0, 400.0, 700.0, 600.0]])
    free = grid.uncovered(box)
    crossings = find_crossings(evidence, grid, free)
    assert (np.diff(crossings.row) >= 0).all() and np.bincount(crossings.row).max() == 8
    usable = (free.visible & free.free[free.cell]).reshape(grid.visible.shape)
    for row in (20, 90, 150, 240):
        s = evidence.strength[row]
        crest = np.flatnonzero((s[1:-1] >= s[:-2]) & (s[1:-1] > s[2:]) & (s[1:-1] > 1.6) & usable[row, 1:-1]) + 1
        strongest = crest[np.argsort(-s[crest], kind="stable")][:8]
        mine = crossings[crossings.row == row]
        np.testing.assert_allclose(mine.column, strongest, atol=0.5)
        np.testing.assert_allclose(mine.xy_m[:, 1], HALF_WIDTH_M - STEP_M * mine.column)
        assert (mine.xy_m[:, 0] == grid.x_m[row]).all()
    px, _ = CAMERA.px_from_ground(crossings.xy_m)
    covered = ((px > box[0, :2] + 4) & (px < box[0, 2:] - 4)).all(axis=1)
    assert not covered.any() and len(find_crossings(evidence, grid, grid.uncovered(NO_BOXES))) > len(crossings)


def test_paths_run_along_the_family(grid):
    shape = Shape(heading=0.02, bend=5e-4, spread=1e-3, twist=1e-6, sag=2e-5)
    base = np.array([-5.0, -1.7, 0.0, 1.8, 8.0])
    column, seen = kernels.paths(shape.array, base, grid.x_m, grid.uncovered(NO_BOXES).arrays)
    x = grid.x_m[:, None]
    y = base * (1 + shape.spread * x + shape.sag * x**2) + shape.heading * x + shape.bend * x**2 + shape.twist * x**3
    expected = (HALF_WIDTH_M - y) / STEP_M
    inside = (expected > 0) & (expected < len(grid.y_m) - 1)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(column[inside], expected[inside], atol=0.51)
    rows = np.broadcast_to(np.arange(len(x))[:, None], column.shape)
    np.testing.assert_array_equal(seen[inside], grid.visible[rows, column][inside])
    np.testing.assert_allclose(shape.base_m(np.stack(np.broadcast_arrays(x, y), -1)[:, 3]), 1.8)


def test_votes_are_those_of_a_plain_histogram():
    rng = np.random.default_rng(3)
    xy = np.stack([rng.uniform(4, 50, 300), rng.uniform(-12, 12, 300)], -1)
    votes = rng.uniform(0.1, 3, 300)
    hypotheses = rng.normal(0, [0.03, 1e-3, 3e-3], (20, 3))
    support = kernels.vote(xy, votes, hypotheses)
    x, y = xy.T
    kernel = np.pad([0.5, 1.0, 0.5], 6) - np.convolve(np.full(13, 1 / 13), [0.5, 1.0, 0.5])
    for found, (heading, bend, spread) in zip(support, hypotheses, strict=True):
        base = (y - heading * x - bend * x**2) / (1 + spread * x)
        histogram = np.histogram(base, 120, (-9, 9), weights=votes)[0]
        histogram[[0, -1]] = 0.0
        peaks = np.maximum(np.convolve(histogram, kernel, "same")[7:-7], 0)
        assert found == pytest.approx((peaks**2).sum(), rel=1e-9)


def test_search_anywhere_is_right_where_the_coarse_guesses_mislead():
    """The best of the coarse hypotheses lies far from this road: with it alone followed up, a base is 8 cm off."""
    rng = np.random.default_rng(0)
    truth, bases = Shape(-0.0546875, 0.0003, 0.00390625), np.array([2.0, -1.5, 5.5])
    x = np.tile(np.linspace(5, 45, 60), 3)
    d = np.repeat(bases, 60)
    y = d * (1 + truth.spread * x) + truth.heading * x + truth.bend * x**2 + rng.normal(0, 0.03, len(x))
    xy = np.concatenate([np.stack([x, y], -1), np.stack([rng.uniform(5, 45, 100), rng.uniform(-9, 9, 100)], -1)])
    n, weight = len(xy), np.repeat([0.9, 0.4], [180, 100])
    crossings = Crossings(np.zeros(n, int), np.zeros(n), np.column_stack([xy, np.full(n, 0.05), weight, np.zeros(n)]))
    found, _ = search(crossings, None)
    fit = fit_family(crossings, found, bases)
    np.testing.assert_allclose(fit.coeff[:, 0], bases, atol=0.03)


def family_points(shape, bases, noise_m=0.0, seed=0):
    rng = np.random.default_rng(seed)
    x = np.tile(np.linspace(4, 50, 80), len(bases))
    d = np.repeat(bases, 80)
    y = d * (1 + x * (shape.spread + x * shape.sag)) + x * (shape.heading + x * (shape.bend + x * shape.twist))
    y += rng.normal(0, 1, len(x)) * noise_m
    return np.column_stack([x, y, np.full(len(x), 0.05), np.full(len(x), 0.9), np.zeros(len(x))])


def test_fit_recovers_a_road_that_rises():
    """Boundaries open ever faster as the road rises: exact but for what the priors hold back."""
    truth, bases = Shape(0.01, 4e-4, 1e-3, 5e-7, 6e-5), np.array([1.9, -1.7, 5.4])
    guess = Shape(0.0, 3e-4, 0.0)
    common, coeff, cov, member = fit_kernels.fit(family_points(truth, bases), guess.array, bases + 0.1)
    np.testing.assert_array_equal(member, np.repeat(np.arange(3), 80))
    np.testing.assert_allclose(coeff[:, 0], bases, atol=0.01)
    assert common[4] == pytest.approx(truth.sag, abs=2e-5)
    x = np.linspace(4, 50, 20)
    for k, d in enumerate(bases):
        y = d * (1 + x * (truth.spread + x * truth.sag)) + x * (truth.heading + x * (truth.bend + x * truth.twist))
        np.testing.assert_allclose(np.polynomial.polynomial.polyval(x, coeff[k]), y, atol=0.02)
        assert (np.linalg.eigvalsh(cov[k]) > 0).all()


def test_fit_is_not_pulled_by_outliers():
    truth, bases = Shape(0.01, 4e-4), np.array([1.9, -1.7])
    points = family_points(truth, bases, noise_m=0.02)
    points[::7, 1] += 0.25
    _, coeff, _, _ = fit_kernels.fit(points, truth.array, bases)
    np.testing.assert_allclose(coeff[:, 0], bases, atol=0.03)


def figures(points, row, visible_to_m=40.0):
    x_m = np.linspace(60, 3, 200)
    seen = (x_m < visible_to_m)[:, None]
    return fit_kernels.looks(row, np.zeros(len(row), np.int64), points, np.zeros((1, 4)), seen, x_m)[0]


def points_at(x, y, weight=0.9, tint=0.0):
    return np.column_stack([x, y, np.full(len(x), 0.05), np.full(len(x), weight), np.full(len(x), tint)])


def test_looks_of_a_line_of_a_double_line_and_of_clutter():
    rows, x = np.arange(100), np.linspace(38, 3.5, 100)
    line = figures(points_at(x, np.full(100, 0.02), tint=0.4), rows)
    assert line[fit_kernels.PAINTED] == 1.0 and line[fit_kernels.CELLS] == 30
    assert line[fit_kernels.BANDS] == line[fit_kernels.PAINTED_BANDS] == 3
    assert line[fit_kernels.SCATTER] == pytest.approx(0.4)
    assert (line[fit_kernels.ALONE], line[fit_kernels.DOUBLE], line[fit_kernels.YELLOW]) == (1.0, 0.0, 1.0)
    assert (line[fit_kernels.FIRST_M], line[fit_kernels.LAST_M]) == (3.5, 38.0)

    twice = points_at(np.repeat(x, 2), np.tile([0.0, 0.24], 100))
    double = figures(twice, np.repeat(rows, 2))
    assert double[fit_kernels.DOUBLE] == 1.0 and double[fit_kernels.MIDDLE_M] == pytest.approx(0.12)
    assert double[fit_kernels.SCATTER] == pytest.approx(0.0) and double[fit_kernels.YELLOW] == 0.0

    rng = np.random.default_rng(1)
    clutter = figures(points_at(np.repeat(x, 4), rng.uniform(-1, 1, 400)), np.repeat(rows, 4))
    assert clutter[fit_kernels.SCATTER] > 1.5
    assert clutter[fit_kernels.ALONE] == pytest.approx(0.15 / 0.65, abs=0.1)


def test_looks_of_the_last_metres_of_paint():
    x = np.linspace(8.5, 4, 40)
    told = figures(points_at(x, np.zeros(40)), np.arange(40))
    assert told[fit_kernels.BANDS] == 3 and told[fit_kernels.PAINTED_BANDS] == 1
    assert told[fit_kernels.PAINT_M] == pytest.approx(5, abs=1)
    x = np.r_[np.linspace(33, 9, 60), x]
    weight = np.r_[np.full(60, 0.4), np.full(40, 0.9)]
    clutter_beyond = figures(
        points_at(x, np.zeros(100)) * [1, 1, 1, 0, 1] + weight[:, None] * [0, 0, 0, 1, 0], np.arange(100)
    )
    assert clutter_beyond[fit_kernels.BANDS] == 3 and clutter_beyond[fit_kernels.PAINTED_BANDS] == 1
    nothing = fit_kernels.looks(
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        np.zeros((0, 5)),
        np.zeros((1, 4)),
        np.ones((5, 1), bool),
        np.ones(5),
    )[0]
    assert nothing[fit_kernels.LAST_M] < nothing[fit_kernels.FIRST_M]


def test_candidates_are_the_peaks_of_a_smoothed_histogram():
    rng = np.random.default_rng(8)
    shape = Shape(0.02, 4e-4, 1e-3, 2e-7, 1e-5)
    points = family_points(shape, np.array([1.8, -1.7, -5.2, 8.7]), 0.1, seed=3)
    points = np.vstack(
        [points, np.column_stack([rng.uniform(4, 50, 200), rng.uniform(-12, 12, 200), rng.random((200, 3))])]
    )
    row, measure = rng.integers(0, 50, len(points)), rng.uniform(1, 6, 50)
    seen = rng.random((50, 24)) < 0.5
    blur = np.exp(-0.5 * (np.arange(-4, 5) * 0.06 / 0.10) ** 2)
    found = kernels.candidates(points, row, shape.array, measure, seen.astype(float), blur, 12)
    base = shape.base_m(points[:, :2])
    inside = np.abs(base) < 9
    histogram = np.bincount(((base[inside] + 9) / 0.06).astype(int), (points[:, 3] ** 2 * measure[row])[inside], 300)
    profile = np.convolve(histogram, blur, "same")
    peak = np.flatnonzero((profile[1:-1] >= profile[:-2]) & (profile[1:-1] > profile[2:])) + 1
    peak = np.sort(peak[np.argsort(-profile[peak])][:12])[::-1]
    visible = (measure @ seen)[((peak + 0.5) * 0.06 / 18 * 24).astype(int)]
    np.testing.assert_allclose(found[0], (peak + 0.5) * 0.06 - 9)
    np.testing.assert_allclose(found[1], profile[peak] / np.maximum(visible, 0.25 * measure.sum()))
    np.testing.assert_allclose(found[2], profile[peak])
    nothing = kernels.candidates(points[:0], row[:0], shape.array, measure, seen.astype(float), blur, 12)
    assert nothing.shape == (3, 0)


def test_medians_are_numpys_where_enough_is_seen():
    rng = np.random.default_rng(9)
    values, column = rng.normal(size=(41, 30)).astype(np.float32), rng.integers(0, 30, (41, 4))
    seen = rng.random((41, 4)) < [0.7, 0.4, 0.1, 1.1]
    found = kernels.medians(values, column, seen, 12)
    for b in range(4):
        mine = np.sort(values[np.arange(41), column[:, b]][seen[:, b]])
        wanted = np.nan if len(mine) < 12 else mine[len(mine) // 2 - (len(mine) == 41)]
        np.testing.assert_equal(found[b], np.float64(wanted))


def test_scores_fall_with_the_distance_from_what_was_believed():
    rng = np.random.default_rng(10)
    xy, votes = np.stack([rng.uniform(4, 50, 99), rng.uniform(-9, 9, 99)], -1), rng.uniform(0.1, 3, 99)
    hypotheses, believed, sharpness = (
        rng.normal(0, [0.03, 1e-3, 3e-3], (20, 3)),
        np.array([0.01, 0, 0]),
        np.array([20, 900, 300.0]),
    )
    apart = np.square((hypotheses - believed) * sharpness).sum(axis=1)
    expected = kernels.vote(xy, votes, hypotheses) * np.exp(-0.25 * apart)
    np.testing.assert_allclose(kernels.scores(xy, votes, hypotheses, believed, sharpness), expected)


def test_fusing_is_a_kalman_update_of_whole_states():
    rng = np.random.default_rng(11)
    scale = np.array([0.1, 0.01, 1e-4, 1e-6])  # of a boundary's coefficients
    roots = rng.normal(size=(2, 3, 4, 6)) * scale[:, None]
    cov, seen_cov = roots @ roots.swapaxes(-1, -2)
    coeff, seen = rng.normal(size=(2, 3, 4)) * scale
    new, spread = coeff.copy(), cov.copy()
    fit_kernels.fused(new, spread, seen, seen_cov)
    together = np.linalg.inv(np.linalg.inv(cov) + np.linalg.inv(seen_cov))
    mean = together @ (np.linalg.inv(cov) @ coeff[..., None] + np.linalg.inv(seen_cov) @ seen[..., None])
    np.testing.assert_allclose(new / scale, mean[..., 0] / scale, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(spread / np.outer(scale, scale), together / np.outer(scale, scale), rtol=1e-5, atol=1e-6)


def test_crossings_come_on_the_road_plane_that_is_asked_for(grid):
    evidence, free = marking_evidence(noise_view(grid), grid), grid.uncovered(NO_BOXES)
    other = CAMERA.mounted(pitch_rad=CAMERA.pitch_rad + 0.004, height_m=1.02 * CAMERA.height_m)
    here, there = find_crossings(evidence, grid, free), find_crossings(evidence, grid, free, None, other)
    px, valid = CAMERA.px_from_ground(here.xy_m)
    xy_m, on_road = other.ground_from_px(px)
    kept = valid & on_road & (xy_m[:, 0] < 200)
    np.testing.assert_allclose(there.xy_m, xy_m[kept], rtol=1e-7, atol=1e-7)
    np.testing.assert_array_equal(there.points[:, 2:], here.points[kept, 2:])
    assert len(there) > 100


@pytest.mark.parametrize("most", [30, 200, 500])
def test_voters_are_the_strongest(most):
    rng = np.random.default_rng(12)
    points = rng.uniform([4, -9, 0.05, 0, 0], [60, 9, 0.1, 1, 0.1], (200, 5))
    points[50:150, [0, 3]] = 30.0, 0.8  # equals, of which some only have a place
    xy, votes = kernels.voters(points, most)
    worth = points[:, 3] ** 2 * np.sqrt(np.minimum(points[:, 0], 25.0))
    np.testing.assert_allclose(np.sort(votes), np.sort(worth)[-most:], rtol=1e-15)
    assert len(np.unique(xy, axis=0)) == min(most, 200)
    for place, vote in zip(xy, votes, strict=True):
        assert np.isclose(worth[(points[:, :2] == place).all(axis=1)], vote).all()


def test_places_in_lanes_follow_the_lines_and_their_tangents():
    rng = np.random.default_rng(14)
    xy = np.stack([rng.uniform(2, 90, 40), rng.uniform(-9, 9, 40)], -1)
    xy[5] = np.nan
    coeff, ends = np.array([[1.8, 0.01, 4e-4, 1e-6], [-1.7, 0.02, 3e-4, -2e-6]]), np.array([[5, 40, 50.0], [4, 60, 70]])
    offset, lane, lines = fit_kernels.places(xy, coeff, ends, 3.5, 0.0)
    expected = np.empty((40, 2))
    for k, (c, (near, far, _)) in enumerate(zip(coeff, ends, strict=True)):
        curve = np.polynomial.Polynomial(c)
        inside = np.clip(xy[:, 0], near, far)
        expected[:, k] = curve(inside) + curve.deriv()(inside) * (xy[:, 0] - inside)
    centre = expected.mean(axis=1)
    np.testing.assert_allclose(offset, xy[:, 1] - centre, rtol=1e-12)
    np.testing.assert_array_equal(lane, np.rint(np.nan_to_num(xy[:, 1] - centre) / 3.5))
    np.testing.assert_allclose(lines, np.where(xy[:, :1] > ends[:, 2], np.nan, expected), rtol=1e-12)
    one = coeff.copy()
    one[0] = np.nan
    np.testing.assert_allclose(fit_kernels.places(xy, one, ends, 3.5, 0.0)[0], xy[:, 1] - expected[:, 1] - 1.75)
    nothing = fit_kernels.places(xy, np.full((2, 4), np.nan), ends, 3.5, 0.01)
    np.testing.assert_allclose(nothing[0], xy[:, 1] - 0.005 * xy[:, 0] ** 2)
    assert np.isnan(nothing[2]).all()


def test_the_ego_pair_is_the_worthiest_of_all_pairs():
    rng = np.random.default_rng(8)
    found = 0
    for _ in range(200):
        count = int(rng.integers(0, 12))
        base, evidence = rng.uniform(-6.0, 6.0, count), rng.uniform(-0.05, 0.5, count)
        best, expected = -np.inf, (None, None)
        for i, j in itertools.product(range(count), repeat=2):
            lane = 2.4 <= base[i] - base[j] <= 4.7 and base[i] > -0.5 and base[j] < 0.5
            if lane and min(evidence[i], evidence[j]) > 0.03:
                worth = float(pair_worth(Candidates(base, evidence, evidence), i, j, 3.4))
                if worth > best:
                    best, expected = worth, (i, j)
        left, right, width_m = pick_ego(Candidates(base, evidence, evidence), 3.4)
        if expected[0] is None:
            assert left is None or right is None
            continue
        found += 1
        assert (left, right) == expected and width_m == base[left] - base[right]
    assert found > 50
