"""roadlens eval track: protocol, files, figures against TrackEval's own truths, errors."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli import app
from app.evaluation.track import Protocol, kitti_lines, load_set, measure, mot_lines, track
from app.evaluation.track_tuning import SPACE, tune
from geometry.errors import InputError

FRAMES = 40


def box(car: int, frame: int) -> list[float]:
    x = 100.0 + 300.0 * car + 3.0 * frame
    return [x, 150.0, x + 90.0, 210.0]


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """Two sequences of three cars, detected exactly."""
    root = tmp_path / "bench"
    (root / "label_02").mkdir(parents=True)
    (root / "exact").mkdir()
    for name in ("0000", "0001"):
        labels, rows = [], ["frame,x1,y1,x2,y2,score"]
        for frame in range(FRAMES):
            for car in range(3):
                corners = " ".join(f"{v:.2f}" for v in box(car, frame))
                labels.append(f"{frame} {car} Car 0 0 -10 {corners} 1.5 1.6 4.0 0 1.6 20 0")
                rows.append(f"{frame}," + ",".join(f"{v:.2f}" for v in box(car, frame)) + ",0.95")
        (root / "label_02" / f"{name}.txt").write_text("\n".join(labels) + "\n")
        (root / "exact" / f"{name}.csv").write_text("\n".join(rows) + "\n")
    (root / "lengths.json").write_text(json.dumps({"0000": FRAMES, "0001": FRAMES}))
    return root


def test_exact_detections_give_nearly_everything_and_no_switch(benchmark: Path) -> None:
    data = load_set(benchmark, "exact")
    figures = measure(data, {name: track(frames) for name, frames in data.frames.items()})
    assert figures["hota"] > 90 and figures["idf1"] > 95 and figures["mota"] > 90
    assert figures["switches"] == figures["fragments"] == figures["false_positives"] == 0
    assert 0 < figures["false_negatives"] <= 2 * 3 * 5  # the frames before belief


def test_no_tracks_score_nothing(benchmark: Path) -> None:
    data = load_set(benchmark, "exact", min_score=0.99)
    figures = measure(data, {name: track(frames) for name, frames in data.frames.items()})
    assert figures["hota"] == figures["mota"] == figures["idf1"] == 0
    assert figures["false_negatives"] == 2 * 3 * FRAMES


def test_frames_of_the_protocol() -> None:
    assert Protocol().shown(5) == [0, 1, 2, 3, 4]
    assert Protocol(every=2).shown(7) == [0, 2, 4, 6]
    assert Protocol(drop_every=3).shown(8) == [0, 1, 3, 4, 6, 7]
    assert Protocol(every=2, drop_every=3).shown(12) == [0, 2, 6, 8]


@pytest.mark.parametrize("protocol", [Protocol(every=2), Protocol(drop_every=3)])
def test_frames_that_were_not_shown_leave_the_truth(benchmark: Path, protocol: Protocol) -> None:
    data = load_set(benchmark, "exact")
    figures = measure(data, {n: track(f, protocol) for n, f in data.frames.items()}, protocol)
    assert figures["hota"] > 80 and figures["switches"] == 0 and figures["false_positives"] == 0


def test_files_hold_the_tracks(benchmark: Path) -> None:
    tracks = track(load_set(benchmark, "exact").frames["0000"])
    last = tracks[-1]
    kitti = [line.split() for line in kitti_lines(tracks, "car") if line.startswith(f"{FRAMES - 1} ")]
    mot = [line.split(",") for line in mot_lines(tracks) if line.startswith(f"{FRAMES},")]
    assert len(kitti) == len(mot) == len(last) == 3
    assert {len(words) for words in kitti} == {18} and {len(words) for words in mot} == {10}
    np.testing.assert_allclose([[float(v) for v in words[6:10]] for words in kitti], last.xyxy_px, atol=0.006)
    left, top, width, height = np.array([[float(v) for v in words[2:6]] for words in mot]).T
    np.testing.assert_allclose(left - 1 + width, last.xyxy_px[:, 2], atol=0.02)
    np.testing.assert_allclose(top - 1 + height, last.xyxy_px[:, 3], atol=0.02)


def test_command_prints_and_writes(benchmark: Path, tmp_path: Path) -> None:
    figures, out = tmp_path / "figures.json", tmp_path / "out"
    done = CliRunner().invoke(app, ["eval", "track", str(benchmark), "--out", str(out), "--json", str(figures)])
    assert done.exit_code == 0, done.output
    written = json.loads(figures.read_text())
    assert written["exact.hota"] > 90 and written["exact.switches"] == 0
    assert (out / "exact" / "kitti" / "0001.txt").read_text().count("\n") > 3 * (FRAMES - 5)
    assert (out / "exact" / "mot" / "0000.txt").is_file()


@pytest.mark.parametrize("damage", ["no csv", "no labels", "no lengths", "column", "frame"])
def test_what_is_no_benchmark_is_refused(benchmark: Path, damage: str) -> None:
    path = benchmark / "exact" / "0000.csv"
    if damage == "no csv":
        for file in (benchmark / "exact").iterdir():
            file.unlink()
    elif damage == "no labels":
        (benchmark / "label_02" / "0000.txt").unlink()
    elif damage == "no lengths":
        (benchmark / "lengths.json").unlink()
    elif damage == "column":
        path.write_text(path.read_text().replace("x2", "right"))
    else:
        path.write_text(path.read_text() + f"{FRAMES},1,2,3,4,0.9\n")
    with pytest.raises(InputError) as error:
        load_set(benchmark, "exact")
    assert "\n" not in str(error.value)


def test_tuning_never_ends_below_where_it_began_and_reports_the_held_out_half(benchmark: Path) -> None:
    calls: list[int] = []
    found = tune([load_set(benchmark, "exact")], 3, 0, lambda: calls.append(1))
    assert len(calls) == 3
    assert found["tuned.exact.hota"] >= found["default_tuned.exact.hota"]
    assert {f"setting.{name}" for name in SPACE} <= set(found)
    assert found["held_out.exact.hota"] > 80


@pytest.mark.parametrize("command", ["track", "tune-track"])
def test_a_folder_without_a_benchmark_is_said(command: str, tmp_path: Path) -> None:
    for folder, words in ((tmp_path, "holds no SET/SEQUENCE.csv"), (tmp_path / "no", "is no folder")):
        with pytest.raises(InputError, match=words):
            CliRunner().invoke(app, ["eval", command, str(folder)], catch_exceptions=False)
