"""The family of parallel boundaries: one shape of the road that all crossings vote for together.

Paint is worn, dots are small, vehicles stand on the lines: a single boundary is often not to be found alone. But all
boundaries of a road share heading and bend. A hypothesis (pitch error, heading, bend) slides every crossing back to
the lateral position it would have at the vehicle; where the hypothesis is right, the crossings of each boundary fall
onto one spot. The sum of squares of their histogram says how well (a Hough transform with the lines' parallelism
built in). Pitch counts because a nose-down error of a degree makes parallel lines meet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perception.lanes.ridge import Crossings

_BIN_M = 0.15
_HALF_SPAN_M = 9.0
_BINS = round(2 * _HALF_SPAN_M / _BIN_M)
_MAX_VOTERS = 450
_AROUND = 13  # bins, 2 m: what stands out of that is a boundary, the rest is clutter


@dataclass(frozen=True)
class Shape:
    """What parallel boundaries share, on the road plane of the camera given.

    A boundary that is d metres left of the vehicle runs y = d + (heading + d spread) x + bend x^2 + twist x^3.

    Attributes:
        heading: tangent of the road's direction against the vehicle's.
        bend: half the curvature, 1/m.
        spread: 1/m, how boundaries open (positive) or close with distance: pitch error over camera height.
        twist: 1/m^2.
    """

    heading: float = 0.0
    bend: float = 0.0
    spread: float = 0.0
    twist: float = 0.0

    def base_m(self, xy_m: np.ndarray) -> np.ndarray:
        """Lateral position at the vehicle of boundaries through the points (N, 2)."""
        x = xy_m[:, 0]
        return (xy_m[:, 1] - x * (self.heading + x * (self.bend + x * self.twist))) / (1 + self.spread * x)


@dataclass(frozen=True)
class SearchGrid:
    """Hypotheses around a shape: half ranges and numbers of steps of heading, bend and spread."""

    heading: tuple[float, int]
    bend: tuple[float, int]
    spread: tuple[float, int]

    def around(self, centre: Shape) -> np.ndarray:
        """(H, 3) heading, bend, spread."""
        axes = [
            middle + np.linspace(-half, half, count)
            for middle, (half, count) in (
                (centre.heading, self.heading),
                (centre.bend, self.bend),
                (centre.spread, self.spread),
            )
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


# How far heading, bend and spread stray from straight and level, and from one frame to the next.
_SIGMA_ACQUIRE = (0.06, 0.002, 0.005)
_SIGMA_FOLLOW = (0.02, 0.0005, 0.003)

ACQUIRE = SearchGrid(heading=(0.09, 13), bend=(0.0028, 15), spread=(0.009, 7))
REFINE = SearchGrid(heading=(0.008, 5), bend=(0.0003, 5), spread=(0.0015, 3))
FOLLOW = SearchGrid(heading=(0.02, 5), bend=(0.0004, 5), spread=(0.003, 5))


def voters(crossings: Crossings) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) positions and (N,) votes of the strongest crossings; the votes of a slice count by the road it covers."""
    x = crossings.xy_m[:, 0]
    votes = crossings.weight**2 * np.sqrt(np.minimum(x, 25.0))
    if len(votes) > _MAX_VOTERS:
        keep = np.argpartition(-votes, _MAX_VOTERS)[:_MAX_VOTERS]
        return crossings.xy_m[keep].astype(np.float32), votes[keep].astype(np.float32)
    return crossings.xy_m.astype(np.float32), votes.astype(np.float32)


def vote(xy_m: np.ndarray, votes: np.ndarray, hypotheses: np.ndarray) -> np.ndarray:
    """(H,) support of hypotheses (H, 3) by voters (N, 2) and their votes (N,)."""
    h = hypotheses.astype(np.float32)
    x, y = xy_m[:, 0], xy_m[:, 1]
    base = y - h[:, :1] * x - h[:, 1:2] * (x * x)
    base /= 1 + h[:, 2:] * x
    base += _HALF_SPAN_M
    base *= 1 / _BIN_M
    index = np.clip(base, 0, _BINS - 1).astype(np.int32)
    index += (np.arange(len(h), dtype=np.int32) * _BINS)[:, None]
    weights = np.broadcast_to(votes, index.shape)
    histogram = np.bincount(index.ravel(), weights.ravel(), len(h) * _BINS).reshape(len(h), _BINS)
    histogram[:, [0, -1]] = 0.0  # what fell out of the span
    smooth = histogram[:, 1:-1] + 0.5 * (histogram[:, :-2] + histogram[:, 2:])
    total = np.cumsum(smooth, axis=1)
    around = (total[:, _AROUND:] - total[:, :-_AROUND]) / _AROUND
    inner = smooth[:, _AROUND // 2 + 1 : _AROUND // 2 + 1 + around.shape[1]]
    peaks = np.maximum(inner - around, 0.0)
    return np.sum(peaks * peaks, axis=1)


def search(crossings: Crossings, prior: Shape | None) -> tuple[Shape, float]:
    """The shape most crossings agree on, and its support: near ``prior``, or anywhere."""
    xy, votes = voters(crossings)
    if len(votes) < 10:
        return prior or Shape(), 0.0
    best = prior or Shape()
    believed = (best.heading, best.bend, best.spread)
    sigma = _SIGMA_FOLLOW if prior else _SIGMA_ACQUIRE
    support = 0.0
    for grid in (FOLLOW, REFINE) if prior else (ACQUIRE, REFINE):
        hypotheses = grid.around(best)
        scores = vote(xy, votes, hypotheses)
        # Of equals take the one nearest to what was believed: straight and level without a belief.
        distance = (hypotheses - believed) / sigma
        scores *= np.exp(-0.25 * np.sum(distance * distance, axis=1))
        pick = int(np.argmax(scores))
        best = Shape(*(float(v) for v in hypotheses[pick]))
        support = float(scores[pick])
    return best, support
