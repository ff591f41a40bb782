"""Times of the geometry that runs every frame: best of several, one thread."""

import time
from collections.abc import Callable

import cv2
import numpy as np

from geometry.birdseye import BirdsEyeView
from geometry.boxes import iou, rotated_iou
from geometry.flow import camera_motion
from geometry.online_calibration import LaneCue, OnlineCalibration
from geometry.profiles import load_profile


def best_ms(work: Callable[[], object], rounds: int = 15, inner: int = 5) -> float:
    """Least milliseconds of one call."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(inner):
            work()
        times.append((time.perf_counter() - start) / inner)
    return 1e3 * min(times)


def pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of road points before and after one metre."""
    camera, rng = load_profile("udacity"), np.random.default_rng(0)
    points = np.c_[rng.uniform(6, 40, 9 * count), rng.uniform(-8, 8, 9 * count), rng.uniform(0, 2, 9 * count)]
    before, _ = camera.project(points)
    now, _ = camera.project(points - [1.0, 0.0, 0.0])
    rows = np.flatnonzero(camera.in_image(before) & camera.in_image(now))[:count]
    return before[rows], now[rows] + rng.normal(0, 0.25, (len(rows), 2))


def main() -> None:
    """Prints one line a function."""
    cv2.setNumThreads(1)
    camera = load_profile("udacity")
    before, now = pairs(240)
    motion = camera_motion(camera, before, now)
    calibration, clock = OnlineCalibration(camera), iter(range(10**9))
    cue = LaneCue(0.001, 0.0005)
    view = BirdsEyeView(camera)
    picture = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
    view.warp(picture)
    boxes = np.random.default_rng(1).uniform(0, 100, (100, 4))
    grid = np.random.default_rng(2).uniform(0, 1000, (1000, 2))
    works: dict[str, Callable[[], object]] = {
        "camera motion, 240 points": lambda: camera_motion(camera, before, now),
        "online calibration, one step": lambda: calibration.step(next(clock) / 25, flow=motion, lanes=cue),
        "bird's-eye view 400x500, warp": lambda: view.warp(picture),
        "bird's-eye view 400x500, new maps and warp": lambda: BirdsEyeView(camera).warp(picture),
        "IoU of 100 x 100 boxes": lambda: iou(boxes, boxes),
        "rotated IoU of 100 x 100 boxes": lambda: rotated_iou(np.c_[boxes, boxes[:, 0]], np.c_[boxes, boxes[:, 1]]),
        "1000 pixels to the road, lens distortion": lambda: camera.ground_from_px(grid),
    }
    for name, work in works.items():
        print(f"{name:45} {best_ms(work):8.3f} ms")


if __name__ == "__main__":
    main()
