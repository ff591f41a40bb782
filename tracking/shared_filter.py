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
        memory: how many directions of what is left behind are kept, at most.
    """
    count = len(decay)
    mean = np.concatenate([decay * shared.mean[:count], np.zeros(len(shared.mean) - count)])
    forward = decay[:, None] * shared.cov[:count]
    cov = forward[:, :count] * decay + np.diag(noise)
    smooth = np.linalg.solve(cov, forward).T  # E[s | s'] = mean + smooth (s' - mean'), as a smoother's gain
    left = shared.cov - smooth @ forward
    after = _with_memory(mean, cov, memory)
    gain = np.zeros((*rows.gain.shape[:2], count + memory))
    if not len(rows.mean):
        return after, RowsGiven(rows.mean, rows.cov, gain)
    from tracking.shared_kernels import book_memory, moved_by_memory

    gain[:, :, :count] = rows.gain @ smooth
    # Each direction in units of its own sigma, by what it moves in the rows in units of theirs.
    size, direction = np.linalg.eigh(left)
    own, before = np.array(rows.cov, order="C"), np.ascontiguousarray(rows.gain)
    moved, gram = np.empty(before.shape), np.zeros(left.shape)
    moved_by_memory(own, before, np.ascontiguousarray(direction * np.sqrt(np.maximum(size, 0.0))), moved, gram)
    book_memory(moved, np.ascontiguousarray(np.linalg.eigh(gram)[1]), memory, own, gain)
    return after, RowsGiven(rows.mean, own, gain)


def _with_memory(mean: np.ndarray, cov: np.ndarray, memory: int) -> Shared:
    """Unknowns and the memory beside them, in units of its own sigma and independent of them."""
    count = len(cov)
    whole = np.eye(count + memory)
    whole[:count, :count] = cov
    return Shared(np.concatenate([mean[:count], np.zeros(memory)]), whole)


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
    H, C, R, residual = _dense(rows, seen)
    surprises(np.ascontiguousarray(rows.cov), H, C, R, residual, np.ascontiguousarray(shared.cov), out)
    return out


def update(shared: Shared, rows: RowsGiven, seen: Measured) -> tuple[Shared, RowsGiven]:
    """Rows and shared unknowns after a measurement of every row."""
    from tracking.shared_kernels import take_in

    mean, cov, gain = (np.array(part, order="C") for part in (rows.mean, rows.cov, rows.gain))
    information, push = inverse(shared.cov), np.zeros(len(shared.mean))
    take_in(mean, cov, gain, *_dense(rows, seen), information, push)
    after = inverse(information)
    step = after @ push
    return Shared(shared.mean + step, after), RowsGiven(mean + gain @ step, cov, gain)


def _dense(rows: RowsGiven, seen: Measured) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """H, derivatives by the shared unknowns with the rows' gains in them, R and residual, as the compiled loops want
    them."""
    C = seen.H @ rows.gain + seen.D
    return tuple(np.ascontiguousarray(part) for part in (seen.H, C, seen.R, seen.residual))  # type: ignore[return-value]


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse (m, m) of a symmetric positive definite matrix (m, m).

    Raises:
        LinAlgError: it is none.
    """
    from tracking.shared_kernels import inverted

    out = np.empty(matrix.shape)
    if not inverted(np.ascontiguousarray(matrix), out):
        raise np.linalg.LinAlgError("covariance of the shared unknowns is not positive definite")
    return out
