"""Compiled loop of ``geometry.ground``: box edges as slopes of rays, for lenses without distortion.

Compiled, or read from the cache on disk, when the module is imported; nobody imports it at its own import. Nothing is
checked here: arrays are C-contiguous float64.
"""

from __future__ import annotations

import math

import numpy as np

from geometry.compiled import compiled

_AHEAD = 1e-3  # least forward part of a ray's direction


@compiled("void(f8[:,::1], f8[::1], f8[:,::1], f8[::1], f8[:,::1], f8[:,::1], b1[:,::1])")
def edge_slopes(box, lens, turn, noise, slope, sigma, seen):  # type: ignore[no-untyped-def]
    """Slopes of the middle of each edge, half a pixel out and in: their mean, and noise by their difference.

    Args:
        box: (N, 4) pixels.
        lens: fx, fy, cx, cy, width and height of the picture, px.
        turn: (3, 3) vehicle_from_camera rotation.
        noise: edge_px, edge_share and border_px of ``RangeNoise``.
        slope, sigma, seen: (N, 4) outputs, as ``BoxSlopes`` has them.
    """
    for i in range(len(box)):
        finite = True
        for edge in range(4):
            finite = finite and math.isfinite(box[i, edge])
        edge_px = math.hypot(noise[0], noise[1] * (box[i, 3] - box[i, 1])) if finite else noise[0]
        for edge in range(4):
            slope[i, edge], sigma[i, edge], seen[i, edge] = 0.0, edge_px, False
            if not finite:
                continue
            known, first, second = True, 0.0, 0.0
            for half in (-0.5, 0.5):
                u = 0.5 * (box[i, 0] + box[i, 2]) if edge % 2 else box[i, edge] + half
                v = box[i, edge] + half if edge % 2 else 0.5 * (box[i, 1] + box[i, 3])
                x, y = (u - lens[2]) / lens[0], (v - lens[3]) / lens[1]
                ahead = turn[0, 0] * x + turn[0, 1] * y + turn[0, 2]
                row = 2 if edge % 2 else 1
                aside = turn[row, 0] * x + turn[row, 1] * y + turn[row, 2]
                known = known and ahead > _AHEAD * math.sqrt(x * x + y * y + 1.0)
                first, second = second, aside / ahead if ahead != 0.0 else np.nan
            if known:
                slope[i, edge], sigma[i, edge] = 0.5 * (first + second), abs(second - first) * edge_px
                size = lens[4 + edge % 2] - 1.0
                seen[i, edge] = noise[2] < box[i, edge] < size - noise[2]
