"""Pictures of a detection measurement: precision over recall, and confusion of classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from app.evaluation.detect import MEASURED, DetectionScores, ModelReport
from geometry.errors import InputError
from perception.types import CLASSES


def plot_precision_recall(scores: Mapping[str, DetectionScores], path: Path) -> None:
    """One panel a class, one line a model: precision over recall at IoU 0.5."""
    figure_class = _figure()
    present = [name for name in MEASURED if any(np.isfinite(s.precision[name]).any() for s in scores.values())]
    columns = min(4, len(present))
    rows = -(-len(present) // columns)
    figure = figure_class(figsize=(3.4 * columns, 2.9 * rows + 0.6), layout="constrained")
    for index, name in enumerate(present):
        axes = figure.add_subplot(rows, columns, index + 1)
        for model, measured in scores.items():
            if np.isfinite(measured.precision[name]).any():
                axes.plot(np.linspace(0, 1, 101), measured.precision[name], label=model, linewidth=1.2)
        axes.set(title=f"{name} ({next(iter(scores.values())).boxes[name]})", xlim=(0, 1), ylim=(0, 1))
        axes.grid(alpha=0.3)
    figure.supxlabel("recall")
    figure.supylabel("precision at IoU 0.5")
    handles = {text: line for axes in figure.axes for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=110)


def plot_confusion(report: ModelReport, title: str, path: Path) -> None:
    """Rows are true classes as shares of 1, the counts written in; the last row and column are "nothing"."""
    figure_class = _figure()
    names = (*CLASSES, "nothing")
    counts = report.confusion
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = figure_class(figsize=(8, 7), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="found", ylabel="true", title=title)
    figure.savefig(path, dpi=110)


def _figure() -> type:
    """matplotlib's figure without pyplot, whose global state and windows a command has no use for."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: F401  savefig draws with it
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("plots need matplotlib: pip install 'roadlens[eval]'") from error
    return Figure
