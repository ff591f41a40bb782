"""Compiled loops of ``geometry.flow``: a few numbers fitted robustly to some hundred points, many times a frame.

Signatures are given, so everything is compiled, or read from the cache on disk, when the module is imported. Nothing is
checked here: arrays are C-contiguous float64, points are normalised camera coordinates (N, 2). Loops are written out:
array expressions compile slowly.
"""

from __future__ import annotations

import math

import numpy as np

from geometry.compiled import compiled

STEPS, TURN_STEPS, PLANE_STEPS = 8, 4, 6
_REGULARISATION = 1e-9
_SCALE = 3.0  # of the median residual: three quarters of a normal distribution's points keep half their weight
_MAX_GROWTH = 0.4  # a point this much farther from the focus was passed at 2.5 times the way travelled: hardly any is


@compiled("float64(float64[::1], int64)")
def upper_median(values, count):  # type: ignore[no-untyped-def]
    """The upper median of the first numbers, which it puts into another order: Hoare's quickselect."""
    middle, low, high = count // 2, 0, count - 1
    while low < high:
        pivot, i, j = values[(low + high) // 2], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            break
    return values[middle]


@compiled("float64(float64, float64)")
def geman_mcclure(error, scale):  # type: ignore[no-untyped-def]
    """Weight of a residual: outliers lose all influence."""
    falloff = 1.0 + (error / scale) ** 2
    return 1.0 / (falloff * falloff)


@compiled("void(float64[:, ::1], float64[::1], float64[::1], float64[:, ::1], float64[::1])")
def normal_equations(design, error, weight, matrix, vector):  # type: ignore[no-untyped-def]
    """Adds weighted products of the rows of ``design`` (N, n) to (n, n), and their products with the errors to (n,)."""
    n = len(vector)
    for i in range(len(design)):
        for a in range(n):
            part = weight[i] * design[i, a]
            vector[a] += part * error[i]
            for b in range(n):
                matrix[a, b] += part * design[i, b]


@compiled("void(float64[:, ::1], float64[::1])")
def solve_positive(matrix, vector):  # type: ignore[no-untyped-def]
    """Solves a positive definite system (n, n) by Cholesky's factors; ``vector`` (n,) becomes the solution."""
    n = len(vector)
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = math.sqrt(total) if i == j else total / matrix[j, j]
        for k in range(i):
            vector[i] -= matrix[i, k] * vector[k]
        vector[i] /= matrix[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            vector[i] -= matrix[k, i] * vector[k]
        vector[i] /= matrix[i, i]


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


@compiled("void(float64[::1], float64[:, ::1])")
def rotation(omega, turn):  # type: ignore[no-untyped-def]
    """Fills the rotation (3, 3) of a vector (3,): Rodrigues' formula."""
    square = omega[0] ** 2 + omega[1] ** 2 + omega[2] ** 2
    angle = math.sqrt(square)
    sine = math.sin(angle) / angle if angle > 1e-9 else 1.0
    rest = 2.0 * (math.sin(angle / 2) / angle) ** 2 if angle > 1e-9 else 0.5
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        turn[i, i] = 1.0 - rest * (omega[j] ** 2 + omega[k] ** 2)
        turn[i, j] = rest * omega[i] * omega[j] - sine * omega[k]
        turn[j, i] = rest * omega[i] * omega[j] + sine * omega[k]


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
        rotation(state, turn)
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
    rotation(state, turn)
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


@compiled("float64(float64[:, ::1], float64[::1], float64[::1], boolean[::1], float64[::1], float64[:, ::1])")
def plane_from_growth(rays, growth, sigma, first, plane, information):  # type: ignore[no-untyped-def]
    """The road plane from how fast its points move away from the focus: growth = plane . ray, robustly.

    Args:
        rays: (N, 3) points on the road: x, y and 1.
        growth, sigma: (N,) share by which their distance from the focus grew, and its standard deviation.
        first: (N,) those that count at first; the others join where they agree with these.
        plane: (3,) believed normal; the solution after: travel over height times the normal.
        information: (3, 3), filled.

    Returns:
        By how much the residuals exceed the noise, at least 1.
    """
    count = len(growth)
    size, weight, left = np.empty(count), np.empty(count), np.empty(count)
    normal, vector = np.empty((3, 3)), np.empty(3)
    scale = 1.0
    for step in range(PLANE_STEPS + 2):  # the first finds the length of the normal, the last the residuals left
        early = step <= PLANE_STEPS // 2
        firsts = 0
        for i in range(count):
            expected = rays[i, 0] * plane[0] + rays[i, 1] * plane[1] + rays[i, 2] * plane[2]
            left[i] = growth[i] - expected
            if first[i]:
                size[firsts] = growth[i] / expected if step == 0 else abs(left[i] / sigma[i])
                firsts += 1
        if step == PLANE_STEPS + 1:
            break
        middle = upper_median(size, firsts)
        if step == 0:
            for a in range(3):
                plane[a] *= middle
            continue
        scale = max(1.5, 1.4826 * middle * (4.0 if early else 1.5))
        for i in range(count):
            used = first[i] or not early
            weight[i] = geman_mcclure(left[i] / sigma[i], scale) / (sigma[i] * sigma[i]) if used else 0.0
        for a in range(3):
            vector[a] = 0.0
            for b in range(3):
                information[a, b] = 0.0
        normal_equations(rays, growth, weight, information, vector)
        for a in range(3):
            for b in range(3):
                normal[a, b] = information[a, b] + (_REGULARISATION if a == b else 0.0)
        solve_positive(normal, vector)
        for a in range(3):
            plane[a] = vector[a]
    squares, noise = 0.0, 0.0
    for i in range(count):
        squares += weight[i] * left[i] * left[i]
        noise += weight[i] * sigma[i] * sigma[i]
    return max(1.0, math.sqrt(squares / noise))
