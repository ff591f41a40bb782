"""``roadlens scene``: a rendered clip with its truth, for any camera profile."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from geometry.errors import InputError


def scene(
    kind: Annotated[str, typer.Argument(help="What happens: highway, city, curve, ...; a wrong one lists them all.")],
    camera: Annotated[str, typer.Option("--camera", "-c", help="Profile name or TOML file.")] = "generic",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the clip, its profile and its truth.")] = Path(
        "out"
    ),
    name: Annotated[str | None, typer.Option(help="Of the files; else the kind.")] = None,
    size: Annotated[str | None, typer.Option(help="Of the pictures, as 960x540; else the profile's.")] = None,
    seconds: Annotated[float, typer.Option(min=0.04, max=600, help="Length.")] = 10.0,
    fps: Annotated[float, typer.Option(min=1, max=120, help="Pictures a second.")] = 25.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same scene.")] = 0,
    night: Annotated[bool, typer.Option("--night", help="Lamps on.")] = False,
    rain: Annotated[float, typer.Option(min=0, max=1, help="Strength.")] = 0.0,
    fog: Annotated[float, typer.Option(min=0, max=1, help="Strength.")] = 0.0,
    options: Annotated[
        list[str] | None, typer.Option("--set", help="Any other option of a scene, as radius_m=150; repeatable.")
    ] = None,
    crf: Annotated[int, typer.Option(min=0, max=51, help="Quality of the video: 18 looks lossless, 28 is small.")] = 23,
    truth_only: Annotated[bool, typer.Option("--truth-only", help="No video: profile and truth.")] = False,
) -> None:
    """Render a scene: NAME.mp4, NAME.toml (the camera) and NAME.truth.jsonl.gz (all that is true of each frame)."""
    from geometry.profiles import load_profile, save_profile
    from perception.synthetic import make_scene
    from perception.synthetic.truth_file import write_truth

    nominal = load_profile(camera)
    if size is not None:
        nominal = nominal.for_size(*_size(size))
    chosen: dict[str, Any] = {"night": night, "rain": rain, "fog": fog} | _options(options or [])
    rate = Fraction(fps).limit_denominator(1001)
    world = make_scene(kind, nominal, seed=seed, duration_s=seconds, fps=rate, **chosen)
    stem = name or kind
    console = Console(highlight=False, soft_wrap=True)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: the folder cannot be made ({error.strerror}), name another with --out") from error
    if truth_only:
        truths = [world.truth(float(t)) for t in world.times_s]
    else:
        truths = _film(world, out / f"{stem}.mp4", rate, crf, console)
    save_profile(nominal, out / f"{stem}.toml", description=f"Camera of the rendered clip {stem}: exact.")
    write_truth(out / f"{stem}.truth.jsonl.gz", world, truths)
    seen = {int(i) for truth in truths for i in truth.objects.track_id}
    console.print(f"[green]{out / stem}[/]: {len(truths)} frames, {len(seen)} objects, truth and camera beside it")


def _film(world: Any, path: Path, rate: Fraction, crf: int, console: Console) -> list[Any]:
    """Renders and encodes; returns the truth of every frame."""
    from app.video_writer import VideoWriter

    size = world.camera.width_px, world.camera.height_px
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )
    truths = []
    with bar, VideoWriter(path, size, rate, crf=crf, preset="slow") as video:
        task = bar.add_task(path.name, total=world.frame_count)
        for frame, truth in world.frames():
            video.write(frame.bgr, frame.t_s)
            truths.append(truth)
            bar.advance(task)
    return truths


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) >= 16 and int(height) >= 16):
        raise InputError(f"--size is {text!r}, wanted width and height in pixels, as 960x540")
    return int(width), int(height)


def _options(pairs: list[str]) -> dict[str, Any]:
    """Options of a scene from NAME=VALUE: numbers, true and false, else words."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise InputError(f"--set got {pair!r}, wanted NAME=VALUE, as radius_m=150")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
