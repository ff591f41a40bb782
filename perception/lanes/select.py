"""Which of the candidates are the boundaries of lanes."""

from __future__ import annotations

import numpy as np

from perception.lanes.fit import Candidates

# Lane widths: 2.5 m (narrow city lanes) to 4.5 m (ramps); 3.5 m by the usual standards (3.66 m in the United States).
MIN_WIDTH_M, MAX_WIDTH_M, USUAL_WIDTH_M, WIDTH_SIGMA_M = 2.4, 4.7, 3.6, 0.45
_EGO_REACH_M = 0.5  # a boundary may pass under the vehicle while it changes lanes
_WIDTH_COST = 0.06  # evidence that one sigma of width is worth
_MIN_EVIDENCE = 0.03
_CENTRED_COST = 0.03  # per metre that the vehicle is off the lane's centre
_WORTH = (MIN_WIDTH_M, MAX_WIDTH_M, WIDTH_SIGMA_M, _WIDTH_COST, _CENTRED_COST)


def pick_lanes(
    candidates: Candidates, width_m: float | None, neighbours: int
) -> tuple[int | None, int | None, list[int], list[int]]:
    """Indices into the candidates: ego left, ego right, up to so many further ones to the left, and to the right."""
    left, right, lane = pick_ego(candidates, width_m)
    further_left = [] if left is None else _outwards(candidates, left, +1, lane, neighbours)
    further_right = [] if right is None else _outwards(candidates, right, -1, lane, neighbours)
    return left, right, further_left, further_right


def pick_ego(candidates: Candidates, width_m: float | None) -> tuple[int | None, int | None, float]:
    """Indices of the ego pair, and its lane width: the pair with the most evidence whose width is plausible.

    The width is near ``width_m`` (what is believed) where given. With one side in sight: the strongest boundary within
    a lane's reach.
    """
    from perception.lanes.fit_kernels import ego_pair

    base, evidence = (np.ascontiguousarray(part, np.float64) for part in (candidates.base_m, candidates.evidence))
    usual = USUAL_WIDTH_M if width_m is None else width_m
    left, right = ego_pair(base, evidence, usual, (_MIN_EVIDENCE, _EGO_REACH_M), _WORTH)
    if left >= 0:
        return left, right, float(base[left] - base[right])
    reach = (evidence > _MIN_EVIDENCE) & (np.abs(base) < MAX_WIDTH_M)
    if not reach.any():
        return None, None, USUAL_WIDTH_M
    best = int(np.where(reach, evidence, -1.0).argmax())
    return (best, None, USUAL_WIDTH_M) if base[best] >= 0 else (None, best, USUAL_WIDTH_M)


def pair_worth(
    candidates: Candidates, left: np.ndarray | int, right: np.ndarray | int, width_m: float = USUAL_WIDTH_M
) -> np.ndarray:
    """What speaks for an ego pair, indices into the candidates: its evidence, a width near ``width_m``, its place."""
    y, z, evidence = candidates.base_m[left], candidates.base_m[right], candidates.evidence
    off = (y - z - width_m) / WIDTH_SIGMA_M
    roots = np.sqrt(evidence[left]) + np.sqrt(evidence[right])
    return roots - 0.5 * _WIDTH_COST * off * off - 0.5 * _CENTRED_COST * np.abs(y + z)


def _outwards(candidates: Candidates, start: int, side: int, lane_m: float, count: int) -> list[int]:
    """Boundaries one lane after the other, away from the ego lane."""
    found: list[int] = []
    at = start
    for _ in range(count):
        step = side * (candidates.base_m - candidates.base_m[at])
        ok = (candidates.evidence > _MIN_EVIDENCE) & (step > MIN_WIDTH_M) & (step < MAX_WIDTH_M)
        if not ok.any():
            break
        off = (step - lane_m) / (1.3 * WIDTH_SIGMA_M)
        at = int(np.where(ok, np.sqrt(candidates.evidence) - 0.5 * _WIDTH_COST * off * off, -np.inf).argmax())
        found.append(at)
    return found
