"""Training views of labelled frames: scaled, flipped, object-centred crops, random expansion, mosaic and mixup."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import cv2
import numpy as np

from perception.training.data import Labels
from perception.training.photometric import PhotometricConfig, distort
from perception.types import CLASSES

PAD = 114  # the grey that letterboxing pads with
MIN_SIDE_PX = 3.0
MIN_SEEN = 0.3
"""A box cut by the crop stays an object while this share of it is seen; below, its rest is a region to ignore."""


class Frames(Protocol):
    """Labelled pictures by index."""

    @property
    def labels(self) -> tuple[Labels, ...]: ...

    def image(self, index: int) -> np.ndarray: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class AugmentConfig:
    """What may happen to a training picture.

    Attributes:
        size_px: (width, height) of the views.
        scale: least and greatest zoom of a source pixel, drawn log-uniformly. Centre it on the scale at which the model
            will be used (736x416 from 640x360 is 1.15). What is smaller than the view is padded: the random expansion.
        focus: probability that a crop is centred near an object; rare classes are chosen more often.
        aspect: greatest relative stretch of width against height.
        mosaic, mixup: probabilities; both stop when the share ``calm_from`` of the training is over.
    """

    size_px: tuple[int, int] = (512, 288)
    scale: tuple[float, float] = (0.7, 1.8)
    focus: float = 0.75
    flip: float = 0.5
    aspect: float = 0.1
    mosaic: float = 0.15
    mixup: float = 0.0
    calm_from: float = 0.8
    photometric: PhotometricConfig = field(default_factory=PhotometricConfig)

    def calm(self) -> AugmentConfig:
        """Without mosaic and mixup: the last part of a training."""
        return replace(self, mosaic=0.0, mixup=0.0)


@dataclass(frozen=True, eq=False)
class View:
    """One training picture (H, W, 3) uint8 with its labels in its own pixels."""

    image: np.ndarray
    labels: Labels


def move_boxes(xyxy_px: np.ndarray, scale: np.ndarray, shift: np.ndarray, flip_width: float | None) -> np.ndarray:
    """Boxes (n, 4) after x -> x scale + shift, then mirrored in a view ``flip_width`` wide."""
    moved = xyxy_px * np.tile(scale, 2) + np.tile(shift, 2)
    if flip_width is not None:
        moved = np.stack((flip_width - moved[:, 2], moved[:, 1], flip_width - moved[:, 0], moved[:, 3]), 1)
    return moved.astype(np.float32)


def clip_labels(labels: Labels, size_px: tuple[int, int]) -> Labels:
    """Labels cut to a (width, height) view; what is hardly seen or too small to learn becomes a region to ignore."""
    limits = np.array([*size_px, *size_px], np.float32)
    cut = np.clip(labels.xyxy_px, 0.0, limits)
    sides, full = cut[:, 2:] - cut[:, :2], labels.xyxy_px[:, 2:] - labels.xyxy_px[:, :2]
    seen = sides.prod(1) / np.maximum(full.prod(1), 1e-6)
    visible = sides.min(1, initial=np.inf) > 0
    good = visible & (seen >= MIN_SEEN) & (sides.min(1, initial=np.inf) >= MIN_SIDE_PX)
    ignored = np.clip(labels.ignore_xyxy_px, 0.0, limits)
    ignored = ignored[(ignored[:, 2:] > ignored[:, :2]).all(1)]
    return Labels.of(cut[good], labels.class_id[good], np.concatenate((ignored, cut[visible & ~good])))


def class_pull(labels: tuple[Labels, ...]) -> np.ndarray:
    """(classes,) weight of an object when a crop chooses its centre: one over the square root of its class's count."""
    counts = np.zeros(len(CLASSES))
    for label in labels:
        counts += np.bincount(label.class_id, minlength=len(CLASSES))
    return 1.0 / np.sqrt(np.maximum(counts, 1.0))


class Augmenter:
    """Makes views of a set; all chance comes from the generator given to each call."""

    def __init__(self, frames: Frames, config: AugmentConfig) -> None:
        self.frames = frames
        self.config = config
        self.labels = frames.labels
        self.pull = class_pull(self.labels)

    def view(self, index: int, rng: np.random.Generator, calm: bool = False) -> View:
        """A training picture built around frame ``index``."""
        config = self.config.calm() if calm else self.config
        whole = rng.random() >= config.mosaic
        view = self._crop(index, config.size_px, rng) if whole else self._mosaic(index, rng)
        if rng.random() < config.mixup:
            other = self._crop(int(rng.integers(len(self.frames))), config.size_px, rng)
            view = _mix(view, other, rng)
        return View(distort(view.image, config.photometric, rng), clip_labels(view.labels, config.size_px))

    def _crop(self, index: int, size_px: tuple[int, int], rng: np.random.Generator, zoom: float = 1.0) -> View:
        image, labels, config = self.frames.image(index), self.labels[index], self.config
        low, high = np.log(config.scale)
        scale = zoom * np.exp(rng.uniform(low, high)) * np.exp(rng.uniform(-0.5, 0.5, 2) * config.aspect)
        source = np.array([image.shape[1], image.shape[0]], np.float64)
        size = np.array(size_px, np.float64)
        centre = self._centre(labels, source, size / scale, rng)
        shift = size / 2 - centre * scale
        spare = size - source * scale  # negative where the picture covers the view: keep the view inside it
        shift = np.where(spare <= 0, np.clip(shift, spare, 0.0), rng.uniform(0.0, 1.0, 2) * np.maximum(spare, 0.0))
        flip = size[0] if rng.random() < config.flip else None
        moved = Labels.of(
            move_boxes(labels.xyxy_px, scale, shift, flip),
            labels.class_id,
            move_boxes(labels.ignore_xyxy_px, scale, shift, flip),
        )
        # pixel centres: a source x is at (x + 0.5) scale + shift - 0.5 of the view
        matrix = np.array(
            [[scale[0], 0, shift[0] + 0.5 * scale[0] - 0.5], [0, scale[1], shift[1] + 0.5 * scale[1] - 0.5]]
        )
        if flip is not None:
            matrix[0] = [-scale[0], 0, size[0] - 1 - matrix[0, 2]]
        view = cv2.warpAffine(image, matrix, size_px, flags=cv2.INTER_LINEAR, borderValue=(PAD, PAD, PAD))
        return View(view, moved)

    def _centre(self, labels: Labels, source: np.ndarray, window: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Of the crop, in source pixels."""
        if not len(labels.class_id) or rng.random() >= self.config.focus:
            return rng.uniform(0.0, 1.0, 2) * source
        pull = self.pull[labels.class_id]
        box = labels.xyxy_px[rng.choice(len(pull), p=pull / pull.sum())]
        return (box[:2] + box[2:]) / 2 + rng.uniform(-0.35, 0.35, 2) * window

    def _mosaic(self, index: int, rng: np.random.Generator) -> View:
        """Four crops around a random cross."""
        width, height = self.config.size_px
        cross = (int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.65)))
        canvas = np.empty((height, width, 3), np.uint8)
        chosen = [index, *rng.integers(len(self.frames), size=3).tolist()]
        parts = []
        for corner, frame in enumerate(chosen):
            x0, x1 = ((0, cross[0]), (cross[0], width))[corner % 2]
            y0, y1 = ((0, cross[1]), (cross[1], height))[corner // 2]
            part = self._crop(frame, (x1 - x0, y1 - y0), rng, zoom=0.8)
            canvas[y0:y1, x0:x1] = part.image
            cut = clip_labels(part.labels, (x1 - x0, y1 - y0))
            offset = np.array([x0, y0, x0, y0], np.float32)
            parts.append(Labels.of(cut.xyxy_px + offset, cut.class_id, cut.ignore_xyxy_px + offset))
        return View(canvas, join_labels(parts))


def join_labels(parts: list[Labels]) -> Labels:
    return Labels.of(
        np.concatenate([p.xyxy_px for p in parts]),
        np.concatenate([p.class_id for p in parts]),
        np.concatenate([p.ignore_xyxy_px for p in parts]),
    )


def _mix(view: View, other: View, rng: np.random.Generator) -> View:
    """Two pictures blended; both sets of objects stay."""
    share = rng.beta(8.0, 8.0)
    return View(
        cv2.addWeighted(view.image, share, other.image, 1.0 - share, 0.0), join_labels([view.labels, other.labels])
    )
