"""Lanes against labels in the TuSimple format, by its published measure.

A label line is JSON with ``raw_file``, ``h_samples`` (rows) and ``lanes`` (a column per row, negative where there is
none). Per labelled lane the share of rows whose predicted column is within 20 px / cos(slope) counts; rows where both
have none agree. A lane with a share of 0.85 is found; the rest are false negatives, unmatched predictions false
positives, as shares of the frame; with more than four labelled lanes the worst is forgiven. (TuSimple lane detection
challenge 2017, evaluate/lane.py.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from geometry.camera import Camera
from geometry.errors import InputError
from perception.types import Detections, Frame, LaneBoundary, LaneModel, Lanes, ObjectDetector

THRESHOLD_PX = 20.0
MATCH_SHARE = 0.85
_NONE = -2.0
_FAR_ROWS = 0.028  # of the picture's height below the horizon: where people stop to tell boundaries apart
_NEAR_M = 1.0


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """A picture with labelled lanes: rows (R,), columns (L, R) px, negative where there is none."""

    path: Path
    rows_px: np.ndarray
    columns_px: np.ndarray

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8.

        Raises:
            InputError: the file is missing or no picture.
        """
        image = cv2.imread(str(self.path)) if self.path.is_file() else None
        if image is None:
            raise InputError(f"cannot read {self.path}: the labels name it, but it is missing or no picture")
        return image


@dataclass(frozen=True, eq=False)
class FrameScore:
    """One frame: ``accuracy`` per labelled lane (L,), the shares of false positives and negatives, and the ego pair.

    ``ego_accuracy`` holds left and right, NaN where not labelled; ``ego_predicted`` says which were reported.
    """

    accuracy: np.ndarray
    false_positive: float
    false_negative: float
    ego_accuracy: np.ndarray
    ego_predicted: np.ndarray


@dataclass(frozen=True, eq=False)
class Predicted:
    """What was found in a frame: columns (P, R) px, and the indices of the ego pair, -1 for none."""

    columns_px: np.ndarray
    ego: tuple[int, int]


def load_labels(folder: Path) -> tuple[LabelledFrame, ...]:
    """All frames of the label files (``label*.json``) of a folder.

    Raises:
        InputError: no label file, or a line that is not of the format.
    """
    files = sorted(folder.glob("label*.json"))
    if not files:
        raise InputError(f"{folder} holds no label*.json, need a folder in the TuSimple format; check the path")
    frames = []
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                frames.append(_parse(line, folder, f"{file}:{number}"))
    if not frames:
        raise InputError(f"{files[0]} is empty, need one JSON object a line with raw_file, h_samples and lanes")
    return tuple(frames)


def _parse(line: str, folder: Path, where: str) -> LabelledFrame:
    try:
        row = json.loads(line)
        rows = np.array(row["h_samples"], float)
        columns = np.array(row["lanes"], float).reshape(-1, len(rows))
        return LabelledFrame(folder / row["raw_file"], rows, columns)
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where} is no TuSimple label ({error}), need raw_file, h_samples and lanes") from error


def predict(lanes: Lanes, camera: Camera, rows_px: np.ndarray, spread_per_m: float = 0.0) -> Predicted:
    """Columns of the boundaries in the given rows, drawn on from the bottom of the picture to near the horizon.

    ``spread_per_m`` (``LaneTracker.shape.spread``) moves the horizon by the pitch error that it stands for.
    """
    horizon = camera.horizon_y_px - spread_per_m * camera.fy_px * camera.height_m
    top = horizon + _FAR_ROWS * camera.height_px
    boundaries = lanes.boundaries
    columns = [columns_of(boundary, camera, rows_px, top) for boundary in boundaries]
    left = 0 if lanes.left is not None else -1
    right = left + 1 if lanes.right is not None else -1
    return Predicted(np.array(columns).reshape(-1, len(rows_px)), (left, right))


def columns_of(boundary: LaneBoundary, camera: Camera, rows_px: np.ndarray, top_px: float) -> np.ndarray:
    """(R,) column where a boundary meets each row, -2 where it does not."""
    x = np.geomspace(_NEAR_M, 2000.0, 600)
    px, valid = camera.px_from_ground(np.stack([x, boundary.y_m(x)], axis=-1))
    px = px[valid]
    falling = np.flatnonzero(np.diff(px[:, 1]) >= 0)  # beyond that the curve turns back in the picture
    px = px[: falling[0] + 1] if len(falling) else px
    if len(px) < 2:
        return np.full(len(rows_px), _NONE)
    columns = np.interp(rows_px, px[::-1, 1], px[::-1, 0], left=np.nan, right=np.nan)
    seen = (rows_px >= top_px) & (columns >= 0) & (columns <= camera.width_px - 1)
    return np.where(seen, columns, _NONE)


def score_frame(frame: LabelledFrame, predicted: Predicted, width_px: int) -> FrameScore:
    """The measure of one frame."""
    labels = frame.columns_px[(frame.columns_px >= 0).sum(axis=1) >= 2]
    shares = np.array([_shares(label, predicted.columns_px, frame.rows_px) for label in labels]).reshape(
        len(labels), len(predicted.columns_px)
    )
    best = shares.max(axis=1, initial=0.0)
    found = int((best >= MATCH_SHARE).sum())
    missed = len(labels) - found - (1 if len(labels) > 4 and found < len(labels) else 0)
    count = max(min(len(labels), 4), 1)
    scored = np.sort(best)[::-1][:4] if len(labels) > 4 else best
    wrong = len(predicted.columns_px) - found
    ego_accuracy = np.full(2, np.nan)
    for side, label in enumerate(ego_pair(labels, frame.rows_px, 0.5 * (width_px - 1))):
        if label >= 0:
            ego = predicted.ego[side]
            ego_accuracy[side] = shares[label, ego] if ego >= 0 else 0.0
    return FrameScore(
        scored,
        wrong / len(predicted.columns_px) if len(predicted.columns_px) else 0.0,
        missed / count,
        ego_accuracy,
        np.array(predicted.ego) >= 0,
    )


def _shares(label: np.ndarray, predicted: np.ndarray, rows_px: np.ndarray) -> np.ndarray:
    """(P,) share of rows where predictions (P, R) agree with a label (R,)."""
    there = label >= 0
    slope = np.polyfit(rows_px[there], label[there], 1)[0]
    limit = THRESHOLD_PX * np.hypot(1.0, slope)  # 20 px across the lane, not along the row
    far = np.where(predicted >= 0, predicted, -100.0) - np.where(there, label, -100.0)
    return np.mean(np.abs(far) < limit, axis=1)


def ego_pair(labels: np.ndarray, rows_px: np.ndarray, middle_px: float) -> tuple[int, int]:
    """Of labels (L, R): the nearest to the left and to the right of the picture's middle column at its lowest row."""
    left, right, best_left, best_right = -1, -1, -np.inf, np.inf
    for index, label in enumerate(labels):
        there = np.flatnonzero(label >= 0)[-8:]
        column = np.polyfit(rows_px[there] - rows_px[-1], label[there], 1)[1]
        if best_left < column < middle_px:
            left, best_left = index, column
        elif middle_px <= column < best_right:
            right, best_right = index, column
    return left, right


@dataclass(frozen=True, eq=False)
class LaneScores:
    """A whole measurement."""

    frames: tuple[FrameScore, ...]

    def figures(self) -> dict[str, float]:
        """accuracy, fp, fn, precision, recall, f1; the same with ego_; frames."""
        accuracy = float(np.mean([f.accuracy.mean() if len(f.accuracy) else 1.0 for f in self.frames]))
        fp = float(np.mean([f.false_positive for f in self.frames]))
        fn = float(np.mean([f.false_negative for f in self.frames]))
        ego = np.array([f.ego_accuracy for f in self.frames])
        predicted = np.array([f.ego_predicted for f in self.frames])
        labelled, hit = np.isfinite(ego), ego >= MATCH_SHARE
        ego_precision = hit.sum() / max(predicted.sum(), 1)
        ego_recall = hit.sum() / max(labelled.sum(), 1)
        return {
            "frames": len(self.frames),
            "accuracy": accuracy,
            "fp": fp,
            "fn": fn,
            "precision": 1 - fp,
            "recall": 1 - fn,
            "f1": _f1(1 - fp, 1 - fn),
            "ego_accuracy": float(ego[labelled].mean()) if labelled.any() else float("nan"),
            "ego_fp": 1 - float(ego_precision),
            "ego_fn": 1 - float(ego_recall),
            "ego_precision": float(ego_precision),
            "ego_recall": float(ego_recall),
            "ego_f1": _f1(float(ego_precision), float(ego_recall)),
        }


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def evaluate(
    frames: Sequence[LabelledFrame],
    camera: Camera,
    make_model: Callable[[], LaneModel],
    detector: ObjectDetector | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> tuple[LaneScores, list[Predicted]]:
    """Score a lane model that starts afresh on every frame: the frames are singles.

    Raises:
        InputError: a picture that cannot be read or has another size than the camera's.
    """
    scores, predictions = [], []
    for index, labelled in enumerate(frames):
        picture = labelled.picture()
        if picture.shape[:2] != (camera.height_px, camera.width_px):
            size = f"{picture.shape[1]}x{picture.shape[0]}"
            raise InputError(f"{labelled.path} is {size}, the camera {camera.width_px}x{camera.height_px}")
        objects = detector.detect(picture) if detector else Detections.empty()
        model = make_model()
        lanes = model.step(Frame(index, 0.0, picture), camera, objects)
        shape = getattr(model, "shape", None)
        predicted = predict(lanes, camera, labelled.rows_px, shape.spread if shape else 0.0)
        scores.append(score_frame(labelled, predicted, camera.width_px))
        predictions.append(predicted)
        on_frame()
    return LaneScores(tuple(scores)), predictions
