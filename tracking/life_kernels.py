"""Compiled loops of the life of tracks: belief, birth, death and report; as ``tracking.kernels``."""

from __future__ import annotations

import math

import numba
import numpy as np

from geometry.compiled import compiled
from tracking.frame import D_BOX, D_CLASS, D_EVIDENCE, D_ODDS, D_ROW, D_SCORE, D_XYXY
from tracking.kernels import RIM, copy_row, in_picture
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
    RATE,
    SCORE,
    SEEN,
    STATE,
    VOTES,
    VV,
    WIDTH,
    XYXY,
)

_BOX, _RATE, _PP, _VV, _XYXY = BOX.start, RATE.start, PP.start, VV.start, XYXY.start
_LAST, _KEPT, _ANCHORS, _VOTES, _STATES = LAST.start, KEPT.start, ANCHORS.start, VOTES.start, STATE.stop
_D_BOX, _D_XYXY = D_BOX.start, D_XYXY.start
_KNOWN_S = 0.25  # from which age on a track's rates are its own, not those it began with
_SPEED2 = (20.0 / 1000.0) ** 2  # of the camera's speed over its focal length, as 20 m/s over 1000 px: what to expect
_OWN_GROWTH2 = 0.1  # 1/s^2: growth that is not the camera's, as of oncoming or leading cars 30 m ahead at 10 m/s
_OWN_SHIFT2 = 0.3**2  # box sizes^2 / s^2: sideways motion that is not the camera's
_MOST_GROWTH = 3.0  # 1/s; beyond, an object would pass within a third of a second
_HALVINGS = 20  # of the interval in which a median is looked for: a millionth of it is left


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
        copy_row(row, 0, row, _KEPT, _STATES)
        for start in (_ANCHORS, _ANCHORS + 3):
            row[start], row[start + 1], row[start + 2] = row[_BOX], row[_BOX + 1], t_s
        row[PRESENT], row[SCORE], row[DETECTION] = one[D_EVIDENCE], one[D_SCORE], one[D_ROW]
        row[BORN] = row[SEEN] = row[KEPT_S] = t_s
        row[BEST] = row[MEAN] = one[D_ODDS]
        row[ID], row[CLASS] = first_id + b, one[D_CLASS]
        row[_VOTES + int(one[D_CLASS])] = one[D_SCORE]
    return new


@numba.njit
def _weighted_median(value, weight):  # type: ignore[no-untyped-def]
    """Of (N,) values by (N,) weights, halving the interval that holds it."""
    low, high, half = value.min(), value.max(), 0.5 * weight.sum()
    for _ in range(_HALVINGS):
        middle, below = 0.5 * (low + high), 0.0
        for n in range(len(value)):
            below += weight[n] * (value[n] <= middle)
        if below < half:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@numba.njit
def _whole(row, picture):  # type: ignore[no-untyped-def]
    """Whether the last detection of a track is inside the picture, cut by none of its edges."""
    whole = True
    for a in range(2):
        whole &= row[_XYXY + a] > RIM * picture[a] and row[_XYXY + 2 + a] < (1.0 - RIM) * picture[a] - 1.0
    return whole


@numba.njit
def _tells_motion(row, t_s, picture):  # type: ignore[no-untyped-def]
    """A believed track that was followed for a while, is detected now, and whole."""
    known = row[BELIEVED] > 0.0 and row[DETECTION] >= 0.0 and t_s - row[BORN] > _KNOWN_S
    return known and _whole(row, picture)


@compiled("void(f8[:,::1], f8[:,::1], f8, f8[::1], UniTuple(f8, 2))")
def start_rates(new, data, t_s, height_m, picture):  # type: ignore[no-untyped-def]
    """Set the rates of new tracks (B, WIDTH) as the camera's own motion would have them if they stood still.

    What stands grows by g = v / Z, and with Z = f H / h that is (v / f) h / H: one number v / f for all; and it moves
    away from the middle of the picture by g times its place, as the camera turns by one common rate besides. Both are
    read off the tracks in view, v / f by least squares, the turn by the weighted median, a vote more for none. What
    moves itself is the error of this; the variance of a new rate is the same as without it. New tracks that the picture
    cuts keep their rates: how they grow outside cannot be measured.

    Args:
        data: (N, WIDTH) tracks in view.
        height_m: height of the objects of each class, metres.
        picture: width and height in pixels.
    """
    left, right, count = 0.0, _SPEED2**-1, 0
    at = np.empty(len(data), np.int64)
    for n in range(len(data)):
        row = data[n]
        if not _tells_motion(row, t_s, picture):
            continue
        at[count] = n
        count += 1
        h = row[_BOX + 3]
        growth, relative = row[_RATE + 3] / h, h / height_m[int(row[CLASS])]
        weight = 1.0 / (row[_VV + 3] / (h * h) + _OWN_GROWTH2)
        left += weight * growth * relative
        right += weight * relative * relative
    speed = max(left / right, 0.0)
    turn = np.zeros(2)
    value, weight = np.zeros(count + 1), np.ones(count + 1)
    for a in range(2):
        total = 0.0
        for k in range(count):
            row = data[at[k]]
            size, h = row[_BOX + 2 + a], row[_BOX + 3]
            doubt = row[_VV + 3] / (h * h)
            doubt /= doubt + _OWN_GROWTH2
            growth = (1.0 - doubt) * row[_RATE + 3] / h + doubt * speed * h / height_m[int(row[CLASS])]
            value[k] = row[_RATE + a] - growth * (row[_BOX + a] - 0.5 * picture[a])
            weight[k] = 1.0 / (row[_VV + a] + _OWN_SHIFT2 * size * size)
            total += weight[k]
        weight[count] = total / max(count, 1)
        turn[a] = _weighted_median(value, weight) if count > 1 else 0.0
    for b in range(len(new)):
        row = new[b]
        if not _whole(row, picture):
            continue
        growth = min(speed * row[_BOX + 3] / height_m[int(row[CLASS])], _MOST_GROWTH)
        for a in range(2):
            row[_RATE + a] = turn[a] + growth * (row[_BOX + a] - 0.5 * picture[a])
            row[_RATE + 2 + a] = growth * row[_BOX + 2 + a]
        copy_row(row, 0, row, _KEPT, _STATES)


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
        in_picture(row, picture, box)
        for a in range(4):
            reach = (-0.5 if a < 2 else 0.5) * box[2 + a % 2]
            xyxy[k, a] = share * (box[a % 2] + reach) + (1.0 - share) * row[_XYXY + a]
    return rows[:count], whole, score, xyxy, age_s, unseen_s
