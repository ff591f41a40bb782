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
_PRIOR_SIGMA = np.array([0.04, 2e-3, 1.8e-6, 4e-3])
_BASE_SIGMA_M, _OWN_BASE_SIGMA_M = 0.5, 0.05
_OWN_SIGMA = np.array([0.01, 1.5e-4, 9e-7])
_CORRELATED = 9.0  # neighbouring slices see the same paint: so many count as one
_ITERATIONS, _OWN_ITERATIONS = 3, 2
_SLACK_M = 0.4  # how far the searched shape may be off where crossings are first sorted out
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
    x, y = crossings.xy_m.T
    distance = np.abs(shape.base_m(crossings.xy_m) - base[:, None]).min(axis=0) * (1 + shape.spread * x)
    near = np.flatnonzero(distance < _CORRIDOR_M + _SLACK_M + 2 * crossings.sigma_m)
    x, y, sigma, trust = x[near], y[near], crossings.sigma_m[near], crossings.weight[near] / _CORRELATED
    count, size = len(x), 4 + len(base)
    design = np.empty((count, 4))
    design[:, 0], design[:, 1], design[:, 2] = x, x * x, x * x * x
    corridor, index, boundaries = _CORRIDOR_M + 2 * sigma, np.arange(count), np.arange(len(base))[:, None]
    held = np.full(size, 1 / _BASE_SIGMA_M**2)
    held[:4] = 1 / _PRIOR_SIGMA**2
    information, gradient, member = np.empty((size, size)), np.empty(size), index
    for _ in range(_ITERATIONS):
        scale = 1 + common[3] * x
        rests = (y - design[:, :3] @ common[:3]) - base[:, None] * scale
        member = np.abs(rests).argmin(axis=0)
        rest = rests.ravel()[member * count + index]
        member[np.abs(rest) >= corridor] = -1
        design[:, 3] = base[member] * x
        weight = _cauchy(rest, sigma) * trust * (member >= 0)
        mine = (member == boundaries) * (weight * scale)  # (K, N)
        information[4:, :4] = mine @ design
        information[:4, 4:] = information[4:, :4].T
        information[:4, :4] = design.T @ (design * weight[:, None])
        information[4:, 4:] = 0.0
        information.flat[4 * size + 4 :: size + 1] = mine @ scale
        information.flat[:: size + 1] += held
        gradient[:4], gradient[4:] = (weight * rest) @ design + held[:4] * (prior - common), mine @ rest
        step = np.linalg.solve(information, gradient)
        common, base = common + step[:4], base + step[4:]
    shared = Shape(*(float(common[i]) for i in (0, 1, 3, 2)))
    coeff, covs, rest = _own_shapes((x, y, sigma, trust), shared, base, np.linalg.inv(information), member)
    all_member, all_rest = np.full(len(crossings), -1), np.full(len(crossings), np.nan)
    all_member[near], all_rest[near] = member, rest
    return FamilyFit(shared, coeff, covs, all_member, all_rest)


def _cauchy(rest_m: np.ndarray, sigma_m: np.ndarray) -> np.ndarray:
    variance = sigma_m * sigma_m
    return 1 / (variance + rest_m * rest_m * (1 / _CAUCHY**2))


def _own_shapes(
    points: tuple[np.ndarray, ...], shape: Shape, base: np.ndarray, cov: np.ndarray, member: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each boundary on its own, held by what the family says of it: (K, 4), (K, 4, 4) and the rests (N,).

    ``points``: x, y, sigma and trust of the crossings, (N,) each. A cubic with a Gaussian prior for each boundary,
    all of them at once.
    """
    count = len(base)
    x, y, sigma, trust = points
    jacobian = np.zeros((count, 4, 4 + count))
    each = np.arange(count)
    jacobian[each, 0, 4 + each] = 1
    jacobian[:, 1, 0], jacobian[:, 1, 3], jacobian[each, 1, 4 + each] = 1, base, shape.spread
    jacobian[:, 2, 1] = jacobian[:, 3, 2] = 1
    start = np.stack(
        [base, shape.heading + base * shape.spread, *np.full((2, count), [[shape.bend], [shape.twist]])], -1
    )
    prior = np.linalg.inv(jacobian @ cov @ jacobian.transpose(0, 2, 1) + np.diag([_OWN_BASE_SIGMA_M, *_OWN_SIGMA]) ** 2)
    design = np.stack([np.ones_like(x), x, x * x, x**3], axis=-1)
    products = (design[:, :, None] * design[:, None, :]).reshape(-1, 16)
    mine = (member == each[:, None]).astype(float)  # (K, N)
    coeff, information = start, prior
    rest = np.empty_like(x)
    for _ in range(_OWN_ITERATIONS):
        rest = y - np.sum(design * coeff[member], axis=1)
        weight = mine * (_cauchy(rest, sigma) * trust)
        information = prior + (weight @ products).reshape(-1, 4, 4)
        pull = (weight * rest) @ design + np.einsum("kij,kj->ki", prior, start - coeff)
        coeff = coeff + np.linalg.solve(information, pull[..., None])[..., 0]
    rest = np.where(member >= 0, y - np.sum(design * coeff[member], axis=1), np.nan)
    return coeff, np.linalg.inv(information), rest
