"""A batch whose long clips are run in segments: many processes, or machines, on one clip.

Segments are clips of their own to the engine, with result folders below ``out/.segments``: one that is done stays
done when the rest is killed. When all of a clip are there they are joined (``app.stitch``) and removed.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from app.batch import BatchEvent, BatchPlan, OnEvent, divide, prepare
from app.batch_clip import FAILED, PARTIAL, ClipOutcome, failed, make_clip
from app.batch_plan import ClipJob
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
    if plan.address is not None:
        if plan.settings.clip.split_s:
            raise InputError(f"segments are joined on one disk: with --split give a folder, not {plan.address}")
        return engine(plan, on_event=on_event, should_stop=should_stop)
    sha256 = prepare(plan)
    _, todo = divide(plan, sha256, note=False)
    pieces = {job.name: found for job in todo if (found := _pieces(job, plan))}
    whole = replace(plan, jobs=tuple(job for job in plan.jobs if job.name not in pieces))
    outcomes = {o.job.name: o for o in engine(whole, on_event=on_event, should_stop=should_stop)}
    if pieces:
        parts = replace(plan, jobs=tuple(part for found in pieces.values() for part in found), out=plan.out / SEGMENTS)
        ended = {o.job.name: o for o in engine(parts, on_event=on_event, should_stop=should_stop)}
        for job in plan.jobs:
            if job.name in pieces:
                outcome = _join(job, plan, sha256, [ended[part.name] for part in pieces[job.name]])
                on_event(BatchEvent(job, outcome=outcome))
                outcomes[job.name] = outcome
        with contextlib.suppress(OSError):
            parts.out.rmdir()
    return tuple(outcomes[job.name] for job in plan.jobs)


def _pieces(job: ClipJob, plan: BatchPlan) -> tuple[ClipJob, ...]:
    try:
        return segments(job, plan.settings)
    except InputError:
        if plan.settings.detector.every > 1:
            raise
        return ()  # the engine will say why it cannot be read


def _join(job: ClipJob, plan: BatchPlan, sha256: str, ended: list[ClipOutcome]) -> ClipOutcome:
    out = plan.out / SEGMENTS
    bad = next((part for part in ended if part.status == "failed"), None)
    if bad is not None:
        return failed(plan.out, job, bad.reason)
    if any(part.status == "stopped" for part in ended):
        return ClipOutcome(job, "stopped", "not all segments were begun; those done are kept", {})
    folders = [out / part.job.name for part in ended]
    outcome = make_clip(job, plan.out, plan.settings, sha256, lambda work, chosen: stitch(folders, work, chosen))
    if outcome.status == "done":
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        for name in (FAILED, PARTIAL):
            with contextlib.suppress(OSError):
                (out / name).rmdir()
    return outcome
