"""Appearance: what objects look like, by any re-identification network that the user names, and what tracks keep of it.

Off unless a tracker is given an embedder. Embeddings are rows of length 1 and a track has their fading mean (as Wang,
Zheng, Liu, Li and Wang, Towards Real-Time Multi-Object Tracking, ECCV 2020, 3.4, and BoT-SORT after it).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from geometry.errors import InputError
from tracking.assign import Pairs

if TYPE_CHECKING:
    from perception.session import Session

_BATCH = 32  # boxes in one run of the network: a crowd must not ask for memory without bound
_COVERED = 0.3  # of a box by a nearer one: its picture shows that one, and says nothing of what is behind
_USUAL_SIZE = (128, 256)  # width and height of people in the usual training sets, where a network takes any


class Embedder(Protocol):
    """Anything that turns boxes of a picture into vectors of one length, near ones for the same object."""

    length: int

    def embed(self, bgr: np.ndarray, xyxy_px: np.ndarray) -> np.ndarray:
        """(N, D) rows of length 1 of boxes (N, 4) in a picture (H, W, 3) uint8; NaN rows for boxes outside it."""
        ...


class OnnxEmbedder:
    """A re-identification network: one picture input (batch, 3, height, width), first output (batch, D).

    Crops are stretched to the input and scaled as the file's metadata ``roadlens.preprocess`` says, else to red, green,
    blue with ImageNet's mean and deviation, as such networks are trained.

    Args:
        path: ONNX file, or a torch.export program.
        device, threads: as ``perception.session.open_session`` takes them.

    Raises:
        InputError: no such file, no network in it, or one of other inputs and outputs.
    """

    def __init__(self, path: Path | str, device: str = "auto", threads: int | None = None) -> None:
        from perception.metadata import read_metadata
        from perception.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
        from perception.session import open_session

        self._session: Session = open_session(path, device, threads)
        metadata = read_metadata(self._session.metadata)
        told: dict[str, Any] = {"rgb": True, "mean": IMAGENET_MEAN, "std": IMAGENET_STD} | metadata.preprocess
        self._preprocess = Preprocess(**told | {"fit": "stretch"})
        self._batch, self._size_px = _input(self._session, metadata.input_size or _USUAL_SIZE)
        self.length = self._trial()

    def embed(self, bgr: np.ndarray, xyxy_px: np.ndarray) -> np.ndarray:
        """As ``Embedder.embed``."""
        rows = np.full((len(xyxy_px), self.length), np.nan)
        height, width = bgr.shape[:2]
        box = np.rint(np.clip(np.asarray(xyxy_px) + 0.5, 0, [width, height] * 2)).astype(np.int64)
        inside = np.flatnonzero((box[:, 2:] > box[:, :2]).all(axis=1))
        step = self._batch or _BATCH
        for start in range(0, len(inside), step):
            part = inside[start : start + step]
            crops = [self._preprocess(bgr[y1:y2, x1:x2], self._size_px)[0] for x1, y1, x2, y2 in box[part]]
            rows[part] = unit_rows(self._run(np.concatenate(crops)))
        return rows

    def _run(self, crops: np.ndarray) -> np.ndarray:
        """(B, D) of crops (B, 3, H, W); a fixed batch is filled up with nothing."""
        count = len(crops)
        if self._batch > count:
            crops = np.concatenate((crops, np.zeros((self._batch - count, *crops.shape[1:]), crops.dtype)))
        spec = self._session.inputs[0]
        output = next(iter(self._session.run({spec.name: crops.astype(spec.dtype)}).values()))
        longest = max(output.shape[1:], default=0)
        if output.shape[0] != len(crops) or not output.size or output.size != len(crops) * longest:
            raise InputError(
                f"{self._session.path.name} answers {len(crops)} pictures with an array {output.shape}; wanted one "
                "embedding a picture, (batch, D); give a re-identification network"
            )
        return output.reshape(len(crops), -1)[:count].astype(np.float64)

    def _trial(self) -> int:
        """Length of the embeddings, so that a network that gives none is refused before the clip begins."""
        grey = np.full((self._size_px[1], self._size_px[0], 3), 128, np.uint8)
        crop = self._preprocess(grey, self._size_px)[0]
        return self._run(np.repeat(crop, self._batch or 2, axis=0)).shape[1]


def _input(session: Session, usual_px: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Size of a batch (0: any) and of its pictures (width, height)."""
    shape = session.inputs[0].shape
    if len(session.inputs) != 1 or len(shape) != 4 or shape[1] not in (3, None):
        has = ", ".join(f"{spec.name} {spec.shape}" for spec in session.inputs)
        raise InputError(
            f"{session.path.name} takes {has}; wanted one input (batch, 3, height, width); "
            "give a re-identification network"
        )
    if not session.inputs[0].dtype.startswith("float"):
        raise InputError(
            f"{session.path.name} takes {session.inputs[0].dtype} pictures; wanted float32 or float16; export it again"
        )
    return shape[0] or 0, (shape[3] or usual_px[0], shape[2] or usual_px[1])


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows (N, D) at length 1; rows without a direction become NaN, which is unknown."""
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    unit[~np.isfinite(unit).all(axis=1)] = np.nan
    return unit


def covered(xyxy_px: np.ndarray) -> np.ndarray:
    """Which boxes (N,) a nearer one covers by more than a share: their pictures show the other object.

    Nearer is what stands lower in the picture, on a road that is flat.
    """
    a, b = xyxy_px[:, None], xyxy_px[None]
    extent = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0.0)
    area = (xyxy_px[:, 2:] - xyxy_px[:, :2]).prod(axis=1)
    behind = (extent.prod(axis=2) > _COVERED * area[:, None]) & (b[..., 3] >= a[..., 3])
    np.fill_diagonal(behind, False)
    return behind.any(axis=1)


class Gallery:
    """Mean embeddings of tracks, row by row of the table; NaN where nothing is known."""

    def __init__(self, length: int) -> None:
        self.mean = np.empty((0, length))

    def append(self, rows: np.ndarray | None, count: int) -> None:
        """Add as many tracks as they look at birth, (count, D), None where there was no picture."""
        new = np.full((count, self.mean.shape[1]), np.nan) if rows is None else rows
        self.mean = np.concatenate((self.mean, new))

    def keep(self, mask: np.ndarray) -> None:
        """Drop the tracks where the mask (N,) is False."""
        self.mean = self.mean[mask]

    def learn(self, row: np.ndarray, look: np.ndarray, share: float) -> None:
        """Move tracks (K,) towards what they look like now (K, D) by a share; NaN looks teach nothing."""
        known = np.isfinite(look[:, 0])
        row, look = row[known], look[known]
        old = self.mean[row]
        mixed = np.where(np.isfinite(old), old + share * (look - old), look)
        self.mean[row] = unit_rows(mixed)

    def cosine(self, pairs: Pairs, look: np.ndarray) -> np.ndarray:
        """(K,) of pairs of tracks and detections (M, D); NaN where one of the two is unknown."""
        i, j = pairs
        return (self.mean[i] * look[j]).sum(axis=1)
