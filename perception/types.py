"""What perception hands on: frames, detections, lanes. Checked once when made, immutable, arrays read-only."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from geometry.camera import Camera
from geometry.types import Rows, frozen_array

CLASSES: tuple[str, ...] = (
    "car",
    "truck",
    "bus",
    "train",
    "person",
    "rider",
    "bicycle",
    "motorcycle",
    "traffic light",
    "traffic sign",
)
"""The road vocabulary; ``class_id`` everywhere is an index into it."""

CLASS_ID: dict[str, int] = {name: index for index, name in enumerate(CLASSES)}
ON_ROAD: np.ndarray = np.array([not name.startswith("traffic") for name in CLASSES])
"""(C,) bool by ``class_id``: what stands on the road itself, not beside or above it."""
VEHICLES: frozenset[int] = frozenset(CLASS_ID[name] for name in ("car", "truck", "bus"))


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a clip: its index in the source, its time in seconds, (H, W, 3) uint8 blue-green-red."""

    index: int
    t_s: float
    bgr: np.ndarray


@dataclass(frozen=True, eq=False)
class Detections(Rows):
    """N objects of one frame.

    Attributes:
        xyxy_px: (N, 4) float32 left, top, right, bottom in pixels of the ORIGINAL picture.
        score: (N,) float32 between 0 and 1.
        class_id: (N,) int64 index into ``CLASSES``.
    """

    xyxy_px: np.ndarray
    score: np.ndarray
    class_id: np.ndarray

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "xyxy_px", frozen_array(self.xyxy_px, np.float32, (None, 4), "Detections.xyxy_px"))
        count = len(self.xyxy_px)
        set_field(self, "score", frozen_array(self.score, np.float32, (count,), "Detections.score"))
        set_field(self, "class_id", frozen_array(self.class_id, np.int64, (count,), "Detections.class_id"))

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.empty((0, 4)), np.empty(0), np.empty(0, np.int64))


BELIEVED_SCORE = 0.5
"""A lane boundary of a lower score is a guess: kept for the records, neither drawn nor followed."""

LaneKind = Literal["solid", "dashed", "double", "unknown"]
LaneColour = Literal["white", "yellow", "unknown"]


@dataclass(frozen=True, eq=False)
class LaneBoundary:
    """One painted line: y = c0 + c1 x + c2 x^2 [+ c3 x^3] in vehicle metres.

    Attributes:
        coeff: (3,) or (4,) float64; c1 is the tangent of the heading, 2 c2 the curvature at x = 0.
        cov: covariance of ``coeff``.
        x_range_m: nearest and farthest x with evidence.
        score: between 0 and 1; what is under 0.5 is a guess.
    """

    coeff: np.ndarray
    cov: np.ndarray
    x_range_m: tuple[float, float]
    kind: LaneKind
    score: float
    colour: LaneColour = "unknown"

    def __post_init__(self) -> None:
        count = len(self.coeff)
        if count not in (3, 4):
            raise ValueError(f"LaneBoundary.coeff has {count} coefficients, must be 3 or 4")
        object.__setattr__(self, "coeff", frozen_array(self.coeff, np.float64, (count,), "LaneBoundary.coeff"))
        object.__setattr__(self, "cov", frozen_array(self.cov, np.float64, (count, count), "LaneBoundary.cov"))

    def y_m(self, x_m: np.ndarray | float) -> np.ndarray:
        """Lateral position in metres at x_m, of any shape."""
        return np.polynomial.polynomial.polyval(x_m, self.coeff)


class LaneStatus(enum.StrEnum):
    """What the vehicle does in its lane."""

    KEEPING = "keeping"
    DRIFTING_LEFT = "drifting left"
    DRIFTING_RIGHT = "drifting right"
    CHANGING = "changing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class Lanes:
    """The boundaries of one frame and what follows from the ego pair; NaN where it cannot be known.

    Attributes:
        left, right: boundaries of the ego lane.
        others: further boundaries, left to right.
        width_m: of the ego lane. Known, as is the offset, where both its boundaries are believed: where only one of
            them is, there is a line and no lane.
        offset_m: of the vehicle from the lane's centre, positive to the left.
        heading_rad: of the vehicle against the lane, positive to the left.
        curvature_pm: 1/m, positive in a left bend; ``curvature_sigma_pm`` its standard deviation.
    """

    left: LaneBoundary | None = None
    right: LaneBoundary | None = None
    others: tuple[LaneBoundary, ...] = ()
    width_m: float = float("nan")
    offset_m: float = float("nan")
    heading_rad: float = float("nan")
    curvature_pm: float = float("nan")
    curvature_sigma_pm: float = float("nan")
    status: LaneStatus = LaneStatus.UNKNOWN

    @property
    def boundaries(self) -> tuple[LaneBoundary, ...]:
        """All of them, the ego pair first."""
        return tuple(b for b in (self.left, self.right) if b is not None) + self.others

    @property
    def believed(self) -> tuple[LaneBoundary, ...]:
        """Those that are more than a guess, the ego pair first."""
        return tuple(b for b in self.boundaries if b.score >= BELIEVED_SCORE)


class ObjectDetector(Protocol):
    """Anything that finds objects in a picture."""

    @property
    def description(self) -> dict[str, str]:
        """Name, file, sha256, provider and input size, for the records and the screen."""
        ...

    def detect(self, bgr: np.ndarray) -> Detections:
        """Objects of one (H, W, 3) uint8 picture."""
        ...


class LaneModel(Protocol):
    """Anything that follows lane boundaries from frame to frame."""

    def step(
        self,
        frame: Frame,
        camera: Camera,
        detections: Detections,
        *,
        forward_m: float = float("nan"),
        yaw_rad: float = float("nan"),
    ) -> Lanes:
        """Lanes of the frame; vehicles cover paint, so what lies inside boxes is no evidence.

        ``forward_m`` and ``yaw_rad`` are the vehicle's own motion since the last frame, NaN where unknown.
        """
        ...
