"""What the tracker makes of past observations: re-update, velocity direction, score-aware noise, leaving the frame."""

import numpy as np
import pytest

from perception.types import CLASS_ID, Detections
from tracking import life_kernels
from tracking.assign import contested
from tracking.config import TrackerConfig
from tracking.direction import direction_likeness, moved_anchors
from tracking.kalman import predict_axes, update_axes
from tracking.reupdate import reupdated
from tracking.table import BOX, KEPT_S, LAST, PP, PRESENT, PV, RATE, SCORE, VV, WIDTH
from tracking.tracker import Tracker
from tracking.types import EgoMotion

CAR = CLASS_ID["car"]


def found(boxes: object, score: object = 0.9) -> Detections:
    xyxy = np.asarray(boxes, float).reshape(-1, 4)
    return Detections(xyxy, np.broadcast_to(score, len(xyxy)), np.full(len(xyxy), CAR))


def car(x: float, y: float = 200.0, half: float = 30.0) -> list[float]:
    return [x - half, y - 20, x + half, y + 20]


# -- re-update --------------------------------------------------------------------------------------------------------


def gap_state(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random kept states, their last observations, and variances of observations."""
    rng = np.random.default_rng(seed)
    kept = np.zeros((count, 20))
    kept[:, BOX] = np.column_stack([rng.uniform(0, 1000, (count, 2)), rng.uniform(40, 120, (count, 2))])
    kept[:, RATE] = rng.normal(0, 60, (count, 4))
    kept[:, PP], kept[:, PV], kept[:, VV] = 4.0, 6.0, 400.0
    return kept, kept[:, BOX] + rng.normal(0, 1, (count, 4)), np.full((count, 4), 4.0)


def test_a_path_seen_again_is_the_same_filter_run_on_virtual_observations_one_by_one() -> None:
    kept, first, r = gap_state(7)
    rng = np.random.default_rng(1)
    gap_s = np.array([0.1, 0.2, 0.25, 0.5, 0.9, 1.3, 2.0])
    last, noise = first + rng.normal(0, 40, (7, 4)), rng.uniform(50, 500, (7, 4))
    got = reupdated(kept, (first, last), gap_s, r, noise)
    for row, steps in enumerate([1, 2, 3, 5, 9, 13, 20]):
        one = kept[row : row + 1].copy()
        p, v, cov = one[:, BOX], one[:, RATE], (one[:, PP], one[:, PV], one[:, VV])
        for k in range(1, steps + 1):
            predict_axes(p, v, cov, gap_s[row] / steps, noise[row])
            p, v, cov = update_axes(p, v, cov, first[row] + (last[row] - first[row]) * k / steps, r[:1])
        np.testing.assert_allclose(got[row], np.concatenate([p, v, *cov], axis=1)[0], atol=1e-9)


def hidden_car(reupdate: bool) -> tuple[float, float]:
    """Speed believed just after a gap, of a car whose apparent speed was wrong as it disappeared; and the true one."""
    tracker = Tracker(TrackerConfig(reupdate=reupdate, hide_s=1.0))
    true_speed = 80.0
    for k in range(17):
        t_s = 0.1 * k
        if 10 < k < 16:
            tracker.update(Detections.empty(), t_s)
            continue
        x = 200 + true_speed * t_s
        if 7 <= k <= 10:  # a bad run of boxes: as if it braked
            x -= 3.0 * (k - 6)
        tracks = tracker.update(found([car(x)]), t_s)
    assert len(tracker) == 1 and tracks.detection.tolist() == [0]
    return float(tracker._table.data[0, RATE][0]), true_speed


def test_after_a_gap_the_velocity_is_that_of_the_path_not_the_wrong_one_kept_through_it() -> None:
    speed, true_speed = hidden_car(reupdate=True)
    path = (true_speed * 0.6 + 12.0) / 0.6  # from the last, wrong, observation to the new one
    assert speed == pytest.approx(path, rel=0.06)
    wrong, _ = hidden_car(reupdate=False)
    assert abs(speed - path) < 0.5 * abs(wrong - path)


def test_a_track_seen_in_every_frame_is_not_touched() -> None:
    rates = []
    for reupdate in (True, False):
        tracker = Tracker(TrackerConfig(reupdate=reupdate))
        for k in range(30):
            tracker.update(found([car(100 + 5 * k)]), 0.04 * k)
        rates.append(tracker._table.data[:, RATE].copy())
    np.testing.assert_array_equal(*rates)


def test_frames_that_were_followed_are_no_gap() -> None:
    tracker = Tracker(TrackerConfig(reupdate=True))
    for k in range(20):
        tracker.update(found([car(100 + 5 * k)]), 0.1 * k, detected=k % 3 == 0)
    assert tracker._table.data[0, KEPT_S] == pytest.approx(1.9)


def test_the_last_observation_moves_along_with_the_picture() -> None:
    tracker, shift = Tracker(TrackerConfig(reupdate=True, direction=0.2)), np.eye(3)
    shift[:2, 2] = 12.0, -3.0
    tracker.update(found([car(300)]), 0.0)
    for k in range(1, 4):
        tracker.update(Detections.empty(), 0.1 * k, ego=EgoMotion(image_from_previous=shift))
    np.testing.assert_allclose(tracker._table.data[0, LAST], [300 + 36, 200 - 9, 60, 40], atol=1e-9)


# -- velocity direction -----------------------------------------------------------------------------------------------


def test_direction_is_half_straight_on_zero_across_minus_half_back_and_nothing_within_the_noise() -> None:
    heading = np.array([[10.0, 0.0]] * 5)
    step = np.array([[7.0, 0.0], [0.0, -7.0], [-7.0, 0.0], [7.0, 7.0], [0.0, 0.0]])
    exact = np.zeros(5)
    np.testing.assert_allclose(direction_likeness(heading, step, (exact, exact)), [0.5, 0, -0.5, 0.25, 0], atol=1e-12)
    doubtful = direction_likeness(heading[:1], step[:1], (np.array([100.0]), np.array([49.0])))
    assert doubtful[0] == pytest.approx(0.5 * 0.5 * 0.5)  # as much signal as noise in both


@pytest.mark.parametrize("fps", [5.0, 10.0, 30.0, 60.0])
def test_the_older_anchor_is_one_to_two_periods_old_at_any_rate(fps: float) -> None:
    anchors, period = np.zeros((1, 6)), 0.3
    for k in range(1, 200):
        t_s = k / fps
        anchors = moved_anchors(anchors, np.array([[t_s, -t_s]]), t_s, period)
        assert anchors[0, 0] == anchors[0, 2] == -anchors[0, 1]
        if t_s > 1.0:
            assert period - 1e-6 <= t_s - anchors[0, 2] <= 2 * period + 1 / fps + 1e-6


def crossed(direction: float, flipped: bool) -> bool:
    """Two cars that met in one place, where their filters know no velocity: does each keep its number?"""
    tracker = Tracker(TrackerConfig(direction=direction, mahalanobis=0.0))
    for k in range(12):
        tracks = tracker.update(found([car(300 + 5.0 * k), car(500 - 5.0 * k)]), 0.1 * k)
    from_left, from_right = (int(tracks.track_id[tracks.detection == d][0]) for d in (0, 1))
    data = tracker._table.data
    data[:, BOX] = data[:, LAST] = [400, 200, 60, 40]
    data[:, RATE] = 0.0
    places = np.array([410.0, 390.0])  # the one from the left goes on to the right: both overlap both alike
    tracks = tracker.update(found([car(x) for x in places[:: -1 if flipped else 1]]), 1.2)
    return tracks.track_id[np.argsort(-tracks.xyxy_px[:, 0])].tolist() == [from_left, from_right]


def test_crossing_tracks_of_equal_overlap_are_told_apart_by_their_direction() -> None:
    assert crossed(0.2, flipped=False) and crossed(0.2, flipped=True)
    assert not (crossed(0.0, flipped=False) and crossed(0.0, flipped=True))


def test_contested_pairs_are_those_with_a_rival() -> None:
    pairs = np.array([0, 0, 1, 2, 2, 3]), np.array([0, 1, 1, 2, 3, 4])
    gain = np.array([0.5, 0.2, 0.4, 0.3, -0.1, 0.6])
    assert contested(pairs, gain, (4, 5)).tolist() == [0, 1, 2]
    assert len(contested(pairs, -np.abs(gain), (4, 5))) == 0


# -- score-aware noise ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "score", "factor"), [(1.0, 0.6, 0.4), (0.5, 0.8, 0.6), (1.0, 1.0, 0.05), (0, 0.9, 1)]
)
def test_score_aware_noise_is_the_closed_form(share: float, score: float, factor: float) -> None:
    config = TrackerConfig(score_noise=share)
    tracker = Tracker(config)
    first, second, dt_s = np.array([300.0, 200, 60, 40]), np.array([309.0, 200, 60, 40]), 0.1
    corners = [[b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2] for b in (first, second)]
    tracker.update(found(corners[0], 0.9), 0.0)
    tracker.update(found(corners[1], score), dt_s)
    r = (config.noise * 60) ** 2
    vv, q = (config.speed * 60) ** 2, (config.acceleration * 60) ** 2
    pp = r + vv * dt_s**2 + q * dt_s**3 / 3  # a new track's variance is that of its detection
    row = tracker._table.data[0]
    assert row[SCORE] == pytest.approx(score)
    assert row[BOX][0] == pytest.approx(300 + 9 * pp / (pp + r * factor), abs=1e-4)  # scores are float32
    assert row[PP][0] == pytest.approx(pp * r * factor / (pp + r * factor), rel=1e-4)


# -- leaving the frame ------------------------------------------------------------------------------------------------


def leaving(box: np.ndarray, rate: np.ndarray, inside: float) -> list[bool]:
    """Of probable tracks that were not seen in this frame, in a picture of 100 by 60."""
    data = np.zeros((len(box), WIDTH))
    data[:, BOX], data[:, RATE], data[:, PRESENT], data[:, KEPT_S] = box, rate, 1.0, -0.1
    return (~life_kernels.kept(data, 0.0, 0.02, 2.5, (100.0, 60.0, inside))).tolist()


def test_leaving_is_mostly_outside_and_moving_further_out() -> None:
    box = np.array([[5.0, 50, 40, 20], [5, 50, 40, 20], [-10, 50, 40, 20], [-10, 50, 40, 20], [90, 56, 40, 20]])
    rate = np.zeros((5, 4))
    rate[:, 0] = [-9.0, 9.0, -9.0, 9.0, 0.0]
    rate[4, 1] = 5.0  # below the lower edge, going down
    assert leaving(box, rate, 0.5) == [False, False, True, False, False]
    box[4, 1] = 62.0
    assert leaving(box, rate, 0.5) == [False, False, True, False, True]
    assert not any(leaving(box, rate, 0.0))


@pytest.mark.parametrize("speed", [150.0, 0.0])
def test_a_track_that_leaves_the_picture_is_forgotten_sooner_than_by_time(speed: float) -> None:
    kept_s = {}
    for size_px in ((640, 400), None):
        tracker = Tracker(TrackerConfig(leave_inside=0.5), size_px=size_px)
        for k in range(20):
            tracker.update(found([car(600 - 0.1 * speed * (19 - k))]), 0.1 * k)
        for k in range(20, 80):
            tracker.update(Detections.empty(), 0.1 * k)
            if not len(tracker):
                break
        kept_s[size_px] = 0.1 * (k - 19)
    if speed:
        assert kept_s[640, 400] < 0.6 < 1.2 < kept_s[None]
    else:
        assert kept_s[640, 400] == kept_s[None]


# -- what likeness is asked of -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("score", "joined"), [(0.4, False), (0.998, True)])
def test_a_poor_box_beside_a_sure_object_is_not_taken_for_it(score: float, joined: bool) -> None:
    at = {}
    for drop in (0.0, 0.4):
        tracker = Tracker(TrackerConfig(score_drop=drop, again_widen=0.0))
        for k in range(12):
            tracker.update(found([car(300)], 0.999), 0.1 * k)
        tracker.update(found([car(322)], score), 1.2)  # overlaps by less than a half
        at[drop] = tracker._table.data[0, BOX][0]
    assert at[0.0] > 305.0
    assert bool(at[0.4] > 305.0) is joined


@pytest.mark.parametrize(("widen", "kept"), [(0.0, False), (0.3, True)])
def test_what_stopped_out_of_sight_is_found_where_it_was_last_observed(widen: float, kept: bool) -> None:
    tracker = Tracker(TrackerConfig(again_widen=widen))
    for k in range(15):
        tracks = tracker.update(found([car(100 + 15.0 * k)], 0.95), 0.1 * k)
    before = tracks.track_id.tolist()
    for k in range(15, 21):
        tracker.update(Detections.empty(), 0.1 * k)
    assert abs(tracker._table.data[0, BOX][0] - tracker._table.data[0, LAST][0]) > 70  # gone on as it went
    for k in range(21, 26):
        tracks = tracker.update(found([car(310)], 0.95), 0.1 * k)
    assert len(before) == 1
    assert (tracks.track_id[tracks.detection == 0].tolist() == before) is kept
