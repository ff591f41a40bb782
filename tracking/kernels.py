"""Compiled loops of the tracker, over rows of tracks (``tracking.table``) and of detections (``tracking.frame``).

One pass over memory in place of chains of small NumPy calls, each of which costs more than its arithmetic. Signatures
are given, so everything is compiled, or read from the cache on disk, when the module is imported: only a constructor
does that, never an update. Nothing is checked here: arrays are C-contiguous, float64 and int64.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from geometry.compiled import compiled
from tracking.classes import FADE, FLICKER_COST, GROUP
from tracking.frame import D_BOX, D_CLASS, D_EVIDENCE, D_ODDS, D_ROW, D_SCORE, D_WIDTH, D_XYXY
from tracking.table import (
    ANCHORS,
    BELIEVED,
    BEST,
    BORN,
    BOX,
    CLASS,
    DETECTION,
    HIDDEN,
    ID,
    KEPT,
    KEPT_S,
    LAST,
    MEAN,
    MISSED,
    PP,
    PRESENT,
    PV,
    RATE,
    SCORE,
    SEEN,
    STATE,
    VOTES,
    VV,
    WIDTH,
    XYXY,
)

_BOX, _RATE, _PP, _PV, _VV, _XYXY = BOX.start, RATE.start, PP.start, PV.start, VV.start, XYXY.start
_LAST, _KEPT, _ANCHORS, _VOTES, _STATES = LAST.start, KEPT.start, ANCHORS.start, VOTES.start, STATE.stop
_D_BOX, _D_XYXY = D_BOX.start, D_XYXY.start
_CLASSES = len(GROUP)
_SMALLEST_PX = 1.0  # predicted boxes never shrink below
_LEAST_NOISE = 0.05  # of the variance: no detection is exact, however sure
_WHOLE_DROP = 6.0  # log-odds, as from a score of 0.999 to one of 0.7, from which on a score has dropped entirely
_LEAST_GAIN = 1e-9  # a pair is worth joining above
_MOST_NEARER = 0.3  # of its distance that an object comes nearer, or goes further away, between two frames
_LEAST_GROWTH2 = 1e-12  # px^2 / s^2, so that 0 over 0 is none
_RIM = 0.005  # of the picture: a detected edge nearer to its end is one that the picture cuts off


@numba.njit(inline="always")
def _copy(source, start, target, place, count):  # type: ignore[no-untyped-def]
    for k in range(count):  # a loop, for assigning slices takes the compiler ten times as long
        target[place + k] = source[start + k]


# -- reading ----------------------------------------------------------------------------------------------------------


@compiled("Tuple((f8[:,::1], b1))(f8[:,::1], f8[::1], i8[::1])")
def read_detections(xyxy, score, class_id):  # type: ignore[no-untyped-def]
    """Rows (M, D_WIDTH) of the detections that have an area, evidence 0, and whether all M are valid."""
    seen = np.empty((len(xyxy), D_WIDTH))
    count, valid = 0, True
    for m in range(len(xyxy)):
        x1, y1, x2, y2 = xyxy[m, 0], xyxy[m, 1], xyxy[m, 2], xyxy[m, 3]
        valid &= math.isfinite(x1) and math.isfinite(y1) and math.isfinite(x2) and math.isfinite(y2)
        valid &= 0.0 <= score[m] <= 1.0 and 0 <= class_id[m] < _CLASSES
        if not (x2 > x1 and y2 > y1):
            continue
        row = seen[count]
        _copy(xyxy[m], 0, row, _D_XYXY, 4)
        row[_D_BOX], row[_D_BOX + 1] = x1 + 0.5 * (x2 - x1), y1 + 0.5 * (y2 - y1)
        row[_D_BOX + 2], row[_D_BOX + 3] = x2 - x1, y2 - y1
        row[D_SCORE], row[D_CLASS], row[D_ROW], row[D_EVIDENCE] = score[m], class_id[m], m, 0.0
        s = min(max(score[m], 1e-5), 1.0 - 1e-5)
        row[D_ODDS] = math.log(s / (1.0 - s))
        count += 1
    return seen[:count], valid


# -- moving on --------------------------------------------------------------------------------------------------------


@numba.njit(inline="always")
def _warped(x, y, h):  # type: ignore[no-untyped-def]
    scale = 1.0 / (h[2, 0] * x + h[2, 1] * y + h[2, 2])
    return (h[0, 0] * x + h[0, 1] * y + h[0, 2]) * scale, (h[1, 0] * x + h[1, 1] * y + h[1, 2]) * scale


@compiled("void(f8[:,::1], f8, f8, f8)")
def predict(data, dt_s, acceleration2, size_acceleration2):  # type: ignore[no-untyped-def]
    """Move all boxes on, as ``kalman.predict_axes`` does, by the spectral densities relative to the squared sizes.

    Steady is the motion in the world, not that in the picture. Sizes and places go with 1 / Z at a distance Z - w t, so
    with g = w t / Z, which the rate of the height tells, a step is 1 / (1 - g) as long as its rate says, and the rate
    grows by 1 / (1 - g)^2. The rate of the height is believed as far as it exceeds its own deviation.
    """
    for n in range(len(data)):
        row = data[n]
        growth, growth2 = row[_RATE + 3], row[_RATE + 3] * row[_RATE + 3]
        nearer = growth * growth2 / ((growth2 + row[_VV + 3] + _LEAST_GROWTH2) * row[_BOX + 3]) * dt_s
        stretch = 1.0 / (1.0 - min(max(nearer, -_MOST_NEARER), _MOST_NEARER))
        w2, h2 = row[_BOX + 2] * row[_BOX + 2], row[_BOX + 3] * row[_BOX + 3]
        for a in range(4):
            relative2 = acceleration2 if a < 2 else size_acceleration2
            step = (w2 if a % 2 == 0 else h2) * relative2 * dt_s
            row[_BOX + a] += row[_RATE + a] * dt_s * stretch
            row[_RATE + a] *= stretch * stretch
            # a rate that grows takes its own error along, else no measurement could call it back
            spread = row[_VV + a] * dt_s * stretch
            row[_PP + a] += (2.0 * row[_PV + a] + spread) * dt_s * stretch + step * (dt_s * dt_s / 3.0)
            row[_PV + a] = (row[_PV + a] + spread) * stretch * stretch + step * (0.5 * dt_s)
            row[_VV + a] = row[_VV + a] * stretch * stretch * stretch * stretch + step
        row[_BOX + 2], row[_BOX + 3] = max(row[_BOX + 2], _SMALLEST_PX), max(row[_BOX + 3], _SMALLEST_PX)


@compiled("void(f8[:,::1], f8[:,::1])")
def warp(data, homography):  # type: ignore[no-untyped-def]
    """Move boxes, and what is remembered of past observations, along with the picture."""
    for n in range(len(data)):
        row = data[n]
        for start in (_BOX, _LAST, _KEPT):
            x, y, w, h = row[start], row[start + 1], 0.5 * row[start + 2], 0.5 * row[start + 3]
            low_x, low_y = _warped(x - w, y - h, homography)
            high_x, high_y = _warped(x + w, y + h, homography)
            row[start], row[start + 1] = 0.5 * (low_x + high_x), 0.5 * (low_y + high_y)
            row[start + 2], row[start + 3] = high_x - low_x, high_y - low_y
        for start in (_ANCHORS, _ANCHORS + 3):
            row[start], row[start + 1] = _warped(row[start], row[start + 1], homography)
        row[_BOX + 2], row[_BOX + 3] = max(row[_BOX + 2], _SMALLEST_PX), max(row[_BOX + 3], _SMALLEST_PX)


# -- comparing --------------------------------------------------------------------------------------------------------


@numba.njit
def _in_picture(row, picture, box):  # type: ignore[no-untyped-def]
    """Centre and size of what the picture shows of a track's box; all of it where it shows none, or its size is 0."""
    for a in range(2):
        low, high = row[_BOX + a] - 0.5 * row[_BOX + 2 + a], row[_BOX + a] + 0.5 * row[_BOX + 2 + a]
        inner_low, inner_high = max(low, 0.0), min(high, picture[a] - 1.0)
        if picture[a] > 0.0 and inner_high - inner_low >= _SMALLEST_PX:
            low, high = inner_low, inner_high
        box[a], box[2 + a] = 0.5 * (low + high), high - low


@numba.njit
def _iou(box, one, half):  # type: ignore[no-untyped-def]
    """Overlap of a box and a detection, reaching ``half`` of their size from the centre."""
    common = 1.0
    for a in range(2):
        p, q = box[a], one[_D_BOX + a]
        reach_p, reach_q = half * box[2 + a], half * one[_D_BOX + 2 + a]
        common *= max(min(p + reach_p, q + reach_q) - max(p - reach_p, q - reach_q), 0.0)
    area = box[2] * box[3] + one[_D_BOX + 2] * one[_D_BOX + 3]
    return common / (4.0 * half * half * area - common)


@numba.njit
def _first_at(ascending, value):  # type: ignore[no-untyped-def]
    """Index of the first element that is not below the value."""
    low, high = 0, len(ascending)
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit
def _longer(values):  # type: ignore[no-untyped-def]
    """The same values, and as much room again."""
    new = np.empty(2 * len(values), values.dtype)
    _copy(values, 0, new, 0, len(values))
    return new


@numba.njit
def _likeness(row, box, one, iou, noise2, mahalanobis):  # type: ignore[no-untyped-def]
    """Of a track, by the part of it in the picture, and a detection: overlap, and the filter's own uncertainty."""
    if mahalanobis == 0.0:
        return iou
    distance2 = 0.0
    for a in range(4):
        size = one[_D_BOX + 2 + a % 2]
        residual = one[_D_BOX + a] - box[a]
        distance2 += residual * residual / (row[_PP + a] + noise2 * size * size)
    return (1.0 - mahalanobis) * iou + mahalanobis * math.exp(-0.125 * distance2)


@compiled(
    "Tuple((i8[::1], i8[::1], f8[::1], f8[::1]))(f8[:,::1], f8[:,::1], i8[::1], f8, UniTuple(f8, 5), UniTuple(f8, 2))"
)
def compare(data, seen, order, half, setting, picture):  # type: ignore[no-untyped-def]
    """Tracks and detections that may belong together.

    Args:
        order: detections by the left edge of their widened boxes, ascending.
        half: boxes are widened to reach so much of their size from their centre.
        setting: variance of the noise relative to the squared size, weight of the Mahalanobis likeness, least likeness;
            and how much more is asked of detections that are surely false, and of those that are far less sure than the
            track usually is. What is asked opens or shuts a pair; it does not weigh between open ones.
        picture: width and height in pixels: only what is inside can be detected; 0: not known.

    Returns:
        (K,) tracks, (K,) detections, (K,) gains, positive, of the pairs that overlap; and (M,) the largest overlap of
        each detection with a track of its kind.
    """
    noise2, mahalanobis, least, doubt, drop = setting
    box = np.empty(4)
    room, count = 2 * (len(data) + len(seen)) + 16, 0
    i, j, gain, overlap = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room), np.zeros(len(seen))
    left, widest = np.empty(len(seen)), 0.0
    for place in range(len(seen)):
        one = seen[order[place]]
        left[place] = one[_D_BOX] - half * one[_D_BOX + 2]
        widest = max(widest, 2.0 * half * one[_D_BOX + 2])
    for n in range(len(data)):
        row = data[n]
        _in_picture(row, picture, box)
        kind, reach = int(row[CLASS]), half * box[2]
        for place in range(_first_at(left, box[0] - reach - widest), len(seen)):
            if left[place] >= box[0] + reach:
                break
            m = order[place]
            one, other = seen[m], int(seen[m, D_CLASS])
            iou = _iou(box, one, half)
            if iou == 0.0 or GROUP[kind] != GROUP[other]:
                continue
            overlap[m] = max(overlap[m], iou)
            value = (
                _likeness(row, box, one, iou, noise2, mahalanobis) - least - (0.0 if kind == other else FLICKER_COST)
            )
            asked = doubt / (1.0 + math.exp(one[D_EVIDENCE]))
            asked += drop * min(max(row[MEAN] - one[D_ODDS], 0.0) * (1.0 / _WHOLE_DROP), 1.0)
            if value - asked < _LEAST_GAIN:
                continue
            if count == len(i):
                i, j, gain = _longer(i), _longer(j), _longer(gain)
            i[count], j[count], gain[count] = n, m, value
            count += 1
    return i[:count], j[:count], gain[:count], overlap


@numba.njit
def _two_best(group, gain, open_, count):  # type: ignore[no-untyped-def]
    """Per group: the pair of the largest gain or -1, and the second largest gain or 0; of the pairs that are open."""
    best, second = np.empty(count, np.int64), np.empty(count)
    for g in range(count):
        best[g], second[g] = -1, 0.0
    for k in range(len(gain)):
        if not open_[k]:
            continue
        g = group[k]
        if best[g] < 0 or gain[k] > gain[best[g]]:
            second[g] = 0.0 if best[g] < 0 else gain[best[g]]
            best[g] = k
        elif gain[k] > second[g]:
            second[g] = gain[k]
    return best, second


@compiled("Tuple((b1[::1], b1[::1]))(i8[::1], i8[::1], f8[::1], i8, i8)")
def settle(i, j, gain, rows, columns):  # type: ignore[no-untyped-def]
    """Take out pairs that belong to an optimum whatever the others do, again and again.

    Such a pair gains at least as much as the next best of its row and the next best of its column together: a choice
    without it holds at most those two in its place.

    Returns:
        (K,) pairs chosen, and (K,) pairs that are still open.
    """
    chosen, open_ = np.empty(len(gain), np.bool_), np.empty(len(gain), np.bool_)
    for k in range(len(gain)):
        chosen[k], open_[k] = False, gain[k] > 0.0
    more = True
    while more:
        more = False
        row_best, row_second = _two_best(i, gain, open_, rows)
        column_best, column_second = _two_best(j, gain, open_, columns)
        for r in range(rows):
            k = row_best[r]
            if k < 0 or column_best[j[k]] != k or gain[k] < row_second[r] + column_second[j[k]]:
                continue
            chosen[k] = more = True
            column_best[j[k]] = -2
        for k in range(len(gain)):
            if open_[k] and (column_best[j[k]] == -2 or (row_best[i[k]] >= 0 and chosen[row_best[i[k]]])):
                open_[k] = False
    return chosen, open_


# -- believing and learning -------------------------------------------------------------------------------------------


@compiled("f8[::1](f8[:,::1], i8[::1], i8[::1], f8[:,::1], f8, UniTuple(f8, 2))")
def likelihood_ratios(data, rows, columns, seen, share, missed):  # type: ignore[no-untyped-def]
    """(N,) likelihood of this frame if the object of a track is there to see, over that if it is not.

    Args:
        rows, columns: (K,) matched tracks and detections.
        share: of the evidence that counts, frames being near in time.
        missed: the ratio of a track without a detection, and of one that had none the last time either.
    """
    ratio = np.empty(len(data))
    for n in range(len(data)):
        ratio[n] = missed[0] if data[n, MISSED] == 0.0 else missed[1]
        data[n, MISSED] += 1.0
    for k in range(len(rows)):
        ratio[rows[k]] = math.exp(seen[columns[k], D_EVIDENCE] * share)
        data[rows[k], MISSED] = 0.0
    return ratio


@numba.njit
def _uncut(row, one, picture, box):  # type: ignore[no-untyped-def]
    """Centre and size of a detection; where the picture cuts it off it goes on as far as the track's box does."""
    for a in range(2):
        low, high = one[_D_XYXY + a], one[_D_XYXY + 2 + a]
        if picture[a] > 0.0:
            if low <= _RIM * picture[a]:
                low = min(low, row[_BOX + a] - 0.5 * row[_BOX + 2 + a])
            if high >= (1.0 - _RIM) * picture[a] - 1.0:
                high = max(high, row[_BOX + a] + 0.5 * row[_BOX + 2 + a])
        box[a], box[2 + a] = 0.5 * (low + high), high - low


@compiled("void(f8[:,::1], UniTuple(i8[::1], 2), f8[:,::1], Tuple((f8, b1)), UniTuple(f8, 3), UniTuple(f8, 2))")
def learn(data, pairs, seen, when, setting, picture):  # type: ignore[no-untyped-def]
    """Filter matched boxes into their tracks as ``kalman.update_axes`` does, remember them, and vote on classes.

    Args:
        pairs: (K,) matched tracks and (K,) detections.
        when: time in seconds, and whether a detector saw them, not only the flow followed them.
        setting: variance of the noise relative to the squared size; share of it that a score of 1 takes away; share
            of the newest score in the mean of a track's scores.
        picture: width and height in pixels, 0: not known.
    """
    noise2, score_noise, newest = setting
    rows, columns = pairs
    t_s, detected = when
    box = np.empty(4)
    for k in range(len(rows)):
        row, one = data[rows[k]], seen[columns[k]]
        scale = noise2 * max(1.0 - score_noise * one[D_SCORE], _LEAST_NOISE) if detected else noise2
        _uncut(row, one, picture, box)
        for a in range(4):
            size = one[_D_BOX + 2 + a % 2]
            pp, pv, r = row[_PP + a], row[_PV + a], scale * size * size
            inverse = 1.0 / (pp + r)
            residual = box[a] - row[_BOX + a]
            row[_BOX + a] += pp * inverse * residual
            row[_RATE + a] += pv * inverse * residual
            row[_PP + a], row[_PV + a] = pp * (r * inverse), pv * (r * inverse)
            row[_VV + a] -= pv * inverse * pv
        _copy(one, _D_BOX, row, _LAST, 4)
        _copy(row, 0, row, _KEPT, _STATES)
        row[KEPT_S] = t_s
        if not detected:
            continue
        _copy(one, _D_XYXY, row, _XYXY, 4)
        row[SEEN], row[SCORE], row[DETECTION] = t_s, one[D_SCORE], one[D_ROW]
        row[BEST] = max(row[BEST], one[D_ODDS])
        row[MEAN] += newest * (one[D_ODDS] - row[MEAN])
        most = 0
        for c in range(_CLASSES):
            row[_VOTES + c] = FADE * row[_VOTES + c] + (one[D_SCORE] if c == int(one[D_CLASS]) else 0.0)
            most = c if row[_VOTES + c] > row[_VOTES + most] else most
        row[CLASS] = most


# -- birth, death and report ------------------------------------------------------------------------------------------


@numba.njit
def _leaves(row, width, height, inside):  # type: ignore[no-untyped-def]
    """Outside but for a share of less than ``inside`` of its area, and moving further out."""
    visible, outwards = 1.0, False
    for a in range(2):
        edge, half = (width if a == 0 else height), 0.5 * row[_BOX + 2 + a]
        low, high, rate = row[_BOX + a] - half, row[_BOX + a] + half, row[_RATE + a]
        share = max(min(high, edge) - max(low, 0.0), 0.0) / (2.0 * half)
        outwards |= share < 1.0 and ((low < 0.0 and rate < 0.0) or (high > edge and rate > 0.0))
        visible *= share
    return outwards and visible < inside


@compiled("b1[::1](f8[:,::1], f8, f8, f8, UniTuple(f8, 3))")
def kept(data, t_s, drop, max_unseen_s, picture):  # type: ignore[no-untyped-def]
    """(N,) tracks that are probable enough, were seen lately, and did not leave the picture.

    Args:
        picture: width and height, pixels, and the share of its box that an unseen track on its way out must have
            inside it; 0: nothing leaves.
    """
    width, height, inside = picture
    keep = np.empty(len(data), np.bool_)
    for n in range(len(data)):
        row = data[n]
        keep[n] = row[PRESENT] + row[HIDDEN] >= drop and row[SEEN] >= t_s - max_unseen_s
        if keep[n] and inside > 0.0 and row[KEPT_S] < t_s:
            keep[n] = not _leaves(row, width, height, inside)
    return keep


@compiled("i8[::1](f8[:,::1], i8[::1], f8[::1], f8, UniTuple(f8, 4))")
def born(seen, taken, overlap, log_birth_odds, setting):  # type: ignore[no-untyped-def]
    """(B,) detections that begin a track; the evidence of those becomes their probability to be real.

    Args:
        taken: (K,) detections that joined a track.
        setting: least probability; overlap with a track from which on a detection is its double; score that always
            begins a track; and the probability given to it at least.
    """
    birth, duplicate, tried, drop = setting
    free, rows, count = np.empty(len(seen), np.bool_), np.empty(len(seen), np.int64), 0
    for m in range(len(seen)):
        free[m] = True
    for m in taken:
        free[m] = False
    for m in range(len(seen)):
        present = 1.0 / (1.0 + math.exp(-(seen[m, D_EVIDENCE] + log_birth_odds)))
        if seen[m, D_SCORE] >= tried:
            present = max(present, drop)
        if free[m] and present >= birth and overlap[m] < duplicate:
            rows[count], seen[m, D_EVIDENCE] = m, present
            count += 1
    return rows[:count]


@compiled("f8[:,::1](f8[:,::1], i8[::1], f8, i8, UniTuple(f8, 3))")
def newborn(seen, rows, t_s, first_id, setting):  # type: ignore[no-untyped-def]
    """Rows (B, WIDTH) of new tracks from the detections ``born`` tells.

    Args:
        setting: variances relative to the squared size of a detected edge, of the unknown rate of the centre, and of
            that of the size (1/s^2).
    """
    noise2, speed2, size_speed2 = setting
    new = np.zeros((len(rows), WIDTH))
    for b in range(len(rows)):
        row, one = new[b], seen[rows[b]]
        for a in range(4):
            size = one[_D_BOX + 2 + a % 2]
            row[_BOX + a] = row[_LAST + a] = one[_D_BOX + a]
            row[_PP + a] = noise2 * size * size
            row[_VV + a] = (speed2 if a < 2 else size_speed2) * size * size
            row[_XYXY + a] = one[_D_XYXY + a]
        _copy(row, 0, row, _KEPT, _STATES)
        for start in (_ANCHORS, _ANCHORS + 3):
            row[start], row[start + 1], row[start + 2] = row[_BOX], row[_BOX + 1], t_s
        row[PRESENT], row[SCORE], row[DETECTION] = one[D_EVIDENCE], one[D_SCORE], one[D_ROW]
        row[BORN] = row[SEEN] = row[KEPT_S] = t_s
        row[BEST] = row[MEAN] = one[D_ODDS]
        row[ID], row[CLASS] = first_id + b, one[D_CLASS]
        row[_VOTES + int(one[D_CLASS])] = one[D_SCORE]
    return new


@numba.njit
def _likely_near(row):  # type: ignore[no-untyped-def]
    """Probability that a predicted box is off by less than a third of its size, an IoU of a half, along both axes."""
    near = 1.0
    for a in range(2):
        near *= math.erf(row[_BOX + 2 + a] / (3.0 * math.sqrt(2.0 * row[_PP + a])))
    return near


@compiled(
    "Tuple((i8[::1], i8[:,::1], f8[::1], f8[:,::1], f8[::1], f8[::1]))"
    "(f8[:,::1], f8, f8, UniTuple(f8, 5), UniTuple(f8, 2))"
)
def shown(data, t_s, smooth, asked, picture):  # type: ignore[no-untyped-def]
    """The tracks to report, and their columns; sets which tracks are believed.

    Args:
        smooth: share of the filtered box beside the detected one.
        asked: ``report.Demand``.
        picture: width and height in pixels, which boxes are cut to; 0: not known.

    Returns:
        (S,) rows; (4, S) identity, class, row of the detection, and whether there is one; (S,) score, (S, 4) box,
        (S,) seconds since birth, (S,) since last seen.
    """
    show, hide, unseen, best, mean = asked
    rows, count, box = np.empty(len(data), np.int64), 0, np.empty(4)
    for n in range(len(data)):
        row = data[n]
        if row[PRESENT] > show and row[BEST] >= best:
            row[BELIEVED] = 1.0
        least, sure = hide, 1.0
        if row[DETECTION] < 0.0:
            least, sure = unseen, _likely_near(row)
        if row[BELIEVED] > 0.0 and row[PRESENT] * sure > least and row[MEAN] >= mean:
            rows[count] = n
            count += 1
    whole, xyxy = np.empty((4, count), np.int64), np.empty((count, 4))
    score, age_s, unseen_s = np.empty(count), np.empty(count), np.empty(count)
    for k in range(count):
        row = data[rows[k]]
        detected = row[DETECTION] >= 0.0
        whole[0, k], whole[1, k], whole[2, k], whole[3, k] = row[ID], row[CLASS], row[DETECTION], detected
        score[k], age_s[k], unseen_s[k] = row[SCORE], t_s - row[BORN], t_s - row[SEEN]
        share = smooth if detected else 1.0
        _in_picture(row, picture, box)
        for a in range(4):
            reach = (-0.5 if a < 2 else 0.5) * box[2 + a % 2]
            xyxy[k, a] = share * (box[a % 2] + reach) + (1.0 - share) * row[_XYXY + a]
    return rows[:count], whole, score, xyxy, age_s, unseen_s
