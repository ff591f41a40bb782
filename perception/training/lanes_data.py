"""Rendered roads as a lane network sees them: the view along the slices, and where boundaries run in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from geometry.errors import InputError
from perception.lanes.learned import VIEW_SIZE, shrunk
from perception.lanes.slices import SliceGrid
from perception.synthetic.training import road_frames
from perception.synthetic.truth import FrameTruth

_WIDE_M = 0.18  # sigma of a boundary in the label: paint is 0.10 to 0.30 m wide, a cell of the view 0.12 m


@dataclass(frozen=True, eq=False)
class LaneSet:
    """N views (N, H, W, 3) uint8 blue-green-red with labels (N, H, W) uint8, 255 on a boundary, and ``weight``
    (N, H, W) uint8, 1 where the road is in the picture."""

    views: np.ndarray
    labels: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.views)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, views=self.views, labels=self.labels, weight=self.weight)

    @classmethod
    def load(cls, path: Path) -> LaneSet:
        """Raises InputError where the file is no such set."""
        try:
            with np.load(path) as arrays:
                return cls(arrays["views"], arrays["labels"], arrays["weight"])
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} holds no lane views ({error}); remove it, it is rendered again") from error


def label_of(truth: FrameTruth, grid: SliceGrid) -> np.ndarray:
    """(S, L) float32, 1 on the boundaries a driver would name, falling off across the road; gaps of dashes included."""
    label = np.zeros(grid.visible.shape, np.float32)
    for points, boundary in zip(truth.lane_points_m, truth.lanes.boundaries, strict=True):
        order = np.argsort(points[:, 0])
        y = np.interp(grid.x_m, points[order, 0], points[order, 1], left=np.nan, right=np.nan)
        y[(grid.x_m < boundary.x_range_m[0]) | (grid.x_m > boundary.x_range_m[1])] = np.nan
        apart = (grid.y_m - np.nan_to_num(y, nan=1e3)[:, None]) / _WIDE_M
        np.maximum(label, np.exp(-0.5 * apart * apart), out=label)
    return label


def lane_set(count: int, seed: int, size_px: tuple[int, int] = (640, 360)) -> Iterator[tuple[np.ndarray, ...]]:
    """View, label and weight, (H, W[, 3]) uint8 each, of ``count`` random rendered frames that show a road."""
    for frame, truth in road_frames(count, seed, size_px):
        grid = SliceGrid.build(truth.camera)
        if grid is None:
            continue
        seen = grid.visible.astype(np.float32)
        label = cv2.resize(label_of(truth, grid) * seen, VIEW_SIZE, interpolation=cv2.INTER_AREA)
        weight = cv2.resize(seen, VIEW_SIZE, interpolation=cv2.INTER_AREA) > 0.5
        yield shrunk(grid.warp(frame.bgr)), np.rint(255 * label).astype(np.uint8), weight.astype(np.uint8)


def joined(samples: Iterator[tuple[np.ndarray, ...]]) -> LaneSet:
    """All samples as one set."""
    views, labels, weight = (np.stack(column) for column in zip(*samples, strict=True))
    return LaneSet(views, labels, weight)
