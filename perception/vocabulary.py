"""Class names of other people's models and data, mapped to the one road vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perception.types import CLASS_ID

# fmt: off
COCO_NAMES: tuple[str, ...] = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on
"""The 80 classes of COCO 2017 in their usual order."""

# What others call the things of perception.types.CLASSES (BDD100K, Cityscapes, KITTI, COCO, common exports).
ALIASES: dict[str, str] = {
    "bike": "bicycle",
    "motor": "motorcycle",
    "motorbike": "motorcycle",
    "pedestrian": "person",
    "people": "person",
    "person sitting": "person",
    "cyclist": "rider",
    "van": "car",
    "caravan": "truck",
    "trailer": "truck",
    "lorry": "truck",
    "tram": "train",
    "stop sign": "traffic sign",
    "trafficlight": "traffic light",
    "trafficsign": "traffic sign",
}


def road_class(name: str) -> int:
    """Index into ``perception.types.CLASSES`` of a class name, -1 for what is not of the road."""
    key = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    return CLASS_ID.get(ALIASES.get(key, key), -1)


def road_classes(names: Sequence[str]) -> np.ndarray:
    """(C,) int64: the road class of each class of a model, -1 for none."""
    return np.array([road_class(name) for name in names], np.int64)
