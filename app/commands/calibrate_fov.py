"""``roadlens calibrate fov``: a camera profile from the field of view on a data sheet."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from geometry.errors import InputError


def calibrate_fov(
    degrees: Annotated[float, typer.Argument(help="Horizontal field of view; with --diagonal the diagonal one.")],
    size: Annotated[str, typer.Option(help="Picture size, WIDTHxHEIGHT; not needed with --clip.")] = "1280x720",
    clip: Annotated[str | None, typer.Option(help="A clip of the camera, for its size and the check picture.")] = None,
    diagonal: Annotated[bool, typer.Option("--diagonal", help="The angle is the diagonal one.")] = False,
    height: Annotated[float, typer.Option(help="Height of the lens above the road, metres.")] = 1.3,
    pitch: Annotated[float, typer.Option(help="Degrees, nose down is positive.")] = 0.0,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where the profile goes; the check picture lies beside it.")
    ] = Path("camera.toml"),
) -> None:
    """Make a camera profile from the field of view of a data sheet."""
    from app.calibrating import first_frame, parse_size, write_result
    from geometry.profiles import camera_from_fov

    picture = first_frame(clip) if clip is not None else None
    width_px, height_px = parse_size(size) if picture is None else (picture.shape[1], picture.shape[0])
    angle = math.radians(degrees)
    if diagonal and 0 < degrees < 180:
        angle = 2 * math.atan(math.tan(angle / 2) * width_px / math.hypot(width_px, height_px))
    try:
        camera = camera_from_fov(width_px, height_px, angle, height, math.radians(pitch), name=out.stem)
    except ValueError as error:
        raise InputError(str(error)) from error
    kind = "diagonal" if diagonal else "horizontal"
    console = Console()
    console.print(f"focal length {camera.fx_px:.1f} px, horizon at row {camera.horizon_y_px:.0f}")
    write_result(camera, out, f"From a {kind} field of view of {degrees:g} degrees.", picture, console)
