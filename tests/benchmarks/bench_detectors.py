"""Where the time of one detection goes, on one thread: picture in, network, boxes out.

Run: python tests/benchmarks/bench_detectors.py [MODEL ...]

Prints the least and the median of many runs, since the least is what the machine can do and the rest is company.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from app.evaluation.report import write_json
from perception.detector import Detector, available_models, load_detector
from perception.heads import MODELS, Query
from perception.nms import nms
from perception.preprocess import Preprocess


def timed(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """(least, median) milliseconds."""
    call()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1e3)
    return min(taken), float(np.median(taken))


def processor() -> str:
    """Name of the processor, as the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def stages(detector: Detector, picture: np.ndarray, repeats: int) -> dict[str, tuple[float, float]]:
    """Times of the three stages of one detection."""
    feeds, placed = detector.prepare(picture)
    outputs = detector.session.run(feeds)
    return {
        "in": timed(lambda: detector.prepare(picture), repeats),
        "network": timed(lambda: detector.session.run(feeds), max(5, repeats // 5)),
        "out": timed(lambda: detector.finish(outputs, placed), repeats),
    }


def eight_thousand(objects: int) -> tuple[dict[str, np.ndarray], Query]:
    """Outputs of 8,400 anchors at 640x640 and 80 classes, on which some hundred anchors see ``objects`` objects."""
    rng = np.random.default_rng(0)
    table = np.zeros((1, 8400, 85), np.float32)
    rows = rng.choice(8400, objects * 8, replace=False)
    which = np.arange(len(rows)) % objects
    table[0, rows, :2] = rng.uniform(0, 600, (objects, 2))[which] + rng.normal(0, 2, (len(rows), 2))
    table[0, rows, 2:4] = rng.uniform(12, 90, (objects, 2))[which]
    table[0, rows, 4] = 1.0
    table[0, rows, 5 + 2] = rng.uniform(0.3, 0.95, len(rows))
    return {"output": table}, Query((640, 640), 80, 0.25, np.array([0, 1, 2, 3, 5, 6, 7, 9, 11]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="files or names; all known ones if none")
    parser.add_argument("--picture", type=Path, help="what to look at; grey noise of 1280x720 without")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    picture = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
    if options.picture:
        picture = cv2.imread(str(options.picture))
    print(f"{processor()}, one thread, picture {picture.shape[1]}x{picture.shape[0]}; least / median ms")
    figures: dict[str, dict[str, float]] = {}
    for name in options.models or available_models():
        detector = load_detector(name, device="cpu", threads=1)
        times = stages(detector, picture, options.repeats)
        told = detector.description
        figures[told["name"]] = {f"{stage}_ms": least for stage, (least, _) in times.items()}
        text = "  ".join(f"{stage} {least:6.2f} / {median:6.2f}" for stage, (least, median) in times.items())
        print(f"{told['name']:24} {told['input_size']:>9}  {text}")
    own = timed(lambda: Preprocess("top-left", rgb=True, mean=(1, 2, 3), std=(4, 5, 6))(picture, (640, 384)), 100)
    print(f"{'preprocess to 640x384':34}  in      {own[0]:6.2f} / {own[1]:6.2f}")
    for objects in (10, 25, 60):
        outputs, query = eight_thousand(objects)
        found = MODELS["yolov5"].decode(outputs, query)
        decode = timed(lambda o=outputs, q=query: MODELS["yolov5"].decode(o, q), 100)
        kept = timed(lambda f=found: nms(f.xyxy, f.score, f.label), 100)
        print(
            f"8400 anchors, {len(found.score):3} over threshold       decode {decode[0]:6.2f} / {decode[1]:6.2f}",
            end="",
        )
        print(f"  nms {kept[0]:6.2f} / {kept[1]:6.2f}")
        figures[f"anchors_8400_{len(found.score)}"] = {"decode_ms": decode[0], "nms_ms": kept[0]}
    if options.json:
        write_json(options.json, figures)


if __name__ == "__main__":
    main()
