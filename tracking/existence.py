"""Is a track a real object? One probability per track decides birth, output and deletion; scores are read as evidence.

Two ideas. A detector's score of 0.9 may mean "surely" from one network and "one in three" from another, so
``ScoreModel`` learns from the stream itself what a score is worth: false alarms fall off exponentially with the
log-odds of the score, which the low scores show; what stands above that curve is real (the two-groups model and its
local false discovery rate: Efron, Tibshirani, Storey and Tusher, JASA 96(456), 2001). And a track exists with a
probability that grows by Bayes' rule with each detection and falls with each miss (integrated probabilistic data
association: Musicki, Evans and Stankovic, IEEE TAC 39(6), 1994).
"""

from __future__ import annotations

import math

import numpy as np

_EDGE = 1e-6  # probabilities stay this far from 0 and 1, so that no evidence is final
_LOWEST, _HIGHEST = -3.0, 9.0  # log-odds of scores 0.047 and 0.9999: beyond, scores are no longer comparable
_BIN = 0.5
_EDGES = np.arange(_LOWEST, _HIGHEST + _BIN, _BIN)
_MIDDLE = _EDGES[:-1] + _BIN / 2


def log_odds(score: np.ndarray) -> np.ndarray:
    """Logit of detector scores, finite."""
    s = np.minimum(np.maximum(score, 1e-5), 1 - 1e-5)  # np.clip costs four times as much on few
    return np.log(s / (1 - s))


def sigmoid(odds: np.ndarray) -> np.ndarray:
    """Probabilities of log-odds."""
    return 1.0 / (1.0 + np.exp(-odds))


def _bin_of(odds: np.ndarray) -> np.ndarray:
    return ((np.minimum(np.maximum(odds, _LOWEST), _HIGHEST - 1e-6) - _LOWEST) * (1 / _BIN)).astype(np.int64)


def _ramp(value: float, ends: tuple[float, float]) -> float:
    """0 up to the first end, 1 from the second on, straight between."""
    return min(max((value - ends[0]) / (ends[1] - ends[0]), 0.0), 1.0)


class Presence:
    """Probabilities that a track's object is there to see (p), there but hidden (h), or gone or never real (the rest).

    A Markov chain of three states between frames and Bayes' rule at each: the second chain of Musicki, Evans and
    Stankovic. A miss speaks against "there to see" only as far as this detector seldom misses, which is learned from
    the gaps that tracks bridged.

    Args:
        hide_s: mean time until an object gets hidden; return_s: until a hidden one comes back; stay_s: until it
            leaves the scene for good.
        seen_share: probability that what is there to see is detected, believed at first.
    """

    _PRIOR_FRAMES = 50.0  # weight of seen_share, in track-frames
    _MEMORY = 5_000.0
    _BRIDGED_S = 0.5  # longer gaps are occlusions, not misses

    def __init__(self, hide_s: float, return_s: float, stay_s: float, seen_share: float) -> None:
        self._rates = 1.0 / np.array([hide_s, return_s, stay_s])
        self._hits = seen_share * self._PRIOR_FRAMES
        self._misses = self._PRIOR_FRAMES - self._hits

    @property
    def seen_share(self) -> float:
        """Probability that what is there to see is detected."""
        return self._hits / (self._hits + self._misses)

    def count(self, gap_s: np.ndarray, dt_s: float) -> None:
        """Learn from matched tracks last seen ``gap_s`` (K,) ago, frames being dt_s apart."""
        if dt_s <= 0.0:
            return
        missed = np.where(gap_s < self._BRIDGED_S + dt_s, gap_s / dt_s - 1.0, 0.0).sum()
        self._hits += len(gap_s)
        self._misses += max(float(missed), 0.0)
        total = self._hits + self._misses
        if total > self._MEMORY:
            self._hits *= self._MEMORY / total
            self._misses *= self._MEMORY / total

    def step(self, present: np.ndarray, hidden: np.ndarray, ratio: np.ndarray, dt_s: float) -> None:
        """Move (N,) probabilities on by dt_s and weigh in the evidence, in place.

        Args:
            ratio: (N,) likelihood of what was seen if the object is there to see, over that if it is not.
        """
        hide, back, leave = -np.expm1(-self._rates * dt_s)
        returned = hidden * back
        hidden *= 1.0 - leave
        hidden += present * hide - returned
        seen = present * ((1.0 - hide) * (1.0 - leave)) + returned
        scale = 1.0 / (1.0 + seen * (ratio - 1.0))
        hidden *= scale
        present[:] = np.minimum(seen * ratio * scale, 1.0 - _EDGE)


class ScoreModel:
    """What scores of this detector are worth, learned from all detections so far.

    ``usual`` is the mean log-odds that it gives to what is real.

    Args:
        decay: false alarms become e times rarer per this many units of log-odds. Measured at 2.0 on the clutter of two
            public detectors; the level is estimated, only this shape is given.
        prior_count: weight of the prior histogram, in detections.
    """

    _CLUTTER_BELOW = -0.2  # log-odds of a score of 0.45: the level of the clutter is read off the scores below
    _USUAL_CUT = -0.85  # log-odds of 0.3, where the prior begins
    _PERIOD = 50  # the table is made anew after this many detections, so that it costs little per frame
    _MIDDLING = 0.5  # log-odds from -0.5 to 0.5, scores from 0.38 to 0.62, are middling
    _MIDDLING_PRIOR, _MIDDLING_MEMORY = 10.0, 1_000.0  # detections
    _FOUND_AGAIN = 0.9  # of the objects that are found again after 0.1 s, per further 0.1 s
    _TRUSTED = 0.6, 0.7  # share of middling detections that continue a track: no trust below, full trust above
    _DOUBTED, _CHANCE = 5.0, 0.1  # weight in detections of the prior share that continues a track, and that share
    _SURE = 3.5  # log-odds of a score of 0.97
    _REACHED = 0.015, 0.035  # share of all detections that are so sure
    _MEMORY = 20_000.0  # detections remembered: older ones fade, so that counts stay bounded

    def __init__(self, decay: float = 2.0, prior_count: float = 30.0) -> None:
        self._shape = decay * (np.exp(-_EDGES[:-1] / decay) - np.exp(-_EDGES[1:] / decay))
        self._decay = decay
        self._lowest = self._USUAL_CUT
        clutter = np.where(_MIDDLE > self._USUAL_CUT, self._shape, 0.0)
        real = np.where(_MIDDLE > self._USUAL_CUT, np.exp(-0.5 * ((_MIDDLE - 1.3) / 1.5) ** 2), 0.0)
        real += np.where(_MIDDLE > 1.0, 0.15, 0.0)  # some detectors are very sure
        self._real = 0.5 * prior_count * real / real.sum()
        self._count = self._real + 0.5 * prior_count * clutter / clutter.sum()
        self._pending = 0
        self._shown, self._again = np.zeros(len(_MIDDLE)), np.zeros(len(_MIDDLE))
        self._middling = self._MIDDLING_PRIOR
        self._continuing = self._middling * self._TRUSTED[1]
        self._sure, self._all = 0.0, self._MIDDLING_PRIOR
        self._table = self._make_table()

    def read(self, odds: np.ndarray) -> np.ndarray:
        """Log-odds that detections are real, of the log-odds of their scores (M,), M > 0; learns from them too."""
        self._count += np.bincount(_bin_of(odds), minlength=len(_MIDDLE))
        self._lowest = max(min(self._lowest, float(odds.min())), _LOWEST)
        self._pending += len(odds)
        if self._pending >= self._PERIOD:
            self._pending = 0
            self._count *= min(1.0, self._MEMORY / self._count.sum())
            self._table = self._make_table()
        return np.interp(odds, _MIDDLE, self._table)

    def learn(self, odds: np.ndarray, continues: np.ndarray, stretch: float = 1.0) -> None:
        """Learn which detections, of all M of a frame, continue a track.

        Args:
            odds: (M,) log-odds of their scores.
            continues: (K,) rows of those that were matched.
            stretch: time between the frames in tenths of a second: the longer it is, the fewer objects are found again.
        """
        place = _bin_of(odds)
        self._shown += np.bincount(place, minlength=len(_MIDDLE))
        self._again += np.bincount(place[continues], minlength=len(_MIDDLE))
        self._all += float(len(odds))
        self._sure += float(np.count_nonzero(odds > self._SURE))
        near = np.abs(odds) <= self._MIDDLING
        found_again = self._FOUND_AGAIN ** (stretch - 1.0)
        self._middling += float(np.count_nonzero(near))
        self._continuing += float(np.count_nonzero(near[continues])) / found_again
        if self._all > self._MEMORY:
            self._all *= 0.5
            self._shown *= 0.5
            self._again *= 0.5
            self._sure *= 0.5
        if self._middling > self._MIDDLING_MEMORY:
            self._continuing *= 0.5
            self._middling *= 0.5

    @property
    def trust(self) -> float:
        """From 0 to 1: may the middling scores of this detector be taken at their word?

        An object is found again in the next frame and most clutter is not, so the share of detections of a score that
        continue a track is close to their precision, without any truth: measured on the visible KITTI half at scores
        around 0.5 it is 0.1 where 0.05 are right (PointRCNN's cars) and 0.7 where 0.75 are (the noisy detector). But
        part of the clutter persists as well; where most middling detections are clutter, persistence proves nothing.

        Doubt also needs a detector that does give very sure scores, or none of its objects could ever prove itself: in
        doubt are PointRCNN's scores (2 to 70 % above 0.97), not those of detectors that seldom go there (0 to 1 %).
        """
        doubt = 1.0 - _ramp(self._continuing / self._middling, self._TRUSTED)
        return 1.0 - doubt * _ramp(self._sure / self._all, self._REACHED)

    def _make_table(self) -> np.ndarray:
        count, decay = self._count, self._decay
        low = np.clip((self._CLUTTER_BELOW - _EDGES[:-1]) / _BIN, 0.0, 1.0)  # share of each bin under the mark
        unit = decay * (math.exp(-self._lowest / decay) - math.exp(-self._CLUTTER_BELOW / decay))
        clutter = (low @ count) / unit * self._shape
        smooth = np.convolve(np.pad(count, 2, mode="edge"), [0.1, 0.2, 0.4, 0.2, 0.1], "valid")
        real = np.maximum(smooth - clutter, 0.0) + self._real
        self.usual = float(real @ _MIDDLE / real.sum())
        clutter = np.minimum(clutter, smooth)  # where nothing was seen so far, the curve promised too much
        ratio = np.maximum.accumulate(real / np.maximum(clutter, 1e-6))  # a better score is never worth less
        return np.maximum(np.clip(np.log(np.maximum(ratio, 1e-6)), -4.0, 5.0), self._continued())

    def _continued(self) -> np.ndarray:
        """Log-odds that a detection continues a track, by score: what the curve calls clutter may prove itself so."""
        kernel = [0.25, 0.5, 0.25]
        again, shown = (np.convolve(np.pad(c, 1), kernel, "valid") for c in (self._again, self._shown))
        share = (again + self._DOUBTED * self._CHANCE) / (shown + self._DOUBTED)
        return np.maximum.accumulate(np.log(share / (1.0 - share)))
