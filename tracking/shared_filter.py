"""A Kalman filter of many independent rows that share a few unknowns, exact and linear in the number of rows.

Every car on the road is seen with the same pitch error, so their ranges are not independent; one filter over all states
would hold that, at cubic cost. But given the shared unknowns s the rows ARE independent. So each row keeps a
Gaussian *given s*: mean x + G (s - s_mean) and covariance P, beside the Gaussian of s itself. This is the
arrow-shaped information matrix of the joint filter (as in FastSLAM, Montemerlo et al., AAAI 2002, with the roles of
path and landmarks exchanged), and equals it exactly while s stands still.

When s drifts, what s was no longer follows from what it is, yet all rows were measured through what it was: an error
they have in common is left behind. Were it booked to each row as if it were its own, many rows would seem to confirm
each other, and the filter would soon be sure of a wrong scale. So the error left behind joins s as *memory*: further
unknowns, of which after every step the few directions that move the rows most are kept and only the rest is booked to
the rows. With memory enough the filter equals the joint one in drift too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_NOT_POSITIVE = "covariance of the shared unknowns is not positive definite"


@dataclass(frozen=True, eq=False)
class Shared:
    """The unknowns all rows have in common: mean (m,) and covariance (m, m)."""

    mean: np.ndarray
    cov: np.ndarray


@dataclass(frozen=True, eq=False)
class RowsGiven:
    """R rows, each Gaussian given the shared unknowns.

    Attributes:
        mean: (R, n) at the shared mean.
        cov: (R, n, n) given the shared unknowns.
        gain: (R, n, m) change of the mean per change of the shared unknowns.
    """

    mean: np.ndarray
    cov: np.ndarray
    gain: np.ndarray

    def marginal(self, shared: Shared) -> np.ndarray:
        """(R, n, n) covariance with the shared unknowns' part."""
        return self.cov + self.gain @ shared.cov @ self.gain.transpose(0, 2, 1)


def predict_shared(
    shared: Shared, rows: RowsGiven, decay: np.ndarray, noise: np.ndarray, memory: int = 0
) -> tuple[Shared, RowsGiven]:
    """Let the shared unknowns drift: s' = decay * s + w, w of variance ``noise``, both (m,); rows follow.

    Args:
        shared: of m unknowns that drift, then those of memory.
        memory: how many directions of what is left behind are kept, at most, in units of their own sigmas.

    Raises:
        LinAlgError: a covariance that is none.
    """
    from tracking.shared_kernels import book_memory, drifted_shared, moved_by_memory

    count = len(decay)
    mean, cov = np.zeros(count + memory), np.empty((count + memory, count + memory))
    mean[:count] = decay * shared.mean[:count]
    smooth, root = np.empty((len(shared.mean), count)), np.empty(shared.cov.shape)
    if not drifted_shared(np.ascontiguousarray(shared.cov), decay, noise, cov, smooth, root):
        raise np.linalg.LinAlgError(_NOT_POSITIVE)
    after, gain = Shared(mean, cov), np.zeros((*rows.gain.shape[:2], count + memory))
    if not len(rows.mean):
        return after, RowsGiven(rows.mean, rows.cov, gain)
    gain[:, :, :count] = rows.gain @ smooth
    # Each direction by what it moves in the rows in units of their sigmas; which root of the covariance tells the
    # directions does not matter, they are turned into those that move most.
    own, before = np.array(rows.cov, order="C"), np.ascontiguousarray(rows.gain)
    moved, gram = np.empty(before.shape), np.zeros(root.shape)
    moved_by_memory(own, before, root, moved, gram)
    book_memory(moved, np.ascontiguousarray(np.linalg.eigh(gram)[1]), memory, own, gain)
    return after, RowsGiven(rows.mean, own, gain)


def predict_rows(rows: RowsGiven, mean: np.ndarray, F: np.ndarray, Q: np.ndarray) -> RowsGiven:
    """Rows moved to ``mean`` (R, n) by a motion of derivatives F (R, n, n) and noise of covariance Q (R, n, n)."""
    from tracking.shared_kernels import propagate

    cov, gain = np.empty(rows.cov.shape), np.empty(rows.gain.shape)
    propagate(*(np.ascontiguousarray(part) for part in (F, Q, rows.cov, rows.gain)), cov, gain)
    return RowsGiven(mean, cov, gain)


@dataclass(frozen=True, eq=False)
class Measured:
    """A measurement of each row: z - h(mean) (R, k), its derivatives by row (R, k, n) and shared (R, k, m), noise."""

    residual: np.ndarray
    H: np.ndarray
    D: np.ndarray
    R: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Measured:
        return Measured(self.residual[rows], self.H[rows], self.D[rows], self.R[rows])


def surprise(shared: Shared, rows: RowsGiven, seen: Measured) -> np.ndarray:
    """Normalised innovation squared (R,) of each row."""
    from tracking.shared_kernels import surprises

    out = np.empty(len(rows.mean))
    cov, gain = np.ascontiguousarray(rows.cov), np.ascontiguousarray(rows.gain)
    surprises(cov, gain, *_dense(seen), np.ascontiguousarray(shared.cov), out)
    return out


def update(shared: Shared, rows: RowsGiven, seen: Measured) -> tuple[Shared, RowsGiven]:
    """Rows and shared unknowns after a measurement of every row."""
    from tracking.shared_kernels import take_in

    mean, cov, gain = (np.array(part, order="C") for part in (rows.mean, rows.cov, rows.gain))
    information, push = inverse(shared.cov), np.zeros(len(shared.mean))
    take_in(mean, cov, gain, *_dense(seen), information, push)
    after = inverse(information)
    step = after @ push
    return Shared(shared.mean + step, after), RowsGiven(mean + gain @ step, cov, gain)


def _dense(seen: Measured) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """H, D, R and residual as the compiled loops want them."""
    H, D, R, residual = (np.ascontiguousarray(part) for part in (seen.H, seen.D, seen.R, seen.residual))
    return H, D, R, residual


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse (m, m) of a symmetric positive definite matrix (m, m).

    Raises:
        LinAlgError: it is none.
    """
    from tracking.shared_kernels import inverted

    out = np.empty(matrix.shape)
    if not inverted(np.ascontiguousarray(matrix), out):
        raise np.linalg.LinAlgError(_NOT_POSITIVE)
    return out
