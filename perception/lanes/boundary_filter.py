"""One boundary over time: a Kalman filter on its coefficients that moves with the vehicle."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from filterpy.kalman import KalmanFilter

from perception.lanes.describe import Look

# What the coefficients may change in a second beyond what the vehicle's motion explains (1 sigma): metres, tangent,
# 1/m and 1/m^2. Steering unknown to the filter shows in the first two; a transition curve in the others.
_DRIFT = np.array([0.35, 0.05, 8e-4, 1.2e-5])
_UNKNOWN_MOTION = 3.0  # the drift is so much larger where the vehicle's motion is not known
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

    def __post_init__(self) -> None:
        self._filter = KalmanFilter(dim_x=4, dim_z=4)
        self._filter.H = np.eye(4)
        self._filter.x, self._filter.P = self.coeff.copy(), self.cov.copy()

    def predict(self, dt_s: float, forward_m: float, yaw_rad: float) -> None:
        """Move by the vehicle's own motion (NaN: unknown), first order in the yaw."""
        known = np.isfinite(forward_m) and np.isfinite(yaw_rad)
        d, turn = (forward_m, yaw_rad) if known else (0.0, 0.0)
        shift = np.array([[1, d, d * d, d**3], [0, 1, 2 * d, 3 * d * d], [0, 0, 1, 3 * d], [0, 0, 0, 1]])
        drift = _DRIFT * (1.0 if known else np.array([_UNKNOWN_MOTION, _UNKNOWN_MOTION, 2.0, 1.0]))
        self._filter.predict(F=shift, Q=np.diag(drift**2) * max(dt_s, 1e-3))
        self._filter.x[1] -= turn
        self.unseen_s += dt_s
        self._read()

    def update(self, coeff: np.ndarray, cov: np.ndarray, look: Look) -> None:
        """Fuse a fit of this frame."""
        self._filter.update(coeff, R=cov)
        self.seen_s += self.unseen_s
        self.unseen_s = 0.0
        self.score += _LOOK_GAIN * (look.score - self.score)
        for word in (look.kind, look.colour):
            self.votes[word] = self.votes.get(word, 0.0) + 1.0
        self.votes = {word: 0.9 * count for word, count in self.votes.items()}
        self.look = look
        self._read()

    def miss(self, seen_share: float) -> None:
        """No evidence this frame where ``seen_share`` of the boundary could be seen: belief fades."""
        self.score -= 0.5 * _LOOK_GAIN * seen_share * self.score

    def most(self, words: tuple[str, ...]) -> str:
        """The word of a group that had most votes of late."""
        return max(words, key=lambda word: self.votes.get(word, 0.0))

    def _read(self) -> None:
        self.coeff, self.cov = self._filter.x.copy(), self._filter.P.copy()

    def y_m(self, x_m: np.ndarray) -> np.ndarray:
        return np.polynomial.polynomial.polyval(x_m, self.coeff)
