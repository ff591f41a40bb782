"""Boxes in space on the picture: where the bodies are, and nothing where nothing can be drawn."""

from __future__ import annotations

import numpy as np
import pytest

from app.draw_box3d import body_corners, draw_boxes3d
from geometry.box3d import corners, outline_px
from geometry.camera import Camera
from perception.types import CLASS_ID
from tracking.types import Tracks

CAMERA = Camera(1242, 375, 721.5, 721.5, 609.6, 172.9, 1.65)


def one_track(x_m: float, z_m: float, class_name: str = "car") -> tuple[Tracks, np.ndarray]:
    size, y_m, yaw = [1.5, 1.65, 4.0], -2.0, 0.2
    half = (abs(np.cos(yaw)) * size[2] + abs(np.sin(yaw)) * size[1]) / 2
    solid = np.array([[*size, x_m + half, y_m, z_m, yaw]])
    box, _ = outline_px(CAMERA, solid)
    one = np.ones(1)
    tracks = Tracks(
        track_id=one,
        class_id=np.array([CLASS_ID[class_name]]),
        state=one,
        score=one,
        xyxy_px=box,
        xy_m=np.array([[x_m, y_m]]),
        v_mps=np.zeros((1, 2)),
        cov=np.eye(4)[None],
        size_m=np.array([size]),
        yaw_rad=np.array([yaw]),
        ttc_s=np.array([np.inf]),
        ttc_low_s=np.array([np.inf]),
        ttc_high_s=np.array([np.inf]),
        age_s=one,
        unseen_s=np.zeros(1),
        detection=np.zeros(1),
        absolute=np.array([True]),
    )
    return tracks, solid


@pytest.mark.parametrize("z_m", [0.0, -0.5, 0.4])
def test_bodies_stand_where_the_box_ends(z_m: float) -> None:
    """On a road that falls away or rises the drawn body still has the outline that was seen."""
    tracks, solid = one_track(15.0, z_m)
    standing = body_corners(tracks, CAMERA)
    np.testing.assert_allclose(standing, corners(solid), atol=0.12)
    px, _ = CAMERA.project(standing)
    np.testing.assert_allclose(np.concatenate([px.min(axis=1), px.max(axis=1)], axis=1), tracks.xyxy_px, atol=2.0)


def test_edges_lie_inside_the_outline_and_the_front_is_tinted() -> None:
    tracks, _ = one_track(12.0, 0.0)
    picture = np.zeros((375, 1242, 3), np.uint8)
    draw_boxes3d(picture, tracks, CAMERA)
    y, x = np.nonzero(picture.any(axis=2))
    x1, y1, x2, y2 = tracks.xyxy_px[0]
    assert len(y) > 500
    assert x.min() >= x1 - 3 and x.max() <= x2 + 3 and y.min() >= y1 - 3 and y.max() <= y2 + 3


@pytest.mark.parametrize(("x_m", "name"), [(-2.0, "car"), (400.0, "car"), (15.0, "person")])
def test_what_has_no_shape_to_show_is_left_out(x_m: float, name: str) -> None:
    tracks, _ = one_track(x_m, 0.0, name)
    picture = np.zeros((375, 1242, 3), np.uint8)
    draw_boxes3d(picture, tracks, CAMERA)
    assert not picture.any()
