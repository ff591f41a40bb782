"""``roadlens calibrate road``: the mount of a camera from a clip of a road, by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from app.calibrating_road import RoadCalibration
    from geometry.vehicle_heights import HeightFound
    from perception.types import Frame, ObjectDetector


def calibrate_road(
    clip: Annotated[str, typer.Argument(help="Clip, or folder of pictures, of a road with lanes or a drive along it.")],
    camera: Annotated[
        str, typer.Option(help="Profile with the lens (its mount does not matter): a name or a TOML file.")
    ] = "generic",
    fov: Annotated[
        float | None, typer.Option(help="Horizontal field of view in degrees, instead of a profile.")
    ] = None,
    lane_width: Annotated[float, typer.Option(min=1.0, help="Width of the ego lane, metres.")] = 3.7,
    detector: Annotated[
        str, typer.Option(help="Network that finds vehicles, whose heights tell the camera's; 'none': lanes alone.")
    ] = "auto",
    seconds: Annotated[float, typer.Option(min=1.0, help="How much of the clip to look at.")] = 60.0,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where the profile goes; the check picture lies beside it.")
    ] = Path("camera.toml"),
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Find the mount: pitch, yaw and roll from where the camera travels and where lanes meet, the height from how wide
    lanes are and how high vehicles stand against the horizon."""
    from app.calibrating import first_frame, write_result
    from app.calibrating_road import RoadSurvey, conclude
    from app.evaluation.report import write_json
    from geometry.profiles import camera_from_fov, load_profile

    console = Console(highlight=False, soft_wrap=True)
    picture = first_frame(clip)
    size = picture.shape[1], picture.shape[0]
    lens = load_profile(camera).for_size(*size) if fov is None else camera_from_fov(*size, math.radians(fov))
    lens = replace(lens.mounted(pitch_rad=0.0, yaw_rad=0.0, roll_rad=0.0), name=out.stem)
    collected = RoadSurvey(lens, _detector(detector))
    for frame in _watched(clip, seconds, console):
        collected.add(frame)
    with console.status("lanes"):
        result = conclude(collected, lane_width_m=lane_width)
    console.print(_table(result))
    console.print(result.height_words)
    for warning in result.warnings:
        console.print(f"[yellow]note:[/] {warning}")
    note = f"Mount from the road in {Path(clip).name}; {result.height_words}."
    write_result(result.camera, out, note, collected.pictures[len(collected.pictures) // 2], console)
    if json_file is not None:
        write_json(json_file, _figures(result))


def _detector(name: str) -> ObjectDetector | None:
    from perception.detector import load_detector

    return None if name == "none" else load_detector(None if name == "auto" else name)


def _watched(clip: str, seconds: float, console: Console) -> Iterator[Frame]:
    """Frames with a progress bar."""
    from rich.progress import Progress

    from app.video import frames

    with Progress(console=console) as progress:
        task = progress.add_task("driving", total=seconds)
        start_s = None
        for frame in frames(clip):
            start_s = frame.t_s if start_s is None else start_s
            progress.update(task, completed=frame.t_s - start_s)
            if frame.t_s - start_s > seconds:
                break
            yield frame
        progress.update(task, completed=seconds)


def _table(result: RoadCalibration) -> Table:
    table = Table("", "pitch down", "yaw left", "roll", "height", "rests on")
    lanes, flow, camera = result.lanes, result.flow, result.camera
    if flow is not None:
        roll = _angle(flow.roll_rad, flow.roll_sigma_rad)
        pitch, yaw = _angle(flow.pitch_rad, flow.pitch_sigma_rad), _angle(flow.yaw_rad, flow.yaw_sigma_rad)
        table.add_row("motion", pitch, yaw, roll, "", flow.state)
    if lanes is not None:
        pitch = _angle(lanes.camera.pitch_rad, lanes.pitch_sigma_rad)
        yaw = _angle(lanes.camera.yaw_rad, lanes.yaw_sigma_rad)
        table.add_row("lanes", pitch, yaw, "", f"{lanes.camera.height_m:.2f} m", f"{lanes.pictures} pictures")
    if result.vehicles is not None:
        height = f"{math.exp(result.vehicles.log_m):.2f} ± {_spread_m(result.vehicles):.2f} m"
        table.add_row("vehicles", "", "", "", height, f"{result.vehicles.vehicles} of them")
    pitch, yaw = _angle(camera.pitch_rad, result.pitch_sigma_rad), _angle(camera.yaw_rad, result.yaw_sigma_rad)
    roll = f"{math.degrees(camera.roll_rad):.2f}°"
    row = f"horizon at row {camera.horizon_y_px:.0f}"
    height = f"{camera.height_m:.2f} m"
    if math.isfinite(result.height_sigma_rel):
        height = f"{camera.height_m:.2f} ± {camera.height_m * result.height_sigma_rel:.2f} m"
    table.add_row("[bold]together", pitch, yaw, roll, height, row)
    return table


def _angle(value_rad: float, sigma_rad: float) -> str:
    return f"{math.degrees(value_rad):.2f} ± {math.degrees(sigma_rad):.2f}°"


def _spread_m(vehicles: HeightFound) -> float:
    return math.exp(vehicles.log_m) * vehicles.sigma


def _figures(result: RoadCalibration) -> dict[str, float]:
    """Flat figures; what no cue told is left out."""
    camera, degrees = result.camera, math.degrees
    told = {"height_sigma_m": camera.height_m * result.height_sigma_rel}
    if result.lanes is not None:
        told["height_by_lanes_m"] = result.lanes.camera.height_m
    if result.vehicles is not None:
        told["height_by_vehicles_m"] = math.exp(result.vehicles.log_m)
        told["height_by_vehicles_sigma_m"] = _spread_m(result.vehicles)
        told["vehicles"] = result.vehicles.vehicles
    return {key: value for key, value in told.items() if math.isfinite(value)} | {
        "pitch_down_deg": degrees(camera.pitch_rad),
        "yaw_left_deg": degrees(camera.yaw_rad),
        "roll_right_down_deg": degrees(camera.roll_rad),
        "height_m": camera.height_m,
        "pitch_sigma_deg": degrees(result.pitch_sigma_rad),
        "yaw_sigma_deg": degrees(result.yaw_sigma_rad),
        "horizon_y_px": camera.horizon_y_px,
    }
