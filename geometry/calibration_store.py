"""What was learned of a camera's mount, kept from drive to drive in a TOML file beside the profile or anywhere."""

from __future__ import annotations

import math
import os
import tomllib
from pathlib import Path

import numpy as np

from geometry.camera import Camera
from geometry.errors import InputError
from geometry.online_calibration import Kept, OnlineCalibration
from geometry.profiles import quoted, write_whole
from geometry.vehicle_heights import HeightFound

_ANGLES = ("pitch_down_deg", "yaw_left_deg", "roll_right_down_deg")
_VEHICLES = ("height_by_vehicles_m", "height_by_vehicles_sigma", "vehicles")
_KEYS = ("camera", "width_px", "height_px", "fx_px", "blocks", *_ANGLES, "height_over_profile", *_VEHICLES)
_MAX_DEG = 45.0


def save_calibration(calibration: OnlineCalibration, camera: Camera, path: str | os.PathLike[str]) -> None:
    """Keep what was measured so far; without measurements there is nothing to keep and no file is written.

    Args:
        camera: the profile that the calibration started from.

    Raises:
        InputError: the place cannot be written.
    """
    mean, blocks, vehicles = calibration.seen()
    if blocks == 0 or not np.isfinite(mean[:2]).all():
        return
    lines = [
        f"camera = {quoted(camera.name)}",
        f"width_px = {camera.width_px}",
        f"height_px = {camera.height_px}",
        f"fx_px = {camera.fx_px!r}",
        f"blocks = {blocks}",
    ]
    lines += [
        f"{key} = {math.degrees(v)!r}" for key, v in zip(_ANGLES, mean.tolist(), strict=False) if math.isfinite(v)
    ]
    if math.isfinite(mean[3]):
        lines.append(f"height_over_profile = {math.exp(mean[3])!r}")
    if vehicles is not None:
        told = (math.exp(vehicles.log_m), vehicles.sigma, vehicles.vehicles)
        lines += [f"{key} = {value!r}" for key, value in zip(_VEHICLES, told, strict=True)]
    write_whole(Path(path), "\n".join(lines) + "\n")


def load_calibration(camera: Camera, path: str | os.PathLike[str]) -> Kept | None:
    """What ``OnlineCalibration(camera, seen=...)`` takes; None where nothing was kept yet.

    Raises:
        InputError: the file is of another camera, or is no such file.
    """
    source = os.fspath(path)
    try:
        values = tomllib.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{source}: is not a kept calibration ({error}); delete it to start anew") from error
    for key in values:
        if key not in _KEYS:
            raise InputError(f"{source}: key {key} is unknown, wanted only {', '.join(_KEYS)}")
    found = (values.get("camera"), values.get("width_px"), values.get("height_px"), values.get("fx_px"))
    if found != (camera.name, camera.width_px, camera.height_px, camera.fx_px):
        raise InputError(
            f"{source}: was kept for camera {found[0]!r} at {found[1]}x{found[2]}, f {found[3]}, and this one is "
            f"{camera.name!r} at {camera.width_px}x{camera.height_px}, f {camera.fx_px}; delete it to start anew"
        )
    angles = [math.radians(_number(values, key, source, -_MAX_DEG, _MAX_DEG)) for key in _ANGLES]
    height = math.log(_number(values, "height_over_profile", source, 0.1, 10.0))
    vehicles = None
    if _VEHICLES[0] in values:
        height_m, sigma = (
            _number(values, _VEHICLES[0], source, 0.1, 10.0),
            _number(values, _VEHICLES[1], source, 0.01, 1.0),
        )
        vehicles = HeightFound(math.log(height_m), sigma, _count(values, _VEHICLES[2], source))
    return Kept(np.array([*angles, height]), _count(values, "blocks", source), vehicles)


def _count(values: dict[str, object], key: str, source: str) -> int:
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{source}: {key} is {value!r}, wanted a whole number from 1 on")
    return value


def _number(values: dict[str, object], key: str, source: str, low: float, high: float) -> float:
    """A value in its range; NaN where it was never measured."""
    if key not in values:
        return math.nan
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"{source}: {key} is {value!r}, wanted a number from {low:g} to {high:g}")
    return float(value)
