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
NOISE_PX = 0.3  # of a tracked corner; residuals are never believed to be smaller
_START_PX = 8.0  # the robust scale at first, halved every step down to the residuals' own
MIN_POINTS, _INLIER_WEIGHT = 20, 0.25
_OWN_BODY_M = 10.0  # what seems to lie on the road nearer than this and stays put is the vehicle's own
_MIN_MOVING = 30
_ROAD_AHEAD_M = (3.0, 25.0)
_ROAD_ASIDE_M = 4.0  # the ego lane and half its neighbours
_LANE_ASIDE_M = 2.0  # the ego lane: beyond may lie kerbs and barriers, whose height would pass for roll
_MIN_ROAD_POINTS = 8
_MAX_GROWTH = 0.4  # a point this much farther from the focus was passed at 2.5 times the way travelled: hardly any is


# What ``motion`` tells: points that agree, their share; the turn of the vehicle about its x, y and z axes (3) and its
# sigma; the focus of expansion (2) and its sigma; roll, distance travelled over height, their sigmas (NaN: no road).
AGREE, SHARE, TURN, TURN_SIGMA, FOCUS, FOCUS_SIGMA = 0, 1, 2, 5, 8, 10
ROLL, ROLL_SIGMA, TRAVEL, TRAVEL_SIGMA = 12, 13, 14, 15
TOLD = 16


@compiled("float64(float64[::1], int64, int64)")
def nth(values, count, middle):  # type: ignore[no-untyped-def]
    """The n-th smallest, from 0, of the first numbers, which it puts into another order: Hoare's quickselect."""
    low, high = 0, count - 1
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


@compiled("float64(float64[::1], int64)")
def upper_median(values, count):  # type: ignore[no-untyped-def]
    """The upper median of the first numbers, which it puts into another order."""
    return nth(values, count, count // 2)


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
def rotation_of(omega, turn):  # type: ignore[no-untyped-def]
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


@compiled(
    "float64(float64[:, ::1], float64[:, ::1], float64[::1], float64[::1], float64[:, ::1], float64, float64, "
    "float64[::1], float64[:, ::1])"
)
def road_plane(before, now, weight, state, rotation, height_m, noise, plane, information):  # type: ignore[no-untyped-def]
    """``plane_from_growth`` of those points that agree and should lie on the road of the believed mount.

    A point at depth Z moves away from the focus by the factor 1 + travel / Z; on a plane that is linear in the
    picture: travel / Z = (travel / height) normal . (x, y, 1).

    Args:
        before, now, weight: points (N, 2) and their weights (N,); ``state``: (5,) turn and focus.
        rotation: (3, 3) vehicle from camera; ``noise``: standard deviation of a coordinate.
        plane, information: (3,) and (3, 3), filled.

    Returns:
        By how much the residuals exceed the noise; NaN where too little of the road is seen.
    """
    turn, count, lanes = np.empty((3, 3)), 0, 0
    rays, growth = np.empty((len(now), 3)), np.empty(len(now))
    sigma, first = np.empty(len(now)), np.empty(len(now), np.bool_)
    rotation_of(state, turn)
    for i in range(len(now)):
        u, v = now[i, 0], now[i, 1]
        down = max(-(rotation[2, 0] * u + rotation[2, 1] * v + rotation[2, 2]), 1e-9)
        x_m = height_m * (rotation[0, 0] * u + rotation[0, 1] * v + rotation[0, 2]) / down
        y_m = height_m * (rotation[1, 0] * u + rotation[1, 1] * v + rotation[1, 2]) / down
        aside_m = abs(y_m)
        if not (weight[i] > _INLIER_WEIGHT and _ROAD_AHEAD_M[0] < x_m < _ROAD_AHEAD_M[1] and aside_m < _ROAD_ASIDE_M):
            continue
        depth = turn[2, 0] * before[i, 0] + turn[2, 1] * before[i, 1] + turn[2, 2]
        x = (turn[0, 0] * before[i, 0] + turn[0, 1] * before[i, 1] + turn[0, 2]) / depth
        y = (turn[1, 0] * before[i, 0] + turn[1, 1] * before[i, 1] + turn[1, 2]) / depth
        away_x, away_y = x - state[3], y - state[4]
        radius2 = away_x * away_x + away_y * away_y
        rays[count, 0], rays[count, 1], rays[count, 2] = u, v, 1.0
        growth[count] = ((u - x) * away_x + (v - y) * away_y) / radius2
        sigma[count] = noise * math.sqrt(2.0 / radius2)
        first[count] = aside_m < _LANE_ASIDE_M
        lanes += first[count]
        count += 1
    if count < _MIN_ROAD_POINTS:
        return math.nan
    # Started from the plane believed and the ego lane's points; those beyond join where they agree with these.
    if lanes < _MIN_ROAD_POINTS:
        first[:] = True
    for a in range(3):
        plane[a] = -rotation[2, a]
    return plane_from_growth(rays[:count], growth[:count], sigma[:count], first[:count], plane, information)


@compiled("void(float64[:, ::1], float64[:, ::1])")
def inverse(matrix, out):  # type: ignore[no-untyped-def]
    """Fills the inverse of a positive definite matrix (n, n)."""
    n = len(matrix)
    factors, column = np.empty((n, n)), np.empty(n)
    for j in range(n):
        for a in range(n):
            column[a] = 1.0 if a == j else 0.0
            for b in range(n):
                factors[a, b] = matrix[a, b]
        solve_positive(factors, column)
        for a in range(n):
            out[a, j] = column[a]


@compiled("void(float64[::1], float64[:, ::1], float64, float64[::1])")
def tell_road(plane, information, excess, told):  # type: ignore[no-untyped-def]
    """Fills in roll, its sigma, distance travelled over height, its sigma, as ``road_plane`` found them; else NaN."""
    told[ROLL:] = math.nan
    length = math.sqrt(plane[0] ** 2 + plane[1] ** 2 + plane[2] ** 2)
    if not (excess < math.inf and plane[1] > 0.0 and length >= 1e-6):
        return
    cov = np.empty((3, 3))
    inverse(information, cov)
    upright = plane[0] ** 2 + plane[1] ** 2
    tilt, along = (plane[1] / upright, -plane[0] / upright, 0.0), (plane[0], plane[1], plane[2])
    of_roll = of_length = 0.0
    for a in range(3):
        for b in range(3):
            of_roll += tilt[a] * cov[a, b] * tilt[b]
            of_length += along[a] * cov[a, b] * along[b]
    told[ROLL], told[ROLL_SIGMA] = math.atan2(plane[0], plane[1]), excess * math.sqrt(of_roll)
    told[TRAVEL], told[TRAVEL_SIGMA] = length, excess * math.sqrt(of_length) / length


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
    plane, road = np.zeros(3), np.empty((3, 3))
    tell_road(plane, road, road_plane(before, now, weight, state, rotation, height_m, noise, plane, road), told)
    told[AGREE], told[SHARE] = agree, agree / count
    return agree >= MIN_POINTS
