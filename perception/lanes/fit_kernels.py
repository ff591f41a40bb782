"""Compiled loops over crossings and boundaries: the joint fit, and the figures that looks are told from.

Conventions are those of ``perception.lanes.kernels``. N crossings, K boundaries, S slices, C cells of a metre.
"""

from __future__ import annotations

import math

import numpy as np

from geometry.compiled import compiled
from perception.lanes.slices import COUNT_TO_M

_CAUCHY = 2.0
_CORRELATED = 9.0  # neighbouring slices see the same paint: so many count as one
_ITERATIONS, _OWN_ITERATIONS = 3, 2
_BASE_SIGMA_M = 0.5
# What a joint fit may change of the shape that was searched (1 sigma): heading, bend, twist, spread and sag. Crests and
# dips of main roads have radii of 3 km and more, which is a sag of 1e-4 / m^2 under a camera 1.6 m high.
_PRIOR_SIGMA = np.array([0.04, 2e-3, 1e-6, 4e-3, 1e-4])
_SHARED = len(_PRIOR_SIGMA)
_OWN_SIGMA = np.array([0.10, 0.02, 1.5e-4, 9e-7])  # and of the coefficients of one boundary against the others
_CORRIDOR_M = 0.22  # crossings so near to a curve are of its boundary: half a wide marking and the fit's error

# What ``looks`` tells of a boundary: metres in sight, the share of those with paint, metres with paint, bands (of
# distance) in sight and with paint, mean evidence, scatter of its crossings in sigmas, the share that it has of the
# evidence around it, share of slices that cross it twice and the middle of those pairs, share of its paint that is
# yellow (NaN: too little of it), nearest and farthest x (infinite: it has no crossing).
(CELLS, PAINTED, PAINT_M, BANDS, PAINTED_BANDS, EVIDENCE, SCATTER, ALONE, DOUBLE, MIDDLE_M, YELLOW, FIRST_M, LAST_M) = (
    range(13)
)
_LOOKS = 13
# Cells of a metre; farther away the gaps of a dashed line are one picture row.
_KIND_NEAR_M, _KIND_CELLS = 4.0, 30
_BANDS = np.array([0, 5, 14, _KIND_CELLS])  # cells from 4, 9 and 18 to 34 m: a dash in each band, or its gap
_MIN_BAND_CELLS, _MIN_BAND_SHARE = 3, 0.15
_STRONG = 0.3  # weight of crossings that tell kind and colour
_SURE_SHARE = 0.5  # of a line's strongest crossing: what is weaker may be clutter beyond the end of its paint
_DOUBLE_NEAR_M, _DOUBLE_FAR_M = 0.12, 0.45  # between the middles of a double line's halves
_YELLOW = 0.18  # paint's red-to-blue logarithm above its surroundings': yellow paint has 0.3 to 0.9, white about 0
_MIN_TINTED = 5
_ON_M, _BESIDE_M, _AROUND_M = 0.15, 0.50, 1.00  # to each side: of a line, and of the bare road beside it


@compiled("f8[:,::1](f8[:,::1])")
def _inverse(matrix):  # type: ignore[no-untyped-def]
    """Inverse of a symmetric, positive definite matrix of a few rows (Gauss and Jordan, in place)."""
    size = len(matrix)
    for k in range(size):
        pivot = 1.0 / matrix[k, k]
        matrix[k, k] = 1.0
        for j in range(size):
            matrix[k, j] *= pivot
        for i in range(size):
            if i != k:
                factor = matrix[i, k]
                matrix[i, k] = 0.0
                for j in range(size):
                    matrix[i, j] -= factor * matrix[k, j]
    return matrix


@compiled("void(f8[:,::1], f8[::1], f8[::1], f8[:,::1], f8[::1], i8[::1])")
def _joint_equations(points, common, base, information, gradient, member):  # type: ignore[no-untyped-def]
    """Adds what the points (N, 5) say to the normal equations of (heading, bend, twist, spread, sag, bases).

    ``member`` (N,) becomes the nearest boundary within the corridor of each point, -1 for none.
    """
    row, place = np.empty(6), np.empty(6, np.int64)
    for n in range(len(points)):
        x, y, sigma, trust = points[n, 0], points[n, 1], points[n, 2], points[n, 3] / _CORRELATED
        scale = 1.0 + x * (common[3] + x * common[4])
        middle = x * (common[0] + x * (common[1] + x * common[2]))
        rest, at = math.inf, 0
        for k in range(len(base)):
            apart = y - middle - scale * base[k]
            if abs(apart) < abs(rest):
                rest, at = apart, k
        member[n] = at if abs(rest) < _CORRIDOR_M + 2 * sigma else -1
        if member[n] < 0:
            continue
        weight = trust / (sigma * sigma + rest * rest / (_CAUCHY * _CAUCHY))
        row[0], row[1], row[2], row[3], row[4], row[5] = x, x * x, x * x * x, base[at] * x, base[at] * x * x, scale
        for i in range(6):
            place[i] = _SHARED + at if i == _SHARED else i
        for i in range(6):
            gradient[place[i]] += weight * rest * row[i]
            for j in range(6):
                information[place[i], place[j]] += weight * row[i] * row[j]


@compiled("Tuple((f8[::1], f8[::1], f8[:,::1], i8[::1]))(f8[:,::1], f8[::1], f8[::1])")
def _joint(points, prior, start_m):  # type: ignore[no-untyped-def]
    """Shape (5,), bases (K,), their covariance (5 + K, 5 + K) and the points' boundaries (N,)."""
    size = _SHARED + len(start_m)
    common, base, member = prior.copy(), start_m.copy(), np.empty(len(points), np.int64)
    cov = np.empty((size, size))
    for _ in range(_ITERATIONS):
        information, gradient = np.zeros((size, size)), np.zeros(size)
        for i in range(size):
            held = 1 / _PRIOR_SIGMA[i] ** 2 if i < _SHARED else 1 / _BASE_SIGMA_M**2
            information[i, i] = held
            if i < _SHARED:
                gradient[i] = held * (prior[i] - common[i])
        _joint_equations(points, common, base, information, gradient, member)
        cov = _inverse(information)
        for i in range(size):
            step = 0.0
            for j in range(size):
                step += cov[i, j] * gradient[j]
            if i < _SHARED:
                common[i] += step
            else:
                base[i - _SHARED] += step
    return common, base, cov, member


@compiled("f8[:,::1](f8[:,::1], f8[::1], f8, i8)")
def _expected(cov, common, base_m, k):  # type: ignore[no-untyped-def]
    """(4, 4) information of what the family says of the coefficients of boundary k."""
    jacobian = np.zeros((4, len(cov)))
    jacobian[0, _SHARED + k] = jacobian[1, 0] = jacobian[2, 1] = jacobian[3, 2] = 1.0
    jacobian[1, 3], jacobian[1, _SHARED + k] = base_m, common[3]
    jacobian[2, 4], jacobian[2, _SHARED + k] = base_m, common[4]
    out = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            for a in range(len(cov)):
                for b in range(len(cov)):
                    out[i, j] += jacobian[i, a] * cov[a, b] * jacobian[j, b]
        out[i, i] += _OWN_SIGMA[i] ** 2
    return _inverse(out)


@compiled("void(f8[:,::1], i8[::1], i8, f8[:,::1], f8[::1], f8[:,::1])")
def _own(points, member, k, prior, coeff, cov):  # type: ignore[no-untyped-def]
    """Boundary k (4,) on its own, held by the family: fits ``coeff`` on and fills its covariance (4, 4)."""
    start, row, gradient = coeff.copy(), np.empty(4), np.empty(4)
    for _ in range(_OWN_ITERATIONS):
        information = prior.copy()
        for i in range(4):
            gradient[i] = 0.0
            for j in range(4):
                gradient[i] += prior[i, j] * (start[j] - coeff[j])
        for n in range(len(points)):
            if member[n] != k:
                continue
            x = points[n, 0]
            rest = points[n, 1] - (coeff[0] + x * (coeff[1] + x * (coeff[2] + x * coeff[3])))
            weight = points[n, 3] / _CORRELATED / (points[n, 2] ** 2 + rest * rest / (_CAUCHY * _CAUCHY))
            row[0], row[1], row[2], row[3] = 1.0, x, x * x, x * x * x
            for i in range(4):
                gradient[i] += weight * rest * row[i]
                for j in range(4):
                    information[i, j] += weight * row[i] * row[j]
        found = _inverse(information)
        for i in range(4):
            for j in range(4):
                coeff[i] += found[i, j] * gradient[j]
                cov[i, j] = found[i, j]


@compiled("Tuple((f8[::1], f8[:,::1], f8[:,:,::1], i8[::1]))(f8[:,::1], f8[::1], f8[::1])")
def fit(points, prior, base_m):  # type: ignore[no-untyped-def]
    """Shape (5,), coefficients (K, 4), covariances (K, 4, 4), and the boundary (N,) of each point, -1 for none.

    ``points`` (N, 5): x, y, its sigma, weight and tint; ``prior`` (5,): the shape that was searched; ``base_m`` (K,).
    """
    common, base, joint_cov, member = _joint(points, prior, base_m)
    coeff, cov = np.empty((len(base), 4)), np.empty((len(base), 4, 4))
    for k in range(len(base)):
        coeff[k, 0], coeff[k, 1] = base[k], common[0] + base[k] * common[3]
        coeff[k, 2], coeff[k, 3] = common[1] + base[k] * common[4], common[2]
        _own(points, member, k, _expected(joint_cov, common, base[k], k), coeff[k], cov[k])
    return common, coeff, cov, member


@compiled("i8(f8)")
def _cell(x_m):  # type: ignore[no-untyped-def]
    at = math.floor(x_m - _KIND_NEAR_M)
    return int(at) if 0 <= at < _KIND_CELLS else -1


@compiled("void(f8[::1], f8[::1], b1[::1])")
def _bands(told, best, visible):  # type: ignore[no-untyped-def]
    """Fills in what cells (C,) say: the weight of the best crossing in each, and which are in sight."""
    sure = max(_STRONG, _SURE_SHARE * best.max())
    for b in range(len(_BANDS) - 1):
        cells = painted = 0
        for c in range(_BANDS[b], _BANDS[b + 1]):
            cells += visible[c]
            painted += visible[c] and best[c] > sure
            told[PAINT_M] += visible[c] and best[c] > _STRONG
        told[CELLS] += cells
        if cells >= _MIN_BAND_CELLS:
            told[BANDS] += 1
            told[PAINTED_BANDS] += painted > _MIN_BAND_SHARE * cells
    told[PAINTED] = told[PAINT_M] / max(told[CELLS], 1.0)


@compiled("void(f8[::1], i8[::1], f8[:,::1], f8[::1], f8[::1], f8[::1])")
def _paint(told, row, points, mine, best, rests):  # type: ignore[no-untyped-def]
    """Fills in what the crossings of a boundary say, its evidence as yet a plain sum, and the best in each cell (C,).

    ``mine`` (N,) is 1 for its crossings, ``rests`` (N,) their distance to it.
    """
    yellow = scatter = total = middle = 0.0
    slices = twice = tinted = n = 0
    while n < len(row):
        if not mine[n]:
            n += 1
            continue
        nearest, evidence, x = n, 0.0, points[n, 0]
        low, high, at = rests[n], rests[n], row[n]
        while n < len(row) and row[n] == at:
            if mine[n]:
                weight = points[n, 3]
                evidence += weight * weight
                low, high = min(low, rests[n]), max(high, rests[n])
                if abs(rests[n]) < abs(rests[nearest]):
                    nearest = n
                if weight > _STRONG:
                    tinted, yellow = tinted + 1, yellow + (points[n, 4] > _YELLOW)
                if _cell(x) >= 0:
                    best[_cell(x)] = max(best[_cell(x)], weight)
            n += 1
        told[FIRST_M], told[LAST_M] = min(told[FIRST_M], x), max(told[LAST_M], x)
        measure = min(evidence, 1.0) * math.sqrt(min(x, COUNT_TO_M))
        slices, total = slices + 1, total + measure
        scatter += measure * (rests[nearest] / points[nearest, 2]) ** 2
        if _DOUBLE_NEAR_M < high - low < _DOUBLE_FAR_M:
            twice, middle = twice + 1, middle + 0.5 * (low + high)
    told[EVIDENCE], told[SCATTER] = total, math.sqrt(scatter / max(total, 1e-9))
    told[DOUBLE], told[MIDDLE_M] = twice / max(slices, 1), middle / max(twice, 1)
    told[YELLOW] = yellow / tinted if tinted >= _MIN_TINTED else math.nan


@compiled("f8(f8[:,::1], f8[::1])")
def _alone(points, rests):  # type: ignore[no-untyped-def]
    """Share that a line has of the evidence on it and a little beside it, where slices tell the two apart."""
    on = beside = 0.0
    for n in range(len(points)):
        apart = abs(rests[n])
        if apart < _AROUND_M and points[n, 0] < _KIND_NEAR_M + _KIND_CELLS:
            mass = points[n, 3] ** 2 * math.sqrt(points[n, 0])
            on += mass if apart < _ON_M else 0.0
            beside += mass if apart > _BESIDE_M else 0.0
    return on / max(on + beside, 1e-9)


@compiled("f8[:,::1](i8[::1], i8[::1], f8[:,::1], f8[:,::1], b1[:,::1], f8[::1])")
def looks(row, member, points, coeff, seen, x_m):  # type: ignore[no-untyped-def]
    """(K, 13) figures of boundaries (K, 4); see above.

    Args:
        row: (N,) slice, ascending, and member: boundary, -1 for none, of each crossing.
        points: (N, 5) x, y, its sigma, weight and tint.
        seen: (S, K) slices where each boundary is in sight; x_m: (S,) their distances.
    """
    out, rests, mine = np.zeros((len(coeff), _LOOKS)), np.empty(len(row)), np.empty(len(row))
    for k in range(len(out)):
        best, visible = np.zeros(_KIND_CELLS), np.zeros(_KIND_CELLS, np.bool_)
        told, c, whole, part = out[k], coeff[k], 0.0, 0.0
        for n in range(len(row)):
            x = points[n, 0]
            rests[n] = points[n, 1] - (c[0] + x * (c[1] + x * (c[2] + x * c[3])))
            mine[n] = member[n] == k
        told[FIRST_M], told[LAST_M] = math.inf, -math.inf
        _paint(told, row, points, mine, best, rests)
        told[ALONE] = _alone(points, rests)
        for r in range(len(x_m)):
            measure = math.sqrt(min(x_m[r], COUNT_TO_M))
            whole += measure
            if seen[r, k]:
                part += measure
                if _cell(x_m[r]) >= 0:
                    visible[_cell(x_m[r])] = True
        told[EVIDENCE] /= max(part, 0.25 * whole)
        _bands(told, best, visible)
    return out


@compiled("void(f8[:,::1], f8[:,:,::1], f8[:,::1], f8[:,:,::1])")
def fused(coeff, cov, seen, seen_cov):  # type: ignore[no-untyped-def]
    """Kalman update, in place, of B states (B, 4) with covariances (B, 4, 4) by measurements of all of them.

    Joseph's form (I - K) P (I - K)' + K R K' keeps the covariance symmetric.
    """
    gain, rest, total = np.empty((4, 4)), np.empty((4, 4)), np.empty((4, 4))
    for k in range(len(coeff)):
        for i in range(4):
            for j in range(4):
                total[i, j] = cov[k, i, j] + seen_cov[k, i, j]
        inverse = _inverse(total)
        for i in range(4):
            for j in range(4):
                gain[i, j] = 0.0
                for a in range(4):
                    gain[i, j] += cov[k, i, a] * inverse[a, j]
                rest[i, j] = (1.0 if i == j else 0.0) - gain[i, j]
        prior = cov[k].copy()
        for i in range(4):
            for j in range(4):
                value = 0.0
                for a in range(4):
                    for b in range(4):
                        value += rest[i, a] * prior[a, b] * rest[j, b] + gain[i, a] * seen_cov[k, a, b] * gain[j, b]
                cov[k, i, j] = value
        for a in range(4):
            total[0, a] = seen[k, a] - coeff[k, a]
        for i in range(4):
            for a in range(4):
                coeff[k, i] += gain[i, a] * total[0, a]


@compiled("Tuple((f8[::1], i8[::1], f8[:,::1]))(f8[:,::1], f8[:,::1], f8[:,::1], f8, f8)")
def places(xy_m, coeff, ends_m, width_m, path_pm):  # type: ignore[no-untyped-def]
    """Where objects are: (N,) offset from the ego lane's centre, (N,) lanes to the left, (N, 2) y of the ego lines.

    Args:
        xy_m: (N, 2); NaN gives NaN and lane 0.
        coeff: (2, 4) of the left and the right line, NaN where it is not known; without any, the own path is followed.
        ends_m: (2, 3) nearest and farthest x with evidence, beyond which a line goes on along its tangent, and how far
            it is told.
        width_m: of the ego lane; ``path_pm``: curvature of the own path.
    """
    offset, lane, lines = np.empty(len(xy_m)), np.empty(len(xy_m), np.int64), np.empty((len(xy_m), 2))
    for i in range(len(xy_m)):
        x = xy_m[i, 0]
        for k in range(2):
            c, inside = coeff[k], min(max(x, ends_m[k, 0]), ends_m[k, 1])
            slope = c[1] + inside * (2 * c[2] + inside * 3 * c[3])
            lines[i, k] = c[0] + inside * (c[1] + inside * (c[2] + inside * c[3])) + slope * (x - inside)
        left, right = lines[i, 0], lines[i, 1]
        if math.isnan(coeff[0, 0]) and math.isnan(coeff[1, 0]):
            centre = 0.5 * path_pm * x * x
        elif math.isnan(coeff[1, 0]):
            centre = left - 0.5 * width_m
        elif math.isnan(coeff[0, 0]):
            centre = right + 0.5 * width_m
        else:
            centre = 0.5 * (left + right)
        offset[i] = xy_m[i, 1] - centre
        lane[i] = 0 if math.isnan(offset[i]) else int(np.rint(offset[i] / width_m))
        for k in range(2):
            if x > ends_m[k, 2]:
                lines[i, k] = math.nan
    return offset, lane, lines


@compiled("Tuple((i8, i8))(f8[::1], f8[::1], f8, UniTuple(f8, 2), UniTuple(f8, 5))")
def ego_pair(base, evidence, width_m, limits, worth):  # type: ignore[no-untyped-def]
    """Indices of the left and the right boundary (K,) whose ``select.pair_worth`` is greatest, the first of equals; -1
    twice where no two are a lane.

    Args:
        base, evidence: (K,) lateral places (m) and evidence.
        width_m: of the lane that is expected.
        limits: least evidence, and how far on the other side of the vehicle a boundary may be (m).
        worth: least and greatest width (m), sigma of a width (m), what one sigma costs, and what each metre costs that
            the vehicle is off the middle.
    """
    least, reach = limits
    narrowest, widest, sigma, width_cost, centred_cost = worth
    best, left, right = -math.inf, -1, -1
    for i in range(len(base)):
        if not (evidence[i] > least and base[i] > -reach):
            continue
        for j in range(len(base)):
            width = base[i] - base[j]
            if not (evidence[j] > least and base[j] < reach and narrowest <= width <= widest):
                continue
            off = (width - width_m) / sigma
            total = math.sqrt(evidence[i]) + math.sqrt(evidence[j])
            total += -0.5 * width_cost * off * off - 0.5 * centred_cost * abs(base[i] + base[j])
            if total > best:
                best, left, right = total, i, j
    return left, right
