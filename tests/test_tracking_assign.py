"""The assignment against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from tracking.assign import assign


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
