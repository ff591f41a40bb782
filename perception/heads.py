"""From a network's outputs to boxes: one pure function per family, and the one table of families.

Every head takes the outputs of ONE picture by name and answers with boxes as edges in pixels of the network's input
(0 at the outer edge of the first pixel). It decodes only anchors whose best wanted class is over the threshold, since
the exponentials of eight thousand anchors would cost more than all the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial, reduce

import numpy as np

from geometry.errors import InputError
from perception.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess

Outputs = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Query:
    """What is asked of a head: input (width, height), class count, least score, and the class columns wanted."""

    size_px: tuple[int, int]
    class_count: int
    threshold: float
    wanted: np.ndarray


@dataclass(frozen=True, eq=False)
class Candidates:
    """K boxes as (K, 4) edges, (K,) scores, (K,) class columns; ``unique`` where no suppression is needed."""

    xyxy: np.ndarray
    score: np.ndarray
    label: np.ndarray
    unique: bool = False


Head = Callable[[Outputs, Query], Candidates]


@lru_cache(maxsize=32)
def grid(size_px: tuple[int, int], strides: tuple[int, ...], centre: float) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) cell positions (cell + ``centre``) * stride in pixels, row by row, and (N,) strides; read-only."""
    points, steps = [], []
    for stride in strides:
        columns, rows = -(-size_px[0] // stride), -(-size_px[1] // stride)
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        points.append((np.stack([x, y], -1).reshape(-1, 2) + centre) * stride)
        steps.append(np.full(columns * rows, stride))
    xy, stride_px = np.concatenate(points).astype(np.float32), np.concatenate(steps).astype(np.float32)
    xy.flags.writeable = stride_px.flags.writeable = False
    return xy, stride_px


def cell_count(size_px: tuple[int, int], strides: Sequence[int]) -> int:
    """Cells of all levels together."""
    return sum(-(-size_px[0] // s) * -(-size_px[1] // s) for s in strides)


def _best(columns: Sequence[np.ndarray], query: Query, weight: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """Rows over the threshold with score and class column, from one (N,) array of scores per wanted class."""
    if not len(columns):
        return np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64)
    best = reduce(np.maximum, columns)  # NaN wins a maximum, so one sum finds it
    if weight is not None:
        best = best * weight
    if not np.isfinite(best.sum(dtype=np.float64)):
        raise InputError("the network's scores hold NaN or infinity; the file is damaged or its precision too low")
    rows = np.flatnonzero(best > query.threshold)
    column = np.stack([c[rows] for c in columns]).argmax(axis=0)
    return rows, best[rows].astype(np.float32), query.wanted[column]


def _corners(centre: np.ndarray, size: np.ndarray) -> np.ndarray:
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1)


def _columns(scores: np.ndarray, query: Query, first: int = 0) -> list[np.ndarray]:
    return [scores[:, first + index] for index in query.wanted]


def distances(logits: np.ndarray, nearest: int = 0) -> np.ndarray:
    """(K, 4 R) distribution logits to (K, 4) expected left, top, right, bottom in strides (Li et al. 2020, GFL).

    The R bins stand for ``nearest``, ``nearest`` + 1, ... strides.
    """
    if not logits.shape[1] or logits.shape[1] % 4:
        raise ValueError(f"{logits.shape[1]} distribution logits per point, not a multiple of 4")
    bins = logits.reshape(len(logits), 4, logits.shape[1] // 4)
    share = np.exp(bins - bins.max(axis=2, keepdims=True))
    steps = np.arange(nearest, nearest + bins.shape[2], dtype=np.float32)
    return share @ steps / share.sum(axis=2)


def _ltrb(points: np.ndarray, ltrb_px: np.ndarray) -> np.ndarray:
    return np.concatenate([points - ltrb_px[:, :2], points + ltrb_px[:, 2:]], axis=1)


def decoded(outputs: Outputs, query: Query) -> Candidates:
    """``boxes`` (1, N, 4) edges in input pixels, ``scores`` (1, N, C) probabilities: exports that decode inside."""
    boxes, scores = _pair(outputs)
    rows, score, label = _best(_columns(scores[0], query), query)
    return Candidates(boxes[0][rows], score, label)


def decoded_unique(outputs: Outputs, query: Query) -> Candidates:
    """As ``decoded``, of a head trained one-to-one: needs no suppression."""
    return replace(decoded(outputs, query), unique=True)


def _pair(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores of two outputs, by name, else by the last axis."""
    if {"boxes", "scores"} <= set(outputs):
        return outputs["boxes"], outputs["scores"]
    first, second = outputs.values()
    return (first, second) if first.shape[-1] == 4 else (second, first)


def cell_distances(outputs: Outputs, query: Query, nearest: int = 0) -> Candidates:
    """``scores`` (1, N, C) probabilities, ``distances`` (1, N, 4 R) logits, strides 8, 16, 32: roadlens' own networks.

    Points at (cell + 0.5) stride. Where bins begin below 0 strides, a box may lie beside its point; opposite sides
    that would cross, meet.
    """
    logits = outputs["distances"][0]
    rows, score, label = _best(_columns(outputs["scores"][0], query), query)
    points, stride = grid(query.size_px, (8, 16, 32), 0.5)
    edges = _ltrb(points[rows], distances(logits[rows], nearest) * stride[rows, None])
    np.maximum(edges[:, 2:], edges[:, :2], out=edges[:, 2:])
    return Candidates(edges, score, label)


def cell_distances_unique(outputs: Outputs, query: Query, nearest: int = 0) -> Candidates:
    """As ``cell_distances``, of a head trained one-to-one: needs no suppression."""
    return replace(cell_distances(outputs, query, nearest), unique=True)


def yolox(outputs: Outputs, query: Query) -> Candidates:
    """(1, N, 5 + C) raw: xy = (p + cell) stride, wh = exp(p) stride, objectness and classes done (Ge et al. 2021)."""
    (raw,) = outputs.values()
    raw = raw[0]
    rows, score, label = _best(_columns(raw, query, 5), query, raw[:, 4])
    points, stride = grid(query.size_px, (8, 16, 32), 0.0)
    step = stride[rows, None]
    return Candidates(_corners(raw[rows, :2] * step + points[rows], np.exp(raw[rows, 2:4]) * step), score, label)


def yolov5(outputs: Outputs, query: Query) -> Candidates:
    """(1, N, 5 + C): cx cy w h in input pixels, objectness, classes: YOLOv5, v6, v7."""
    (rows_out,) = outputs.values()
    table = rows_out[0]
    rows, score, label = _best(_columns(table, query, 5), query, table[:, 4])
    return Candidates(_corners(table[rows, :2], table[rows, 2:4]), score, label)


def yolov8(outputs: Outputs, query: Query) -> Candidates:
    """(1, 4 + C, N): cx cy w h in input pixels, classes: YOLOv8, v9, 11, 12."""
    (table,) = outputs.values()
    table = table[0]
    rows, score, label = _best([table[4 + index] for index in query.wanted], query)
    return Candidates(_corners(table[:2, rows].T, table[2:4, rows].T), score, label)


def yolov10(outputs: Outputs, query: Query) -> Candidates:
    """(1, K, 6): x1 y1 x2 y2 in input pixels, score, class; end to end (Wang et al. 2024)."""
    (table,) = outputs.values()
    return _listed(table[0][:, :4], table[0][:, 4], table[0][:, 5], query)


def ppyoloe(outputs: Outputs, query: Query) -> Candidates:
    """PaddleDetection exports, asked with scale_factor 1 so that boxes are in input pixels.

    With its NMS: (K, 6) class, score, x1 y1 x2 y2, and counts. Without: boxes (1, N, 4) and scores (1, C, N).
    """
    for table in outputs.values():
        if table.ndim == 2 and table.shape[1] == 6:
            return _listed(table[:, 2:], table[:, 1], table[:, 0], query)
    boxes, scores = sorted(outputs.values(), key=lambda array: array.shape[-1] != 4)
    rows, score, label = _best([scores[0, index] for index in query.wanted], query)
    return Candidates(boxes[0][rows], score, label)


def detr(outputs: Outputs, query: Query) -> Candidates:
    """Labels, boxes and scores, with or without a batch axis; in input pixels, since that size is given as target."""
    arrays = {
        name: np.squeeze(array, 0) if array.ndim > 1 and len(array) == 1 else array for name, array in outputs.items()
    }
    boxes = next(array for array in arrays.values() if array.ndim == 2)
    labels = next(array for array in arrays.values() if array.dtype.kind in "iu")
    scores = next(array for array in arrays.values() if array.ndim == 1 and array.dtype.kind == "f")
    return _listed(boxes, scores, labels, query)


def _listed(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, query: Query) -> Candidates:
    """Rows of a finished list over the threshold and of a wanted class."""
    if not np.isfinite(scores.sum(dtype=np.float64)):
        raise InputError("the network's scores hold NaN or infinity; the file is damaged or its precision too low")
    label = labels.astype(np.int64)
    rows = np.flatnonzero((scores > query.threshold) & np.isin(label, query.wanted))
    return Candidates(boxes[rows], scores[rows].astype(np.float32), label[rows], unique=True)


def nanodet_plus(outputs: Outputs, query: Query) -> Candidates:
    """(1, N, C + 4 R): classes done, then distribution logits; points at cell * stride, no half cell (NanoDet-Plus)."""
    (table,) = outputs.values()
    table = table[0]
    strides = (8, 16, 32, 64) if len(table) == cell_count(query.size_px, (8, 16, 32, 64)) else (8, 16, 32)
    rows, score, label = _best(_columns(table, query), query)
    points, stride = grid(query.size_px, strides, 0.0)
    ltrb_px = distances(table[rows, query.class_count :]) * stride[rows, None]
    return Candidates(_ltrb(points[rows], ltrb_px), score, label)


def picodet(outputs: Outputs, query: Query) -> Candidates:
    """Per level (1, n, C) classes done and (1, n, 4 R) distribution logits; points at (cell + 0.5) stride.

    PicoDet (strides 8 to 64) and the first NanoDet (8 to 32), as their exports without post-processing are.
    """
    classes, boxes = _levels(outputs)
    strides = (8, 16, 32, 64)[: len(classes)]
    scores = np.concatenate([level[0] for level in classes])
    logits = np.concatenate([level[0] for level in boxes])
    rows, score, label = _best(_columns(scores, query), query)
    points, stride = grid(query.size_px, strides, 0.5)
    return Candidates(_ltrb(points[rows], distances(logits[rows]) * stride[rows, None]), score, label)


def _levels(outputs: Outputs) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Class maps and box maps, finest level first: within a level the two differ in width only.

    All class maps are as wide as one another and come first in every export known.
    """
    arrays = list(outputs.values())
    first = arrays[0].shape[-1]
    alike = [array for array in arrays if array.shape[-1] == first]
    others = [array for array in arrays if array.shape[-1] != first]
    return sorted(alike, key=lambda a: -a.shape[1]), sorted(others, key=lambda a: -a.shape[1])


def fastestdet(outputs: Outputs, query: Query) -> Candidates:
    """(1, 5 + C, h, w) at stride 16: objectness, 4 box (tanh offset, sigmoid share of the input), classes done."""
    (maps,) = outputs.values()
    height, width = maps.shape[2:]
    table = maps[0].reshape(maps.shape[1], -1)
    # The project's own score: objectness^0.6 class^0.4. Powers rise, so the threshold is applied to the product.
    columns = [table[5 + index] ** np.float32(0.4) for index in query.wanted]
    rows, score, label = _best(columns, query, table[0] ** np.float32(0.6))
    cell = np.stack([rows % width, rows // width], axis=1)
    size_px = np.array(query.size_px, np.float32)
    centre = (np.tanh(table[1:3, rows].T) + cell) / np.array([width, height], np.float32) * size_px
    return Candidates(_corners(centre, size_px / (1.0 + np.exp(-table[3:5, rows].T))), score, label)


@dataclass(frozen=True)
class Family:
    """A family of networks: its head, what it was trained to see, its usual threshold.

    ``class_count`` tells the classes from the outputs; None where they do not show.
    """

    decode: Head
    preprocess: Preprocess
    score_threshold: float
    class_count: Callable[[Outputs], int] | None = None


def _scores(outputs: Outputs) -> int:
    return int(outputs["scores"].shape[-1])


def _last(extra: int) -> Callable[[Outputs], int]:
    return lambda outputs: next(iter(outputs.values())).shape[-1] - extra


def _second(extra: int) -> Callable[[Outputs], int]:
    return lambda outputs: next(iter(outputs.values())).shape[1] - extra


_YOLO = Preprocess("centre", rgb=True, std=(255.0, 255.0, 255.0))
_NANODET = Preprocess("top-left", mean=IMAGENET_MEAN[::-1], std=IMAGENET_STD[::-1])
_PADDLE = Preprocess("stretch", rgb=True, mean=IMAGENET_MEAN, std=IMAGENET_STD)
_UNIT_RGB = Preprocess("stretch", rgb=True, std=(255.0, 255.0, 255.0))
_UNIT_BGR = Preprocess("stretch", std=(255.0, 255.0, 255.0))

# Preprocessing and thresholds are those of each family's own demo; PP-YOLOE's are PP-YOLOE+'s.
MODELS: dict[str, Family] = {
    "distances": Family(cell_distances, Preprocess(), 0.3, _scores),
    "distances-unique": Family(cell_distances_unique, Preprocess(), 0.3, _scores),
    "distances-signed": Family(partial(cell_distances, nearest=-1), Preprocess(), 0.3, _scores),
    "distances-signed-unique": Family(partial(cell_distances_unique, nearest=-1), Preprocess(), 0.3, _scores),
    "decoded": Family(decoded, Preprocess(), 0.3, lambda outputs: _pair(outputs)[1].shape[-1]),
    "decoded-unique": Family(decoded_unique, Preprocess(), 0.3, lambda outputs: _pair(outputs)[1].shape[-1]),
    "yolox": Family(yolox, Preprocess(), 0.3, _last(5)),
    "yolox-decoded": Family(yolov5, Preprocess(), 0.3, _last(5)),
    "nanodet-plus": Family(nanodet_plus, _NANODET, 0.35, _last(32)),
    "picodet": Family(picodet, _PADDLE, 0.4, lambda outputs: _levels(outputs)[0][0].shape[-1]),
    "nanodet": Family(picodet, _NANODET, 0.35, lambda outputs: _levels(outputs)[0][0].shape[-1]),
    "yolov5": Family(yolov5, _YOLO, 0.25, _last(5)),
    "yolov8": Family(yolov8, _YOLO, 0.25, _second(4)),
    "yolov10": Family(yolov10, _YOLO, 0.25),
    "ppyoloe": Family(ppyoloe, _UNIT_RGB, 0.4),
    "fastestdet": Family(fastestdet, _UNIT_BGR, 0.65, _second(5)),
    "detr": Family(detr, _UNIT_RGB, 0.4),
}


def choose(inputs: Sequence[str], outputs: Outputs, size_px: tuple[int, int], class_count: int | None) -> str:
    """The family that a network's inputs and outputs show.

    Args:
        inputs: names of its inputs.
        outputs: what it gave for one picture.
        size_px: (width, height) of that input.
        class_count: where class names came with the file; settles what shapes leave open.

    Raises:
        InputError: none fits, or more than one does.
    """
    shapes = [array.shape for array in outputs.values()]
    if "orig_target_sizes" in inputs and len(shapes) == 3:
        return "detr"
    if "scale_factor" in inputs and len(shapes) == 2:
        return "ppyoloe"
    found = None
    if len(shapes) == 1:
        found = _choose_single(next(iter(outputs.values())), size_px, class_count)
    elif len(shapes) == 2 and all(len(shape) == 3 for shape in shapes) and shapes[0][1] == shapes[1][1]:
        found = "distances" if set(outputs) == {"scores", "distances"} else None
        found = "decoded" if 4 in (shapes[0][2], shapes[1][2]) else found
    elif len(shapes) in (6, 8) and all(len(shape) == 3 for shape in shapes):
        strides = (8, 16, 32, 64)[: len(shapes) // 2]
        levels = sorted((cell_count(size_px, (s,)) for s in strides for _ in range(2)), reverse=True)
        if sorted((shape[1] for shape in shapes), reverse=True) == levels:
            found = "picodet" if len(strides) == 4 else "nanodet"
    if found is None:
        listed = ", ".join(f"{name} {shape}" for name, shape in zip(outputs, shapes, strict=True))
        raise InputError(
            f"outputs {listed} for an input of {size_px[0]}x{size_px[1]} fit no known head; "
            f"name one: {', '.join(MODELS)}"
        )
    return found


def _choose_single(output: np.ndarray, size_px: tuple[int, int], class_count: int | None) -> str | None:
    shape = output.shape
    if len(shape) == 4:
        return "fastestdet" if shape[2:] == (-(-size_px[1] // 16), -(-size_px[0] // 16)) and shape[1] > 5 else None
    if len(shape) != 3:
        return None
    three, four = (cell_count(size_px, strides) for strides in ((8, 16, 32), (8, 16, 32, 64)))
    _, rows, width = shape
    if rows in (3 * three, 3 * four):
        return "yolov5"
    if width in (three, four) and rows > 4:
        return "yolov8"
    if rows == four or (rows == three and width in (112, (class_count or 80) + 32)):
        return "nanodet-plus"
    if rows == three:
        if np.abs(output[0, :, :2]).max() > 64:  # raw offsets are a few cells, pixels go up to the input's size
            raise InputError(
                f"output {shape} has decoded boxes; name the head: yolov5 (RGB 0..1: YOLOv6, v7) or yolox-decoded"
            )
        return "yolox"
    return "yolov10" if width == 6 else None
