"""The family of parallel boundaries: one shape of the road that all crossings vote for together.

Paint is worn, dots are small, vehicles stand on the lines: a single boundary is often not to be found alone. But all
boundaries of a road share heading and bend. A hypothesis (pitch error, heading, bend) slides every crossing back to
the lateral position it would have at the vehicle; where the hypothesis is right, the crossings of each boundary fall
onto one spot. The sum of squares of their histogram says how well (a Hough transform with the lines' parallelism
built in). Pitch counts because a nose-down error of a degree makes parallel lines meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perception.lanes.ridge import Crossings

_MAX_VOTERS, _MAX_FOLLOWING = 450, 300  # of crossings, anywhere and near to what is believed
_REFINED = 6  # of the coarse hypotheses anywhere, which lie farther apart than a bin: the best need not be the nearest


@dataclass(frozen=True)
class Shape:
    """What parallel boundaries share, on the road plane of the camera given.

    A boundary that is d metres left of the vehicle runs
    y = d (1 + spread x + sag x^2) + heading x + bend x^2 + twist x^3.

    Attributes:
        heading: tangent of the road's direction against the vehicle's.
        bend: half the curvature, 1/m.
        spread: 1/m, how boundaries open (positive) or close with distance: pitch error over camera height.
        twist: 1/m^2.
        sag: 1/m^2, how they open ever faster as the road rises ahead, or close: half its vertical curvature over
            camera height.
    """

    heading: float = 0.0
    bend: float = 0.0
    spread: float = 0.0
    twist: float = 0.0
    sag: float = 0.0

    @property
    def array(self) -> np.ndarray:
        """(5,) heading, bend, twist, spread, sag: as the kernels take it."""
        return np.array([self.heading, self.bend, self.twist, self.spread, self.sag])

    def rescaled(self, by: float) -> Shape:
        """The same road seen from a camera that is believed so many times as high."""
        return Shape(self.heading, self.bend / by, self.spread / by, self.twist / by**2, self.sag / by**2)

    def base_m(self, xy_m: np.ndarray) -> np.ndarray:
        """Lateral position at the vehicle of boundaries through the points (N, 2)."""
        x = xy_m[:, 0]
        return (xy_m[:, 1] - x * (self.heading + x * (self.bend + x * self.twist))) / (
            1 + x * (self.spread + x * self.sag)
        )


@dataclass(frozen=True)
class SearchGrid:
    """Hypotheses around a shape: half ranges and numbers of steps of heading, bend and spread."""

    heading: tuple[float, int]
    bend: tuple[float, int]
    spread: tuple[float, int]

    @cached_property
    def steps(self) -> np.ndarray:
        """(H, 3) heading, bend and spread of the hypotheses from the middle; those of one spread stand together."""
        axes = [np.linspace(-half, half, count) for half, count in (self.spread, self.heading, self.bend)]
        spread, heading, bend = (values.ravel() for values in np.meshgrid(*axes, indexing="ij"))
        return np.stack([heading, bend, spread], axis=-1)


# How far heading, bend and spread stray from straight and level, and from one frame to the next.
_ACQUIRE_SHARPNESS = 1 / np.array([0.06, 0.002, 0.005])
_FOLLOW_SHARPNESS = 1 / np.array([0.02, 0.0005, 0.003])

ACQUIRE = SearchGrid(heading=(0.09, 13), bend=(0.0028, 15), spread=(0.009, 7))
REFINE = SearchGrid(heading=(0.008, 5), bend=(0.0003, 5), spread=(0.0015, 3))
FOLLOW = SearchGrid(heading=(0.02, 5), bend=(0.0004, 5), spread=(0.003, 5))


def search(crossings: Crossings, prior: Shape | None) -> tuple[Shape, float]:
    """The shape most crossings agree on, and its support: near ``prior``, or anywhere."""
    from perception.lanes.kernels import scores as scores_of
    from perception.lanes.kernels import voters

    xy, votes = voters(crossings.points, _MAX_FOLLOWING if prior else _MAX_VOTERS)
    if len(votes) < 10:
        return prior or Shape(), 0.0
    shape = prior or Shape()
    believed = np.array([shape.heading, shape.bend, shape.spread])
    sharpness = _FOLLOW_SHARPNESS if prior else _ACQUIRE_SHARPNESS
    best, support = believed[None], np.zeros(1)
    for grid in (FOLLOW, REFINE) if prior else (ACQUIRE, REFINE):
        hypotheses = (best[:, None] + grid.steps).reshape(-1, 3)
        # Of equals take the one nearest to what was believed: straight and level without a belief.
        scores = scores_of(xy, votes, hypotheses, believed, sharpness)
        order = [scores.argmax()] if prior else np.argsort(-scores)[:_REFINED]
        best, support = hypotheses[order], scores[order]
    heading, bend, spread = best[0].tolist()
    return Shape(heading, bend, spread), float(support[0])
