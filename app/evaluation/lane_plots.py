"""Pictures of a lane measurement: how accurate which share of the lanes is, and the worst frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from app.evaluation.contact_sheet import contact_sheet
from app.evaluation.lane import MATCH_SHARE, LabelledFrame, LaneScores, Predicted
from geometry.errors import InputError

_LEFT_BGR, _RIGHT_BGR, _OTHER_BGR, _LABEL_BGR = (60, 60, 255), (80, 220, 80), (255, 160, 0), (255, 255, 255)


def plot_accuracy(scores: LaneScores, path: Path) -> None:
    """Cumulative shares of the accuracy per labelled lane, all lanes and the ego pair.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: F401  savefig draws with it
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("plots need matplotlib: pip install 'roadlens[eval]'") from error
    everything = np.concatenate([frame.accuracy for frame in scores.frames])
    ego = np.concatenate([frame.ego_accuracy for frame in scores.frames])
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, values in (("all lanes", everything), ("ego pair", ego[np.isfinite(ego)])):
        if len(values):
            axes.step(np.sort(values), np.linspace(0, 1, len(values)), label=f"{name} (mean {values.mean():.3f})")
    axes.axvline(MATCH_SHARE, color="grey", linestyle=":", label=f"found from {MATCH_SHARE}")
    axes.set(xlabel="share of rows within 20 px", ylabel="share of labelled lanes below", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def worst_frames(
    frames: Sequence[LabelledFrame], scores: LaneScores, predictions: Sequence[Predicted], count: int = 10
) -> np.ndarray:
    """(H, W, 3) uint8 contact sheet of the frames with the least ego accuracy, labels dotted in white."""
    quality = [
        float(np.nansum(s.ego_accuracy)) + 0.1 * float(s.accuracy.mean() if len(s.accuracy) else 1.0)
        for s in scores.frames
    ]
    pictures, captions = [], []
    for index in np.argsort(quality)[:count]:
        ego = " ".join(f"{share:.2f}" for share in scores.frames[index].ego_accuracy)
        pictures.append(_drawn(frames[index], predictions[index]))
        captions.append(f"{frames[index].path.name}  ego {ego}")
    return contact_sheet(pictures, captions)


def _drawn(frame: LabelledFrame, predicted: Predicted) -> np.ndarray:
    picture = frame.picture()
    for index, columns in enumerate(predicted.columns_px):
        colour = _LEFT_BGR if index == predicted.ego[0] else _RIGHT_BGR if index == predicted.ego[1] else _OTHER_BGR
        cv2.polylines(picture, [_points(columns, frame.rows_px)], False, colour, 4, cv2.LINE_AA)
    for columns in frame.columns_px:
        for point in _points(columns, frame.rows_px):
            cv2.circle(picture, point.tolist(), 4, _LABEL_BGR, -1)
    return picture


def _points(columns_px: np.ndarray, rows_px: np.ndarray) -> np.ndarray:
    there = columns_px >= 0
    return np.rint(np.stack([columns_px[there], rows_px[there]], axis=-1)).astype(np.int32)
