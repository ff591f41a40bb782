"""How much too large a network says boxes are, on the frames that it was trained on: ``OVERSIZE`` of its export.

    python tests/benchmarks/fit_oversize.py MODEL.onnx ../shared/data/train --every 6

MODEL is exported without a curve (``roadlens.oversize`` absent), else what is left over is told.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from app.evaluation.detect import predict
from app.evaluation.detection_data import LabelledImage, load_labelled
from geometry.boxes import iou
from perception.detector import load_detector
from perception.training.export import SUPPORT
from perception.types import Detections

LEAST_SCORE, LEAST_IOU = 0.2, 0.3
ROBUST_LOG = 0.1
"""Errors of a side beyond this count by their size, those below by their square (Huber)."""


def met(image: LabelledImage, found: Detections) -> np.ndarray:
    """(K, 3) area in pixels, log of said over true side, score, where an object and a box are each other's best."""
    if not len(found) or not len(image.class_id):
        return np.empty((0, 3))
    xyxy = found.xyxy_px.astype(np.float64)
    overlap = iou(xyxy, image.xyxy_px) * (found.class_id[:, None] == image.class_id)
    best = overlap.argmax(axis=1)
    rows = np.flatnonzero((overlap.max(axis=1) > LEAST_IOU) & (overlap.argmax(axis=0)[best] == np.arange(len(xyxy))))
    said, true = (np.prod(box[:, 2:] - box[:, :2], axis=1) for box in (xyxy[rows], image.xyxy_px[best[rows]]))
    return np.stack([said, 0.5 * np.log(said / true), found.score[rows]], axis=1)


def fitted(log_area: np.ndarray, value: np.ndarray, weight: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Values at the knots, interpolated between and level beyond, that are nearest to what was seen."""
    share = np.stack([np.interp(log_area, knots, row) for row in np.eye(len(knots))], axis=1)
    robust = weight
    for _ in range(20):
        table = (share.T * robust) @ share + 1e-6 * np.eye(len(knots))
        found = np.linalg.solve(table, (share.T * robust) @ value)
        robust = weight / np.maximum(np.abs(value - share @ found) / ROBUST_LOG, 1.0)
    return np.asarray(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=6)
    told = parser.parse_args()
    images = load_labelled(told.data, "train", told.every)
    detector = load_detector(told.model, device="cpu", threads=1, score_threshold=LEAST_SCORE)
    seen = np.concatenate([met(image, found) for image, found in zip(images, predict(detector, images), strict=True)])
    width, _ = detector.input_size((640, 360))
    scale = width / 640
    knots = np.log(SUPPORT.area_px2)
    curve = fitted(np.log(seen[:, 0] * scale**2), seen[:, 1], seen[:, 2], knots)
    print(f"{len(images)} frames, {len(seen)} boxes; areas {SUPPORT.area_px2}")
    print(f"log_side {tuple(curve.round(3).tolist())}")


if __name__ == "__main__":
    main()
