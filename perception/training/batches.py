"""Batches made ahead by one thread: decoding is over, warping and lookup tables release the interpreter's lock."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from perception.training.assign import Truth
from perception.training.augment import Augmenter, Plan, View


@dataclass(frozen=True, eq=False)
class Batch:
    """``images`` (B, 3, H, W) uint8 channels-last, and the objects in them."""

    images: Tensor
    truth: Truth


def truth_of(views: Sequence[View | Plan]) -> Truth:
    """Labels of a batch in one list."""
    labels = [view.labels for view in views]
    counts = [len(label.class_id) for label in labels]
    ignored = [len(label.ignore_xyxy_px) for label in labels]
    return Truth(
        torch.from_numpy(np.concatenate([label.xyxy_px for label in labels])),
        torch.from_numpy(np.concatenate([label.class_id for label in labels])),
        torch.from_numpy(np.repeat(np.arange(len(labels)), counts)),
        torch.from_numpy(np.concatenate([label.ignore_xyxy_px for label in labels])),
        torch.from_numpy(np.repeat(np.arange(len(labels)), ignored)),
    )


def collate(views: Sequence[View]) -> Batch:
    images = torch.from_numpy(np.stack([view.image for view in views])).permute(0, 3, 1, 2)
    return Batch(images, truth_of(views))


class BatchMaker:
    """The batch of any step, from the seed and the step's number alone: a resumed training sees what it would have."""

    def __init__(self, augmenter: Augmenter, weights: np.ndarray, batch: int, seed: int) -> None:
        self.augmenter, self.batch, self.seed = augmenter, batch, seed
        self.cumulative = np.cumsum(weights / weights.sum())

    def make(self, step: int, calm: bool = False) -> Batch:
        rng = np.random.default_rng((self.seed, step))
        return collate([self.augmenter.view(index, rng, calm) for index in self.choose(rng)])

    def choose(self, rng: np.random.Generator) -> list[int]:
        """Frames of a batch, by their weights."""
        chosen = np.searchsorted(self.cumulative, rng.random(self.batch))
        return [int(index) for index in chosen.clip(max=len(self.cumulative) - 1)]


def made_ahead(make: Callable[[int], Batch], first: int, depth: int = 3) -> Iterator[Batch]:
    """Batches ``first``, ``first + 1``, ... from a thread that works ``depth`` batches ahead; close() ends it."""
    ready: queue.Queue[Batch | BaseException] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: Batch | BaseException) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def work() -> None:
        step = first
        try:
            while not stop.is_set():
                put(make(step))
                step += 1
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join(timeout=10)
