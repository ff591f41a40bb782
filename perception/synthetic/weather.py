"""What air, lens and sensor do to a picture: glare of lamps, rain, vignetting, noise."""

from __future__ import annotations

import math

import cv2
import numpy as np

from perception.synthetic.bodies import Glow
from perception.synthetic.view import View
from perception.synthetic.world import Scene

_HALO = 65


def _halo() -> np.ndarray:
    axis = np.linspace(-1, 1, _HALO, dtype=np.float32)
    r2 = axis[:, None] ** 2 + axis[None] ** 2
    return np.clip(np.exp(-r2 * 60) + 0.28 * np.exp(-r2 * 9) - 0.0005, 0, None) * (r2 < 1)


class Weather:
    """Finishes pictures of a scene; made once, random by seed and frame."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        camera = scene.camera
        self.halo = _halo()
        rng = np.random.default_rng([scene.seed, 5])
        noise = rng.standard_normal((camera.height_px + 128, camera.width_px + 128, 3), dtype=np.float32)
        # A sensor's noise comes out of the lens's and the encoder's smoothing a little correlated.
        self.noise = cv2.GaussianBlur(noise, (0, 0), 0.55) * np.float32(1.9)
        x = np.linspace(-1, 1, camera.width_px, dtype=np.float32)[None]
        y = np.linspace(-1, 1, camera.height_px, dtype=np.float32)[:, None]
        self.vignette = (1 - 0.14 * (x * x + y * y) ** 1.3 * 0.5)[..., None]
        self.soft_px = 0.00055 * camera.width_px

    def glare(self, canvas: np.ndarray, view: View, sources: list[Glow]) -> None:
        """Adds halos around lamps and, on wet roads, their streaks, in place."""
        night, rain = self.scene.options.night, self.scene.options.rain
        for source in sources:
            point = view.in_camera(source.point)
            if not (view.sides(point[None]) >= 0).all():
                continue
            px, reach = view.px(point), float(np.linalg.norm(point))
            size = view.camera.fy_px * (1.1 if night else 0.3) * math.sqrt(source.power) / max(reach, 3.0)
            size = min(max(size, (3.5 + 4.0 * source.power) * canvas.shape[1] / 960), 0.12 * canvas.shape[1])
            power = min(1.0, source.power) * (1.0 if night else 0.45)
            self._add(canvas, px, (size, size), source.colour, power)
            if rain > 0 and night:
                foot = view.in_camera(np.array([source.point[0], source.point[1], -source.point[2]]))
                mirrored = view.px(foot)
                self._add(canvas, mirrored, (size * 0.7, size * 3.2), source.colour, 0.42 * rain * power)

    def _add(
        self, canvas: np.ndarray, px: np.ndarray, size: tuple[float, float], colour: tuple[float, ...], power: float
    ) -> None:
        low = np.floor(px - size).astype(int)
        high = np.ceil(px + size).astype(int) + 1
        x0, y0, x1, y1 = max(low[0], 0), max(low[1], 0), min(high[0], canvas.shape[1]), min(high[1], canvas.shape[0])
        if x0 >= x1 or y0 >= y1:
            return
        half = (_HALO - 1) / 2
        matrix = np.array([[size[0] / half, 0, px[0] - x0 - size[0]], [0, size[1] / half, px[1] - y0 - size[1]]])
        halo = cv2.warpAffine(self.halo, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
        part = canvas[y0:y1, x0:x1]
        core = halo[..., None] * np.array(colour, np.float32) * np.float32(power)
        part[:] = np.minimum(part + core, 255).astype(np.uint8)

    def finish(self, canvas: np.ndarray, index: int) -> np.ndarray:
        """Rain in the air, lens, sensor: the picture (H, W, 3) uint8 as it is read out."""
        o = self.scene.options
        rng = np.random.default_rng([self.scene.seed, 6, index])
        if o.rain > 0:
            self._rain(canvas, rng, o.rain)
        canvas = cv2.GaussianBlur(canvas, (0, 0), max(self.soft_px, 0.35))
        out = canvas * self.vignette
        if o.noise > 0:
            dy, dx = rng.integers(0, 128, 2)
            grain = self.noise[dy : dy + canvas.shape[0], dx : dx + canvas.shape[1]]
            out += grain * np.float32(o.noise * (1.9 if o.night else 1.0))
        return cv2.convertScaleAbs(np.maximum(out, 0))

    def _rain(self, canvas: np.ndarray, rng: np.random.Generator, strength: float) -> None:
        """Streaks of falling drops, faint, longer the nearer."""
        height, width = canvas.shape[:2]
        layer = np.zeros((height, width), np.uint8)
        count = int(260 * strength * (width * height / 230400) ** 0.5)
        x, y = rng.uniform(0, width, count), rng.uniform(-0.05 * height, height, count)
        length = height * rng.uniform(0.015, 0.075, count)
        slant = (x / width - 0.5) * 0.5 + 0.08
        tone = 26 if self.scene.options.night else 52
        for a, b, n, k in zip(x, y, length, slant, strict=True):
            start, stop = (int(a * 16), int(b * 16)), (int((a + k * n) * 16), int((b + n) * 16))
            cv2.line(layer, start, stop, int(rng.uniform(0.4, 1.0) * tone), 1, cv2.LINE_AA, 4)
        layer = cv2.GaussianBlur(layer, (0, 0), 0.6)
        cv2.add(canvas, cv2.cvtColor(layer, cv2.COLOR_GRAY2BGR), dst=canvas)
