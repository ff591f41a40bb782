"""Range of objects from their boxes in one frame: the road under them, their size, and both together.

The position of an object is that of its nearest face: x is the forward distance to the nearest point of the object,
y the lateral position of its centre. Three cues see x, each with its own failure, all of them worked in logarithms,
where errors of size and of range are the same number:

- *ground*: the box stands on the road, so its lower edge gives x = camera height / downward slope. Pitch and road
  grade spoil it with a relative error of x / height per radian, so it leads when near;
- *height*: known height over the angle between upper and lower edge; pitch cancels, the size prior stays;
- *width*: known width over the angle between the sides, for what is seen from the front or from behind.

They share edges of one box, so they are fused by generalised least squares with their full covariance, not as
if they were independent. Where they disagree by more than their noise allows, the answer's sigma is widened by
the square root of the reduced chi-square (the scale factor of the Particle Data Group, Review of Particle Physics,
"Introduction", section 5.2.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geometry.camera import Camera
from geometry.size_priors import SIZE_PRIORS, SizePriors, size_priors
from geometry.types import GroundPoints

LEFT, TOP, RIGHT, BOTTOM = range(4)
GROUND, HEIGHT, WIDTH = range(3)
CUES: tuple[str, ...] = ("ground", "height", "width")

_MAX_RANGE_M = 250.0
_MIN_RANGE_M = 0.3


@dataclass(frozen=True)
class RangeNoise:
    """What the cues are worth: standard deviations of a box and of the road under it.

    Attributes:
        edge_px, edge_share: of one edge of a box: pixels, and share of the box's height, added in squares.
        camera_height_rel: of the camera's height, relative.
        road_m: of the height of the road under the object (camber, kerbs), metres.
        border_px: an edge nearer than this to the picture's border is cut off by it.
    """

    edge_px: float = 1.0
    edge_share: float = 0.012
    camera_height_rel: float = 0.03
    road_m: float = 0.10
    border_px: float = 2.0


DEFAULT_NOISE = RangeNoise()
_HIDDEN_SHARE = 0.5
_RIDES, _WHEELS = (
    np.array([name in names for name in SIZE_PRIORS]) for names in (("person", "rider"), ("bicycle", "motorcycle"))
)
_OVER_WHEELS = 0.7  # of the narrower box's width: who rides sits above the wheels, who passes by does so for a moment
_SADDLE = (0.2, 0.8)  # where the top of a two-wheeler is on the rider's box: below the head, above the feet
_PEDALS = (-0.1, 0.3)  # how far below the feet the wheels end, in heights of the rider's box: 0.1 to 0.35 m of 1.5 m
DEFAULT_PITCH_SIGMA_RAD = 0.010
"""Camera pitch against the road under the object: suspension and grade. The labelled boxes of KITTI stand off the
plane of a fixed pitch by 0.3 to 0.5 degree within a drive, and drives differ by 0.4 degree and more."""


@dataclass(frozen=True, eq=False)
class BoxSlopes:
    """Edges of N boxes as slopes of rays in the vehicle frame: what a picture says once the camera is known.

    Attributes:
        slope: (N, 4) left, top, right, bottom: y/x of the sides, z/x of upper and lower edge; 0 where no ray exists.
        sigma: (N, 4) standard deviation of each slope.
        seen: (N, 4) bool, False where the picture's border cuts the edge off or no ray exists.
    """

    slope: np.ndarray
    sigma: np.ndarray
    seen: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> BoxSlopes:
        return BoxSlopes(self.slope[rows], self.sigma[rows], self.seen[rows])

    def without(self, hidden: np.ndarray) -> BoxSlopes:
        """The same, but for edges (N, 4) that are hidden."""
        return BoxSlopes(self.slope, self.sigma, self.seen & ~hidden)


def hidden_edges(xyxy_px: np.ndarray, share: float = _HIDDEN_SHARE) -> np.ndarray:
    """(N, 4) bool: edges of the boxes of ONE frame that lie behind a nearer one for a share of their length or more.

    Nearer is what stands lower in the picture, on a road that is flat. A detector draws what it sees of an object, so
    such an edge is where the other one begins, and tells nothing of where this one stands or how large it is.
    """
    from geometry.ground_kernels import hidden_edges as find

    box = np.array(xyxy_px, np.float64).reshape(-1, 4)
    hidden = np.empty(box.shape, bool)
    find(box, share, hidden)
    return hidden


def on_wheels(xyxy_px: np.ndarray, class_id: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The boxes of ONE frame as they stand on the road: who rides does so on the wheels, not on the own feet.

    A detector's rider ends at the feet, above the road, and the own bicycle stands lower in the picture; yet it is at
    the same place, so it neither hides its rider nor is hidden. Height and contact with the road are those of both
    together, as labels of cyclists have them (KITTI) and as the size prior of riders means it.

    Args:
        xyxy_px: (N, 4).
        class_id: (N,) index into ``perception.types.CLASSES``.

    Returns:
        (N, 4) boxes, those of people on two-wheelers reaching down to where the wheels do, and (N, 4) bool, edges that
        are hidden (``hidden_edges``).
    """
    box = np.array(xyxy_px, np.float64).reshape(-1, 4)
    people, wheels = np.flatnonzero(_RIDES[class_id]), np.flatnonzero(_WHEELS[class_id])
    if not len(people) or not len(wheels):
        return box, hidden_edges(box)
    a, b = box[people][:, None], box[wheels]
    tall = np.maximum(a[..., BOTTOM] - a[..., TOP], 1e-9)
    narrow = np.minimum(a[..., RIGHT] - a[..., LEFT], b[..., RIGHT] - b[..., LEFT])
    shared = np.minimum(a[..., RIGHT], b[..., RIGHT]) - np.maximum(a[..., LEFT], b[..., LEFT])
    saddle, pedals = (b[..., TOP] - a[..., TOP]) / tall, (b[..., BOTTOM] - a[..., BOTTOM]) / tall
    rides = (shared > 0.0) & (shared >= _OVER_WHEELS * narrow)
    rides &= (saddle > _SADDLE[0]) & (saddle < _SADDLE[1]) & (pedals > _PEDALS[0]) & (pedals < _PEDALS[1])
    at, on = np.nonzero(rides)
    level = box.copy()  # a pair stands at one place
    np.maximum.at(box[:, BOTTOM], people[at], level[wheels[on], BOTTOM])
    level[:, BOTTOM] = box[:, BOTTOM]
    np.maximum.at(level[:, BOTTOM], wheels[on], box[people[at], BOTTOM])
    np.maximum.at(level[:, BOTTOM], people[at], level[wheels[on], BOTTOM])
    return box, hidden_edges(level)


def box_slopes(camera: Camera, xyxy_px: np.ndarray, noise: RangeNoise = DEFAULT_NOISE) -> BoxSlopes:
    """Slopes of the middle of each edge of (N, 4) boxes through the full camera model (lens, pitch, yaw, roll)."""
    box = np.asarray(xyxy_px, np.float64).reshape(-1, 4)
    if camera.distortion.model == "none":
        return _straight_slopes(camera, np.ascontiguousarray(box), noise)
    finite = np.array(np.isfinite(box).all(axis=1), dtype=bool)
    box = np.where(finite[:, None], box, 0.0)
    points = np.repeat(0.5 * (box[:, :2] + box[:, 2:])[:, None], 8, axis=1)  # each edge half a pixel out and in
    for edge in (LEFT, TOP, RIGHT, BOTTOM):
        points[:, edge, edge % 2] = box[:, edge] - 0.5
        points[:, edge + 4, edge % 2] = box[:, edge] + 0.5
    direction, defined = camera.ray(points)
    exists = defined & (direction[..., 0] > 1e-3)
    upright = np.where(np.arange(8) % 2, direction[..., 2], direction[..., 1])
    slopes = np.where(exists, upright / np.where(exists, direction[..., 0], 1.0), 0.0)
    known = exists[:, :4] & exists[:, 4:] & finite[:, None]
    edge_px = np.hypot(noise.edge_px, noise.edge_share * (box[:, 3] - box[:, 1]))
    size = np.array([camera.width_px, camera.height_px] * 2) - 1.0
    inside = (box > noise.border_px) & (box < size - noise.border_px)
    return BoxSlopes(
        slope=np.where(known, 0.5 * (slopes[:, :4] + slopes[:, 4:]), 0.0),
        sigma=np.where(known, np.abs(slopes[:, 4:] - slopes[:, :4]), 1.0) * edge_px[:, None],
        seen=known & inside,
    )


def _straight_slopes(camera: Camera, box: np.ndarray, noise: RangeNoise) -> BoxSlopes:
    """The same for a lens without distortion, in one compiled loop."""
    from geometry.ground_kernels import edge_slopes

    lens = np.array([camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px, camera.width_px, camera.height_px])
    doubts = np.array([noise.edge_px, noise.edge_share, noise.border_px])
    slope, sigma, seen = np.empty(box.shape), np.empty(box.shape), np.empty(box.shape, bool)
    edge_slopes(box, lens, np.ascontiguousarray(camera.vehicle_from_camera_rotation), doubts, slope, sigma, seen)
    return BoxSlopes(slope, sigma, seen)


@dataclass(frozen=True, eq=False)
class RangeCues:
    """Each cue's range of N objects; cues in the order of ``CUES``.

    Attributes:
        x_m: (N, 3) forward distance to the nearest face, NaN where the cue is lost.
        log_cov: (N, 3, 3) covariance of the logarithms; a lost cue has a huge variance.
        log_hw: (N, 2) logarithms of the heights and widths assumed; ``log_hw_sigma`` (N, 2) their spread.
    """

    x_m: np.ndarray
    log_cov: np.ndarray
    log_hw: np.ndarray
    log_hw_sigma: np.ndarray


def range_cues(
    camera: Camera,
    xyxy_px: np.ndarray,
    class_id: np.ndarray,
    *,
    pitch_sigma_rad: float = DEFAULT_PITCH_SIGMA_RAD,
    noise: RangeNoise = DEFAULT_NOISE,
) -> RangeCues:
    """The cues of N boxes, one by one, with the covariance they share.

    Args:
        camera: the camera of this frame, with its present pitch.
        xyxy_px: (N, 4) boxes in pixels of the picture.
        class_id: (N,) index into ``perception.types.CLASSES``.
        pitch_sigma_rad: standard deviation of the camera's pitch against the road under an object.
        noise: the other standard deviations.

    Raises:
        ValueError: a class outside the vocabulary.
    """
    return _cues(camera, box_slopes(camera, xyxy_px, noise), size_priors(class_id), (pitch_sigma_rad, noise))


def _cues(camera: Camera, edges: BoxSlopes, priors: SizePriors, doubts: tuple[float, RangeNoise]) -> RangeCues:
    from geometry.ground_kernels import cue_ranges

    pitch_sigma_rad, noise = doubts
    log_size, spread = priors.moments()
    x_m, log_cov = np.empty((len(edges.slope), 3)), np.empty((len(edges.slope), 3, 3))
    road = (camera.height_m, pitch_sigma_rad, noise.camera_height_rel, noise.road_m)
    sizes = log_size.copy(), spread.copy(), priors.grounded.copy()  # shared ones are read-only: loops refuse them
    cue_ranges(edges.slope, edges.sigma, edges.seen, *sizes, road, x_m, log_cov)
    return RangeCues(x_m, log_cov, log_size[:, :2], spread[:, :2])


def fuse_cues(cues: RangeCues) -> tuple[np.ndarray, np.ndarray]:
    """Generalised least squares over the cues: x (N,) in metres and its log-sigma (N,); NaN and inf without a cue."""
    from geometry.ground_kernels import fused

    mean, sigma = np.empty(len(cues.x_m)), np.empty(len(cues.x_m))
    fused(np.ascontiguousarray(cues.x_m), np.ascontiguousarray(cues.log_cov), mean, sigma)
    return np.exp(mean), sigma


def range_objects(
    camera: Camera,
    xyxy_px: np.ndarray,
    class_id: np.ndarray,
    *,
    pitch_sigma_rad: float = DEFAULT_PITCH_SIGMA_RAD,
    noise: RangeNoise = DEFAULT_NOISE,
    hidden: np.ndarray | None = None,
) -> GroundPoints:
    """Position of each object's nearest face from its box alone, all cues fused.

    Args:
        camera, xyxy_px, class_id, pitch_sigma_rad, noise: as ``range_cues``.
        hidden: (N, 4) edges that something nearer hides (``hidden_edges``).

    Returns:
        x forward to the nearest face, y of the centre, metres; covariance; invalid (NaN) where no cue is left, as for
        a box that fills the picture.
    """
    edges, priors = box_slopes(camera, xyxy_px, noise), size_priors(class_id)
    edges = edges if hidden is None else edges.without(hidden)
    x_m, log_sigma = fuse_cues(_cues(camera, edges, priors, (pitch_sigma_rad, noise)))
    valid = np.isfinite(x_m) & (x_m > _MIN_RANGE_M) & (x_m < _MAX_RANGE_M)
    y_m, bearing, y_own = lateral_position(edges, np.where(valid, x_m, 1.0), priors)
    x_sigma = np.where(valid, x_m * log_sigma, 0.0)
    cov = np.empty((len(x_m), 2, 2))
    cov[:, 0, 0] = x_sigma**2
    cov[:, 0, 1] = cov[:, 1, 0] = bearing * x_sigma**2
    cov[:, 1, 1] = (bearing * x_sigma) ** 2 + y_own**2
    nan = np.where(valid, 1.0, np.nan)
    return GroundPoints(np.stack([x_m, y_m], axis=1) * nan[:, None], cov * nan[:, None, None], valid)


def lateral_position(
    edges: BoxSlopes, x_m: np.ndarray, priors: SizePriors
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lateral centre (N,) of objects whose nearest face is at x_m, its derivative by x, and its own sigma in metres.

    A box straight ahead spans the nearest face, so its middle is the centre. Off the axis its inner side is the far
    corner of the flank; the outer side is always the nearest face, half a width from the centre.
    """
    log_size, spread = priors.moments()
    left, right = edges.slope[:, LEFT], edges.slope[:, RIGHT]
    both = edges.seen[:, LEFT] & edges.seen[:, RIGHT]
    outer = np.where(np.abs(left) > np.abs(right), left, right)
    outer = np.where(both, outer, np.where(edges.seen[:, LEFT], left, right))
    side = np.where(both, np.sign(outer), np.where(edges.seen[:, LEFT], 1.0, -1.0))
    half_m = 0.5 * np.minimum(np.exp(log_size[:, 1]), np.where(both, np.maximum(left - right, 0.0) * x_m, np.inf))
    straddles = both & (left * right < 0)
    y_m = np.where(straddles, 0.5 * (left + right) * x_m, outer * x_m - side * half_m)
    bearing = np.where(straddles, 0.5 * (left + right), outer)
    edge_m = np.hypot(edges.sigma[:, LEFT], edges.sigma[:, RIGHT]) * x_m
    return y_m, bearing, np.hypot(np.where(straddles, 0.1, spread[:, 1]) * half_m, edge_m)
