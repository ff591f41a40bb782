"""What the pictures of labelled frames say: our own motion, and our own detections and tracks with the label that each
of them shows and the distance we gave it."""

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
from perception.types import VEHICLES, Detections, Frame
from tracking.ego_motion import EgoMotionEstimator
from tracking.types import EgoMotion

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


def own_motion(sequence: Sequence, on_frame: Callable[[], None] = lambda: None) -> list[EgoMotion]:
    """The vehicle's motion at each frame number from the first label's on, by the pictures; boxes of labels may move.

    Raises:
        InputError: a picture cannot be read.
    """
    estimator, motions = EgoMotionEstimator(), []
    for frame in _frames(sequence):
        xyxy_px = sequence.boxes.xyxy_px[sequence.boxes.frame == frame.index]
        boxes = Detections(xyxy_px, np.ones(len(xyxy_px)), np.zeros(len(xyxy_px)))
        motions.append(estimator.step(frame.bgr, sequence.camera, boxes, frame.t_s))
        on_frame()
    return motions[int(sequence.boxes.frame.min()) :] if len(sequence.boxes) else []


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
