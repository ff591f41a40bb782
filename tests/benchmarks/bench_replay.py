"""Speed of replays from a record beside the detector alone, on one core, without video.

    python tests/benchmarks/bench_replay.py CLIP [--frames 150] [--rounds 3]

The clip is run once; then three ways are taken in turn, and the best round of each counts, because other programs
disturb single rounds: the detector alone (one thread), the replay of the record without pictures (lanes, own motion and
mount of the record), and the replay that looks at the pictures again (``run --detections`` after a change). Each is
given in frames a second of wall time and of processor time; the processor time is disturbed less. Prints flat JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from app.camera_choice import camera_for
from app.config import Settings
from app.pipeline import build_pipeline, open_detector
from app.record import stream
from app.record_json import frame_line
from app.replay import replay
from app.runner import Job, run_clip
from app.stage_bench import cpu_name
from app.video import BufferPool, frames, probe


def measure(clip: str, count: int, rounds: int) -> dict[str, float | str]:
    """The figures of a clip."""
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    info = probe(clip)
    settings = Settings().changed(
        clip={"end_s": float((count - 0.5) / info.rate)},
        camera={"profile": camera_for(clip).profile},
        detector={"threads": 1},
        video={"write": False},
    )
    detector = open_detector(settings)
    pictures = [frame.bgr for frame in itertools.islice(frames(clip), 8)]
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        run_clip(clip, folder, settings, job=Job(detector=detector))

        def blind() -> None:
            for result in replay(stream(folder)):
                frame_line(result)

        def seeing() -> None:
            pipeline = build_pipeline(settings, info.size_px, load=False)
            known = iter(stream(folder).results)
            for frame in frames(info, end_s=settings.clip.end_s, threads=1, buffers=BufferPool()):
                frame_line(pipeline.step(frame, next(known).detections))

        def detect() -> None:
            for number in range(count):
                detector.detect(pictures[number % len(pictures)])

        for _ in range(rounds):
            for name, work in (("detector", detect), ("replay", blind), ("replay_with_pictures", seeing)):
                _keep(best, name, count, work)
    return {
        "cpu": cpu_name(),
        "width_px": info.width_px,
        "height_px": info.height_px,
        "frames": count,
        **best,
        "replay_to_detector_cpu": best["replay_cpu_fps"] / best["detector_cpu_fps"],
        "replay_with_pictures_to_detector_cpu": best["replay_with_pictures_cpu_fps"] / best["detector_cpu_fps"],
    }


def _keep(best: dict[str, float], name: str, count: int, work: Callable[[], None]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    for kind, spent_s in (("fps", time.perf_counter() - wall), ("cpu_fps", time.process_time() - cpu)):
        best[f"{name}_{kind}"] = max(best.get(f"{name}_{kind}", 0.0), round(count / spent_s, 1))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=lambda text: str(Path(text)))
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(json.dumps(measure(given.clip, given.frames, given.rounds), indent=1))


if __name__ == "__main__":
    main()
