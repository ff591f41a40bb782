"""Lens distortion: the Brown-Conrady and the Kannala-Brandt (fisheye) models as OpenCV defines them, with inverses.

Sources: D. C. Brown, "Close-range camera calibration", 1971; J. Kannala, S. S. Brandt, "A generic camera model and
calibration method for conventional, wide-angle, and fish-eye lenses", PAMI 2006; the coefficient order is OpenCV's.
All functions work on normalised camera coordinates (x/z, y/z), NumPy or torch.
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
_TOLERANCE = 1e-12  # normalised units: 1e-9 px at a focal length of 1000


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
        """Largest undistorted radius up to which the radial map still grows: beyond it the model folds back."""
        if self.model != "brown":
            return math.inf
        radius = np.linspace(0.0, 10.0, 20001)
        grows = np.diff(radius * _brown_radial(self.brown, radius**2)) > 0
        return math.inf if grows.all() else float(radius[int(np.argmin(grows))])


IDEAL = Distortion()


def distort(lens: Distortion, xy: Array) -> tuple[Array, Array]:
    """Distorted coordinates of ideal ones, (..., 2), and where the model is valid (...)."""
    xp = array_namespace(xy)
    r2 = xp.sum(xy * xy, axis=-1)
    if lens.model == "none":
        return xy, xp.isfinite(r2)
    if lens.model == "brown":
        return _brown(lens.brown, xy), r2 < lens.max_radius**2
    return _fisheye(lens.coefficients, xy), xp.isfinite(r2)


def undistort(lens: Distortion, xy: Array) -> tuple[Array, Array]:
    """Ideal coordinates of distorted ones, (..., 2), and where the inverse exists (...)."""
    xp = array_namespace(xy)
    if lens.model == "none":
        return xy, xp.isfinite(xy[..., 0] + xy[..., 1])
    return _brown_inverse(lens, xy) if lens.model == "brown" else _fisheye_inverse(lens.coefficients, xy)


def _brown_radial(k: tuple[float, ...], r2: Array) -> Array:
    numerator = 1.0 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))
    return numerator / (1.0 + r2 * (k[5] + r2 * (k[6] + r2 * k[7])))


def _brown(k: tuple[float, ...], xy: Array) -> Array:
    xp = array_namespace(xy)
    x, y = xy[..., 0], xy[..., 1]
    r2 = x * x + y * y
    radial = _brown_radial(k, r2)
    dx = 2.0 * k[2] * x * y + k[3] * (r2 + 2.0 * x * x)
    dy = k[2] * (r2 + 2.0 * y * y) + 2.0 * k[3] * x * y
    return xp.stack([x * radial + dx, y * radial + dy], axis=-1)


def _brown_inverse(lens: Distortion, xy: Array) -> tuple[Array, Array]:
    """Newton's method with a central-difference Jacobian, started from the distorted point."""
    xp = array_namespace(xy)
    step = 1e-6
    guess = xy * 1.0
    ex = xp.zeros_like(guess)
    ex[..., 0] = step
    ey = xp.zeros_like(guess)
    ey[..., 1] = step
    for _ in range(_NEWTON_STEPS):
        error = _brown(lens.brown, guess) - xy
        if not bool(xp.any(xp.abs(error) > _TOLERANCE)):
            break
        jx = (_brown(lens.brown, guess + ex) - _brown(lens.brown, guess - ex)) / (2.0 * step)
        jy = (_brown(lens.brown, guess + ey) - _brown(lens.brown, guess - ey)) / (2.0 * step)
        det = jx[..., 0] * jy[..., 1] - jx[..., 1] * jy[..., 0]
        dx = (jy[..., 1] * error[..., 0] - jy[..., 0] * error[..., 1]) / det
        dy = (jx[..., 0] * error[..., 1] - jx[..., 1] * error[..., 0]) / det
        guess = guess - xp.stack([dx, dy], axis=-1)
    residual = xp.max(xp.abs(_brown(lens.brown, guess) - xy), axis=-1)
    valid = (residual < 1e-8) & (xp.sum(guess * guess, axis=-1) < lens.max_radius**2)
    return guess, valid


def _fisheye_angle(k: tuple[float, ...], theta: Array) -> Array:
    t2 = theta * theta
    return theta * (1.0 + t2 * (k[0] + t2 * (k[1] + t2 * (k[2] + t2 * k[3]))))


def _fisheye(k: tuple[float, ...], xy: Array) -> Array:
    xp = array_namespace(xy)
    radius = xp.sqrt(xp.sum(xy * xy, axis=-1))
    safe = xp.where(radius > 1e-12, radius, xp.ones_like(radius))
    scale = xp.where(radius > 1e-12, _fisheye_angle(k, xp.atan(radius)) / safe, xp.ones_like(radius))
    return xy * scale[..., None]


def _fisheye_inverse(k: tuple[float, ...], xy: Array) -> tuple[Array, Array]:
    xp = array_namespace(xy)
    distorted = xp.sqrt(xp.sum(xy * xy, axis=-1))
    theta = distorted * 1.0
    for _ in range(_NEWTON_STEPS):
        error = _fisheye_angle(k, theta) - distorted
        if not bool(xp.any(xp.abs(error) > _TOLERANCE)):
            break
        t2 = theta * theta
        slope = 1.0 + t2 * (3.0 * k[0] + t2 * (5.0 * k[1] + t2 * (7.0 * k[2] + t2 * 9.0 * k[3])))
        theta = theta - error / slope
    # tan(theta) is a normalised coordinate only while the ray still points forward
    valid = (xp.abs(_fisheye_angle(k, theta) - distorted) < 1e-8) & (theta >= 0) & (theta < 1.55)
    safe = xp.where(distorted > 1e-12, distorted, xp.ones_like(distorted))
    scale = xp.where(valid & (distorted > 1e-12), xp.tan(theta) / safe, xp.ones_like(distorted))
    return xy * scale[..., None], valid
