"""The overlapped runner against the detector alone, clips side by side, and memory of a long run.

    python tests/benchmarks/bench_pipeline.py overlap CLIP [--frames 240] [--threads 1] [--preset ultrafast]
    python tests/benchmarks/bench_pipeline.py jobs CLIP [--clips 8] [--frames 100]
    python tests/benchmarks/bench_pipeline.py memory CLIP [--frames 20000] [--height 96]
    python tests/benchmarks/bench_pipeline.py microbatch [--threads 1]

Prints flat JSON. ``overlap`` alternates the two and takes the best of three, because other programs disturb single
runs; it also gives processor seconds, which they disturb less. ``jobs`` runs copies of the clip with one thread for the
network: one job on one core, one job on all, two jobs on all. ``memory`` repeats the clip and tells by how many
megabytes the process grew after the first quarter. ``microbatch``: milliseconds a picture of the embedded detector.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

import app.runner as runner
from app.batch import BatchPlan, run_batch
from app.batch_plan import collect
from app.camera_choice import camera_for
from app.config import Settings
from app.pipeline import build_pipeline, open_detector
from app.stage_bench import cpu_name
from app.video import BufferPool, frames, probe
from perception.types import Frame


def settings_for(clip: str, threads: int) -> Settings:
    profile = camera_for(clip).profile
    return Settings().changed(camera={"profile": profile}, detector={"threads": threads})


def overlap(clip: str, count: int, threads: int, preset: str) -> dict[str, float | str]:
    """Frames a second and processor milliseconds a frame of the detector alone and of the whole run, video included."""
    settings = settings_for(clip, threads).changed(video={"preset": preset})
    cv2.setNumThreads(threads)
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
    stages = {f"{name.replace(' ', '_')}_ms": round(ms, 2) for name, ms in summary.stage_ms.items()}
    facts = {"cpu": cpu_name(), "cores": len(os.sched_getaffinity(0)), "threads": threads, "preset": preset}
    ratios = {
        "ratio": best["run_fps"] / best["detector_fps"],
        "cpu_ratio": best["run_cpu_ms"] / best["detector_cpu_ms"],
    }
    return facts | best | ratios | stages


def _keep(best: dict[str, float], name: str, count: int, wall: float, cpu: float) -> None:
    fps = count / (time.perf_counter() - wall)
    cpu_ms = (time.process_time() - cpu) / count * 1e3
    best[f"{name}_fps"] = max(best.get(f"{name}_fps", 0.0), fps)
    best[f"{name}_cpu_ms"] = min(best.get(f"{name}_cpu_ms", 1e9), cpu_ms)


def jobs(clip: str, clips: int, count: int) -> dict[str, float | str]:
    """Seconds that copies of a clip take, twice each in turn, the best of them, start of the processes included."""
    info = probe(clip)
    settings = settings_for(clip, 1).changed(clip={"end_s": float(count / info.rate)})
    all_cores = os.sched_getaffinity(0)
    ways = {"one_job_one_core": (1, {min(all_cores)}), "one_job": (1, all_cores), "two_jobs": (2, all_cores)}
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "clips").mkdir()
        for number in range(clips):
            shutil.copy(clip, Path(folder) / "clips" / f"{number}{Path(clip).suffix}")
        found = collect([f"{folder}/clips"])
        for turn in range(2):
            for name, (workers, cores) in ways.items():
                os.sched_setaffinity(0, cores)
                begun_s = time.perf_counter()
                outcomes = run_batch(BatchPlan(found, Path(folder) / f"{name}{turn}", settings, workers=workers))
                took_s = time.perf_counter() - begun_s
                os.sched_setaffinity(0, all_cores)
                assert all(outcome.status == "done" for outcome in outcomes)
                best[name] = min(best.get(name, 1e9), took_s)
    seconds = {f"{name}_s": round(took_s, 2) for name, took_s in best.items()}
    ratios = {f"two_jobs_by_{name}": best["two_jobs"] / best[name] for name in ("one_job_one_core", "one_job")}
    return {"cpu": cpu_name(), "cores": len(all_cores), "clips": clips, "frames": count} | seconds | ratios


def microbatch(threads: int) -> dict[str, float | str]:
    """Milliseconds a picture of 1280x720 of the embedded network, 1, 2 and 4 at a time; best of 20 in turn."""
    from perception.detector import load_detector

    detector = load_detector(device="cpu", threads=threads)
    picture = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    feeds, _ = detector.prepare(picture)
    best: dict[str, float] = {}
    for _ in range(20):
        for size in (1, 2, 4):
            pictures = {name: np.repeat(array, size, axis=0) for name, array in feeds.items()}
            wall, cpu = time.perf_counter(), time.process_time()
            detector.session.run(pictures)
            for name, took_s in (("wall", time.perf_counter() - wall), ("cpu", time.process_time() - cpu)):
                key = f"batch_{size}_{name}_ms"
                best[key] = min(best.get(key, 1e9), took_s / size * 1e3)
    return {"cpu": cpu_name(), "threads": threads} | best


def memory(clip: str, count: int, height_px: int) -> dict[str, float]:
    """Resident megabytes after a quarter of the frames and at the end, of one pipeline with drawing and encoding."""
    size: dict[int, float] = {}
    settings = settings_for(clip, 1)
    info = probe(clip)
    info = replace(info, width_px=round(info.width_px * height_px / info.height_px / 2) * 2, height_px=height_px)
    buffers = BufferPool()
    pictures = [
        replace(frame, bgr=cv2.resize(frame.bgr, info.size_px, interpolation=cv2.INTER_AREA))
        for frame in itertools.islice(frames(clip), 50)
    ]

    def endless(*args: object, **kwargs: object) -> Iterator[Frame]:
        for number in range(count):
            frame = pictures[number % len(pictures)]
            picture = buffers.take(*frame.bgr.shape[:2])  # a copy: frames are drawn on
            np.copyto(picture, frame.bgr)
            frame = Frame(number, float(number / info.rate), picture)
            del picture
            yield frame
            del frame
            if number in (count // 4, count - 1) or number % 1000 == 0:
                size[number] = resident_mb()
                print(number, size[number], flush=True, file=sys.stderr)

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
    parser.add_argument("what", choices=("overlap", "jobs", "memory", "microbatch"))
    parser.add_argument("clip", nargs="?", default="sample_videos/highway_cut_in.mp4")
    parser.add_argument("--frames", type=int, help="240 of overlap, 100 of jobs, 20000 of memory")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--height", type=int, default=96, help="of the pictures of memory")
    parser.add_argument("--preset", default="ultrafast", help="of x264")
    given = parser.parse_args()
    figures: dict[str, float | str]
    if given.what == "overlap":
        figures = overlap(given.clip, given.frames or 240, given.threads, given.preset)
    elif given.what == "jobs":
        figures = jobs(given.clip, given.clips, given.frames or 100)
    elif given.what == "memory":
        figures = dict(memory(given.clip, given.frames or 20_000, given.height))
    else:
        figures = microbatch(given.threads)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
