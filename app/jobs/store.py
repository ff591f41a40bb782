"""Runs on disk: one folder each, with what was asked (``job.json``) and how it goes (``status.json``).

The folder is the truth: a page that reloads, a server that restarts and a second server look here and nowhere else.
"""

from __future__ import annotations

import enum
import json
import re
import secrets
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from app.evaluation.report import write_json
from geometry.errors import InputError

_ID = re.compile(r"[0-9a-f]{24}")
_NAME_LIMIT = 80


class JobState(enum.StrEnum):
    """Life of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class JobSpec:
    """What was asked: the clip (absolute path), its name for people, the settings as nested values, and whose it is.

    A ``live`` one has a webcam's number or a stream's address for a clip and goes on until it is stopped.
    """

    clip: str
    name: str
    settings: dict[str, Any]
    owner: str
    created_s: float = 0.0
    uploaded: bool = False
    live: bool = False


@dataclass(frozen=True)
class JobStatus:
    """How a run goes; ``frames_total`` is 0 where it is not known beforehand; times are Unix seconds.

    ``delay_s``: of a live run, how old the newest picture was when it had been drawn.
    """

    state: JobState = JobState.QUEUED
    frames_done: int = 0
    frames_total: int = 0
    fps: float = 0.0
    message: str = ""
    pid: int = 0
    delay_s: float = 0.0
    started_s: float = 0.0
    changed_s: float = 0.0

    @property
    def share(self) -> float:
        """Done share, 0 to 1."""
        if self.state is JobState.DONE:
            return 1.0
        return min(self.frames_done / self.frames_total, 1.0) if self.frames_total else 0.0


class JobStore:
    """All runs below one folder.

    Raises:
        InputError: from every method that takes an id, where there is no such run (ids are checked before they touch
            a path, so nothing outside the folder can be named).
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()
        self._specs: dict[str, JobSpec] = {}  # never change once written
        self._ended: dict[str, JobStatus] = {}  # neither do these: a queue that looks often reads only what goes on
        try:
            self.uploads.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"runs folder {self.root} cannot be made: {error.strerror}") from error

    def create(self, spec: JobSpec) -> str:
        """A new queued run; its id cannot be guessed."""
        job_id = secrets.token_hex(12)
        folder = self.root / job_id
        folder.mkdir()
        write_json(folder / "job.json", asdict(replace(spec, name=clean_name(spec.name), created_s=time.time())))
        self.write_status(job_id, JobStatus())
        return job_id

    def folder(self, job_id: str) -> Path:
        """The run's folder."""
        folder = self.root / job_id if _ID.fullmatch(job_id) else None
        if folder is None or not (folder / "job.json").is_file():
            raise InputError(f"there is no run {job_id[:_NAME_LIMIT]!r} here; it may have been deleted")
        return folder

    def spec(self, job_id: str) -> JobSpec:
        """What was asked."""
        path = self.folder(job_id) / "job.json"
        if job_id not in self._specs:
            self._specs[job_id] = JobSpec(**json.loads(path.read_text(encoding="utf-8")))
        return self._specs[job_id]

    def status(self, job_id: str) -> JobStatus:
        """How it goes."""
        path = self.folder(job_id) / "status.json"
        if job_id in self._ended:
            return self._ended[job_id]
        values = json.loads(path.read_text(encoding="utf-8"))
        status = JobStatus(**{**values, "state": JobState(values["state"])})
        if status.state.ended:
            self._ended[job_id] = status
        return status

    def write_status(self, job_id: str, status: JobStatus) -> None:
        """Replaces the status in one step: a reader sees the old one or the new one."""
        self._ended.pop(job_id, None)
        write_json(self.root / job_id / "status.json", asdict(replace(status, changed_s=time.time())))

    def ids(self, owner: str | None = None) -> list[str]:
        """Runs, oldest first; of one owner, or of all."""
        found = []
        for folder in self.root.iterdir():
            if _ID.fullmatch(folder.name) and (folder / "status.json").is_file():
                spec = self.spec(folder.name)
                if owner is None or spec.owner == owner:
                    found.append((spec.created_s, folder.name))
        return [job_id for _, job_id in sorted(found)]

    def results(self, job_id: str) -> Path:
        """The folder that the run's files are written to."""
        return self.folder(job_id) / "results"

    def delete(self, job_id: str) -> None:
        """Removes an ended run and all its files, with the clip and the camera that were given for it alone.

        Raises:
            InputError: it has not ended; cancel it first.
        """
        if not self.status(job_id).state.ended:
            raise InputError(f"run {job_id} is still going; cancel it before deleting it")
        given = _given(self.spec(job_id))
        shutil.rmtree(self.folder(job_id))
        self._specs.pop(job_id, None)
        self._ended.pop(job_id, None)
        for path in given:
            self.drop_upload(path)

    @property
    def uploads(self) -> Path:
        """Folder of uploaded clips, under names that nobody chose, and of what was made of them."""
        return self.root / "uploads"

    def drop_upload(self, path: Path) -> None:
        """Removes an upload that no run uses, and the pictures taken of it; a path anywhere else is left alone."""
        if path.parent == self.uploads and path not in self._given_to_runs():
            path.unlink(missing_ok=True)
            shutil.rmtree(stills_of(path), ignore_errors=True)

    def sweep(self, older_s: float) -> None:
        """Removes uploads that no run uses and that nobody touched for so long: of forms left half way."""
        used = self._given_to_runs()
        for path in list(self.uploads.iterdir()):
            clip = path.with_suffix("") if path.suffix == STILLS else path
            if clip not in used and time.time() - path.stat().st_mtime > older_s:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def _given_to_runs(self) -> set[Path]:
        return set().union(*(_given(self.spec(job_id)) for job_id in self.ids()))


STILLS = ".stills"
PLAYER = "player.json"
"""What the player draws, in a run's results: prepared by the worker, so that the page's server never holds it."""
VIEW = "live.jpg"
"""The newest annotated picture of a live run, in its results; replaced as a whole."""


def stills_of(clip: Path) -> Path:
    """Folder of the pictures taken of an uploaded clip (see ``app.jobs.stills``)."""
    return clip.with_suffix(STILLS)


def _given(spec: JobSpec) -> set[Path]:
    """Files that a run was given by its visitor."""
    profile = Path(str(spec.settings.get("camera", {}).get("profile", "")))
    return {Path(spec.clip), profile} if spec.uploaded else {profile}


def clean_name(name: str) -> str:
    """A clip's name as people may see it: no path, no control characters, at most 80 letters."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(c for c in base if c.isprintable()).strip()
    return printable[:_NAME_LIMIT] or "clip"
