"""Labelled frames: COCO lists read once, pictures decoded once into one memory-mapped array."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geometry.errors import InputError
from perception.types import CLASS_ID, CLASSES

SYNONYMS = {
    "bike": "bicycle",
    "motor": "motorcycle",
    "motorbike": "motorcycle",
    "pedestrian": "person",
    "cyclist": "rider",
    "stop sign": "traffic sign",
}
"""Names other data sets give to our classes (BDD100K's, KITTI's, COCO's)."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Labels:
    """Objects of one picture.

    Attributes:
        xyxy_px: (n, 4) float32 in pixels of the picture.
        class_id: (n,) int64 into ``CLASSES``.
        ignore_xyxy_px: (m, 4) float32 regions that are neither object nor background.
    """

    xyxy_px: np.ndarray
    class_id: np.ndarray
    ignore_xyxy_px: np.ndarray

    @classmethod
    def of(cls, xyxy_px: Any, class_id: Any, ignore_xyxy_px: Any = ()) -> Labels:
        return cls(
            np.asarray(xyxy_px, np.float32).reshape(-1, 4),
            np.asarray(class_id, np.int64).reshape(-1),
            np.asarray(ignore_xyxy_px, np.float32).reshape(-1, 4),
        )


@dataclass(frozen=True, eq=False)
class Annotations:
    """A COCO list: the folder its names are relative to, file names, sizes (w, h) and labels, in the list's order."""

    folder: Path
    names: tuple[str, ...]
    sizes_px: tuple[tuple[int, int], ...]
    labels: tuple[Labels, ...]

    def every(self, step: int) -> Annotations:
        return Annotations(self.folder, self.names[::step], self.sizes_px[::step], self.labels[::step])


@dataclass(frozen=True, eq=False)
class FrameSet:
    """Decoded pictures (N, H, W, 3) uint8 blue-green-red, possibly memory-mapped, and their labels."""

    images: np.ndarray
    labels: tuple[Labels, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        return self.images[index]


@dataclass(frozen=True, eq=False)
class JoinedSet:
    """Several frame sets one after the other, without copying their pictures."""

    parts: tuple[FrameSet, ...]

    @property
    def labels(self) -> tuple[Labels, ...]:
        return tuple(label for part in self.parts for label in part.labels)

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def image(self, index: int) -> np.ndarray:
        for part in self.parts:
            if index < len(part):
                return part.image(index)
            index -= len(part)
        raise IndexError(index)


def list_path(folder: Path, split: str) -> Path:
    """``folder/split.json`` or ``.json.gz``; raises InputError where neither is there."""
    for suffix in (".json", ".json.gz"):
        path = folder / f"{split}{suffix}"
        if path.is_file():
            return path
    raise InputError(f"{folder} has no {split}.json or {split}.json.gz; give the folder that holds the COCO lists")


def _category_table(categories: list[dict[str, Any]], path: Path) -> dict[int, int]:
    table = {}
    for category in categories:
        name = str(category["name"]).lower()
        name = SYNONYMS.get(name, name)
        if name in CLASS_ID:
            table[int(category["id"])] = CLASS_ID[name]
    if not table:
        raise InputError(f"{path} has no category of the road vocabulary ({', '.join(CLASSES)})")
    return table


def load_annotations(path: Path) -> Annotations:
    """Read a COCO json or json.gz; ``iscrowd`` boxes become regions to ignore, foreign categories are left out.

    Raises InputError where the file is not a COCO list or knows none of our classes.
    """
    try:
        content = json.loads(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
        images, annotations, categories = content["images"], content["annotations"], content["categories"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a COCO list (images, annotations, categories): {error}") from error
    table = _category_table(categories, path)
    boxes: dict[int, list[tuple[list[float], int]]] = {int(image["id"]): [] for image in images}
    ignored: dict[int, list[list[float]]] = {int(image["id"]): [] for image in images}
    for item in annotations:
        x, y, w, h = (float(v) for v in item["bbox"])
        corners, image = [x, y, x + w, y + h], int(item["image_id"])
        if item.get("iscrowd"):
            ignored[image].append(corners)
        elif int(item["category_id"]) in table and w > 0 and h > 0:
            boxes[image].append((corners, table[int(item["category_id"])]))
    ids = [int(image["id"]) for image in images]
    return Annotations(
        path.parent,
        tuple(str(image["file_name"]) for image in images),
        tuple((int(image["width"]), int(image["height"])) for image in images),
        tuple(Labels.of([b for b, _ in boxes[i]], [c for _, c in boxes[i]], ignored[i]) for i in ids),
    )


def _decode_into(target: np.ndarray, path: Path) -> tuple[float, float]:
    """Decode and stretch to the target's size; returns the two scales."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"{path} is listed but cannot be read as a picture")
    height, width = target.shape[:2]
    scales = width / picture.shape[1], height / picture.shape[0]
    if scales != (1.0, 1.0):
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    target[:] = picture
    return scales


def _cache_name(annotations: Annotations, size_px: tuple[int, int]) -> str:
    digest = hashlib.sha256("\n".join((str(annotations.folder.resolve()), *annotations.names, str(size_px))).encode())
    return f"frames_{digest.hexdigest()[:16]}.npy"


def pack(annotations: Annotations, cache: Path | None = None, on_progress: Progress | None = None) -> FrameSet:
    """Decode every picture once, all to the commonest size of the list.

    With ``cache`` (a folder) the array is a memory-mapped ``.npy`` there, reused by the next run and shared by
    processes: its pages are the system's to drop, so a set larger than the memory only becomes slower.
    """
    if not annotations.names:
        raise InputError(f"the list in {annotations.folder} names no picture")
    size = Counter(annotations.sizes_px).most_common(1)[0][0]
    shape = (len(annotations.names), size[1], size[0], 3)
    labels = []
    for label, (width, height) in zip(annotations.labels, annotations.sizes_px, strict=True):
        scale = np.array([size[0] / width, size[1] / height] * 2, np.float32)
        labels.append(Labels.of(label.xyxy_px * scale, label.class_id, label.ignore_xyxy_px * scale))
    if cache is None:
        images = np.empty(shape, np.uint8)
        _fill(images, annotations, on_progress)
        return FrameSet(images, tuple(labels))
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / _cache_name(annotations, size)
    if not path.exists():
        partial = path.with_suffix(".partial")
        mapped = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        _fill(mapped, annotations, on_progress)
        mapped.flush()
        del mapped
        partial.replace(path)
    return FrameSet(np.load(path, mmap_mode="r"), tuple(labels))


def _fill(images: np.ndarray, annotations: Annotations, on_progress: Progress | None) -> None:
    for index, name in enumerate(annotations.names):
        _decode_into(images[index], annotations.folder / name)
        if on_progress is not None:
            on_progress(index + 1, len(annotations.names))


def frame_weights(labels: tuple[Labels, ...], strength: float = 0.5) -> np.ndarray:
    """(N,) sampling weights, mean 1: frames with rare classes come more often.

    Repeat-factor sampling (LVIS, Gupta et al. 2019): a class found in a share f of the frames asks for
    (0.3 / f)^strength, at least 1 and at most 8; a frame gets the largest wish of its classes.
    """
    share = np.zeros(len(CLASSES))
    for label in labels:
        share[np.unique(label.class_id)] += 1.0
    share /= max(len(labels), 1)
    wish = np.clip((0.3 / np.maximum(share, 1e-6)) ** strength, 1.0, 8.0)
    weights = np.array([wish[label.class_id].max(initial=1.0) for label in labels])
    return weights / weights.mean()
