"""Camera profiles: one TOML file per camera. Loading and saving them is the one thing geometry does with files.

Degrees live in these files only; the ``Camera`` holds radians. The format is strict, so that a misspelt key is told
and not silently ignored::

    name = "my dashcam"
    description = "where the numbers are from"      # optional

    [image]
    width_px = 1280
    height_px = 720

    [intrinsics]                                    # either these four ...
    fx_px = 1000.0
    fy_px = 1000.0
    cx_px = 639.5
    cy_px = 359.5
    # horizontal_fov_deg = 65.0                     # ... or this one alone, for an ideal lens on a data sheet

    [distortion]                                    # optional; none, brown (4, 5 or 8 numbers) or fisheye (4)
    model = "brown"
    coefficients = [-0.25, 0.1, 0.0, 0.0, 0.0]      # k1 k2 p1 p2 k3 k4 k5 k6, as OpenCV has them

    [mount]
    height_m = 1.3                                  # of the lens above the road
    pitch_down_deg = 1.5                            # nose down is positive
    yaw_left_deg = 0.0
    roll_right_down_deg = 0.0
"""

from __future__ import annotations

import math
import os
import tomllib
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

from geometry.camera import Camera
from geometry.distortion import Distortion
from geometry.errors import InputError

__all__ = ["camera_from_fov", "camera_from_toml", "load_profile", "profile_names", "save_profile", "toml_from_camera"]

_PINHOLE = ("fx_px", "fy_px", "cx_px", "cy_px")
_ANGLES = ("pitch_down_deg", "yaw_left_deg", "roll_right_down_deg")
_SECTIONS = ("image", "intrinsics", "distortion", "mount")
_MAX_SIZE_PX = 32767  # OpenCV's fixed-point maps hold 16-bit coordinates
_MAX_HEIGHT_M = 10.0  # above any vehicle; a greater number is centimetres or millimetres by mistake


def profile_names() -> tuple[str, ...]:
    """Names of the profiles that come with the package, sorted."""
    files = resources.files("geometry.profiles").iterdir()
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in files if entry.name.endswith(".toml")))


def load_profile(name_or_path: str | os.PathLike[str]) -> Camera:
    """The camera of a package profile ("kitti") or of a TOML file of your own.

    Raises:
        InputError: no such profile or file, not TOML, or a key that is missing, unknown or out of range; one line that
            names the file, the key, what was got and what was wanted.
    """
    wanted = os.fspath(name_or_path)
    if wanted in profile_names():
        text = resources.files("geometry.profiles").joinpath(f"{wanted}.toml").read_text("utf-8")
        return camera_from_toml(text, source=f"profile {wanted}")
    path = Path(wanted)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "is neither a profile nor a file"
        raise InputError(
            f"camera {wanted!r} {kind}: give one of {', '.join(profile_names())}, or the path of a camera's TOML file"
        )
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{wanted}: cannot be read as text ({error}), wanted a camera's TOML file") from error
    return camera_from_toml(text, source=wanted)


def camera_from_toml(text: str, *, source: str = "camera profile") -> Camera:
    """The camera a TOML text describes; ``source`` names it in messages. Raises InputError as ``load_profile``."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"{source}: is not TOML ({error}), wanted a camera profile like `roadlens calibrate` writes"
        ) from error
    root = _Table(tree, source, "")
    root.only("name", "description", *_SECTIONS)
    image = root.table("image")
    image.only("width_px", "height_px")
    width_px, height_px = image.size("width_px"), image.size("height_px")
    mount = root.table("mount")
    mount.only("height_m", *_ANGLES)
    angles = {key: math.radians(mount.number(key, low=-89.0, high=89.0)) for key in _ANGLES}
    root.text("description", default="")
    return Camera(
        width_px=width_px,
        height_px=height_px,
        **_intrinsics(root.table("intrinsics"), width_px, height_px),
        height_m=mount.number("height_m", low=0.01, high=_MAX_HEIGHT_M),
        pitch_rad=angles["pitch_down_deg"],
        yaw_rad=angles["yaw_left_deg"],
        roll_rad=angles["roll_right_down_deg"],
        distortion=_distortion(root),
        name=root.text("name"),
    )


def toml_from_camera(camera: Camera, *, description: str = "") -> str:
    """The profile text of a camera; reading it back gives the same camera (angles to 1e-12 degrees)."""
    lines = [f"name = {quoted(camera.name)}"]
    if description:
        lines.append(f"description = {quoted(description)}")
    lines += ["", "[image]", f"width_px = {camera.width_px}", f"height_px = {camera.height_px}", "", "[intrinsics]"]
    lines += [f"{key} = {float(getattr(camera, key))!r}" for key in _PINHOLE]
    coefficients = ", ".join(repr(float(k)) for k in camera.distortion.coefficients)
    lines += ["", "[distortion]", f'model = "{camera.distortion.model}"', f"coefficients = [{coefficients}]"]
    lines += ["", "[mount]", f"height_m = {float(camera.height_m)!r}"]
    angles = (camera.pitch_rad, camera.yaw_rad, camera.roll_rad)
    lines += [f"{key} = {round(math.degrees(angle), 12)!r}" for key, angle in zip(_ANGLES, angles, strict=True)]
    return "\n".join(lines) + "\n"


def save_profile(camera: Camera, path: str | os.PathLike[str], *, description: str = "") -> None:
    """Write a camera's profile; the file appears whole or not at all.

    Raises:
        InputError: the place cannot be written.
    """
    write_whole(Path(path), toml_from_camera(camera, description=description))


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all. Raises InputError where the place cannot be written."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):  # there may be no such folder at all
            partial.unlink()
        raise InputError(f"{path}: cannot be written there ({error.strerror or error})") from error


def camera_from_fov(
    width_px: int,
    height_px: int,
    horizontal_fov_rad: float,
    height_m: float = 1.3,
    pitch_rad: float = 0.0,
    *,
    name: str = "field of view",
) -> Camera:
    """An ideal camera with square pixels that sees a horizontal angle: f = W / (2 tan(fov / 2)).

    Raises:
        InputError: a field of view that is not between 1 and 170 degrees (an ideal lens cannot see 180).
    """
    degrees = math.degrees(horizontal_fov_rad)
    if not 1.0 <= degrees <= 170.0:
        raise InputError(
            f"horizontal field of view is {degrees:g} degrees, wanted between 1 and 170: see the data sheet"
        )
    focal_px = width_px / (2.0 * math.tan(horizontal_fov_rad / 2.0))
    centre = ((width_px - 1) / 2.0, (height_px - 1) / 2.0)
    return Camera(width_px, height_px, focal_px, focal_px, *centre, height_m, pitch_rad, name=name)


def quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = "".join(
        f"\\{c}" if c in '"\\' else f"\\u{ord(c):04X}" if ord(c) < 32 or ord(c) == 127 else c for c in text
    )
    return f'"{escaped}"'


def _intrinsics(table: _Table, width_px: int, height_px: int) -> dict[str, float]:
    if "horizontal_fov_deg" in table.values:
        table.only("horizontal_fov_deg")
        degrees = table.number("horizontal_fov_deg", low=1.0, high=170.0)
        camera = camera_from_fov(width_px, height_px, math.radians(degrees))
        return {key: getattr(camera, key) for key in _PINHOLE}
    table.only(*_PINHOLE, "horizontal_fov_deg")
    focal = {key: table.number(key, low=1.0, high=1e6) for key in ("fx_px", "fy_px")}
    return focal | {key: table.number(key, low=-1e6, high=1e6) for key in ("cx_px", "cy_px")}


def _distortion(root: _Table) -> Distortion:
    if "distortion" not in root.values:
        return Distortion()
    table = root.table("distortion")
    table.only("model", "coefficients")
    model, coefficients = table.text("model"), table.values.get("coefficients", [])
    plain = isinstance(coefficients, list) and all(
        isinstance(k, int | float) and not isinstance(k, bool) for k in coefficients
    )
    if not plain:
        table.refuse("coefficients", coefficients, "a list of numbers")
    try:
        return Distortion(model, tuple(float(k) for k in coefficients))  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"{root.source}: [distortion] {error}") from error


class _Table:
    """One table of a profile, whose values are asked for with the range they must lie in."""

    def __init__(self, values: dict[str, Any], source: str, name: str) -> None:
        self.values, self.source, self.name = values, source, name

    def refuse(self, key: str, got: object, wanted: str) -> None:
        where = f"[{self.name}] {key}" if self.name else key
        raise InputError(f"{self.source}: {where} is {got!r}, wanted {wanted}")

    def only(self, *keys: str) -> None:
        for key in self.values:
            if key not in keys:
                where = f"[{self.name}] {key}" if self.name else f"key {key}"
                raise InputError(f"{self.source}: {where} is unknown, wanted only {', '.join(keys)}")

    def get(self, key: str, wanted: str) -> Any:
        if key not in self.values:
            where = f"[{self.name}] {key}" if self.name else key
            raise InputError(f"{self.source}: {where} is missing, wanted {wanted}")
        return self.values[key]

    def table(self, key: str) -> _Table:
        value = self.get(key, "a table of values")
        if not isinstance(value, dict):
            self.refuse(key, value, "a table of values")
        return _Table(value, self.source, key)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.get(key, "a text") if default is None else self.values.get(key, default)
        if not isinstance(value, str):
            self.refuse(key, value, "a text")
        return str(value)

    def number(self, key: str, *, low: float, high: float) -> float:
        wanted = f"a number from {low:g} to {high:g}"
        value = self.get(key, wanted)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.refuse(key, value, wanted)  # NaN is in no range
        return float(value)

    def size(self, key: str) -> int:
        wanted = f"a whole number of pixels from 1 to {_MAX_SIZE_PX}"
        value = self.get(key, wanted)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_SIZE_PX:
            self.refuse(key, value, wanted)
        return int(value)
