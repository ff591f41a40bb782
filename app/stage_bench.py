"""Times of the stages, measured one after the other so that none waits for another."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.camera_choice import camera_for
from app.config import Settings
from app.draw import Painter
from app.mount import camera_at
from app.pipeline import Pipeline, Stopwatch, build_pipeline
from app.record_json import frame_line
from app.types import FrameResult
from app.video import BufferPool, VideoWriter, frames, probe
from geometry.camera import Camera
from geometry.profiles import load_profile
from perception.types import CLASS_ID, Detections, Frame

WARM_UP_FRAMES = 15  # tracks are confirmed, lanes found, buffers made
NOT_OWN_WORK = ("decode", "detect", "encode")


@dataclass(frozen=True)
class BenchPlan:
    """What to time: a clip, or a synthetic road where ``clip`` is None."""

    clip: str | None = None
    frames: int = 100
    objects: int = 15
    size_px: tuple[int, int] = (1280, 720)
    camera: str | None = None
    detector: str | None = None
    threads: int = 1


def measure(plan: BenchPlan) -> dict[str, Any]:
    """Median and 95th percentile of each stage in milliseconds, flat: ``<stage>_ms``, ``<stage>_p95_ms``.

    Further keys: stages (names in order), own_work_ms (median over frames of all but decode, detect and encode), cpu,
    frames, width_px, height_px, tracks, detector, threads.
    """
    cv2_threads = cv2.getNumThreads()
    cv2.setNumThreads(plan.threads)
    try:
        return _measure(plan)
    finally:
        cv2.setNumThreads(cv2_threads)


def _measure(plan: BenchPlan) -> dict[str, Any]:
    settings = Settings().changed(detector={"file": plan.detector, "threads": plan.threads})
    if plan.clip is None:
        camera = load_profile(plan.camera or "generic").for_size(*plan.size_px)
        source: Iterator[tuple[Frame, Detections | None]] = _synthetic(camera, plan)
        settings = settings.changed(camera={"profile": plan.camera or "generic"})
    else:
        info = probe(plan.clip)
        settings = settings.changed(camera={"profile": camera_for(plan.clip, plan.camera).profile})
        source = ((frame, None) for frame in frames(info, threads=plan.threads, buffers=BufferPool()))
        plan = replace(plan, size_px=info.size_px)
    pipeline = build_pipeline(settings, plan.size_px)
    times: dict[str, list[float]] = defaultdict(list)
    counts = []
    for number, result in enumerate(_timed(source, pipeline, plan)):
        if number >= WARM_UP_FRAMES + plan.frames:
            break
        if number >= WARM_UP_FRAMES:
            counts.append(len(result.tracks))
            for stage, ms in result.stage_ms.items():
                times[stage].append(ms)
    return _figures(times, counts, pipeline, plan)


def _figures(times: dict[str, list[float]], counts: list[int], pipeline: Pipeline, plan: BenchPlan) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "stages": list(times),
        "cpu": cpu_name(),
        "frames": len(counts),
        "width_px": plan.size_px[0],
        "height_px": plan.size_px[1],
        "tracks": statistics.fmean(counts) if counts else 0.0,
        "detector": pipeline.detector_description["name"],
        "threads": plan.threads,
    }
    for stage, all_ms in times.items():
        figures[f"{stage}_ms"] = round(statistics.median(all_ms), 4)
        figures[f"{stage}_p95_ms"] = round(float(np.percentile(all_ms, 95)), 4)
    own = [ms for stage, ms in times.items() if stage not in NOT_OWN_WORK]
    figures["own_work_ms"] = round(statistics.median(np.sum(own, axis=0)), 4) if counts else 0.0
    return figures


def _timed(
    source: Iterator[tuple[Frame, Detections | None]], pipeline: Pipeline, plan: BenchPlan
) -> Iterator[FrameResult]:
    """Results with the times of all stages, drawing, encoding and records included."""
    camera = pipeline.camera
    painter = Painter(*plan.size_px)
    with tempfile.TemporaryDirectory() as folder:
        writer = VideoWriter(Path(folder) / "bench.mp4", painter.size_px, Fraction(25), threads=plan.threads)
        with writer:
            watch = Stopwatch()
            for frame, known in source:
                watch.lap("decode" if known is None else "render")
                ms = {} if known is not None else watch.ms
                watch = Stopwatch(ms)
                found = pipeline.detect(frame)
                watch.lap("detect")
                result = pipeline.step(frame, known if known is not None else found, stage_ms=watch.ms)
                watch = Stopwatch(result.stage_ms)
                picture = painter.draw_on(frame, result, camera_at(camera, result.pose))
                watch.lap("draw")
                writer.write(picture, frame.t_s)
                watch.lap("encode")
                frame_line(result)
                watch.lap("record")
                yield replace(result, stage_ms=watch.ms)
                watch = Stopwatch()


def _synthetic(camera: Camera, plan: BenchPlan) -> Iterator[tuple[Frame, Detections | None]]:
    """A straight marked road with textured verges, and boxes of cars at steady speeds: the same work every frame."""
    rng = np.random.default_rng(0)
    total = WARM_UP_FRAMES + plan.frames
    lane = rng.integers(-1, 2, plan.objects) * 3.5
    x_m = np.linspace(8.0, 70.0, plan.objects)
    closing_mps = rng.uniform(-1.0, 1.0, plan.objects)
    noise = rng.integers(0, 24, (camera.height_px, camera.width_px, 3), dtype=np.uint8)
    for index in range(total):
        t_s = index / 25
        picture = np.roll(noise, index * 3, axis=0) + np.uint8(70)
        _paint(picture, camera, 20.0 * t_s)
        boxes = _car_boxes(camera, x_m + closing_mps * t_s, lane)
        for left, top, right, bottom in boxes.astype(int):
            cv2.rectangle(picture, (left, top), (right, bottom), (40, 40, 60), -1)
        found = Detections(boxes, np.full(plan.objects, 0.8), np.full(plan.objects, CLASS_ID["car"]))
        yield Frame(index, t_s, picture), found


def _paint(picture: np.ndarray, camera: Camera, travelled_m: float) -> None:
    for y_m, dashed in ((5.25, False), (1.75, True), (-1.75, True), (-5.25, False)):
        starts = np.arange(4.0, 80.0, 12.0) - travelled_m % 12.0 if dashed else np.array([4.0])
        for start_m in np.maximum(starts, 3.0):
            end_m = start_m + 6.0 if dashed else 80.0
            corners = np.array([(start_m, y_m - 0.07), (start_m, y_m + 0.07), (end_m, y_m + 0.07), (end_m, y_m - 0.07)])
            px, valid = camera.px_from_ground(corners)
            if valid.all():
                cv2.fillConvexPoly(picture, np.round(px * 16).astype(np.int32), (225, 225, 225), cv2.LINE_AA, 4)


def _car_boxes(camera: Camera, x_m: np.ndarray, y_m: np.ndarray) -> np.ndarray:
    """(N, 4) boxes of the rear faces of cars 1.8 m wide and 1.5 m high."""
    low, _ = camera.project(np.stack([x_m, y_m + 0.9, np.zeros_like(x_m)], axis=1))
    high, _ = camera.project(np.stack([x_m, y_m - 0.9, np.full_like(x_m, 1.5)], axis=1))
    boxes = np.concatenate([np.minimum(low, high), np.maximum(low, high)], axis=1)
    return np.clip(boxes, 0, [camera.width_px - 1, camera.height_px - 1] * 2)


def cpu_name() -> str:
    """The processor's name and how many cores this process may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line for line in info.read_text().splitlines() if line.startswith("model name"))
        name = next(lines, f": {name}").partition(":")[2].strip()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name} ({cores} cores)"
