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

from tracking.frame import D_ODDS

PROBABILITY_EDGE = 1e-6  # probabilities stay this far from 0 and 1, so that no evidence is final
LOWEST, HIGHEST = -3.0, 9.0  # log-odds of scores 0.047 and 0.9999: beyond, scores are no longer comparable
BIN = 0.5
_EDGES = np.arange(LOWEST, HIGHEST + BIN, BIN)
_MIDDLE = _EDGES[:-1] + BIN / 2
_NEIGHBOURS = np.array([np.convolve(row, [0.25, 0.5, 0.25], "same") for row in np.eye(len(_MIDDLE))])
"""Mean of a bin and its neighbours; nothing is beyond the ends."""
_SMOOTH = np.array(
    [np.convolve(np.pad(row, 2, mode="edge"), [0.1, 0.2, 0.4, 0.2, 0.1], "valid") for row in np.eye(len(_MIDDLE))]
).T
"""The same, wider; beyond the ends is what is at the ends."""


def _ramp(value: float, ends: tuple[float, float]) -> float:
    """0 up to the first end, 1 from the second on, straight between."""
    return min(max((value - ends[0]) / (ends[1] - ends[0]), 0.0), 1.0)


class Presence:
    """Probabilities that a track's object is there to see (p), there but hidden (h), or gone or never real (the rest).

    A Markov chain of three states between frames and Bayes' rule at each: the second chain of Musicki, Evans and
    Stankovic. A miss speaks against "there to see" only as far as this detector seldom misses, which is learned from
    the gaps that tracks bridged. Misses come in bursts: what was missed once is missed again more often than what was
    seen, so a second miss says less than the first, by what the length of the gaps tells (Gilbert's model of a channel
    with bursts, Bell System Technical Journal 39, 1960).

    Args:
        hide_s: mean time until an object gets hidden; return_s: until a hidden one comes back; stay_s: until it
            leaves the scene for good.
        seen_share: probability that what is there to see, and was seen the last time, is detected; believed at first.
    """

    _PRIOR_FRAMES = 50.0  # weight of seen_share, in track-frames
    _MEMORY = 5_000.0
    _MISSED_AGAIN, _PRIOR_GAPS = 0.4, 10.0  # believed at first, and its weight in gaps
    _BRIDGED_S = 1.0  # longer gaps are occlusions, not misses

    def __init__(self, hide_s: float, return_s: float, stay_s: float, seen_share: float) -> None:
        from tracking import score_kernels

        self._kernels = score_kernels
        self._rates = 1.0 / np.array([hide_s, return_s, stay_s])
        self._hits = seen_share * self._PRIOR_FRAMES
        self._misses = self._PRIOR_FRAMES - self._hits
        self._longer = self._PRIOR_GAPS * self._MISSED_AGAIN
        self._ended = self._PRIOR_GAPS - self._longer

    @property
    def seen_share(self) -> float:
        """Probability that what is there to see, and was seen the last time, is detected."""
        return self._hits / (self._hits + self._misses)

    @property
    def missed_again(self) -> float:
        """Probability that what is there to see, and was missed the last time, is missed once more."""
        return self._longer / (self._longer + self._ended)

    def count(self, missed: np.ndarray, gap_s: np.ndarray, dt_s: float) -> None:
        """Learn from matched tracks that ``missed`` (K,) looks saw nothing of, last seen ``gap_s`` (K,) ago."""
        if dt_s <= 0.0:
            return
        missed = missed[gap_s < self._BRIDGED_S + dt_s]
        gaps = float(np.count_nonzero(missed > 0.5))
        self._hits += len(missed) - gaps
        self._misses += gaps
        self._ended += gaps
        self._longer += max(float(missed.sum()) - gaps, 0.0)
        total = self._hits + self._misses
        if total > self._MEMORY:
            fade = self._MEMORY / total
            self._hits, self._misses = self._hits * fade, self._misses * fade
            self._longer, self._ended = self._longer * fade, self._ended * fade

    def step(self, present: np.ndarray, hidden: np.ndarray, ratio: np.ndarray, dt_s: float) -> None:
        """Move (N,) probabilities on by dt_s and weigh in the evidence, in place.

        Args:
            ratio: (N,) likelihood of what was seen if the object is there to see, over that if it is not.
        """
        self._kernels.step_presence(present, hidden, ratio, self._rates, dt_s)


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
        from tracking import score_kernels

        self._kernels = score_kernels
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
        self._lowest = max(min(self._lowest, self._kernels.count_scores(odds, self._count)), LOWEST)
        self._pending += len(odds)
        if self._pending >= self._PERIOD:
            self._pending = 0
            self._count *= min(1.0, self._MEMORY / self._count.sum())
            self._table = self._make_table()
        return self._kernels.worth_of(odds, self._table)

    def weigh(self, seen: np.ndarray, usual_share: float, setting: tuple[float, float, float, float, float]) -> None:
        """Set the evidence of detections (M, D_WIDTH), M > 0, by ``read``.

        Args:
            usual_share: of the usual log-odds, from which the raw ones are counted.
            setting: offset and slope of the log-odds to be real, weight of the raw log-odds, least and most evidence.
        """
        worth = self.read(seen[:, D_ODDS])
        self._kernels.weigh_scores(seen, worth, usual_share * self.usual, setting)

    def learn(self, odds: np.ndarray, continues: np.ndarray, stretch: float = 1.0) -> None:
        """Learn which detections, of all M of a frame, continue a track.

        Args:
            odds: (M,) log-odds of their scores.
            continues: (K,) rows of those that were matched.
            stretch: time between the frames in tenths of a second: the longer it is, the fewer objects are found again.
        """
        near, near_again, sure = self._kernels.continue_scores(
            odds, continues, self._shown, self._again, self._MIDDLING, self._SURE
        )
        self._all += len(odds)
        self._sure += sure
        self._middling += near
        self._continuing += near_again / self._FOUND_AGAIN ** (stretch - 1.0)
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
        low = np.clip((self._CLUTTER_BELOW - _EDGES[:-1]) / BIN, 0.0, 1.0)  # share of each bin under the mark
        unit = decay * (math.exp(-self._lowest / decay) - math.exp(-self._CLUTTER_BELOW / decay))
        clutter = (low @ count) / unit * self._shape
        smooth = _SMOOTH @ count
        real = np.maximum(smooth - clutter, 0.0) + self._real
        self.usual = float(real @ _MIDDLE / real.sum())
        clutter = np.minimum(clutter, smooth)  # where nothing was seen so far, the curve promised too much
        ratio = np.maximum.accumulate(real / np.maximum(clutter, 1e-6))  # a better score is never worth less
        return np.maximum(np.clip(np.log(np.maximum(ratio, 1e-6)), -4.0, 5.0), self._continued())

    def _continued(self) -> np.ndarray:
        """Log-odds that a detection continues a track, by score: what the curve calls clutter may prove itself so."""
        again, shown = _NEIGHBOURS @ self._again, _NEIGHBOURS @ self._shown
        share = (again + self._DOUBTED * self._CHANCE) / (shown + self._DOUBTED)
        return np.maximum.accumulate(np.log(share / (1.0 - share)))
