"""One boundary over time: a Kalman filter on its coefficients that moves with the vehicle."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from perception.lanes.describe import Look

# What the coefficients may change in a second beyond what the vehicle's motion explains (1 sigma): metres, tangent,
# 1/m and 1/m^2. Steering unknown to the filter shows in the first two; a transition curve in the others.
_DRIFT = np.array([0.35, 0.05, 8e-4, 1.2e-5])
_UNKNOWN_MOTION = np.array([3.0, 3.0, 2.0, 1.0])  # the drift is so much larger where the vehicle's motion is not known
_VARIANCE_PER_S, _UNKNOWN_VARIANCE_PER_S = np.diag(_DRIFT**2), np.diag((_UNKNOWN_MOTION * _DRIFT) ** 2)
_LOOK_GAIN = 0.35  # of a new frame's score


@dataclass(eq=False)
class BoundaryFilter:
    """State of one followed boundary; ``look`` is what was last seen of it."""

    coeff: np.ndarray
    cov: np.ndarray
    look: Look
    score: float
    seen_s: float = 0.0
    unseen_s: float = 0.0
    votes: dict[str, float] = field(default_factory=dict)

    def predict(self, dt_s: float, forward_m: float, yaw_rad: float) -> None:
        """Move by the vehicle's own motion (NaN: unknown), first order in the yaw."""
        known = math.isfinite(forward_m) and math.isfinite(yaw_rad)
        d, turn = (forward_m, yaw_rad) if known else (0.0, 0.0)
        shift = np.array([[1, d, d * d, d**3], [0, 1, 2 * d, 3 * d * d], [0, 0, 1, 3 * d], [0, 0, 0, 1]])
        self.coeff, self.cov = shift @ self.coeff, shift @ self.cov @ shift.T
        self.coeff[1] -= turn
        self.cov += (_VARIANCE_PER_S if known else _UNKNOWN_VARIANCE_PER_S) * max(dt_s, 1e-3)
        self.unseen_s += dt_s

    def update(self, coeff: np.ndarray, cov: np.ndarray, look: Look) -> None:
        """Fuse a fit of this frame."""
        gain = np.linalg.solve(self.cov + cov, self.cov).T  # the fit measures the whole state: H is the identity
        rest = np.eye(4) - gain
        self.coeff = self.coeff + gain @ (coeff - self.coeff)
        self.cov = rest @ self.cov @ rest.T + gain @ cov @ gain.T  # Joseph's form keeps it symmetric
        self.seen_s += self.unseen_s
        self.unseen_s = 0.0
        self.score += _LOOK_GAIN * (look.score - self.score)
        for word in (look.kind, look.colour):
            self.votes[word] = self.votes.get(word, 0.0) + 1.0
        self.votes = {word: 0.9 * count for word, count in self.votes.items()}
        self.look = look

    def miss(self, seen_share: float) -> None:
        """No evidence this frame where ``seen_share`` of the boundary could be seen: belief fades."""
        self.score -= 0.5 * _LOOK_GAIN * seen_share * self.score

    def most(self, words: tuple[str, ...]) -> str:
        """The word of a group that had most votes of late."""
        return max(words, key=lambda word: self.votes.get(word, 0.0))

    def y_m(self, x_m: np.ndarray) -> np.ndarray:
        c = self.coeff
        return c[0] + x_m * (c[1] + x_m * (c[2] + x_m * c[3]))
