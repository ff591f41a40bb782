"""The same batch on Ray: one task a clip, on one machine or many; local processes stay the default.

Results go to a folder that all machines share, or each machine sends its own to an address (``app.remote``). A task
runs ``app.batch_clip.do_clip``, just as a local worker does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from app.batch import TRIES, BatchEvent, BatchPlan, OnEvent, checked_detector, divide, limit_threads, prepare
from app.batch_clip import ClipOutcome, do_clip, failed, tidy
from app.batch_plan import ClipJob
from app.config import Settings
from app.remote import run_and_send
from geometry.errors import InputError

_WAIT_S = 0.5
_detectors: dict[str, Any] = {}  # one for each process of the cluster, kept from task to task


def run_on_ray(
    plan: BatchPlan,
    *,
    address: str | None = None,
    gpus: float = 0.0,
    on_event: OnEvent = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[ClipOutcome, ...]:
    """Does all clips that are not done yet on a Ray cluster; outcomes in the order of the plan.

    Args:
        address: of a running cluster ("auto" finds it); None starts one on this machine with ``plan.workers`` cores.
        gpus: that a clip takes: 0.25 puts four clips on one GPU.

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
        for job, outcome in _results(plan, todo, (sha256, gpus), should_stop):
            on_event(BatchEvent(job, outcome=outcome))
            outcomes[job.name] = outcome
    finally:
        if own:
            ray.shutdown()
    tidy(plan.out, outcomes)
    return tuple(outcomes.get(job.name, ClipOutcome(job, "stopped", "not begun", {})) for job in plan.jobs)


def _results(
    plan: BatchPlan, todo: list[ClipJob], needs: tuple[str, float], should_stop: Callable[[], bool]
) -> Iterator[tuple[ClipJob, ClipOutcome]]:
    """Jobs and outcomes as they come; ``needs``: the detector's hash and the GPUs of a clip."""
    import ray

    # A task that loses its process or machine is tried again; faults of the clip are outcomes, no exceptions.
    sha256, gpus = needs
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=TRIES - 1)(ray_clip)
    settings = plan.settings.model_dump(mode="json", exclude_unset=True)
    order = (str(plan.out.resolve()), settings, sha256, plan.address)
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


def ray_clip(job: ClipJob, out: str, settings: dict[str, Any], sha256: str, address: str | None = None) -> ClipOutcome:
    """One clip in a process of the cluster, with one core."""
    chosen = Settings.checked(settings)
    limit_threads(1)
    try:
        if sha256 not in _detectors:
            _detectors[sha256] = checked_detector(chosen, sha256, 1)
    except InputError as error:
        return failed(Path(out), job, str(error))
    run = partial(do_clip, job, base=chosen, detector=_detectors[sha256])
    return run(Path(out)) if address is None else run_and_send(job, address, run)
