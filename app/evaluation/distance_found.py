"""Our own detections and tracks on labelled frames: which label each of them shows, and the distance we gave it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from app.evaluation.distance import FoundBoxes
from app.evaluation.distance_data import Sequence
from app.pipeline import Pipeline
from geometry.boxes import iou
from geometry.errors import InputError
from perception.types import VEHICLES, Frame

LEAST_OVERLAP = 0.5
"""A detection shows an object when their boxes overlap by half, PASCAL VOC's measure."""


def find(sequence: Sequence, pipeline: Pipeline, on_frame: Callable[[], None] = lambda: None) -> FoundBoxes:
    """Run the whole pipeline over a sequence's pictures and pair its vehicles with the labels.

    Raises:
        InputError: the sequence has no pictures, or one cannot be read.
    """
    if not sequence.pictures:
        raise InputError(
            f"{sequence.name}: no pictures beside the labels; leave out --detector, or give the drive's folder"
        )
    found: list[tuple[np.ndarray, ...]] = []
    for frame in _frames(sequence):
        result = pipeline.step(frame)
        tracks = result.tracks
        shown = (tracks.detection >= 0) & np.isin(tracks.class_id, list(VEHICLES)) & np.isfinite(tracks.xy_m[:, 0])
        tracks = tracks[shown]
        boxes = result.detections.xyxy_px[tracks.detection].astype(np.float64)
        rows, columns = _pairs(sequence, frame.index, boxes)
        tracks = tracks[columns]
        found.append((rows, boxes[columns], tracks.class_id, tracks.xy_m[:, 0], np.sqrt(tracks.cov[:, 0, 0])))
        on_frame()
    return FoundBoxes(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _pairs(sequence: Sequence, frame: int, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of labels and of boxes that show the same thing, one to one."""
    labels = np.flatnonzero(sequence.boxes.frame == frame)
    if not len(labels) or not len(boxes):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    overlap = iou(sequence.boxes.xyxy_px[labels], boxes)
    rows, columns = linear_sum_assignment(-overlap)
    good = overlap[rows, columns] >= LEAST_OVERLAP
    return labels[rows[good]], columns[good]


def _frames(sequence: Sequence) -> Iterator[Frame]:
    for index, path in enumerate(sequence.pictures):
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise InputError(f"{path}: cannot be read as a picture")
        yield Frame(index, index * sequence.period_s, bgr)
