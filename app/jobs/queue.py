"""The queue: starts worker processes, a few at a time, in the order of asking; notices when one dies."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from app.jobs.store import JobSpec, JobState, JobStore
from geometry.errors import InputError

WORKER_COMMAND = (sys.executable, "-m", "app.jobs.worker")
_POLL_S = 0.2
_CANCEL_PATIENCE_S = 5.0  # a worker that closes its files properly needs well under this
_SWEEP_EVERY_S, _SWEEP_OLDER_S = 600.0, 6 * 3600.0  # uploads of forms that were left: gone after six hours
_LEFT_RUNNING: list[subprocess.Popen[bytes]] = []  # of closed queues: Popen takes a dropped child for a mistake


class JobQueue:
    """Runs of one store; ``workers`` at once, at most ``limit`` waiting; live ones beside them, at most ``live_limit``.

    Workers are sessions of their own: they outlive the page and the server. A queue that starts again on the same
    store takes over what still runs, marks what died as failed, and goes on with what waited. ``command`` is called
    with the store's folder and the run's id.

    Raises:
        InputError: another queue already works on this store.
    """

    def __init__(
        self,
        store: JobStore,
        *,
        workers: int = 1,
        limit: int = 20,
        live_limit: int = 1,
        command: Sequence[str] = WORKER_COMMAND,
    ) -> None:
        self.store, self.workers, self.limit, self.live_limit = store, workers, limit, live_limit
        self._command = tuple(command)
        self._lock_file = _lock(store.root / ".lock")
        self._mutex = threading.Lock()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._cancelled: dict[str, float] = {}
        self._swept_s = -math.inf
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="roadlens-queue", daemon=True)
        self._thread.start()

    def submit(self, spec: JobSpec) -> str:
        """Puts a run at the end of the queue; returns its id.

        Raises:
            InputError: the queue is full, or all that may be live are.
        """
        with self._mutex:
            if spec.live:
                live = sum(self.store.spec(i).live for i in self._ids(JobState.QUEUED, JobState.RUNNING))
                if live >= self.live_limit:
                    raise InputError(f"{live} live run(s) are going, which is the limit; stop one before the next")
                return self.store.create(spec)
            waiting = len(self._waiting())
            if waiting >= self.limit:
                raise InputError(f"{waiting} runs are waiting, which is the limit; try again when some are done")
            return self.store.create(spec)

    def position(self, job_id: str) -> int:
        """How many runs are before this one: 0 is the next to start, or one that is not waiting."""
        waiting = self._waiting()
        return waiting.index(job_id) if job_id in waiting else 0

    def _waiting(self) -> list[str]:
        return [i for i in self._ids(JobState.QUEUED) if not self.store.spec(i).live]

    def _ids(self, *states: JobState) -> list[str]:
        return [i for i in self.store.ids() if self.store.status(i).state in states]

    def cancel(self, job_id: str) -> None:
        """Stops a run: at once if it waits, in order (files closed, marked as partial) if it works."""
        with self._mutex:
            status = self.store.status(job_id)
            if status.state is JobState.QUEUED:
                cancelled = replace(status, state=JobState.CANCELLED, message="cancelled before it began")
                self.store.write_status(job_id, cancelled)
            elif status.state is JobState.RUNNING:
                self._cancelled.setdefault(job_id, time.monotonic())
                _signal(self._pid(job_id), signal.SIGTERM)

    def close(self) -> None:
        """Stops watching; workers go on."""
        self._closed.set()
        self._thread.join(timeout=5.0)
        _LEFT_RUNNING.extend(child for child in self._children.values() if child.poll() is None)
        self._lock_file.close()

    # -- the watching thread ----------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._closed.wait(_POLL_S):
            try:
                with self._mutex:
                    self._look()
                    if time.monotonic() - self._swept_s > _SWEEP_EVERY_S:
                        self._swept_s = time.monotonic()
                        self.store.sweep(_SWEEP_OLDER_S)
            except (OSError, ValueError) as error:  # a folder deleted under our feet must not end the queue
                print(f"roadlens queue: {error}", file=sys.stderr, flush=True)

    def _look(self) -> None:
        running = sum(self._still_runs(i) and not self.store.spec(i).live for i in self._ids(JobState.RUNNING))
        free = max(self.workers - running, 0)
        for job_id in self._ids(JobState.QUEUED):
            if self.store.spec(job_id).live:  # nobody waits for "now"
                self._start(job_id)
            elif free:
                free -= 1
                self._start(job_id)
        for job_id in [i for i, child in self._children.items() if child.poll() is not None]:
            del self._children[job_id]
            self._cancelled.pop(job_id, None)

    def _start(self, job_id: str) -> None:
        running = replace(self.store.status(job_id), state=JobState.RUNNING, started_s=time.time())
        self.store.write_status(job_id, running)  # from here on the worker writes it
        with (self.store.folder(job_id) / "worker.log").open("ab") as log:
            child = subprocess.Popen(
                [*self._command, str(self.store.root), job_id],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children[job_id] = child

    def _pid(self, job_id: str) -> int:
        child = self._children.get(job_id)
        return child.pid if child is not None else self.store.status(job_id).pid

    def _still_runs(self, job_id: str) -> bool:
        """False, and the status set right, where the worker is gone without saying so."""
        child = self._children.get(job_id)
        code = child.poll() if child is not None else None
        pid = self._pid(job_id)
        alive = code is None and (child is not None or _is_worker(pid, job_id))
        if alive:
            asked = self._cancelled.get(job_id)
            if asked is not None and time.monotonic() - asked > _CANCEL_PATIENCE_S:
                _signal(pid, signal.SIGKILL)
            return True
        status = self.store.status(job_id)  # its last word may have come between the look and now
        if status.state is JobState.RUNNING:
            cancelled = job_id in self._cancelled
            state = JobState.CANCELLED if cancelled else JobState.FAILED
            message = "cancelled" if cancelled else _death(code)
            self.store.write_status(job_id, replace(status, state=state, message=message))
        return False


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the worker was killed ({signal.Signals(-code).name}); what it had written is marked as partial"
    how = f"ended with code {code}" if code is not None else "is gone"
    return f"the worker {how} before the clip was done; worker.log in the run's folder has its last words"


def _is_worker(pid: int, job_id: str) -> bool:
    """Whether a process of an earlier server still works on this run (a process id alone may have been reused)."""
    try:
        return job_id.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _signal(pid: int, number: int) -> None:
    if pid <= 0:  # 0 would mean our own process group
        return
    with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
        os.kill(pid, number)


def _lock(path: Path) -> IO[str]:
    handle = path.open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise InputError(
            f"another roadlens page already works on {path.parent}; close it, or choose another runs folder"
        ) from None
    return handle
