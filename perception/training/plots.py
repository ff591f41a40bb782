"""A training's loss and average precision over its pictures, as PNG."""

from __future__ import annotations

from pathlib import Path

PARTS = ("loss", "classes", "boxes", "distances")


def plot_history(history: list[dict[str, float]], folder: Path) -> list[Path]:
    """Write ``loss.png`` and, where the network was measured meanwhile, ``ap50.png``; returns their paths."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def draw(name: str, title: str, keys: list[str], rows: list[dict[str, float]]) -> Path:
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot(title=title, xlabel="training pictures", ylabel=name)
        for key in keys:
            axes.plot([row["images"] for row in rows], [row[key] for row in rows], label=key.removeprefix("ap50 "))
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=110)
        return path

    written = []
    losses = [row for row in history if "loss" in row]
    if losses:
        written.append(draw("loss", "loss and its parts (unweighted)", list(PARTS), losses))
    measured = [row for row in history if "ap50 mean" in row]
    if measured:
        keys = [key for key in measured[-1] if key.startswith("ap50 ") and measured[-1][key] == measured[-1][key]]
        written.append(draw("ap50", "AP at IoU 0.5 of the averaged weights", keys, measured))
    return written
