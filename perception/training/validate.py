"""Average precision while training: the averaged network on labelled frames, letterboxed as the runtime does it."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from geometry.boxes import iou
from perception.nms import nms
from perception.preprocess import fit
from perception.training.augment import PAD, Frames
from perception.training.data import Labels
from perception.training.model import Decoded, Detector
from perception.types import CLASS_ID, CLASSES, VEHICLES

LOWEST_SCORE = 0.01
MOST_BOXES = 300


def average_precision(hit: np.ndarray, score: np.ndarray, truths: int) -> float:
    """Area under the precision-recall curve, precision made monotone, at 101 recalls (COCO); NaN without truths."""
    if truths == 0:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    found = np.cumsum(hit[order])
    precision = found / np.arange(1, len(order) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    recall = found / truths
    index = np.searchsorted(recall, np.linspace(0.0, 1.0, 101), side="left")
    return float(
        np.where(index < len(precision), np.append(precision, 0.0)[index.clip(max=len(precision))], 0.0).mean()
    )


def match(xyxy_px: np.ndarray, score: np.ndarray, truth_px: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """(N,) bool: which detections of one class and picture find a truth, best scores choosing first (COCO)."""
    hit = np.zeros(len(score), bool)
    if not len(truth_px):
        return hit
    overlap = np.asarray(iou(xyxy_px, truth_px))
    for row in np.argsort(-score, kind="stable"):
        best = int(overlap[row].argmax())
        if overlap[row, best] >= threshold:
            hit[row] = True
            overlap[:, best] = -1.0
    return hit


def in_regions(xyxy_px: np.ndarray, regions_px: np.ndarray) -> np.ndarray:
    """(N,) bool: boxes whose centre lies in one of the regions (M, 4)."""
    centre = (xyxy_px[:, None, :2] + xyxy_px[:, None, 2:]) / 2
    return ((centre >= regions_px[None, :, :2]) & (centre <= regions_px[None, :, 2:])).all(-1).any(1)


class Tally:
    """Collects hits per class over pictures."""

    def __init__(self) -> None:
        self.groups = {name: {CLASS_ID[name]} for name in CLASSES} | {"vehicle": set(VEHICLES)}
        self.hits: dict[str, list[np.ndarray]] = {name: [] for name in self.groups}
        self.scores: dict[str, list[np.ndarray]] = {name: [] for name in self.groups}
        self.truths = dict.fromkeys(self.groups, 0)

    def add(self, xyxy_px: np.ndarray, score: np.ndarray, class_id: np.ndarray, labels: Labels) -> None:
        """Detections of one picture; what finds nothing but lies in a region to ignore does not count."""
        ignored = in_regions(xyxy_px, labels.ignore_xyxy_px)
        for name, members in self.groups.items():
            mine, theirs = np.isin(class_id, list(members)), np.isin(labels.class_id, list(members))
            hit = match(xyxy_px[mine], score[mine], labels.xyxy_px[theirs])
            counts = hit | ~ignored[mine]
            self.hits[name].append(hit[counts])
            self.scores[name].append(score[mine][counts])
            self.truths[name] += int(theirs.sum())

    def ap50(self) -> dict[str, float]:
        """By class, ``vehicle`` (car, truck, bus pooled) and ``mean`` over the classes present."""
        figures = {
            name: average_precision(
                np.concatenate(self.hits[name]), np.concatenate(self.scores[name]), self.truths[name]
            )
            for name in self.groups
        }
        present = [figures[name] for name in CLASSES if self.truths[name]]
        return figures | {"mean": float(np.mean(present)) if present else float("nan")}


def letterbox(image: np.ndarray, size_px: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The picture in a grey (H, W, 3) canvas of (width, height), top-left; and the (2,) scales."""
    placed = fit((image.shape[1], image.shape[0]), size_px, "top-left")
    canvas = np.full((size_px[1], size_px[0], 3), PAD, np.uint8)
    width, height = placed.resized_size_px
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return canvas, placed.scale


@torch.inference_mode()
def evaluate(
    model: Detector, frames: Frames, size_px: tuple[int, int], device: torch.device, batch: int = 8
) -> dict[str, float]:
    """AP50 by class of a network on labelled frames at an input of (width, height)."""
    decoded = Decoded(model.folded()).to(device=device, memory_format=torch.channels_last).eval()
    unique = model.single_heads is not None
    tally = Tally()
    for start in range(0, len(frames), batch):
        rows = range(start, min(start + batch, len(frames)))
        pictures, scales = zip(*(letterbox(frames.image(row), size_px) for row in rows), strict=True)
        images = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float()
        boxes, scores = decoded(images)
        best, kind = scores.max(-1)
        for row, scale, one_boxes, one_best, one_kind in zip(rows, scales, boxes, best, kind, strict=True):
            top = one_best.topk(min(4 * MOST_BOXES, len(one_best))).indices
            top = top[one_best[top] > LOWEST_SCORE]
            kept = top if unique else top[nms(one_boxes[top], one_best[top], one_kind[top])]
            kept = kept[:MOST_BOXES].cpu()
            found = one_boxes.cpu()[kept].numpy() / np.tile(scale, 2)
            tally.add(found, one_best.cpu()[kept].numpy(), one_kind.cpu()[kept].numpy(), frames.labels[row])
    return tally.ap50()
