"""Time of the lane slices on one core at 1280x720: ``python tests/benchmarks/bench_lanes.py [CLIP]``.

Prints the least and the median milliseconds of processor time of each stage and of a whole step while following (the
time others take on a busy machine is not counted). Without a clip it follows a rendered highway.
"""

from __future__ import annotations

import platform
import sys
import time
from collections import defaultdict
from collections.abc import Iterator

import cv2
import numpy as np

from geometry.camera import Camera
from geometry.profiles import load_profile
from perception.lanes import LaneTracker
from perception.lanes.family import search
from perception.lanes.ridge import find_crossings, marking_evidence
from perception.lanes.slices import SliceGrid
from perception.types import Detections, Frame

FRAMES = 120


def frames(clip: str | None) -> tuple[Camera, Iterator[Frame]]:
    if clip is None:
        from perception.synthetic import make_scene

        camera = load_profile("generic").for_size(1280, 720)
        return camera, (frame for frame, _ in make_scene("highway", camera, duration_s=2, fps=10).frames())
    from app.video import frames as read

    return load_profile("udacity"), read(clip)


def main() -> None:
    cv2.setNumThreads(1)
    camera, source = frames(sys.argv[1] if len(sys.argv) > 1 else None)
    tracker, grid = LaneTracker(), SliceGrid.build(camera)
    assert grid is not None
    boxes = np.empty((0, 4))
    times: dict[str, list[float]] = defaultdict(list)

    def timed(name, function, *arguments):
        start = time.thread_time()
        result = function(*arguments)
        times[name].append(1e3 * (time.thread_time() - start))
        return result

    for index, frame in enumerate(source):
        if index == FRAMES:
            break
        view = timed("warp", grid.warp, frame.bgr)
        evidence = timed("evidence", marking_evidence, view, grid)
        crossings = timed("crossings", find_crossings, evidence, grid, grid.uncovered(boxes))
        timed("search anywhere", search, crossings, None)
        timed("search near", search, crossings, tracker.shape)
        timed("whole step, following", tracker.step, frame, camera, Detections.empty())
    print(f"{platform.processor() or platform.machine()}, {len(times['warp'])} frames of {frame.bgr.shape[1]} px")
    for name, values in times.items():
        print(f"{name:24s} least {min(values):6.2f}  median {np.median(values):6.2f} ms")


if __name__ == "__main__":
    main()
