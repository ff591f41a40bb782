"""What a track's size is: body kinds joined to what the filter has seen.

A class is a mixture of body kinds, but one Gaussian filter cannot hold a mixture, and one filter per kind lets their
weights drift on differences that have nothing to do with size. So the filter runs with one wide Gaussian prior a row,
and the mixture is put in its place whenever an answer is wanted: posterior times mixture over wide prior. For
Gaussian kinds that quotient is a Gaussian "measurement" of the sizes per kind; the kinds' weights come from
``tracking.body_kind``. The wide prior moves to where the likely kinds are; a Gaussian's prior can be exchanged at
any time, for it is one term of its information. Nothing else is fed back, so no evidence is counted twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from geometry.size_priors import SizePriors
from tracking.box_model import LOG_H
from tracking.shared_filter import RowsGiven, Shared, inverse

_SIZES = 3
_MOST_AT_ONCE = 0.95  # share of what is known of a size that taking a prior out of it may take away
_WIDER = 1.3  # the wide prior against the whole mixture: what the road tells of a size must not be drawn to the middle


@dataclass(frozen=True, eq=False)
class WidePrior:
    """One Gaussian per object over log height, width and length: mean and sigma, (N, 3) each."""

    mean: np.ndarray
    sigma: np.ndarray

    def __getitem__(self, row: int) -> WidePrior:
        return WidePrior(self.mean[row], self.sigma[row])


@lru_cache(maxsize=256)
def wide_prior(priors: SizePriors) -> WidePrior:
    """A Gaussian that is wider than every kind of the class; kept for priors that are asked for again."""
    mean, sigma = priors.moments()
    return WidePrior(mean, _WIDER * np.maximum(sigma, 1.25 * priors.spread.max(axis=1)))


def exchange_prior(shared: Shared, rows: RowsGiven, at: int, old: WidePrior, new: WidePrior) -> Shared:
    """Put another class's wide prior in the place of the one that row ``at`` holds, as if it had been begun so.

    A Gaussian's prior is one term of its information, each size's a term of its own: three steps of rank one (Sherman
    and Morrison), by row and shared unknowns jointly. ``rows`` are changed in place, all of them by what the shared
    unknowns learn; what the boxes told of velocity, place and road stays.

    Args:
        old, new: of one object, mean and sigma (3,) each.

    Returns:
        the shared unknowns.
    """
    for size in range(_SIZES):
        state = LOG_H + size
        step, link = rows.cov[at, :, state].copy(), rows.gain[at, state].copy()
        along = shared.cov @ link
        variance = step[state] + link @ along
        given = float(new.sigma[size]) ** -2.0
        taken = min(float(old.sigma[size]) ** -2.0, 1.0 / variance)  # noise has taken some of the old prior already
        more = max(given - taken, -_MOST_AT_ONCE / variance)
        kept = given - more
        push = given * new.mean[size] - kept * old.mean[size] - more * rows.mean[at, state]
        alone = step / (1.0 + more * step[state])
        rows.mean[at] += alone * push
        rows.cov[at] -= more * alone[:, None] * step
        rows.gain[at] -= more * alone[:, None] * link
        moved = along * push / (1.0 + more * variance)
        after = shared.cov - more * along[:, None] * along / (1.0 + more * variance)
        rows.mean[:] += rows.gain @ moved
        shared = Shared(shared.mean + moved, after)
    return shared


@dataclass(frozen=True, eq=False)
class Joined:
    """Posterior with the mixture in place.

    Attributes:
        mean, cov: (N, n), (N, n, n) moments over kinds and shared unknowns.
        kind_share: (N, K) probability of each body kind.
        shared: the shared unknowns after all rows' sizes had their say.
    """

    mean: np.ndarray
    cov: np.ndarray
    kind_share: np.ndarray
    shared: Shared


def apply_priors(
    shared: Shared, rows: RowsGiven, priors: SizePriors, share: np.ndarray, wide_mean: np.ndarray
) -> Joined:
    """Put the mixture of body kinds in the place of the wide prior.

    Args:
        share: (N, K) probability of each kind (``tracking.body_kind``).
        wide_mean: (N, 3) mean of the wide prior that the rows hold.
    """
    from tracking.motion_kernels import kind_gains, kind_moments

    precise, vague = priors.spread**-2.0, (wide_prior(priors).sigma ** -2.0)[:, None]
    kinds = np.empty((2, *priors.spread.shape))  # the quotient: centre and variance
    kinds[1] = 1.0 / (precise - vague)
    kinds[0] = kinds[1] * (precise * priors.log_hwl - vague * wide_mean[:, None])
    given = (rows.mean, rows.cov, rows.gain, share, kinds, LOG_H)
    gains = np.empty((*share.shape, rows.mean.shape[1], 3))
    information, push = inverse(shared.cov), np.zeros(len(shared.mean))
    kind_gains(*given, gains, information, push)
    cov = inverse(information)
    step = cov @ push
    mean, whole = np.empty(rows.mean.shape), np.empty(rows.cov.shape)
    kind_moments(*given, gains, cov, step, mean, whole)
    return Joined(mean, whole, share, Shared(shared.mean + step, cov))
