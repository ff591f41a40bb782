"""``roadlens calibrate chessboard``: intrinsics and lens from pictures or a video of a chessboard."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from geometry.errors import InputError

if TYPE_CHECKING:
    from geometry.calibration_chessboard import ChessboardCalibration


def calibrate_chessboard(
    source: Annotated[Path, typer.Argument(help="Folder of pictures, or a video, of a flat chessboard.")],
    pattern: Annotated[str, typer.Option(help="Inner corners, COLUMNSxROWS.")] = "9x6",
    lens: Annotated[str, typer.Option(help="Lens model: brown, or fisheye for wide angles.")] = "brown",
    height: Annotated[float, typer.Option(help="Height of the lens above the road, metres.")] = 1.3,
    pitch: Annotated[float, typer.Option(help="Degrees, nose down is positive.")] = 0.0,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where the profile goes; the check picture lies beside it.")
    ] = Path("camera.toml"),
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Find focal length, optical centre and lens distortion; tell which boards were used and how well they fit."""
    from app.calibrating import parse_size, write_result
    from app.chessboards import check_picture, corners_of_folder, corners_of_video
    from app.evaluation.report import write_json
    from geometry.calibration_chessboard import calibrate_chessboard as calibrate

    if lens not in ("brown", "fisheye"):
        raise InputError(f"lens is {lens!r}, wanted brown or fisheye")
    console = Console()
    inner = parse_size(pattern)
    read = corners_of_folder if source.is_dir() else corners_of_video
    found = read(source, inner, console)
    result = calibrate(found.corners_px, found.sizes_px, inner, lens=lens)
    for table in (_boards(result), _coverage(result)):
        console.print(table)
    camera = result.camera.mounted(height_m=height, pitch_rad=math.radians(pitch))
    _say(result, console)
    note = f"From {sum(b.used for b in result.boards)} chessboards, rms {result.rms_px:.2f} px."
    write_result(camera, out, note, None, console)
    out.with_suffix(".check.png").write_bytes(check_picture(result, found))
    console.print(
        f"check picture {out.with_suffix('.check.png')}: found corners green, the model's red, lens corrected"
    )
    if json_file is not None:
        write_json(json_file, _figures(result))


def _boards(result: ChessboardCalibration) -> Table:
    table = Table(title="boards")
    for name in ("picture", "error", "tilt", "distance", ""):
        table.add_column(name, justify="left" if name in ("picture", "") else "right")
    for board in result.boards:
        figures = [f"{board.rms_px:.2f} px", f"{board.tilt_deg:.0f}°", f"{board.distance_squares:.1f} squares"]
        seen = math.isfinite(board.rms_px)
        table.add_row(board.name, *(figures if seen else ["", "", ""]), board.reason and f"left out: {board.reason}")
    return table


def _coverage(result: ChessboardCalibration) -> Table:
    table = Table(title="where the corners were, per cent", show_header=False)
    for row in result.coverage:
        table.add_row(*(f"{100 * share:.0f}" for share in row))
    return table


def _say(result: ChessboardCalibration, console: Console) -> None:
    camera, s = result.camera, result.sigma
    console.print(f"rms {result.rms_px:.3f} px over {sum(b.used for b in result.boards)} boards")
    console.print(
        f"fx {camera.fx_px:.1f} ± {s[0]:.1f}, fy {camera.fy_px:.1f} ± {s[1]:.1f}, "
        f"cx {camera.cx_px:.1f} ± {s[2]:.1f}, cy {camera.cy_px:.1f} ± {s[3]:.1f} px"
    )
    console.print(f"{camera.distortion.model} {', '.join(f'{k:.4f}' for k in camera.distortion.coefficients)}")
    for warning in result.warnings:
        console.print(f"[yellow]note:[/] {warning}")


def _figures(result: ChessboardCalibration) -> dict[str, float]:
    camera = result.camera
    figures = {key: getattr(camera, key) for key in ("fx_px", "fy_px", "cx_px", "cy_px")}
    figures |= {f"k{index}": value for index, value in enumerate(camera.distortion.coefficients)}
    used = sum(board.used for board in result.boards)
    return figures | {"rms_px": result.rms_px, "boards_used": used, "boards_given": len(result.boards)}
