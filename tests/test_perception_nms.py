"""Suppression against the sequential rule written out, on random and on hand-made boxes, in NumPy and torch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.nms import nms


def sequential(xyxy: np.ndarray, score: np.ndarray, class_id: np.ndarray, threshold: float) -> list[int]:
    """The rule as a textbook has it, one box after another."""
    kept: list[int] = []
    for row in np.argsort(-score, kind="stable"):
        a = xyxy[row].astype(np.float64)
        for other in kept:
            b = xyxy[other].astype(np.float64)
            width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
            height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
            if class_id[row] == class_id[other] and width * height > threshold * union:
                break
        else:
            kept.append(int(row))
    return kept


def clustered(seed: int, count: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes heaped on few objects, as a network gives them."""
    rng = np.random.default_rng(seed)
    objects = rng.integers(0, max(1, count // 6), count)
    centre = rng.uniform(0, 300, (count, 2))[objects] + rng.normal(0, 4, (count, 2))
    size = rng.uniform(10, 90, (count, 2))[objects] * np.exp(rng.normal(0, 0.15, (count, 2)))
    xyxy = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    return xyxy, rng.uniform(0, 1, count), rng.integers(0, classes, count)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 90), st.integers(1, 4), st.floats(0.05, 0.95))
def test_equals_the_sequential_rule(seed: int, count: int, classes: int, threshold: float) -> None:
    xyxy, score, class_id = clustered(seed, count, classes)
    assert nms(xyxy, score, class_id, threshold).tolist() == sequential(xyxy, score, class_id, threshold)


def test_equals_it_over_several_strips() -> None:
    xyxy, score, class_id = clustered(3, 500, 2)
    kept = nms(xyxy, score, class_id, 0.5).tolist()
    assert kept == sequential(xyxy, score, class_id, 0.5)
    assert 50 < len(kept) < 400


def test_a_suppressed_box_suppresses_nothing() -> None:
    # Three boxes 10 wide, 4 apart: neighbours overlap by 6/14 = 0.43, the outer two by 2/18.
    xyxy = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    score = np.array([0.9, 0.8, 0.7])
    assert nms(xyxy, score, np.zeros(3, int), 0.4).tolist() == [0, 2]
    assert nms(xyxy, score, np.zeros(3, int), 0.45).tolist() == [0, 1, 2]
    assert nms(xyxy, score, np.array([0, 1, 0]), 0.05).tolist() == [0, 1]


def test_equal_scores_keep_their_order_and_few_boxes_pass() -> None:
    box = np.array([[0.0, 0.0, 5.0, 5.0]])
    assert nms(np.repeat(box, 3, axis=0), np.full(3, 0.5), np.zeros(3, int), 0.5).tolist() == [0]
    assert nms(box, np.array([0.5]), np.array([0]), 0.5).tolist() == [0]
    assert nms(np.empty((0, 4)), np.empty(0), np.empty(0, int), 0.5).tolist() == []


def test_torch_gives_the_same_rows() -> None:
    torch = pytest.importorskip("torch")
    xyxy, score, class_id = clustered(5, 200, 3)
    rows = nms(torch.from_numpy(xyxy), torch.from_numpy(score), torch.from_numpy(class_id), 0.6)
    assert isinstance(rows, torch.Tensor)
    assert rows.tolist() == nms(xyxy, score, class_id, 0.6).tolist()


def test_thresholds_by_class_are_those_of_each_class_alone() -> None:
    xyxy, score, class_id = clustered(7, 300, 3)
    limits = np.array([0.3, 0.5, 0.8])
    kept = nms(xyxy, score, class_id, limits[class_id])
    for kind, limit in enumerate(limits):
        rows = np.flatnonzero(class_id == kind)
        alone = rows[nms(xyxy[rows], score[rows], class_id[rows], float(limit))]
        assert kept[class_id[kept] == kind].tolist() == alone.tolist()
    assert (np.diff(score[kept]) <= 0).all()
