"""Compiled loops of lane finding, over slices, crossings, hypotheses and boundaries.

One pass over memory in place of chains of small array calls, each of which costs more than its arithmetic. Signatures
are given, so everything is compiled, or read from the cache on disk, when the module is imported; nobody imports it
at its own import. Nothing is checked here: arrays are C-contiguous and of the types that the signatures name.

S slices, L columns, N crossings, K boundaries, H hypotheses. ``free`` is (visible (S L,), cell (S L,), free cells):
``perception.lanes.slices.FreeRoad``. ``shape`` is heading, bend, twist, spread and sag of
``perception.lanes.family.Shape``.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from perception.lanes.slices import HALF_WIDTH_M, STEP_M

_LOG_OFFSET = 8.0  # grey levels: below that a camera's noise is larger than the signal
_LOG = np.log(0.5 * np.arange(511) + _LOG_OFFSET).astype(np.float32)  # of sums of two channels
_YELLOW_GAIN = np.float32(0.7)  # the red-to-blue contrast is noisier than the brightness
_MOST_PAINT, _MOST_MARKER = np.float32(2.0), np.float32(0.7)  # natural logarithm: glare is not more certain
PAINT_RUN, MARKER_RUN = 3, 9  # slices that are added up along the road
_THIRD = np.float32(1 / 3)
_NOTHING = np.float32(0.0)

_SATURATION = 6.0  # in units of the slice's own unrest: stronger is not more certain
_MIN_STRENGTH = 1.6
_PAINT_SHARE = 0.5
_LOOK_SLICES = 4
_UPRIGHT_WEIGHT = 0.2
_MAX_IN_SLICE = 8  # crossings; a road has fewer boundaries in sight

VOTE_BIN_M = 0.15
VOTE_SPAN_M = 9.0
_VOTE_BINS = round(2 * VOTE_SPAN_M / VOTE_BIN_M)
_AROUND_BINS = 6  # to each side, 2 m in all: what stands out of that is a boundary, the rest is clutter

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


def _jit(signature: str):  # type: ignore[no-untyped-def]
    return numba.njit(signature, cache=True, nogil=True, error_model="numpy")


# -- evidence ---------------------------------------------------------------------------------------------------------


@_jit("void(f4[::1], i8, f4[::1])")
def _two_sided(values, reach, out):  # type: ignore[no-untyped-def]
    """How far values (L,) exceed the greater of those a reach to the left and to the right; 0 where they do not."""
    width = len(values)
    margin = min(reach, width)
    for j in range(margin):
        out[j] = out[width - 1 - j] = _NOTHING
    if width > 2 * reach:
        left, right, middle, to = values, values[2 * reach :], values[reach:], out[reach:]
        for j in range(width - 2 * reach):
            to[j] = max(middle[j] - max(left[j], right[j]), _NOTHING)


@_jit("void(u1[:,:,::1], f4[:,::1], f4[:,::1])")
def _logarithms(view, narrow, hue):  # type: ignore[no-untyped-def]
    """Logarithm of the brightness, and of red against blue: (S, L) each, means of three neighbouring columns."""
    slices, width = narrow.shape
    light, red = np.empty(width, np.float32), np.empty(width, np.float32)
    for r in range(slices):
        source, to_light, to_hue = view[r], narrow[r], hue[r]
        for j in range(width):
            light[j] = _LOG[np.int64(source[j, 1]) + np.int64(source[j, 2])]
            red[j] = light[j] - _LOG[2 * np.int64(source[j, 0])]
        for j in range(width - 2):
            to_light[j + 1] = (light[j] + light[j + 1] + light[j + 2]) * _THIRD
            to_hue[j + 1] = (red[j] + red[j + 1] + red[j + 2]) * _THIRD
        to_light[0], to_light[-1], to_hue[0], to_hue[-1] = light[0], light[-1], red[0], red[-1]


@_jit("void(f4[:,::1], i8, f4[:,::1])")
def _run(values, count, out):  # type: ignore[no-untyped-def]
    """(S, L) sums of an odd ``count`` of neighbouring slices; fewer at the ends."""
    slices, width = values.shape
    for r in range(slices):
        to, first = out[r], max(0, r - count // 2)
        for j in range(width):
            to[j] = values[first, j]
        for k in range(first + 1, min(slices, r + count // 2 + 1)):
            row = values[k]
            for j in range(width):
                to[j] += row[j]


@_jit("Tuple((f4[:,::1], f4[:,::1], f4[:,::1]))(u1[:,:,::1], i8[:,::1])")
def ridges(view, reach):  # type: ignore[no-untyped-def]
    """Contrast of paint and of raised markers, added up along the road, and tint: (S, L) of a view (S, L, 3).

    ``reach`` (S, 3) are the columns to the road beside narrow paint, wide paint and raised markers.
    """
    slices, width = view.shape[:2]
    narrow, hue = np.empty((slices, width), np.float32), np.empty((slices, width), np.float32)
    _logarithms(view, narrow, hue)
    tint, paint = np.empty((slices, width), np.float32), np.empty((slices, width), np.float32)
    marker, change = np.zeros((slices, width), np.float32), np.empty(width, np.float32)
    wide, ridge = np.empty(width, np.float32), np.empty(width, np.float32)
    ridge_wide, ridge_tint = np.empty(width, np.float32), np.empty(width, np.float32)
    for r in range(slices):
        here, above, below = narrow[r], narrow[max(r - 1, 0)], narrow[min(r + 1, slices - 1)]
        hue_here, hue_above, hue_below = hue[r], hue[max(r - 1, 0)], hue[min(r + 1, slices - 1)]
        tint_to, paint_to = tint[r], paint[r]
        for j in range(width):
            wide[j] = (above[j] + here[j] + below[j]) * _THIRD
            tint_to[j] = (hue_above[j] + hue_here[j] + hue_below[j]) * _THIRD
        _two_sided(here, reach[r, 0], ridge)
        _two_sided(wide, reach[r, 1], ridge_wide)
        _two_sided(tint_to, reach[r, 0], ridge_tint)
        for j in range(width):
            paint_to[j] = min(max(ridge[j], ridge_wide[j]) + _YELLOW_GAIN * ridge_tint[j], _MOST_PAINT)
        if 2 <= r < slices - 2:
            further_above, further_below = narrow[r - 2], narrow[r + 2]
            for j in range(width):
                change[j] = max(abs(below[j] - above[j]), abs(further_below[j] - further_above[j]))
            marker_to = marker[r]
            _two_sided(change, reach[r, 2], marker_to)
            for j in range(width):
                marker_to[j] = min(marker_to[j], _MOST_MARKER)
    _run(paint, PAINT_RUN, narrow)
    _run(marker, MARKER_RUN, hue)
    return narrow, hue, tint


# -- crossings --------------------------------------------------------------------------------------------------------


@_jit("b1(f4[:,::1], i8, i8, f8[:,::1])")
def _is_upright(strength, row, column, slices):  # type: ignore[no-untyped-def]
    """Whether a crest goes on towards the camera's foot rather than along the road.

    The edges of what stands on the road (vehicles, posts, trees) are drawn out radially in any view of the road plane.
    """
    count, width = strength.shape
    y = (HALF_WIDTH_M - STEP_M * column) / (STEP_M * slices[row, 0])
    along = radial = math.inf
    for step in (-_LOOK_SLICES, _LOOK_SLICES):
        other = min(max(row + step, 0), count - 1)
        shift = math.floor(y * (slices[row, 0] - slices[other, 0]) + 0.5)
        if abs(shift) < 2:
            return False
        there = strength[other]
        radial = min(radial, there[min(max(column + shift, 0), width - 1)])
        along = min(along, max(there[column - 1], there[column], there[column + 1]))
    return radial > _MIN_STRENGTH and radial > along


@_jit("i8(f4[::1], i8, Tuple((b1[::1], i4[::1], b1[::1])), i8[::1])")
def _crests(values, start, free, best):  # type: ignore[no-untyped-def]
    """Columns of the strongest few crests of a slice (L,) that nothing covers, the strongest first; how many."""
    visible, cell, uncovered = free
    count, found = 0, 0
    at_crest, place = np.empty(len(values), np.uint8), np.empty(len(values), np.int64)
    for k in range(len(values) - 2):
        value = values[k + 1]
        at_crest[k] = (value > _MIN_STRENGTH) & (value >= values[k]) & (value > values[k + 2])
    for k in range(len(values) - 2):
        place[found] = k + 1  # no branch: where crests are is not to be foreseen
        found += at_crest[k]
    for k in range(found):
        j = place[k]
        value = values[j]
        if not (visible[start + j] and uncovered[cell[start + j]]):
            continue
        at = count
        while at > 0 and values[best[at - 1]] < value:
            at -= 1
        if at >= _MAX_IN_SLICE:
            continue
        count = min(count + 1, _MAX_IN_SLICE)
        for k in range(count - 1, at, -1):
            best[k] = best[k - 1]
        best[at] = j
    return count


@_jit(
    "Tuple((i8[::1], f8[:,::1], f8[:,:]))"
    "(f4[:,::1], f4[:,::1], f4[:,::1], Tuple((b1[::1], i4[::1], b1[::1])), f8[:,::1])"
)
def crossings(strength, paint, tint, free, slices):  # type: ignore[no-untyped-def]
    """Slice (N,), position x and y (N, 2), and column, sigma, weight and tint (4, N) of the crests.

    ``slices`` (S, 3): distance, and the lateral standard deviation of paint and of raised markers at it.
    """
    rows, width = strength.shape
    most = rows * _MAX_IN_SLICE
    row, xy, told = np.empty(most, np.int64), np.empty((most, 2)), np.empty((4, most))
    best, n = np.empty(_MAX_IN_SLICE, np.int64), 0
    for r in range(rows):
        values = strength[r]
        for k in range(_crests(values, r * width, free, best)):
            j = best[k]
            before, value, after = np.float64(values[j - 1]), np.float64(values[j]), np.float64(values[j + 1])
            bend = min(before - 2 * value + after, -1e-6)
            column = j + min(max(0.5 * (before - after) / bend, -0.5), 0.5)
            weight = min(value, _SATURATION) / _SATURATION
            if _is_upright(strength, r, j, slices):
                weight *= _UPRIGHT_WEIGHT
            row[n], xy[n, 0], xy[n, 1] = r, slices[r, 0], HALF_WIDTH_M - STEP_M * column
            told[0, n], told[2, n], told[3, n] = column, weight, tint[r, j]
            told[1, n] = slices[r, 1] if paint[r, j] > _PAINT_SHARE * value else slices[r, 2]
            n += 1
    return row[:n], xy[:n], told[:, :n]


@_jit("Tuple((i8[:,::1], b1[:,::1]))(f8[::1], f8[::1], f8[::1], Tuple((b1[::1], i4[::1], b1[::1])))")
def paths(shape, base_m, x_m, free):  # type: ignore[no-untyped-def]
    """Columns (S, B) of curves of a family at the bases (B,), and where they are in sight and uncovered."""
    visible, cell, uncovered = free
    width = len(visible) // len(x_m)
    column = np.empty((len(x_m), len(base_m)), np.int64)
    seen = np.zeros((len(x_m), len(base_m)), np.bool_)
    for r in range(len(x_m)):
        x = x_m[r]
        middle = HALF_WIDTH_M - x * (shape[0] + x * (shape[1] + x * shape[2]))
        for b in range(len(base_m)):
            at = (middle - (1 + x * (shape[3] + x * shape[4])) * base_m[b]) / STEP_M + 0.5
            j = int(min(max(at, 0.0), width - 1.0))
            column[r, b] = j
            if 0 <= at < width:
                seen[r, b] = visible[r * width + j] and uncovered[cell[r * width + j]]
    return column, seen


# -- search -----------------------------------------------------------------------------------------------------------


@_jit("f8[::1](f8[:,::1], f8[::1], f8[:,::1])")
def vote(xy_m, votes, hypotheses):  # type: ignore[no-untyped-def]
    """(H,) support of hypotheses (H, 3) heading, bend and spread by voters (N, 2) and their votes (N,).

    The sum of squares of what stands out of the histogram of the bases.
    """
    around, support = 2 * _AROUND_BINS + 1, np.empty(len(hypotheses))
    histogram = np.zeros(_VOTE_BINS)
    bins, total = np.empty(len(xy_m), np.int64), np.zeros(_VOTE_BINS + 1)
    for h in range(len(hypotheses)):
        heading, bend, spread = hypotheses[h, 0], hypotheses[h, 1], hypotheses[h, 2]
        for n in range(len(xy_m)):
            x = xy_m[n, 0]
            base = (xy_m[n, 1] - x * (heading + bend * x)) / (1.0 + spread * x)
            bins[n] = int(min(max((base + VOTE_SPAN_M) * (1 / VOTE_BIN_M), 0.0), _VOTE_BINS - 1.0))
        for k in range(_VOTE_BINS):
            histogram[k] = 0.0
        for n in range(len(xy_m)):
            histogram[bins[n]] += votes[n]
        histogram[0] = histogram[_VOTE_BINS - 1] = 0.0  # what fell out of the span
        for k in range(_VOTE_BINS):
            total[k + 1] = total[k] + histogram[k]
        found = 0.0
        for k in range(_AROUND_BINS + 1, _VOTE_BINS - _AROUND_BINS - 1):
            mean = total[k + _AROUND_BINS + 1] - total[k - _AROUND_BINS]
            mean += 0.5 * (total[k + _AROUND_BINS] - total[k - _AROUND_BINS - 1])
            mean += 0.5 * (total[k + _AROUND_BINS + 2] - total[k - _AROUND_BINS + 1])
            peak = histogram[k] + 0.5 * (histogram[k - 1] + histogram[k + 1]) - mean / around
            found += max(peak, 0.0) ** 2
        support[h] = found
    return support


# -- fit --------------------------------------------------------------------------------------------------------------


@_jit("f8[:,::1](f8[:,::1])")
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


@_jit("void(f8[:,::1], f8[::1], f8[::1], f8[:,::1], f8[::1], i8[::1])")
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


@_jit("Tuple((f8[::1], f8[::1], f8[:,::1], i8[::1]))(f8[:,::1], f8[::1], f8[::1])")
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


@_jit("f8[:,::1](f8[:,::1], f8[::1], f8, i8)")
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


@_jit("void(f8[:,::1], i8[::1], i8, f8[:,::1], f8[::1], f8[:,::1])")
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


@_jit("Tuple((f8[::1], f8[:,::1], f8[:,:,::1], i8[::1]))(f8[:,::1], f8[::1], f8[::1])")
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


# -- looks ------------------------------------------------------------------------------------------------------------

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
_DOUBLE_NEAR_M, _DOUBLE_FAR_M = 0.12, 0.45  # between the middles of a double line's halves
_YELLOW = 0.18  # paint's red-to-blue logarithm above its surroundings': yellow paint has 0.3 to 0.9, white about 0
_MIN_TINTED = 5
_ON_M, _BESIDE_M, _AROUND_M = 0.15, 0.50, 1.00  # to each side: of a line, and of the bare road beside it
_COUNT_TO_M = 40.0  # slices beyond count no more than one at that distance


@_jit("i8(f8)")
def _cell(x_m):  # type: ignore[no-untyped-def]
    at = math.floor(x_m - _KIND_NEAR_M)
    return int(at) if 0 <= at < _KIND_CELLS else -1


@_jit("void(f8[::1], b1[::1], b1[::1])")
def _bands(told, hit, visible):  # type: ignore[no-untyped-def]
    """Fills in what cells (C,) with paint and in sight say."""
    for b in range(len(_BANDS) - 1):
        cells = painted = 0
        for c in range(_BANDS[b], _BANDS[b + 1]):
            cells += visible[c]
            painted += visible[c] and hit[c]
        told[CELLS] += cells
        told[PAINT_M] += painted
        if cells >= _MIN_BAND_CELLS:
            told[BANDS] += 1
            told[PAINTED_BANDS] += painted > _MIN_BAND_SHARE * cells
    told[PAINTED] = told[PAINT_M] / max(told[CELLS], 1.0)


@_jit("void(f8[::1], i8[::1], f8[:,::1], f8[::1], b1[::1], f8[::1])")
def _paint(told, row, points, mine, hit, rests):  # type: ignore[no-untyped-def]
    """Fills in what the crossings of a boundary say, its evidence as yet a plain sum, and the cells (C,) they hit.

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
                        hit[_cell(x)] = True
            n += 1
        told[FIRST_M], told[LAST_M] = min(told[FIRST_M], x), max(told[LAST_M], x)
        measure = min(evidence, 1.0) * math.sqrt(min(x, _COUNT_TO_M))
        slices, total = slices + 1, total + measure
        scatter += measure * (rests[nearest] / points[nearest, 2]) ** 2
        if _DOUBLE_NEAR_M < high - low < _DOUBLE_FAR_M:
            twice, middle = twice + 1, middle + 0.5 * (low + high)
    told[EVIDENCE], told[SCATTER] = total, math.sqrt(scatter / max(total, 1e-9))
    told[DOUBLE], told[MIDDLE_M] = twice / max(slices, 1), middle / max(twice, 1)
    told[YELLOW] = yellow / tinted if tinted >= _MIN_TINTED else math.nan


@_jit("f8(f8[:,::1], f8[::1])")
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


@_jit("f8[:,::1](i8[::1], i8[::1], f8[:,::1], f8[:,::1], b1[:,::1], f8[::1])")
def looks(row, member, points, coeff, seen, x_m):  # type: ignore[no-untyped-def]
    """(K, 13) figures of boundaries (K, 4); see above.

    Args:
        row: (N,) slice, ascending, and member: boundary, -1 for none, of each crossing.
        points: (N, 5) x, y, its sigma, weight and tint.
        seen: (S, K) slices where each boundary is in sight; x_m: (S,) their distances.
    """
    out, rests, mine = np.zeros((len(coeff), _LOOKS)), np.empty(len(row)), np.empty(len(row))
    for k in range(len(out)):
        hit, visible = np.zeros(_KIND_CELLS, np.bool_), np.zeros(_KIND_CELLS, np.bool_)
        told, c, whole, part = out[k], coeff[k], 0.0, 0.0
        for n in range(len(row)):
            x = points[n, 0]
            rests[n] = points[n, 1] - (c[0] + x * (c[1] + x * (c[2] + x * c[3])))
            mine[n] = member[n] == k
        told[FIRST_M], told[LAST_M] = math.inf, -math.inf
        _paint(told, row, points, mine, hit, rests)
        told[ALONE] = _alone(points, rests)
        for r in range(len(x_m)):
            measure = math.sqrt(min(x_m[r], _COUNT_TO_M))
            whole += measure
            if seen[r, k]:
                part += measure
                if _cell(x_m[r]) >= 0:
                    visible[_cell(x_m[r])] = True
        told[EVIDENCE] /= max(part, 0.25 * whole)
        _bands(told, hit, visible)
    return out
