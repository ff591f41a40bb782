"""One run in a process of its own: ``python -m app.jobs.worker STORE ID``. It writes its own status as it goes."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from app.jobs.store import JobState, JobStore
from geometry.errors import InputError

if TYPE_CHECKING:
    from app.runner import Progress

MEMORY_LIMIT_BYTES = 8 << 30  # address space; a 4K clip with every model takes under 3 GiB of it
TIME_LIMIT_S = 6 * 3600  # of one processor: a clip that decodes for ever must end some day
_STATUS_EVERY_S = 0.25


class Worker:
    """Runs one job and keeps its status true."""

    def __init__(self, store: JobStore, job_id: str) -> None:
        self.store, self.job_id = store, job_id
        self.status = replace(store.status(job_id), state=JobState.RUNNING, pid=os.getpid())
        self._stop = False
        self._written_s = 0.0
        store.write_status(job_id, self.status)

    def run(self) -> None:
        """Does the work; ends with a status of done, failed or cancelled."""
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        from app.config import Settings
        from app.player.clip import CLIP, browser_clip
        from app.runner import run_clip

        spec = self.store.spec(self.job_id)
        try:
            settings = Settings.checked(spec.settings, what="the run's settings")
            summary = run_clip(
                spec.clip,
                self.store.results(self.job_id),
                settings,
                on_progress=self._progress,
                should_stop=lambda: self._stop,
            )
        except InputError as error:
            self._end(JobState.FAILED, str(error))
        except MemoryError:
            self._end(JobState.FAILED, f"the clip needs more than {MEMORY_LIMIT_BYTES >> 30} GiB of memory")
        else:
            browser_clip(spec.clip, self.store.results(self.job_id) / CLIP)
            self.status = replace(self.status, frames_done=summary.frames, fps=summary.fps)
            stopped = summary.state == "stopped"
            self._end(JobState.CANCELLED if stopped else JobState.DONE, "cancelled" if stopped else "")

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop = True

    def _progress(self, progress: Progress) -> None:
        now_s = time.monotonic()
        if now_s - self._written_s < _STATUS_EVERY_S:
            return
        self._written_s = now_s
        self.status = replace(
            self.status,
            frames_done=progress.frames,
            frames_total=progress.total or 0,
            fps=progress.fps,
        )
        self.store.write_status(self.job_id, self.status)

    def _end(self, state: JobState, message: str) -> None:
        self.store.write_status(self.job_id, replace(self.status, state=state, message=message))


def main() -> None:
    """Entry point; anything unexpected goes to worker.log and leaves a failed status by the queue's own look."""
    root, job_id = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CPU, (TIME_LIMIT_S, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    Worker(JobStore(root), job_id).run()


if __name__ == "__main__":
    main()
