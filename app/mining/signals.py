"""Reasons to label a frame that a record alone gives, in one pass: doubt, flicker, cues or models that disagree.

Every value is between 0 and 1. Doubt is uncertainty sampling (D. Lewis, W. Gale, 1994); flicker over time and models
that disagree are what active learning for detection calls temporal and committee inconsistency.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from app.mount import camera_at
from app.record import Header
from app.types import FrameResult
from geometry.boxes import iou
from geometry.camera import Camera
from geometry.ground import GROUND, HEIGHT, range_cues
from perception.types import CLASSES, Detections

Kind = Literal["low confidence", "flicker", "cues disagree", "models disagree", "rare appearance"]
KINDS: tuple[Kind, ...] = ("low confidence", "flicker", "cues disagree", "models disagree", "rare appearance")

_SURE, _DOUBTFUL = 0.6, 0.25  # scores: nothing to ask above the one, nothing but doubt below the other
_READABLE_PX = 20.0  # objects of less height are small, not doubtful: nobody can label them well
_AGREE_SIGMA, _DISAGREE_SIGMA = 2.0, 5.0  # of the difference of two log-ranges
_GAP_S = 0.5  # who is back after longer may have been hidden
_ESTABLISHED = 3  # times seen, so that a gap is one
_FLASH_S, _FLASH_TIMES = 0.3, 2
_WINDOW_S = 1.5  # reasons come this late at most
_SAME_IOU = 0.5
_MODEL_SURE = 0.5


@dataclass(frozen=True)
class Reason:
    """Why a frame is worth a look: what, how much, where, and of which object (0: none of the tracks)."""

    kind: Kind
    value: float
    box: tuple[float, float, float, float]
    track_id: int
    text: str


@dataclass
class Candidate:
    """A frame with its reasons."""

    index: int
    t_s: float
    reasons: list[Reason] = field(default_factory=list)


def candidates(
    header: Header, results: Iterable[FrameResult], other: Iterable[FrameResult] = (), *, every: int = 1
) -> Iterator[Candidate]:
    """Frames of a record with the reasons it gives, in order; frames without one, too.

    Args:
        other: results of another model for the same clip.
        every: the detector looked at each n-th frame.
    """
    window: deque[Candidate] = deque()
    lives = _Lives()
    rival = _InStep(other)
    for number, result in enumerate(results):
        if number % every:
            continue
        here = Candidate(result.index, result.t_s)
        window.append(here)
        camera = camera_at(header.camera, result.pose)
        here.reasons += [*_doubts(result), *_cues(camera, result)]
        found = rival.at(result.index)
        if found is not None:
            here.reasons += _models(result.detections, found)
        lives.step(here, result, camera)
        while window[0].t_s < result.t_s - _WINDOW_S:
            yield window.popleft()
    yield from window


class _InStep:
    """Results of another record, asked for by rising index."""

    def __init__(self, results: Iterable[FrameResult]) -> None:
        self._results = iter(results)
        self._next = next(self._results, None)

    def at(self, index: int) -> Detections | None:
        while self._next is not None and self._next.index < index:
            self._next = next(self._results, None)
        return self._next.detections if self._next is not None and self._next.index == index else None


# -- one frame --------------------------------------------------------------------------------------------------------


def _readable(box: np.ndarray) -> float:
    """0 to 1: how well an object of this size can be judged."""
    return float(np.clip((box[3] - box[1]) / _READABLE_PX - 0.5, 0.0, 1.0))


def _track_of(result: FrameResult) -> dict[int, int]:
    """Track of each detection's row."""
    rows = result.tracks.detection
    return {int(row): int(number) for row, number in zip(rows, result.tracks.track_id, strict=True) if row >= 0}


def _doubts(result: FrameResult) -> Iterator[Reason]:
    found, owner = result.detections, _track_of(result)
    for row in np.flatnonzero(found.score < _SURE):
        score, box = float(found.score[row]), found.xyxy_px[row].astype(float)
        value = min(1.0, (_SURE - score) / (_SURE - _DOUBTFUL)) * _readable(box)
        if value > 0.0:
            text = f"{CLASSES[found.class_id[row]]} with {score:.2f}"
            yield Reason("low confidence", value, _plain(box), owner.get(int(row), 0), text)


def _cues(camera: Camera, result: FrameResult) -> Iterator[Reason]:
    """Objects whose size and whose place on the road say different distances."""
    found, owner = result.detections, _track_of(result)
    if not len(found):
        return
    cues = range_cues(camera, found.xyxy_px, found.class_id)
    pair = cues.x_m[:, [GROUND, HEIGHT]]
    with np.errstate(invalid="ignore"):
        apart = np.abs(np.log(pair[:, 0] / pair[:, 1]))
    cov = cues.log_cov
    sigma = np.sqrt(cov[:, GROUND, GROUND] + cov[:, HEIGHT, HEIGHT] - 2.0 * cov[:, GROUND, HEIGHT])
    for row in np.flatnonzero(np.isfinite(apart)):
        strength = (apart[row] / sigma[row] - _AGREE_SIGMA) / (_DISAGREE_SIGMA - _AGREE_SIGMA)
        box = found.xyxy_px[row].astype(float)
        value = float(np.clip(strength, 0.0, 1.0)) * _readable(box)
        if value > 0.0:
            text = f"{CLASSES[found.class_id[row]]}: {pair[row, 0]:.0f} m by road, {pair[row, 1]:.0f} m by size"
            yield Reason("cues disagree", value, _plain(box), owner.get(int(row), 0), text)


def _models(ours: Detections, theirs: Detections) -> Iterator[Reason]:
    """What one model is sure of and the other does not see, or calls otherwise."""
    overlap = iou(ours.xyxy_px.astype(float), theirs.xyxy_px.astype(float))
    for found, rest, best, who in (
        (ours, theirs, overlap, "the other model"),
        (theirs, ours, overlap.T, "this model"),
    ):
        for row in np.flatnonzero(found.score >= _MODEL_SURE):
            box, score = found.xyxy_px[row].astype(float), float(found.score[row])
            name = CLASSES[found.class_id[row]]
            match = int(np.argmax(best[row])) if len(rest) else -1
            if match < 0 or best[row, match] < _SAME_IOU:
                yield Reason("models disagree", score * _readable(box), _plain(box), 0, f"{name} not seen by {who}")
            elif found is ours and rest.class_id[match] != found.class_id[row]:
                value = min(score, float(rest.score[match])) * _readable(box)
                text = f"{name} or {CLASSES[rest.class_id[match]]}"
                yield Reason("models disagree", value, _plain(box), 0, text)


def _plain(box: np.ndarray) -> tuple[float, float, float, float]:
    left, top, right, bottom = np.round(box, 2).tolist()
    return left, top, right, bottom


# -- over time --------------------------------------------------------------------------------------------------------


@dataclass
class _Life:
    """What was seen of a track: how often, when first and last, and where it was missed since."""

    first_s: float
    last: Candidate
    score: float
    box: np.ndarray
    class_id: int
    seen: int = 1
    missed: list[tuple[Candidate, np.ndarray]] = field(default_factory=list)


class _Lives:
    """Follows tracks for gaps that close again, and for objects that are there for a moment only."""

    def __init__(self) -> None:
        self._lives: dict[int, _Life] = {}

    def step(self, here: Candidate, result: FrameResult, camera: Camera) -> None:
        tracks = result.tracks
        present = set()
        for row, number in enumerate(tracks.track_id.tolist()):
            present.add(number)
            life, box = self._lives.get(number), tracks.xyxy_px[row]
            if tracks.detection[row] < 0:
                if life is not None:
                    life.missed.append((here, box))
                continue
            score = float(tracks.score[row])
            if life is None:
                self._lives[number] = _Life(here.t_s, here, score, box, int(tracks.class_id[row]))
                continue
            self._close_gap(number, life, here)
            life.seen, life.last, life.score, life.box = life.seen + 1, here, score, box
        for number in [number for number in self._lives if number not in present]:
            self._gone(number, self._lives.pop(number), camera)

    @staticmethod
    def _close_gap(number: int, life: _Life, here: Candidate) -> None:
        missed, life.missed = life.missed, []
        if not missed or here.t_s - life.last.t_s > _GAP_S or life.seen < _ESTABLISHED:
            return
        at, box = missed[len(missed) // 2]
        long = "a frame" if len(missed) == 1 else f"{len(missed)} frames"
        text = f"{CLASSES[life.class_id]} {number} not seen for {long}"
        at.reasons.append(Reason("flicker", _known(life.score) * _readable(box), _plain(box), number, text))

    @staticmethod
    def _gone(number: int, life: _Life, camera: Camera) -> None:
        if life.seen > _FLASH_TIMES or life.last.t_s - life.first_s > _FLASH_S:
            return
        left, top, right, bottom = life.box
        if left < 2 or top < 2 or right > camera.width_px - 3 or bottom > camera.height_px - 3:
            return  # it left, or came in at the edge
        times = "once" if life.seen == 1 else "twice"
        text = f"{CLASSES[life.class_id]} {number} seen {times} only"
        life.last.reasons.append(
            Reason("flicker", _known(life.score) * _readable(life.box), _plain(life.box), number, text)
        )


def _known(score: float) -> float:
    return score if math.isfinite(score) else 0.5
