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
    """What was asked: the clip (absolute path), its name for people, the settings as nested values, and whose it is."""

    clip: str
    name: str
    settings: dict[str, Any]
    owner: str
    created_s: float = 0.0
    uploaded: bool = False


@dataclass(frozen=True)
class JobStatus:
    """How a run goes; ``frames_total`` is 0 where it is not known beforehand; times are Unix seconds."""

    state: JobState = JobState.QUEUED
    frames_done: int = 0
    frames_total: int = 0
    fps: float = 0.0
    message: str = ""
    pid: int = 0
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
        return JobSpec(**json.loads((self.folder(job_id) / "job.json").read_text(encoding="utf-8")))

    def status(self, job_id: str) -> JobStatus:
        values = json.loads((self.folder(job_id) / "status.json").read_text(encoding="utf-8"))
        return JobStatus(**{**values, "state": JobState(values["state"])})

    def write_status(self, job_id: str, status: JobStatus) -> None:
        """Replaces the status in one step: a reader sees the old one or the new one."""
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
        """Removes an ended run and all its files.

        Raises:
            InputError: it has not ended; cancel it first.
        """
        if not self.status(job_id).state.ended:
            raise InputError(f"run {job_id} is still going; cancel it before deleting it")
        spec = self.spec(job_id)
        if spec.uploaded and Path(spec.clip).parent == self.uploads:
            Path(spec.clip).unlink(missing_ok=True)
        shutil.rmtree(self.folder(job_id))

    @property
    def uploads(self) -> Path:
        """Folder of uploaded clips, under names that nobody chose."""
        return self.root / "uploads"


def clean_name(name: str) -> str:
    """A clip's name as people may see it: no path, no control characters, at most 80 letters."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(c for c in base if c.isprintable()).strip()
    return printable[:_NAME_LIMIT] or "clip"
