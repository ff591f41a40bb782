"""Detection on every n-th picture: how well the tracks keep to true boxes in between, followed or by motion alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from geometry.boxes import iou
from perception.types import Detections, Frame
from tracking.follow import BoxFollower
from tracking.tracker import Tracker
from tracking.types import Tracks

HIT_IOU = 0.5  # a true box is found where a track overlaps it so far, as KITTI has it for tracking
WARM_UP_S = 1.0


@dataclass(frozen=True, eq=False)
class Shown:
    """One frame: the picture, what a detector finds in it, the true boxes (N, 4) and their ids (N,)."""

    frame: Frame
    found: Detections
    true_xyxy_px: np.ndarray
    true_id: np.ndarray


def measure_following(frames: Iterable[Shown], every: int, *, follow: bool) -> dict[str, float]:
    """Share of true boxes found (percent), their mean overlap (percent) and changes of number, after a second.

    Args:
        every: the detector looks at one frame in so many.
        follow: boxes are followed in the picture in between; else tracks go on by their motion alone.
    """
    overlaps: list[np.ndarray] = []
    changes, numbers = 0, dict[int, int]()
    for shown, tracks in _tracked(frames, every, follow=follow):
        if shown.frame.t_s < WARM_UP_S or not len(shown.true_id):
            continue
        table = iou(shown.true_xyxy_px, tracks.xyxy_px) if len(tracks) else np.zeros((len(shown.true_id), 1))
        best = table.argmax(axis=1)
        overlap = table.max(axis=1)
        overlaps.append(overlap)
        for true_id, column in zip(shown.true_id[overlap >= HIT_IOU], best[overlap >= HIT_IOU], strict=True):
            number = int(tracks.track_id[column])
            changes += numbers.get(int(true_id), number) != number
            numbers[int(true_id)] = number
    overlap = np.concatenate(overlaps) if overlaps else np.zeros(0)
    hit = overlap >= HIT_IOU
    return {
        "found": 100.0 * float(hit.mean()) if len(hit) else 0.0,
        "overlap": 100.0 * float(overlap[hit].mean()) if hit.any() else 0.0,
        "changes": float(changes),
    }


def _tracked(frames: Iterable[Shown], every: int, *, follow: bool) -> Iterator[tuple[Shown, Tracks]]:
    tracker, follower, tracks = None, BoxFollower(), Tracks.empty()
    for index, shown in enumerate(frames):
        if tracker is None:
            height, width = shown.frame.bgr.shape[:2]
            tracker = Tracker(size_px=(width, height))
        looked = index % every == 0
        followed = follower.step(shown.frame.bgr, tracks) if follow else Detections.empty()
        tracks = tracker.update(shown.found if looked else followed, shown.frame.t_s, detected=looked)
        yield shown, tracks
