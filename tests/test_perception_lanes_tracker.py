"""Lanes on painted worlds whose truth is known, and on the clips."""

import math
from dataclasses import replace

import numpy as np
import pytest

from geometry.camera import Camera
from perception.lanes import LaneTracker
from perception.types import CLASS_ID, Detections, Frame, LaneStatus

CAMERA = Camera(1280, 720, 1000.0, 1000.0, 639.5, 359.5, height_m=1.5, pitch_rad=math.radians(3))
NONE = Detections.empty()


def paint(camera, coeffs, *, dashed=(), colour=(235, 235, 235), worn=0.0, road=90, noise=4.0, seed=0):
    """A picture of a road with boundaries y = polynomial(x): every road pixel is looked up in metres."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0 : camera.height_px, 0 : camera.width_px]
    xy, valid = camera.ground_from_px(np.stack([u, v], axis=-1).astype(float))
    x, y = np.where(valid, xy[..., 0], np.inf), np.where(valid, xy[..., 1], np.inf)
    image = np.where(valid[..., None], float(road), 200.0) * np.ones(3)
    patches = rng.random(4000) >= worn
    for k, coeff in enumerate(coeffs):
        with np.errstate(invalid="ignore"):
            on = valid & (np.abs(y - np.polynomial.polynomial.polyval(np.minimum(x, 500), coeff)) < 0.07) & (x < 120)
            on &= patches[np.clip(x / 0.4, 0, 3999).astype(int)]
            if k in dashed:
                on &= np.mod(x, 9.0) < 3.5
        image[on] = colour
    return np.clip(image + rng.normal(0, noise, image.shape), 0, 255).astype(np.uint8)


def cut(image, camera, beyond_m, road=90):
    """The picture with bare road beyond a distance."""
    v, u = np.mgrid[0 : camera.height_px, 0 : camera.width_px]
    xy, valid = camera.ground_from_px(np.stack([u, v], axis=-1).astype(float))
    out = image.copy()
    out[valid & (xy[..., 0] > beyond_m)] = road
    return out


def follow(image, camera=CAMERA, frames=4, detections=NONE):
    tracker = LaneTracker()
    for k in range(frames):
        lanes = tracker.step(Frame(k, k / 25, image), camera, detections, forward_m=0.0, yaw_rad=0.0)
    return lanes


@pytest.mark.parametrize("radius_m", [math.inf, 1000.0, -500.0, 150.0])
def test_offset_width_heading_and_curvature(radius_m):
    bend = 0.5 / radius_m
    heading = 0.01
    lines = [(1.55, heading, bend), (-1.95, heading, bend), (5.05, heading, bend)]
    lanes = follow(paint(CAMERA, lines, dashed=(1,)))
    assert lanes.left is not None and lanes.right is not None
    assert lanes.offset_m == pytest.approx(0.2, abs=0.05)
    assert lanes.width_m == pytest.approx(3.5, abs=0.06)
    # Heading and bend are told apart the worse, the less road is in sight: 0.4 degrees at a radius of 150 m.
    assert lanes.heading_rad == pytest.approx(-heading, abs=0.006 if abs(radius_m) > 400 else 0.008)
    assert lanes.curvature_pm == pytest.approx(1 / radius_m, abs=max(0.1 / abs(radius_m), 2e-4))
    assert lanes.left.score > 0.5 and lanes.right.score > 0.5
    assert (lanes.left.kind, lanes.right.kind) == ("solid", "dashed")


def test_one_boundary_is_a_line_and_no_lane():
    """Heading and curvature are known from it; width, offset and status are not."""
    one = follow(paint(CAMERA, [(1.55, 0.01, 1e-3)]), frames=8)
    assert [b.coeff[0] for b in one.believed] == pytest.approx([1.55], abs=0.05)
    assert math.isnan(one.width_m) and math.isnan(one.offset_m) and one.status is LaneStatus.UNKNOWN
    assert one.heading_rad == pytest.approx(-0.01, abs=0.008)
    assert one.curvature_pm == pytest.approx(2e-3, rel=0.15)


def test_yellow_is_told_from_white():
    lanes = follow(paint(CAMERA, [(1.8, 0, 0)], colour=(40, 170, 220)))
    assert lanes.left is not None and lanes.left.colour == "yellow"
    lanes = follow(paint(CAMERA, [(1.8, 0, 0), (-1.8, 0, 0)]))
    assert lanes.left is not None and lanes.left.colour == "white"


def test_a_bare_road_has_no_lanes():
    lanes = follow(paint(CAMERA, []))
    assert all(b.score <= 0.5 for b in lanes.boundaries)
    assert lanes.status is LaneStatus.UNKNOWN
    assert math.isnan(lanes.offset_m) or all(b.score <= 0.5 for b in lanes.boundaries)


def test_the_last_metres_of_paint_are_not_believed():
    lines = paint(CAMERA, [(1.75, 0, 0), (-1.75, 0, 0)], noise=1.0)
    assert len(follow(lines, frames=8).believed) == 2
    rng = np.random.default_rng(4)
    end = cut(lines, CAMERA, 6.5).astype(float) + rng.normal(0, 3, lines.shape)
    assert follow(np.clip(end, 0, 255).astype(np.uint8), frames=8).believed == ()


def test_lines_that_jump_about_are_not_believed():
    """Each picture shows fine paint, but somewhere else: nothing a road does."""
    rng = np.random.default_rng(2)
    pictures = [
        paint(CAMERA, [(1.75 + shift, turn, 0), (-1.75 + shift, turn, 0)])
        for shift, turn in zip(rng.uniform(-0.3, 0.3, 8), rng.uniform(-0.02, 0.02, 8), strict=True)
    ]
    tracker, believed = LaneTracker(), []
    for k in range(24):
        lanes = tracker.step(Frame(k, k / 25, pictures[k % 8]), CAMERA, NONE, forward_m=0.0, yaw_rad=0.0)
        believed.append(len(lanes.believed))
    assert np.mean(believed[8:]) < 0.5  # of two boundaries


def test_worn_paint_and_a_shadow():
    image = paint(CAMERA, [(1.75, 0, 0), (-1.75, 0, 0)], worn=0.4)
    image[420:560, 300:1000] = (image[420:560, 300:1000] * 0.35).astype(np.uint8)
    lanes = follow(image)
    assert lanes.left is not None and lanes.right is not None
    assert lanes.offset_m == pytest.approx(0.0, abs=0.05)


def test_what_lies_in_a_box_is_no_evidence():
    image = paint(CAMERA, [(1.75, 0, 0), (-1.75, 0, 0)])
    box = Detections(np.array([[0.0, 0.0, 1280.0, 720.0]]), np.array([0.9]), np.array([CLASS_ID["truck"]]))
    assert follow(image, detections=box).boundaries == ()


def test_a_small_pitch_change_needs_no_new_grid():
    nodding = replace(CAMERA, pitch_rad=CAMERA.pitch_rad + math.radians(0.6))
    image = paint(nodding, [(1.75, 0, 0), (-1.75, 0, 0)])
    tracker = LaneTracker()
    tracker.step(Frame(0, 0.0, paint(CAMERA, [(1.75, 0, 0), (-1.75, 0, 0)])), CAMERA, NONE)
    grid = tracker._grid
    lanes = tracker.step(Frame(1, 0.04, image), nodding, NONE)
    assert tracker._grid is grid
    assert lanes.left is not None and lanes.right is not None
    assert lanes.width_m == pytest.approx(3.5, abs=0.06)
    assert lanes.left.coeff[1] == pytest.approx(0.0, abs=0.006)


@pytest.mark.parametrize("by", [1.3, 0.8])
def test_a_height_that_is_corrected_moves_the_road_with_it(by):
    """The calibration finds the camera higher: the picture is the same, so the lane stays believed, so much wider."""
    image = paint(CAMERA, [(1.55, 0.01, 1e-3), (-1.95, 0.01, 1e-3)])
    tracker = LaneTracker()
    for k in range(10):
        camera = CAMERA if k < 6 else CAMERA.mounted(height_m=by * CAMERA.height_m)
        lanes = tracker.step(Frame(k, k / 25, image), camera, NONE, forward_m=0.0, yaw_rad=0.0)
        scale = camera.height_m / CAMERA.height_m
        if k >= 3:
            assert len(lanes.believed) == 2
            assert lanes.width_m == pytest.approx(3.5 * scale, rel=0.02)
            assert lanes.offset_m == pytest.approx(0.2 * scale, abs=0.05)
            assert lanes.curvature_pm == pytest.approx(2e-3 / scale, rel=0.15)


def test_a_camera_that_sees_no_road_has_no_lanes():
    up = replace(CAMERA, pitch_rad=math.radians(-60))
    assert LaneTracker().step(Frame(0, 0.0, np.zeros((720, 1280, 3), np.uint8)), up, NONE).boundaries == ()


def test_tiny_pictures_are_survived():
    tiny = CAMERA.resized(1, 1)
    assert LaneTracker().step(Frame(0, 0.0, np.zeros((1, 1, 3), np.uint8)), tiny, NONE).boundaries == ()
