"""A batch whose long clips are run in segments: many processes, or machines, on one clip.

Segments are clips of their own to the engine, with result folders below ``out/.segments``, or the address's: one that
is done stays done when the rest is killed. When all of a clip are there they are joined (``app.stitch``) and removed;
those at an address come to this machine for that.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from app.batch import BatchEvent, BatchPlan, OnEvent, divide, prepare
from app.batch_clip import FAILED, PARTIAL, ClipOutcome, failed, make_clip
from app.batch_plan import ClipJob
from app.remote import drop_if_empty, fetch, fetch_states, remove, run_and_send
from app.stitch import segments, stitch
from geometry.errors import InputError

SEGMENTS = ".segments"


class Engine(Protocol):
    """``app.batch.run_batch``, or ``app.batch_ray.run_on_ray``."""

    def __call__(
        self, plan: BatchPlan, *, on_event: OnEvent, should_stop: Callable[[], bool]
    ) -> tuple[ClipOutcome, ...]: ...


def run_split(
    plan: BatchPlan, engine: Engine, *, on_event: OnEvent, should_stop: Callable[[], bool]
) -> tuple[ClipOutcome, ...]:
    """Does all clips that are not done yet, long ones in segments; outcomes in the order of the plan.

    Raises:
        InputError: as the engine.
    """
    sha256 = prepare(plan)
    _, todo = divide(plan, sha256, note=False)
    pieces = {job.name: found for job in todo if (found := _pieces(job, plan))}
    whole = replace(plan, jobs=tuple(job for job in plan.jobs if job.name not in pieces))
    outcomes = {o.job.name: o for o in engine(whole, on_event=on_event, should_stop=should_stop)}
    if pieces:
        parts = _parts(plan, tuple(part for found in pieces.values() for part in found))
        ended = {o.job.name: o for o in engine(parts, on_event=on_event, should_stop=should_stop)}
        for job in plan.jobs:
            if job.name in pieces:
                outcome = _join(job, plan, sha256, [ended[part.name] for part in pieces[job.name]])
                on_event(BatchEvent(job, outcome=outcome))
                outcomes[job.name] = outcome
        with contextlib.suppress(OSError):
            parts.out.rmdir()
        if parts.address is not None:
            drop_if_empty(parts.address)
    return tuple(outcomes[job.name] for job in plan.jobs)


def _parts(plan: BatchPlan, jobs: tuple[ClipJob, ...]) -> BatchPlan:
    """The batch of the segments, with what is known of those done before."""
    address = _segments_address(plan)
    if address is not None:
        fetch_states(address, plan.out / SEGMENTS)
    return replace(plan, jobs=jobs, out=plan.out / SEGMENTS, address=address)


def _segments_address(plan: BatchPlan) -> str | None:
    return None if plan.address is None else f"{plan.address.rstrip('/')}/{SEGMENTS}"


def _pieces(job: ClipJob, plan: BatchPlan) -> tuple[ClipJob, ...]:
    try:
        return segments(job, plan.settings)
    except InputError:
        if plan.settings.detector.every > 1:
            raise
        return ()  # the engine will say why it cannot be read


def _join(job: ClipJob, plan: BatchPlan, sha256: str, ended: list[ClipOutcome]) -> ClipOutcome:
    bad = next((part for part in ended if part.status == "failed"), None)
    if any(part.status == "stopped" for part in ended) and bad is None:
        return ClipOutcome(job, "stopped", "not all segments were begun; those done are kept", {})
    names = [part.job.name for part in ended]

    def join(out: Path, folders: Callable[[], list[Path]]) -> ClipOutcome:
        if bad is not None:
            return failed(out, job, bad.reason)
        return make_clip(job, out, plan.settings, sha256, lambda work, chosen: stitch(folders(), work, chosen))

    far = _segments_address(plan)
    if plan.address is None or far is None:
        here = plan.out / SEGMENTS
        outcome = join(plan.out, lambda: [here / name for name in names])
        if outcome.status == "done":
            _forget(here, names)
        return outcome
    with TemporaryDirectory(prefix="roadlens-") as near:
        fetched = partial(_fetched, far, names, Path(near))
        outcome = run_and_send(job, plan.address, lambda out: join(out, fetched))
    if outcome.status == "done":
        for name in names:
            remove(far, name)
    return outcome


def _fetched(address: str, names: list[str], into: Path) -> list[Path]:
    return [fetch(address, name, into) for name in names]


def _forget(folder: Path, names: list[str]) -> None:
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (FAILED, PARTIAL):
        with contextlib.suppress(OSError):
            (folder / name).rmdir()
