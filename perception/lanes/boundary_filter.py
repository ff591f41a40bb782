"""One boundary over time: a Kalman filter on its coefficients that moves with the vehicle."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from perception.lanes.describe import Look

# What the coefficients may change in a second beyond what the vehicle's motion explains (1 sigma): metres, tangent,
# 1/m and 1/m^2. Steering unknown to the filter shows in the first two; a transition curve in the others.
_DRIFT = np.array([0.35, 0.05, 2e-4, 3e-6])
# The drift is so much larger where the vehicle's motion is not known. That a vehicle moves aside, and by how much, is
# in the tangent; the offset itself needs little: single dashes far ahead would take it along.
_UNKNOWN_MOTION = np.array([1.5, 3.0, 2.0, 1.0])
_VARIANCE_PER_S, _UNKNOWN_VARIANCE_PER_S = np.diag(_DRIFT**2), np.diag((_UNKNOWN_MOTION * _DRIFT) ** 2)
Word = TypeVar("Word", bound=str)
_LOOK_GAIN, _DOUBT_GAIN = 0.35, 0.5  # of a new frame's score where it is better, and where it is worse
# How far a boundary lies, frame by frame, from where it was expected: 0.1 m at most in 90 % of the frames of clips and
# rendered roads, over 0.1 m in 75 % where cracks, kerbs and shadows are taken for lines (KITTI 0005).
EVEN_UNREST_M = 0.15
_UNREST_GAIN = 0.3


@dataclass(frozen=True, eq=False)
class Motion:
    """The vehicle's motion over a step: shift of the coefficients (4, 4), noise (4, 4), turn to the left."""

    dt_s: float
    shift: np.ndarray
    noise: np.ndarray
    yaw_rad: float

    @classmethod
    def of(cls, dt_s: float, forward_m: float, yaw_rad: float) -> Motion:
        """NaN where the motion is not known: none is taken, and more noise."""
        known = math.isfinite(forward_m) and math.isfinite(yaw_rad)
        d, turn = (forward_m, yaw_rad) if known else (0.0, 0.0)
        shift = np.array([[1, d, d * d, d**3], [0, 1, 2 * d, 3 * d * d], [0, 0, 1, 3 * d], [0, 0, 0, 1]])
        return cls(dt_s, shift, (_VARIANCE_PER_S if known else _UNKNOWN_VARIANCE_PER_S) * max(dt_s, 1e-3), turn)


def fused(coeff: np.ndarray, cov: np.ndarray, seen: np.ndarray, seen_cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kalman update of B boundaries at once by fits that measure their whole state: (B, 4) and (B, 4, 4) each."""
    from perception.lanes.fit_kernels import fused as fuse

    new, spread = np.array(coeff, np.float64), np.array(cov, np.float64)
    fuse(new, spread, np.ascontiguousarray(seen), np.ascontiguousarray(seen_cov))
    return new, spread


@dataclass(eq=False)
class BoundaryFilter:
    """State of one followed boundary; ``look`` is what was last seen of it."""

    coeff: np.ndarray
    cov: np.ndarray
    look: Look
    score: float
    seen_s: float = 0.0
    unseen_s: float = 0.0
    unrest_m: float = 0.0
    votes: dict[str, float] = field(default_factory=dict)

    def predict(self, motion: Motion) -> None:
        """Move by the vehicle's own motion, first order in the yaw."""
        self.coeff = motion.shift @ self.coeff
        self.coeff[1] -= motion.yaw_rad
        self.cov = motion.shift @ self.cov @ motion.shift.T + motion.noise
        self.unseen_s += motion.dt_s

    def rescale(self, by: float) -> None:
        """The camera is believed so many times as high: the whole road plane is so many times as large."""
        scale = float(by) ** np.array([1.0, 0.0, -1.0, -2.0])
        self.coeff = self.coeff * scale
        self.cov = self.cov * np.outer(scale, scale)

    def update(self, coeff: np.ndarray, cov: np.ndarray, look: Look, gap_m: float) -> None:
        """Take the state (``fused``) and look of a frame in which it was seen, ``gap_m`` from where it was expected."""
        self.coeff, self.cov = coeff, cov
        self.seen_s += self.unseen_s
        self.unseen_s = 0.0
        self.unrest_m += _UNREST_GAIN * (gap_m - self.unrest_m)
        score = look.score / (1 + (self.unrest_m / EVEN_UNREST_M) ** 2)
        self.score += (_LOOK_GAIN if score > self.score else _DOUBT_GAIN) * (score - self.score)
        self.votes = {word: 0.9 * count for word, count in self.votes.items()}
        for word in (look.kind, look.colour):
            self.votes[word] = self.votes.get(word, 0.0) + 1.0
        self.look = look

    def miss(self, seen_share: float) -> None:
        """No evidence this frame where ``seen_share`` of the boundary could be seen: belief fades."""
        self.score -= 0.5 * _LOOK_GAIN * seen_share * self.score

    def most(self, words: tuple[Word, ...]) -> Word:
        """The word of a group that had most votes of late."""
        counts = [self.votes.get(word, 0.0) for word in words]
        return words[counts.index(max(counts))]

    def y_m(self, x_m: np.ndarray) -> np.ndarray:
        c = self.coeff
        return c[0] + x_m * (c[1] + x_m * (c[2] + x_m * c[3]))
