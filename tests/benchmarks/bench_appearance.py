"""What a re-identification network is worth to the tracker: changes of number with it and without, on true boxes.

    python tests/benchmarks/bench_appearance.py NETWORK.onnx [--drive KITTI_DRIVE] [--seeds 3] [--json FILE]

Boxes are those of the truth, so that only association is measured; of the rendered scenes those where people and
vehicles cross, of a KITTI drive all objects. Every n-th picture is used: the rarer the pictures, the less motion alone
tells. A change is a true object whose number is another than the last it had, hidden in between or not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from geometry.profiles import load_profile
from perception.synthetic import make_scene
from perception.types import CLASS_ID, Detections
from tracking.appearance import OnnxEmbedder
from tracking.tracker import Tracker

_SCENES = ("crowd", "city")
_EVERY = (1, 3, 5)
_FPS = 10.0
_KITTI = {"Car": "car", "Van": "car", "Truck": "truck", "Pedestrian": "person", "Cyclist": "rider"}


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture at a time, the true boxes in it and whose they are."""

    t_s: float
    bgr: np.ndarray
    boxes: Detections
    true_id: np.ndarray


def rendered(kind: str, seed: int, seconds: float) -> list[Seen]:
    """A scene of 1242x375 pixels, as KITTI's camera would film it."""
    camera = load_profile("kitti").for_size(1242, 375)
    scene = make_scene(kind, camera, seed=seed, duration_s=seconds, fps=_FPS)
    found = []
    for frame, truth in scene.frames():
        rows = np.flatnonzero(truth.visible(max_occlusion=0.7, min_height_px=12.0))
        boxes = truth.detections(max_occlusion=0.7, min_height_px=12.0)
        found.append(Seen(frame.t_s, frame.bgr, boxes, truth.track_id[rows]))
    return found


def driven(drive: Path) -> Iterator[Seen]:
    """The labelled objects of a KITTI drive (label.txt of the tracking benchmark, image_02)."""
    rows = [line.split() for line in (drive / "label.txt").read_text().splitlines()]
    rows = [r for r in rows if r[2] in _KITTI and int(r[4]) <= 2]
    for index, path in enumerate(sorted((drive / "image_02").glob("*.*"))):
        here = [r for r in rows if int(r[0]) == index]
        boxes = Detections(
            np.array([[float(v) for v in r[6:10]] for r in here], np.float32).reshape(-1, 4),
            np.ones(len(here), np.float32),
            np.array([CLASS_ID[_KITTI[r[2]]] for r in here], np.int64),
        )
        yield Seen(index / _FPS, cv2.imread(str(path)), boxes, np.array([int(r[1]) for r in here], np.int64))


def changes(pictures: Iterable[Seen], embedder: OnnxEmbedder | None) -> int:
    """How often a true object's number changes."""
    tracker, numbers, count = Tracker(embedder=embedder), dict[int, int](), 0
    for seen in pictures:
        tracker.show(seen.bgr)
        tracks = tracker.update(seen.boxes, seen.t_s)
        for row, number in zip(tracks.detection.tolist(), tracks.track_id.tolist(), strict=True):
            if row >= 0:
                true_id = int(seen.true_id[row])
                count += numbers.get(true_id, number) != number
                numbers[true_id] = number
    return count


def main() -> None:
    """Prints and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("--drive", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    embedder = OnnxEmbedder(given.network, "cpu", 1)
    clips = {f"{kind} {seed}": rendered(kind, seed, given.seconds) for kind in _SCENES for seed in range(given.seeds)}
    if given.drive is not None:
        clips[given.drive.name] = list(driven(given.drive))
    figures: dict[str, int] = {}
    for name, pictures in clips.items():
        for every in _EVERY:
            for way, network in (("motion", None), ("appearance", embedder)):
                figures[f"{name}.{every}.{way}"] = changes(pictures[::every], network)
            print(name, "every", every, {way: figures[f"{name}.{every}.{way}"] for way in ("motion", "appearance")})
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
