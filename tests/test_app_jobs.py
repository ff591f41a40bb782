"""Runs on disk and their queue: order, limits, cancelling, workers that die, servers that restart."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from page_server import render_clip

from app.config import Settings
from app.jobs.queue import JobQueue
from app.jobs.stills import stills
from app.jobs.store import PLAYER, JobSpec, JobState, JobStatus, JobStore, clean_name, stills_of
from app.jobs.worker import Worker
from app.partial import partial_path
from app.video import frames
from geometry.errors import InputError

# A worker that writes its status as the real one does; what it does next is the clip's name.
FAKE_WORKER = """
import os, signal, sys, time
from dataclasses import replace
from app.jobs.store import JobStore, JobState
store, job = JobStore(sys.argv[1]), sys.argv[2]
status = replace(store.status(job), state=JobState.RUNNING, pid=os.getpid(), frames_done=1)
end = lambda state: (store.write_status(job, replace(status, state=state)), sys.exit(0))
signal.signal(signal.SIGTERM, lambda *_: end(JobState.CANCELLED))
store.write_status(job, status)
name = store.spec(job).name
if name == "crash":
    sys.exit(3)
while name == "long":
    time.sleep(0.02)
end(JobState.DONE)
"""


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "runs")


@pytest.fixture
def queue(store: JobStore, command: list[str]) -> Iterator[JobQueue]:
    queue = JobQueue(store, limit=3, command=command)
    yield queue
    for job_id in store.ids():
        queue.cancel(job_id)
    wait(lambda: all(store.status(i).state.ended for i in store.ids()))
    queue.close()


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(FAKE_WORKER))
    return [sys.executable, str(script)]


def spec(name: str, owner: str = "me") -> JobSpec:
    return JobSpec("/clips/a.mp4", name, {}, owner)


def wait(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def state(store: JobStore, job_id: str) -> JobState:
    return store.status(job_id).state


def test_a_run_goes_from_queued_to_done(store: JobStore, queue: JobQueue) -> None:
    job_id = queue.submit(spec("short"))
    wait(lambda: state(store, job_id).ended)
    assert state(store, job_id) is JobState.DONE and store.status(job_id).share == 1.0


def test_runs_wait_in_order_and_the_queue_has_an_end(store: JobStore, queue: JobQueue) -> None:
    first = queue.submit(spec("long"))
    wait(lambda: state(store, first) is JobState.RUNNING)
    waiting = [queue.submit(spec("short")) for _ in range(3)]
    assert [queue.position(i) for i in waiting] == [0, 1, 2]
    with pytest.raises(InputError, match="3 runs are waiting, which is the limit"):
        queue.submit(spec("short"))
    queue.cancel(first)
    wait(lambda: all(state(store, i) is JobState.DONE for i in waiting))
    assert state(store, first) is JobState.CANCELLED


def test_a_waiting_run_is_cancelled_at_once(store: JobStore, queue: JobQueue) -> None:
    first = queue.submit(spec("long"))
    wait(lambda: state(store, first) is JobState.RUNNING)
    second = queue.submit(spec("short"))
    queue.cancel(second)
    assert state(store, second) is JobState.CANCELLED


def test_a_killed_worker_is_told_within_seconds(store: JobStore, queue: JobQueue) -> None:
    job_id = queue.submit(spec("long"))
    wait(lambda: store.status(job_id).frames_done == 1)
    killed = time.monotonic()
    os.kill(store.status(job_id).pid, signal.SIGKILL)
    wait(lambda: state(store, job_id) is JobState.FAILED)
    assert time.monotonic() - killed < 5.0
    assert "SIGKILL" in store.status(job_id).message


def test_a_worker_that_ends_without_a_word_has_failed(store: JobStore, queue: JobQueue) -> None:
    job_id = queue.submit(spec("crash"))
    wait(lambda: state(store, job_id).ended)
    assert state(store, job_id) is JobState.FAILED and "code 3" in store.status(job_id).message


def test_a_new_server_takes_over_what_runs_and_what_waits(store: JobStore, command: list[str]) -> None:
    old = JobQueue(store, command=command)
    running = old.submit(spec("long"))
    wait(lambda: store.status(running).frames_done == 1)
    waiting = old.submit(spec("short"))
    with pytest.raises(InputError, match="another roadlens page"):
        JobQueue(store, command=command)
    old.close()
    new = JobQueue(store, command=command)
    assert state(store, running) is JobState.RUNNING
    new.cancel(running)
    wait(lambda: state(store, running) is JobState.CANCELLED and state(store, waiting) is JobState.DONE)
    new.close()


def test_a_new_server_marks_what_died_meanwhile(store: JobStore, command: list[str]) -> None:
    job_id = store.create(spec("long"))
    store.write_status(job_id, JobStatus(JobState.RUNNING, pid=2**22 - 1))
    queue = JobQueue(store, command=command)
    wait(lambda: state(store, job_id) is JobState.FAILED)
    queue.close()


def test_everybody_sees_his_own(store: JobStore) -> None:
    mine, yours = store.create(spec("a", "me")), store.create(spec("b", "you"))
    assert store.ids("me") == [mine] and store.ids("you") == [yours] and len(store.ids()) == 2


def test_ended_runs_can_be_deleted_with_their_upload(store: JobStore) -> None:
    clip = store.uploads / "abc"
    clip.write_bytes(b"x")
    job_id = store.create(JobSpec(str(clip), "a", {}, "me", uploaded=True))
    with pytest.raises(InputError, match="still going"):
        store.delete(job_id)
    store.write_status(job_id, JobStatus(JobState.DONE))
    store.delete(job_id)
    assert store.ids() == [] and not clip.exists()


def test_deleting_a_run_on_a_sample_keeps_the_sample(store: JobStore, tmp_path: Path) -> None:
    clip = tmp_path / "sample.mp4"
    clip.write_bytes(b"x")
    job_id = store.create(JobSpec(str(clip), "a", {}, "me", uploaded=True))
    store.write_status(job_id, JobStatus(JobState.FAILED))
    store.delete(job_id)
    assert clip.exists()


@pytest.mark.parametrize("job_id", ["../..", "", "0" * 24, "..", "a/b", "0" * 23 + "\n"])
def test_ids_cannot_name_anything_else(store: JobStore, job_id: str) -> None:
    with pytest.raises(InputError, match="there is no run"):
        store.folder(job_id)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("a\x00b\n.mp4", "ab.mp4"),
        ("x" * 300, "x" * 80),
        ("", "clip"),
        ("C:\\d\\v.mp4", "v.mp4"),
    ],
)
def test_names_are_harmless(given: str, shown: str) -> None:
    assert clean_name(given) == shown


def test_uploads_that_no_run_uses_go_after_a_while(store: JobStore) -> None:
    used, left, fresh = (store.uploads / (c * 24) for c in "abc")
    camera = store.uploads / ("d" * 24 + ".toml")
    for path in (used, left, fresh, camera):
        path.write_bytes(b"x")
    for path in (used, left):
        (stills_of(path)).mkdir()
    store.create(JobSpec(str(used), "a", {"camera": {"profile": str(camera)}}, "me", uploaded=True))
    for path in (*store.uploads.iterdir(),):
        if path != fresh:
            os.utime(path, (0, 0))
    store.sweep(older_s=60.0)
    assert set(store.uploads.iterdir()) == {used, fresh, camera, stills_of(used)}


def test_an_upload_is_dropped_only_where_no_run_uses_it(store: JobStore, tmp_path: Path) -> None:
    used, chosen_again, elsewhere = store.uploads / "a", store.uploads / "b", tmp_path / "c"
    for path in (used, chosen_again, elsewhere):
        path.write_bytes(b"x")
        store.create(JobSpec(str(used), "a", {}, "me", uploaded=True))
        store.drop_upload(path)
    assert used.exists() and elsewhere.exists() and not chosen_again.exists()


def test_live_runs_wait_for_nobody_and_are_limited(store: JobStore, queue: JobQueue) -> None:
    clip = queue.submit(spec("long"))
    live = queue.submit(replace(spec("long"), live=True))
    wait(lambda: store.status(clip).frames_done == store.status(live).frames_done == 1)  # beside one another
    with pytest.raises(InputError, match=r"1 live run\(s\) are going"):
        queue.submit(replace(spec("long"), live=True))
    queue.cancel(live)
    wait(lambda: state(store, live) is JobState.CANCELLED)
    queue.submit(replace(spec("short"), live=True))


def test_what_ended_is_read_once_and_never_forgotten(store: JobStore) -> None:
    job_id = store.create(spec("a"))
    store.write_status(job_id, JobStatus(JobState.DONE, frames_done=7))
    assert JobStore(store.root).status(job_id).frames_done == 7  # on disk
    assert store.status(job_id) is store.status(job_id)
    store.delete(job_id)
    with pytest.raises(InputError, match="there is no run"):
        store.status(job_id)
    with pytest.raises(InputError, match="there is no run"):
        store.spec(job_id)


def test_a_process_cannot_take_more_memory_or_write_more_than_allowed(tmp_path: Path) -> None:
    code = f"""
from app.jobs.limits import confine
import app.jobs.limits as limits, resource
limits.FILE_LIMIT_BYTES = 1000
confine(memory_bytes=1 << 30, cpu_s=50)
try:
    bytearray(2 << 30)
except MemoryError:
    print("memory held")
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    open({str(tmp_path / "f")!r}, "wb", buffering=0).write(bytes(2000)) < 2000 and print("file held")
except OSError:
    print("file held")
print(resource.getrlimit(resource.RLIMIT_CPU) == (50, 50))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["memory held", "file held", "True"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=1.0)


@pytest.fixture
def clip(rendered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(rendered, tmp_path))


def work(store: JobStore, path: Path, **sections: dict[str, object]) -> str:
    """Runs the real worker on a clip, here; the run's id."""
    settings = Settings().changed(lanes={"enabled": False}, **sections).model_dump(mode="json")
    job_id = store.create(JobSpec(str(path), "a", settings, "me"))
    before = signal.getsignal(signal.SIGTERM)
    try:
        Worker(store, job_id).run()
    finally:
        signal.signal(signal.SIGTERM, before)
    return job_id


def test_a_worker_leaves_a_clip_and_what_is_drawn_over_it(store: JobStore, clip: Path) -> None:
    job_id = work(store, clip)
    assert store.status(job_id).state is JobState.DONE and store.status(job_id).frames_done == 10
    drawn = json.loads((store.results(job_id) / PLAYER).read_text())
    assert len(drawn["frames"]) == 10 and drawn["size"] == [640, 360]
    assert {"clip.mp4", "annotated.mp4", "results.jsonl"} <= {p.name for p in store.results(job_id).iterdir()}


def test_a_clip_that_is_too_long_is_refused_and_told_what_to_do(
    store: JobStore, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.worker.LENGTH_LIMIT_S", 0.5)
    status = store.status(work(store, clip))
    assert status.state is JobState.FAILED and "Stop after" in status.message
    assert store.status(work(store, clip, clip={"end_s": 0.4})).state is JobState.DONE


def test_a_clip_that_breaks_off_fails_and_keeps_what_was_there(store: JobStore, clip: Path) -> None:
    whole = clip.read_bytes()
    clip.write_bytes(whole[: 2 * len(whole) // 3])
    job_id = work(store, clip)
    message = store.status(job_id).message
    assert store.status(job_id).state is JobState.FAILED and "breaks off" in message
    assert store.spec(job_id).name in message and str(clip.parent) not in message  # no folder of this machine
    assert partial_path(store.results(job_id) / "results.jsonl").is_file()
    assert json.loads((store.results(job_id) / PLAYER).read_text())["frames"]


def test_stills_are_taken_by_a_child_and_only_once(store: JobStore, clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a.stills"
    taken = stills(clip, folder)
    assert taken.size_px == (640, 360) and taken.times_s == pytest.approx(np.arange(10) / 10, abs=1e-3)
    for number, file in enumerate(taken.files):
        seen = cv2.imread(str(file)).astype(int)
        there = next(f.bgr for f in frames(clip, start_s=taken.times_s[number])).astype(int)
        assert np.abs(seen - there).mean() < 3.0
    clip.unlink()
    assert stills(clip, folder) == taken


def test_stills_of_what_is_no_clip_are_one_line(tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("dear diary")
    with pytest.raises(InputError, match=r"^the clip cannot be opened as video"):
        stills(text, tmp_path / "a.stills")
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
