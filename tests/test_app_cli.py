"""``roadlens run`` as a person meets it: what it leaves behind, what it says, how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import typer

from app import cli
from app.partial import size_words
from app.record import load
from app.video import VideoWriter, frames, probe
from geometry.profiles import load_profile, toml_from_camera

SIZE = (192, 128)
CELLS = 12 * 8 + 6 * 4 + 3 * 2


@pytest.fixture
def model(constant_onnx: Callable[..., Path]) -> Path:
    """A network that always sees one car in the middle of the picture."""
    output = np.zeros((1, 84, CELLS), np.float32)
    output[0, :4, 0] = 48, 40, 16, 12
    output[0, 4 + 2, 0] = 0.9
    return constant_onnx("one_car", {"output0": output})


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, SIZE, Fraction(20)) as writer:
        for number in range(24):
            writer.write(rng.integers(60, 90, (SIZE[1], SIZE[0], 3), dtype=np.uint8), number / 20)
    return path


@pytest.fixture
def roadlens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in this process: exit code, output, error output."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["roadlens", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_a_run_leaves_video_records_settings_and_summary(roadlens, clip: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said, _ = roadlens("run", clip, "--camera", "kitti", "--detector", model, "--out", out)
    assert code == 0
    assert sorted(p.name for p in out.iterdir()) == ["annotated.mp4", "results.jsonl", "settings.toml", "summary.json"]
    run = load(out)
    assert len(run.results) == 24
    assert run.header.detector["name"] == "one_car"
    assert run.header.camera == load_profile("kitti").for_size(*SIZE)
    assert all(len(result.detections) == 1 for result in run.results)
    assert probe(out / "annotated.mp4").frames == 24
    summary = json.loads((out / "summary.json").read_text())
    assert summary["state"] == "complete" and summary["frames"] == 24
    assert {"decode", "detect", "lanes", "tracks", "draw", "encode"} <= set(summary["stage_ms"])
    assert "24 frames" in said and "annotated.mp4" in said


def test_a_clip_without_a_profile_runs_as_generic_and_says_that_distances_are_rough(
    roadlens, clip: Path, model: Path, tmp_path: Path
) -> None:
    code, said, _ = roadlens("run", clip, "--detector", model, "--out", tmp_path / "out", "--no-video")
    assert code == 0 and "rough" in said
    assert load(tmp_path / "out").header.camera.name == "generic"
    assert not (tmp_path / "out" / "annotated.mp4").exists()


def test_a_profile_beside_the_clip_is_used(roadlens, clip: Path, model: Path, tmp_path: Path) -> None:
    camera = load_profile("udacity").mounted(height_m=1.11)
    clip.with_suffix(".toml").write_text(toml_from_camera(camera))
    code, said, _ = roadlens("run", clip, "--detector", model, "--out", tmp_path / "out", "--no-video")
    assert code == 0 and "beside the clip" in said
    assert load(tmp_path / "out").header.camera.height_m == 1.11


def test_a_part_of_a_clip(roadlens, clip: Path, model: Path, tmp_path: Path) -> None:
    words = ("--start", 0.25, "--end", 0.75, "--every", 2, "--detect-every", 2, "--no-video", "--quiet")
    code, said, _ = roadlens("run", clip, "--detector", model, "--out", tmp_path / "out", *words)
    assert code == 0 and said == ""
    results = load(tmp_path / "out").results
    assert [r.index for r in results] == [6, 8, 10, 12, 14]
    assert [len(r.detections) for r in results][::2] == [1, 1, 1], "between, the boxes of the tracks are followed"
    assert [len(r.tracks) for r in results[2:]] == [1, 1, 1], "a frame that nobody looked at is no miss"


def test_a_part_that_is_not_there_leaves_nothing(roadlens, clip: Path, model: Path, tmp_path: Path) -> None:
    code, _, said = roadlens("run", clip, "--detector", model, "--out", tmp_path / "out", "--start", 100)
    assert code == 2 and said.count("\n") == 1
    assert "1.20 s long, lies between 100 s and its end; give another range" in said
    assert not (tmp_path / "out").exists()


def test_a_finished_run_is_not_overwritten_unasked(roadlens, clip: Path, model: Path, tmp_path: Path) -> None:
    words = ("run", clip, "--detector", model, "--out", tmp_path / "out")
    assert roadlens(*words, "--end", 0.2)[0] == 0
    before = (tmp_path / "out" / "results.jsonl").read_bytes()
    code, _, said = roadlens(*words)
    assert code == 2 and "--overwrite" in said
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == before
    assert roadlens(*words, "--overwrite", "--no-video")[0] == 0
    assert not (tmp_path / "out" / "annotated.mp4").exists(), "the old video shows another run"
    assert len(load(tmp_path / "out").results) == 24


def test_settings_of_a_run_repeat_it(roadlens, clip: Path, model: Path, tmp_path: Path) -> None:
    words = ("run", clip, "--detector", model, "--camera", "kitti", "--no-video", "--every", 3)
    assert roadlens(*words, "--out", tmp_path / "a")[0] == 0
    again = ("run", clip, "--settings", tmp_path / "a" / "settings.toml", "--out", tmp_path / "b")
    assert roadlens(*again)[0] == 0
    strip = re.compile(r'"stage_ms":\{[^}]*\}')
    one, two = (strip.sub("", (tmp_path / name / "results.jsonl").read_text()) for name in "ab")
    assert one == two


# -- again without the network ----------------------------------------------------------------------------------------


def results_of(folder: Path) -> str:
    """The record but its timings and its header, which names the detector's threads and the like."""
    lines = (folder / "results.jsonl").read_text().splitlines()[1:]
    return re.sub(r'"stage_ms":\{[^}]*\}', "", "\n".join(lines))


def test_recorded_detections_give_the_same_results_as_the_network(
    roadlens, clip: Path, model: Path, tmp_path: Path
) -> None:
    words = ("run", clip, "--camera", "kitti", "--no-video")
    assert roadlens(*words, "--detector", model, "--out", tmp_path / "a")[0] == 0
    model.unlink()
    assert roadlens(*words, "--detections", tmp_path / "a", "--out", tmp_path / "b")[0] == 0
    assert roadlens("replay", tmp_path / "a", "--out", tmp_path / "c")[0] == 0
    assert results_of(tmp_path / "a") == results_of(tmp_path / "b") == results_of(tmp_path / "c")
    assert load(tmp_path / "b").header.detector == load(tmp_path / "a").header.detector


def test_pictures_are_looked_at_again_only_where_it_matters(
    roadlens, clip: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("run", clip, "--camera", "kitti")
    assert roadlens(*words, "--detector", model, "--detect-every", 2, "--out", tmp_path / "a", "--no-video")[0] == 0
    again = (*words, "--detections", tmp_path / "a")
    kept = "lanes, own motion and mount are those of the record"
    code, said, _ = roadlens(*again, "--out", tmp_path / "drawn")
    assert code == 0 and kept in said and probe(tmp_path / "drawn" / "annotated.mp4").frames == 24
    monkeypatch.setattr("app.runner.frames", lambda *a, **k: pytest.fail("pictures were decoded"))
    code, said, _ = roadlens(*again, "--no-video", "--out", tmp_path / "blind")
    assert code == 0 and kept in said
    monkeypatch.undo()
    monkeypatch.setattr("app.replay.__version__", "another")
    code, said, _ = roadlens(*again, "--no-video", "--out", tmp_path / "seen")
    assert code == 0 and kept not in said
    monkeypatch.undo()
    for name in ("drawn", "blind", "seen"):
        assert results_of(tmp_path / name) == results_of(tmp_path / "a"), name
        assert load(tmp_path / name).header.settings["detector"]["every"] == 2, "as the detections were made"
    code, said, _ = roadlens(*again, "--no-video", "--no-lanes", "--out", tmp_path / "no_lanes")
    assert code == 0 and kept not in said
    assert all(not result.lanes.boundaries for result in load(tmp_path / "no_lanes").results)


def test_a_replay_takes_other_thresholds_of_events_and_nothing_that_needs_pictures(
    roadlens, clip: Path, model: Path, tmp_path: Path
) -> None:
    assert (
        roadlens("run", clip, "--camera", "kitti", "--no-video", "--detector", model, "--out", tmp_path / "a")[0] == 0
    )
    settings = tmp_path / "other.toml"
    settings.write_text("[events]\nheadway_s = 1.7\n")
    assert roadlens("replay", tmp_path / "a", "--out", tmp_path / "b", "--settings", settings)[0] == 0
    before, after = load(tmp_path / "a"), load(tmp_path / "b")
    assert after.header.settings == before.header.settings | {"events": after.header.settings["events"]}
    assert after.header.settings["events"]["headway_s"] == 1.7
    settings.write_text('[camera]\nprofile = "udacity"\n')
    code, _, error = roadlens("replay", tmp_path / "a", "--out", tmp_path / "c", "--settings", settings)
    assert code == 2 and "[camera]" in error and "--detections" in error and error.count("\n") == 1


def test_a_record_of_other_frames_or_of_another_clip_is_told(roadlens, clip: Path, model: Path, tmp_path: Path) -> None:
    words = ("run", clip, "--no-video", "--detector", model)
    assert roadlens(*words, "--every", 2, "--out", tmp_path / "a")[0] == 0
    code, _, error = roadlens(*words, "--detections", tmp_path / "a", "--out", tmp_path / "b")
    assert code == 2 and "has no frame 1" in error and error.count("\n") == 1
    other = raw_clip(tmp_path / "other.mkv", "yuv420p", (64, 48), 3)
    code, _, error = roadlens("run", other, "--detections", tmp_path / "a", "--out", tmp_path / "c")
    assert code == 2 and "192x128" in error and "64x48" in error


# -- what becomes of a run --------------------------------------------------------------------------------------------


def test_a_run_is_exported_and_reported(roadlens, clip: Path, model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert roadlens("run", clip, "--camera", "kitti", "--no-video", "--detector", model, "--out", run)[0] == 0
    code, said, _ = roadlens("export", run, "--format", "csv, mot", "--out", tmp_path / "tables")
    assert code == 0 and "tracks.csv" in said and "mot.txt" in said
    assert len((tmp_path / "tables" / "frames.csv").read_text().splitlines()) == 1 + 24
    code, _, error = roadlens("export", run, "--format", "xml")
    assert code == 2 and "no format 'xml'" in error and error.count("\n") == 1
    code, said, _ = roadlens("report", run)
    assert code == 0 and "report.html" in said
    assert "data:video/mp4;base64," in (run / "report.html").read_text()
    code, _, error = roadlens("mine", tmp_path / "tables")
    assert code == 2 and "neither a run nor a batch" in error


# -- what cannot be used ----------------------------------------------------------------------------------------------


def raw_clip(path: Path, pixel_format: str, size: tuple[int, int], count: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 90, np.uint8), format="bgr24")
            frame = frame.reformat(format=pixel_format)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def bad_clip(kind: str, folder: Path, clip: Path) -> Path:
    path = folder / "bad.mp4"
    if kind == "text":
        path.write_text("no video at all\n" * 50)
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        data = clip.read_bytes()
        start = data.index(b"mdat")
        path.write_bytes(data[: start + (len(data) - start) // 2])
    elif kind == "zero frames":
        return raw_clip(folder / "bad.mkv", "yuv420p", SIZE, 0)
    elif kind == "one pixel":
        return raw_clip(folder / "bad.mkv", "gray", (1, 1), 3)
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("absent", "no such file"),
        ("text", "cannot be opened as video"),
        ("empty", "empty"),
        ("truncated", "breaks off"),
        ("zero frames", "bad.mkv"),
        ("one pixel", "1x1 pixels"),
    ],
)
def test_a_bad_clip_ends_in_one_line(roadlens, clip: Path, model: Path, tmp_path: Path, kind: str, said: str) -> None:
    out = tmp_path / "out"
    code, _, error = roadlens("run", bad_clip(kind, tmp_path, clip), "--detector", model, "--out", out)
    assert code == 2
    assert said in error and error.startswith("roadlens: ") and error.count("\n") == 1
    assert not out.exists() or all(".partial" in p.name for p in out.iterdir())
    if kind == "truncated":
        assert len(list(frames(out / "annotated.partial.mp4"))) > 5, "what was done is whole and playable"
        assert load(out).partial


@pytest.mark.parametrize(
    ("name", "pixel_format", "count"),
    [("ten_bit.mkv", "yuv420p10le", 4), ("grey.mkv", "gray", 4), ("one_frame.mkv", "yuv420p", 1)],
)
def test_unusual_clips_work(roadlens, model: Path, tmp_path: Path, name: str, pixel_format: str, count: int) -> None:
    clip = raw_clip(tmp_path / name, pixel_format, SIZE, count)
    assert roadlens("run", clip, "--detector", model, "--out", tmp_path / "out")[0] == 0
    assert len(load(tmp_path / "out").results) == count
    assert probe(tmp_path / "out" / "annotated.mp4").codec == "h264"
    notes = json.loads((tmp_path / "out" / "summary.json").read_text())["notes"]
    assert any("a single picture" in note for note in notes) == (count == 1)


@pytest.mark.parametrize(("count", "words"), [(0, "0 kB"), (1, "1 kB"), (99_999, "100 kB"), (2_340_000, "2.3 MB")])
def test_sizes_of_files_in_words(tmp_path: Path, count: int, words: str) -> None:
    (tmp_path / "a").write_bytes(bytes(count))
    assert size_words(tmp_path / "a") == words


def edited(text: str, kind: str) -> str:
    return {
        "missing key": re.sub(r"height_m = .*\n", "", text),
        "negative height": re.sub(r"height_m = .*", "height_m = -1.3", text),
        "NaN": re.sub(r"height_m = .*", "height_m = nan", text),
        "unknown key": text.replace("[mount]", "[mount]\nheigth_m = 1.3"),
        "no TOML": "width = = 3",
    }[kind]


@pytest.mark.parametrize("kind", ["missing key", "negative height", "NaN", "unknown key", "no TOML", "absent"])
def test_a_bad_profile_ends_in_one_line(roadlens, clip: Path, model: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "camera.toml"
    if kind != "absent":
        path.write_text(edited(toml_from_camera(load_profile("kitti")), kind))
    code, _, error = roadlens("run", clip, "--camera", path, "--detector", model, "--out", tmp_path / "out")
    assert code == 2
    assert "camera.toml" in error and error.startswith("roadlens: ") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--detector", "none.onnx"), "none.onnx"),
        (("--input-size", "wide"), "640x384"),
        (("--start", 3, "--end", 2), "end_s"),
        (("--start", 60), "no frame"),
        (("--settings", "none.toml"), "none.toml"),
        (("--speed", "-3"), "speed"),
    ],
)
def test_a_bad_option_ends_in_one_line(
    roadlens, clip: Path, model: Path, tmp_path: Path, words: tuple, said: str
) -> None:
    code, _, error = roadlens("run", clip, "--detector", model, "--out", tmp_path / "out", *words)
    assert code == 2 and said in error and error.startswith("roadlens: ") and error.count("\n") == 1


def test_an_output_folder_that_cannot_be_made_is_told(roadlens, clip: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, error = roadlens("run", clip, "--detector", model, "--out", tmp_path / "file" / "out")
    assert code == 2 and "cannot be made" in error and error.count("\n") == 1


# -- interruption -----------------------------------------------------------------------------------------------------


def start_long_run(clip: Path, model: Path, out: Path) -> subprocess.Popen:
    """A run of many frames in a process of its own, once it has begun to write."""
    with VideoWriter(clip.with_name("long.mp4"), SIZE, Fraction(20)) as writer:
        picture = np.full((SIZE[1], SIZE[0], 3), 80, np.uint8)
        for number in range(1500):
            writer.write(picture, number / 20)
    words = [sys.executable, "-m", "app.cli", "run", str(writer.path), "--detector", str(model), "--out", str(out)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    record = out / "results.partial.jsonl"
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if record.exists() and record.stat().st_size > 12_000:
            return process
        time.sleep(0.02)
    raise AssertionError(f"the run never began: {process.communicate(timeout=5)}")


@pytest.mark.slow
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_closes_the_files_properly(clip: Path, model: Path, tmp_path: Path, which: signal.Signals) -> None:
    out = tmp_path / "out"
    process = start_long_run(clip, model, out)
    process.send_signal(which)
    said, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in error and "stopped before the end" in said
    names = sorted(p.name for p in out.iterdir())
    assert names == [
        "annotated.partial.mp4",
        "results.partial.jsonl",
        "settings.partial.toml",
        "summary.partial.json",
    ]
    run = load(out)
    assert run.partial and 0 < len(run.results) < 1500
    assert sum(1 for _ in frames(out / "annotated.partial.mp4")) == len(run.results)


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_under_final_names_and_can_be_run_again(
    roadlens, clip: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start_long_run(clip, model, out)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert all(".partial" in p.name for p in out.iterdir())
    assert len(load(out).results) > 0
    assert roadlens("run", clip, "--detector", model, "--out", out)[0] == 0
    assert sorted(p.name for p in out.iterdir()) == ["annotated.mp4", "results.jsonl", "settings.toml", "summary.json"]


@pytest.mark.parametrize("words", cli.EXAMPLES)
def test_examples_of_the_help_are_lines_that_the_command_takes(words: str) -> None:
    command = typer.main.get_command(cli.app)
    for word in words.split():
        command = command.commands[word]
    context = command.make_context(words, cli.EXAMPLES[words].split())  # raises where an option is none of its own
    assert context.params and not context.args
    assert command.epilog == f"Example: roadlens {words} {cli.EXAMPLES[words]}"


def test_help_names_every_command(roadlens) -> None:
    code, said, _ = roadlens("--help")
    assert code == 0
    assert all(f" {words.split()[0]} " in said for words in cli.COMMANDS)


def test_bench_writes_flat_figures(roadlens, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    words = ("--frames", 10, "--objects", 4, "--size", "320x192", "--detector", model, "--json", path)
    assert roadlens("bench", *words)[0] == 0
    figures = json.loads(path.read_text())
    assert figures["width_px"] == 320 and figures["frames"] == 10
    own = [figures[f"{stage}_ms"] for stage in figures["stages"] if stage not in ("decode", "detect", "encode")]
    # the sum of a frame's stages is never less than one of them, so neither are the medians
    assert all(ms >= 0 for ms in own) and figures["own_work_ms"] >= max(own)
