"""Rendered scenes as training frames: what the samples show, with exact boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geometry.profiles import load_profile
from perception.training.data import FrameSet, Labels, Progress

if TYPE_CHECKING:
    from perception.synthetic import ObjectTruth

MOST_HIDDEN = 0.8
"""Bodies covered by more than this share are regions to ignore: nobody could label them."""
SECONDS_APART = 1.0


def labels_of(objects: ObjectTruth) -> Labels:
    """Edges of the boxes of one rendered frame; the truth has 0 at the centre of the first pixel."""
    edges = objects.xyxy_px + 0.5
    seen = objects.occlusion <= MOST_HIDDEN
    return Labels.of(edges[seen], objects.class_id[seen], edges[~seen])


def render_frames(
    count: int, size_px: tuple[int, int] = (640, 360), seed: int = 0, on_progress: Progress | None = None
) -> FrameSet:
    """``count`` frames of all kinds of scenes in turn, a second apart, some at night, in rain or fog."""
    from perception.synthetic import SCENES, make_scene

    camera = load_profile("generic").for_size(*size_px)
    rng = np.random.default_rng(seed)
    images = np.empty((count, size_px[1], size_px[0], 3), np.uint8)
    labels: list[Labels] = []
    scene_number = 0
    while len(labels) < count:
        kind = SCENES[scene_number % len(SCENES)]
        weather = {
            "night": bool(rng.random() < 0.15),
            "rain": float(rng.uniform(0.2, 0.8) * (rng.random() < 0.15)),
            "fog": float(rng.uniform(0.1, 0.5) * (rng.random() < 0.1)),
        }
        scene = make_scene(
            kind, camera, seed=seed + scene_number, duration_s=8 * SECONDS_APART, fps=1.0 / SECONDS_APART, **weather
        )
        for frame, truth in scene.frames():
            if len(labels) < count:
                images[len(labels)] = frame.bgr
                labels.append(labels_of(truth.objects))
                if on_progress is not None:
                    on_progress(len(labels), count)
        scene_number += 1
    return FrameSet(images, tuple(labels))
