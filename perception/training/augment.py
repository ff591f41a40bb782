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
            will be used (832x480 from 640x360 is 1.3). What is smaller than the view is padded: the random expansion.
        focus: probability that a crop is centred near an object; rare classes are chosen more often.
        aspect: greatest relative stretch of width against height.
        mosaic, mixup: probabilities; both stop when the share ``calm_from`` of the training is over.
        calm_scale: zoom from then on, nearer to the scale of use.
    """

    size_px: tuple[int, int] = (512, 288)
    scale: tuple[float, float] = (0.8, 2.1)
    focus: float = 0.75
    flip: float = 0.5
    aspect: float = 0.1
    mosaic: float = 0.15
    mixup: float = 0.0
    calm_from: float = 0.8
    calm_scale: tuple[float, float] = (1.0, 1.75)
    photometric: PhotometricConfig = field(default_factory=PhotometricConfig)

    def calm(self) -> AugmentConfig:
        """Without mosaic and mixup, near the scale of use: the last part of a training."""
        return replace(self, mosaic=0.0, mixup=0.0, scale=self.calm_scale)


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of a view: a source frame under an affine map, seen through a window.

    Attributes:
        index: of the frame.
        matrix: (2, 3) view pixel from source pixel, both with 0 at the centre of the first one.
        window_px: (left, top, right, bottom) edges in the view, whole pixels.
    """

    index: int
    matrix: np.ndarray
    window_px: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Plan:
    """A view before any pixel is touched, so that a CPU and a GPU can render the same one.

    Attributes:
        layers: one, or two that are blended; each is one part, or the four of a mosaic.
        share: weight of the first layer.
        labels: of the view, clipped to it.
    """

    layers: tuple[tuple[Part, ...], ...]
    share: float
    labels: Labels


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
    """Plans and renders views of a set; all chance comes from the generator given to each call."""

    def __init__(self, frames: Frames, config: AugmentConfig) -> None:
        self.frames = frames
        self.config = config
        self.labels = frames.labels
        self.pull = class_pull(self.labels)

    def view(self, index: int, rng: np.random.Generator, calm: bool = False) -> View:
        """A training picture built around frame ``index``, on the CPU."""
        plan = self.plan(index, rng, calm)
        image = self.render(plan)
        return View(distort(image, self.config.photometric, rng), plan.labels)

    def plan(self, index: int, rng: np.random.Generator, calm: bool = False) -> Plan:
        """Geometry and labels of a view built around frame ``index``."""
        config = self.config.calm() if calm else self.config
        width, height = config.size_px
        whole = (0, 0, width, height)
        single = rng.random() >= config.mosaic
        placed = [self._part(index, whole, rng)] if single else self._mosaic(index, rng)
        layers = [tuple(part for part, _ in placed)]
        labels, share = join_labels([label for _, label in placed]), 1.0
        if rng.random() < config.mixup:
            other, other_labels = self._part(int(rng.integers(len(self.labels))), whole, rng)
            layers.append((other,))
            labels, share = join_labels([labels, other_labels]), float(rng.beta(8.0, 8.0))
        return Plan(tuple(layers), share, labels)

    def render(self, plan: Plan) -> np.ndarray:
        """The (H, W, 3) uint8 picture of a plan, before any photometric change."""
        pictures = [self._render_layer(layer) for layer in plan.layers]
        if len(pictures) == 1:
            return pictures[0]
        return cv2.addWeighted(pictures[0], plan.share, pictures[1], 1.0 - plan.share, 0.0)

    def _render_layer(self, parts: tuple[Part, ...]) -> np.ndarray:
        width, height = self.config.size_px
        canvas = np.empty((height, width, 3), np.uint8)
        for part in parts:
            x0, y0, x1, y1 = part.window_px
            matrix = part.matrix - np.array([[0, 0, x0], [0, 0, y0]])
            image = self.frames.image(part.index)
            size = (x1 - x0, y1 - y0)
            canvas[y0:y1, x0:x1] = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(PAD,) * 3)
        return canvas

    def _part(
        self, index: int, window_px: tuple[int, int, int, int], rng: np.random.Generator, zoom: float = 1.0
    ) -> tuple[Part, Labels]:
        """A scaled, stretched, flipped crop of a frame that fills a window of the view, and its clipped labels."""
        labels, config = self.labels[index], self.config
        corner = np.array(window_px[:2], np.float64)
        size = np.array(window_px[2:], np.float64) - corner
        low, high = np.log(config.scale)
        scale = zoom * np.exp(rng.uniform(low, high)) * np.exp(rng.uniform(-0.5, 0.5, 2) * config.aspect)
        height, width = self.frames.image(index).shape[:2]
        source = np.array([width, height], np.float64)
        shift = size / 2 - self._centre(labels, source, size / scale, rng) * scale
        spare = size - source * scale  # negative where the picture covers the window: then the window stays inside it
        shift = np.where(spare <= 0, np.clip(shift, spare, 0.0), rng.uniform(0.0, 1.0, 2) * np.maximum(spare, 0.0))
        flip = float(size[0]) if rng.random() < config.flip else None
        # labels are edges: x scale + shift; pixels have 0 at their centres: half a pixel more on either side
        matrix = np.column_stack((np.diag(scale), shift + 0.5 * scale - 0.5))
        if flip is not None:
            matrix[0] = [-scale[0], 0.0, flip - 1.0 - matrix[0, 2]]
        moved = Labels.of(
            move_boxes(labels.xyxy_px, scale, shift, flip),
            labels.class_id,
            move_boxes(labels.ignore_xyxy_px, scale, shift, flip),
        )
        clipped = clip_labels(moved, (int(size[0]), int(size[1])))
        matrix[:, 2] += corner
        offset = np.tile(corner, 2)
        placed = Labels.of(clipped.xyxy_px + offset, clipped.class_id, clipped.ignore_xyxy_px + offset)
        return Part(index, matrix, window_px), placed

    def _centre(self, labels: Labels, source: np.ndarray, window: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Of the crop, in source pixels."""
        if not len(labels.class_id) or rng.random() >= self.config.focus:
            return rng.uniform(0.0, 1.0, 2) * source
        pull = self.pull[labels.class_id]
        box = labels.xyxy_px[rng.choice(len(pull), p=pull / pull.sum())]
        return (box[:2] + box[2:]) / 2 + rng.uniform(-0.35, 0.35, 2) * window

    def _mosaic(self, index: int, rng: np.random.Generator) -> list[tuple[Part, Labels]]:
        """Four crops around a random cross."""
        width, height = self.config.size_px
        x, y = int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.65))
        windows = ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height))
        chosen = [index, *rng.integers(len(self.labels), size=3).tolist()]
        return [self._part(frame, window, rng, zoom=0.8) for frame, window in zip(chosen, windows, strict=True)]


def join_labels(parts: list[Labels]) -> Labels:
    if len(parts) == 1:
        return parts[0]
    return Labels.of(
        np.concatenate([p.xyxy_px for p in parts]),
        np.concatenate([p.class_id for p in parts]),
        np.concatenate([p.ignore_xyxy_px for p in parts]),
    )
