"""The same batch on Ray: one task a clip, on one machine or many; local processes stay the default.

Results go to a folder that all machines share. A task runs ``app.batch_clip.do_clip``, just as a local worker does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.batch import TRIES, BatchEvent, BatchPlan, OnEvent, checked_detector, divide, limit_threads, prepare
from app.batch_clip import ClipOutcome, do_clip, failed, tidy
from app.batch_plan import ClipJob
from app.config import Settings
from geometry.errors import InputError

_WAIT_S = 0.5
_detectors: dict[str, Any] = {}  # one for each process of the cluster, kept from task to task


def run_on_ray(
    plan: BatchPlan,
    *,
    address: str | None = None,
    on_event: OnEvent = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[ClipOutcome, ...]:
    """Does all clips that are not done yet on a Ray cluster; outcomes in the order of the plan.

    Args:
        address: of a running cluster ("auto" finds it); None starts one on this machine with ``plan.workers`` cores.

    Raises:
        InputError: Ray is not installed, or detector or folder cannot be used.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("ray is not installed; install it with: pip install 'roadlens[ray]'") from error
    sha256 = prepare(plan)
    settled, todo = divide(plan, sha256)
    for outcome in settled:
        on_event(BatchEvent(outcome.job, outcome=outcome))
    outcomes = {outcome.job.name: outcome for outcome in settled}
    own = address is None and not ray.is_initialized()
    if own:
        ray.init(num_cpus=plan.workers, include_dashboard=False, log_to_driver=False)
    elif not ray.is_initialized():
        ray.init(address=address)
    try:
        for job, outcome in _results(plan, todo, sha256, should_stop):
            on_event(BatchEvent(job, outcome=outcome))
            outcomes[job.name] = outcome
    finally:
        if own:
            ray.shutdown()
    tidy(plan.out, outcomes)
    return tuple(outcomes.get(job.name, ClipOutcome(job, "stopped", "not begun", {})) for job in plan.jobs)


def _results(plan: BatchPlan, todo: list[ClipJob], sha256: str, should_stop: Callable[[], bool]) -> Any:
    """Jobs and outcomes as they come."""
    import ray

    # A task that loses its process or machine is tried again; faults of the clip are outcomes, no exceptions.
    task = ray.remote(num_cpus=1, max_retries=TRIES - 1)(ray_clip)
    order = (str(plan.out.resolve()), plan.settings.model_dump(mode="json", exclude_unset=True), sha256)
    waiting = {task.remote(job, *order): job for job in todo}
    while waiting:
        if should_stop():
            for reference in list(waiting):
                ray.cancel(reference)
            return
        ready, _ = ray.wait(list(waiting), num_returns=1, timeout=_WAIT_S)
        for reference in ready:
            job = waiting.pop(reference)
            try:
                yield job, ray.get(reference)
            except ray.exceptions.RayError as error:
                yield job, failed(plan.out, job, f"its task died {TRIES} times ({type(error).__name__})")


def ray_clip(job: ClipJob, out: str, settings: dict[str, Any], sha256: str) -> ClipOutcome:
    """One clip in a process of the cluster, with one core."""
    chosen = Settings.checked(settings)
    limit_threads(1)
    try:
        if sha256 not in _detectors:
            _detectors[sha256] = checked_detector(chosen, sha256, 1)
    except InputError as error:
        return failed(Path(out), job, str(error))
    return do_clip(job, Path(out), chosen, _detectors[sha256])
