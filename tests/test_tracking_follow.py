"""Boxes followed in the picture, alone and in the tracker between detector frames."""

import cv2
import numpy as np
import pytest

from perception.types import Detections
from tracking.follow import BoxFollower
from tracking.tracker import Tracker


def world(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ground = cv2.GaussianBlur(rng.integers(60, 120, (400, 900, 3), dtype=np.uint8), (0, 0), 3)
    patch = cv2.GaussianBlur(rng.integers(0, 255, (120, 160, 3), dtype=np.uint8), (0, 0), 2)
    return ground, cv2.normalize(patch, None, 0, 255, cv2.NORM_MINMAX)


def picture(x: float, y: float, size: float) -> tuple[np.ndarray, np.ndarray]:
    """A textured object at (x, y) scaled by ``size``, and its box."""
    ground, patch = world()
    A = np.float32([[size, 0, x], [0, size, y]])
    shown = cv2.warpAffine(patch, A, (900, 400))
    mask = cv2.warpAffine(np.full(patch.shape, 255, np.uint8), A, (900, 400))
    return np.where(mask > 127, shown, ground), np.array([x, y, x + 160 * size, y + 120 * size])


def tracks_of(tracker: Tracker, box: np.ndarray, t_s: float):
    return tracker.update(Detections(box[None], [0.95], [0]), t_s)


@pytest.mark.parametrize(("dx", "dy", "growth"), [(9.0, -3.0, 1.0), (-14.5, 2.0, 1.06), (3.0, 0.0, 0.95)])
def test_shift_and_growth_of_a_box_are_found(dx: float, dy: float, growth: float) -> None:
    first, box = picture(300, 120, 1.0)
    second, truth = picture(300 + dx, 120 + dy, growth)
    tracker, follower = Tracker(), BoxFollower()
    for k in range(10):
        tracks = tracks_of(tracker, box, 0.1 * k)
    assert len(follower.step(first, tracks)) == 0  # nothing to compare with yet
    moved = follower.step(second, tracks)
    np.testing.assert_allclose(moved.xyxy_px[0], truth, atol=1.5)


def test_a_blank_picture_gives_no_box() -> None:
    tracker, follower = Tracker(), BoxFollower()
    for k in range(10):
        tracks = tracks_of(tracker, np.array([300.0, 120.0, 460.0, 240.0]), 0.1 * k)
    blank = np.full((400, 900, 3), 128, np.uint8)
    follower.step(blank, tracks)
    assert len(follower.step(np.roll(blank, 3), tracks)) <= 1
    assert len(follower.step(np.zeros((200, 300, 3), np.uint8), tracks)) == 0


def test_following_beats_coasting_between_detector_frames() -> None:
    errors = {}
    for follow in (True, False):
        tracker, follower, wrong, ids = Tracker(), BoxFollower(), [], set()
        tracks = tracks_of(tracker, picture(100, 100, 1.0)[1], 0.0)
        for k in range(1, 60):
            x = 200 + 90 * np.sin(k / 6)
            image, box = picture(x, 100, 1.0)
            followed = follower.step(image, tracks)
            if k % 5 == 0 or k < 8:
                tracks = tracks_of(tracker, box, 0.1 * k)
            else:
                given = followed if follow else Detections.empty()
                tracks = tracker.update(given, 0.1 * k, detected=False)
            if k > 20:
                assert len(tracks) == 1  # a frame that nobody looked at is no miss
                wrong.append(abs(tracks.xyxy_px[0] - box).max())
                ids |= set(tracks.track_id.tolist())
        assert len(ids) == 1
        errors[follow] = float(np.mean(wrong))
    assert errors[True] < 0.5 * errors[False]
