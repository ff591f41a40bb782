"""Rendered frames for training: scenes, cameras, weather and wear drawn at random, the same for the same seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from geometry.camera import Camera
from geometry.distortion import IDEAL, Distortion
from geometry.profiles import camera_from_fov
from perception.synthetic.render import Renderer
from perception.synthetic.scenes import SCENES, make_scene
from perception.synthetic.truth import FrameTruth
from perception.synthetic.world import Scene
from perception.types import Frame

ROAD_SCENES: tuple[str, ...] = ("highway", "curve", "lane_change", "mixed", "oncoming", "bridges", "junction")
"""The kinds whose point is the paint."""

_FRAMES_PER_SCENE = 6  # a scene's textures cost as much as about ten of its frames
_HIDDEN = 0.75  # what is covered more is for no detector to find
_MIN_SIDE_PX = 5.0
_DURATION_S = 10.0


@dataclass(frozen=True, eq=False)
class TrainingFrame:
    """A picture with its boxes: (H, W, 3) uint8, (N, 4) float32 pixels, (N,) int64 classes; ``ignore_px`` (M, 4) are
    boxes too small or too hidden to be asked for or punished."""

    bgr: np.ndarray
    xyxy_px: np.ndarray
    class_id: np.ndarray
    ignore_px: np.ndarray


def random_camera(rng: np.random.Generator, size_px: tuple[int, int]) -> Camera:
    """A dashcam: 45 to 95 degrees across, 1.1 to 2.3 m up, a few degrees off level, half of them with a bent lens."""
    fov = math.radians(float(rng.uniform(45.0, 95.0)))
    height = float(rng.uniform(1.1, 1.7) if rng.random() < 0.85 else rng.uniform(1.7, 2.3))
    camera = camera_from_fov(*size_px, fov, height, math.radians(float(rng.normal(2.0, 2.5))), name="random")
    yaw, roll = (math.radians(float(rng.normal(0, spread))) for spread in (1.5, 0.8))
    return replace(camera, yaw_rad=yaw, roll_rad=roll, distortion=_lens(rng))


def _lens(rng: np.random.Generator) -> Distortion:
    kind = rng.random()
    if kind < 0.5:
        return IDEAL
    if kind < 0.85:
        k1 = float(rng.uniform(-0.22, 0.04))
        return Distortion("brown", (k1, -0.25 * k1, float(rng.normal(0, 5e-4)), float(rng.normal(0, 5e-4))))
    return Distortion("fisheye", (float(rng.uniform(-0.03, 0.02)), float(rng.uniform(-0.003, 0.003)), 0.0, 0.0))


def random_options(rng: np.random.Generator) -> dict[str, Any]:
    """Weather, wear, paint and mount for ``make_scene``."""

    def sometimes(share: float, low: float, high: float) -> float:
        return float(rng.uniform(low, high)) if rng.random() < share else 0.0

    return {
        "night": bool(rng.random() < 0.25),
        "rain": sometimes(0.25, 0.15, 1.0),
        "fog": sometimes(0.12, 0.1, 0.7),
        "noise": float(rng.uniform(0.3, 5.0)),
        "motion_blur": float(rng.uniform(0.0, 0.6)),
        "tree_shade": sometimes(0.35, 0.2, 1.0),
        "suspension_pitch_rad": math.radians(sometimes(0.5, 0.1, 1.2)),
        "missing_paint": sometimes(0.5, 0.05, 0.5),
        "wear_m": float(rng.uniform(0.3, 3.0)),
        "marking": (None, None, "solid", "dashed", "double")[int(rng.integers(5))],
        "edge_marking": (None, None, None, "dashed", "double")[int(rng.integers(5))],
        "colour": (None, None, "white", "yellow")[int(rng.integers(4))],
        "lane_width_m": float(rng.uniform(2.8, 3.9)),
        "radius_m": float(np.exp(rng.uniform(math.log(60.0), math.log(900.0)))),
        "turn": ("left", "right")[int(rng.integers(2))],
        "weave_m": float(rng.uniform(0.0, 0.5)),
        "drift_m": sometimes(0.3, -1.6, 1.6),
        "sun_azimuth_rad": float(rng.uniform(-math.pi, math.pi)),
        "sun_elevation_rad": float(rng.uniform(0.25, 1.2)),
        "overcast": float(rng.uniform(0.0, 1.0)) ** 1.5,
    }


def random_scene(seed: int, size_px: tuple[int, int], kinds: Sequence[str] = SCENES) -> Scene:
    """A scene of a random kind seen by a random camera in random conditions."""
    rng = np.random.default_rng([seed, 11])
    kind = str(kinds[int(rng.integers(len(kinds)))])
    options = random_options(rng)
    return make_scene(kind, random_camera(rng, size_px), seed=seed, duration_s=_DURATION_S, fps=20.0, **options)


def random_frames(
    count: int, seed: int, size_px: tuple[int, int], kinds: Sequence[str] = SCENES, per_scene: int = _FRAMES_PER_SCENE
) -> Iterator[tuple[Frame, FrameTruth]]:
    """``count`` frames with their truth, ``per_scene`` from each random scene, at random times."""
    made, number = 0, 0
    while made < count:
        scene = random_scene(seed * 100_003 + number, size_px, kinds)
        rng = np.random.default_rng([seed, number, 12])
        renderer = Renderer(scene)
        for t_s in rng.uniform(0.0, _DURATION_S, min(per_scene, count - made)):
            yield renderer.frame(made, float(t_s))
            made += 1
        number += 1


def road_frames(count: int, seed: int, size_px: tuple[int, int] = (640, 360)) -> Iterator[tuple[Frame, FrameTruth]]:
    """Random frames of the scenes whose point is the paint; ``truth.camera`` and ``truth.lanes`` go with each."""
    return random_frames(count, seed, size_px, ROAD_SCENES)


def training_frames(count: int, seed: int, size_px: tuple[int, int] = (640, 360)) -> Iterator[TrainingFrame]:
    """Random frames with the boxes a detector should find."""
    for frame, truth in random_frames(count, seed, size_px):
        boxes = truth.objects.xyxy_px.astype(np.float32)
        keep = (truth.objects.occlusion <= _HIDDEN) & ((boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= _MIN_SIDE_PX)
        yield TrainingFrame(frame.bgr, boxes[keep], truth.objects.class_id[keep].copy(), boxes[~keep])
