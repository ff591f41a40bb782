"""Things that break for real: broken clips, full and read-only disks, killed processes, jumping clocks."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from processes import children

from app import cli
from app.batch_clip import failures
from app.batch_plan import collect
from app.config import Settings
from app.record import load
from app.runner import run_clip
from app.video import frames
from perception.types import Frame

NoiseClip = Callable[..., Path]
GOOD = 32


def settings(model: Path, **sections: dict) -> Settings:
    return Settings().changed(detector={"file": str(model)}, **sections)


def states(outcomes: tuple) -> dict[str, str]:
    return {outcome.job.name: outcome.status for outcome in outcomes}


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Exit code of ``roadlens batch`` in this process."""
    monkeypatch.setattr(sys, "argv", ["roadlens", "batch", *map(str, words)])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def start(archive: Path, out: Path, model: Path, *words: str) -> subprocess.Popen:
    """``roadlens batch`` in a process group of its own."""
    line = [sys.executable, "-m", "app.cli", "batch", str(archive), "--out", str(out), "--detector", str(model), "-q"]
    return subprocess.Popen([*line, *words], start_new_session=True)


# -- broken clips among good ones -------------------------------------------------------------------------------------


def sound_only(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for number in range(20):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 44100, 1024 * number
            container.mux(stream.encode(samples))
        container.mux(stream.encode())


def break_eight_ways(archive: Path, good: Path) -> dict[str, str]:
    """Eight broken clips: name -> part of the reason wanted."""
    import cv2

    whole = good.read_bytes()
    data = whole.index(b"mdat") + 4
    (archive / "zero.mp4").touch()
    (archive / "text.mp4").write_text("no video\n" * 99)
    (archive / "cut.mp4").write_bytes(whole[: data + (len(whole) - data) // 2])
    spoilt = bytearray(whole)
    spoilt[data + 40 :] = random.Random(1).randbytes(len(whole) - data - 40)
    (archive / "corrupt.mp4").write_bytes(spoilt)
    sound_only(archive / "sound.mp4")
    (archive / "picture.mp4").write_bytes(cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes())
    (archive / "folder.mp4").mkdir()
    (archive / "gone.mp4").symlink_to(archive / "nowhere.mp4")  # root may read everything: unreadable is not there
    return {
        "zero": "empty",
        "text": "cannot be opened",
        "cut": "breaks off",
        "corrupt": "no frame that can be decoded",
        "sound": "no video stream",
        "picture": "9x9 pixels",
        "folder.mp4": "no picture",
        "gone": "no such file",
    }


def test_forty_clips_with_eight_kinds_of_broken_ones(
    one_car_model: Path,
    noise_clip: NoiseClip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    first = noise_clip(archive / "good_00.mp4", frames=6)
    for number in range(1, GOOD):
        shutil.copy(first, archive / f"good_{number:02d}.mp4")
    wanted = break_eight_ways(archive, first)
    assert len(wanted) == 8
    words = (archive, "--out", out, "--detector", one_car_model, "--no-video")
    assert command(monkeypatch, *words) == 1
    said = capsys.readouterr().out
    assert "32 done, 8 failed" in said
    rows = {row["name"]: row for row in pq.read_table(out / "batch.parquet").to_pylist()}
    assert len(rows) == 40
    assert {name for name, row in rows.items() if row["status"] == "done"} == {f"good_{n:02d}" for n in range(GOOD)}
    for name, reason in wanted.items():
        assert rows[name]["status"] == "failed" and reason in rows[name]["reason"], rows[name]
        assert f"{name.removesuffix('.mp4')}.mp4: " in said and not (out / name).exists()
    assert set(failures(out)) == set(wanted)
    assert not (out / ".partial").exists()

    noise_clip(archive / "text.mp4")  # mended: the failed ones alone are tried again
    assert command(monkeypatch, *words, "--only-failed") == 1
    assert "1 done, 7 failed" in capsys.readouterr().out
    assert set(failures(out)) == set(wanted) - {"text"} and len(load(out / "text").results) == 8


def test_a_clip_that_grows_while_it_is_read_fails_and_is_done_when_whole(
    one_car_model: Path, noise_clip: NoiseClip, tmp_path: Path
) -> None:
    """A transport stream can be read while it is recorded; its results would be those of no clip that stays."""
    from app.batch_clip import do_clip
    from app.pipeline import open_detector

    clip = tmp_path / "recording.ts"
    import av

    with av.open(str(noise_clip(tmp_path / "whole.mp4", frames=30))) as source, av.open(str(clip), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    whole = clip.read_bytes()
    cut = len(whole) // 188 // 2 * 188
    clip.write_bytes(whole[:cut])
    chosen = settings(one_car_model, video={"write": False})
    detector = open_detector(chosen)
    (job,) = collect([str(clip)])

    def grow(progress: object) -> None:
        clip.write_bytes(whole)

    outcome = do_clip(job, tmp_path / "out", chosen, detector, on_progress=grow)
    assert outcome.status == "failed" and "changed while it was read" in outcome.reason
    assert not (tmp_path / "out" / job.name).exists()
    assert do_clip(job, tmp_path / "out", chosen, detector).status == "done"
    assert len(load(tmp_path / "out" / job.name).results) == 30


# -- disks ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a file system of its own: ``mount(*words of mount(8)) -> folder``; skips where that is not permitted."""
    mounted: list[Path] = []

    def make(*words: str) -> Path:
        folder = tmp_path / f"mounted_{len(mounted)}"
        folder.mkdir()
        try:
            done = subprocess.run(["mount", *words, str(folder)], capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("there is no mount command here")
        if done.returncode:
            pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_fills_up_costs_the_clips_that_do_not_fit(
    one_car_model: Path,
    noise_clip: NoiseClip,
    mount: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    small = mount("-t", "tmpfs", "-o", "size=320k", "tmpfs")
    noise_clip(tmp_path / "archive" / "b_long.mp4", frames=150)
    for name in ("a_short", "c_short"):
        noise_clip(tmp_path / "archive" / f"{name}.mp4", frames=6)
    words = (tmp_path / "archive", "--out", small / "out", "--detector", one_car_model)
    assert command(monkeypatch, *words) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "2 done, 1 failed" in said and "No space left on device" in said
    assert not (small / "out" / "b_long").exists() and not (small / "out" / ".partial").exists()
    for name in ("a_short", "c_short"):
        assert len(load(small / "out" / name).results) == 6
    assert "No space left" in failures(small / "out")["b_long"]
    (small / "ballast").write_bytes(b"")
    with (small / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    assert command(monkeypatch, *words, "--overwrite") == 1, "not even a summary fits"
    assert "3 failed" in " ".join(capsys.readouterr().out.split())
    assert len(load(small / "out" / "a_short").results) == 6, "what was done before stays"


def test_a_disk_for_reading_only(
    one_car_model: Path,
    noise_clip: NoiseClip,
    mount: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    noise_clip(tmp_path / "archive" / "day.mp4", frames=4)
    read_only = mount("--bind", "-o", "ro", str(tmp_path / "archive"))
    model = ("--detector", one_car_model, "--no-video")
    assert command(monkeypatch, read_only, "--out", read_only / "out", *model) == 2
    assert "cannot be written: Read-only file system" in " ".join(capsys.readouterr().err.split())
    assert command(monkeypatch, read_only, "--out", tmp_path / "out", *model) == 0


# -- processes --------------------------------------------------------------------------------------------------------

# What differs from run to run, and nothing else: how long things took. docs/runner.md names these fields.
_TIMINGS = re.compile(rb'"stage_ms": ?\{[^}]*\}|"(wall_s|fps)": ?[0-9.]+')
_OF_THE_CALL = ("status", "reason", "wall_s", "fps")  # columns of batch.parquet: what this call did, and how fast


def contents(out: Path) -> dict[str, object]:
    """Every file below the folder: bytes, timings aside."""
    found: dict[str, object] = {}
    for path in sorted(path for path in out.rglob("*") if not path.is_dir()):
        name = str(path.relative_to(out))
        if path.suffix == ".parquet":
            found[name] = pq.read_table(path).drop_columns(list(_OF_THE_CALL)).to_pylist()
        else:
            found[name] = path.read_bytes() if path.suffix == ".mp4" else _TIMINGS.sub(b"", path.read_bytes())
    return found


@pytest.mark.slow
def test_killed_at_ten_random_moments_and_resumed_it_is_byte_for_byte_the_same(
    one_car_model: Path, noise_clip: NoiseClip, tmp_path: Path
) -> None:
    """With and without its workers; moments are shares of what the undisturbed run took, so that all stages are hit."""
    archive, calm, out = tmp_path / "archive", tmp_path / "calm", tmp_path / "killed"
    for number in range(6):
        noise_clip(archive / f"clip_{number}.mp4", frames=40, level=60 + 20 * number)
    begun_s = time.monotonic()
    assert start(archive, calm, one_car_model, "-j", "2").wait(timeout=300) == 0
    took_s = time.monotonic() - begun_s
    moments = random.Random(7)
    killed = 0
    for _ in range(10):
        process = start(archive, out, one_car_model, "-j", "2")
        try:
            process.wait(timeout=took_s * moments.uniform(0.3, 0.8))
        except subprocess.TimeoutExpired:
            killed += 1
            os.killpg(process.pid, signal.SIGKILL) if moments.random() < 0.5 else process.kill()
            process.wait(timeout=30)
    assert start(archive, out, one_car_model, "-j", "2").wait(timeout=300) == 0
    assert killed >= 2, "the first at least are killed in their work"
    assert contents(out) == contents(calm)
    assert sum(name.endswith("annotated.mp4") for name in contents(out)) == 6


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_once_it_finishes_its_clip_and_twice_it_gives_up(
    one_car_model: Path, noise_clip: NoiseClip, tmp_path: Path, times: int
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    for name, length in (("a", 4), ("b", 1500), ("c", 4)):
        noise_clip(archive / f"{name}.mp4", frames=length)
    process = start(archive, out, one_car_model, "--no-video")
    until_s = time.monotonic() + 120
    while time.monotonic() < until_s and not list(out.glob(".partial/b.*/results.partial.jsonl")):
        time.sleep(0.05)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert process.wait(timeout=120) == 130
    assert (out / "a" / "done.json").exists() and not (out / "c").exists()
    assert (out / "b" / "done.json").exists() == (times == 1)
    assert failures(out) == {}, "a person who stops a clip has not made it fail"
    if times == 1:
        rows = pq.read_table(out / "batch.parquet").to_pylist()
        assert [row["status"] for row in rows] == ["done", "done", "stopped"]


def test_workers_do_not_outlive_a_parent_that_is_killed(
    one_car_model: Path, noise_clip: NoiseClip, tmp_path: Path
) -> None:
    noise_clip(tmp_path / "archive" / "long.mp4", frames=3000)
    process = start(tmp_path / "archive", tmp_path / "out", one_car_model, "--no-video")
    until_s = time.monotonic() + 120
    while time.monotonic() < until_s and not list(tmp_path.glob("out/.partial/*/results.partial.jsonl")):
        time.sleep(0.05)
    workers = children(process.pid)
    process.kill()
    process.wait(timeout=30)
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s and any(alive(worker) for worker in workers):
        time.sleep(0.05)
    assert workers and not any(alive(worker) for worker in workers)
    assert not (tmp_path / "out" / "long").exists()


def alive(process_id: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return False


# -- clocks -----------------------------------------------------------------------------------------------------------


def test_a_wall_clock_that_jumps_changes_nothing(
    one_car_model: Path, noise_clip: NoiseClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = noise_clip(tmp_path / "day.mp4", frames=12)
    chosen = settings(one_car_model)
    run_clip(str(clip), tmp_path / "calm", chosen)
    jumps = random.Random(3)
    real = time.time
    asked = []

    def jumping() -> float:
        asked.append(True)
        return real() + jumps.uniform(-1e7, 1e7)

    monkeypatch.setattr(time, "time", jumping)
    monkeypatch.setattr(time, "time_ns", lambda: int(jumping() * 1e9))
    summary = run_clip(str(clip), tmp_path / "jumping", chosen)
    monkeypatch.undo()
    assert 0.0 < summary.wall_s < 600.0 and all(0.0 <= ms < 600_000.0 for ms in summary.stage_ms.values())
    assert contents(tmp_path / "jumping") == contents(tmp_path / "calm")


# -- long runs --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_long_run_does_not_grow(
    one_car_model: Path, noise_clip: NoiseClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar of 20 MB over 15,000 frames is 1.4 kB a frame; tests/benchmarks/bench_pipeline.py runs all 20,000."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("the resident set is read from /proc")
    count, warm = 900, 300
    resident_kb: dict[int, int] = {}
    clip = noise_clip(tmp_path / "clip.mp4", frames=20)
    pictures = list(frames(clip))

    def endless(*args: object, **rest: object) -> Iterator[Frame]:
        for number in range(count):
            if number in (warm, count - 1):
                line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
                resident_kb[number] = int(line.split()[1])
            yield Frame(number, number / 20, pictures[number % len(pictures)].bgr)

    monkeypatch.setattr("app.runner.frames", endless)
    summary = run_clip(str(clip), tmp_path / "out", settings(one_car_model))
    assert summary.frames == count
    assert resident_kb[count - 1] - resident_kb[warm] < 3000, "5 kB a frame; a picture has 74"
