"""Boxes in space: corners by hand, KITTI's own labels, outlines that hold every visible point of the box."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geometry import box3d
from geometry.boxes import corners_of_rotated
from geometry.camera import Camera
from geometry.profiles import load_profile

CAR = np.array([1.5, 1.8, 4.0, 20.0, 3.0, 0.0, 0.0])  # h w l x y z yaw
angles = st.floats(-10, 10)


def kitti_rows(shared: Path) -> np.ndarray:
    """Truncated, occluded, alpha, box (4), h w l, x y z, rotation_y of every labelled object."""
    lines = (shared / "data/kitti_0005/label.txt").read_text().splitlines()
    return np.array([[float(v) for v in line.split()[3:17]] for line in lines if "DontCare" not in line])


def test_corners_by_hand() -> None:
    points = box3d.corners(CAR)
    assert points.shape == (8, 3)
    np.testing.assert_allclose(points[0], [22.0, 3.9, 0.0])  # front left bottom
    np.testing.assert_allclose(points[1], [22.0, 2.1, 0.0])  # front right bottom
    np.testing.assert_allclose(points[6], [18.0, 2.1, 1.5])  # rear right top
    turned = box3d.corners(np.add(CAR, [0, 0, 0, 0, 0, 0, math.pi / 2]))  # heading left
    np.testing.assert_allclose(turned[0], [20.0 - 0.9, 3.0 + 2.0, 0.0], atol=1e-12)


@given(angles)
def test_footprint_and_nearest_face(yaw: float) -> None:
    box = np.append(CAR[:6], yaw)
    points = box3d.corners(box)
    assert box3d.nearest_x_m(box) == pytest.approx(points[:, 0].min())
    footprint = corners_of_rotated(box3d.rotated_from_box(box))
    distance = np.linalg.norm(footprint[:, None] - points[None, :4, :2], axis=-1)
    np.testing.assert_allclose(distance.min(axis=1), 0.0, atol=1e-9)


def test_edges_are_sides_of_the_box() -> None:
    points = box3d.corners(CAR)
    lengths = sorted(float(np.linalg.norm(points[i] - points[j])) for i, j in box3d.EDGES)
    assert lengths == pytest.approx([1.5] * 4 + [1.8] * 4 + [4.0] * 4)


@given(angles, st.floats(1, 80), st.floats(-30, 30))
def test_alpha_and_yaw_there_and_back(yaw: float, x: float, y: float) -> None:
    xy = np.array([x, y])
    alpha = box3d.alpha_from_yaw(np.array(yaw), xy)
    assert -math.pi <= alpha < math.pi
    again = box3d.yaw_from_alpha(alpha, xy)
    assert math.cos(again - yaw) == pytest.approx(1.0)
    assert math.sin(again - yaw) == pytest.approx(0.0, abs=1e-9)


def test_alpha_by_hand() -> None:
    """A car straight ahead, driving away, shows KITTI's alpha -90 degrees; so does one that points along our ray."""
    ahead, aside = np.array([20.0, 0.0]), np.array([20.0, 20.0])
    assert box3d.alpha_from_yaw(np.array(0.0), ahead) == pytest.approx(-math.pi / 2)
    assert box3d.alpha_from_yaw(np.array(math.pi / 4), aside) == pytest.approx(-math.pi / 2)


@given(st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2), st.floats(-0.2, 0.2)), angles)
@settings(deadline=None)
def test_kitti_there_and_back(mount: tuple[float, float, float], yaw: float) -> None:
    """Location exact for every mount; the heading too, up to the tilt that KITTI's one angle cannot write."""
    camera = Camera(1242, 375, 721.5, 721.5, 609.6, 172.9, 1.65, *mount)
    box = np.append(CAR[:6], yaw)
    size, location, rotation_y, _ = box3d.kitti_from_box(camera, box)
    again = box3d.box_from_kitti(camera, size, location, rotation_y)
    np.testing.assert_allclose(again[:6], box[:6], atol=1e-9)
    tilt = abs(mount[0]) + abs(mount[2])
    assert math.cos(again[6] - yaw) > math.cos(0.05 + 2 * tilt**2 if tilt else 1e-6)
    px, valid = camera.project(box[None, 3:6])
    assert valid[0]
    assert px[0] == pytest.approx(
        [camera.fx_px * location[0] / location[2] + 609.6, 721.5 * location[1] / location[2] + 172.9]
    )


def test_against_kitti_labels(shared: Path) -> None:
    """Their alpha and their 2D boxes follow from their 3D boxes."""
    rows = kitti_rows(shared)
    assert len(rows) > 400
    camera = load_profile("kitti")
    boxes = box3d.box_from_kitti(camera, rows[:, 7:10], rows[:, 10:13], rows[:, 13])
    assert np.median(np.abs(boxes[:, 5])) < 0.2  # on the road, which is not quite flat
    size, location, rotation_y, alpha = box3d.kitti_from_box(camera, boxes)
    np.testing.assert_allclose(size, rows[:, 7:10])
    np.testing.assert_allclose(location, rows[:, 10:13], atol=1e-9)
    np.testing.assert_allclose(box3d.wrapped(rotation_y - rows[:, 13]), 0.0, atol=1e-9)
    assert np.percentile(np.abs(box3d.wrapped(alpha - rows[:, 2])), 90) < 0.02
    np.testing.assert_allclose(box3d.alpha_from_yaw(boxes[:, 6], boxes[:, 3:5]), alpha, atol=1e-9)
    whole = (rows[:, 0] == 0) & (rows[:, 1] == 0)
    outline, seen = box3d.outline_px(camera, boxes[whole])
    assert seen.all()
    assert np.median(np.abs(outline - rows[whole, 3:7])) < 3.0


@given(st.floats(-8, 60), st.floats(-12, 12), angles)
@settings(max_examples=200, deadline=None)
def test_outline_holds_every_visible_point(x: float, y: float, yaw: float) -> None:
    camera = Camera(1280, 720, 900.0, 900.0, 640.0, 350.0, 1.4, 0.03, 0.05, -0.02)
    box = np.array([1.5, 1.8, 4.0, x, y, 0.0, yaw])
    xyxy, seen = box3d.outline_px(camera, box)
    rng = np.random.default_rng(0)
    local = rng.uniform(-0.5, 0.5, (300, 2)) * [4.0, 1.8]
    cos, sin = math.cos(yaw), math.sin(yaw)
    inside = np.c_[local @ np.array([[cos, sin], [-sin, cos]]) + [x, y], rng.uniform(0, 1.5, 300)]
    deep = (inside @ camera.camera_from_vehicle[:3, :3].T + camera.camera_from_vehicle[:3, 3])[:, 2] > 0.1
    px, valid = camera.project(inside)
    shown = px[valid & deep & camera.in_image(px)]
    if not seen:
        assert len(shown) == 0
        assert np.isnan(xyxy).all()
        return
    assert (xyxy[:2] >= -0.5).all() and (xyxy[2:] <= [1279.5, 719.5]).all()
    assert (shown >= xyxy[:2] - 1e-6).all()
    assert (shown <= xyxy[2:] + 1e-6).all()


def test_outline_is_tight_and_torch_agrees() -> None:
    camera = replace(load_profile("udacity"), roll_rad=0.02)
    boxes = np.stack([CAR, np.add(CAR, [0, 0, 0, 10, -2, 0, 0.7])])
    px, _ = camera.project(box3d.corners(boxes))
    xyxy, seen = box3d.outline_px(camera, boxes, clip=False)
    assert seen.all()
    np.testing.assert_allclose(xyxy, np.concatenate([px.min(axis=1), px.max(axis=1)], axis=-1))
    tensor, _ = box3d.outline_px(camera, torch.from_numpy(boxes), clip=False)
    np.testing.assert_allclose(tensor.numpy(), xyxy)
    none, seen = box3d.outline_px(camera, np.zeros((0, 7)))
    assert none.shape == (0, 4) and seen.shape == (0,)


def test_outline_has_exact_gradients() -> None:
    camera = load_profile("kitti")
    box = torch.tensor(np.add(CAR, [0, 0, 0, 0, 0, 0, 0.4]), requires_grad=True)
    assert torch.autograd.gradcheck(lambda b: box3d.outline_px(camera, b, clip=False)[0], (box,))
