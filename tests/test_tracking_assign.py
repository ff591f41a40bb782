"""Candidate pairs, overlaps of pairs, and the assignment, against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from geometry.boxes import iou
from tracking.assign import assign, candidate_pairs, pair_iou


def random_boxes(rng: np.random.Generator, count: int, spread: float = 1000.0) -> np.ndarray:
    low = rng.uniform(0, spread, (count, 2))
    return np.concatenate([low, low + rng.uniform(5, 120, (count, 2))], axis=1)


@pytest.mark.parametrize(("rows", "columns"), [(0, 3), (3, 0), (7, 5), (60, 70), (300, 250)])
def test_pairs_hold_every_overlap_and_its_size(rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows)
    a, b = random_boxes(rng, rows), random_boxes(rng, columns)
    i, j = candidate_pairs(a, b)
    assert len(set(zip(i.tolist(), j.tolist(), strict=True))) == len(i)
    dense = np.zeros((rows, columns))
    dense[i, j] = pair_iou(a[i], b[j])
    np.testing.assert_allclose(dense, iou(a, b) if rows and columns else dense, atol=1e-12)


def test_far_pairs_of_a_crowd_are_left_out() -> None:
    rng = np.random.default_rng(0)
    a = random_boxes(rng, 500, 4000.0)
    i, _ = candidate_pairs(a, a)
    assert len(i) < 0.05 * 500 * 500


def test_boxes_without_area_overlap_nothing() -> None:
    flat = np.array([[5.0, 5.0, 5.0, 9.0]])
    assert pair_iou(flat, flat) == 0.0


def best_gain(dense: np.ndarray) -> float:
    i, j = linear_sum_assignment(np.maximum(dense, 0.0), maximize=True)
    return float(np.maximum(dense[i, j], 0.0).sum())


@given(st.integers(0, 12), st.integers(0, 12), st.floats(0.0, 1.0), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_assignment_is_one_to_one_positive_and_optimal(rows: int, columns: int, filled: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = np.where(rng.random((rows, columns)) < filled, rng.uniform(-0.5, 1.0, (rows, columns)), -1.0)
    i, j = np.nonzero(dense > -1.0)
    chosen = assign((i, j), dense[i, j], (rows, columns))
    assert len(np.unique(i[chosen])) == len(np.unique(j[chosen])) == len(chosen)
    assert (dense[i[chosen], j[chosen]] > 0).all()
    assert dense[i[chosen], j[chosen]].sum() == pytest.approx(best_gain(dense))


@pytest.mark.parametrize("filled", [0.002, 0.02, 0.5])
def test_large_problems_are_reduced_without_loss(filled: float) -> None:
    rng = np.random.default_rng(1)
    shape = 150, 130
    dense = np.where(rng.random(shape) < filled, rng.uniform(0.0, 1.0, shape), 0.0)
    i, j = np.nonzero(dense)
    chosen = assign((i, j), dense[i, j], shape)
    assert len(np.unique(i[chosen])) == len(np.unique(j[chosen])) == len(chosen)
    assert dense[i[chosen], j[chosen]].sum() == pytest.approx(best_gain(dense))
