"""Compiled loops of ``geometry.flow`` that find the road: how fast its points move away tells its plane, and the way
travelled in heights of the camera.

Signatures are given, so everything is compiled, or read from the cache on disk, when the module is imported. Nothing is
checked here: arrays are C-contiguous float64, points are normalised camera coordinates (N, 2).

A point at depth Z moves away from the focus of expansion by the factor 1 + travel / Z; on a plane that is linear in the
picture: travel / Z = (travel / height) normal . (x, y, 1). Two things spoil that. On a road with few corners more
points may be lost than followed, and lost ones stay behind: so the way is begun with what most points agree on, not
with their median. And what stands on a road or beside it is nearer than the road there, never farther: points of one
side and far away tilt the plane up and shorten the way with it. So the plane is fitted together with the turn and the
focus, each as sure as it is, and is tilted against the camera no more than roads and bodies are.
"""

from __future__ import annotations

import math

import numpy as np

from geometry.compiled import compiled
from geometry.solve_kernels import geman_mcclure, inverse, normal_equations, rotation_of, solve_positive

_INLIER_WEIGHT = 0.25
_AHEAD_M = (3.0, 25.0)
_ASIDE_M = 4.0  # the ego lane and half its neighbours
_LANE_ASIDE_M = 2.0  # the ego lane: beyond may lie kerbs and barriers, whose height would pass for roll
_MIN_POINTS = 8
_MIN_AGREEING = 4.0  # sum of the weights: two or three lost points may agree by chance
_ALIKE = 0.05  # of the way: what points on one road, tilted as roads are, say of it at first
_SCALE = 2.0  # of the deviation expected: there a point has a quarter of its weight
_ROUGH_M = 0.08  # deviation of a point's height from the plane: kerbs, camber, worn lanes
_ROLL_RAD, _PITCH_RAD = math.radians(2.0), math.radians(1.0)  # of the plane against the camera as believed
_CLIMB_RAD = math.radians(0.3)  # of the way travelled against the plane: changes of grade, heaving bodies
_STEPS, _EARLY = 8, 4  # the ego lane leads in the first
_UNKNOWNS = 8  # plane (3), turn (3), focus (2)


@compiled("void(float64[:, ::1], float64[:, ::1], float64[::1], float64[::1], float64[::1], float64[:, ::1])")
def growths(before, now, state, growth, noise, by_state):  # type: ignore[no-untyped-def]
    """By which share points moved away from the focus, and its derivatives by turn and focus.

    Args:
        state: (5,) turn and focus.
        growth, noise, by_state: (N,), (N,) deviation for one of a coordinate of 1, (N, 5); filled.
    """
    turn = np.empty((3, 3))
    rotation_of(state, turn)
    for i in range(len(now)):
        u, v = before[i, 0], before[i, 1]
        depth = turn[2, 0] * u + turn[2, 1] * v + turn[2, 2]
        x = (turn[0, 0] * u + turn[0, 1] * v + turn[0, 2]) / depth
        y = (turn[1, 0] * u + turn[1, 1] * v + turn[1, 2]) / depth
        away_x, away_y, moved_x, moved_y = x - state[3], y - state[4], now[i, 0] - x, now[i, 1] - y
        radius2 = max(away_x * away_x + away_y * away_y, 1e-12)
        growth[i] = (moved_x * away_x + moved_y * away_y) / radius2
        noise[i] = math.sqrt(2.0 / radius2)
        by_x = (moved_x - (1.0 + 2.0 * growth[i]) * away_x) / radius2
        by_y = (moved_y - (1.0 + 2.0 * growth[i]) * away_y) / radius2
        by_state[i, 0] = -by_x * x * y - by_y * (1.0 + y * y)
        by_state[i, 1] = by_x * (1.0 + x * x) + by_y * x * y
        by_state[i, 2] = by_y * x - by_x * y
        by_state[i, 3] = (2.0 * growth[i] * away_x - moved_x) / radius2
        by_state[i, 4] = (2.0 * growth[i] * away_y - moved_y) / radius2


@compiled("float64(float64[::1], float64[::1], float64[::1], boolean[::1])")
def most_agreed(growth, slope, sigma, counts):  # type: ignore[no-untyped-def]
    """The way over the height that the most points agree on, of those that single points say; 0 without any.

    Args:
        growth, sigma: (N,); slope: (N,) of their rays down to the road believed.
        counts: (N,) which take part.
    """
    best, most = 0.0, 0.0
    for k in range(len(growth)):
        way = growth[k] / slope[k]
        if not (counts[k] and way > 0.0):
            continue
        total = 0.0
        for i in range(len(growth)):
            if counts[i]:
                expected = way * slope[i]
                scale2 = _SCALE * _SCALE * sigma[i] * sigma[i] + (_ALIKE * expected) ** 2
                falloff = 1.0 + (growth[i] - expected) ** 2 / scale2
                total += 1.0 / (falloff * falloff)
        if total > most:
            best, most = way, total
    return best


@compiled("void(float64[::1], float64, float64[:, ::1])")
def believe(row, sigma, matrix):  # type: ignore[no-untyped-def]
    """Adds to normal equations (n, n) that a sum with the coefficients ``row`` (n,) is zero but for a deviation."""
    for a in range(len(row)):
        for b in range(len(row)):
            matrix[a, b] += row[a] * row[b] / (sigma * sigma)


@compiled("void(float64[:, ::1], float64, float64[:, ::1])")
def believe_tilt(rotation, way, matrix):  # type: ignore[no-untyped-def]
    """Adds to normal equations (8, 8) how far a plane may be tilted against the camera; ``way``: over the height."""
    row = np.zeros(_UNKNOWNS)
    for axis in range(2):  # forward, then left
        for a in range(3):
            row[a] = rotation[axis, a]
        believe(row, (_PITCH_RAD if axis == 0 else _ROLL_RAD) * way, matrix)


@compiled("float64(float64[:, ::1], float64[::1], float64[::1], boolean[::1], float64, float64[::1], float64[::1])")
def weigh(design, growth, sigma, counts, loose, plane, weight):  # type: ignore[no-untyped-def]
    """Weights of points by how well they agree with a plane, and by how sure they are.

    Args:
        design, growth, sigma, plane: as ``plane_from_growth``; counts: (N,) which take part.
        loose: share of the growth expected by which it may be wrong besides.
        weight: (N,), filled.

    Returns:
        By how much the residuals exceed the noise, at least 1; infinite where too few agree.
    """
    agreeing, squares = 0.0, 0.0
    for i in range(len(growth)):
        left, expected = growth[i], 0.0
        for a in range(_UNKNOWNS):
            left -= design[i, a] * plane[a]
            expected += design[i, a] * plane[a] if a < 3 else 0.0
        close = geman_mcclure(left, math.hypot(_SCALE * sigma[i], loose * expected)) if counts[i] else 0.0
        weight[i] = close / (sigma[i] * sigma[i])
        agreeing += close
        squares += weight[i] * left * left
    return max(1.0, math.sqrt(squares / agreeing)) if agreeing >= _MIN_AGREEING else math.inf


@compiled(
    "float64(float64[:, ::1], float64[::1], float64[::1], boolean[::1], float64[::1], float64[:, ::1],"
    " float64[:, ::1], float64[::1], UniTuple(float64[:, ::1], 2))"
)
def plane_from_growth(  # type: ignore[no-untyped-def]
    design, growth, sigma, first, focus, rotation, certain, plane, information
):
    """The road plane from how fast its points move away, robustly: growth = design . (plane, turn, focus).

    Args:
        design: (N, 8) rays x, y and 1, and minus the derivatives of ``growth`` (N,) by turn and focus.
        sigma: (N,) deviations of ``growth``.
        first: (N,) those that count at first; the others join where they agree with these.
        focus: (2,); rotation: (3, 3) vehicle from camera; certain: (5, 5) information on turn and focus.
        plane: (8,) travel over height times the normal as believed; the solution after, with the corrections of turn
            and focus.
        information: (8, 8) of the solution, and (8, 9) without the belief on the tilt against the camera, beside its
            right side: filled.

    Returns:
        By how much the residuals exceed the noise, at least 1; infinite where too few agree.
    """
    whole, free = information
    weight, vector, row = np.empty(len(growth)), np.empty(_UNKNOWNS), np.zeros(_UNKNOWNS)
    matrix, factors = np.empty((_UNKNOWNS, _UNKNOWNS)), np.empty((_UNKNOWNS, _UNKNOWNS))
    way, counts = math.sqrt(plane[0] ** 2 + plane[1] ** 2 + plane[2] ** 2), first.copy()
    length = math.sqrt(focus[0] ** 2 + focus[1] ** 2 + 1.0)
    for step in range(_STEPS):
        if step == _EARLY:
            counts[:] = True
        weigh(design, growth, sigma, counts, 2.0 * _ALIKE * max(0.0, 1.0 - step / (_EARLY + 1)), plane, weight)
        vector[:] = 0.0
        matrix[:] = 0.0
        normal_equations(design, growth, weight, matrix, vector)
        for a in range(5):
            for b in range(5):
                matrix[3 + a, 3 + b] += certain[a, b]
        for a in range(3):
            row[a] = (focus[a] if a < 2 else 1.0) / length
        row[6], row[7] = plane[0] / length, plane[1] / length  # the focus it is along is corrected, too
        believe(row, _CLIMB_RAD * way, matrix)
        for a in range(_UNKNOWNS):
            free[a, _UNKNOWNS] = vector[a]
            for b in range(_UNKNOWNS):
                free[a, b] = matrix[a, b]
        believe_tilt(rotation, way, matrix)
        for a in range(_UNKNOWNS):
            for b in range(_UNKNOWNS):
                whole[a, b] = factors[a, b] = matrix[a, b]
        solve_positive(factors, vector)
        plane[:] = vector
    return weigh(design, growth, sigma, counts, 0.0, plane, weight)


@compiled(
    "int64(float64[:, ::1], float64[:, ::1], float64[::1], float64[:, ::1], float64, float64[:, :, ::1], float64[::1])"
)
def on_road(before, now, weight, rotation, height_m, points, aside):  # type: ignore[no-untyped-def]
    """Points that agree and should lie on the road of the believed mount; how many they are.

    Args:
        before, now, weight, rotation: as ``road_plane``; ``height_m``: of the camera.
        points: (2, N, 2) before and now; aside: (N,) how far to a side (m); the first of each filled.
    """
    count = 0
    for i in range(len(now)):
        u, v = now[i, 0], now[i, 1]
        down = max(-(rotation[2, 0] * u + rotation[2, 1] * v + rotation[2, 2]), 1e-9)
        x_m = height_m * (rotation[0, 0] * u + rotation[0, 1] * v + rotation[0, 2]) / down
        y_m = height_m * (rotation[1, 0] * u + rotation[1, 1] * v + rotation[1, 2]) / down
        if weight[i] > _INLIER_WEIGHT and _AHEAD_M[0] < x_m < _AHEAD_M[1] and abs(y_m) < _ASIDE_M:
            for a in range(2):
                points[0, count, a], points[1, count, a] = before[i, a], now[i, a]
            aside[count] = abs(y_m)
            count += 1
    return count


@compiled(
    "float64(float64[:, ::1], float64[:, ::1], float64[::1], float64[::1], float64[:, ::1], float64[:, ::1],"
    " UniTuple(float64, 2), float64[::1], UniTuple(float64[:, ::1], 2))"
)
def road_plane(before, now, weight, state, certain, rotation, known, plane, information):  # type: ignore[no-untyped-def]
    """``plane_from_growth`` of those points that agree and should lie on the road of the believed mount.

    Args:
        before, now, weight: points (N, 2) and their weights (N,); ``state``: (5,) turn and focus.
        certain: (5, 5) information on them.
        rotation: (3, 3) vehicle from camera.
        known: height of the camera as believed (m), standard deviation of a coordinate.
        plane, information: filled.

    Returns:
        As ``plane_from_growth``; NaN where too little of the road is seen.
    """
    height_m, noise = known
    points, aside = np.empty((2, len(now), 2)), np.empty(len(now))
    count = on_road(before, now, weight, rotation, height_m, points, aside)
    if count < _MIN_POINTS:
        return math.nan
    growth, sigma, slope = np.empty(count), np.empty(count), np.empty(count)
    by_state, design, first = np.empty((count, 5)), np.empty((count, _UNKNOWNS)), np.empty(count, np.bool_)
    growths(points[0, :count], points[1, :count], state, growth, sigma, by_state)
    lanes = 0
    for i in range(count):
        design[i, 0], design[i, 1], design[i, 2] = points[1, i, 0], points[1, i, 1], 1.0
        for a in range(5):
            design[i, 3 + a] = -by_state[i, a]
        slope[i] = -(rotation[2, 0] * design[i, 0] + rotation[2, 1] * design[i, 1] + rotation[2, 2])
        sigma[i] *= noise
        first[i] = aside[i] < _LANE_ASIDE_M
        lanes += first[i]
    if lanes < _MIN_POINTS:
        first[:] = True
    way = most_agreed(growth, slope, sigma, first)
    if way <= 0.0:
        return math.nan
    for i in range(count):
        sigma[i] = math.hypot(sigma[i], _ROUGH_M / height_m * way * slope[i])
    for a in range(3):
        plane[a] = -way * rotation[2, a]
    plane[3:] = 0.0
    return plane_from_growth(design, growth, sigma, first, state[3:], rotation, certain, plane, information)


@compiled("void(float64[::1], float64, UniTuple(float64[:, ::1], 2), float64[::1])")
def tell_road(plane, excess, information, told):  # type: ignore[no-untyped-def]
    """Fills in (4,) roll, its sigma, distance travelled over height, its sigma, as ``road_plane`` found them; else NaN.

    The roll is what the points and the way travelled say, without what is believed of it: the mount is learned from it.
    """
    told[:] = math.nan
    length = math.sqrt(plane[0] ** 2 + plane[1] ** 2 + plane[2] ** 2)
    if not (excess < math.inf and length >= 1e-6):
        return
    whole, free = information
    cov, alone = np.empty((_UNKNOWNS, _UNKNOWNS)), np.empty(_UNKNOWNS)
    inverse(whole, cov)
    variance = 0.0
    for a in range(3):
        for b in range(3):
            variance += plane[a] * cov[a, b] * plane[b]
    told[2], told[3] = length, excess * math.sqrt(variance) / length
    inverse(free[:, :_UNKNOWNS].copy(), cov)
    for a in range(_UNKNOWNS):
        alone[a] = 0.0
        for b in range(_UNKNOWNS):
            alone[a] += cov[a, b] * free[b, _UNKNOWNS]
    if not alone[1] > 0.0:
        return
    upright = alone[0] ** 2 + alone[1] ** 2
    tilt = (alone[1] / upright, -alone[0] / upright)
    variance = 0.0
    for a in range(2):
        for b in range(2):
            variance += tilt[a] * cov[a, b] * tilt[b]
    told[0], told[1] = math.atan2(alone[0], alone[1]), excess * math.sqrt(variance)
