"""Compiled loops of lane finding, over slices, crossings and hypotheses (``fit_kernels``: over boundaries).

One pass over memory in place of chains of small array calls, each of which costs more than its arithmetic. Signatures
are given, so everything is compiled, or read from the cache on disk, when the module is imported; nobody imports it
at its own import. Nothing is checked here: arrays are C-contiguous and of the types that the signatures name.

S slices, L columns, N crossings, K boundaries, H hypotheses. ``shift`` (S,) are columns to the right of straight ahead
that the road runs (``perception.lanes.slices.SliceGrid.shift``). ``free`` is (visible (S L,), cell (S L,), free cells):
``perception.lanes.slices.FreeRoad``. ``shape`` is heading, bend, twist, spread and sag of
``perception.lanes.family.Shape``.
"""

from __future__ import annotations

import math

import numpy as np

from geometry.compiled import compiled
from geometry.solve_kernels import nth
from perception.lanes.slices import HALF_WIDTH_M, STEP_M

_LOG_OFFSET = 8.0  # grey levels: below that a camera's noise is larger than the signal
_LOG = np.log(0.5 * np.arange(511) + _LOG_OFFSET).astype(np.float32)  # of sums of two channels
_YELLOW_GAIN = np.float32(0.7)  # the red-to-blue contrast is noisier than the brightness
_MOST_PAINT, _MOST_MARKER = np.float32(2.0), np.float32(0.7)  # natural logarithm: glare is not more certain
# Of the difference between the road on both sides of a marker: it is the same road, while the edge of a shadow or of a
# slab that runs aslant of the slices changes along the road, too, and only in a narrow strip.
_EDGE_SHARE = np.float32(0.4)
PAINT_RUN, MARKER_RUN = 3, 9  # slices that are added up along the road
_THIRD = np.float32(1 / 3)
_USUAL = 12.0  # more than so many faint contrasts counts no further towards the unrest
_THIN, _UNREST_ROWS, _UNREST_COLUMNS = 3, 2, 20  # every third slice, and to each side of it: 15 slices, 2.5 m in all
_NOTHING = np.float32(0.0)

_SATURATION = 6.0  # in units of the slice's own unrest: stronger is not more certain
_MIN_STRENGTH = 1.6
_PAINT_SHARE = 0.5
_LOOK_SLICES = 4
_UPRIGHT_WEIGHT = 0.2
_MAX_IN_SLICE = 8  # crossings; a road has fewer boundaries in sight
_FARTHEST_M = 200.0

VOTE_BIN_M = 0.15
VOTE_SPAN_M = 9.0
_VOTE_BINS = round(2 * VOTE_SPAN_M / VOTE_BIN_M)
BASE_BIN_M, BASE_SPAN_M = 0.06, 9.0
_BASE_BINS = round(2 * BASE_SPAN_M / BASE_BIN_M)
_VOTES_TO_M = 25.0  # slices beyond count no more than one at that distance
_AROUND_BINS = 6  # to each side, 2 m in all: what stands out of that is a boundary, the rest is clutter


# -- evidence ---------------------------------------------------------------------------------------------------------


@compiled("void(f4[::1], i8, f4[::1])")
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


@compiled("void(f4[::1], i8, f4[::1])")
def _without_edges(light, reach, marker):  # type: ignore[no-untyped-def]
    """Caps the contrast of markers (L,), and takes from it what the road on their two sides, light (L,), differs by."""
    width = len(light)
    if width > 2 * reach:
        left, right, to = light, light[2 * reach :], marker[reach:]
        for j in range(width - 2 * reach):
            to[j] = max(min(to[j], _MOST_MARKER) - _EDGE_SHARE * abs(left[j] - right[j]), _NOTHING)


@compiled("void(f4[::1], i8, f4[::1])")
def _placed(values, first, out):  # type: ignore[no-untyped-def]
    """Puts values into a row (L,) from a column on that may lie outside of it; the ends are drawn on."""
    start, stop = min(max(first, 0), len(out)), min(max(first + len(values), 0), len(out))
    before, inside, after = out[:start], out[start:stop], out[stop:]
    source = values[start - first :] if start < stop else values
    for j in range(len(inside)):
        inside[j] = source[j]
    for j in range(len(before)):
        before[j] = values[0]
    for j in range(len(after)):
        after[j] = values[-1]


@compiled("void(u1[:,:,::1], i8[::1], i8[:,::1], f4[:,::1], f4[:,::1])")
def _logarithms(view, shift, spans, narrow, hue):  # type: ignore[no-untyped-def]
    """Logarithm of the brightness, and of red against blue: (S, L) each, means of three neighbouring columns.

    Every slice is moved so that the road runs straight down, and drawn on beyond the picture.
    """
    slices, width = narrow.shape
    light, red = np.empty(width, np.float32), np.empty(width, np.float32)
    to_light, to_hue = np.empty(width, np.float32), np.empty(width, np.float32)
    for r in range(slices):
        source = view[r, spans[r, 0] : spans[r, 1]]
        count = len(source)
        for j in range(count):
            light[j] = _LOG[np.int64(source[j, 1]) + np.int64(source[j, 2])]
            red[j] = light[j] - _LOG[2 * np.int64(source[j, 0])]
        for j in range(count - 2):
            to_light[j + 1] = (light[j] + light[j + 1] + light[j + 2]) * _THIRD
            to_hue[j + 1] = (red[j] + red[j + 1] + red[j + 2]) * _THIRD
        for j in (0, count - 1):
            to_light[j], to_hue[j] = light[j], red[j]
        _placed(to_light[:count], spans[r, 0] - shift[r], narrow[r])
        _placed(to_hue[:count], spans[r, 0] - shift[r], hue[r])


@compiled("void(f4[:,::1], i8, i8[::1], i8[:,::1], f4[:,::1])")
def _run(values, count, shift, spans, out):  # type: ignore[no-untyped-def]
    """(S, L) sums of an odd ``count`` of neighbouring slices, fewer at the ends, moved back to where they were."""
    slices, width = values.shape
    for r in range(slices):
        first, stop = max(spans[r, 0] - shift[r], 0), min(spans[r, 1] - shift[r], width)
        out[r] = _NOTHING
        if first < stop:
            to = out[r, first + shift[r] : stop + shift[r]]
            for k in range(max(0, r - count // 2), min(slices, r + count // 2 + 1)):
                row = values[k, first:stop]
                for j in range(len(to)):
                    to[j] += row[j]


@compiled("Tuple((f4[:,::1], f4[:,::1], f4[:,::1]))(u1[:,:,::1], i8[:,::1], i8[::1], i8[:,::1])")
def ridges(view, reach, shift, spans):  # type: ignore[no-untyped-def]
    """Contrast of paint and of raised markers, added up along the road, and tint: (S, L) of a view (S, L, 3).

    ``reach`` (S, 3) are the columns to the road beside narrow paint, wide paint and raised markers, ``spans`` (S, 2)
    the first column inside the picture and the one after the last: beyond, there is neither paint nor marker.
    """
    slices, width = view.shape[:2]
    narrow, hue = np.empty((slices, width), np.float32), np.empty((slices, width), np.float32)
    _logarithms(view, shift, spans, narrow, hue)
    tint, marker = np.zeros((slices, width), np.float32), np.zeros((slices, width), np.float32)
    paint, change = np.zeros((slices, width), np.float32), np.empty(width, np.float32)
    wide, tinted = np.empty(width, np.float32), np.empty(width, np.float32)
    ridge, ridge_wide = np.empty(width, np.float32), np.empty(width, np.float32)
    ridge_tint = np.empty(width, np.float32)
    for r in range(slices):
        a, b = max(spans[r, 0] - shift[r], 0), min(spans[r, 1] - shift[r], width)
        if a >= b:
            continue
        up, down = max(r - 1, 0), min(r + 1, slices - 1)
        here, above, below = narrow[r, a:b], narrow[up, a:b], narrow[down, a:b]
        hue_here, hue_above, hue_below = hue[r, a:b], hue[up, a:b], hue[down, a:b]
        count, paint_to, tint_to = b - a, paint[r, a:b], tint[r, a + shift[r] : b + shift[r]]
        for j in range(count):
            wide[j] = (above[j] + here[j] + below[j]) * _THIRD
            tinted[j] = (hue_above[j] + hue_here[j] + hue_below[j]) * _THIRD
            tint_to[j] = tinted[j]
        _two_sided(here, reach[r, 0], ridge[:count])
        _two_sided(wide[:count], reach[r, 1], ridge_wide[:count])
        _two_sided(tinted[:count], reach[r, 0], ridge_tint[:count])
        for j in range(count):
            paint_to[j] = min(max(ridge[j], ridge_wide[j]) + _YELLOW_GAIN * ridge_tint[j], _MOST_PAINT)
        if 2 <= r < slices - 2:
            further_above, further_below = narrow[r - 2, a:b], narrow[r + 2, a:b]
            for j in range(count):
                change[j] = max(abs(below[j] - above[j]), abs(further_below[j] - further_above[j]))
            marker_to = marker[r, a:b]
            _two_sided(change[:count], reach[r, 2], marker_to)
            _without_edges(here, reach[r, 2], marker_to)
    _run(paint, PAINT_RUN, shift, spans, narrow)
    _run(marker, MARKER_RUN, shift, spans, hue)
    return narrow, hue, tint


@compiled("void(f4[:,::1], i8[:,::1], f8)")
def in_unrest(values, spans, floor):  # type: ignore[no-untyped-def]
    """Divides (S, L) values by the mean of what is usual around them: on vehicles and grass, much of everything.

    The unrest varies so slowly that every third slice will do; ``spans`` as for ``ridges``.
    """
    slices, width = values.shape
    most, rows, reach = np.float32(_USUAL * floor), -(-slices // _THIN), _UNREST_COLUMNS
    some, unrest = np.empty((rows, width), np.float32), np.empty(width, np.float32)
    total = np.zeros(width + 2 * reach + 1)  # up to each column, and drawn on
    for t in range(rows):
        source, to = values[_THIN * t], some[t]
        for j in range(width):
            to[j] = min(source[j], most)
    for t in range(rows):
        first, stop = spans[_THIN * t, 0], spans[_THIN * t, 1]
        top, bottom, count = max(t - _UNREST_ROWS, 0), min(t + _UNREST_ROWS + 1, rows), stop - first
        unrest[:count] = some[top, first:stop]
        for k in range(top + 1, bottom):
            source = some[k, first:stop]
            for j in range(count):
                unrest[j] += source[j]
        up_to, low, high = total[reach + 1 :], total[:count], total[2 * reach + 1 :]
        so_far = 0.0
        for j in range(count):
            so_far += unrest[j]
            up_to[j] = so_far
        up_to[count : count + reach] = so_far
        for j in range(count):
            columns = min(j + reach + 1, count) - max(j - reach, 0)
            unrest[j] = 1 / ((high[j] - low[j]) / ((bottom - top) * columns) + floor)
        for r in range(_THIN * t, min(_THIN * (t + 1), slices)):
            to = values[r, first:stop]
            for j in range(count):
                to[j] *= unrest[j]


# -- crossings --------------------------------------------------------------------------------------------------------


@compiled("b1(f4[:,::1], i8, i8, f8[:,::1], i8[::1])")
def _is_upright(strength, row, column, slices, shift):  # type: ignore[no-untyped-def]
    """Whether a crest goes on towards the camera's foot rather than along the road.

    The edges of what stands on the road (vehicles, posts, trees) are drawn out radially in any view of the road plane.
    """
    count, width = strength.shape
    y = (HALF_WIDTH_M - STEP_M * column) / (STEP_M * slices[row, 0])
    along = radial = math.inf
    for step in (-_LOOK_SLICES, _LOOK_SLICES):
        other = min(max(row + step, 0), count - 1)
        outwards = math.floor(y * (slices[row, 0] - slices[other, 0]) + 0.5)
        onwards = shift[other] - shift[row]
        if abs(outwards - onwards) < 2:
            return False
        there = strength[other]
        radial = min(radial, there[min(max(column + outwards, 0), width - 1)])
        at = min(max(column + onwards, 1), width - 2)
        along = min(along, max(there[at - 1], there[at], there[at + 1]))
    return radial > _MIN_STRENGTH and radial > along


@compiled("i8(f4[::1], i8, Tuple((b1[::1], i4[::1], b1[::1])), i8[::1])")
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


@compiled(
    "Tuple((i8[::1], f8[::1], f8[:,::1]))"
    "(f4[:,::1], f4[:,::1], f4[:,::1], Tuple((b1[::1], i4[::1], b1[::1])), f8[:,::1], i8[::1], f8[:,::1])"
)
def crossings(strength, paint, tint, free, slices, shift, road):  # type: ignore[no-untyped-def]
    """Slice (N,) and column (N,) of the crests, and their x, y, its sigma, weight and tint (N, 5).

    ``slices`` (S, 3): distance, and the lateral standard deviation of paint and of raised markers at it. ``road``
    (3, 3): homography from the grid's road plane to the one that x and y are wanted on; what falls out of it is not
    told.
    """
    rows, width = strength.shape
    most = rows * _MAX_IN_SLICE
    row, columns, points = np.empty(most, np.int64), np.empty(most), np.empty((most, 5))
    best, n = np.empty(_MAX_IN_SLICE, np.int64), 0
    for r in range(rows):
        values = strength[r]
        for k in range(_crests(values, r * width, free, best)):
            j = best[k]
            before, value, after = np.float64(values[j - 1]), np.float64(values[j]), np.float64(values[j + 1])
            bend = min(before - 2 * value + after, -1e-6)
            column = j + min(max(0.5 * (before - after) / bend, -0.5), 0.5)
            at, y = slices[r, 0], HALF_WIDTH_M - STEP_M * column
            depth = road[2, 0] * at + road[2, 1] * y + road[2, 2]
            points[n, 0] = (road[0, 0] * at + road[0, 1] * y + road[0, 2]) / depth
            points[n, 1] = (road[1, 0] * at + road[1, 1] * y + road[1, 2]) / depth
            if not 0.0 < points[n, 0] < _FARTHEST_M:
                continue
            weight = min(value, _SATURATION) / _SATURATION
            if _is_upright(strength, r, j, slices, shift):
                weight *= _UPRIGHT_WEIGHT
            row[n], columns[n], points[n, 3], points[n, 4] = r, column, weight, tint[r, j]
            points[n, 2] = slices[r, 1] if paint[r, j] > _PAINT_SHARE * value else slices[r, 2]
            n += 1
    return row[:n], columns[:n], points[:n]


@compiled("Tuple((i8[:,::1], b1[:,::1]))(f8[::1], f8[::1], f8[::1], Tuple((b1[::1], i4[::1], b1[::1])))")
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


@compiled("f8[::1](f4[:,::1], i8[:,:], b1[:,:], i8)")
def medians(values, column, seen, least):  # type: ignore[no-untyped-def]
    """(B,) upper medians of values (S, L) along paths, columns (S, B), where seen (S, B); NaN where less than so many
    are. Where all slices are seen it is the lower one."""
    slices, count = column.shape
    out, path = np.full(count, math.nan), np.empty(slices)
    for b in range(count):
        n = 0
        for r in range(slices):
            if seen[r, b]:
                path[n] = values[r, column[r, b]]
                n += 1
        if n >= least:
            out[b] = nth(path, n, n // 2 - (n == slices))
    return out


@compiled("f8[:,::1](f8[:,::1], i8[::1], f8[::1], f8[::1], f8[:,::1], f8[::1], i8)")
def candidates(points, row, shape, measure, seen, blur, most):  # type: ignore[no-untyped-def]
    """Peaks of the crossings' histogram over their bases at the vehicle, left to right: (3, K) base, evidence, length.

    Args:
        points, row: (N, 5) x, y, its sigma, weight and tint of the crossings, and their slices (N,).
        measure: (S,) what a slice counts.
        seen: (S, B) share of it that is seen at equally spaced bases over the span.
        blur: (2 k + 1,) what the histogram is smoothed with.
        most: so many of them, the highest.
    """
    histogram, profile = np.zeros(_BASE_BINS), np.zeros(_BASE_BINS)
    visible, total = np.zeros(seen.shape[1]), 0.0
    for r in range(len(measure)):
        total += measure[r]
        for b in range(seen.shape[1]):
            visible[b] += measure[r] * seen[r, b]
    for n in range(len(points)):
        x = points[n, 0]
        base = points[n, 1] - x * (shape[0] + x * (shape[1] + x * shape[2]))
        base /= 1.0 + x * (shape[3] + x * shape[4])
        if abs(base) < BASE_SPAN_M:
            histogram[int((base + BASE_SPAN_M) / BASE_BIN_M)] += points[n, 3] * points[n, 3] * measure[row[n]]
    reach = len(blur) // 2
    for k in range(_BASE_BINS):
        for j in range(max(k - reach, 0), min(k + reach + 1, _BASE_BINS)):
            profile[k] += histogram[j] * blur[j - k + reach]
    kept, count = np.empty(most, np.int64), 0
    for k in range(1, _BASE_BINS - 1):
        if not (profile[k] >= profile[k - 1] and profile[k] > profile[k + 1]):
            continue
        at = count
        while at > 0 and profile[kept[at - 1]] < profile[k]:
            at -= 1
        if at < most:
            count = min(count + 1, most)
            for j in range(count - 1, at, -1):
                kept[j] = kept[j - 1]
            kept[at] = k
    for i in range(1, count):  # from the left to the right
        k, at = kept[i], i
        while at > 0 and kept[at - 1] < k:
            kept[at] = kept[at - 1]
            at -= 1
        kept[at] = k
    out = np.empty((3, count))
    for i in range(count):
        base = (kept[i] + 0.5) * BASE_BIN_M - BASE_SPAN_M
        b = min(int((base + BASE_SPAN_M) / (2 * BASE_SPAN_M) * len(visible)), len(visible) - 1)
        out[0, i], out[2, i] = base, profile[kept[i]]
        out[1, i] = profile[kept[i]] / max(visible[b], 0.25 * total)
    return out


# -- search -----------------------------------------------------------------------------------------------------------


@compiled("f8[::1](f8[:,::1], f8[::1], f8[:,::1])")
def vote(xy_m, votes, hypotheses):  # type: ignore[no-untyped-def]
    """(H,) support of hypotheses (H, 3) heading, bend and spread by voters (N, 2) and their votes (N,).

    The sum of squares of what stands out of the histogram of the bases.
    """
    around, support = 2 * _AROUND_BINS + 1, np.empty(len(hypotheses))
    histogram, total = np.zeros(_VOTE_BINS), np.zeros(_VOTE_BINS + 1)
    x_m, y_m, share = np.empty(len(xy_m)), np.empty(len(xy_m)), np.empty(len(xy_m))
    bins = np.empty(len(xy_m), np.int32)
    for n in range(len(xy_m)):
        x_m[n], y_m[n] = xy_m[n, 0], xy_m[n, 1]
    for h in range(len(hypotheses)):
        heading, bend, spread = hypotheses[h, 0], hypotheses[h, 1], hypotheses[h, 2]
        if h == 0 or spread != hypotheses[h - 1, 2]:  # of a grid's hypotheses one in many
            for n in range(len(x_m)):
                share[n] = 1.0 / (VOTE_BIN_M * (1.0 + spread * x_m[n]))
        for n in range(len(x_m)):
            at = (y_m[n] - x_m[n] * (heading + bend * x_m[n])) * share[n] + VOTE_SPAN_M / VOTE_BIN_M
            bins[n] = np.int32(min(max(at, 0.0), _VOTE_BINS - 1.0))
        for k in range(_VOTE_BINS):
            histogram[k] = 0.0
        for n in range(len(bins)):
            histogram[np.uintp(bins[n])] += votes[n]
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


@compiled("Tuple((f8[:,::1], f8[::1]))(f8[:,::1], i8)")
def voters(points, most):  # type: ignore[no-untyped-def]
    """Positions (N, 2) and votes (N,) of so many crossings (., 5), the strongest; of a slice they count by its road."""
    votes, least = np.empty(len(points)), -math.inf
    for n in range(len(points)):
        votes[n] = points[n, 3] * points[n, 3] * math.sqrt(min(points[n, 0], _VOTES_TO_M))
    if len(votes) > most:
        least = nth(votes.copy(), len(votes), len(votes) - most)
    equal = most  # of those with just the least vote so many have a place
    for n in range(len(votes)):
        equal -= votes[n] > least
    xy_m, count = np.empty((min(most, len(votes)), 2)), 0
    for n in range(len(votes)):
        if votes[n] < least or (votes[n] == least and equal <= 0):
            continue
        equal -= votes[n] == least
        xy_m[count, 0], xy_m[count, 1], votes[count] = points[n, 0], points[n, 1], votes[n]
        count += 1
    return xy_m[:count], votes[:count]


@compiled("f8[::1](f8[:,::1], f8[::1], f8[:,::1], f8[::1], f8[::1])")
def scores(xy_m, votes, hypotheses, believed, sharpness):  # type: ignore[no-untyped-def]
    """``vote``, less of it the farther a hypothesis is from what was believed (3,), in units of ``sharpness`` (3,)."""
    support = vote(xy_m, votes, hypotheses)
    for h in range(len(hypotheses)):
        apart = 0.0
        for k in range(3):
            apart += ((hypotheses[h, k] - believed[k]) * sharpness[k]) ** 2
        support[h] *= math.exp(-0.25 * apart)
    return support
