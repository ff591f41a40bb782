"""Which camera a clip was taken with, where nobody says: the profile that lies beside it, else a generic dashcam, whose
mount is looked for in the clip (``app.first_look``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from geometry.camera import Camera

GENERIC = "generic"


@dataclass(frozen=True)
class CameraChoice:
    """``profile``: a package profile's name or a file; ``note`` says why, where a person should know."""

    profile: str
    note: str = ""


@dataclass(frozen=True)
class StartCamera:
    """The camera that a run begins with, of the clip's size; ``found``: its mount is from a look at the clip; ``note``
    says what a person should know of it."""

    camera: Camera
    found: bool = False
    note: str = ""


def camera_for(source: str | Path | int, given: str | None = None) -> CameraChoice:
    """The camera profile to use for a source.

    Args:
        given: what the person asked for; it wins.
    """
    if given is not None:
        return CameraChoice(given)
    path = Path(str(source))
    is_address = re.match(r"[a-z]+://", str(source)) is not None
    beside = None if is_address else next((p for p in sidecars(path) if p.is_file()), None)
    if beside is not None:
        return CameraChoice(str(beside), f"camera profile {beside} found beside the clip")
    note = (
        "no camera profile given: a generic dashcam is assumed, its mount is looked for in the clip, and all distances "
        "are rough; "
        "give yours with --camera (roadlens calibrate finds it)"
    )
    return CameraChoice(GENERIC, note)


def sidecars(clip: Path) -> tuple[Path, ...]:
    """Where a clip's own camera profile may lie: ``clip.toml`` beside it, ``camera.toml`` in a folder of pictures."""
    return (clip / "camera.toml",) if clip.is_dir() else (clip.with_suffix(".toml"),)
