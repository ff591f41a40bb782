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
    s = np.clip(score, 1e-5, 1 - 1e-5)
    return np.log(s / (1 - s))


def bayes(probability: np.ndarray, likelihood_ratio: np.ndarray) -> np.ndarray:
    """Posterior probability: odds times likelihood ratio."""
    weighted = probability * likelihood_ratio
    return np.clip(weighted / (1.0 - probability + weighted), _EDGE, 1.0 - _EDGE)


class ScoreModel:
    """What scores of this detector are worth, learned from all detections so far.

    Args:
        decay: false alarms become e times rarer per this many units of log-odds. Measured at 2.0 on the clutter of two
            public detectors; the level is estimated, only this shape is given.
        prior_count: weight of the prior histogram, in detections.
    """

    _CLUTTER_BELOW = -0.2  # log-odds of a score of 0.45: the level of the clutter is read off the scores below
    _USUAL_CUT = -0.85  # log-odds of 0.3, where the prior begins
    _PERIOD = 50  # the table is made anew after this many detections, so that it costs little per frame
    _MEMORY = 20_000.0  # detections remembered: older ones fade, so that counts stay bounded

    def __init__(self, decay: float = 2.0, prior_count: float = 30.0) -> None:
        self._shape = decay * (np.exp(-_EDGES[:-1] / decay) - np.exp(-_EDGES[1:] / decay))
        self._decay = decay
        self._lowest = self._USUAL_CUT
        clutter = np.where(_MIDDLE > self._USUAL_CUT, self._shape, 0.0)
        real = np.where(_MIDDLE > self._USUAL_CUT, np.exp(-0.5 * ((_MIDDLE - 1.3) / 1.5) ** 2), 0.0)
        real += np.where(_MIDDLE > 1.0, 0.15, 0.0)  # some detectors are very sure
        self._count = 0.5 * prior_count * (clutter / clutter.sum() + real / real.sum())
        self._pending = 0
        self._table = self._make_table()

    def read(self, odds: np.ndarray) -> np.ndarray:
        """Log-odds that detections are real, of the log-odds of their scores (M,), M > 0; learns from them too."""
        place = (np.minimum(np.maximum(odds, _LOWEST), _HIGHEST - 1e-6) - _LOWEST) * (1 / _BIN)
        self._count += np.bincount(place.astype(np.int64), minlength=len(_MIDDLE))
        self._lowest = max(min(self._lowest, float(odds.min())), _LOWEST)
        self._pending += len(odds)
        if self._pending >= self._PERIOD:
            self._pending = 0
            self._count *= min(1.0, self._MEMORY / self._count.sum())
            self._table = self._make_table()
        return np.interp(odds, _MIDDLE, self._table)

    def _make_table(self) -> np.ndarray:
        count, decay = self._count, self._decay
        low = np.clip((self._CLUTTER_BELOW - _EDGES[:-1]) / _BIN, 0.0, 1.0)  # share of each bin under the mark
        unit = decay * (math.exp(-self._lowest / decay) - math.exp(-self._CLUTTER_BELOW / decay))
        clutter = (low @ count) / unit * self._shape
        smooth = np.convolve(np.pad(count, 2, mode="edge"), [0.1, 0.2, 0.4, 0.2, 0.1], "valid")
        real = np.maximum(smooth - clutter, 0.02 * smooth + 1e-3)
        ratio = np.maximum.accumulate(real / np.maximum(clutter, 1e-6))  # a better score is never worth less
        return np.clip(np.log(ratio), -4.0, 5.0)
