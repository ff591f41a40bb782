"""Range from one frame: exact where the world is as assumed, honest where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from geometry.box3d import outline_px
from geometry.camera import Camera
from geometry.distortion import Distortion
from geometry.ground import (
    BOTTOM,
    GROUND,
    HEIGHT,
    WIDTH,
    RangeCues,
    RangeNoise,
    box_slopes,
    fuse_cues,
    hidden_edges,
    on_wheels,
    range_cues,
    range_objects,
)
from geometry.size_priors import size_priors
from perception.types import CLASS_ID

CAMERA = Camera(1280, 720, 900.0, 900.0, 640.0, 360.0, 1.5, pitch_rad=0.03)
PERSON, CAR, SIGN = CLASS_ID["person"], CLASS_ID["car"], CLASS_ID["traffic sign"]


def boxes_of(camera: Camera, x_m: np.ndarray, y_m: np.ndarray, hwl_m: tuple[float, float, float]) -> np.ndarray:
    """Outlines of cuboids along the road whose nearest faces are at x_m."""
    count = len(x_m)
    size = np.broadcast_to(hwl_m, (count, 3))
    place = np.stack([x_m + hwl_m[2] / 2, y_m, np.zeros(count), np.zeros(count)], axis=1)
    return outline_px(camera, np.concatenate([size, place], axis=1))[0]


@pytest.mark.parametrize("pitch_rad", [-0.02, 0.0, 0.2])
@pytest.mark.parametrize("yaw_rad", [0.0, 0.05])
def test_every_cue_is_exact_where_its_assumption_holds(pitch_rad: float, yaw_rad: float) -> None:
    camera = CAMERA.mounted(pitch_rad=pitch_rad, yaw_rad=yaw_rad)
    x_m, y_m = np.array([8.0, 15.0, 30.0, 50.0]), np.array([0.3, -1.0, 2.0, -3.0])
    mean = np.exp(np.log([1.73, 0.62, 0.75]))
    boxes = boxes_of(camera, x_m, y_m, tuple(mean))
    cues = range_cues(camera, boxes, np.full(4, PERSON))
    if yaw_rad == 0.0:
        np.testing.assert_allclose(cues.x_m[:, GROUND], x_m, rtol=1e-5)
        np.testing.assert_allclose(cues.x_m[:, HEIGHT], x_m, rtol=1e-5)
    else:  # the outline of a cuboid off the axis is touched by a corner, not by the middle of its edge
        np.testing.assert_allclose(cues.x_m[:, GROUND], x_m, rtol=0.03)
        np.testing.assert_allclose(cues.x_m[:, HEIGHT], x_m, rtol=0.03)


def test_roof_below_the_camera_is_seen_at_its_far_rim() -> None:
    x_m = np.array([6.0, 12.0, 40.0])
    camera = CAMERA.mounted(height_m=2.5)
    boxes = boxes_of(camera, x_m, np.zeros(3), (1.73, 0.62, 0.75))
    cues = range_cues(camera, boxes, np.full(3, PERSON))
    np.testing.assert_allclose(cues.x_m[:, HEIGHT], x_m, rtol=0.01)


def test_width_of_a_body_straight_ahead() -> None:
    boxes = boxes_of(CAMERA, np.array([10.0, 25.0]), np.zeros(2), (1.73, 0.62, 0.75))
    cues = range_cues(CAMERA, boxes, np.full(2, PERSON))
    np.testing.assert_allclose(cues.x_m[:, WIDTH], [10.0, 25.0], rtol=5e-3)


def test_lens_distortion_is_undone() -> None:
    bent = Camera(
        1280, 720, 900.0, 900.0, 640.0, 360.0, 1.5, distortion=Distortion("brown", (-0.2, 0.05, 0.0, 0.0, 0.0))
    )
    straight = bent.undistorted()
    edge = np.array([[400.0, 300.0, 480.0, 500.0]])
    middles = np.array([[400.0, 400.0], [440.0, 300.0], [480.0, 400.0], [440.0, 500.0]])
    xy, _ = bent.normalised(middles)
    slopes = box_slopes(bent, edge).slope[0]
    np.testing.assert_allclose(slopes, [-xy[0, 0], -xy[1, 1], -xy[2, 0], -xy[3, 1]], atol=2e-5)
    assert abs(box_slopes(straight, edge).slope[0, BOTTOM] - slopes[BOTTOM]) > 1e-3


def test_sigma_of_the_ground_cue_is_that_of_a_simulation() -> None:
    """Pitch, height and box drawn at random: the spread of the range is the sigma that is claimed (to 8 %)."""
    rng = np.random.default_rng(1)
    noise = RangeNoise(edge_px=1.0, edge_share=0.0, camera_height_rel=0.02, road_m=0.0)
    for x_m in (8.0, 15.0, 25.0):
        box = boxes_of(CAMERA, np.array([x_m]), np.zeros(1), (1.73, 0.62, 0.75))
        cues = range_cues(CAMERA, box, np.array([PERSON]), pitch_sigma_rad=0.004, noise=noise)
        claimed = float(np.sqrt(cues.log_cov[0, GROUND, GROUND]))
        said = []
        for _ in range(1000):
            camera = CAMERA.mounted(
                pitch_rad=CAMERA.pitch_rad + 0.004 * rng.standard_normal(),
                height_m=1.5 * (1 + 0.02 * rng.standard_normal()),
            )
            moved = box + np.array([0, 0, 0, rng.standard_normal()])
            said.append(
                camera.ground_from_px(np.stack([0.5 * (moved[:, 0] + moved[:, 2]), moved[:, 3]], axis=1))[0][0, 0]
            )
        assert claimed == pytest.approx(np.std(np.log(said)), rel=0.08)


def test_border_takes_cues_away() -> None:
    inside = np.array([600.0, 300.0, 640.0, 500.0])
    boxes = np.array(
        [inside, [600.0, 300.0, 640.0, 719.0], [0.0, 300.0, 40.0, 500.0], [600.0, 0.0, 640.0, 500.0], [0, 0, 1279, 719]]
    )
    have = np.isfinite(range_cues(CAMERA, boxes, np.full(5, CAR)).x_m)
    np.testing.assert_array_equal(
        have[:, [GROUND, HEIGHT]], [[True, True], [False, False], [True, True], [True, False], [False, False]]
    )
    assert not have[2, WIDTH]
    points = range_objects(CAMERA, boxes, np.full(5, CAR))
    assert not points.valid[4] and np.isnan(points.xy_m[4]).all()


def test_edges_behind_a_nearer_box_by_hand() -> None:
    truck, car = [100.0, 50.0, 200.0, 120.0], [90.0, 100.0, 190.0, 180.0]  # hides 90 of 100 px of the truck's foot
    beside, low = [195.0, 60.0, 300.0, 130.0], [150.0, 119.0, 160.0, 125.0]  # hides its right side; 10 px of its foot
    none, foot = [False] * 4, [False, False, False, True]
    assert hidden_edges(np.array([truck])).tolist() == [none]
    assert hidden_edges(np.array([truck, car])).tolist() == [foot, none]
    assert hidden_edges(np.array([car, truck])).tolist() == [none, foot]
    assert hidden_edges(np.array([truck, beside])).tolist() == [[False, False, True, False], none]
    assert hidden_edges(np.array([truck, low])).tolist() == [none, none]
    assert hidden_edges(np.array([truck, [100.0, 50.0, 200.0, 120.0]])).tolist() == [none, none]  # equally near
    assert hidden_edges(np.array([truck, [210.0, 0.0, 300.0, 300.0]])).tolist() == [none, none]  # beside it
    assert hidden_edges(np.empty((0, 4))).shape == (0, 4)


def test_who_rides_stands_on_the_wheels_and_is_not_hidden_by_them() -> None:
    rider, bicycle, person, car = (CLASS_ID[name] for name in ("rider", "bicycle", "person", "car"))
    body, wheels = [100.0, 50.0, 150.0, 150.0], [105.0, 90.0, 145.0, 165.0]
    none, foot = [False] * 4, [False, False, False, True]

    def seen(boxes: list[list[float]], names: list[int]) -> tuple[list[list[float]], list[list[bool]]]:
        box, hidden = on_wheels(np.array(boxes), np.array(names))
        assert hidden.shape == box.shape == (len(boxes), 4)
        return box.tolist(), hidden.tolist()

    whole = [100.0, 50.0, 150.0, 165.0]
    assert hidden_edges(np.array([body, wheels])).tolist()[0] == foot
    assert seen([body, wheels], [rider, bicycle]) == ([whole, wheels], [none, none])
    assert seen([wheels, body], [bicycle, person]) == ([wheels, whole], [none, none])
    lower = [100.0, 50.0, 150.0, 170.0]  # found a little too low: it stays, and hides no wheel
    assert seen([lower, wheels], [rider, bicycle]) == ([lower, wheels], [none, none])
    assert seen([body, body, wheels], [rider, person, bicycle])[0] == [whole, whole, wheels]
    beside, nearer = [140.0, 90.0, 200.0, 165.0], [100.0, 120.0, 160.0, 230.0]  # others' bicycles
    assert seen([body, beside], [rider, bicycle]) == ([body, beside], [[False, False, True, False], none])
    assert seen([body, nearer], [rider, bicycle]) == ([body, nearer], [foot, none])
    hides = [90.0, 120.0, 160.0, 220.0]  # a car before both, and before the sides of the wheels
    box, hidden = seen([body, wheels, hides], [rider, bicycle, car])
    assert (box, hidden) == ([whole, wheels, hides], [foot, [True, False, True, True], none])
    assert seen([body, wheels], [car, car]) == ([body, wheels], [foot, none])
    assert on_wheels(np.empty((0, 4)), np.empty(0, np.int64))[0].shape == (0, 4)


def test_a_hidden_foot_leaves_a_range_by_what_is_seen() -> None:
    """Of a car at 30 m the lower half is hidden: its box ends higher, which by foot and height is much farther."""
    mean = np.exp(size_priors(np.array([CAR])).moments()[0][0])
    whole = boxes_of(CAMERA, np.array([30.0]), np.zeros(1), tuple(mean))
    cut = whole.copy()
    cut[0, 3] -= 0.5 * (whole[0, 3] - whole[0, 1])
    foot = np.array([[False, False, False, True]])
    assert range_objects(CAMERA, cut, np.array([CAR])).xy_m[0, 0] > 45.0
    behind = range_objects(CAMERA, cut, np.array([CAR]), hidden=foot)
    assert behind.xy_m[0, 0] == pytest.approx(30.0, rel=0.15)
    assert behind.cov_m2[0, 0, 0] > 1.2 * range_objects(CAMERA, whole, np.array([CAR])).cov_m2[0, 0, 0]


def test_above_the_horizon_only_size_speaks() -> None:
    cues = range_cues(CAMERA, np.array([[600.0, 100.0, 620.0, 140.0]]), np.array([SIGN]))
    assert np.isnan(cues.x_m[0, GROUND]) and np.isfinite(cues.x_m[0, HEIGHT])


def test_far_objects_lean_on_size_and_near_ones_on_the_road() -> None:
    near, far = (
        range_cues(CAMERA, boxes_of(CAMERA, np.array([x]), np.zeros(1), (1.9, 0.62, 0.75)), np.array([PERSON]))
        for x in (6.0, 60.0)
    )

    def lean(cues: RangeCues) -> float:
        x_m, _ = fuse_cues(cues)
        ground, height = np.log(cues.x_m[0, [GROUND, HEIGHT]])
        return float((np.log(x_m[0]) - height) / (ground - height))

    assert lean(near) > 0.4 > 0.15 > lean(far) > 0.0


def test_fusion_of_independent_cues_is_inverse_variance() -> None:
    sigma = np.array([0.1, 0.2, 1e3])
    cues = RangeCues(np.array([[20.0, 21.0, np.nan]]), np.diag(sigma**2)[None], np.zeros((1, 2)), np.ones((1, 2)))
    x_m, log_sigma = fuse_cues(cues)
    assert np.log(x_m[0]) == pytest.approx((100 * np.log(20.0) + 25 * np.log(21.0)) / 125)
    assert log_sigma[0] == pytest.approx(125**-0.5, rel=1e-6)


def test_cues_that_contradict_each_other_widen_sigma() -> None:
    cov = np.diag(np.array([0.05, 0.05, 1e3]) ** 2)[None]
    agree, contradict = (
        RangeCues(np.array([[20.0, x, np.nan]]), cov, np.zeros((1, 2)), np.ones((1, 2))) for x in (20.0, 30.0)
    )
    expected = np.log(1.5) / (0.05 * np.sqrt(2))  # square root of chi-square over one degree of freedom
    assert fuse_cues(contradict)[1][0] / fuse_cues(agree)[1][0] == pytest.approx(expected, rel=1e-6)


def test_lateral_place_of_parked_cars_is_their_middle() -> None:
    x_m, y_m = np.array([10.0, 10.0, 25.0]), np.array([4.0, -4.0, 0.2])
    boxes = boxes_of(CAMERA, x_m, y_m, (1.51, 1.63, 3.9))
    points = range_objects(CAMERA, boxes, np.full(3, CAR), pitch_sigma_rad=1e-4, noise=RangeNoise(0.1, 0.0, 0.001, 0.0))
    np.testing.assert_allclose(points.xy_m, np.stack([x_m, y_m], axis=1), atol=0.25)
    assert (np.linalg.eigvalsh(points.cov_m2) > 0).all()


def test_no_boxes_are_no_points() -> None:
    assert len(range_objects(CAMERA, np.empty((0, 4)), np.empty(0, np.int64))) == 0


def test_boxes_of_nonsense_are_invalid_not_numbers() -> None:
    boxes = np.array([[np.nan, 1, 2, 3], [5, 5, 5, 5], [-50, -50, -10, -10]], dtype=float)
    points = range_objects(CAMERA, boxes, np.zeros(3, np.int64))
    assert not points.valid.any() and np.isnan(points.xy_m).all()


def test_slopes_through_no_lens_are_those_through_a_lens_of_no_distortion() -> None:
    """The compiled loop against the general way through every camera model: boxes anywhere, numbers that are none."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(-50, 1300, (300, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0, 300, (300, 2))], axis=1)
    boxes[3, 2], boxes[4, 1] = np.nan, np.inf
    straight = Camera(1242, 375, 721.5, 700.0, 609.6, 172.9, 1.65, pitch_rad=0.02, yaw_rad=-0.9, roll_rad=0.01)
    bent = replace(straight, distortion=Distortion("brown", (0.0, 0.0, 0.0, 0.0)))
    noise = RangeNoise(edge_px=0.7, edge_share=0.02)
    one, other = box_slopes(straight, boxes, noise), box_slopes(bent, boxes, noise)
    np.testing.assert_array_equal(one.seen, other.seen)
    assert not one.seen[3:5].any() and one.seen.any() and (one.slope[10:] == 0).any()
    finite = np.delete(np.arange(300), [3, 4])
    np.testing.assert_allclose(one.slope[finite], other.slope[finite], atol=1e-12)
    np.testing.assert_allclose(one.sigma[finite], other.sigma[finite], rtol=1e-7, atol=1e-12)


def test_fused_cues_are_generalised_least_squares() -> None:
    """The compiled loop against the formulas written plainly; a lost cue has no part in it."""
    rng = np.random.default_rng(5)
    x_m = np.exp(rng.uniform(2.0, 4.0, (40, 1)) + 0.3 * rng.standard_normal((40, 3)))
    root = 0.1 * rng.standard_normal((40, 3, 3))
    log_cov = root @ root.transpose(0, 2, 1) + 0.01 * np.eye(3)
    x_m[::4, 1] = np.nan
    log_cov[::4, 1, :] = log_cov[::4, :, 1] = 0.0
    log_cov[::4, 1, 1] = 1e6
    x_m[7] = np.nan
    said, sigma = fuse_cues(RangeCues(x_m, log_cov, np.zeros((40, 2)), np.ones((40, 2))))
    for row in np.delete(np.arange(40), 7):
        have = np.isfinite(x_m[row])
        log_x, weight = np.log(x_m[row, have]), np.linalg.inv(log_cov[row][np.ix_(have, have)])
        mean = weight.sum(axis=0) @ log_x / weight.sum()
        chi2 = (log_x - mean) @ weight @ (log_x - mean) / (have.sum() - 1)
        assert np.log(said[row]) == pytest.approx(mean, abs=1e-5)
        assert sigma[row] == pytest.approx(np.sqrt(max(chi2, 1.0) / weight.sum()), rel=1e-4)
    assert np.isnan(said[7]) and np.isinf(sigma[7])
