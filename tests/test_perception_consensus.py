"""What dropped boxes say of kept ones: means and supports by hand, and what they are good for."""

import numpy as np
import pytest

from geometry.boxes import iou
from perception.consensus import Oversize, Support, overlaps, support, vote
from perception.nms import nms

# Box 1 overlaps box 0 by 90 / 110, box 2 by 60 / 140 only, box 3 is of another class.
XYXY = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [4, 0, 14, 10], [0, 0, 10, 10]], np.float64)
SCORE = np.array([0.8, 0.6, 0.7, 0.9])
KIND = np.array([0, 0, 0, 1])
KEPT = np.array([3, 0])


def test_overlaps_are_those_of_the_geometry() -> None:
    rng = np.random.default_rng(1)
    xyxy = np.concatenate([corner := rng.uniform(0, 90, (60, 2)), corner + rng.uniform(1, 40, (60, 2))], axis=1)
    kind, rows = rng.integers(0, 3, 60), rng.permutation(60)[:20]
    wanted = np.where(kind[rows][:, None] == kind, iou(xyxy[rows], xyxy), 0.0)
    np.testing.assert_allclose(overlaps(xyxy, kind, rows), wanted, atol=1e-12)


def test_votes_by_hand() -> None:
    overlap = overlaps(XYXY, KIND, KEPT)
    assert overlap == pytest.approx(np.array([[0, 0, 0, 1], [1, 90 / 110, 60 / 140, 0]]))
    share = 0.6 * 9 / 11 / (0.8 + 0.6 * 9 / 11)
    voted = vote(overlap, XYXY, SCORE, KEPT, np.full(2, 0.6))
    assert voted == pytest.approx(np.array([[0, 0, 10, 10], [share, 0, 10 + share, 10]]))


def test_support_by_hand() -> None:
    # Box 1 has 3/4 of the score of box 0, half way from "nothing to say" to "the same".
    overlap = overlaps(XYXY, KIND, KEPT)
    assert support(overlap, SCORE, KEPT, np.full(2, 0.6)) == pytest.approx([1.0, 1.0 + 0.5 * 9 / 11])


def test_nothing_found_has_neither() -> None:
    none, rows = np.empty((0, 4)), np.empty(0, int)
    overlap = overlaps(none, rows, rows)
    assert vote(overlap, none, np.empty(0), rows, np.empty(0)).shape == (0, 4)
    assert support(overlap, np.empty(0), rows, np.empty(0)).shape == (0,)


def test_a_box_alone_stays_where_it_is_whatever_agreement_is_asked_for() -> None:
    box = np.array([[0.1, 0.2, 7.3, 9.7]])
    row = np.array([0])
    assert vote(overlaps(box, row, row), box, np.array([0.3]), row, np.array([1.0])) == pytest.approx(box)


def test_votes_come_nearer_to_the_object() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([100.0, 50.0, 160.0, 90.0])
    errors = []
    for _ in range(200):
        xyxy = truth + rng.normal(0, 1.5, (12, 4))
        score, kind = rng.uniform(0.4, 0.9, 12), np.zeros(12, int)
        kept = nms(xyxy, score, kind, 0.5)[:1]
        moved = vote(overlaps(xyxy, kind, kept), xyxy, score, kept, np.full(1, 0.65))
        errors.append((np.abs(xyxy[kept] - truth).mean(), np.abs(moved - truth).mean()))
    before, after = np.mean(errors, axis=0)
    assert after < 0.5 * before


def test_scores_follow_the_support_that_a_box_of_its_size_should_have() -> None:
    told = Support(0.5, (100.0, 1000.0), (0.0, np.log(4.0)))
    area = np.array([10.0, 100.0, 1000.0, 1000.0, 1000.0, 1e6])
    found = told.adjusted(np.full(6, 0.5), np.array([1.0, 1.0, 4.0, 16.0, 1.0, 4.0]), area)
    # four times the support expected doubles the odds at a weight of one half, a quarter of it halves them
    assert found == pytest.approx([0.5, 0.5, 0.5, 2 / 3, 1 / 3, 0.5])
    half_way = told.adjusted(np.array([0.5]), np.array([2.0]), np.array([np.sqrt(1e5)]))
    assert half_way == pytest.approx([0.5])


def test_scores_stay_scores() -> None:
    told = Support(1.0, (100.0,), (0.0,))
    found = told.adjusted(np.array([0.0, 1.0, 0.999], np.float32), np.array([50.0, 50.0, 1.0]), np.full(3, 100.0))
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()


def test_boxes_lose_what_they_are_too_large_about_their_middles() -> None:
    told = Oversize((64.0, 4096.0), (float(np.log(1.25)), 0.0))
    # at two input pixels a pixel: 8 x 8 of them, 64 x 64, and between, where half of the logarithm is left
    area = np.array([64.0, 4096.0, 512.0])
    boxes = np.array([[10.0, 20.0, 14.0, 24.0], [0.0, 0.0, 32.0, 32.0], [0.0, 0.0, 16.0, 8.0]])
    mended = told.mended(boxes, area)
    assert mended[0] == pytest.approx([10.4, 20.4, 13.6, 23.6])
    assert mended[1] == pytest.approx(boxes[1])
    assert mended[2, 2:] - mended[2, :2] == pytest.approx(np.array([16.0, 8.0]) / 1.25**0.5)
    assert (mended[:, :2] + mended[:, 2:]) == pytest.approx(boxes[:, :2] + boxes[:, 2:])
    assert told.mended(boxes[:0], area[:0]).shape == (0, 4)
