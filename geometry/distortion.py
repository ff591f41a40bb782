"""Lens distortion: the Brown-Conrady and the Kannala-Brandt (fisheye) models as OpenCV defines them, with inverses.

Sources: D. C. Brown, "Close-range camera calibration", 1971; J. Kannala, S. S. Brandt, "A generic camera model and
calibration method for conventional, wide-angle, and fish-eye lenses", PAMI 2006; the coefficient order is OpenCV's.
All functions work on normalised camera coordinates (x/z, y/z), NumPy or torch. Outside the domain of a model, where
its radial map folds back and two rays would meet in one pixel, points are invalid: their numbers mean nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace

Array = Any
Model = Literal["none", "brown", "fisheye"]

_COEFFICIENTS = {"none": (0,), "brown": (4, 5, 8), "fisheye": (4,)}
_NEWTON_STEPS = 30
_MAX_RADIUS = 1e3  # normalised: 89.94 degrees off the axis, farther than any picture of this model reaches
_LEAST_STRETCH = 1e-3  # of areas; nearer to the fold a hundredth of a pixel would decide the direction
_MAX_ANGLE = 1.55  # radians: a normalised coordinate, tan(angle), exists only while the ray points forward


@dataclass(frozen=True)
class Distortion:
    """A lens model and its coefficients.

    ``brown``: k1, k2, p1, p2[, k3[, k4, k5, k6]]; ``fisheye``: k1, k2, k3, k4 of the angle.

    Raises:
        ValueError: an unknown model, a wrong number of coefficients, or one that is not finite.
    """

    model: Model = "none"
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.model not in _COEFFICIENTS:
            raise ValueError(f"distortion model {self.model!r} is unknown, use one of {', '.join(_COEFFICIENTS)}")
        if len(self.coefficients) not in _COEFFICIENTS[self.model]:
            wanted = " or ".join(str(n) for n in _COEFFICIENTS[self.model])
            raise ValueError(
                f"distortion model {self.model!r} got {len(self.coefficients)} coefficients, takes {wanted}"
            )
        if not all(math.isfinite(c) for c in self.coefficients):
            raise ValueError(f"distortion coefficients must be finite numbers, got {self.coefficients}")

    @cached_property
    def brown(self) -> tuple[float, ...]:
        """k1, k2, p1, p2, k3, k4, k5, k6 with zeros for what was not given."""
        return tuple(self.coefficients) + (0.0,) * (8 - len(self.coefficients))

    @cached_property
    def max_radius(self) -> float:
        """Largest undistorted radius of the domain: up to it the radial map grows."""
        if self.model == "none":
            return math.inf
        if self.model == "fisheye":
            angle = np.linspace(0.0, _MAX_ANGLE, 20001)
            return math.tan(_first_fall(angle, _fisheye_angle(self.coefficients, angle)))
        radius = np.concatenate([np.linspace(0.0, 10.0, 20001), np.geomspace(10.001, _MAX_RADIUS, 2000)])
        k = self.brown
        denominator = 1.0 + radius**2 * (k[5] + radius**2 * (k[6] + radius**2 * k[7]))
        if (denominator <= 0.0).any():
            radius = radius[: int(np.argmax(denominator <= 0.0))]
        return _first_fall(radius, radius * _brown_radial(k, radius**2)[0])


IDEAL = Distortion()


def distort(lens: Distortion, xy: Array) -> tuple[Array, Array]:
    """Distorted coordinates of ideal ones, (..., 2), and where the model is valid (...)."""
    xp = array_namespace(xy)
    finite = xp.isfinite(xy[..., 0]) & xp.isfinite(xy[..., 1])
    if lens.model == "none":
        return xy, finite
    valid = finite & (xp.max(xp.abs(xy), axis=-1) < lens.max_radius)
    inside = xp.where(valid[..., None], xy, xp.zeros_like(xy))
    valid = valid & (xp.sum(inside * inside, axis=-1) < lens.max_radius**2)
    inside = xp.where(valid[..., None], inside, xp.zeros_like(xy))
    if lens.model == "fisheye":
        return _fisheye(lens.coefficients, inside), valid
    distorted, jacobian = _brown(lens.brown, inside)
    return distorted, valid & _unfolded(jacobian)


def undistort(lens: Distortion, xy: Array) -> tuple[Array, Array]:
    """Ideal coordinates of distorted ones, (..., 2), and where the inverse exists (...)."""
    xp = array_namespace(xy)
    finite = xp.isfinite(xy[..., 0]) & xp.isfinite(xy[..., 1])
    if lens.model == "none":
        return xy, finite
    safe = xp.where(finite[..., None], xy, xp.zeros_like(xy))
    inverse = _brown_inverse if lens.model == "brown" else _fisheye_inverse
    ideal, valid = inverse(lens, safe)
    return ideal, valid & finite


def _first_fall(argument: np.ndarray, value: np.ndarray) -> float:
    """The argument at which a sampled function stops growing; the last one where it never does."""
    falls = np.diff(value) <= 0
    return float(argument[int(np.argmax(falls))] if falls.any() else argument[-1])


def _tolerances(xy: Array) -> tuple[float, float]:
    """Where Newton's method may stop and what residual counts as solved, in normalised units of the array's type."""
    eps = float(array_namespace(xy).finfo(xy.dtype).eps)
    return max(1e-13, eps), max(1e-9, 64.0 * eps)


def _brown_radial(k: tuple[float, ...], r2: Any) -> tuple[Any, Any]:
    """The radial factor and its derivative by r2."""
    numerator = 1.0 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))
    denominator = 1.0 + r2 * (k[5] + r2 * (k[6] + r2 * k[7]))
    factor = numerator / denominator
    numerator_slope = k[0] + r2 * (2.0 * k[1] + r2 * 3.0 * k[4])
    denominator_slope = k[5] + r2 * (2.0 * k[6] + r2 * 3.0 * k[7])
    return factor, (numerator_slope - factor * denominator_slope) / denominator


def _brown(k: tuple[float, ...], xy: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    """Distorted points, (..., 2), and the Jacobian, which is symmetric: d x/d x, d x/d y = d y/d x, d y/d y."""
    xp = array_namespace(xy)
    x, y = xy[..., 0], xy[..., 1]
    r2 = x * x + y * y
    radial, slope = _brown_radial(k, r2)
    dx = 2.0 * k[2] * x * y + k[3] * (r2 + 2.0 * x * x)
    dy = k[2] * (r2 + 2.0 * y * y) + 2.0 * k[3] * x * y
    xx = radial + 2.0 * x * x * slope + 2.0 * k[2] * y + 6.0 * k[3] * x
    cross = 2.0 * (x * y * slope + k[2] * x + k[3] * y)
    yy = radial + 2.0 * y * y * slope + 6.0 * k[2] * y + 2.0 * k[3] * x
    return xp.stack([x * radial + dx, y * radial + dy], axis=-1), (xx, cross, yy)


def _brown_inverse(lens: Distortion, xy: Array) -> tuple[Array, Array]:
    """Newton's method from the distorted point, kept inside the domain.

    From there it converges without overshoot both for a barrel (the radial map is concave, the root farther out) and
    for a pincushion (convex, the root nearer).
    """
    xp = array_namespace(xy)
    stop, solved = _tolerances(xy)
    limit = lens.max_radius
    # Far beyond the rim of the domain there is nothing to search for; tangential terms move the rim by a few per cent.
    reachable = xp.sum(xy * xy, axis=-1) < (1.1 * limit * float(_brown_radial(lens.brown, limit**2)[0])) ** 2
    xy = xp.where(reachable[..., None], xy, xp.zeros_like(xy))
    guess = _within(xy, limit)
    for _ in range(_NEWTON_STEPS):
        distorted, (xx, cross, yy) = _brown(lens.brown, guess)
        error = distorted - xy
        if not bool(xp.any(xp.abs(error) > stop)):
            break
        det = xx * yy - cross * cross
        det = xp.where(xp.abs(det) > 1e-6, det, xp.full_like(det, 1e-6))
        step_x = (yy * error[..., 0] - cross * error[..., 1]) / det
        step_y = (xx * error[..., 1] - cross * error[..., 0]) / det
        last, guess = guess, _within(guess - xp.stack([step_x, step_y], axis=-1), limit)
        if not bool(xp.any(xp.abs(guess - last) > stop)):  # what is left lies outside the domain, held at its edge
            break
    distorted, (xx, cross, yy) = _brown(lens.brown, guess)
    valid = (xp.max(xp.abs(distorted - xy), axis=-1) < solved) & _unfolded((xx, cross, yy))
    return guess, valid & reachable & (xp.sum(guess * guess, axis=-1) < limit**2)


def _unfolded(jacobian: tuple[Array, Array, Array]) -> Array:
    """Where a lens maps one to one: tangential terms move the fold, beyond which a pixel has a second ray, inwards."""
    xx, cross, yy = jacobian
    return xx * yy - cross * cross > _LEAST_STRETCH


def _within(xy: Array, radius: float) -> Array:
    """Points farther out than the radius pulled back to it."""
    xp = array_namespace(xy)
    length = xp.sqrt(xp.sum(xy * xy, axis=-1, keepdims=True) + 1e-30)
    return xp.where(length > radius, xy * (radius / length), xy)


def _fisheye_angle(k: tuple[float, ...], theta: Array) -> Array:
    t2 = theta * theta
    return theta * (1.0 + t2 * (k[0] + t2 * (k[1] + t2 * (k[2] + t2 * k[3]))))


def _fisheye(k: tuple[float, ...], xy: Array) -> Array:
    xp = array_namespace(xy)
    r2 = xp.sum(xy * xy, axis=-1)
    off_axis = r2 > 1e-24
    radius = xp.sqrt(xp.where(off_axis, r2, xp.ones_like(r2)))
    scale = xp.where(off_axis, _fisheye_angle(k, xp.atan(radius)) / radius, xp.ones_like(radius))
    return xy * scale[..., None]


def _fisheye_inverse(lens: Distortion, xy: Array) -> tuple[Array, Array]:
    xp = array_namespace(xy)
    k = lens.coefficients
    stop, solved = _tolerances(xy)
    limit = math.atan(lens.max_radius)
    r2 = xp.sum(xy * xy, axis=-1)
    off_axis = r2 > 1e-24
    distorted = xp.where(off_axis, xp.sqrt(xp.where(off_axis, r2, xp.ones_like(r2))), xp.zeros_like(r2))
    theta = xp.clip(distorted, 0.0, limit)
    for _ in range(_NEWTON_STEPS):
        error = _fisheye_angle(k, theta) - distorted
        if not bool(xp.any(xp.abs(error) > stop)):
            break
        t2 = theta * theta
        slope = 1.0 + t2 * (3.0 * k[0] + t2 * (5.0 * k[1] + t2 * (7.0 * k[2] + t2 * 9.0 * k[3])))
        theta = xp.clip(theta - error / xp.where(slope > 1e-6, slope, xp.full_like(slope, 1e-6)), 0.0, limit)
    valid = (xp.abs(_fisheye_angle(k, theta) - distorted) < solved) & (theta < limit)
    tangent = xp.tan(xp.where(valid, theta, xp.zeros_like(theta)))
    scale = xp.where(off_axis, tangent / xp.where(off_axis, distorted, xp.ones_like(distorted)), xp.ones_like(r2))
    return xy * scale[..., None], valid
