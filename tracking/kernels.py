"""Compiled loops of the tracker's filter: rows of tracks (``tracking.table``) and of detections (``tracking.frame``).

One pass over memory in place of chains of small NumPy calls, each of which costs more than its arithmetic. Signatures
are given, so everything is compiled, or read from the cache on disk, when the module is imported: only a constructor
does that, never an update. Nothing is checked here: arrays are C-contiguous, float64 and int64. The same holds for
``tracking.match_kernels`` and ``tracking.life_kernels``.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from geometry.compiled import compiled
from tracking.classes import FADE, GROUP
from tracking.frame import D_BOX, D_CLASS, D_EVIDENCE, D_ODDS, D_ROW, D_SCORE, D_WIDTH, D_XYXY
from tracking.table import (
    ANCHORS,
    BEST,
    BOX,
    CLASS,
    DETECTION,
    KEPT,
    KEPT_S,
    LAST,
    MEAN,
    PP,
    PV,
    RATE,
    SCORE,
    SEEN,
    STATE,
    VOTES,
    VV,
    XYXY,
)

_BOX, _RATE, _PP, _PV, _VV, _XYXY = BOX.start, RATE.start, PP.start, PV.start, VV.start, XYXY.start
_LAST, _KEPT, _ANCHORS, _VOTES, _STATES = LAST.start, KEPT.start, ANCHORS.start, VOTES.start, STATE.stop
_D_BOX, _D_XYXY = D_BOX.start, D_XYXY.start
_CLASSES = len(GROUP)
SMALLEST_PX = 1.0  # predicted boxes never shrink below
_LEAST_NOISE = 0.05  # of the variance: no detection is exact, however sure
_MOST_NEARER = 0.3  # of its distance that an object comes nearer, or goes further away, between two frames
_LEAST_GROWTH2 = 1e-12  # px^2 / s^2, so that 0 over 0 is none
RIM = 0.005  # of the picture: a detected edge nearer to its end is one that the picture cuts off


@numba.njit(inline="always")
def copy_row(source, start, target, place, count):  # type: ignore[no-untyped-def]
    for k in range(count):  # a loop, for assigning slices takes the compiler ten times as long
        target[place + k] = source[start + k]


@numba.njit
def in_picture(row, picture, box):  # type: ignore[no-untyped-def]
    """Centre and size of what the picture shows of a track's box; all of it where it shows none, or its size is 0."""
    for a in range(2):
        low, high = row[_BOX + a] - 0.5 * row[_BOX + 2 + a], row[_BOX + a] + 0.5 * row[_BOX + 2 + a]
        inner_low, inner_high = max(low, 0.0), min(high, picture[a] - 1.0)
        if picture[a] > 0.0 and inner_high - inner_low >= SMALLEST_PX:
            low, high = inner_low, inner_high
        box[a], box[2 + a] = 0.5 * (low + high), high - low


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
        copy_row(xyxy[m], 0, row, _D_XYXY, 4)
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
        row[_BOX + 2], row[_BOX + 3] = max(row[_BOX + 2], SMALLEST_PX), max(row[_BOX + 3], SMALLEST_PX)


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
        row[_BOX + 2], row[_BOX + 3] = max(row[_BOX + 2], SMALLEST_PX), max(row[_BOX + 3], SMALLEST_PX)


# -- learning ----------------------------------------------------------------------------------------------------------


@numba.njit
def _uncut(row, one, picture, box):  # type: ignore[no-untyped-def]
    """Centre and size of a detection; where the picture cuts it off it goes on as far as the track's box does.

    But not further than the picture is wide or high: out there nothing is measured, so a growing box, taken at its own
    word, would grow without end.
    """
    for a in range(2):
        low, high = one[_D_XYXY + a], one[_D_XYXY + 2 + a]
        if picture[a] > 0.0:
            if low <= RIM * picture[a]:
                low = min(low, max(row[_BOX + a] - 0.5 * row[_BOX + 2 + a], -picture[a]))
            if high >= (1.0 - RIM) * picture[a] - 1.0:
                high = max(high, min(row[_BOX + a] + 0.5 * row[_BOX + 2 + a], 2.0 * picture[a]))
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
        copy_row(one, _D_BOX, row, _LAST, 4)
        copy_row(row, 0, row, _KEPT, _STATES)
        row[KEPT_S] = t_s
        if not detected:
            continue
        copy_row(one, _D_XYXY, row, _XYXY, 4)
        row[SEEN], row[SCORE], row[DETECTION] = t_s, one[D_SCORE], one[D_ROW]
        row[BEST] = max(row[BEST], one[D_ODDS])
        row[MEAN] += newest * (one[D_ODDS] - row[MEAN])
        most = 0
        for c in range(_CLASSES):
            row[_VOTES + c] = FADE * row[_VOTES + c] + (one[D_SCORE] if c == int(one[D_CLASS]) else 0.0)
            most = c if row[_VOTES + c] > row[_VOTES + most] else most
        row[CLASS] = most
