"""The tracker: identities on made-up worlds, robustness by properties, time in seconds, errors."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geometry.errors import InputError
from perception.types import CLASS_ID, Detections
from tracking.config import TrackerConfig
from tracking.table import ID, PP, PV, VV
from tracking.tracker import Tracker
from tracking.types import EgoMotion, TrackState

CAR, TRUCK, PERSON = (CLASS_ID[name] for name in ("car", "truck", "person"))


def found(boxes: object, score: object = 0.9, class_id: object = CAR) -> Detections:
    xyxy = np.asarray(boxes, float).reshape(-1, 4)
    count = len(xyxy)
    return Detections(xyxy, np.broadcast_to(score, count), np.broadcast_to(class_id, count))


def moving(t_s: float) -> np.ndarray:
    """Three cars: one overtakes from the left, one comes nearer, one stands."""
    a = [100 + 60 * t_s, 200, 220 + 60 * t_s, 290]
    grow = 1 + 0.15 * t_s
    b = [600 - 40 * grow, 220 - 10 * grow, 600 + 40 * grow, 220 + 50 * grow]
    c = [900, 210, 980, 260]
    return np.array([a, b, c])


def run(tracker: Tracker, times: np.ndarray, *, noise: float = 0.0, seed: int = 0) -> list[dict[int, int]]:
    """Which identity each of the three cars has in each frame."""
    rng = np.random.default_rng(seed)
    seen = []
    for t_s in times:
        boxes = moving(t_s) + rng.normal(0, noise, (3, 4))
        tracks = tracker.update(found(boxes), float(t_s))
        seen.append({int(d): int(i) for d, i in zip(tracks.detection, tracks.track_id, strict=True) if d >= 0})
    return seen


@pytest.mark.parametrize("fps", [5.0, 10.0, 25.0, 60.0])
def test_one_identity_each_at_any_frame_rate(fps: float) -> None:
    seen = run(Tracker(), np.arange(0, 4, 1 / fps), noise=1.0)
    settled = seen[len(seen) // 4 :]
    assert all(set(frame) == {0, 1, 2} for frame in settled)
    assert all(frame == settled[0] for frame in settled)


def test_variable_rate_and_dropped_frames_keep_identities() -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.choice([0.02, 0.04, 0.1, 0.3], 60))
    settled = run(Tracker(), times, noise=1.0)[20:]
    assert all(frame == settled[0] for frame in settled)


def test_tracks_are_confirmed_within_half_a_second_at_any_rate() -> None:
    for fps in (5.0, 10.0, 30.0, 60.0):
        tracker = Tracker()
        first = next(t for t in np.arange(0, 2, 1 / fps) if len(tracker.update(found(moving(t), 0.8), float(t))) == 3)
        assert first <= 0.5 + 1 / fps


def test_identity_survives_an_occlusion_of_a_second() -> None:
    tracker = Tracker()
    before = after = None
    for t_s in np.arange(0, 5, 0.1):
        boxes = moving(t_s)
        hidden = 2.0 <= t_s < 3.0
        tracks = tracker.update(found(boxes[1:] if hidden else boxes), float(t_s))
        if t_s < 2.0 and len(tracks) == 3:
            before = tracks.track_id[tracks.detection == 0][0]
        if t_s > 3.5:
            after = tracks.track_id[tracks.detection == 0][0]
    assert before is not None and before == after


def test_a_lost_track_coasts_a_while_and_is_marked_then_is_gone() -> None:
    tracker = Tracker()
    for t_s in np.arange(0, 2, 0.1):
        tracks = tracker.update(found(moving(t_s)), float(t_s))
    assert (tracks.state == TrackState.CONFIRMED).all() and (tracks.unseen_s == 0).all()
    states = []
    for t_s in np.arange(2, 8, 0.1):
        tracks = tracker.update(Detections.empty(), float(t_s))
        states.append(len(tracks))
        assert (tracks.state == TrackState.COASTING).all() and (tracks.detection == -1).all()
        assert (tracks.unseen_s > 0).all()
    assert states[-1] == 0 and len(tracker) == 0
    assert sorted(states, reverse=True) == states


def test_class_flicker_neither_cuts_a_track_nor_changes_its_class() -> None:
    tracker = Tracker()
    ids, classes = set(), set()
    for k in range(60):
        t_s = k / 10
        flicker = np.array([TRUCK if k % 4 == 3 else CAR, CAR, CAR])
        tracks = tracker.update(found(moving(t_s), 0.9, flicker), t_s)
        if k > 10:
            ids |= set(tracks.track_id.tolist())
            classes |= set(tracks.class_id.tolist())
    assert len(ids) == 3 and classes == {CAR}


def test_a_person_never_continues_a_car() -> None:
    tracker = Tracker()
    for k in range(20):
        cars = tracker.update(found(moving(1.0)), k / 10)
    for k in range(20, 40):
        people = tracker.update(found(moving(1.0), 0.9, PERSON), k / 10)
    seen = people.detection >= 0
    assert set(people.class_id[seen].tolist()) == {PERSON}
    assert not set(people.track_id[seen].tolist()) & set(cars.track_id.tolist())


def test_crossing_people_keep_their_identities() -> None:
    tracker = Tracker()
    ids = []
    for t_s in np.arange(0, 4, 0.1):
        left, right = 100 + 50 * t_s, 300 - 50 * t_s
        boxes = np.array([[left, 200, left + 40, 300], [right, 206, right + 40, 306]])
        tracks = tracker.update(found(boxes, 0.9, PERSON), float(t_s))
        if t_s > 0.6:
            ids.append(tracks.track_id[np.argsort(tracks.detection)][-2:].tolist())
    assert all(pair == ids[0] for pair in ids)


def test_a_turn_of_the_camera_is_taken_out() -> None:
    ids = {True: set(), False: set()}
    for told in ids:
        tracker, shift = Tracker(), 0.0
        for k in range(40):
            jump = 90.0 if k >= 20 and k % 2 == 0 else 0.0  # farther than half a box, in no steady direction
            jump *= 1 if k % 4 == 0 else -1
            shift += jump
            H = np.array([[1.0, 0.0, jump], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
            ego = EgoMotion(image_from_previous=H) if told else None
            box = [400 + shift, 200, 470 + shift, 260]
            ids[told] |= set(tracker.update(found([box]), k / 10, ego=ego).track_id.tolist())
    assert len(ids[True]) == 1 < len(ids[False])


def test_reported_boxes_are_near_the_detected_ones_and_nearer_the_truth() -> None:
    rng = np.random.default_rng(0)
    tracker, raw, reported = Tracker(), [], []
    for t_s in np.arange(0, 12, 0.1):
        truth = moving(t_s)
        boxes = truth + rng.normal(0, 3.0, (3, 4))
        tracks = tracker.update(found(boxes), float(t_s))
        seen = tracks.detection >= 0
        if t_s > 1:
            raw.append(boxes[tracks.detection[seen]] - truth[tracks.detection[seen]])
            reported.append(tracks.xyxy_px[seen] - truth[tracks.detection[seen]])
    assert np.concatenate(reported).std() < 0.95 * np.concatenate(raw).std()


def test_without_camera_metric_columns_are_nan() -> None:
    tracker = Tracker()
    for k in range(10):
        tracks = tracker.update(found(moving(0.1 * k)), 0.1 * k)
    assert len(tracks) == 3
    for name in ("xy_m", "v_mps", "cov", "size_m", "yaw_rad", "ttc_s"):
        assert np.isnan(getattr(tracks, name)).all()
    assert not tracks.absolute.any()


@pytest.mark.parametrize(
    ("detections", "t_s", "says"),
    [
        (found([[0, 0, np.nan, 9]]), 1.0, "box of detection 0"),
        (found([[0, 0, np.inf, 9]]), 1.0, "box of detection 0"),
        (found([[0, 0, 9, 9], [0, 0, 9, 9]], [0.5, np.nan]), 1.0, "score of detection 1"),
        (found([[0, 0, 9, 9]], 1.5), 1.0, "score of detection 0"),
        (found([[0, 0, 9, 9]], 0.5, 99), 1.0, "class of detection 0"),
        (found([[0, 0, 9, 9]]), math.nan, "frame time"),
        (found([[0, 0, 9, 9]]), 0.4, "runs back"),
    ],
)
def test_what_cannot_be_is_an_error_that_leaves_the_tracker_usable(
    detections: Detections, t_s: float, says: str
) -> None:
    tracker = Tracker()
    tracker.update(found(moving(0.5)), 0.5)
    with pytest.raises(InputError, match=says):
        tracker.update(detections, t_s)
    for k in range(10, 30):
        tracks = tracker.update(found(moving(k / 10)), k / 10)
    assert len(tracks) == 3


@pytest.mark.parametrize(
    "wrong", [{"noise": 0.0}, {"show": 1.5}, {"widen": math.nan}, {"stay_s": -1.0}, {"birth_odds": 0.0}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        TrackerConfig(**wrong)


number = st.floats(-2000, 4000, width=32)
score = st.one_of(st.floats(0, 1), st.just(math.nan))
row = st.tuples(number, number, number, number, score, st.integers(-1, 10))
frame = st.tuples(st.lists(row, max_size=8), st.sampled_from([-0.1, 0.0, 1e-9, 0.03, 0.1, 0.5, 20.0]), st.booleans())


def check_valid(tracker: Tracker) -> None:
    data = tracker._table.data
    assert np.isfinite(data).all()
    assert len(np.unique(data[:, ID])) == len(data)
    pp, pv, vv = data[:, PP], data[:, PV], data[:, VV]
    assert (pp > 0).all() and (vv > 0).all() and (pp * vv - pv * pv > 0).all()


@given(st.lists(frame, max_size=25))
@settings(max_examples=150, deadline=None)
def test_any_sequence_ends_in_a_clear_error_or_a_valid_state(frames: list) -> None:
    tracker, t_s, everyone = Tracker(), 0.0, set()
    for rows, dt_s, twice in frames:
        table = np.array(rows, float).reshape(-1, 6)
        if twice:
            table = np.concatenate([table, table])
        t_s += dt_s
        try:
            tracks = tracker.update(Detections(table[:, :4], table[:, 4], table[:, 5].astype(int)), t_s)
        except InputError as error:
            assert "\n" not in str(error)
            t_s = max(t_s, tracker._t_s or 0.0)
            continue
        finally:
            check_valid(tracker)
        assert len(set(tracks.track_id.tolist())) == len(tracks)
        assert np.isfinite(tracks.xyxy_px).all() and (tracks.xyxy_px[:, 2:] > tracks.xyxy_px[:, :2]).all()
        assert (np.unique(tracks.detection[tracks.detection >= 0]) < len(table)).all()
        everyone |= set(tracks.track_id.tolist())
    assert all(i > 0 for i in everyone)


@pytest.mark.slow
def test_no_growth_over_a_hundred_thousand_frames() -> None:
    rng = np.random.default_rng(0)
    tracker, most = Tracker(), 0
    pool = [rng.uniform(0, 1000, (int(n), 2)) for n in rng.integers(0, 6, 500)]
    boxes = [found(np.concatenate([low, low + 60], axis=1), 0.7) for low in pool]
    for k in range(100_000):
        tracker.update(boxes[k % 500], 0.05 * k)
        most = max(most, len(tracker))
    assert most < 400  # five a frame, none kept longer than the longest memory
    check_valid(tracker)
    assert tracker._scores._count.sum() <= 25_000


def clutter(rng: np.random.Generator, count: int = 6) -> np.ndarray:
    low = rng.uniform([0, 0], [1100, 150], (count, 2))
    return np.concatenate([low, low + rng.uniform(30, 60, (count, 2))], axis=1)


@pytest.mark.parametrize("cluttered", [False, True])
def test_where_middling_scores_come_and_go_a_persistent_one_is_not_believed_either(cluttered: bool) -> None:
    rng, tracker, ids = np.random.default_rng(6), Tracker(), set()
    for k in range(120):
        cars, false = moving(2.0), clutter(rng) if cluttered else np.empty((0, 4))
        score = np.concatenate([[0.999, 0.999, 0.8], np.full(len(false), 0.5)])  # the third: steady, never sure
        tracks = tracker.update(found(np.concatenate([cars, false]), score), k / 10)
        if k > 60:
            ids |= set(tracks.detection.tolist())
    assert {0, 1} <= ids
    assert (2 in ids) is not cluttered


def test_a_box_that_was_half_hidden_and_comes_out_again_does_not_run_away() -> None:
    """A truck behind a car that cuts in, 25 frames a second: its foot goes, comes back at once, and it hardly grows."""
    going, hidden, back = [75, 73, 71, 63, 46, 39], [38] * 5 + [42, 41, 43, 47], [80, 79, 85, 86, 89, 90]
    top, height = np.linspace(237, 222, 66), np.concatenate([np.linspace(51, 75, 66), going, hidden, back])
    top = np.concatenate([top, [222, 222, 222, 220, 220, 220], np.linspace(220, 216, 9), np.linspace(216, 213, 6)])
    top = np.concatenate([top, np.linspace(213, 203, 20)])
    height = np.concatenate([height, np.linspace(90, 105, 20)])
    tracker = Tracker()
    for index, (y_px, h_px) in enumerate(zip(top, height, strict=True)):
        box = np.array([530.0, y_px, 600.0, y_px + h_px])
        tracks = tracker.update(found(box, 0.9 if h_px > 70 else 0.5, TRUCK), index / 25.0)
        if index > 90:
            assert len(tracks) == 1
            np.testing.assert_allclose(tracks.xyxy_px[0], box, atol=15.0)
