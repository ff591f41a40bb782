"""The rendered frames on which the embedded detector does worst, drawn: the picture of the model card.

    python tests/benchmarks/draw_failures.py docs/pictures/detector_failures.jpg [--model FILE] [--count 6]

The labelled pictures that the detector is measured on belong to others, and stay where they are; rendered ones may be
shown. Scenes are those of seeds that no training used.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2

from app.evaluation.detect_failures import worst_frames
from app.evaluation.detection_data import LabelledImage
from geometry.profiles import load_profile
from perception.detector import load_detector
from perception.synthetic import make_scene

_SCENES = (("city", {}), ("crowd", {}), ("city", {"night": True}), ("highway", {"rain": 0.7}), ("curve", {"fog": 0.5}))
_SEED, _SECONDS, _FPS = 1000, 12.0, 0.2
_QUALITY = 80


def labelled(folder: Path) -> Iterator[LabelledImage]:
    """Frames of all scenes, five seconds apart, written into a folder."""
    camera = load_profile("generic").for_size(1280, 720)
    for number, (kind, options) in enumerate(_SCENES):
        scene = make_scene(kind, camera, seed=_SEED + number, duration_s=_SECONDS, fps=_FPS, **options)
        for frame, truth in scene.frames():
            path = folder / f"{kind} {number} at {frame.t_s:.0f} s.png"
            cv2.imwrite(str(path), frame.bgr)
            seen = truth.detections(max_occlusion=0.7, min_height_px=16.0)
            every = truth.detections(max_occlusion=1.0, min_height_px=0.0)
            yield LabelledImage(path, seen.xyxy_px, seen.class_id, every.xyxy_px)


def main() -> None:
    """Draws and writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--count", type=int, default=6)
    given = parser.parse_args()
    detector = load_detector(given.model, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        images = list(labelled(Path(folder)))
        found = [detector.detect(cv2.imread(str(image.path))) for image in images]
        sheet = worst_frames(images, found, given.count)
    cv2.imwrite(str(given.out), sheet, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    print(f"{given.out}: the worst {given.count} of {len(images)} frames")


if __name__ == "__main__":
    main()
