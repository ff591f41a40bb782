"""COCO: coco.json, pictures, categories, and the detections as annotations with scores (T.-Y. Lin et al., 2014).

Pixels count from the corner of the top-left pixel there. ``file_name`` is the clip's name and the frame;
``roadlens mine`` writes pictures of that kind.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.export.base import PIXEL_CENTRE_PX, Exporter
from app.record import Header
from app.types import FrameResult
from perception.types import Detections


def categories_of(classes: Sequence[str]) -> list[dict[str, Any]]:
    """COCO's categories of class names, from 1."""
    return [{"id": number, "name": name} for number, name in enumerate(classes, 1)]


def image_of(number: int, header: Header, result: FrameResult) -> dict[str, Any]:
    """COCO's entry of a frame; ``frame`` and ``t_s`` say which it is."""
    stem = Path(str(header.clip.get("source", "clip"))).stem
    camera = header.camera
    return {
        "id": number,
        "file_name": f"{stem}_{result.index:06d}.jpg",
        "width": camera.width_px,
        "height": camera.height_px,
        "frame": result.index,
        "t_s": result.t_s,
    }


def annotations_of(found: Detections, image_id: int, first_id: int) -> Iterator[dict[str, Any]]:
    """COCO's annotations of a frame's detections, in their order."""
    boxes = found.xyxy_px.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    boxes[:, :2] += PIXEL_CENTRE_PX
    for row, box in enumerate(np.round(boxes, 2).tolist()):
        yield {
            "id": first_id + row,
            "image_id": image_id,
            "category_id": int(found.class_id[row]) + 1,
            "bbox": box,
            "area": round(box[2] * box[3], 2),
            "iscrowd": 0,
            "score": round(float(found.score[row]), 4),
        }


class CocoExporter(Exporter):
    """One JSON object; the annotations wait in a file of their own until the pictures are all listed."""

    names = ("coco.json",)

    def begin(self) -> None:
        self.waiting = self.partial[0].with_suffix(".annotations.tmp")
        self._images = self.partial[0].open("w", encoding="utf-8")
        self._annotations = self.waiting.open("w", encoding="utf-8")
        info = {"description": f"roadlens {self.header.roadlens}", "clip": self.header.clip}
        about = {"info": info, "categories": categories_of(self.header.classes)}
        self._images.write(json.dumps(about)[:-1] + ', "images": [')
        self._frames = self._objects = 0

    def write(self, result: FrameResult) -> None:
        self._frames += 1
        self._put(self._images, image_of(self._frames, self.header, result), self._frames)
        for annotation in annotations_of(result.detections, self._frames, self._objects + 1):
            self._objects += 1
            self._put(self._annotations, annotation, self._objects)

    @staticmethod
    def _put(file: Any, value: dict[str, Any], number: int) -> None:
        file.write((",\n" if number > 1 else "\n") + json.dumps(value, separators=(",", ":")))

    def close(self) -> None:
        self._annotations.close()
        try:
            with self.waiting.open(encoding="utf-8") as waiting:
                self._images.write('\n], "annotations": [')
                shutil.copyfileobj(waiting, self._images)
                self._images.write("\n]}\n")
            self._images.close()
        finally:
            self.waiting.unlink(missing_ok=True)
