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
from geometry.size_priors import SizePriors, size_priors
from geometry.types import GroundPoints

LEFT, TOP, RIGHT, BOTTOM = range(4)
GROUND, HEIGHT, WIDTH = range(3)
CUES: tuple[str, ...] = ("ground", "height", "width")

_LOST = 1e3  # log-sigma of a cue that says nothing: far beyond any real one, yet its square is an ordinary number
_MAX_RANGE_M = 250.0
_MIN_RANGE_M = 0.3
_MIN_SLOPE = 1e-4


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
    pitch_sigma_rad, noise = doubts
    log_size, spread = priors.moments()
    x_ground = camera.height_m / np.maximum(-edges.slope[:, BOTTOM], _MIN_SLOPE)
    x_height = _range_by_height(camera, edges, np.exp(log_size[:, 0]), np.exp(log_size[:, 2]))
    near = np.clip(np.where(edges.seen[:, BOTTOM] & priors.grounded, x_height, x_ground), _MIN_RANGE_M, _MAX_RANGE_M)
    x_width, width_sigma = _range_by_width(edges, near, log_size, spread)
    x_m = np.stack([x_ground, x_height, x_width], axis=1)

    grade = np.square(near / camera.height_m) * (pitch_sigma_rad**2)
    road = noise.camera_height_rel**2 + (noise.road_m / camera.height_m) ** 2
    # Derivatives of each log-range by the slopes of the upper and lower edge; the width's own noise stands apart.
    by_bottom = np.stack([near / camera.height_m, near / np.exp(log_size[:, 0]), np.zeros_like(near)], axis=1)
    by_top = np.stack([np.zeros_like(near), -near / np.exp(log_size[:, 0]), np.zeros_like(near)], axis=1)
    log_cov = (
        by_bottom[:, :, None] * by_bottom[:, None] * np.square(edges.sigma[:, BOTTOM])[:, None, None]
        + by_top[:, :, None] * by_top[:, None] * np.square(edges.sigma[:, TOP])[:, None, None]
    )
    log_cov[:, GROUND, GROUND] += grade + road
    log_cov[:, HEIGHT, HEIGHT] += np.square(spread[:, 0])
    log_cov[:, WIDTH, WIDTH] += np.square(width_sigma)
    lost = _lost(edges, priors, x_m) | ~np.isfinite(log_cov[:, range(3), range(3)])
    log_cov = np.where(lost[:, :, None] | lost[:, None, :], 0.0, log_cov)
    log_cov[:, range(3), range(3)] += np.where(lost, _LOST**2, 0.0)
    return RangeCues(np.where(lost, np.nan, x_m), log_cov, log_size[:, :2], spread[:, :2])


def _range_by_height(camera: Camera, edges: BoxSlopes, height_m: np.ndarray, length_m: np.ndarray) -> np.ndarray:
    """x from the angle between upper and lower edge; of a roof below the camera the far rim is seen, not the near."""
    angle = np.maximum(edges.slope[:, TOP] - edges.slope[:, BOTTOM], _MIN_SLOPE)
    x_m = height_m / angle
    below = np.maximum(camera.height_m - height_m, 0.0)
    far_rim = below * (1.0 / x_m - 1.0 / (x_m + length_m))
    return height_m / np.maximum(angle - far_rim, _MIN_SLOPE)


def _range_by_width(
    edges: BoxSlopes, near_m: np.ndarray, log_size: np.ndarray, spread: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """x and its log-sigma from the angle between the sides of a body that points along the road.

    Off the axis a part of the flank is seen too: the inner side of the box belongs to the far corner. A box wider
    than that body allows at the range its height says is turned, and says nothing of range by its width.
    """
    width_m, length_m = np.exp(log_size[:, 1]), np.exp(log_size[:, 2])
    left, right = edges.slope[:, LEFT], edges.slope[:, RIGHT]
    outer = np.where(np.abs(left) > np.abs(right), left, right)
    inner_near = outer - np.sign(outer) * width_m / near_m
    inner = np.where(inner_near * outer > 0, inner_near * near_m / (near_m + length_m), inner_near)
    expected = np.maximum(np.abs(outer - inner), _MIN_SLOPE)
    seen = np.maximum(left - right, _MIN_SLOPE)
    flank = np.abs(inner - inner_near) / expected
    noise = np.hypot(edges.sigma[:, LEFT], edges.sigma[:, RIGHT]) / expected
    sigma = np.sqrt(spread[:, 1] ** 2 + (0.5 * flank) ** 2 + (flank * spread[:, 2]) ** 2 + noise**2)
    excess = np.log(seen / expected)
    turned = excess > 1.5 * np.hypot(sigma, spread[:, 0])
    return near_m * expected / seen, np.where(turned, np.inf, sigma)


def _lost(edges: BoxSlopes, priors: SizePriors, x_m: np.ndarray) -> np.ndarray:
    """(N, 3) cues that cannot be used: an edge cut off, an object that does not stand on the road, the horizon."""
    top, bottom = edges.seen[:, TOP], edges.seen[:, BOTTOM]
    ground = bottom & priors.grounded & (-edges.slope[:, BOTTOM] > _MIN_SLOPE)
    height = top & bottom & (edges.slope[:, TOP] - edges.slope[:, BOTTOM] > _MIN_SLOPE)
    width = edges.seen[:, LEFT] & edges.seen[:, RIGHT] & (edges.slope[:, LEFT] - edges.slope[:, RIGHT] > _MIN_SLOPE)
    usable = np.stack([ground, height, width], axis=1)
    return ~(usable & np.isfinite(x_m) & (x_m < 2 * _MAX_RANGE_M))


def fuse_cues(cues: RangeCues) -> tuple[np.ndarray, np.ndarray]:
    """Generalised least squares over the cues: x (N,) in metres and its log-sigma (N,); NaN and inf without a cue."""
    have = np.isfinite(cues.x_m)
    log_x = np.log(np.where(have, cues.x_m, 1.0))
    information = np.linalg.inv(cues.log_cov)
    weight = information.sum(axis=2)
    total = weight.sum(axis=1)
    mean = np.sum(weight * log_x, axis=1) / total
    rest = np.where(have, log_x - mean[:, None], 0.0)
    chi2 = np.einsum("ni,nij,nj->n", rest, information, rest)
    scale = np.sqrt(np.maximum(chi2 / np.maximum(have.sum(axis=1) - 1, 1), 1.0))
    any_cue = have.any(axis=1)
    return np.where(any_cue, np.exp(mean), np.nan), np.where(any_cue, scale / np.sqrt(total), np.inf)


def range_objects(
    camera: Camera,
    xyxy_px: np.ndarray,
    class_id: np.ndarray,
    *,
    pitch_sigma_rad: float = DEFAULT_PITCH_SIGMA_RAD,
    noise: RangeNoise = DEFAULT_NOISE,
) -> GroundPoints:
    """Position of each object's nearest face from its box alone, all cues fused; arguments as ``range_cues``.

    Returns:
        x forward to the nearest face, y of the centre, metres; covariance; invalid (NaN) where no cue is left, as for
        a box that fills the picture.
    """
    edges, priors = box_slopes(camera, xyxy_px, noise), size_priors(class_id)
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
