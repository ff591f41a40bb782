"""What looks like nothing else: boxes described by gradients and colours, grouped, and the small groups named.

A description is a histogram of oriented gradients (N. Dalal, B. Triggs, CVPR 2005; 4x4 cells, 8 directions) beside the
mean and spread of the three Lab channels in 2x2 cells: cheap, the same on every machine, and not blind to what people
call unusual at a glance. Groups are k-means on its principal components; how rare a group is, is counted in
objects, not in pictures, because a car that stands before us for a minute is still one car.

Who has a network that tells objects apart better names it, and its embeddings take the description's place.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from app.types import FrameResult
from perception.types import CLASSES
from tracking.appearance import Embedder

MIN_HEIGHT_PX, _MIN_WIDTH_PX = 24.0, 8.0
_PATCH_PX, _CELLS, _DIRECTIONS = 32, 4, 8
_COMPONENTS, _MOST_GROUPS, _FEWEST_OBJECTS = 16, 24, 12
_COMMON = 0.5  # surprise of a group, as a share of that of a single object, from which on it is rare
_SEED = 0


@dataclass(frozen=True, eq=False)
class Look:
    """An object in a frame: which one, where, and what it looks like."""

    clip: int
    index: int
    t_s: float
    track_id: int
    class_id: int
    box: tuple[float, float, float, float]
    described: np.ndarray


def looks(clip: int, result: FrameResult, bgr: np.ndarray, embedder: Embedder | None = None) -> list[Look]:
    """The tracked objects of a frame that are large enough to be described, by an embedder or by ``describe``."""
    found = result.detections
    owner = {int(d): int(n) for d, n in zip(result.tracks.detection, result.tracks.track_id, strict=True) if d >= 0}
    inside = np.clip(np.rint(found.xyxy_px.astype(float)), 0, [bgr.shape[1], bgr.shape[0]] * 2).astype(int)
    width, height = (inside[:, 2:] - inside[:, :2]).T
    rows = [row for row in np.flatnonzero((height >= MIN_HEIGHT_PX) & (width >= _MIN_WIDTH_PX)) if int(row) in owner]
    if embedder is None:
        described = [describe(bgr[y1:y2, x1:x2]) for x1, y1, x2, y2 in inside[rows]]
    else:
        described = list(embedder.embed(bgr, found.xyxy_px[rows]).astype(np.float32))
    return [
        Look(clip, result.index, result.t_s, owner[int(row)], int(found.class_id[row]),
             tuple(np.round(found.xyxy_px[row].astype(float), 2).tolist()), description)
        for row, description in zip(rows, described, strict=True)
        if np.isfinite(description).all()
    ]  # fmt: skip


def describe(patch: np.ndarray) -> np.ndarray:
    """(152,) float32 of a (h, w, 3) blue-green-red patch."""
    small = cv2.resize(patch, (_PATCH_PX, _PATCH_PX), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength, angle = np.hypot(dx, dy), np.arctan2(dy, dx) % math.pi
    direction = np.minimum((angle / math.pi * _DIRECTIONS).astype(int), _DIRECTIONS - 1)
    cell = np.arange(_PATCH_PX) * _CELLS // _PATCH_PX
    bins = (cell[:, None] * _CELLS + cell[None]) * _DIRECTIONS + direction
    gradients = np.bincount(bins.ravel(), strength.ravel(), _CELLS * _CELLS * _DIRECTIONS)
    gradients = np.sqrt(gradients / (gradients.sum() + 1e-6))
    lab = cv2.cvtColor(small, cv2.COLOR_BGR2LAB).reshape(2, _PATCH_PX // 2, 2, _PATCH_PX // 2, 3).astype(np.float32)
    colours = np.concatenate([lab.mean(axis=(1, 3)).ravel(), lab.std(axis=(1, 3)).ravel()]) / 255.0
    return np.concatenate([gradients, colours]).astype(np.float32)


@dataclass(frozen=True)
class Rarity:
    """A look that is rare: how much (0 to 1), and how many objects look like it."""

    look: Look
    value: float
    text: str


@dataclass
class _Group:
    looks: list[Look] = field(default_factory=list)
    far: list[float] = field(default_factory=list)
    objects: set[tuple[int, int]] = field(default_factory=set)


def rare(all_looks: Sequence[Look]) -> list[Rarity]:
    """The most typical look of each object in a small group; none where there are too few objects to compare."""
    objects = {(look.clip, look.track_id) for look in all_looks}
    if len(objects) < _FEWEST_OBJECTS:
        return []
    groups = _groups(all_looks)
    found = []
    for group in groups:
        surprise = -math.log(len(group.objects) / len(objects)) / math.log(len(objects))
        value = (surprise - _COMMON) / (1.0 - _COMMON)
        if value <= 0.0:
            continue
        best: dict[tuple[int, int], tuple[float, Look]] = {}
        for look, far in zip(group.looks, group.far, strict=True):
            key = (look.clip, look.track_id)
            if key not in best or far < best[key][0]:
                best[key] = (far, look)
        share = f"looks like {len(group.objects)} of {len(objects)} objects"
        found += [Rarity(look, value, f"{CLASSES[look.class_id]} {share}") for _, look in best.values()]
    return found


def _groups(all_looks: Sequence[Look]) -> list[_Group]:
    from scipy.cluster.vq import kmeans2

    data = np.stack([look.described for look in all_looks]).astype(np.float64)
    data -= data.mean(axis=0)
    _, strength, axes = np.linalg.svd(data, full_matrices=False)
    keep = min(_COMPONENTS, int((strength > 1e-9).sum()), len(data))
    points = data @ axes[:keep].T if keep else np.zeros((len(data), 1))
    count = int(np.clip(math.sqrt(len(data) / 2), 2, _MOST_GROUPS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a group that stays empty is no loss
        centres, member = kmeans2(points, count, minit="++", seed=_SEED)
    groups = [_Group() for _ in range(len(centres))]
    for look, point, number in zip(all_looks, points, member, strict=True):
        group = groups[number]
        group.looks.append(look)
        group.far.append(float(np.linalg.norm(point - centres[number])))
        group.objects.add((look.clip, look.track_id))
    return [group for group in groups if group.looks]
