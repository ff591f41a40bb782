"""Which way the road runs at a place, and headings of what stands there."""

import itertools
import math

import numpy as np
import pytest

from geometry.camera import Camera
from geometry.types import GroundPoints
from perception.synthetic import vehicles
from perception.synthetic.cast import Cast
from perception.synthetic.motion import Lateral, Motion, Travel
from perception.synthetic.roads import bend, street
from perception.synthetic.world import Options, Scene, Surroundings
from perception.types import LaneBoundary, Lanes
from tracking.motion import MetricFilter, MotionConfig
from tracking.road_direction import RoadAxes, bend_ahead_pm, road_direction
from tracking.types import EgoMotion

CAMERA = Camera(1280, 720, 1040.0, 1040.0, 639.5, 339.5, 1.4)


def boundary(coeff: list[float], far_m: float = 40.0, score: float = 0.9) -> LaneBoundary:
    return LaneBoundary(np.array(coeff), 1e-4 * np.eye(len(coeff)), (5.0, far_m), "solid", score)


def test_beside_a_boundary_the_road_runs_as_where_the_normal_meets_it() -> None:
    """Places 6 m left and right of a parabola, along its normals: the very tangents there."""
    foot = np.array([8.0, 15.0, 25.0, 34.0])
    slope = 0.02 + 0.01 * foot
    on = np.stack([foot, 1.7 + 0.02 * foot + 0.005 * foot**2], axis=1)
    normal = np.stack([-slope, np.ones(4)], axis=1) / np.hypot(1.0, slope)[:, None]
    for aside_m in (-6.0, 0.0, 2.0):
        said = road_direction(on + aside_m * normal, Lanes(left=boundary([1.7, 0.02, 0.005])))
        assert said is not None
        np.testing.assert_allclose(said[0], np.arctan(slope), atol=math.radians(0.8))
    assert road_direction(on, Lanes(left=boundary([1.7, 0.02, 0.005], score=0.3))) is None
    assert road_direction(on, Lanes()) is None and road_direction(on, None) is None


def test_beyond_the_evidence_the_last_tangent_holds_ever_less_surely() -> None:
    lanes = Lanes(left=boundary([1.7, 0.0, 0.002]), right=boundary([-1.7, 0.0, 0.002]))
    said = road_direction(np.array([[30.0, 1.8], [40.0, 3.2], [80.0, 9.6]]), lanes)
    assert said is not None
    direction, sigma = said
    np.testing.assert_allclose(direction, np.arctan([0.12, 0.16, 0.16]), atol=0.01)
    assert sigma[0] == sigma[1] < sigma[2] / 3


def test_the_axis_turns_with_the_vehicle_and_follows_the_lane() -> None:
    axes = RoadAxes()
    axes.append(2)
    both, place = np.arange(2), np.array([[20.0, -4.0], [30.0, -4.0]])
    axes.place(both, place[:, 0], EgoMotion(speed_mps=10.0, yaw_rate_radps=0.05))  # a path of 200 m radius
    np.testing.assert_allclose(axes.rad, [0.1, 0.15], rtol=0.01)
    axes.predict(0.1, 0.5)
    np.testing.assert_allclose(axes.rad, [math.atan(0.1) - 0.1, math.atan(0.15) - 0.1])
    axes.see(both, place, None)
    np.testing.assert_allclose(axes.rad, [math.atan(0.1) - 0.1, math.atan(0.15) - 0.1])  # no lane: what it was
    for _ in range(20):
        axes.see(np.array([1]), place[1:], Lanes(left=boundary([1.7, 0.3, 0.0])))
    np.testing.assert_allclose(axes.rad, [0.0, math.atan(0.3)], atol=0.02)
    axes.keep(np.array([False, True]))
    assert len(axes.rad) == 1


def test_the_own_path_bends_as_the_vehicle_turns_but_for_walking_pace() -> None:
    for speed, yaw_rate, curvature in ((5.0, 0.4, 0.08), (10.0, -0.05, -0.005), (2.0, 0.1, 0.0), (math.nan, 0.1, 0.0)):
        assert EgoMotion(speed_mps=speed, yaw_rate_radps=yaw_rate).path_curvature_pm == pytest.approx(curvature)
    assert EgoMotion(speed_mps=5.0).path_curvature_pm == 0.0


@pytest.mark.parametrize(
    ("speed", "yaw_rate", "curvature"),
    [(10.0, 0.05, 0.005), (1.0, 0.05, 0.0), (math.nan, 0.05, 0.0), (10.0, math.nan, 0.0), (5.0, 0.4, 0.0)],
)
def test_the_own_path_is_the_road_unless_it_turns_into_another(speed, yaw_rate, curvature) -> None:
    assert bend_ahead_pm(EgoMotion(speed_mps=speed, yaw_rate_radps=yaw_rate)) == pytest.approx(curvature)


# -- standing cars on rendered bends ----------------------------------------------------------------------------------


def parked(radius_m: float, turn: str, *, across: bool) -> Scene:
    """Cars parked on both sides of a bend that begins 12 m ahead; on the right every other one across."""
    options = Options(radius_m=radius_m, turn=turn)
    road = street(options, bend(radius_m, turn, 12.0, clothoid_m=15.0), 200.0, {"verge": 3.0})
    cast = Cast(0)
    for k in range(9):
        s_m = 14.0 + 11.0 * k
        if across and k % 2:
            mesh = vehicles.car(cast.rng)
            cast._add("car", Motion(Travel(s_m, 0.0), Lateral(-4.6), math.pi / 2), mesh, mesh.size_m, parked=True)
        else:
            cast.vehicle("car", Travel(s_m, 0.0), Lateral(-3.6), parked=True)
        cast.vehicle("car", Travel(s_m + 5.0, 0.0), Lateral(7.2), oncoming=True, parked=True)
    around = Surroundings("rural")
    return Scene("curve", CAMERA, road, Motion(Travel(0.0, 8.0)), tuple(cast.actors), around, options, 0, 5.0, 10.0)


def yaw_errors(scene: Scene, *, see_lanes: bool) -> tuple[np.ndarray, np.ndarray]:
    """Errors of yaw (degrees, modulo half a turn) of cars 5 to 50 m ahead from half a second on, and which stand across
    the road."""
    metric, ids, errors, turned = MetricFilter(MotionConfig.exact()), np.empty(0, np.int64), [], []
    across = [actor.track_id for actor in scene.actors if actor.motion.turned_rad == math.pi / 2]
    for previous, t_s in itertools.pairwise([scene.times_s[0], *scene.times_s]):
        truth = scene.truth(float(t_s))
        ego = EgoMotion(truth.speed_mps, 0.1, truth.yaw_rate_radps, 0.002, source="given")
        metric.predict(float(t_s - previous), ego, truth.lanes if see_lanes else None)
        now = np.flatnonzero(truth.visible(max_occlusion=0.2) & ~truth.truncated & (truth.class_id == 0))
        old, new = (now[np.isin(truth.track_id[now], ids, invert=invert)] for invert in (False, True))
        at = np.array([int(np.flatnonzero(ids == i)[0]) for i in truth.track_id[old]], np.int64)
        unranged = [
            GroundPoints(np.zeros((len(k), 2)), np.zeros((len(k), 2, 2)), np.zeros(len(k), bool)) for k in (old, new)
        ]
        metric.update(at, unranged[0], truth.xyxy_px[old], truth.class_id[old], truth.camera, float(t_s))
        metric.birth(unranged[1], truth.xyxy_px[new], truth.class_id[new], truth.camera, float(t_s))
        ids = np.concatenate([ids, truth.track_id[new]])
        state = metric.state()
        for row in now[(truth.xy_m[now, 0] > 5.0) & (truth.xy_m[now, 0] < 50.0)] if t_s >= 0.5 else ():
            k = int(np.flatnonzero(ids == truth.track_id[row])[0])
            apart = state.yaw_rad[k] - truth.yaw_rad[row]
            errors.append(math.degrees((apart + math.pi / 2) % math.pi - math.pi / 2))
            turned.append(truth.track_id[row] in across)
    return np.abs(errors), np.array(turned)


@pytest.mark.parametrize(("radius_m", "turn"), [(60.0, "left"), (90.0, "right"), (150.0, "left")])
def test_cars_parked_along_a_bend_point_along_it(radius_m: float, turn: str) -> None:
    """Within a few degrees by the lane; without it tens of degrees off in sharp bends: a flank seen at a slant is a
    wide car's."""
    scene = parked(radius_m, turn, across=False)
    by_lane, without = (yaw_errors(scene, see_lanes=see)[0] for see in (True, False))
    assert len(by_lane) > 60
    assert np.median(by_lane) < 3.0 and np.percentile(by_lane, 90) < 6.0
    assert np.percentile(by_lane, 90) < (0.25 if radius_m < 100.0 else 0.8) * np.percentile(without, 90)


def test_a_car_parked_across_is_told_by_its_width() -> None:
    errors, across = yaw_errors(parked(60.0, "left", across=True), see_lanes=True)
    near = np.median(errors[across])
    assert across.sum() > 30
    assert near < 15.0  # 90 degrees where it was taken to lie along the road
    assert np.median(errors[~across]) < 4.0
