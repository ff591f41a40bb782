"""``roadlens batch``: many clips, resumed where it stopped, no failure in the way of the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.signals import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from app.batch import BatchEvent, BatchPlan
    from app.batch_split import Engine

_SOME_FAILED = 1


def batch(
    sources: Annotated[
        list[str], typer.Argument(help="Clips, folders, patterns, .txt lists, .csv manifests (clip,camera,...).")
    ],
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder for one result folder a clip, or an fsspec address: s3://...")
    ],
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Clips at a time.")] = 1,
    engine: Annotated[str, typer.Option(help="local (processes here) or ray (extra 'ray').")] = "local",
    address: Annotated[str | None, typer.Option(help="Ray cluster; none: start one here.")] = None,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs that a clip takes on Ray; 0.25: four clips on one.")] = 0.0,
    camera: Annotated[str | None, typer.Option("--camera", "-c", help="Profile of clips that name none.")] = None,
    detector: Annotated[str | None, typer.Option(help="Model file or name.")] = None,
    settings_file: Annotated[Path | None, typer.Option("--settings", help="TOML file of run settings.")] = None,
    shard: Annotated[str | None, typer.Option(help="Only part i of n: i/n.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite/--resume", help="Do clips that are done, too.")] = False,
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Only clips that failed when last tried.")] = False,
    no_video: Annotated[bool, typer.Option("--no-video", help="Records only.")] = False,
    end: Annotated[float | None, typer.Option(min=0, help="Last second of each clip.")] = None,
    every: Annotated[int | None, typer.Option(min=1, help="Use each n-th frame.")] = None,
    split: Annotated[
        float | None, typer.Option(min=1, help="Run clips of twice this many seconds in segments, and join them.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:
    """Run many clips. Exit code 0: all done; 1: some failed; 2: nothing could be begun; 130: interrupted."""
    from rich.console import Console

    from app.batch import BatchPlan
    from app.batch_clip import failures
    from app.batch_plan import collect
    from app.batch_plan import shard as part_of
    from app.config import Settings
    from app.remote import is_address

    console = Console(quiet=quiet, highlight=False, soft_wrap=True)
    base = Settings.from_toml(settings_file) if settings_file else Settings()
    settings = base.changed(
        camera={"profile": camera},
        detector={"file": detector},
        clip={"end_s": end, "every": every, "split_s": split},
        video={"write": False if no_video else None},
    )
    found = collect(sources)
    if shard is not None:
        found = part_of(found, shard)
    with _results(out) as folder:
        if only_failed:
            names = failures(folder)
            found = tuple(job for job in found if job.name in names)
        sent_to = out if is_address(out) else None
        plan = BatchPlan(found, folder, settings, workers=jobs, overwrite=overwrite, address=sent_to)
        if dry_run:
            _show_plan(console, plan)
            return
        code = _run(console, plan, _engine(engine, address, gpus), shard)
    if code:
        raise typer.Exit(code)


@contextmanager
def _results(out: str) -> Iterator[Path]:
    """The folder of the results; for those at an address, one of what is known of them."""
    import tempfile

    from app.remote import fetch_states, is_address

    if not is_address(out):
        yield Path(out)
        return
    with tempfile.TemporaryDirectory(prefix="roadlens-") as staging:
        fetch_states(out, Path(staging))
        yield Path(staging)


def _show_plan(console: Console, plan: BatchPlan) -> None:
    from rich.table import Table

    from app.batch import divide, model_sha256

    settled, todo = divide(plan, model_sha256(plan.settings), note=False)
    table = Table(box=None)
    for name in ("clip", "camera", "would be"):
        table.add_column(name, overflow="fold")
    states = {outcome.job.name: outcome.reason for outcome in settled} | {job.name: "run" for job in todo}
    for job in plan.jobs:
        table.add_row(job.clip, job.settings(plan.settings).camera.profile, states[job.name])
    console.print(table)
    console.print(f"{len(todo)} of {len(plan.jobs)} clips would be run, results in {plan.address or plan.out}")


def _run(console: Console, plan: BatchPlan, engine: Engine, shard: str | None) -> int:
    from rich.markup import escape

    from app.batch_clip import FAILED
    from app.batch_split import run_split
    from app.batch_summary import counts, failed_lines, table, write_parquet
    from app.remote import send
    from app.signals import stop_on_signals
    from geometry.errors import InputError

    def tell(text: str) -> None:
        console.print("[yellow]no further clip is begun; those begun are finished[/] (once more to give up at once)")

    with BatchProgress(console, len(plan.jobs)) as progress, stop_on_signals(tell) as should_stop:
        outcomes = run_split(plan, engine, on_event=progress.tell, should_stop=should_stop)
    path = plan.out / (f"batch-{shard.replace('/', '-of-')}.parquet" if shard else "batch.parquet")
    console.print(table(outcomes))
    states = {outcome.status for outcome in outcomes}
    where = f"one row a clip in {plan.address or plan.out}/{path.name}"
    try:
        write_parquet(outcomes, path)
        if plan.address is not None:
            send([path], plan.address)
            send((plan.out / FAILED).glob("*.json"), plan.address, FAILED)
    except InputError as error:  # a full disk must not hide what became of the clips
        where = f"[red]{escape(str(error))}[/]"
        states.add("failed")
    console.print(f"[bold]{counts(outcomes) or 'no clip to do'}[/]; {where}")
    for line in failed_lines(outcomes):
        console.print(f"[red]failed[/] {escape(line)}")
    if "failed" in states:
        console.print("try the failed ones again with --only-failed")
    return EXIT_INTERRUPTED if "stopped" in states else _SOME_FAILED if "failed" in states else 0


def _engine(name: str, address: str | None, gpus: float) -> Engine:
    from geometry.errors import InputError

    if name == "ray":
        from app.batch_ray import run_on_ray

        return partial(run_on_ray, address=address, gpus=gpus)
    if name != "local":
        raise InputError(f"--engine is {name!r}; wanted local or ray")
    from app.batch import run_batch

    return run_batch


class BatchProgress:
    """A bar for all clips and one for each clip that is being worked on."""

    def __init__(self, console: Console, total: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=console.quiet,
        )
        self._all = self._bars.add_task("[bold]clips", total=total, note="")
        self._total = total
        self._begun: set[str] = set()
        self._clips: dict[str, Any] = {}

    def tell(self, event: BatchEvent) -> None:
        """Shows a ``BatchEvent``."""
        name = event.job.name
        self._begun.add(name)
        self._bars.update(self._all, total=max(self._total, len(self._begun)))  # segments count, too
        if event.outcome is not None:
            self._bars.advance(self._all)
            task = self._clips.pop(name, None)
            if task is not None:
                self._bars.remove_task(task)
            return
        if name not in self._clips:
            self._clips[name] = self._bars.add_task(f"  {name}"[:40], total=1, note="")
        if event.progress is not None:
            done = event.progress
            total = max(done.total or done.frames, done.frames)
            self._bars.update(self._clips[name], completed=done.frames, total=total, note=f"{done.fps:.1f} fps")

    def __enter__(self) -> BatchProgress:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()
