"""``roadlens run``: one clip through the pipeline, with an annotated video and records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from app.summary import RunSummary


def run(
    clip: Annotated[str, typer.Argument(help="Video file, folder of pictures, webcam number or rtsp:// address.")],
    camera: Annotated[
        str | None, typer.Option("--camera", "-c", help="Profile name or TOML file; else the one beside the clip.")
    ] = None,
    detector: Annotated[str | None, typer.Option(help="Model file or name; see `roadlens models`.")] = None,
    detections: Annotated[
        Path | None, typer.Option(help="Record of an earlier run of this clip: its detections replace the network.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the results; else out/<clip>.")] = None,
    start: Annotated[float | None, typer.Option(min=0, help="First second.")] = None,
    end: Annotated[float | None, typer.Option(min=0, help="Last second.")] = None,
    every: Annotated[int | None, typer.Option(min=1, help="Use each n-th frame.")] = None,
    detect_every: Annotated[int | None, typer.Option(min=1, help="Detect on each n-th used frame.")] = None,
    reid: Annotated[
        Path | None, typer.Option(help="Re-identification network (ONNX): objects that cross are told apart by looks.")
    ] = None,
    speed: Annotated[
        str | None, typer.Option(help="Own speed: metres a second, or a CSV file with t_s,speed_mps.")
    ] = None,
    stereo: Annotated[
        Path | None, typer.Option(help="Clip of the right camera of a rectified pair: distances by stereo.")
    ] = None,
    baseline: Annotated[float | None, typer.Option(min=0.01, help="From the left to the right lens, metres.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Pictures a second of a folder.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or tensorrt.")] = None,
    input_size: Annotated[str | None, typer.Option(help="Of the network, as 640x384, where it is open.")] = None,
    threads: Annotated[int | None, typer.Option(min=0, help="CPU threads of the network; 0: its choice.")] = None,
    no_video: Annotated[bool, typer.Option("--no-video", help="Records only.")] = False,
    no_lanes: Annotated[bool, typer.Option("--no-lanes", help="Look for no lanes.")] = False,
    mount_file: Annotated[
        Path | None, typer.Option(help="Keep the mount found in this file from drive to drive of one camera.")
    ] = None,
    lane_width: Annotated[
        float | None, typer.Option(help="Known width of the lane driven in, metres: the camera's height follows.")
    ] = None,
    no_calibrate: Annotated[bool, typer.Option("--no-calibrate", help="Keep the mount of the profile.")] = False,
    settings_file: Annotated[Path | None, typer.Option("--settings", help="TOML file; options win over it.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a finished run in the folder.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no tables.")] = False,
) -> None:
    """Run a clip: annotated video, one JSON line a frame, and a summary."""
    from rich.console import Console

    from app.camera_choice import camera_for
    from app.config import Settings
    from app.runner import Job, run_clip
    from app.signals import EXIT_INTERRUPTED, stop_on_signals

    console = Console(quiet=quiet, highlight=False, soft_wrap=True)
    base = Settings.from_toml(settings_file) if settings_file else Settings()
    choice = camera_for(clip, camera or base.camera.named)
    settings = base.changed(
        clip={"start_s": start, "end_s": end, "every": every, "rate_hz": rate},
        camera={
            "profile": choice.profile,
            "calibrate": False if no_calibrate else None,
            "mount_file": None if mount_file is None else str(mount_file),
            "lane_width_m": lane_width,
        },
        detector={
            "file": detector,
            "every": detect_every,
            "device": device,
            "threads": threads,
            "input_size": parse_size(input_size),
        },
        tracker={"reid": None if reid is None else str(reid)},
        ego={"speed": parse_speed(speed)},
        stereo={"right": None if stereo is None else str(stereo), "baseline_m": baseline},
        lanes={"enabled": False if no_lanes else None},
        video={"write": False if no_video else None},
    )
    folder = out or default_out(clip)
    if choice.note:
        console.print(f"[yellow]{choice.note}[/]" if "rough" in choice.note else f"[dim]{choice.note}[/]")
    source = int(clip) if clip.isdigit() and not Path(clip).exists() else clip
    with FrameProgress(console) as progress, stop_on_signals(console.print) as should_stop:
        summary = run_clip(
            source,
            folder,
            settings,
            on_progress=progress.update,
            should_stop=should_stop,
            job=Job(overwrite=overwrite, detections=detections),
        )
    show_summary(console, summary)
    if summary.state == "stopped":
        raise typer.Exit(EXIT_INTERRUPTED)


def default_out(clip: str) -> Path:
    """``out/<name of the clip>``, in the working folder."""
    name = Path(clip.split("://")[-1].rstrip("/")).stem
    return Path("out") / (name or "clip")


def parse_size(text: str | None) -> tuple[int, int] | None:
    """(width, height) from ``640x384``.

    Raises:
        InputError: any other form.
    """
    from geometry.errors import InputError

    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise InputError(f"--input-size is {text!r}; wanted width x height, such as 640x384")
    return int(parts[0]), int(parts[1])


def parse_speed(text: str | None) -> float | str | None:
    """A number of metres a second, or the name of a file."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text


class FrameProgress:
    """A progress bar with frames, frames a second and the time left; until the first frame, what is waited for."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=40),
            TextColumn("{task.completed:.0f}/{task.fields[of]}"),
            TextColumn("{task.fields[fps]:.1f} fps"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=console.quiet,
        )
        ready = "getting ready (the first time on a machine: half a minute)"
        self._task = self._bar.add_task(ready, total=None, fps=0.0, of="?")

    def update(self, progress: Any) -> None:
        """Shows an ``app.runner.Progress``."""
        total = progress.total
        self._bar.update(
            self._task,
            description="frames",
            completed=progress.frames,
            total=total,
            fps=progress.fps,
            of="?" if total is None else total,
        )

    def __enter__(self) -> FrameProgress:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()


def show_summary(console: Console, summary: RunSummary) -> None:
    """The table of stage times and what was found."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="milliseconds a frame (stages run at the same time)", title_justify="left", box=None)
    table.add_column("stage")
    table.add_column("ms", justify="right")
    table.add_column("")
    longest = max(summary.stage_ms.values(), default=0.0) or 1.0
    for stage, ms in summary.stage_ms.items():
        table.add_row(stage, f"{ms:.2f}", "[cyan]" + "█" * round(24 * ms / longest) + "[/]")
    console.print(table)
    facts = _facts(summary)
    width = max(len(name) for name, _ in facts)
    for name, text in facts:
        console.print(f"[bold]{name:<{width}}[/]  {escape(text)}")  # no table: it would cut paths off
    for note in summary.notes:
        console.print(f"[yellow]{escape(note)}[/]")
    if summary.state == "stopped":
        console.print("[bold yellow]stopped before the end:[/] the files are whole up to there, under partial names")


def _facts(summary: RunSummary) -> list[tuple[str, str]]:
    frames = "1 frame" if summary.frames == 1 else f"{summary.frames} frames"
    speed = f"{frames}, {summary.clip_s:.1f} s of road in {summary.wall_s:.1f} s ({summary.fps:.1f} fps)"
    rows = [("clip", speed)]
    model = summary.detector
    rows.append(("detector", ", ".join(model[key] for key in ("name", "input_size", "provider") if model.get(key))))
    rows.append(("objects", ", ".join(f"{count} {name}" for name, count in summary.objects.items()) or "none"))
    near = summary.nearest
    if near is not None:
        where = f"{near.distance_m:.1f} ± {near.sigma_m:.1f} m at {near.t_s:.2f} s"
        rows.append(("nearest", f"{near.class_name} {near.track_id}: {where}"))
    rows.append(("warnings", ", ".join(f"{count} {kind}" for kind, count in summary.warnings.items()) or "none"))
    rows += [(event.kind.value, f"{event.t_s:7.2f} s  {event.text}") for event in summary.events[:12]]
    if len(summary.events) > 12:
        rows.append(("", f"and {len(summary.events) - 12} more in the summary"))
    return rows + [(name, path) for name, path in summary.files.items()]
