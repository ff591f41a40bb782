"""A small network as one more source of evidence: it reads the view along the slices, not the picture.

In that view a lane line has the same width and direction whatever the camera, so a network of a few ten thousand
weights, trained on rendered roads, has little else to learn (docs/lanes.md says what it is worth).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from geometry.errors import InputError
from perception.lanes.ridge import Evidence
from perception.session import open_session

VIEW_SIZE = (160, 128)
"""Width and height of the view that the network reads: columns across the road, slices along it."""
KIND = "lane-evidence"
_GAIN = 2.0  # strength, in units of unrest, of a boundary that the network is sure of
_KEEP = 0.6  # of its strength a ridge keeps where the network sees no boundary


def shrunk(view: np.ndarray) -> np.ndarray:
    """The view (S, L, 3) uint8 along a grid's slices as the network reads it: (H, W, 3) of ``VIEW_SIZE``."""
    return cv2.resize(view, VIEW_SIZE, interpolation=cv2.INTER_AREA)


class LearnedEvidence:
    """A network file made by ``roadlens train-lanes``.

    Raises:
        InputError: no such file, or no lane network in it.
    """

    def __init__(self, path: Path | str, threads: int | None = 1) -> None:
        self._session = open_session(path, "cpu", threads)
        kind = self._session.metadata.get("roadlens.kind")
        if kind != KIND:
            raise InputError(f"{path} is no lane network (its kind is {kind!r}); make one with roadlens train-lanes")

    def probability(self, view: np.ndarray) -> np.ndarray:
        """(S, L) float32, 0 to 1: how likely a boundary runs through each sample of a view (S, L, 3) uint8."""
        images = shrunk(view).transpose(2, 0, 1)[None].astype(np.float32)
        found = self._session.run({"view": images})["probability"]
        return cv2.resize(found[0, 0], (view.shape[1], view.shape[0]), interpolation=cv2.INTER_LINEAR)

    def fused(self, evidence: Evidence, view: np.ndarray) -> Evidence:
        """The slices' evidence with the network's."""
        sure = self.probability(view)
        return replace(evidence, strength=evidence.strength * (_KEEP + (1 - _KEEP) * sure) + _GAIN * sure)
