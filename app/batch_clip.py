"""One clip of a batch: worked on in a folder of its own that gets its name when all is in it.

out/NAME/                 annotated.mp4 results.jsonl settings.toml summary.json done.json
out/.partial/NAME.0a1b2c3d/   the same while it is being written; the mark is the try's own, so that a process that was
                          given up, and lives on for a moment, cannot write into the folder of the next try
out/.failed/NAME.json     why the last try failed
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.batch_plan import ClipJob, key_of
from app.config import Settings
from app.runner import SUMMARY, Job, OnProgress, ShouldStop, run_clip, write_whole
from app.summary import RunSummary
from geometry.errors import InputError
from perception.types import ObjectDetector

MARKER = "done.json"
PARTIAL = ".partial"
FAILED = ".failed"

Status = Literal["done", "skipped", "failed", "stopped"]


@dataclass(frozen=True)
class ClipOutcome:
    """What became of a clip; ``summary`` as summary.json has it, empty where there is none."""

    job: ClipJob
    status: Status
    reason: str
    summary: dict[str, Any]


def is_done(out: Path, job: ClipJob, key: dict[str, Any]) -> bool:
    """Whether the clip's folder holds the results of just this clip, these settings, model and version."""
    try:
        marker = json.loads((out / job.name / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(marker.get("key") == key)


def summary_of(out: Path, job: ClipJob) -> dict[str, Any]:
    """The summary in a clip's folder, empty where it cannot be read."""
    try:
        return dict(json.loads((out / job.name / SUMMARY).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def failures(out: Path) -> dict[str, str]:
    """Names and reasons of the clips that failed when they were last tried."""
    found = {}
    for path in sorted((out / FAILED).glob("*.json")):
        try:
            found[path.stem] = str(json.loads(path.read_text(encoding="utf-8"))["reason"])
        except (OSError, ValueError, KeyError):
            found[path.stem] = "unknown"
    return found


def do_clip(
    job: ClipJob,
    out: Path,
    base: Settings,
    detector: ObjectDetector,
    *,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> ClipOutcome:
    """Runs a clip into ``out/NAME``; faults of the clip become a failed outcome, with the reason."""

    def make(work: Path, settings: Settings) -> RunSummary:
        chosen = Job(detector=detector)
        return run_clip(job.clip, work, settings, on_progress=on_progress, should_stop=should_stop, job=chosen)

    return make_clip(job, out, base, detector.description.get("sha256", ""), make)


def make_clip(
    job: ClipJob, out: Path, base: Settings, sha256: str, make: Callable[[Path, Settings], RunSummary]
) -> ClipOutcome:
    """Has the files of a clip made in a folder of their own, which becomes ``out/NAME`` when all are there.

    Whatever an earlier try left half-written under this name is thrown away first. A clip that changes while it is
    read fails: nobody could say of which clip the results are.

    Args:
        sha256: of the detector's file.
        make: writes the files of a run with these settings into the folder.
    """
    work = out / PARTIAL / f"{job.name}.{uuid.uuid4().hex[:8]}"
    try:
        settings = job.settings(base)
        key = key_of(job.clip, settings, sha256)
        _sweep(out, [job.name])
        _make_folder(work)
        if make(work, settings).state == "stopped":
            shutil.rmtree(work, ignore_errors=True)
            return ClipOutcome(job, "stopped", "stopped by a person", {})
        if key_of(job.clip, settings, sha256) != key:
            raise InputError(
                f"{job.clip} or a file of its settings changed while it was read; try again when it is whole"
            )
        write_whole(work / MARKER, json.dumps({"key": key}, indent=1, sort_keys=True) + "\n")
        _publish(work, out / job.name)
        (out / FAILED / f"{job.name}.json").unlink(missing_ok=True)
    except (InputError, OSError, ValueError, ArithmeticError, RuntimeError) as error:
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        shutil.rmtree(work, ignore_errors=True)
        return failed(out, job, " ".join(reason.split()))
    return ClipOutcome(job, "done", "", summary_of(out, job))


def failed(out: Path, job: ClipJob, reason: str) -> ClipOutcome:
    """Notes a failure beside the results, so that failures can be retried alone."""
    try:
        (out / FAILED).mkdir(parents=True, exist_ok=True)
        write_whole(out / FAILED / f"{job.name}.json", json.dumps({"clip": job.clip, "reason": reason}) + "\n")
    except (OSError, InputError) as error:
        reason = f"{reason} (and it could not be noted: {error})"
    return ClipOutcome(job, "failed", reason, {})


def tidy(out: Path, names: Iterable[str]) -> None:
    """Removes what tries of these clips that were killed have left, and the folder for it where nobody works in it."""
    _sweep(out, names)
    with contextlib.suppress(OSError):
        (out / PARTIAL).rmdir()


def _sweep(out: Path, names: Iterable[str]) -> None:
    wanted = set(names)
    for left in (out / PARTIAL).glob("*"):
        match = re.fullmatch(r"(.+)\.[0-9a-f]{8}(\.old)?", left.name)
        if match is not None and match[1] in wanted:
            shutil.rmtree(left, ignore_errors=True)


def _make_folder(work: Path) -> None:
    """A new folder; once more where another batch on the same folder just tidied it up."""
    for last in (False, True):
        try:
            work.mkdir(parents=True)
            return
        except FileNotFoundError:
            if last:
                raise


def _publish(work: Path, final: Path) -> None:
    """Gives the finished folder its final name; results of other settings that lie there make way first."""
    old = work.with_name(f"{work.name}.old")
    if final.exists():
        final.rename(old)
    work.rename(final)
    shutil.rmtree(old, ignore_errors=True)
