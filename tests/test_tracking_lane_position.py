"""Objects in lanes: paint, one line only, the vehicle's own path, and far beyond the paint."""

import numpy as np
import pytest

from perception.types import LaneBoundary, Lanes
from tracking.lane_position import DEFAULT_LANE_WIDTH_M, lane_positions


def line(c0: float, c1: float = 0.0, c2: float = 0.0, score: float = 0.9) -> LaneBoundary:
    return LaneBoundary(np.array([c0, c1, c2]), np.eye(3), (2.0, 50.0), "solid", score)


def test_objects_fall_into_lanes_by_the_paint_at_their_own_distance() -> None:
    lanes = Lanes(left=line(1.8, 0.02, 1e-3), right=line(-1.6, 0.02, 1e-3), width_m=3.4)
    xy_m = np.array([[30.0, 0.1 + 0.6 + 0.9], [30.0, 5.0], [10.0, -3.2]])
    places = lane_positions(xy_m, lanes)
    assert places.source == "paint"
    np.testing.assert_allclose(places.offset_m, [0.0, 3.4, -3.6], atol=1e-9)
    np.testing.assert_array_equal(places.index, [0, 1, -1])


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_line_is_enough(side: str) -> None:
    half_m = DEFAULT_LANE_WIDTH_M / 2
    lanes = Lanes(**{side: line(half_m if side == "left" else -half_m)})
    np.testing.assert_allclose(lane_positions(np.array([[20.0, 0.7]]), lanes).offset_m, [0.7])


def test_lines_are_told_where_they_are_seen_and_a_little_beyond() -> None:
    xy_m = np.array([[20.0, 0.0], [59.0, 0.0], [61.0, 0.0]])
    places = lane_positions(xy_m, Lanes(left=line(1.7, 0.01)))
    np.testing.assert_allclose(places.line_m[:, 0], [1.9, 2.29, np.nan], atol=1e-9)
    assert np.isnan(places.line_m[:, 1]).all()
    assert np.isnan(lane_positions(xy_m, Lanes()).line_m).all()


def test_without_paint_the_own_path_is_followed() -> None:
    places = lane_positions(np.array([[40.0, 4.0]]), Lanes(), path_curvature_pm=1 / 200)
    assert places.source == "path"
    np.testing.assert_allclose(places.offset_m, [0.0], atol=1e-12)


def test_a_line_that_is_only_a_guess_is_not_followed() -> None:
    assert lane_positions(np.zeros((1, 2)), Lanes(left=line(1.0, score=0.4))).source == "path"


def test_beyond_its_evidence_a_line_goes_on_along_its_tangent() -> None:
    lanes = Lanes(left=line(1.75, c2=1e-3), right=line(-1.75, c2=1e-3), width_m=3.5)
    tangent_m = 1e-3 * 50**2 + 2 * 1e-3 * 50 * 50
    np.testing.assert_allclose(lane_positions(np.array([[100.0, tangent_m]]), lanes).offset_m, [0.0], atol=1e-9)


def test_unknown_places_stay_unknown() -> None:
    places = lane_positions(np.array([[np.nan, np.nan]]), Lanes(left=line(1.75), right=line(-1.75)))
    assert np.isnan(places.offset_m[0]) and places.index[0] == 0
