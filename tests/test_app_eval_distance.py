"""``roadlens eval distance``: labels read right, figures right, peers' formulas as published, our bars on real data."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli import app
from app.evaluation.distance import Judged, by_range, figures, follow, judge, peers, reliability
from app.evaluation.distance_data import LABEL_CAMERA_M, RECORDING_DAYS, load_sequences
from geometry.box3d import kitti_from_box, outline_px
from geometry.camera import Camera
from geometry.errors import InputError


def label_lines(day: str, frames: int = 3) -> list[str]:
    """Cars along the road as KITTI writes them, in the camera of a recording day."""
    width, height, focal, cx, cy = RECORDING_DAYS[day]
    camera = Camera(width, height, focal, focal, cx, cy, 1.65)
    lines = []
    for frame in range(frames):
        for track, (x, y) in enumerate([(12.0, 0.5), (25.0, -3.0), (40.0, 3.0)]):
            solid = np.array([1.5, 1.6, 4.0, x + 2.0 - 0.3 * frame, y, 0.0, 0.0])
            box, _ = outline_px(camera, solid)
            size, place, rotation, alpha = kitti_from_box(camera, solid)
            place = place - np.array(LABEL_CAMERA_M)
            numbers = [*box, *size, *place, float(rotation)]
            lines.append(f"{frame} {track} Car 0 0 {float(alpha):.6f} " + " ".join(f"{v:.6f}" for v in numbers))
    return lines


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    lines = label_lines("2011_09_29")
    lines.insert(0, "0 -1 DontCare -1 -1 -10 0 0 10 10 -1000 -1000 -1000 -10 -1 -1 -1")
    (tmp_path / "0007.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("day", sorted(RECORDING_DAYS))
def test_camera_is_told_from_labels(tmp_path: Path, day: str) -> None:
    file = tmp_path / "0003.txt"
    file.write_text("\n".join(label_lines(day)))
    (sequence,) = load_sequences(file)
    assert day in sequence.camera_source
    assert (sequence.camera.width_px, sequence.camera.fx_px) == (RECORDING_DAYS[day][0], RECORDING_DAYS[day][2])


def test_truth_is_the_nearest_face(drive: Path) -> None:
    (sequence,) = load_sequences(drive)
    first = sequence.boxes[sequence.boxes.frame == 0]
    np.testing.assert_allclose(first.x_m, [12.0, 25.0, 40.0], atol=1e-3)
    np.testing.assert_allclose(first.y_m, [0.5, -3.0, 3.0], atol=1e-3)
    assert set(first.kind) == {"Car"} and sequence.has_tracks


def test_calibration_file_wins(drive: Path) -> None:
    calibration = drive / "calib.txt"
    calibration.write_text("P2: 700.0 0 600.0 44.0 0 700.0 180.0 0.2 0 0 1 0.0027\n")
    (sequence,) = load_sequences(drive / "0007.txt", calibration)
    assert (sequence.camera.fx_px, sequence.camera.cx_px, sequence.camera.cy_px) == (700.0, 600.0, 180.0)


def test_single_pictures_have_no_tracks(tmp_path: Path) -> None:
    folder = tmp_path / "label_2"
    folder.mkdir()
    for index, line in enumerate(label_lines("2011_09_26", 1)):
        (folder / f"{index:06d}.txt").write_text(" ".join(line.split()[2:]) + "\n")
    (sequence,) = load_sequences(tmp_path)
    assert not sequence.has_tracks and len(np.unique(sequence.boxes.frame)) == 3
    judged = judge(sequence)
    np.testing.assert_array_equal(judged["fused"].x_m, judged["single frame"].x_m)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("0001.txt", "0 1 Car 0 0\n", "5 columns"), ("0001.txt", "0 1 Car " + "x " * 14 + "\n", "no number")],
)
def test_labels_that_cannot_be_read_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    good = label_lines("2011_09_26", 1)[0] + "\n"
    (tmp_path / name).write_text(good + text)
    with pytest.raises(InputError, match=message):
        load_sequences(tmp_path)


def test_no_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no KITTI labels here"):
        load_sequences(tmp_path)


def test_figures_by_hand(drive: Path) -> None:
    boxes = load_sequences(drive)[0].boxes[:4]
    true_m = boxes.x_m
    said = Judged(true_m * [1.1, 0.9, 1.0, np.nan], np.array([2.0, 1.0, 0.1, 1.0]), boxes)
    measured = said.figures(np.ones(4, bool))
    assert measured["n"] == 4
    assert measured["median_rel"] == pytest.approx(0.1)
    assert measured["bias_rel"] == pytest.approx(0.05)
    assert measured["p90_rel"] == pytest.approx(np.percentile([0.1, 0.1, 0.0, 1.0], 90))
    assert measured["coverage_1sigma"] == pytest.approx(0.5)  # 1.2 m within 2, 2.5 not within 1, 0 within, none not
    assert math.isnan(said.figures(np.zeros(4, bool))["median_rel"])
    assert [low for low, _, part in by_range(said, np.ones(4, bool)) if part["n"]] == [10.0, 20.0, 30.0]


def test_reliability_of_a_normal_error_is_the_diagonal(drive: Path) -> None:
    boxes = load_sequences(drive)[0].boxes
    many = boxes[np.zeros(20_000, np.int64)]
    noise = np.random.default_rng(0).standard_normal(20_000)
    expected, got = reliability(Judged(many.x_m + noise, np.ones(20_000), many), np.ones(20_000, bool))
    np.testing.assert_allclose(got, expected, atol=0.015)


def test_peers_formulas() -> None:
    camera = Camera(1242, 375, 721.5377, 721.5377, 609.5593, 172.854, 1.65)
    said = peers(camera, np.array([[600.0, 150.0, 640.0, 200.0]]))
    assert said["height 1.53 m"][0][0] == pytest.approx(721.5377 * 1.53 / 50)
    assert said["flat road"][0][0] == pytest.approx(721.5377 * 1.65 / (200 - 172.854))
    assert said["focal length 100"][0][0] == pytest.approx(100 * 1.5 / 50)


def test_following_is_causal(drive: Path) -> None:
    """Cutting the future off changes nothing of the past."""
    (sequence,) = load_sequences(drive)
    whole, _ = follow(sequence)
    first = sequence.boxes.frame < 2
    from dataclasses import replace

    cut, _ = follow(replace(sequence, boxes=sequence.boxes[first]))
    np.testing.assert_array_equal(cut, whole[first])


def test_command_writes_figures_and_plots(drive: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "plots", tmp_path / "figures.json"
    result = CliRunner().invoke(app, ["eval", "distance", str(drive), "--out", str(out), "--json", str(file)])
    assert result.exit_code == 0, result.output
    measured = json.loads(file.read_text())
    assert set(measured["fused"]["cars"]) == {"median_rel", "p90_rel", "bias_rel", "coverage_1sigma", "n"}
    assert measured["fused"]["cars"]["n"] == 9
    assert measured["height 1.53 m"]["cars"]["coverage_1sigma"] is None
    assert {path.name for path in out.glob("*.png")} == {"error_over_distance.png", "reliability.png"}


def test_detector_needs_pictures(drive: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["eval", "distance", str(drive), "--detector", "auto", "--out", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert "no pictures" in str(result.exception)


def test_real_drive_against_published_baselines(shared: Path) -> None:
    """kitti_0005: the peers' figures are those measured independently; ours are ahead of them."""
    (sequence,) = load_sequences(shared / "data" / "kitti_0005")
    assert sequence.camera_source == "tracking_calib_0000.txt" and len(sequence.pictures) == 154
    measured = figures(judge(sequence))
    height = measured["height 1.53 m"]
    assert height["vehicles"]["median_rel"] == pytest.approx(0.235, abs=0.002)
    assert height["vehicles"]["p90_rel"] == pytest.approx(0.303, abs=0.002)
    assert measured["focal length 100"]["cars"]["median_rel"] == pytest.approx(0.866, abs=0.005)
    fused = measured["fused"]
    assert fused["cars"]["median_rel"] < 0.04
    assert abs(fused["cars"]["bias_rel"]) < 0.015
    assert fused["vehicles"]["median_rel"] < 0.3 * height["vehicles"]["median_rel"]
    assert fused["vehicles"]["p90_rel"] < 0.6 * height["vehicles"]["p90_rel"]
