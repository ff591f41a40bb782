"""Runs on disk and their queue: order, limits, cancelling, workers that die, servers that restart."""

import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.jobs.queue import JobQueue
from app.jobs.store import JobSpec, JobState, JobStatus, JobStore, clean_name
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
