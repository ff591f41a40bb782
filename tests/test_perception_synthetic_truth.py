"""Truth of rendered scenes against independent measurements: closed forms, differences, integration, masks."""

import math
from dataclasses import replace

import numpy as np
import pytest

from geometry.camera import Camera
from geometry.distortion import Distortion
from geometry.errors import InputError
from perception.synthetic import SCENES, make_scene
from perception.synthetic.motion import Lateral, Motion, Travel, poses
from perception.synthetic.road import Marking, Road, Stretch
from perception.types import CLASS_ID

CAMERA = Camera(480, 270, 380.0, 380.0, 239.5, 128.0, 1.4, pitch_rad=0.03)


def column(truth, name, track_id):
    """A truth column of one object, None where it is out of sight."""
    row = np.flatnonzero(truth.objects.track_id == track_id)
    return getattr(truth.objects, name)[row[0]] if len(row) else None


# -- roads and motion -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius_m", [150.0, -60.0])
def test_circle_is_a_circle(radius_m):
    road = Road(curvature=((0.0, 1 / radius_m),))
    s, d = np.linspace(-50, 200, 301), 2.5
    x, y = road.world(s, np.full(len(s), d))
    assert np.allclose(np.hypot(x, y - radius_m), abs(radius_m - d), atol=1e-6)
    assert np.allclose(road.pose(s)[2], s / radius_m, atol=1e-9)


def test_clothoid_against_fine_integration():
    road = Road(curvature=((20.0, 0.0), (60.0, 1 / 80.0), (100.0, -1 / 120.0)))
    s = np.arange(0.0, 140.0, 0.001)
    heading = np.concatenate([[0.0], np.cumsum((road.curvature_pm(s[:-1]) + road.curvature_pm(s[1:])) / 2 * 0.001)])
    step = (np.cos(heading[:-1]) + np.cos(heading[1:])) / 2 * 0.001
    rise = (np.sin(heading[:-1]) + np.sin(heading[1:])) / 2 * 0.001
    x, y, h = road.pose(s[-1])
    assert (float(x), float(y), float(h)) == pytest.approx((step.sum(), rise.sum(), heading[-1]), abs=1e-6)


def test_travel_stops_and_stays():
    travel = Travel(10.0, 20.0, ((1.0, -5.0),))
    assert travel.at(3.0) == pytest.approx(10 + 20 + 20 * 2 - 0.5 * 5 * 4)
    assert travel.at(5.0) == pytest.approx(10 + 20 + 20**2 / (2 * 5))
    assert travel.at(9.0) == travel.at(5.0)
    assert travel.acceleration(4.9) == -5.0
    assert travel.acceleration(5.1) == 0.0


def test_lane_change_starts_and_ends_at_rest():
    lateral = Lateral(0.0, changes=((2.0, 4.0, 3.5),))
    assert lateral.at(2.0) == 0.0
    assert lateral.at(4.0) == pytest.approx(1.75)
    assert lateral.at(6.0) == pytest.approx(3.5)
    assert lateral.changing(1.5) == 1
    assert lateral.changing(6.5) == 0


def test_speed_and_yaw_rate_on_a_circle():
    road = Road(curvature=((0.0, 1 / 100.0),))
    now = poses(road, [Motion(Travel(0.0, 20.0), Lateral(10.0))], 3.0)
    # 10 m inside the bend of 100 m: nine tenths of the way in the same time, the same turn.
    assert np.hypot(*now.velocity_mps[0]) == pytest.approx(18.0, abs=1e-6)
    assert now.yaw_rate_radps[0] == pytest.approx(0.2, abs=1e-6)


# -- truth of scenes ----


@pytest.mark.parametrize("kind", SCENES)
def test_speeds_are_the_differences_of_positions(kind):
    scene = make_scene(kind, CAMERA, seed=5)
    h, checked = 0.01, 0
    for t_s in (0.7, 6.1):
        before, now, after = (scene.truth(t) for t in (t_s - h, t_s, t_s + h))
        for track_id in now.objects.track_id:
            moved = []
            for side in (before, after):
                centre = column(side, "centre_m", track_id)
                if centre is None:
                    break
                x, y, heading = side.pose_m_rad
                c, s = math.cos(heading), math.sin(heading)
                moved.append((x + c * centre[0] - s * centre[1], y + s * centre[0] + c * centre[1]))
            if len(moved) < 2:
                continue
            vx, vy = (np.array(moved[1]) - moved[0]) / (2 * h)
            c, s = math.cos(now.pose_m_rad[2]), math.sin(now.pose_m_rad[2])
            expected = (c * vx + s * vy, c * vy - s * vx)
            assert column(now, "v_mps", track_id) == pytest.approx(expected, abs=0.02)
            checked += 1
    assert checked > 3


@pytest.mark.parametrize("kind", ["curve", "lane_change", "city"])
def test_ego_motion_integrates_to_the_pose(kind):
    scene = make_scene(kind, CAMERA, seed=2)
    t = np.linspace(0.0, 9.0, 451)
    truth = [scene.truth(float(v)) for v in t[::50]]
    dense = [scene.poses(float(v)) for v in t]
    speed = np.array([np.hypot(*p.velocity_mps[0]) for p in dense])
    rate = np.array([p.yaw_rate_radps[0] for p in dense])
    dt = t[1] - t[0]
    heading = truth[0].pose_m_rad[2] + np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2 * dt)])
    v = speed * np.exp(1j * heading)
    place = complex(*truth[0].pose_m_rad[:2]) + np.concatenate([[0], np.cumsum((v[1:] + v[:-1]) / 2 * dt)])
    for number, one in enumerate(truth):
        assert one.pose_m_rad[2] == pytest.approx(heading[50 * number], abs=1e-3)
        assert abs(complex(*one.pose_m_rad[:2]) - place[50 * number]) < 0.03


def test_distance_is_the_nearest_face_of_the_standing_car():
    scene = make_scene("city", CAMERA, seed=0)
    end = scene.truth(9.9)
    assert end.speed_mps == pytest.approx(0.0, abs=1e-6)
    ahead = np.flatnonzero((np.abs(end.objects.centre_m[:, 1]) < 0.5) & (end.objects.class_id == CLASS_ID["car"]))
    row = ahead[np.argmin(end.objects.xy_m[ahead, 0])]
    length = end.objects.size_m[row, 2]
    assert end.objects.xy_m[row, 0] == pytest.approx(end.objects.centre_m[row, 0] - length / 2, abs=1e-6)
    # The lower edge of the box is where the nearest face meets the road.
    px, _ = end.camera.px_from_ground(np.array([end.objects.xy_m[row, 0], 0.0]))
    assert end.objects.xyxy_px[row, 3] == pytest.approx(px[1], abs=0.01)


def test_box_of_a_straight_ahead_car_in_closed_form():
    scene = make_scene("highway", CAMERA.mounted(pitch_rad=0.0), seed=0)
    truth = scene.truth(0.0)
    row = np.flatnonzero(np.abs(truth.objects.centre_m[:, 1]) < 0.3)[-1]
    x, _ = truth.objects.xy_m[row]
    # It sways in its lane by up to 0.1 m and is turned by a hundredth of a degree or so.
    assert truth.objects.xyxy_px[row, 3] == pytest.approx(128.0 + 380.0 * 1.4 / x, abs=2e-3)
    height, width, length = truth.objects.size_m[row]
    left, top, right, _ = truth.objects.xyxy_px[row]
    assert 380.0 * width / (x + length) <= right - left <= 380.0 * width / x + 0.1
    assert 128.0 - 380.0 * (height - 1.4) / x <= top <= 128.0 - 380.0 * (height - 1.4) / (x + length)


@pytest.mark.parametrize("turn", ["left", "right"])
def test_lanes_lie_on_the_exact_lines(turn):
    scene = make_scene("curve", CAMERA, radius_m=150.0, turn=turn)
    truth = scene.truth(6.0)
    assert truth.lanes.left is not None
    for boundary, line in zip(truth.lanes.boundaries, truth.lane_points_m, strict=True):
        assert np.abs(boundary.y_m(line[:, 0]) - line[:, 1]).max() < 0.02
        centre = np.array([0.0, 150.0 if turn == "left" else -150.0])
        assert np.hypot(*(line - centre).T).std() < 1e-3 or len(line) < 5
    sign = 1 if turn == "left" else -1
    assert truth.lanes.curvature_pm == pytest.approx(sign / 150.0, rel=1e-6)
    assert truth.yaw_rate_radps == pytest.approx(truth.speed_mps * sign / 150.0, rel=1e-5)


def test_lane_offset_heading_and_width():
    scene = make_scene("lane_change", CAMERA, lane_width_m=3.5)
    t_s = 3.2
    truth, h = scene.truth(t_s), 1e-3
    d, rate = scene.ego.lateral.at(t_s), (scene.ego.lateral.at(t_s + h) - scene.ego.lateral.at(t_s - h)) / (2 * h)
    assert truth.lanes.offset_m == pytest.approx(d, abs=1e-9)
    assert truth.lanes.heading_rad == pytest.approx(math.atan2(rate, 25.0), abs=1e-6)
    assert truth.lanes.width_m == pytest.approx(3.5)
    assert truth.lanes.left.y_m(0.0) - truth.lanes.right.y_m(0.0) == pytest.approx(
        3.5 / math.cos(truth.lanes.heading_rad), abs=1e-3
    )


def test_no_lane_where_no_paint_is():
    scene = make_scene("junction", CAMERA)
    assert scene.truth(0.0).lanes.left is not None
    middle = scene.truth(5.5)  # 60 m on, inside the first gap from 38 to 102 m
    assert middle.lanes.left is None
    assert middle.lanes.right is None
    assert middle.lanes.boundaries == ()


def test_unpainted_stretch():
    road = Road(markings=(Marking(1.8),), unpainted=(Stretch(10.0, 20.0),))
    assert road.painted(road.markings[0], np.array([9.0, 15.0, 21.0])).tolist() == [True, False, True]


def test_suspension_and_mount_error_are_in_the_camera():
    scene = make_scene(
        "highway", CAMERA, suspension_pitch_rad=0.0175, suspension_hz=1.0, mount_yaw_rad=0.03, mount_from_s=5.0
    )
    quarter = scene.truth(0.25)
    assert quarter.pitch_offset_rad == pytest.approx(0.0175)
    assert quarter.camera.pitch_rad == pytest.approx(CAMERA.pitch_rad + 0.0175)
    assert quarter.camera.yaw_rad == 0.0
    assert scene.truth(5.0).camera.yaw_rad == pytest.approx(0.03)


@pytest.mark.parametrize("kind", ["highway_cut_in", "city", "lead_braking", "lane_change", "mixed"])
def test_nobody_drives_into_the_vehicle(kind):
    scene = make_scene(kind, CAMERA, seed=3, duration_s=60.0 if kind == "mixed" else 10.0)
    for t_s in np.linspace(0.0, scene.duration_s - 0.01, 60):
        truth = scene.truth(float(t_s))
        ahead = (
            (np.abs(truth.objects.centre_m[:, 1]) < 1.2) & truth.objects.grounded & (truth.objects.centre_m[:, 0] > 0)
        )
        if ahead.any():
            assert truth.objects.xy_m[ahead, 0].min() > 2.5


def test_occlusion_of_one_car_behind_another():
    scene = make_scene("highway", CAMERA, traffic=0)
    lead = next(a for a in scene.actors if a.class_id == CLASS_ID["car"])
    hidden = replace(lead, track_id=99, motion=Motion(Travel(48.0, 28.3), lead.motion.lateral))
    truth = replace(scene, actors=(*scene.actors, hidden)).truth(0.0)
    assert column(truth, "occlusion", 99) > 0.6
    assert column(truth, "occlusion", lead.track_id) == 0.0
    ids = truth.objects.track_id.tolist()
    assert ids.index(99) < ids.index(lead.track_id)


def test_detections_leave_out_the_hidden_and_the_tiny():
    truth = make_scene("crowd", CAMERA, seed=1).truth(4.0)
    found = truth.detections(max_occlusion=0.5, min_height_px=20.0)
    keep = (truth.objects.occlusion <= 0.5) & (truth.objects.xyxy_px[:, 3] - truth.objects.xyxy_px[:, 1] >= 20.0)
    assert 0 < len(found) == keep.sum() < len(truth.objects)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("moon", {}, "kind"),
        ("city", {"snow": 1.0}, "unknown"),
        ("city", {"rain": 2.0}, "rain"),
        ("curve", {"radius_m": 3.0}, "radius_m"),
        ("curve", {"turn": "up"}, "turn"),
        ("city", {"duration_s": -1.0}, "duration"),
        ("city", {"fps": 0.0}, "rate"),
    ],
)
def test_wrong_requests_say_what_is_wrong(kind, options, words):
    with pytest.raises(InputError, match=words):
        make_scene(kind, CAMERA, **options)


@pytest.mark.parametrize(
    ("kind", "lens"),
    [
        ("highway_cut_in", Distortion()),
        ("city", Distortion("brown", (-0.25, 0.08, 0.001, -0.001, -0.01))),
        ("highway_cut_in", Distortion("fisheye", (-0.02, 0.003, 0.0, 0.0))),
    ],
)
def test_boxes_are_those_of_the_rendered_masks(kind, lens):
    from perception.synthetic.render import Renderer

    camera = replace(CAMERA, distortion=lens, roll_rad=0.02, fx_px=300.0, fy_px=300.0)
    worst, checked = 0.0, 0
    renderer = Renderer(make_scene(kind, camera, seed=3, noise=0.0))
    for t_s in (0.3, 2.7, 5.2):
        picture = renderer.render(0, t_s, ids=True)
        objects = picture.truth.objects
        sides = objects.xyxy_px[:, 2:] - objects.xyxy_px[:, :2]
        for row in np.flatnonzero((objects.occlusion == 0) & (sides.min(axis=1) > 3)):
            y, x = np.nonzero(picture.ids == objects.track_id[row])
            mask = np.array([x.min() - 0.5, y.min() - 0.5, x.max() + 0.5, y.max() + 0.5])
            worst, checked = max(worst, float(np.abs(mask - objects.xyxy_px[row]).max())), checked + 1
    assert checked > 8
    assert worst < 1.0
