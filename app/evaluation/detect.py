"""How good detections are: COCO's average precision by faster-coco-eval, confusion of classes, one-core latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from app.evaluation.detection_data import LabelledImage
from geometry.boxes import iou
from geometry.errors import InputError
from perception.detector import Detector
from perception.types import CLASSES, VEHICLES, Detections

SIZES = ("all", "small", "medium", "large")
"""COCO's: small under 32 x 32 pixels of the picture, large over 96 x 96."""
VEHICLE = "vehicle"
"""Car, truck and bus pooled: a truck found as a car is found."""
MEASURED = (*CLASSES, VEHICLE)
COUNTED_SCORE = 0.3
"""Least score of detections that count where a yes or no is wanted: confusion of classes, failures."""
LOWEST_SCORE = 0.01
"""Least score of detections that average precision is measured on: the curve's far end."""


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """What one model reached; NaN for classes that it does not know or that the truth has none of.

    Attributes:
        map: mean over classes of AP at IoU 0.5 to 0.95, over the classes known and present.
        ap50: per class and ``vehicle``, AP at IoU 0.5; ``ap50_by_size`` the same for small, medium and large boxes.
        precision: per class, (101,) precision at IoU 0.5 over recall 0, 0.01, ..., 1.
        boxes: per class, how many the truth has.
    """

    map: float
    ap50: dict[str, float]
    ap50_by_size: dict[str, dict[str, float]]
    precision: dict[str, np.ndarray]
    boxes: dict[str, int]


def read_picture(image: LabelledImage) -> np.ndarray:
    """The (H, W, 3) uint8 picture.

    Raises:
        InputError: it is not there or cannot be read.
    """
    bgr = cv2.imread(str(image.path))
    if bgr is None:
        raise InputError(f"no picture can be read from {image.path}, which the labels name")
    return bgr


def predict(
    detector: Detector, images: Sequence[LabelledImage], on_progress: Callable[[], None] | None = None
) -> list[Detections]:
    """What a detector finds in each picture."""
    found = []
    for image in images:
        found.append(detector.detect(read_picture(image)))
        if on_progress:
            on_progress()
    return found


def score_detections(
    images: Sequence[LabelledImage], found: Sequence[Detections], known: Collection[str] = CLASSES
) -> DetectionScores:
    """Average precision of detections against the truth.

    Args:
        images: the truth.
        found: detections of each picture, boxes and truth in the same frame.
        known: road classes that the model can find; the others are NaN, not 0.

    Raises:
        InputError: faster-coco-eval is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise InputError("measuring detection needs faster-coco-eval: pip install 'roadlens[eval]'") from error
    truth = COCO(_truth(images))
    measured = COCOeval_faster(truth, truth.loadRes(_results(found)), "bbox", print_function=lambda *_: None)
    measured.evaluate()
    measured.accumulate()
    # (IoU thresholds, recalls, classes, sizes, most detections); -1 where the truth has no such box.
    precision = np.array(measured.eval["precision"], np.float64).reshape(10, 101, len(MEASURED), len(SIZES), -1)[
        ..., -1
    ]
    precision[precision < 0] = np.nan
    unknown = [index for index, name in enumerate(MEASURED) if name not in known and name != VEHICLE]
    precision[:, :, unknown] = np.nan
    ap50 = _mean(precision[0], axis=0)
    return DetectionScores(
        map=float(_mean(precision[:, :, : len(CLASSES), 0].reshape(-1), axis=0)),
        ap50=_named(ap50[:, 0]),
        ap50_by_size={size: _named(ap50[:, 1 + index]) for index, size in enumerate(SIZES[1:])},
        precision={name: precision[0, :, index, 0] for index, name in enumerate(MEASURED)},
        boxes=_named_counts(images),
    )


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what is not NaN; NaN, without a warning, where all is."""
    there = np.isfinite(values)
    count = there.sum(axis=axis)
    total = np.where(there, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _named(values: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(MEASURED, values, strict=True)}


def _named_counts(images: Sequence[LabelledImage]) -> dict[str, int]:
    counts = np.bincount(np.concatenate([image.class_id for image in images]), minlength=len(CLASSES)).tolist()
    return dict(zip(MEASURED, [*counts, sum(counts[index] for index in VEHICLES)], strict=True))


def _categories(class_id: int) -> tuple[int, ...]:
    """COCO category numbers (from 1) that a road class counts for."""
    return (class_id + 1, len(MEASURED)) if class_id in VEHICLES else (class_id + 1,)


def _truth(images: Sequence[LabelledImage]) -> dict[str, Any]:
    annotations = []
    for number, image in enumerate(images, start=1):
        rows = [
            (box, category, 0)
            for box, kind in zip(image.xyxy_px, image.class_id, strict=True)
            for category in _categories(int(kind))
        ]
        rows += [(box, category, 1) for box in image.ignored_px for category in range(1, len(MEASURED) + 1)]
        for box, category, crowd in rows:
            xywh = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
            annotations.append(
                {"image_id": number, "category_id": category, "bbox": xywh, "area": xywh[2] * xywh[3], "iscrowd": crowd}
            )
    for index, annotation in enumerate(annotations, start=1):
        annotation["id"] = index
    return {
        "images": [{"id": number} for number in range(1, len(images) + 1)],
        "annotations": annotations,
        "categories": [{"id": index, "name": name} for index, name in enumerate(MEASURED, start=1)],
    }


def _results(found: Sequence[Detections]) -> list[dict[str, Any]]:
    results = []
    for number, detections in enumerate(found, start=1):
        xywh = detections.xyxy_px.astype(np.float64)
        xywh[:, 2:] -= xywh[:, :2]
        for box, score, kind in zip(
            xywh.tolist(), detections.score.tolist(), detections.class_id.tolist(), strict=True
        ):
            for category in _categories(kind):
                results.append({"image_id": number, "category_id": category, "bbox": box, "score": score})
    return results


def confusion(
    images: Sequence[LabelledImage], found: Sequence[Detections], least_score: float = COUNTED_SCORE
) -> np.ndarray:
    """(C + 1, C + 1) counts: rows true classes, columns found ones, the last of each "nothing".

    Boxes pair greedily by overlap, best first, over IoU 0.5, whatever their classes; what is found in ignored
    regions is left out.
    """
    nothing = len(CLASSES)
    counts = np.zeros((nothing + 1, nothing + 1), np.int64)
    for image, detections in zip(images, found, strict=True):
        pairing = pair(image, detections, least_score)
        np.add.at(counts, (image.class_id[pairing.true], detections.class_id[pairing.found]), 1)
        np.add.at(counts[:, nothing], image.class_id[pairing.missed], 1)
        np.add.at(counts[nothing], detections.class_id[pairing.extra], 1)
    return counts


@dataclass(frozen=True, eq=False)
class Pairing:
    """Rows of the truth and of the detections of one picture.

    Attributes:
        true, found: (P,) rows that belong together.
        missed: rows of the truth that nothing was found for.
        extra: rows of detections where nothing is.
    """

    true: np.ndarray
    found: np.ndarray
    missed: np.ndarray
    extra: np.ndarray


def pair(image: LabelledImage, detections: Detections, least_score: float) -> Pairing:
    """Pair boxes greedily by overlap over IoU 0.5, best first, whatever their classes.

    Detections under ``least_score`` are not there; those in ignored regions are neither found nor extra.
    """
    sure = np.flatnonzero(detections.score >= least_score)
    boxes = detections.xyxy_px[sure].astype(np.float64)
    true_rows, found_rows = _pairs(iou(image.xyxy_px, boxes), 0.5)
    extra = np.ones(len(sure), bool)
    extra[found_rows] = False
    if len(image.ignored_px):
        extra &= _inside(boxes, image.ignored_px) < 0.5
    missed = np.delete(np.arange(len(image.class_id)), true_rows)
    return Pairing(true_rows, sure[found_rows], missed, sure[extra])


def _pairs(overlap: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns paired greedily, largest overlap first."""
    rows, columns = np.nonzero(overlap > least)
    order = np.argsort(-overlap[rows, columns], kind="stable")
    taken_rows, taken_columns = [], []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in taken_rows and column not in taken_columns:
            taken_rows.append(row)
            taken_columns.append(column)
    return np.array(taken_rows, np.int64), np.array(taken_columns, np.int64)


def _inside(boxes: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """(N,) largest share of each box that lies in one of the regions."""
    low = np.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=2)
    return (shared / np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)[:, None]).max(axis=1)


def latency_ms(detectors: Mapping[str, Detector], pictures: Sequence[np.ndarray], rounds: int = 3) -> dict[str, float]:
    """Median time of one whole detection (picture to boxes) of each detector.

    The detectors take turns picture by picture, so that whatever else the machine does falls on all alike.
    """
    times: dict[str, list[float]] = {name: [] for name in detectors}
    for detector in detectors.values():
        detector.detect(pictures[0])
    for _ in range(rounds):
        for picture in pictures:
            for name, detector in detectors.items():
                began = time.perf_counter()
                detector.detect(picture)
                times[name].append(time.perf_counter() - began)
    return {name: float(np.median(taken)) * 1e3 for name, taken in times.items()}


@dataclass(frozen=True, eq=False)
class ModelReport:
    """One model's line of the table."""

    scores: DetectionScores
    confusion: np.ndarray
    description: dict[str, str]
    latency_ms_1t: float = field(default=float("nan"))

    def figures(self) -> dict[str, Any]:
        """The flat figures of ``--json``."""
        return {
            "ap50": self.scores.ap50,
            "map": self.scores.map,
            "latency_ms_1t": self.latency_ms_1t,
            "ap50_by_size": self.scores.ap50_by_size,
            "boxes": self.scores.boxes,
            "input_size": self.description["input_size"],
            "sha256": self.description["sha256"],
        }
