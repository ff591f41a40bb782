"""Many clips in worker processes of this machine: a clip that fails, or takes its worker down, stops no other.

Each worker is a fresh process (spawned, not forked: networks and decoders hold threads) that loads the detector once
and takes clips one after the other. The parent only hands out work and listens. Results are published by renaming
whole folders (``app.batch_clip``), so that nothing depends on the parent's memory: kill any of them and start again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from app.batch_clip import ClipOutcome, do_clip, failed, is_done, summary_of, tidy
from app.batch_plan import ClipJob, key_of
from app.config import Settings
from app.kernels import load_kernels
from app.pipeline import open_detector
from app.remote import run_and_send
from app.runner import Progress
from geometry.errors import InputError

PROGRESS_EVERY_S = 0.5
TRIES = 2  # a worker that dies may have been killed for a neighbour's hunger; one that dies twice on a clip is ill
_WAIT_S = 0.2


@dataclass(frozen=True)
class BatchEvent:
    """News for whoever watches: a clip began, went on (with ``progress``) or ended (with ``outcome``)."""

    job: ClipJob
    progress: Progress | None = None
    outcome: ClipOutcome | None = None


OnEvent = Callable[[BatchEvent], None]


@dataclass(frozen=True)
class BatchPlan:
    """What to do: the clips, where to, with which settings, in how many processes.

    ``address``: where results are sent to instead; ``out`` then holds only what is known of them (``app.remote``).
    """

    jobs: tuple[ClipJob, ...]
    out: Path
    settings: Settings
    workers: int = 1
    overwrite: bool = False
    address: str | None = None


def run_batch(
    plan: BatchPlan,
    *,
    on_event: OnEvent = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[ClipOutcome, ...]:
    """Does all clips that are not done yet; outcomes in the order of the plan.

    When ``should_stop`` turns true no further clip is begun; those begun are finished.

    Raises:
        InputError: the detector or the output folder cannot be used: no clip could be done.
    """
    sha256 = prepare(plan)
    done, todo = divide(plan, sha256)
    for outcome in done:
        on_event(BatchEvent(outcome.job, outcome=outcome))
    outcomes = {outcome.job.name: outcome for outcome in done}
    with _Workers(plan, sha256) as workers:
        for event in workers.run(todo, should_stop):
            on_event(event)
            if event.outcome is not None:
                outcomes[event.job.name] = event.outcome
    tidy(plan.out, outcomes)
    stopped = (ClipOutcome(job, "stopped", "not begun", {}) for job in plan.jobs if job.name not in outcomes)
    outcomes |= {outcome.job.name: outcome for outcome in stopped}
    return tuple(outcomes[job.name] for job in plan.jobs)


def prepare(plan: BatchPlan) -> str:
    """Checks what all clips need before the first is begun: the output folder and the detector, whose hash it gives.

    Loops are compiled here, if this machine has not done so yet, and not by every worker at once.
    """
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
        for left in plan.out.glob(".write-test-*"):  # of a process that was killed just here
            left.unlink(missing_ok=True)
        probe = plan.out / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"the folder {plan.out} cannot be written: {error.strerror}") from error
    sha256 = model_sha256(plan.settings)
    load_kernels()
    return sha256


def model_sha256(settings: Settings) -> str:
    """Hash of the detector's file, once it has been shown that it can be used.

    Raises:
        InputError: it cannot.
    """
    return open_detector(settings).description.get("sha256", "")


def divide(plan: BatchPlan, sha256: str, *, note: bool = True) -> tuple[list[ClipOutcome], list[ClipJob]]:
    """Outcomes of the clips that need no work (done before, or impossible), and the jobs that remain.

    Args:
        sha256: of the detector's file.
        note: whether impossible ones are noted as failed in the output folder.
    """
    settled: list[ClipOutcome] = []
    todo: list[ClipJob] = []
    for job in plan.jobs:
        try:
            key = key_of(job.clip, job.settings(plan.settings), sha256)
        except InputError as error:
            impossible = ClipOutcome(job, "failed", str(error), {})
            settled.append(failed(plan.out, job, str(error)) if note else impossible)
            continue
        if not plan.overwrite and is_done(plan.out, job, key):
            settled.append(ClipOutcome(job, "skipped", "done before", summary_of(plan.out, job)))
        else:
            todo.append(job)
    return settled, todo


# -- the parent -------------------------------------------------------------------------------------------------------


@dataclass
class _Worker:
    """A process, our end of its pipe, and the clip it works on."""

    process: Any
    pipe: Connection
    job: ClipJob | None = None


@dataclass
class _Workers:
    """The processes of a batch; leaving the block ends them."""

    plan: BatchPlan
    model_sha256: str
    alive: list[_Worker] = field(default_factory=list)

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self.alive:
            worker.pipe.close()  # an idle worker reads the end of the pipe and goes
            if worker.job is not None:
                worker.process.terminate()
        for worker in self.alive:
            worker.process.join(timeout=5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def run(self, jobs: Sequence[ClipJob], should_stop: Callable[[], bool]) -> Iterator[BatchEvent]:
        """Does the jobs; a worker that died is replaced, its clip tried once more."""
        todo = deque(jobs)
        tries: dict[str, int] = {}
        while True:
            if should_stop():
                todo.clear()
            for job in self._hand_out(todo):
                tries[job.name] = tries.get(job.name, 0) + 1
                yield BatchEvent(job)
            busy = [worker for worker in self.alive if worker.job is not None]
            if not busy:
                return
            wait([w.pipe for w in busy] + [w.process.sentinel for w in busy], timeout=_WAIT_S)
            for worker in busy:
                yield from self._listen(worker)
                if worker.job is not None and not worker.process.is_alive():
                    yield from self._listen(worker)  # what it said before it died
                    yield from self._buried(worker, todo, tries)

    def _hand_out(self, todo: deque[ClipJob]) -> Iterator[ClipJob]:
        while todo:
            worker = next((w for w in self.alive if w.job is None and w.process.is_alive()), None)
            if worker is None and len(self.alive) < self.plan.workers:
                worker = self._start()
            if worker is None:
                return
            worker.job = todo.popleft()
            worker.pipe.send(worker.job)
            yield worker.job

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        order = _Order(
            str(self.plan.out),
            self.plan.settings.model_dump(mode="json", exclude_unset=True),
            self.model_sha256,
            max(1, cores() // self.plan.workers),
            self.plan.address,
        )
        process = context.Process(target=_work, args=(theirs, order), name="roadlens-worker", daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self.alive.append(worker)
        return worker

    def _listen(self, worker: _Worker) -> Iterator[BatchEvent]:
        try:
            while worker.job is not None and worker.pipe.poll():
                said = worker.pipe.recv()
                job = worker.job
                if isinstance(said, ClipOutcome):
                    worker.job = None
                    yield BatchEvent(job, outcome=said)
                else:
                    yield BatchEvent(job, progress=said)
        except (EOFError, OSError):
            worker.process.join(timeout=5)  # the pipe broke: it is dying

    def _buried(self, worker: _Worker, todo: deque[ClipJob], tries: dict[str, int]) -> Iterator[BatchEvent]:
        job = worker.job
        assert job is not None
        self.alive.remove(worker)
        worker.pipe.close()
        if tries[job.name] < TRIES:
            todo.append(job)
            return
        reason = f"its worker died {TRIES} times ({_cause(worker.process.exitcode)})"
        yield BatchEvent(job, outcome=failed(self.plan.out, job, reason))


def _cause(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    return f"{name}; out of memory?" if name == "SIGKILL" else name


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- a worker ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Order:
    """What a worker is told when it starts; plain values, because they are pickled."""

    out: str
    settings: dict[str, Any]
    model_sha256: str
    threads: int
    address: str | None = None


def _work(pipe: Connection, order: _Order) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, name="roadlens-parent", daemon=True).start()
    settings = Settings.checked(order.settings)
    limit_threads(order.threads)
    detector: Any = None
    try:
        while True:
            job: ClipJob = pipe.recv()
            try:
                detector = detector or checked_detector(settings, order.model_sha256, order.threads)
            except InputError as error:
                pipe.send(failed(Path(order.out), job, str(error)))
                continue
            run = partial(do_clip, job, base=settings, detector=detector, on_progress=_Teller(pipe).tell)
            pipe.send(run(Path(order.out)) if order.address is None else run_and_send(job, order.address, run))
    except (EOFError, BrokenPipeError):
        return  # the parent is done with us, or gone


def _end_with_parent() -> None:
    """Ends this process when the parent was killed: at once, no finally blocks, as if it had been killed, too."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def limit_threads(count: int) -> None:
    """Keeps OpenCV within this process's share of the cores; the detector is told when it is opened."""
    import cv2

    cv2.setNumThreads(count)


def checked_detector(settings: Settings, sha256: str, threads: int) -> Any:
    """The detector of the settings with its share of the cores.

    Raises:
        InputError: it cannot be opened, or its file is another than when the batch began.
    """
    budget = settings if settings.detector.threads else settings.changed(detector={"threads": threads})
    detector = open_detector(budget)
    found = detector.description.get("sha256", "")
    if found != sha256:
        name = detector.description.get("file", "the model")
        raise InputError(f"{name} was changed during the run (sha256 {found[:12]}, at the start {sha256[:12]})")
    return detector


class _Teller:
    """Sends progress to the parent now and then."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._next_s = 0.0

    def tell(self, progress: Progress) -> None:
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + PROGRESS_EVERY_S
        try:
            self._pipe.send(replace(progress))
        except OSError:
            os._exit(1)  # the parent gave us up: no failure of the clip
