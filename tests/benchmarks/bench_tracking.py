"""Update time of the tracker, interleaved frame by frame with whichever peers are installed (trackers, ioutrack).

    python tests/benchmarks/bench_tracking.py [frames]

The same crowds as ``evaluate.py speed``: constant velocity, constant density, 1 px noise, one detection in ten missing.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

Update = Callable[[np.ndarray, float], Any]
SIZES = (10, 50, 200, 500, 1000)


def crowd(count: int, frames: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Rows left, top, right, bottom, score, class."""
    rng = np.random.default_rng(seed)
    size = np.array([1920.0, 1080.0]) * max(np.sqrt(count / 200), 0.3)
    centre, velocity = rng.uniform(0, 1, (count, 2)) * size, rng.normal(0, 4, (count, 2))
    wh = np.column_stack([rng.uniform(30, 70, count), rng.uniform(60, 120, count)])
    for _ in range(frames):
        centre += velocity
        velocity[(centre < 0) | (centre > size)] *= -1
        c, z = centre + rng.normal(0, 1, (count, 2)), wh * (1 + rng.normal(0, 0.02, (count, 2)))
        rows = np.column_stack([c - z / 2, c + z / 2, rng.uniform(0.75, 0.99, count), np.zeros(count)])
        yield rows[rng.random(count) > 0.1]


def ours() -> Update:
    spec = importlib.util.spec_from_file_location("adapter", Path(__file__).with_name("tracking_adapter.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.factory().update


def rust_sort() -> Update:
    import ioutrack

    tracker = ioutrack.Sort()
    return lambda boxes, t_s: tracker.update(np.ascontiguousarray(boxes[:, :5], np.float32), True)


def trackers_bytetrack() -> Update:
    import supervision
    import trackers

    tracker = trackers.ByteTrackTracker()
    return lambda boxes, t_s: tracker.update(
        supervision.Detections(xyxy=boxes[:, :4], confidence=boxes[:, 4], class_id=boxes[:, 5].astype(int))
    )


def main(frames: int) -> None:
    makers = {"roadlens": ours, "ioutrack SORT (Rust)": rust_sort, "trackers ByteTrack": trackers_bytetrack}
    for name in tuple(makers):
        try:
            makers[name]()
        except ImportError:
            del makers[name]
            print(f"{name}: not installed, left out")
    for count in SIZES:
        updates = {name: make() for name, make in makers.items()}
        times: dict[str, list[float]] = {name: [] for name in makers}
        for index, boxes in enumerate(crowd(count, frames)):
            for name, update in updates.items():
                start = time.perf_counter()
                update(boxes, index / 10)
                times[name].append(1e3 * (time.perf_counter() - start))
        figures = {name: np.array(t[10:]) for name, t in times.items()}
        print(
            f"{count:5d} boxes, ms:",
            ", ".join(f"{name} median {np.median(t):.3f} min {t.min():.3f}" for name, t in figures.items()),
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 70)
