"""Identities on the built-in scenes, with their true boxes: an object that stays in sight keeps its number."""

from dataclasses import dataclass

import numpy as np
import pytest

from geometry.profiles import load_profile
from perception.synthetic import SCENES, make_scene
from tracking.tracker import Tracker

_FPS = 10.0
_COVERED = 0.4  # share of the outline that nearer bodies cover from which an object counts as hidden
_BEFORE_S = (
    0.5  # a change of number is excused when the object was hidden, or cut by the picture's edge, this shortly before
)


@dataclass
class Followed:
    """What became of one true object: its number, when it had it last, when it was last hidden."""

    track_id: int = 0
    seen_s: float = -np.inf
    hidden_s: float = -np.inf


def changes(kind: str, seed: int = 3, duration_s: float = 12.0) -> tuple[list[str], int, int]:
    """Changes of number in plain sight, how many after hiding, and how many objects had a number at all."""
    camera = load_profile("kitti").for_size(1242, 375)
    scene = make_scene(kind, camera, seed=seed, duration_s=duration_s, fps=_FPS)
    tracker, everyone = Tracker(size_px=(camera.width_px, camera.height_px)), {}
    plain, excused = [], 0
    for t_s in scene.times_s:
        truth = scene.truth(float(t_s))
        rows = np.flatnonzero(truth.visible(max_occlusion=0.7, min_height_px=12.0))
        tracks = tracker.update(truth.detections(max_occlusion=0.7, min_height_px=12.0), float(t_s))
        number = {int(rows[d]): int(i) for d, i in zip(tracks.detection, tracks.track_id, strict=True) if d >= 0}
        hidden = (truth.occlusion > _COVERED) | truth.truncated
        hidden[np.setdiff1d(np.arange(len(hidden)), rows)] = True
        for row, object_id in enumerate(truth.track_id):
            one = everyone.setdefault(int(object_id), Followed())
            if hidden[row]:
                one.hidden_s = float(t_s)
            if row not in number:
                continue
            if one.track_id and number[row] != one.track_id:
                if one.hidden_s < one.seen_s - _BEFORE_S:
                    plain.append(f"{kind} {t_s:.1f} s: object {object_id} was {one.track_id}, is {number[row]}")
                else:
                    excused += 1
            one.track_id, one.seen_s = number[row], float(t_s)
    return plain, excused, sum(one.track_id > 0 for one in everyone.values())


@pytest.mark.parametrize("kind", [kind for kind in SCENES if kind != "crowd"])
def test_what_stays_in_sight_keeps_its_number(kind: str) -> None:
    plain, _, followed = changes(kind)
    assert followed > 0
    assert not plain


@pytest.mark.slow
def test_in_a_crowd_numbers_change_seldom() -> None:
    """Boxes of people whose arms swing double in width from frame to frame at 10 Hz: not without changes."""
    total = 0
    for seed in (3, 4, 5):
        plain, _, followed = changes("crowd", seed)
        assert followed >= 15
        total += len(plain)
    assert total <= 17  # in 36 s of 20 people


if __name__ == "__main__":
    for kind in SCENES:
        print(kind, *changes(kind))
