"""The lane measure against hand-made cases of TuSimple's rules, and the command on real frames."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from app.evaluation.lane import LabelledFrame, LaneScores, Predicted, ego_pair, load_labels, predict, score_frame
from geometry.camera import Camera
from geometry.errors import InputError
from perception.types import LaneBoundary, Lanes

ROWS = np.arange(240, 720, 10.0)
WIDTH = 1280


def lane(slope, bottom, top=270):
    columns = bottom + slope * (ROWS - 710)
    return np.where((top <= ROWS) & (columns >= 0) & (columns < WIDTH), np.rint(columns), -2)


LEFT, RIGHT = lane(-1.0, 200.0), lane(1.0, 1100.0)


def frame(*labels):
    return LabelledFrame(Path("none.jpg"), ROWS, np.array(labels))


def test_labels_score_full_against_themselves():
    score = score_frame(frame(LEFT, RIGHT), Predicted(np.array([LEFT, RIGHT]), (0, 1)), WIDTH)
    assert score.accuracy.tolist() == [1.0, 1.0]
    assert (score.false_positive, score.false_negative) == (0.0, 0.0)
    assert score.ego_accuracy.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("shift_px", "found"), [(28, True), (29, False)])
def test_threshold_is_20_px_across_the_lane(shift_px, found):
    """At 45 degrees 20 px across are 28.28 px along the row."""
    moved = np.where(LEFT >= 0, LEFT + shift_px, -2)
    score = score_frame(frame(LEFT), Predicted(moved[None], (0, -1)), WIDTH)
    assert (score.false_negative == 0.0) is found
    # Rows without a label and without a prediction agree: the share is theirs alone when the lane is missed.
    assert score.accuracy[0] == pytest.approx(1.0 if found else np.mean(LEFT < 0))


def test_lost_rows_count_and_85_percent_is_enough():
    for lost, found in ((7, True), (8, False)):  # 41 of 48 rows is 0.854, 40 is 0.833
        short = LEFT.copy()
        short[np.flatnonzero(LEFT >= 0)[:lost]] = -2
        score = score_frame(frame(LEFT), Predicted(short[None], (0, -1)), WIDTH)
        assert score.accuracy[0] == pytest.approx(1 - lost / 48)
        assert (score.false_negative == 0.0) is found


def test_false_positives_and_nothing_predicted():
    extra = lane(2.0, 1500.0)
    score = score_frame(frame(LEFT), Predicted(np.array([LEFT, extra]), (0, 1)), WIDTH)
    assert score.false_positive == 0.5
    nothing = score_frame(frame(LEFT, RIGHT), Predicted(np.empty((0, 48)), (-1, -1)), WIDTH)
    assert (nothing.false_positive, nothing.false_negative) == (0.0, 1.0)
    assert nothing.ego_accuracy.tolist() == [0.0, 0.0]


def test_with_five_labels_the_worst_is_forgiven():
    labels = [LEFT, RIGHT, lane(-2.5, -300.0), lane(2.5, 1600.0), lane(4.0, 2200.0)]
    score = score_frame(frame(*labels), Predicted(np.array(labels[:4]), (0, 1)), WIDTH)
    assert score.false_negative == 0.0
    assert score.accuracy.tolist() == [1.0] * 4


def test_ego_pair_is_the_nearest_on_each_side_and_sides_count():
    labels = np.array([lane(2.5, 1600.0), RIGHT, lane(-2.5, -300.0), LEFT])
    assert ego_pair(labels, ROWS, 639.5) == (3, 1)
    swapped = score_frame(frame(LEFT, RIGHT), Predicted(np.array([RIGHT, LEFT]), (0, 1)), WIDTH)
    assert swapped.accuracy.tolist() == [1.0, 1.0]
    assert (swapped.ego_accuracy < 0.5).all()


def test_figures_of_a_known_mixture():
    good = score_frame(frame(LEFT, RIGHT), Predicted(np.array([LEFT, RIGHT]), (0, 1)), WIDTH)
    half = score_frame(frame(LEFT, RIGHT), Predicted(np.array([LEFT]), (0, -1)), WIDTH)
    figures = LaneScores((good, half)).figures()
    assert figures["fp"] == 0.0 and figures["fn"] == 0.25
    assert figures["ego_precision"] == 1.0 and figures["ego_recall"] == 0.75
    assert figures["ego_f1"] == pytest.approx(2 * 0.75 / 1.75)


def test_a_boundary_is_drawn_where_the_camera_sees_it():
    camera = Camera(1280, 720, 1000.0, 1000.0, 639.5, 359.5, height_m=1.5)
    straight = LaneBoundary(np.array([1.8, 0.0, 0.0]), np.eye(3), (5.0, 40.0), "solid", 0.9)
    columns = predict(Lanes(left=straight), camera, ROWS).columns_px[0]
    # y = 1.8 m at height 1.5 m: column 639.5 - 1.8 / 1.5 * (row - 359.5), for rows well below the horizon.
    below = ROWS > 385
    np.testing.assert_allclose(columns[below], np.maximum(639.5 - 1.2 * (ROWS[below] - 359.5), -2), atol=0.5)
    assert (columns[ROWS < 360] == -2).all()


@pytest.mark.parametrize(
    ("text", "wanted"), [("", "empty"), ("no json\n", "label.json:1"), ('{"lanes": [[1]]}\n', "h_samples")]
)
def test_bad_labels_are_named(tmp_path, text, wanted):
    (tmp_path / "label.json").write_text(text)
    with pytest.raises(InputError, match=wanted):
        load_labels(tmp_path)


def test_a_folder_without_labels_is_named(tmp_path):
    with pytest.raises(InputError, match=r"label\*\.json"):
        load_labels(tmp_path)


@pytest.mark.slow
def test_command_on_real_frames(shared, tmp_path):
    """Every third frame; the bars are those of all frames, less what a third may miss by chance."""
    pytest.importorskip("matplotlib")
    from app.cli import app

    source = shared / "data" / "tusimple"
    lines = (source / "labels.json").read_text().splitlines()[::3]
    (tmp_path / "label.json").write_text("\n".join(lines))
    (tmp_path / "images").symlink_to(source / "images")
    out = tmp_path / "figures.json"
    result = CliRunner().invoke(
        app, ["eval", "lane", str(tmp_path), "--out", str(tmp_path / "out"), "--json", str(out)]
    )
    assert result.exit_code == 0, result.output
    figures = json.loads(out.read_text())
    assert figures["frames"] == len(lines)
    assert figures["ego_f1"] > 0.8 and figures["ego_accuracy"] > 0.88 and figures["accuracy"] > 0.85
    assert 225 < figures["horizon_y_px"] < 250  # the labels' lines meet at row 237
    assert (tmp_path / "out" / "accuracy.png").stat().st_size > 0
    assert (tmp_path / "out" / "worst_frames.jpg").stat().st_size > 0
