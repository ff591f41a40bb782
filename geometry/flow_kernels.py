"""Compiled loops of ``geometry.flow``: a few numbers fitted robustly to some hundred points, many times a frame.

Signatures are given, so everything is compiled, or read from the cache on disk, when the module is imported. Nothing is
checked here: arrays are C-contiguous float64, points are normalised camera coordinates (N, 2). The road is found in
``geometry.road_kernels``.
"""

from __future__ import annotations

import math

import numpy as np

from geometry.compiled import compiled
from geometry.road_kernels import road_plane, tell_road
from geometry.solve_kernels import (
    geman_mcclure,
    inverse,
    normal_equations,
    rotation_of,
    solve_positive,
    upper_median,
)

STEPS, TURN_STEPS = 8, 4
_SCALE = 3.0  # of the median residual: three quarters of a normal distribution's points keep half their weight
NOISE_PX = 0.3  # of a tracked corner; residuals are never believed to be smaller
_START_PX = 8.0  # the robust scale at first, halved every step down to the residuals' own
MIN_POINTS, _INLIER_WEIGHT = 20, 0.25
_OWN_BODY_M = 10.0  # what seems to lie on the road nearer than this and stays put is the vehicle's own
_MIN_MOVING = 30
_MAX_GROWTH = 0.4  # a point this much farther from the focus was passed at 2.5 times the way travelled: hardly any is


# What ``motion`` tells: points that agree, their share; the turn of the vehicle about its x, y and z axes (3) and its
# sigma; the focus of expansion (2) and its sigma; roll, distance travelled over height, their sigmas (NaN: no road).
AGREE, SHARE, TURN, TURN_SIGMA, FOCUS, FOCUS_SIGMA = 0, 1, 2, 5, 8, 10
ROLL, ROLL_SIGMA, TRAVEL, TRAVEL_SIGMA = 12, 13, 14, 15
TOLD = 16


@compiled(
    "void(float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[::1], float64, float64[::1], float64[:, ::1])"
)
def distances_from_lines(before, now, turn, focus, noise, error, jacobian):  # type: ignore[no-untyped-def]
    """Signed distances of moved points from their lines through the focus of expansion, and how they fall.

    Args:
        turn: (3, 3) rotation from the last frame; ``focus``: (2,).
        noise: standard deviation of a coordinate.
        error, jacobian: (N,) and (N, 5) by a further small turn and the focus, filled.
    """
    for i in range(len(before)):
        u, v = before[i, 0], before[i, 1]
        depth = turn[2, 0] * u + turn[2, 1] * v + turn[2, 2]
        x = (turn[0, 0] * u + turn[0, 1] * v + turn[0, 2]) / depth
        y = (turn[1, 0] * u + turn[1, 1] * v + turn[1, 2]) / depth
        away_x, away_y = x - focus[0], y - focus[1]
        moved_x, moved_y = now[i, 0] - x, now[i, 1] - y
        radius2 = max(away_x * away_x + away_y * away_y, 1e-12)
        normal_x, normal_y = -away_y / math.sqrt(radius2), away_x / math.sqrt(radius2)
        error[i] = normal_x * moved_x + normal_y * moved_y
        # d turned / d omega of a small rotation, and the residual falls as the turned point moves along the normal
        along_normal = normal_x * x + normal_y * y
        jacobian[i, 0] = y * along_normal + normal_y
        jacobian[i, 1] = -(x * along_normal + normal_x)
        jacobian[i, 2] = normal_x * y - normal_y * x
        growth = (away_x * moved_x + away_y * moved_y) / radius2
        # Noise makes points seem to move away where nothing does: what it adds to the squares is taken off them.
        clear = 0.0
        if 0.0 < growth < _MAX_GROWTH:
            clear = math.sqrt(max(growth * growth - 2.0 * noise * noise / radius2, 0.0))
        jacobian[i, 3], jacobian[i, 4] = normal_x * clear, normal_y * clear


@compiled(
    "float64(float64[:, ::1], float64[:, ::1], float64, float64, float64[:, ::1], float64[::1], float64[::1], "
    "float64[:, ::1])"
)
def turn_and_focus(before, now, noise, scale, priors, state, weight, information):  # type: ignore[no-untyped-def]
    """Turn and focus of expansion by reweighted least squares, the scale of the weights falling from step to step.

    Args:
        scale: the robust scale at first.
        priors: (2, 5) precisions in the first steps, which find the turn alone, and in the others.
        state: (5,) prior mean and start; the solution after.
        weight, information: (N,), and (5, 5) without the prior; filled.

    Returns:
        The spread of the residuals.
    """
    count = len(before)
    start, vector = np.empty(5), np.empty(5)
    error, size, jacobian = np.empty(count), np.empty(count), np.empty((count, 5))
    turn = np.empty((3, 3))
    for a in range(5):
        start[a] = state[a]
    for step in range(STEPS):
        rotation_of(state, turn)
        distances_from_lines(before, now, turn, state[3:], noise, error, jacobian)
        for i in range(count):
            weight[i] = geman_mcclure(error[i], scale) / (scale * scale)
            size[i] = abs(error[i])
        for a in range(5):
            prior = priors[0 if step < TURN_STEPS else 1, a]
            for b in range(5):
                information[a, b] = prior if a == b else 0.0
            vector[a] = prior * (state[a] - start[a])
        normal_equations(jacobian, error, weight, information, vector)
        solve_positive(information, vector)
        for a in range(5):
            state[a] -= vector[a]
        scale = max(scale / 2.0, min(_SCALE * upper_median(size, count), scale), noise)
    rotation_of(state, turn)
    distances_from_lines(before, now, turn, state[3:], noise, error, jacobian)
    total, squares = 0.0, 0.0
    for i in range(count):
        weight[i] = geman_mcclure(error[i], scale)
        total += weight[i]
        squares += weight[i] * error[i] * error[i]
    for a in range(5):
        for b in range(5):
            information[a, b] = 0.0
    normal_equations(jacobian, error, weight, information, vector)
    return max(noise, math.sqrt(squares / total))


@compiled("int64(float64[:, ::1], float64[:, ::1], float64[:, ::1], float64, float64)")
def without_own_body(before, now, rotation, height_m, noise):  # type: ignore[no-untyped-def]
    """Draws points (N, 2) that count together at the front; how many they are.

    What is not finite does not, nor do points that stay where the near road should move, while the rest moves: bonnet,
    dashboard, sticker. ``rotation``: (3, 3) vehicle from camera.
    """
    size, count, moving = np.empty(len(now)), 0, 0
    for i in range(len(now)):
        moved = max(abs(now[i, 0] - before[i, 0]), abs(now[i, 1] - before[i, 1]))
        if not moved < math.inf:
            continue
        for a in range(2):
            before[count, a], now[count, a] = before[i, a], now[i, a]
        count += 1
        if moved >= 4.0 * noise:
            size[moving] = moved
            moving += 1
    if moving < _MIN_MOVING or not upper_median(size, moving) > 6.0 * noise:
        return count
    kept = 0
    for i in range(count):
        moved = max(abs(now[i, 0] - before[i, 0]), abs(now[i, 1] - before[i, 1]))
        descent = -(rotation[2, 0] * now[i, 0] + rotation[2, 1] * now[i, 1] + rotation[2, 2])
        if moved < 4.0 * noise and descent > height_m / _OWN_BODY_M:
            continue
        for a in range(2):
            before[kept, a], now[kept, a] = before[i, a], now[i, a]
        kept += 1
    return kept


@compiled("boolean(float64[:, ::1], float64[:, ::1], float64[:, ::1], float64, float64, float64[:, ::1], float64[::1])")
def motion(before, now, rotation, height_m, noise, priors, told):  # type: ignore[no-untyped-def]
    """Everything that moved points show of the camera's motion; whether they are enough, and agree enough.

    Args:
        before, now: (N, 2), put into another order.
        rotation: (3, 3) vehicle from camera; ``height_m``: believed; ``noise``: standard deviation of a coordinate.
        priors: (2, 5) as for ``turn_and_focus``, about no turn and the believed heading.
        told: (16,), filled: see above.
    """
    count = without_own_body(before, now, rotation, height_m, noise)
    if count < MIN_POINTS:
        return False
    before, now, weight = before[:count], now[:count], np.empty(count)
    state, information, cov = np.zeros(5), np.empty((5, 5)), np.empty((5, 5))
    for a in range(2):  # where the vehicle's x axis is seen
        state[3 + a] = rotation[0, a] / rotation[0, 2]
    scale = noise * _START_PX / NOISE_PX
    spread = turn_and_focus(before, now, noise, scale, priors, state, weight, information)
    agree = 0
    for i in range(count):
        agree += weight[i] > _INLIER_WEIGHT
    for a in range(5):
        for b in range(5):
            information[a, b] = information[a, b] / (spread * spread) + (priors[1, a] if a == b else 0.0)
    inverse(information, cov)
    for a in range(3):
        turn = variance = 0.0
        for b in range(3):
            turn -= rotation[a, b] * state[b]
            for c in range(3):
                variance += rotation[a, b] * cov[b, c] * rotation[a, c]
        told[TURN + a], told[TURN_SIGMA + a] = turn, math.sqrt(variance)
    for a in range(2):
        told[FOCUS + a], told[FOCUS_SIGMA + a] = state[3 + a], math.sqrt(cov[3 + a, 3 + a])
    plane, road = np.empty(8), (np.empty((8, 8)), np.empty((8, 9)))
    excess = road_plane(before, now, weight, state, information, rotation, (height_m, noise), plane, road)
    tell_road(plane, excess, road, told[ROLL:])
    told[AGREE], told[SHARE] = agree, agree / count
    return agree >= MIN_POINTS
