"""Pictures: what is drawn is where the numbers say, the input stays untouched, every size works."""

import cv2
import numpy as np
import pytest

from app.draw import Painter, boundaries_px, labels, status_lines
from app.draw_birdseye import BirdsEyePanel, _Trail, outlines, predictions
from app.palette import ALERT, CLASS_COLOURS, WHITE, Strokes, bgr, frame_boxes, put_text, shade, text_width, tint
from app.sprites import Sprite, lay_text
from app.types import CameraPose, Event, EventKind, FrameResult
from geometry.box3d import corners
from geometry.camera import Camera
from geometry.types import GroundPoints
from perception.types import CLASS_ID, Detections, Frame, LaneBoundary, Lanes
from tracking.bodies import bodies
from tracking.types import EgoMotion, Tracks, TrackState


def camera(width_px: int = 640, height_px: int = 360) -> Camera:
    return Camera(
        width_px, height_px, width_px * 0.9, width_px * 0.9, width_px / 2, height_px / 2, 1.4, 0.02, 0.03, 0.01
    )


def tracks(count: int = 2, **given: object) -> Tracks:
    xy_m = np.stack([np.linspace(12, 40, count), np.linspace(-2, 2, count)], axis=-1)
    box = np.array([200.0, 150.0, 260.0, 200.0]) + np.arange(count)[:, None] * np.array([120.0, 10.0, 120.0, 10.0])
    base = {
        "track_id": np.arange(count) + 1, "class_id": np.full(count, CLASS_ID["car"]),
        "state": np.full(count, TrackState.CONFIRMED), "score": np.full(count, 0.9), "xyxy_px": box, "xy_m": xy_m,
        "v_mps": np.tile([10.0, 0.0], (count, 1)), "cov": np.tile(np.diag([4.0, 0.25, 1.0, 1.0]), (count, 1, 1)),
        "size_m": np.tile([1.5, 1.8, 4.2], (count, 1)), "yaw_rad": np.zeros(count), "ttc_s": np.full(count, np.inf),
        "ttc_low_s": np.full(count, np.inf), "ttc_high_s": np.full(count, np.inf), "age_s": np.ones(count),
        "unseen_s": np.zeros(count), "detection": np.arange(count), "absolute": np.ones(count, bool),
    }  # fmt: skip
    return Tracks(**{**base, **given})


def result(seen: Tracks, lanes: Lanes = Lanes(), events: tuple[Event, ...] = ()) -> FrameResult:
    ego = EgoMotion(speed_mps=10.0, source="given")
    pose = CameraPose(1.4, 0.02, 0.03, 0.01)
    return FrameResult(0, 1.0, Detections.empty(), GroundPoints.empty(), seen, lanes, ego, pose, events)


def has_colour(image: np.ndarray, colour: str) -> np.ndarray:
    return (image == np.array(bgr(colour), np.uint8)).all(-1)


@pytest.mark.parametrize("size", [(640, 360), (1242, 375), (320, 240), (64, 48), (1280, 720)])
def test_every_size_draws_and_the_frame_stays_untouched(size: tuple[int, int]) -> None:
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    painter = Painter(*size)
    out = painter.draw(Frame(0, 1.0, picture), result(tracks()), camera(*size))
    assert out.shape == (painter.size_px[1], painter.size_px[0], 3)
    assert (picture == 90).all()
    assert (out[:, : size[0]] != 90).any()


@pytest.mark.parametrize("birdseye", [True, False])
def test_drawing_on_the_frame_itself_gives_the_same_in_parts(birdseye: bool) -> None:
    rng = np.random.default_rng(2)
    picture, warning = rng.integers(0, 256, (360, 640, 3), np.uint8), Event(EventKind.HEADWAY, "active", 1.0, 0.5, 2)
    told = result(tracks(), events=(warning,))
    whole = Painter(640, 360, birdseye=birdseye).draw(Frame(0, 1.0, picture), told, camera())
    parts = Painter(640, 360, birdseye=birdseye).draw_on(Frame(0, 1.0, picture), told, camera())
    assert parts[0] is picture
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_a_frame_with_gaps_between_its_rows_is_not_drawn_on() -> None:
    picture = np.full((360, 700, 3), 90, np.uint8)[:, :640]
    (whole,) = Painter(640, 360).draw_on(Frame(0, 1.0, picture), result(tracks()), camera())
    assert (picture == 90).all() and whole.shape[1] > 640


def test_boxes_are_drawn_at_their_pixels_in_their_colour_and_alerts_in_the_alert_colour() -> None:
    warning = Event(EventKind.FORWARD_COLLISION, "active", 1.0, 0.5, track_id=2, text="car ahead")
    picture = np.zeros((360, 640, 3), np.uint8)
    out = Painter(640, 360).draw(Frame(0, 1.0, picture), result(tracks(), events=(warning,)), camera())
    assert has_colour(out[195:205, 205:255], CLASS_COLOURS[CLASS_ID["car"]]).any()
    assert has_colour(out[205:215, 325:375], ALERT).any()
    assert not has_colour(out[195:205, 205:255], ALERT).any()


def test_tentative_tracks_are_not_shown() -> None:
    picture = np.zeros((360, 640, 3), np.uint8)
    hidden = tracks(state=np.full(2, TrackState.TENTATIVE))
    out = Painter(640, 360, birdseye=False).draw(Frame(0, 1.0, picture), result(hidden), camera())
    assert not has_colour(out, CLASS_COLOURS[CLASS_ID["car"]]).any()


def test_lane_lines_lie_where_the_camera_sees_them() -> None:
    line = LaneBoundary(np.array([1.7, 0.02, 1e-3]), np.eye(3), (3.0, 40.0), "solid", 0.9)
    (px,) = boundaries_px([line], camera())
    xy_m, valid = camera().ground_from_px(px)
    assert valid.all() and len(px) > 20
    np.testing.assert_allclose(xy_m[:, 1], line.y_m(xy_m[:, 0]), atol=1e-6)
    assert boundaries_px([], camera()) == []


def test_the_panel_is_to_scale_with_left_on_the_left() -> None:
    panel = BirdsEyePanel(640)
    ahead, further, left = panel.px_from_vehicle(np.array([[10.0, 0.0], [20.0, 0.0], [10.0, 5.0]]))
    assert ahead[1] - further[1] == pytest.approx(10 * panel.scale_px_per_m)
    assert ahead[0] - left[0] == pytest.approx(5 * panel.scale_px_per_m)


def test_an_object_is_painted_at_its_place_in_the_panel() -> None:
    panel = BirdsEyePanel(640)
    one = tracks(1, xy_m=np.array([[30.0, 4.0]]))
    image = np.empty((*panel.size_px[::-1], 3), np.uint8)
    panel.draw(image, np.zeros((360, 640, 3), np.uint8), result(one), camera(), np.zeros(1, bool))
    middle = np.rint(panel.px_from_vehicle(np.array([30.0 + 2.1, 4.0]))).astype(int)
    assert has_colour(image[middle[1] : middle[1] + 1, middle[0] : middle[0] + 1], CLASS_COLOURS[0]).all()


def test_footprints_start_at_the_nearest_face_and_turn_with_yaw() -> None:
    _, (straight, across) = outlines(
        tracks(2, xy_m=np.tile([20.0, 1.0], (2, 1)), yaw_rad=np.array([0.0, np.pi / 2])), 10.0
    )
    np.testing.assert_allclose(straight[:, 0].min(), 20.0)
    np.testing.assert_allclose(np.ptp(straight, axis=0), [4.2, 1.8], atol=1e-9)
    np.testing.assert_allclose(across[:, 0].min(), 20.0)
    np.testing.assert_allclose(np.ptp(across, axis=0), [1.8, 4.2], atol=1e-9)


def test_predictions_take_the_own_speed_off_absolute_velocities_only() -> None:
    both = tracks(2, absolute=np.array([True, False]), xy_m=np.zeros((2, 2)), v_mps=np.tile([4.0, 1.0], (2, 1)))
    np.testing.assert_allclose(predictions(both, 10.0), [[-12.0, 2.0], [8.0, 2.0]])
    np.testing.assert_allclose(predictions(both, float("nan")), [[0.0, 0.0], [8.0, 2.0]])


def test_labels_say_distance_and_sigma_and_nothing_they_do_not_know() -> None:
    seen = tracks(2, class_id=np.array([CLASS_ID["car"], CLASS_ID["traffic sign"]]))
    assert labels(seen) == ["car 12 m ±2.0", ""]
    assert labels(tracks(1, xy_m=np.full((1, 2), np.nan))) == ["car"]


def test_the_status_names_the_nearest_vehicle_in_the_lane() -> None:
    seen = tracks(3, xy_m=np.array([[40.0, 0.2], [25.0, -0.3], [10.0, 5.0]]), ttc_s=np.array([np.inf, 4.2, 1.0]))
    assert status_lines(result(seen)) == ["36 km/h", "ahead 25 m  TTC 4.2 s", "no lane"]
    assert status_lines(result(Tracks.empty(), Lanes(offset_m=-0.25)))[1:] == ["lane 0.25 m right"]


def test_text_width_grows_with_text_and_shade_is_clipped() -> None:
    assert 0 < text_width("12 m", 20) < text_width("12 m ±1.1", 20)
    image = np.zeros((10, 10, 3), np.uint8)
    shade(image, (-5, -5, 5, 5), "#FFFFFF", 1.0)
    assert (image[:5, :5] == 255).all() and not image[5:].any() and not image[:, 5:].any()


def test_a_picture_is_the_callers_until_he_lets_go_of_it() -> None:
    painter, picture = Painter(64, 48), np.full((48, 64, 3), 90, np.uint8)
    first = painter.draw(Frame(0, 1.0, picture), result(Tracks.empty()), camera(64, 48))
    held = first.copy()
    second = painter.draw(Frame(1, 1.1, np.zeros_like(picture)), result(Tracks.empty()), camera(64, 48))
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, held)
    address = first.ctypes.data
    del first
    third = painter.draw(Frame(2, 1.2, picture), result(Tracks.empty()), camera(64, 48))
    assert third.ctypes.data == address


def test_a_flat_ellipse_has_its_axes() -> None:
    cov = np.zeros((2, 4, 4))
    cov[:, :2, :2] = [[[9.0, 0.0], [0.0, 1.0]], [[1e-4, 0.0], [0.0, 1e-4]]]
    (wide, point), _ = outlines(tracks(2, xy_m=np.array([[20.0, 3.0], [5.0, 1.0]]), cov=cov), 10.0)
    np.testing.assert_allclose(np.ptp(wide, axis=0), [12.0, 4.0], rtol=0.02)
    np.testing.assert_allclose((wide.min(axis=0) + wide.max(axis=0)) / 2, [20.0, 3.0], atol=0.1)
    np.testing.assert_allclose(point, np.tile([5.0, 1.0], (len(point), 1)))


def test_an_ellipse_leans_as_its_covariance_does() -> None:
    cov = np.zeros((1, 4, 4))
    cov[0, :2, :2] = truth = np.array([[4.0, 1.5], [1.5, 2.0]])
    (outline,), _ = outlines(tracks(1, xy_m=np.zeros((1, 2)), cov=cov), 10.0)
    np.testing.assert_allclose(np.einsum("ki,ij,kj->k", outline, np.linalg.inv(truth), outline), 4.0)


def test_lines_of_any_length_are_drawn_as_one_by_one() -> None:
    lines = [np.array([[5.0, 5.0], [90.0, 40.0]]), np.array([[10.0, 60.0], [50.0, 20.0], [80.0, 90.0]])]
    colours, pictures = np.array([[255, 0, 0], [0, 200, 90]]), [np.zeros((100, 100, 3), np.uint8) for _ in range(2)]
    each, together = Strokes(), Strokes()
    for line, colour in zip(lines, colours, strict=True):
        each.add(line[None], [colour], 2.5)
    together.add_uneven(np.concatenate(lines), [2, 3], colours, 2.5)
    each.draw(pictures[0])
    together.draw(pictures[1])
    np.testing.assert_array_equal(*pictures)
    assert pictures[0].any()


def test_areas_are_tinted_where_opencv_fills_them() -> None:
    image = np.full((200, 300, 3), 100, np.uint8)
    bent = np.array([[20.0, 195.0], [60.0, 120.0], [140.0, 40.0], [160.0, 40.0], [280.0, 195.0]])
    tint(image, [bent, np.array([[-30.0, -20.0], [15.5, -20.0], [15.5, 10.5], [-30.0, 10.5]])], bgrs(WHITE, ALERT), 0.5)
    expected = np.zeros((200, 300), np.uint8)
    cv2.fillPoly(expected, [bent.astype(np.int32)], 1)
    tinted, square = image[..., 0] == 178, np.ones((3, 3), np.uint8)
    assert tinted[cv2.erode(expected, square) > 0].all() and not tinted[cv2.dilate(expected, square) == 0].any()
    corner = np.array(bgr(ALERT)) / 2 + 50
    np.testing.assert_allclose(image[:11, :16], np.broadcast_to(corner, (11, 16, 3)), atol=1)
    assert (image[12:30, :16] == 100).all() and (image[:11, 17:100] == 100).all()
    outside = np.full((20, 20, 3), 7, np.uint8)
    tint(outside, [bent + 500], bgrs(WHITE), 0.5)
    assert (outside == 7).all()


def bgrs(*colours: str) -> np.ndarray:
    return np.array([bgr(colour) for colour in colours])


@pytest.mark.parametrize("turn", [0.0, 0.3, 0.8, 1.4, 2.2, 3.0])
def test_a_stroke_has_its_width_its_length_and_soft_edges(turn: float) -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    along = np.array([np.cos(turn), np.sin(turn)])
    lines = Strokes()
    lines.add(np.array([[100.0 - 60 * along, 100.0 + 60 * along]]), [(255, 255, 255)], 4.0)
    lines.draw(image)
    share = image[..., 0] / 255
    assert share.sum() == pytest.approx(4 * 120 + np.pi * 4, rel=0.02), "its area with two half discs"
    y, x = np.mgrid[:200, :200] - 100.0
    across = np.abs(x * along[1] - y * along[0])
    inside = np.abs(x * along[0] + y * along[1]) < 58
    np.testing.assert_allclose(share[inside], np.clip(2.5 - across, 0, 1)[inside], atol=0.02)


def test_strokes_are_clipped_and_broken_where_points_are_unknown() -> None:
    image = np.zeros((50, 60, 3), np.uint8)
    lines = Strokes()
    lines.add(
        np.array([[[-500.0, 25.0], [30.0, 25.0], [np.nan, 25.0], [40.0, 25.0], [4000.0, 25.0]]]), [(9, 9, 9)], 1.0
    )
    lines.add(np.array([[[-9.0, -9.0], [-5.0, 70.0]], [[1e7, 1e9], [1e8, 1e9]]]), [(9, 9, 9)] * 2, 3.0)
    lines.draw(image)
    assert (image[25, :31] == 9).all() and not image[25, 32:39].any() and (image[25, 40:] == 9).all()
    image[25] = 0
    assert not image.any()
    Strokes().draw(image)


def test_boxes_are_framed_inwards_and_clipped() -> None:
    image = np.zeros((40, 50, 3), np.uint8)
    frame_boxes(image, np.array([[10.9, 5.0, 30.0, 20.0], [-20.0, 30.0, 70.0, 90.0]]), bgrs(WHITE, ALERT), 2)
    expected = np.zeros_like(image)
    cv2.rectangle(expected, (10, 5), (30, 20), bgr(WHITE))
    cv2.rectangle(expected, (11, 6), (29, 19), bgr(WHITE))
    expected[30:32] = bgr(ALERT)
    np.testing.assert_array_equal(image, expected)


def test_a_sprite_does_what_its_painter_does() -> None:
    rng = np.random.default_rng(2)
    ground = rng.integers(0, 256, (30, 90, 3), dtype=np.uint8)

    def paint(image: np.ndarray) -> None:
        shade(image, (0, 0, 80, 20), ALERT, 0.7)
        put_text(image, "12 m", (4, 22), 20)

    painted, laid = ground.copy(), ground.copy()
    paint(painted)
    Sprite.of(90, 30, paint).lay(laid, 0, 0)
    assert np.abs(painted.astype(int) - laid).max() <= 2
    for left, top in ((-40, -10), (70, 20), (200, 0), (0, -30)):
        whole, part = np.zeros((90, 270, 3), np.uint8), np.zeros((30, 90, 3), np.uint8)
        Sprite.of(90, 30, paint).lay(part, left, top)
        paint(whole[max(30 + top, 0) :, max(90 + left, 0) :]) if left < 90 else None
        np.testing.assert_allclose(part, whole[30:60, 90:180], atol=1)


def test_text_laid_down_is_text_written() -> None:
    written, laid = (np.full((40, 200, 3), 60, np.uint8) for _ in range(2))
    put_text(written, "lane 0.31 m left", (10, 28), 20, weight=600)
    lay_text(laid, "lane 0.31 m left", (10, 28), 20, weight=600)
    np.testing.assert_allclose(laid, written, atol=2)


def test_outlines_stand_where_the_bodies_do() -> None:
    seen = tracks(3, yaw_rad=np.array([0.1, -0.7, 2.0]))
    _, feet = outlines(seen, 10.0)
    np.testing.assert_allclose(feet, corners(bodies(seen))[:, :4, :2], atol=1e-12)


def test_a_trail_leads_to_where_the_object_is_and_is_forgotten_after_its_time() -> None:
    trail = _Trail()
    line = [trail.go_on(0.1 * k, (k, 160 * k)) for k in range(40)][-1]
    assert line[-2:].tolist() == [39, 160 * 39] and line[:2].tolist() == [19, 160 * 19]
    still = _Trail()
    for k in range(10):
        last = still.go_on(0.1 * k, (0.2 * k, 0.0))
    np.testing.assert_allclose(last, [0, 0, 1.8, 0])
    assert len(still.go_on(9.0, ())) == 0
