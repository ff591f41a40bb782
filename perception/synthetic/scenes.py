"""Scenes by name."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

from geometry.camera import Camera
from geometry.errors import InputError
from perception.synthetic.motion import Motion
from perception.synthetic.plots import PLOTS
from perception.synthetic.world import Options, Scene

SCENES: tuple[str, ...] = tuple(PLOTS)
"""The kinds of scenes."""


def make_scene(
    kind: str, camera: Camera, *, seed: int = 0, duration_s: float = 10.0, fps: float | Fraction = 25.0, **options: Any
) -> Scene:
    """A scene of one of ``SCENES``.

    Args:
        camera: the nominal camera; its size is the size of the frames.
        seed: the same seed gives the same scene, picture by picture.
        options: see ``Options``.

    Raises:
        InputError: an unknown kind or option, or a value out of range.
    """
    if kind not in SCENES:
        raise InputError(f"scene kind {kind!r} is unknown, use one of {', '.join(SCENES)}")
    chosen = Options.of(options)
    road, ego, cast, around = PLOTS[kind](chosen, seed, duration_s)
    ego = _drifting(ego, chosen.drift_m, duration_s)
    sky = {name: getattr(chosen, name) for name in ("sun_azimuth_rad", "sun_elevation_rad", "overcast")}
    around = replace(around, **{name: value for name, value in sky.items() if math.isfinite(value)})
    return Scene(kind, camera, road, ego, tuple(cast.actors), around, chosen, seed, duration_s, fps)


def _drifting(ego: Motion, by_m: float, duration_s: float) -> Motion:
    """The same path with a drift out of the lane and back in the middle of the scene."""
    if by_m == 0.0:
        return ego
    there, back = (0.45 * duration_s, 2.2, by_m), (0.45 * duration_s + 3.0, 2.2, -by_m)
    return replace(ego, lateral=replace(ego.lateral, changes=(*ego.lateral.changes, there, back)))
