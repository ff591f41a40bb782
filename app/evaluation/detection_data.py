"""Labelled pictures for measuring a detector: COCO files and KITTI's label files, in the road vocabulary."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geometry.errors import InputError
from geometry.types import frozen_array
from perception.types import CLASSES
from perception.vocabulary import road_class


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One picture with its truth.

    Attributes:
        path: of the picture.
        xyxy_px: (N, 4) float64 boxes as points of the image frame, as ``Detections`` has them.
        class_id: (N,) index into ``perception.types.CLASSES``.
        ignored_px: (M, 4) regions where nothing was labelled: what is found there counts neither way.
    """

    path: Path
    xyxy_px: np.ndarray
    class_id: np.ndarray
    ignored_px: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "xyxy_px", frozen_array(self.xyxy_px, np.float64, (None, 4), "LabelledImage.xyxy_px"))
        count = (len(self.xyxy_px),)
        object.__setattr__(self, "class_id", frozen_array(self.class_id, np.int64, count, "LabelledImage.class_id"))
        ignored = frozen_array(self.ignored_px, np.float64, (None, 4), "LabelledImage.ignored_px")
        object.__setattr__(self, "ignored_px", ignored)


def load_labelled(folder: Path, split: str = "val", every: int = 1) -> tuple[LabelledImage, ...]:
    """Labelled pictures of a folder: ``SPLIT.json[.gz]`` in COCO's format, or KITTI's ``label.txt`` / ``label_2``.

    Args:
        folder: with the label file; COCO's picture names are relative to it, KITTI's pictures in ``image_02`` or
            ``image_2``.
        split: which COCO file; KITTI folders have no splits.
        every: take every so many pictures, from the first one on.

    Raises:
        InputError: nothing of the kind is there, or it cannot be read.
    """
    if every < 1:
        raise InputError(f"every is {every}; must be 1 or more")
    if not folder.is_dir():
        raise InputError(f"no folder {folder}; give one with {split}.json[.gz] (COCO) or label.txt (KITTI)")
    if (folder / "label.txt").is_file() or (folder / "label_2").is_dir():
        images = _load_kitti(folder)
    else:
        images = _load_coco(folder, split)
    images = images[::every]
    if not any(len(image.class_id) for image in images):
        raise InputError(
            f"{folder}: the {len(images)} pictures chosen have no box of a road class ({', '.join(CLASSES)})"
        )
    return tuple(images)


def _load_coco(folder: Path, split: str) -> list[LabelledImage]:
    found = [path for path in (folder / f"{split}.json", folder / f"{split}.json.gz") if path.is_file()]
    if not found:
        there = ", ".join(sorted(p.name.split(".")[0] for p in folder.glob("*.json*"))) or "none"
        raise InputError(f"no {split}.json or {split}.json.gz in {folder}; the splits there are: {there}")
    try:
        text = gzip.decompress(found[0].read_bytes()) if found[0].suffix == ".gz" else found[0].read_bytes()
        return _coco_images(json.loads(text), folder)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{found[0]} is no COCO detection file ({type(error).__name__}: {error})") from error


def _coco_images(labels: dict[str, Any], folder: Path) -> list[LabelledImage]:
    road = {category["id"]: road_class(category["name"]) for category in labels["categories"]}
    boxes: dict[int, list[list[float]]] = defaultdict(list)
    kinds: dict[int, list[int]] = defaultdict(list)
    ignored: dict[int, list[list[float]]] = defaultdict(list)
    for annotation in labels["annotations"]:
        left, top, width, height = annotation["bbox"]
        # COCO's boxes are edges; half a pixel less makes them points of the image frame.
        xyxy = [left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5]
        kind = road[annotation["category_id"]]
        if annotation.get("iscrowd"):
            ignored[annotation["image_id"]].append(xyxy)
        elif kind >= 0:
            boxes[annotation["image_id"]].append(xyxy)
            kinds[annotation["image_id"]].append(kind)
    return [
        LabelledImage(
            folder / image["file_name"],
            np.array(boxes[image["id"]]).reshape(-1, 4),
            np.array(kinds[image["id"]], np.int64),
            np.array(ignored[image["id"]]).reshape(-1, 4),
        )
        for image in labels["images"]
    ]


def _load_kitti(folder: Path) -> list[LabelledImage]:
    pictures = next((folder / name for name in ("image_02", "image_2") if (folder / name).is_dir()), None)
    if pictures is None:
        raise InputError(f"no image_02 or image_2 in {folder}; KITTI's pictures belong there")
    rows: dict[int, list[list[str]]] = defaultdict(list)
    try:
        if (folder / "label.txt").is_file():  # tracking: frame and track id come first
            for line in (folder / "label.txt").read_text().splitlines():
                words = line.split()
                rows[int(words[0])].append(words[2:])
        else:
            for path in (folder / "label_2").glob("*.txt"):
                rows[int(path.stem)] = [line.split() for line in path.read_text().splitlines()]
        paths = {int(path.stem): path for path in sorted(pictures.iterdir())}
        return [_kitti_image(paths[number], rows[number]) for number in sorted(paths)]
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{folder}: its labels are not in KITTI's format ({error})") from error


def _kitti_image(path: Path, rows: list[list[str]]) -> LabelledImage:
    """KITTI's boxes count pixels from 0 at their centres (a truncated box ends at width - 1): points already."""
    boxes = np.array([row[4:8] for row in rows], np.float64).reshape(-1, 4)
    kinds = np.array([road_class(row[0]) for row in rows], np.int64)
    # DontCare marks what nobody labelled; Misc is a trailer or the like, which any vehicle class would be right for.
    return LabelledImage(path, boxes[kinds >= 0], kinds[kinds >= 0], boxes[kinds < 0])
