"""Compiled loops of drawing: where the outlines of objects lie, on the road and in space.

Signatures are given, so everything is compiled, or read from the cache on disk, when the module is imported. Nothing is
checked here: arrays are C-contiguous; bodies are those of ``tracking.bodies``.
"""

from __future__ import annotations

import math

from geometry.compiled import compiled

_LEAST_AHEAD = 1e-3  # of a unit ray: what points less ahead meets no road in front
_LEAST_VARIANCE = 1e-12


@compiled("UniTuple(f8, 2)(f8[:, ::1], i8, i8)")
def corner(bodies, i, k):  # type: ignore[no-untyped-def]
    """The k-th corner of the i-th body's footprint: front left, front right, rear right, rear left."""
    cosine, sine = math.cos(bodies[i, 6]), math.sin(bodies[i, 6])
    along = 0.5 * bodies[i, 2] if k < 2 else -0.5 * bodies[i, 2]
    across = 0.5 * bodies[i, 1] if k == 0 or k == 3 else -0.5 * bodies[i, 1]
    return bodies[i, 3] + along * cosine - across * sine, bodies[i, 4] + along * sine + across * cosine


@compiled("void(f8[:, ::1], f8[::1], f8[::1], f8, f8[:, :, ::1])")
def along_road(coeff, far_m, shares, near_m, points):  # type: ignore[no-untyped-def]
    """Fills points (B, K, 3) of the road along curves y = c0 + c1 x + c2 x^2 + c3 x^3 (B, 4).

    x = near_m (far_m / near_m) ** share at the shares (K,) of the way, which picture rows are more even in.
    """
    for i in range(len(coeff)):
        growth = math.log(far_m[i] / near_m)
        for k in range(len(shares)):
            x = near_m * math.exp(growth * shares[k])
            points[i, k, 0] = x
            points[i, k, 1] = coeff[i, 0] + x * (coeff[i, 1] + x * (coeff[i, 2] + x * coeff[i, 3]))
            points[i, k, 2] = 0.0


@compiled("void(f8[:, :, ::1], b1[:, ::1], f8, f8, b1[::1])")
def worth_drawing(px, projected, far_px, least_px, shown):  # type: ignore[no-untyped-def]
    """Tells (N,) which outlines of points (N, K, 2) are all projected (N, K), nowhere farther out than ``far_px`` and
    at least ``least_px`` high; those ``shown`` before only."""
    for i in range(len(px)):
        top, bottom, out = math.inf, -math.inf, 0.0
        for k in range(px.shape[1]):
            out = max(out, abs(px[i, k, 0]), abs(px[i, k, 1])) if projected[i, k] else math.inf
            if not out < far_px:
                break
            top, bottom = min(top, px[i, k, 1]), max(bottom, px[i, k, 1])
        shown[i] = shown[i] and out < far_px and bottom - top >= least_px


@compiled("void(f8[:, ::1], f8[::1], f8[:, ::1], f8[:, ::1], f8, f8[:, :, ::1])")
def standing_corners(bodies, distance_m, bottom, turn, height_m, corners):  # type: ignore[no-untyped-def]
    """Corners of bodies that stand where the lower edges of their boxes are seen, in the order of ``geometry.box3d``.

    Args:
        bodies: (N, 7); ``distance_m``: (N,) vehicle x at which the lower edges of their boxes are.
        bottom: (N, 2) normalised camera coordinates of the middles of those edges, NaN where the lens has none: such
            bodies stand on the road plane.
        turn: (3, 3) vehicle_from_camera rotation.
        corners: (N, 8, 3), filled.
    """
    for i in range(len(bodies)):
        u, v, z = bottom[i, 0], bottom[i, 1], 0.0
        ahead = turn[0, 0] * u + turn[0, 1] * v + turn[0, 2]
        if ahead > _LEAST_AHEAD * math.sqrt(u * u + v * v + 1.0):
            z = height_m + (turn[2, 0] * u + turn[2, 1] * v + turn[2, 2]) / ahead * distance_m[i]
        for k in range(4):
            x, y = corner(bodies, i, k)
            for top in range(2):
                corners[i, k + 4 * top, 0], corners[i, k + 4 * top, 1] = x, y
                corners[i, k + 4 * top, 2] = z + bodies[i, 0] * top


@compiled("void(f8[:, ::1], f8[:, ::1], f8[:, :, ::1], f8[::1], f8[:, ::1], f8[:, :, ::1])")
def road_outlines(bodies, xy_m, cov, drawn_m, circle, outlines):  # type: ignore[no-untyped-def]
    """Where objects may be and where they stand, on the road.

    Args:
        bodies: (N, 7); positions (N, 2); covariances (N, 4, 4).
        drawn_m: the shortest and the longest sigma drawn.
        circle: (K, 2) unit circle.
        outlines: (N, K + 4, 2), filled: K points of the ellipse at two sigma, mere points where that is not drawn; four
            corners of the body.
    """
    count = len(circle)
    for i in range(len(bodies)):
        xx, across, yy = cov[i, 0, 0], cov[i, 0, 1], cov[i, 1, 1]
        longest = math.sqrt((xx + yy) / 2 + math.hypot((xx - yy) / 2, across))
        drawn = drawn_m[0] < longest < drawn_m[1]  # not where it is not a number
        # the lower triangle of Cholesky takes the unit circle to one sigma
        a = math.sqrt(max(xx, _LEAST_VARIANCE)) if drawn else 0.0
        b = across / a if drawn else 0.0
        c = math.sqrt(max(yy - b * b, 0.0)) if drawn else 0.0
        for k in range(count):
            outlines[i, k, 0] = xy_m[i, 0] + 2.0 * a * circle[k, 0]
            outlines[i, k, 1] = xy_m[i, 1] + 2.0 * (b * circle[k, 0] + c * circle[k, 1])
        for k in range(4):
            x, y = corner(bodies, i, k)
            outlines[i, count + k, 0], outlines[i, count + k, 1] = x, y
