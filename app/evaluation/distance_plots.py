"""Pictures of a distance measurement: error over distance by method, and whether sigma means what it says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from app.evaluation.distance import GROUPS, Judged, by_range, reliability
from geometry.errors import InputError

_SHOWN = ("fused", "single frame", "cue ground", "cue height", "height 1.53 m", "flat road")


def plot_error(judged: Mapping[str, Judged], path: Path) -> None:
    """Median (line) and 90th percentile (dots) of the relative error over true distance, cars and vehicles."""
    figure = _figure()(figsize=(11, 4.6), layout="constrained")
    for index, group in enumerate(("cars", "vehicles")):
        axes = figure.add_subplot(1, 2, index + 1)
        for number, method in enumerate(name for name in _SHOWN if name in judged):
            said = judged[method]
            bins = [b for b in by_range(said, GROUPS[group](said.boxes)) if b[2]["n"] >= 10]
            middle = [0.5 * (low + high) for low, high, _ in bins]
            style = {"color": f"C{number}", "linewidth": 2.6 if method == "fused" else 1.2}
            axes.plot(middle, [100 * b[2]["median_rel"] for b in bins], marker="o", label=method, **style)
            axes.plot(middle, [100 * b[2]["p90_rel"] for b in bins], linestyle=":", **style)
        axes.set(title=f"{group}: median (line), 90th percentile (dots)", xlabel="true distance, m", ylim=(0, 35))
        axes.set_ylabel("relative error, %")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def plot_reliability(judged: Mapping[str, Judged], path: Path) -> None:
    """Share of true distances within k sigma against the share a normal error would have; errors over distance."""
    figure = _figure()(figsize=(11, 4.6), layout="constrained")
    axes = figure.add_subplot(1, 2, 1)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    for method in ("fused", "single frame"):
        for group, line in (("cars", "-"), ("vehicles", "--")):
            said = judged[method]
            expected, got = reliability(said, GROUPS[group](said.boxes))
            axes.plot(expected, got, line, label=f"{method}, {group}")
    axes.axvline(0.683, color="grey", linewidth=0.6, linestyle=":")
    axes.set(title="reliability of sigma", xlabel="expected share within k sigma", ylabel="share found", xlim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    scatter = figure.add_subplot(1, 2, 2)
    said = judged["fused"]
    rows = GROUPS["vehicles"](said.boxes)
    scatter.scatter(said.boxes.x_m[rows], 100 * said.error_rel[rows], s=4, alpha=0.35, linewidths=0)
    order = np.argsort(said.boxes.x_m[rows])
    sigma = (100 * said.sigma_m / said.boxes.x_m)[rows][order]
    window = np.ones(min(101, max(1, len(sigma) // 5)))
    count = np.convolve(np.isfinite(sigma), window, "same")
    smooth = np.convolve(np.nan_to_num(sigma), window, "same") / np.maximum(count, 1)
    for sign in (-1, 1):
        scatter.plot(said.boxes.x_m[rows][order], sign * smooth, color="C3", linewidth=1)
    scatter.set(title="fused, vehicles: errors and mean sigma", xlabel="true distance, m", ylim=(-40, 40))
    scatter.set_ylabel("relative error, %")
    scatter.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def _figure() -> type:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("plots need matplotlib, which is not installed; pip install 'roadlens[eval]'") from error
    return Figure
