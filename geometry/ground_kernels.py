"""Compiled loops of ``geometry.ground``: box edges as slopes of rays for lenses without distortion, and ranges.

Compiled, or read from the cache on disk, when the module is imported; nobody imports it at its own import. Nothing is
checked here: arrays are C-contiguous float64.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from geometry.compiled import compiled

_LOST = 1e3  # log-sigma of a cue that says nothing: far beyond any real one, yet its square is an ordinary number
_NEAREST_M, _FARTHEST_M = 0.3, 250.0
_LEAST_SLOPE = 1e-4
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


@compiled("void(f8[:,::1], f8, b1[:,::1])")
def hidden_edges(box, share, hidden):  # type: ignore[no-untyped-def]
    """Edges that lie behind nearer boxes for at least a share of their length; nearer is what stands lower.

    Args:
        box: (N, 4) pixels.
        share: of the edge.
        hidden: (N, 4) output, left, top, right, bottom.
    """
    for i in range(len(box)):
        for edge in range(4):
            hidden[i, edge] = False
        for j in range(len(box)):
            if not box[j, 3] > box[i, 3]:
                continue
            across = min(box[i, 2], box[j, 2]) - max(box[i, 0], box[j, 0])
            along = min(box[i, 3], box[j, 3]) - max(box[i, 1], box[j, 1])
            if across <= 0.0 or along <= 0.0:
                continue
            if across >= share * (box[i, 2] - box[i, 0]):
                hidden[i, 3] = True
            if along >= share * (box[i, 3] - box[i, 1]):
                hidden[i, 0] = hidden[i, 0] or box[j, 0] < box[i, 0] < box[j, 2]
                hidden[i, 2] = hidden[i, 2] or box[j, 0] < box[i, 2] < box[j, 2]


@numba.njit
def _by_width(left, right, sigma, near, size, spread):  # type: ignore[no-untyped-def]
    """x and its log-sigma from the angle between the sides of a body that points along the road; inf for a turned one.

    Off the axis a part of the flank is seen too: the inner side of the box belongs to the far corner.
    """
    width, length = size
    outer = left if abs(left) > abs(right) else right
    sign = 1.0 if outer > 0.0 else (-1.0 if outer < 0.0 else 0.0)
    inner_near = outer - sign * width / near
    inner = inner_near * near / (near + length) if inner_near * outer > 0.0 else inner_near
    expected, seen = max(abs(outer - inner), _LEAST_SLOPE), max(left - right, _LEAST_SLOPE)
    flank = abs(inner - inner_near) / expected
    noise2 = (sigma[0] ** 2 + sigma[2] ** 2) / (expected * expected)
    deviation = math.sqrt(spread[1] ** 2 + (0.5 * flank) ** 2 + (flank * spread[2]) ** 2 + noise2)
    turned = math.log(seen / expected) > 1.5 * math.hypot(deviation, spread[0])
    return near * expected / seen, math.inf if turned else deviation


@compiled(
    "void(f8[:,::1], f8[:,::1], b1[:,::1], f8[:,::1], f8[:,::1], b1[::1], UniTuple(f8, 4), f8[:,::1], f8[:,:,::1])"
)
def cue_ranges(slope, sigma, seen, log_size, spread, grounded, doubts, x_m, log_cov):  # type: ignore[no-untyped-def]
    """Range of each box by the road under it, its height and its width, and the covariance of their logarithms.

    Args:
        slope, sigma, seen: (N, 4) edges left, top, right, bottom, as ``geometry.ground.BoxSlopes``.
        log_size, spread: (N, 3) logarithms of height, width and length (m), and their deviations.
        grounded: (N,) stands on the road.
        doubts: height of the camera (m), deviation of the pitch (rad), relative one of that height, of the road (m).
        x_m: (N, 3), NaN where a cue is lost; log_cov: (N, 3, 3): outputs.
    """
    camera_m, pitch_sigma, height_rel, road_m = doubts
    road = height_rel * height_rel + (road_m / camera_m) ** 2
    for i in range(len(slope)):
        left, top, right, bottom = slope[i]
        height, width, length = math.exp(log_size[i, 0]), math.exp(log_size[i, 1]), math.exp(log_size[i, 2])
        x_ground = camera_m / max(-bottom, _LEAST_SLOPE)
        # Of a roof below the camera the far rim is seen, not the near one.
        angle = max(top - bottom, _LEAST_SLOPE)
        x_height = height / angle
        far_rim = max(camera_m - height, 0.0) * (1.0 / x_height - 1.0 / (x_height + length))
        x_height = height / max(angle - far_rim, _LEAST_SLOPE)
        stands = seen[i, 3] and grounded[i]
        near = x_height if stands else x_ground
        if not seen[i, 3] and seen[i, 0] and seen[i, 2]:  # the foot is hidden or cut off: what the sides say
            near = width / max(left - right, _LEAST_SLOPE)
        near = min(max(near, _NEAREST_M), _FARTHEST_M)
        x_width, width_sigma = _by_width(
            left, right, sigma[i], near, (width, length), (spread[i, 0], spread[i, 1], spread[i, 2])
        )
        x_m[i, 0], x_m[i, 1], x_m[i, 2] = x_ground, x_height, x_width
        usable = (
            stands and -bottom > _LEAST_SLOPE,
            seen[i, 1] and seen[i, 3] and top - bottom > _LEAST_SLOPE,
            seen[i, 0] and seen[i, 2] and left - right > _LEAST_SLOPE and math.isfinite(width_sigma),
        )
        by_bottom, by_top = (near / camera_m, near / height, 0.0), (0.0, -near / height, 0.0)
        own = ((near / camera_m) ** 2 * pitch_sigma * pitch_sigma + road, spread[i, 0] ** 2, width_sigma * width_sigma)
        for a in range(3):
            for b in range(3):
                log_cov[i, a, b] = (
                    by_bottom[a] * by_bottom[b] * sigma[i, 3] ** 2 + by_top[a] * by_top[b] * sigma[i, 1] ** 2
                )
            log_cov[i, a, a] += own[a]
        for a in range(3):
            if usable[a] and math.isfinite(x_m[i, a]) and x_m[i, a] < 2.0 * _FARTHEST_M:
                continue
            x_m[i, a] = np.nan
            for b in range(3):
                log_cov[i, a, b] = log_cov[i, b, a] = 0.0
            log_cov[i, a, a] = _LOST * _LOST


@compiled("void(f8[:,::1], f8[:,:,::1], f8[::1], f8[::1])")
def fused(x_m, log_cov, mean, sigma):  # type: ignore[no-untyped-def]
    """Generalised least squares over the cues, widened where they contradict each other.

    Args:
        x_m, log_cov: (N, 3), (N, 3, 3) as ``cue_ranges`` gives them.
        mean: (N,) logarithm of the range, NaN without a cue; sigma: (N,) its deviation: outputs.
    """
    inverse, log_x = np.empty((3, 3)), np.empty(3)
    for i in range(len(x_m)):
        S = log_cov[i]
        for a in range(3):  # by cofactors
            log_x[a] = math.log(x_m[i, a]) if math.isfinite(x_m[i, a]) else 0.0
            for b in range(3):
                p, q, r, s = (a + 1) % 3, (a + 2) % 3, (b + 1) % 3, (b + 2) % 3
                inverse[b, a] = S[p, r] * S[q, s] - S[p, s] * S[q, r]
        determinant = S[0, 0] * inverse[0, 0] + S[0, 1] * inverse[1, 0] + S[0, 2] * inverse[2, 0]
        total, middle, have = 0.0, 0.0, 0
        for a in range(3):
            have += math.isfinite(x_m[i, a])
            for b in range(3):
                inverse[a, b] /= determinant
                total += inverse[a, b]
                middle += inverse[a, b] * log_x[b]
        middle /= total
        chi2 = 0.0
        for a in range(3):
            for b in range(3):
                if math.isfinite(x_m[i, a]) and math.isfinite(x_m[i, b]):
                    chi2 += (log_x[a] - middle) * inverse[a, b] * (log_x[b] - middle)
        scale = math.sqrt(max(chi2 / max(have - 1, 1), 1.0))
        mean[i] = middle if have else np.nan
        sigma[i] = scale / math.sqrt(total) if have else math.inf
