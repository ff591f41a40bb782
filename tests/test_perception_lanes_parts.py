"""The parts of lane finding against closed forms, and the whole on rendered roads."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geometry.camera import Camera
from geometry.errors import InputError
from perception.lanes import LaneTracker
from perception.lanes.boundary_filter import BoundaryFilter, Motion
from perception.lanes.describe import Look
from perception.lanes.family import Shape, search
from perception.lanes.fit import Candidates, fit_family
from perception.lanes.mount import find_mount, vanishing_point
from perception.lanes.ridge import Crossings, marking_evidence
from perception.lanes.select import pick_lanes
from perception.lanes.slices import STEP_M, SliceGrid
from perception.lanes.status import lane_status
from perception.synthetic import make_scene
from perception.types import Lanes, LaneStatus

CAMERA = Camera(1280, 720, 1000.0, 1000.0, 639.5, 359.5, height_m=1.5, pitch_rad=math.radians(3))


def crossings_of(shape, bases, *, clutter=100, seed=0):
    """Noisy crossings of the boundaries of a family, and clutter."""
    rng = np.random.default_rng(seed)
    x = np.tile(np.linspace(5, 45, 60), len(bases))
    d = np.repeat(bases, 60)
    y = d * (1 + shape.spread * x) + shape.heading * x + shape.bend * x**2 + rng.normal(0, 0.03, len(x))
    x = np.concatenate([x, rng.uniform(5, 45, clutter)])
    y = np.concatenate([y, rng.uniform(-9, 9, clutter)])
    n = len(x)
    weight = np.where(np.arange(n) < n - clutter, 0.9, 0.4)
    return Crossings(np.zeros(n, int), np.zeros(n), np.column_stack([x, y, np.full(n, 0.05), weight, np.zeros(n)]))


def test_grid_samples_lie_where_the_camera_says():
    grid = SliceGrid.build(CAMERA)
    assert grid is not None
    row, column = np.nonzero(grid.visible)
    xy, valid = CAMERA.ground_from_px(grid.px[row, column].astype(float))
    assert valid.all()
    np.testing.assert_allclose(xy[:, 0], grid.x_m[row], rtol=1e-3)
    np.testing.assert_allclose(xy[:, 1], grid.y_m[column], atol=0.02)
    assert (np.diff(grid.x_m) < 0).all()


def test_evidence_is_on_paint_not_on_edges_and_not_moved_by_shadow():
    grid = SliceGrid.build(CAMERA)
    assert grid is not None
    view = np.full((len(grid.x_m), len(grid.y_m), 3), 90, np.uint8)
    paint, edge = 150, 300
    view[:, paint : paint + 3] = 220
    view[:, edge:] = 180  # an edge: bright on one side only
    lit = marking_evidence(view, grid).strength
    rows = slice(60, 200)
    assert (lit[rows, paint + 1] > 4).all()
    assert (lit[rows, edge - 8 : edge + 8] < 1).all()
    view[100:140] = view[100:140] // 3
    shaded = marking_evidence(view, grid).strength
    np.testing.assert_allclose(shaded[110:130, paint + 1], lit[110:130, paint + 1], rtol=0.35)


@settings(max_examples=25, deadline=None)
@given(
    heading=st.floats(-0.06, 0.06),
    bend=st.floats(-0.002, 0.002),
    spread=st.floats(-0.004, 0.004),
    left=st.floats(1.0, 2.4),
)
def test_search_and_fit_recover_any_family(heading, bend, spread, left):
    truth = Shape(heading, bend, spread)
    bases = np.array([left, left - 3.5, left + 3.5])
    crossings = crossings_of(truth, bases)
    found, support = search(crossings, None)
    assert support > 0
    fit = fit_family(crossings, found, bases)
    np.testing.assert_allclose(fit.coeff[:, 0], bases, atol=0.06)
    x = np.array([8.0, 20.0, 35.0])
    for k, d in enumerate(bases):
        expected = d * (1 + spread * x) + heading * x + bend * x**2
        np.testing.assert_allclose(np.polynomial.polynomial.polyval(x, fit.coeff[k]), expected, atol=0.1)


def test_the_plausible_pair_wins_over_stronger_clutter():
    candidates = Candidates(np.array([5.4, 1.9, 0.4, -1.7, -5.3]), np.array([0.2, 0.3, 0.5, 0.3, 0.2]), np.ones(5))
    left, right, further_left, further_right = pick_lanes(candidates, None, 1)
    assert (left, right, further_left, further_right) == (1, 3, [0], [4])
    nothing = Candidates(np.empty(0), np.empty(0), np.empty(0))
    assert pick_lanes(nothing, None, 1) == (None, None, [], [])


def test_filter_moves_a_boundary_with_the_vehicle():
    """20 m on along y = 2 + 0.02 x + 0.001 x^2, then turned by the tangent there: both exact to first order."""
    look = Look("solid", "white", (5.0, 40.0), 0.9)
    boundary = BoundaryFilter(np.array([2.0, 0.02, 0.001, 0.0]), np.eye(4) * 1e-4, look, 0.9)
    boundary.predict(Motion.of(1.0, 20.0, 0.06))
    np.testing.assert_allclose(boundary.coeff, [2.8, 0.0, 0.001, 0.0], atol=1e-9)
    assert boundary.unseen_s == 1.0


def stripes(u_px, v_px):
    """Three white lines that meet at a point, and level clutter."""
    image = np.full((720, 1280, 3), 80, np.uint8)
    for foot in (100, 640, 1180):
        cv2.line(image, (foot, 719), (u_px, v_px), (230, 230, 230), 6, cv2.LINE_AA)
    image[: v_px + 15] = 180
    return image


@pytest.mark.parametrize("point", [(640, 300), (700, 350), (560, 260)])
def test_vanishing_point(point):
    found = vanishing_point([stripes(*point)] * 20)
    assert found == pytest.approx(point, abs=5)


@pytest.mark.parametrize(
    ("kind", "height_m", "pitch_deg", "yaw_deg", "fov_deg"),
    [
        ("highway", 1.1, 2.0, 2.0, 60),  # low in a sports car
        ("highway", 1.65, 6.0, -1.5, 50),
        ("highway", 2.5, 2.0, -2.0, 60),  # a lorry
        ("city", 1.3, -1.0, 0.5, 70),  # lanes of 3.3 m
    ],
)
def test_mount_of_a_rendered_road_is_found(kind, height_m, pitch_deg, yaw_deg, fov_deg):
    """Pitch and yaw within a quarter of a degree, the height within 2 % once the true lane width is given."""
    focal = 480 / math.tan(math.radians(fov_deg) / 2)
    mount = {"pitch_rad": math.radians(pitch_deg), "yaw_rad": math.radians(yaw_deg), "height_m": height_m}
    camera = Camera(960, 540, focal, focal, 479.5, 269.5, **mount)
    seen = list(make_scene(kind, camera, duration_s=4, fps=1, seed=3).frames())
    width_m = seen[0][1].lanes.width_m
    found = find_mount([frame.bgr for frame, _ in seen], math.radians(fov_deg), width_m)
    assert found.camera.pitch_rad == pytest.approx(camera.pitch_rad, abs=math.radians(0.25))
    assert found.camera.yaw_rad == pytest.approx(camera.yaw_rad, abs=math.radians(0.25))
    assert found.camera.height_m == pytest.approx(camera.height_m, rel=0.02)
    assert found.lane_width_m == width_m and "horizon" in str(found)


def test_a_mount_needs_a_road():
    blank = np.full((360, 640, 3), 100, np.uint8)
    with pytest.raises(InputError, match="segments"):
        find_mount([blank] * 3)
    with pytest.raises(InputError, match="sizes"):
        find_mount([blank, blank[:-1]])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("curve", {"radius_m": 200.0, "turn": "right"}),
        ("highway", {"missing_paint": 0.4}),
        ("highway", {"night": True, "rain": 0.5}),
    ],
)
def test_rendered_roads(kind, options):
    """Offset within 8 cm in the median, and no believed boundary where there is none."""
    camera = CAMERA.mounted(height_m=1.4).resized(960, 540)
    tracker, errors, false = LaneTracker(), [], 0
    last_s = None
    for frame, truth in make_scene(kind, camera, duration_s=1.2, fps=5, **options).frames():
        dt = math.nan if last_s is None else frame.t_s - last_s
        last_s = frame.t_s
        lanes = tracker.step(
            frame, camera, truth.detections(), forward_m=truth.speed_mps * dt, yaw_rad=truth.yaw_rate_radps * dt
        )
        errors.append(abs(lanes.offset_m - truth.lanes.offset_m))
        near = [[abs(b.y_m(10.0) - t.y_m(10.0)) < 0.5 for t in truth.lanes.boundaries] for b in lanes.boundaries]
        false += sum(b.score > 0.5 and not any(hits) for b, hits in zip(lanes.boundaries, near, strict=True))
    assert np.median(errors) < 0.08
    assert false == 0


@pytest.mark.parametrize("kind", ["highway", "junction"])
def test_no_paint_no_belief(kind):
    """After the first picture, on which there is nothing to compare with."""
    camera = CAMERA.mounted(height_m=1.4).resized(640, 360)
    tracker = LaneTracker()
    for frame, truth in make_scene(kind, camera, duration_s=1.0, fps=4, missing_paint=1.0).frames():
        lanes = tracker.step(frame, camera, truth.detections())
        assert frame.index == 0 or lanes.believed == ()


def test_columns_are_centimetres_apart():
    assert 0.03 <= STEP_M <= 0.08  # two samples across the narrowest marking, 0.10 m


@pytest.mark.parametrize(
    ("speed_mps", "start_m", "expected"),
    [
        (0.4, 0.3, LaneStatus.DRIFTING_LEFT),
        (-0.4, -0.3, LaneStatus.DRIFTING_RIGHT),
        (0.4, -0.6, LaneStatus.KEEPING),  # back towards the middle
        (0.1, 0.5, LaneStatus.KEEPING),  # as people steer
        (0.4, 1.2, LaneStatus.CHANGING),  # over the line by more than a quarter of the vehicle
    ],
)
def test_status_follows_from_offset_and_lateral_speed(speed_mps, start_m, expected):
    """In a lane of 3.5 m a vehicle of 1.9 m has 0.8 m on each side; a wheel on the line within 1.5 s is a drift."""
    memory: list[tuple[float, float, float]] = []
    for t_s in np.arange(0.0, 0.6, 0.05):
        status = lane_status(memory, t_s, Lanes(offset_m=start_m + speed_mps * t_s, width_m=3.5))
    assert status is expected
