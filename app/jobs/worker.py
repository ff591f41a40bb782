"""One run in a process of its own: ``python -m app.jobs.worker STORE ID``. It writes its own status as it goes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from app.jobs.limits import LENGTH_LIMIT_S, MEMORY_LIMIT_BYTES, confine
from app.jobs.store import PLAYER, JobSpec, JobState, JobStore
from geometry.errors import InputError

if TYPE_CHECKING:
    from app.config import Settings
    from app.jobs.live import Live, LiveProgress
    from app.runner import Progress

_STATUS_EVERY_S = 0.25


class Worker:
    """Runs one job and keeps its status true."""

    def __init__(self, store: JobStore, job_id: str) -> None:
        self.store, self.job_id = store, job_id
        self.status = replace(store.status(job_id), state=JobState.RUNNING, pid=os.getpid())
        self._stop = False
        self._live: Live | None = None
        self._written_s = 0.0
        store.write_status(job_id, self.status)

    def run(self) -> None:
        """Does the work; ends with a status of done, failed or cancelled."""
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        from app.config import Settings

        spec = self.store.spec(self.job_id)
        try:
            settings = Settings.checked(spec.settings, what="the run's settings")
            state, message = (self._follow if spec.live else self._run)(spec, settings)
        except InputError as error:
            state, message = JobState.FAILED, str(error)
        except MemoryError:
            state, message = JobState.FAILED, f"the clip needs more than {MEMORY_LIMIT_BYTES >> 30} GiB of memory"
        message = message.replace(spec.clip, spec.name)  # neither this machine's folders nor an address's password
        if state is JobState.FAILED:
            with contextlib.suppress(InputError):  # a failed run may have left nothing to play
                write_player(self._results)
        self.store.write_status(self.job_id, replace(self.status, state=state, message=message))

    @property
    def _results(self) -> Path:
        return self.store.results(self.job_id)

    def _run(self, spec: JobSpec, settings: Settings) -> tuple[JobState, str]:
        """A clip: first what the browser plays, so that even a run that dies leaves something to look at."""
        from app.player.clip import CLIP, browser_clip
        from app.runner import run_clip
        from app.video import probe

        _check_length(probe(spec.clip).duration_s, settings)
        self._results.mkdir(exist_ok=True)
        with contextlib.suppress(InputError):  # a clip that breaks off: the run itself says so better
            browser_clip(spec.clip, self._results / CLIP, end_s=settings.clip.end_s)
        summary = run_clip(
            spec.clip, self._results, settings, on_progress=self._progress, should_stop=lambda: self._stop
        )
        self.status = replace(self.status, frames_done=summary.frames, fps=summary.fps)
        with contextlib.suppress(InputError):  # stopped before the first frame
            write_player(self._results)
        stopped = summary.state == "stopped"
        return (JobState.CANCELLED, "cancelled") if stopped else (JobState.DONE, "")

    def _follow(self, spec: JobSpec, settings: Settings) -> tuple[JobState, str]:
        """A live source, until it ends or a person stops it: both are its proper end."""
        from app.jobs.live import Live

        self._live = Live(spec.clip, self._results, settings, self._live_progress)
        message = self._live.run()
        write_player(self._results)
        return JobState.DONE, message

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop = True
        if self._live is not None:
            self._live.stop()

    def _progress(self, progress: Progress) -> None:
        if self._due():
            self.status = replace(
                self.status, frames_done=progress.frames, frames_total=progress.total or 0, fps=progress.fps
            )
            self.store.write_status(self.job_id, self.status)
        if progress.t_s > LENGTH_LIMIT_S:  # its container had promised less
            raise InputError(_too_long(progress.t_s))

    def _live_progress(self, news: LiveProgress) -> None:
        self.status = replace(self.status, frames_done=news.frames, fps=news.fps, delay_s=round(news.delay_s, 3))
        if self._due():
            self.store.write_status(self.job_id, self.status)

    def _due(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._written_s < _STATUS_EVERY_S:
            return False
        self._written_s = now_s
        return True


def write_player(results: Path) -> Path:
    """Writes what the player draws beside the record, whole or partial, of a run's folder.

    Raises:
        InputError: there is no record.
    """
    from app.player.data import player_data
    from app.record import load
    from app.runner import write_whole

    data = player_data(load(results))
    write_whole(results / PLAYER, json.dumps(data, separators=(",", ":"), allow_nan=False))
    return results / PLAYER


def _check_length(duration_s: float | None, settings: Settings) -> None:
    end_s = settings.clip.end_s
    length_s = min(duration_s or 0.0, end_s) if end_s is not None else duration_s or 0.0
    if length_s > LENGTH_LIMIT_S:
        raise InputError(_too_long(length_s))


def _too_long(length_s: float) -> str:
    return (
        f"this clip is {length_s / 60:.0f} minutes long, the page takes {LENGTH_LIMIT_S / 60:.0f}: set 'Stop after', "
        "or use the command line: roadlens run"
    )


def main() -> None:
    """Entry point; anything unexpected goes to worker.log and leaves a failed status by the queue's own look."""
    root, job_id = sys.argv[1:]
    confine()
    Worker(JobStore(root), job_id).run()


if __name__ == "__main__":
    main()
