"""Batches: which clips, what is skipped and what is done again, and what happens when things break for real."""

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import children

from app import cli
from app.batch import BatchEvent, BatchPlan, run_batch
from app.batch_plan import ClipJob, collect, shard
from app.config import Settings
from app.record import load
from geometry.errors import InputError

CELLS = 12 * 8 + 6 * 4 + 3 * 2
GOOD = ("day", "night", "rain")


@pytest.fixture
def model(one_car_model: Path) -> Path:
    return one_car_model


@pytest.fixture
def archive(tmp_path: Path, noise_clip: Callable[..., Path]) -> Path:
    """Three good clips."""
    for number, name in enumerate(GOOD):
        noise_clip(tmp_path / "archive" / f"{name}.mp4", level=60 + 30 * number)
    return tmp_path / "archive"


def settings(model: Path, **sections: dict) -> Settings:
    return Settings().changed(detector={"file": str(model)}, **sections)


def states(outcomes: tuple) -> dict[str, str]:
    return {outcome.job.name: outcome.status for outcome in outcomes}


# -- which clips ------------------------------------------------------------------------------------------------------


def test_folders_patterns_and_lists_stand_for_their_clips(archive: Path) -> None:
    (archive / "notes.md").write_text("not a clip")
    (archive / "list.txt").write_text("# two of them\nday.mp4\nrain.mp4\n")
    assert [job.name for job in collect([str(archive)])] == ["day", "night", "rain"]
    assert [job.name for job in collect([str(archive / "*i*.mp4")])] == ["night", "rain"]
    assert [job.name for job in collect([str(archive / "list.txt")])] == ["day", "rain"]
    assert [job.name for job in collect([str(archive), str(archive / "day.mp4")])] == ["day", "night", "rain"]


def test_clips_of_the_same_name_get_names_of_their_own(archive: Path) -> None:
    shutil.copytree(archive, archive / "copy")
    names = [job.name for job in collect([str(archive)])]
    assert len(set(names)) == 6
    assert all(re.fullmatch(r"(day|night|rain)-[0-9a-f]{8}", name) for name in names)


def test_a_manifest_gives_each_clip_its_own_settings(archive: Path, tmp_path: Path) -> None:
    path = archive / "manifest.csv"
    path.write_text("clip,camera,start_s,name,speed\nday.mp4,kitti,0.1,first,20\nnight.mp4,own.toml,,,can.csv\n")
    first, second = collect([str(path)])
    assert first.name == "first" and second.name == "night"
    one = first.settings(Settings())
    assert (one.camera.profile, one.clip.start_s, one.ego.speed) == ("kitti", 0.1, 20.0)
    two = second.settings(Settings().changed(camera={"profile": "comma"}))
    assert two.camera.profile == str(archive / "own.toml") and two.ego.speed == str(archive / "can.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,camera\na.mp4,kitti\n", "wanted clip"),
        ("clip,camera,colour\na.mp4,kitti,red\n", "wanted clip"),
        ("clip,start_s\na.mp4,soon\n", "line 2"),
        ("clip,camera\n,kitti\n", "line 2"),
        ("clip,name\na.mp4,x\nb.mp4,x\n", "given to 2 clips"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        collect([str(path)])


@given(count=st.integers(0, 50), parts=st.integers(1, 9))
def test_shards_share_all_clips_out_once(count: int, parts: int) -> None:
    jobs = [ClipJob(f"{number}.mp4", str(number)) for number in range(count)]
    shared = [job for part in range(1, parts + 1) for job in shard(jobs, f"{part}/{parts}")]
    assert sorted(job.clip for job in shared) == sorted(job.clip for job in jobs)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0"])
def test_no_such_shard(text: str) -> None:
    with pytest.raises(InputError, match="i/n"):
        shard([], text)


# -- done, skipped, done again ----------------------------------------------------------------------------------------


def test_what_is_done_is_skipped_and_what_changed_is_done_again(
    archive: Path, model: Path, tmp_path: Path, noise_clip: Callable[..., Path]
) -> None:
    out = tmp_path / "out"
    plan = BatchPlan(collect([str(archive)]), out, settings(model, video={"write": False}))
    assert set(states(run_batch(plan)).values()) == {"done"}
    assert len(load(out / "night").results) == 8
    assert set(states(run_batch(plan)).values()) == {"skipped"}

    noise_clip(archive / "night.mp4", level=130)  # another clip under the same name
    (out / "rain" / "done.json").unlink()  # as if the folder had come from somewhere else
    for left in ("rain.0123abcd", "day.0123abcd.old", "rain.night.0123abcd"):  # of tries that were killed
        (out / ".partial" / left).mkdir(parents=True)
        (out / ".partial" / left / "results.partial.jsonl").write_text("half")
    assert states(run_batch(plan)) == {"day": "skipped", "night": "done", "rain": "done"}
    assert [path.name for path in (out / ".partial").iterdir()] == ["rain.night.0123abcd"], "another clip's"

    other = BatchPlan(plan.jobs, out, settings(model, video={"write": False}, clip={"every": 2}))
    assert set(states(run_batch(other)).values()) == {"done"}
    assert len(load(out / "day").results) == 4


def test_another_model_or_camera_profile_is_another_result(
    archive: Path, model: Path, constant_onnx: Callable, tmp_path: Path
) -> None:
    from geometry.profiles import load_profile, toml_from_camera

    profile = tmp_path / "own.toml"
    profile.write_text(toml_from_camera(load_profile("kitti")))
    chosen = settings(model, video={"write": False}, camera={"profile": str(profile)})
    plan = BatchPlan(collect([str(archive / "day.mp4")]), tmp_path / "out", chosen)
    assert states(run_batch(plan)) == {"day": "done"}
    profile.write_text(toml_from_camera(load_profile("kitti").mounted(height_m=1.2)))
    assert states(run_batch(plan)) == {"day": "done"}
    empty = np.zeros((1, 84, CELLS), np.float32)
    constant_onnx("one_car", {"output0": empty})  # the same file name, other weights
    assert states(run_batch(plan)) == {"day": "done"}
    assert states(run_batch(plan)) == {"day": "skipped"}


def test_the_profile_beside_a_clip_is_its_camera(archive: Path, model: Path, tmp_path: Path) -> None:
    """Unless the command line names one; a profile that is wrong fails its clip alone."""
    from geometry.profiles import load_profile, toml_from_camera

    known, wrong, bare = sorted(GOOD)
    (archive / f"{known}.toml").write_text(toml_from_camera(load_profile("kitti").mounted(height_m=1.11)))
    (archive / f"{wrong}.toml").write_text("height = nan\n")
    jobs = collect([str(archive)])
    unnamed = settings(model, video={"write": False}, camera={"profile": None})  # as the command line makes them
    ended = states(run_batch(BatchPlan(jobs, tmp_path / "out", unnamed)))
    assert ended == {known: "done", wrong: "failed", bare: "done"}
    assert load(tmp_path / "out" / known).header.camera.height_m == 1.11
    assert load(tmp_path / "out" / bare).header.camera.name == "generic"
    named = settings(model, video={"write": False}, camera={"profile": "kitti"})
    assert set(states(run_batch(BatchPlan(jobs, tmp_path / "named", named))).values()) == {"done"}
    assert load(tmp_path / "named" / known).header.camera.height_m == 1.65


# -- things that break ------------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_is_replaced_and_its_clip_done(
    archive: Path, model: Path, tmp_path: Path, noise_clip: Callable[..., Path]
) -> None:
    noise_clip(archive / "day.mp4", frames=150)
    killed = []

    def kill_once(event: BatchEvent) -> None:
        if event.job.name == "day" and event.outcome is None and not killed:
            killed.append(True)
            for child in children(os.getpid()):
                os.kill(child, signal.SIGKILL)

    plan = BatchPlan(collect([str(archive)]), tmp_path / "out", settings(model, video={"write": False}))
    assert set(states(run_batch(plan, on_event=kill_once)).values()) == {"done"}
    assert killed


def test_a_worker_that_always_dies_costs_its_clip_only(archive: Path, model: Path, tmp_path: Path) -> None:
    def kill_always(event: BatchEvent) -> None:
        if event.job.name == "night" and event.outcome is None:
            for child in children(os.getpid()):
                os.kill(child, signal.SIGKILL)

    plan = BatchPlan(collect([str(archive)]), tmp_path / "out", settings(model, video={"write": False}))
    outcomes = run_batch(plan, on_event=kill_always)
    assert states(outcomes) == {"day": "done", "night": "failed", "rain": "done"}
    assert "SIGKILL" in outcomes[1].reason


def test_a_model_swapped_during_the_run_is_noticed(
    archive: Path, model: Path, constant_onnx: Callable, tmp_path: Path
) -> None:
    """The parent has checked the model; before the worker opens it, another takes its place."""

    swapped = []

    def swap(event: BatchEvent) -> None:
        if not swapped:
            swapped.append(True)
            constant_onnx("one_car", {"output0": np.zeros((1, 84, CELLS), np.float32)})

    plan = BatchPlan(collect([str(archive)]), tmp_path / "out", settings(model, video={"write": False}))
    outcomes = run_batch(plan, on_event=swap)
    assert {outcome.status for outcome in outcomes} == {"failed"}
    assert all("was changed during the run" in outcome.reason for outcome in outcomes)


def test_a_folder_that_cannot_be_written_is_told_before_any_work(archive: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        run_batch(BatchPlan(collect([str(archive)]), tmp_path / "file" / "out", settings(model)))


def test_stopping_finishes_the_clip_and_begins_no_other(archive: Path, model: Path, tmp_path: Path) -> None:
    begun = []
    plan = BatchPlan(collect([str(archive)]), tmp_path / "out", settings(model, video={"write": False}))
    outcomes = run_batch(plan, on_event=lambda event: begun.append(event.job.name), should_stop=lambda: bool(begun))
    assert states(outcomes) == {"day": "done", "night": "stopped", "rain": "stopped"}


# -- the same results, whatever happened ------------------------------------------------------------------------------


def contents(out: Path) -> dict[str, bytes]:
    """Every file of every result folder, timings aside."""
    timings = re.compile(rb'"stage_ms": ?\{[^}]*\}|"(wall_s|fps)": ?[0-9.]+')
    return {
        str(path.relative_to(out)): path.read_bytes() if path.suffix == ".mp4" else timings.sub(b"", path.read_bytes())
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_one_process_or_two_give_the_same(archive: Path, model: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        plan = BatchPlan(collect([str(archive)]), tmp_path / str(workers), settings(model), workers=workers)
        assert set(states(run_batch(plan)).values()) == {"done"}
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert (tmp_path / "1" / "day" / "annotated.mp4").stat().st_size > 1000
    marker = json.loads((tmp_path / "1" / "day" / "done.json").read_text())
    assert {"roadlens", "format", "clip", "model_sha256", "settings", "files"} == set(marker["key"])


# -- results at an address ---------------------------------------------------------------------------------------------


def test_results_go_to_any_address_that_fsspec_knows(
    archive: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("fsspec", reason="the extra 'remote' is not installed")
    (archive / "bad.mp4").write_text("no video")
    far = tmp_path / "far"
    words = ["roadlens", "batch", str(archive), "--out", f"file://{far}", "--detector", str(model), "--no-video"]
    monkeypatch.setattr(sys, "argv", words)

    def call() -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().out

    code, said = call()
    assert code == 1 and "3 done, 1 failed" in said
    plan = BatchPlan(collect([str(archive)]), tmp_path / "near", settings(model, video={"write": False}))
    run_batch(plan)
    near, there = contents(tmp_path / "near"), contents(far)
    assert there.pop("batch.parquet") and there == near
    (far / "night" / "done.json").unlink()  # as if sending had broken off
    code, said = call()
    assert code == 1 and "1 done, 2 skipped, 1 failed" in said
    assert (far / "night" / "done.json").exists()


def test_a_marker_is_the_last_thing_that_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an object store nothing is renamed: who finds the marker must find all the rest."""
    fsspec = pytest.importorskip("fsspec", reason="the extra 'remote' is not installed")
    from app.remote import fetch_states, send

    folder = tmp_path / "day"
    folder.mkdir()
    for name in ("annotated.mp4", "done.json", "results.jsonl", "summary.json"):
        (folder / name).write_text(name)
    memory = fsspec.filesystem("memory")
    order = []
    sent = memory.put_file
    monkey = pytest.MonkeyPatch()
    monkey.setattr(
        type(memory), "put_file", lambda self, *paths, **rest: order.append(paths[1]) or sent(*paths, **rest)
    )
    try:
        send(folder.iterdir(), "memory://bucket/results", "day")
        send(folder.iterdir(), "memory://bucket/results", "day")
    finally:
        monkey.undo()
    assert len(order) == 8 and order[3].endswith("done.json") and order[7].endswith("done.json")
    fetch_states("memory://bucket/results", tmp_path / "staging")
    found = sorted(str(p.relative_to(tmp_path / "staging")) for p in (tmp_path / "staging").rglob("*") if p.is_file())
    assert found == ["day/done.json", "day/summary.json"]
    with pytest.raises(InputError, match="cannot be used"):
        fetch_states("nothing-like-it://bucket", tmp_path / "staging")
