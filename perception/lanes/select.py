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


def pick_lanes(candidates: Candidates, width_m: float | None) -> tuple[int | None, int | None, list[int], list[int]]:
    """Indices into the candidates: ego left, ego right, further ones to the left, further ones to the right.

    The pair with the most evidence whose width is plausible; near ``width_m`` (lane width believed) where given.
    """
    base, evidence = candidates.base_m, candidates.evidence
    usual = USUAL_WIDTH_M if width_m is None else width_m
    good = evidence > _MIN_EVIDENCE
    left, right = np.flatnonzero(good & (base > -_EGO_REACH_M)), np.flatnonzero(good & (base < _EGO_REACH_M))
    if len(left) == 0 or len(right) == 0:
        return _single(candidates, good)
    width = base[left][:, None] - base[right][None, :]
    middle = 0.5 * (base[left][:, None] + base[right][None, :])
    cost = _WIDTH_COST * ((width - usual) / WIDTH_SIGMA_M) ** 2 * 0.5 + _CENTRED_COST * np.abs(middle)
    total = np.sqrt(evidence[left])[:, None] + np.sqrt(evidence[right])[None, :] - cost
    total[(width < MIN_WIDTH_M) | (width > MAX_WIDTH_M)] = -np.inf
    if not np.isfinite(total).any():
        return _single(candidates, good)
    i, j = np.unravel_index(int(np.argmax(total)), total.shape)
    ego_left, ego_right = int(left[i]), int(right[j])
    lane = float(width[i, j])
    further_left = _outwards(candidates, ego_left, +1, lane, good)
    further_right = _outwards(candidates, ego_right, -1, lane, good)
    return ego_left, ego_right, further_left, further_right


def _single(candidates: Candidates, good: np.ndarray) -> tuple[int | None, int | None, list[int], list[int]]:
    """Only one side is seen: the strongest boundary within a lane's reach."""
    reach = good & (np.abs(candidates.base_m) < MAX_WIDTH_M)
    if not reach.any():
        return None, None, [], []
    best = int(np.argmax(np.where(reach, candidates.evidence, -1.0)))
    if candidates.base_m[best] >= 0:
        return best, None, _outwards(candidates, best, +1, USUAL_WIDTH_M, good), []
    return None, best, [], _outwards(candidates, best, -1, USUAL_WIDTH_M, good)


def _outwards(candidates: Candidates, start: int, side: int, lane_m: float, good: np.ndarray) -> list[int]:
    """Boundaries one lane after the other, away from the ego lane."""
    found: list[int] = []
    at = start
    for _ in range(2):
        step = side * (candidates.base_m - candidates.base_m[at])
        ok = good & (step > MIN_WIDTH_M) & (step < MAX_WIDTH_M)
        if not ok.any():
            break
        cost = _WIDTH_COST * 0.5 * ((step - lane_m) / (1.3 * WIDTH_SIGMA_M)) ** 2
        value = np.where(ok, np.sqrt(candidates.evidence) - cost, -np.inf)
        at = int(np.argmax(value))
        found.append(at)
    return found
