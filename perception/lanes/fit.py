"""From crossings to boundaries in metres: candidates, a joint robust fit of parallel curves, and its gates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geometry.types import Rows
from perception.lanes.family import Shape
from perception.lanes.ridge import Crossings

_BIN_M = 0.06
_HALF_SPAN_M = 9.0
_KERNEL = np.exp(-0.5 * (np.arange(-4, 5) * _BIN_M / 0.10) ** 2)
_CORRIDOR_M = 0.22  # crossings so near to a curve are of its boundary: half a wide marking and the fit's error
_MAX_CANDIDATES = 24
# What a joint fit may change of the shape that was searched, and of one boundary against the others (1 sigma).
_PRIOR_SIGMA = np.array([0.04, 1e-3, 4e-6, 4e-3])
_OWN_SIGMA = np.array([0.01, 1.5e-4, 3e-6])
_CORRELATED = 9.0  # neighbouring slices see the same paint: so many count as one
_ITERATIONS, _OWN_ITERATIONS = 4, 2
_SLACK_M = 0.5  # how far the searched shape may be off where crossings are first sorted out
_CAUCHY = 2.0


@dataclass(frozen=True, eq=False)
class Candidates(Rows):
    """K places where a boundary of the family may run.

    Attributes:
        base_m: (K,) lateral position at the vehicle.
        evidence: (K,) mean evidence along it, 0 to 1, where it can be seen.
        length_m: (K,) metres of road with evidence.
    """

    base_m: np.ndarray
    evidence: np.ndarray
    length_m: np.ndarray


def find_candidates(crossings: Crossings, shape: Shape, measure: np.ndarray, seen: np.ndarray) -> Candidates:
    """Peaks of the crossings' histogram across the family.

    Args:
        measure: (S,) what a slice counts (metres of road that it stands for, capped).
        seen: (S, B) share of the slice that is seen at B equally spaced bases over the span.
    """
    base = shape.base_m(crossings.xy_m)
    inside = np.abs(base) < _HALF_SPAN_M
    mass = (crossings.weight**2 * measure[crossings.row])[inside]
    count = round(2 * _HALF_SPAN_M / _BIN_M)
    index = ((base[inside] + _HALF_SPAN_M) / _BIN_M).astype(int)
    histogram = np.bincount(index, mass, count)
    profile = np.convolve(histogram, _KERNEL, "same")
    peak = np.flatnonzero((profile[1:-1] >= profile[:-2]) & (profile[1:-1] > profile[2:])) + 1
    peak = peak[np.argsort(-profile[peak])][:_MAX_CANDIDATES]
    offset = (peak + 0.5) * _BIN_M - _HALF_SPAN_M
    visible = measure @ seen
    at = np.clip(((offset + _HALF_SPAN_M) / (2 * _HALF_SPAN_M) * seen.shape[1]).astype(int), 0, seen.shape[1] - 1)
    total = np.maximum(visible[at], 0.25 * measure.sum())
    order = np.argsort(-offset)
    return Candidates(offset[order], (profile[peak] / total)[order], profile[peak][order])


@dataclass(frozen=True, eq=False)
class FamilyFit:
    """K boundaries fitted together.

    Attributes:
        shape: what they share.
        coeff: (K, 4) y = c0 + c1 x + c2 x^2 + c3 x^3; cov: (K, 4, 4).
        member: (N,) index of the boundary a crossing belongs to, -1 for none.
        residual_m: (N,) lateral distance of a crossing to its boundary, NaN for none.
    """

    shape: Shape
    coeff: np.ndarray
    cov: np.ndarray
    member: np.ndarray
    residual_m: np.ndarray


def fit_family(crossings: Crossings, shape: Shape, base_m: np.ndarray) -> FamilyFit:
    """Robust joint fit: one heading, bend, twist and spread, and the base of each boundary; then each its own.

    Iteratively reweighted least squares with Cauchy weights (Holland and Welsch, 1977); crossings are assigned anew
    in each round to the nearest curve within a corridor.
    """
    prior = np.array([shape.heading, shape.bend, shape.twist, shape.spread])
    common, base = prior.copy(), np.asarray(base_m, float).copy()
    near = np.flatnonzero(assign(crossings.xy_m, crossings.sigma_m + _SLACK_M, common, base) >= 0)
    xy, sigma, trust = crossings.xy_m[near], crossings.sigma_m[near], crossings.weight[near] / _CORRELATED
    x, y = xy.T
    powers = np.stack([x, x * x, x**3], axis=-1)
    information = np.zeros((4 + len(base),) * 2)
    member = np.full(len(x), -1)
    one_of = np.eye(len(base))
    for _ in range(_ITERATIONS):
        member = assign(xy, sigma, common, base)
        rows = np.flatnonzero(member >= 0)
        k, at, scale = member[rows], powers[rows], 1 + common[3] * x[rows]
        design = np.column_stack([at, base[k] * x[rows], one_of[k] * scale[:, None]])
        rest = y[rows] - at @ common[:3] - base[k] * scale
        weight = _cauchy(rest, sigma[rows]) * trust[rows]
        information = design.T @ (design * weight[:, None])
        gradient = design.T @ (weight * rest)
        information[np.diag_indices(len(information))] += np.r_[1 / _PRIOR_SIGMA**2, np.full(len(base), 1 / 0.5**2)]
        gradient[:4] += (prior - common) / _PRIOR_SIGMA**2
        step = np.linalg.solve(information, gradient)
        common, base = common + step[:4], base + step[4:]
    shared = Shape(*(float(common[i]) for i in (0, 1, 3, 2)))
    coeff, covs, rest = _own_shapes((x, y, sigma, trust), shared, base, np.linalg.inv(information), member)
    all_member, all_rest = np.full(len(crossings), -1), np.full(len(crossings), np.nan)
    all_member[near], all_rest[near] = member, rest
    return FamilyFit(shared, coeff, covs, all_member, all_rest)


def assign(xy_m: np.ndarray, sigma_m: np.ndarray, common: np.ndarray, base_m: np.ndarray) -> np.ndarray:
    """(N,) index of the curve of the family nearest to points (N, 2) within the corridor, -1 for none."""
    x, y = xy_m.T
    middle = x * (common[0] + x * (common[1] + x * common[2]))
    distance = np.abs((y - middle)[None, :] - base_m[:, None] * (1 + common[3] * x))
    nearest = np.argmin(distance, axis=0)
    return np.where(distance.min(axis=0) < _CORRIDOR_M + 2 * sigma_m, nearest, -1)


def _cauchy(rest_m: np.ndarray, sigma_m: np.ndarray) -> np.ndarray:
    return 1 / (sigma_m**2 * (1 + (rest_m / (_CAUCHY * sigma_m)) ** 2))


def _own_shapes(
    points: tuple[np.ndarray, ...], shape: Shape, base: np.ndarray, cov: np.ndarray, member: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each boundary on its own, held by what the family says of it: (K, 4), (K, 4, 4) and the rests (N,).

    ``points``: x, y, sigma and trust of the crossings, (N,) each.
    """
    count = len(base)
    coeff, covs = np.zeros((count, 4)), np.zeros((count, 4, 4))
    rest = np.full(len(member), np.nan)
    for k in range(count):
        jacobian = np.zeros((4, 4 + count))
        jacobian[0, 4 + k] = 1
        jacobian[1, [0, 3, 4 + k]] = 1, base[k], shape.spread
        jacobian[[2, 3], [1, 2]] = 1
        start = np.array([base[k], shape.heading + base[k] * shape.spread, shape.bend, shape.twist])
        held = jacobian @ cov @ jacobian.T + np.diag([0.05, *_OWN_SIGMA]) ** 2
        rows = np.flatnonzero(member == k)
        x, y, sigma, trust = (values[rows] for values in points)
        coeff[k], covs[k] = _refine(x, y, sigma, trust, (start, held))
        rest[rows] = y - np.polynomial.polynomial.polyval(x, coeff[k])
    return coeff, covs, rest


def _refine(
    x: np.ndarray, y: np.ndarray, sigma: np.ndarray, trust: np.ndarray, held: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Cubic through crossings (N,) with a Gaussian prior (mean, covariance): coefficients (4,), covariance (4, 4)."""
    start, cov = held
    design = np.stack([np.ones_like(x), x, x * x, x**3], axis=-1)
    prior = np.linalg.inv(cov)
    coeff, information = start.copy(), prior
    for _ in range(_OWN_ITERATIONS):
        rest = y - design @ coeff
        weight = _cauchy(rest, sigma) * trust
        information = prior + design.T @ (design * weight[:, None])
        coeff = coeff + np.linalg.solve(information, design.T @ (weight * rest) + prior @ (start - coeff))
    return coeff, np.linalg.inv(information)
