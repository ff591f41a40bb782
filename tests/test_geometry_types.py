"""Rows of array records: what is picked, and what cannot be."""

import numpy as np
import pytest

from geometry.types import GroundPoints


def points(count: int = 4) -> GroundPoints:
    xy_m = np.arange(2.0 * count).reshape(count, 2)
    return GroundPoints(xy_m, np.tile(np.eye(2), (count, 1, 1)), np.arange(count) % 2 == 0)


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (np.array([True, False, False, True]), [0, 3]),
        (np.array([2, 0]), [2, 0]),
        (slice(1, 3), [1, 2]),
        ([3], [3]),
        (np.zeros(4, bool), []),
    ],
)
def test_rows_are_picked_in_every_column(rows: object, wanted: list[int]) -> None:
    picked = points()[rows]
    assert isinstance(picked, GroundPoints) and len(picked) == len(wanted)
    np.testing.assert_array_equal(picked.xy_m, points().xy_m[wanted])
    np.testing.assert_array_equal(picked.valid, points().valid[wanted])
    assert picked.cov_m2.shape == (len(wanted), 2, 2)


def test_what_is_picked_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        points()[1:].xy_m[0] = 0.0


def test_a_single_number_and_a_mask_of_another_length_pick_nothing() -> None:
    with pytest.raises(ValueError, match="picks no rows of GroundPoints"):
        points()[1]
    with pytest.raises(IndexError):
        points()[np.array([True, False])]
