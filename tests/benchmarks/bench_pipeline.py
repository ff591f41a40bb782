"""Speed of the overlapped runner against the detector alone, and memory of a long run.

    python tests/benchmarks/bench_pipeline.py overlap CLIP [--frames 100] [--threads 1]
    python tests/benchmarks/bench_pipeline.py memory CLIP [--frames 20000]

Prints flat JSON. ``overlap`` alternates the two and takes the best of three, because other programs disturb single
runs; it also gives processor seconds, which they disturb less. ``memory`` repeats the clip and tells by how many
megabytes the process grew after the first quarter.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import app.runner as runner
from app.camera_choice import camera_for
from app.config import Settings
from app.pipeline import build_pipeline, open_detector
from app.stage_bench import cpu_name
from app.video import frames, probe
from perception.types import Frame


def settings_for(clip: str, threads: int) -> Settings:
    profile = camera_for(clip).profile
    return Settings().changed(camera={"profile": profile}, detector={"threads": threads})


def overlap(clip: str, count: int, threads: int) -> dict[str, float | str]:
    """Frames a second and processor milliseconds a frame of the detector alone and of the whole run, video included."""
    settings = settings_for(clip, threads)
    info = probe(clip)
    end_s = min(info.duration_s or 1e9, float(count / info.rate))
    settings = settings.changed(clip={"end_s": end_s})
    detector = open_detector(settings)
    pictures = [frame.bgr for frame in itertools.islice(frames(clip), 10)]
    best: dict[str, float] = {}
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        for number in range(count):
            detector.detect(pictures[number % len(pictures)])
        _keep(best, "detector", count, wall, cpu)
        with tempfile.TemporaryDirectory() as folder:
            wall, cpu = time.perf_counter(), time.process_time()
            summary = runner.run_clip(clip, folder, settings, job=runner.Job(detector=detector))
            _keep(best, "run", summary.frames, wall, cpu)
    return {"cpu": cpu_name(), "threads": threads, **best, "ratio": best["run_fps"] / best["detector_fps"]}


def _keep(best: dict[str, float], name: str, count: int, wall: float, cpu: float) -> None:
    fps = count / (time.perf_counter() - wall)
    cpu_ms = (time.process_time() - cpu) / count * 1e3
    best[f"{name}_fps"] = max(best.get(f"{name}_fps", 0.0), fps)
    best[f"{name}_cpu_ms"] = min(best.get(f"{name}_cpu_ms", 1e9), cpu_ms)


def memory(clip: str, count: int) -> dict[str, float]:
    """Resident megabytes after a quarter of the frames and at the end, of one pipeline with drawing and encoding."""
    size: dict[int, float] = {}
    settings = settings_for(clip, 1)
    info = probe(clip)
    pictures = list(itertools.islice(frames(clip), 50))

    def endless(*args: object, **kwargs: object) -> Iterator[Frame]:
        for number in range(count):
            frame = pictures[number % len(pictures)]
            yield replace(frame, index=number, t_s=float(number / info.rate))
            if number in (count // 4, count - 1):
                size[number] = resident_mb()

    runner.frames = endless  # the runner's own source of frames, replaced by one without an end
    pipeline = build_pipeline(settings, info.size_px)
    with tempfile.TemporaryDirectory() as folder:
        runner._Run(info, Path(folder), settings, pipeline, runner.Job()).go()
    first, last = size[count // 4], size[count - 1]
    return {"frames": count, "quarter_mb": first, "end_mb": last, "growth_mb": round(last - first, 2)}


def resident_mb() -> float:
    """Resident set of this process (Linux)."""
    line = next(text for text in Path("/proc/self/status").read_text().splitlines() if text.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 2)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("overlap", "memory"))
    parser.add_argument("clip")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    figures = (
        overlap(given.clip, given.frames, given.threads)
        if given.what == "overlap"
        else memory(given.clip, given.frames)
    )
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
