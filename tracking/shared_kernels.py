"""Compiled loops of ``tracking.shared_filter``, over rows that share unknowns.

Everything is compiled, or read from the cache on disk, when the module is imported; nobody imports it at its own
import. Nothing is checked here: arrays are C-contiguous float64.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from geometry.compiled import compiled


@numba.njit
def product(first, second, out):  # type: ignore[no-untyped-def]
    """The product of two matrices, into the third."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = 0.0
            for k in range(second.shape[0]):
                total += first[i, k] * second[k, j]
            out[i, j] = total


@numba.njit(inline="always")
def _factor(S, size):  # type: ignore[no-untyped-def]
    """Cholesky's factor in place of the lower triangle of the first ``size`` rows; True where there is one."""
    for a in range(size):
        for b in range(a + 1):
            total = S[a, b]
            for c in range(b):
                total -= S[a, c] * S[b, c]
            if a == b:
                if not total > 0.0:
                    return False
                S[a, a] = math.sqrt(total)
            else:
                S[a, b] = total / S[b, b]
    return True


@numba.njit
def _forward(factor, x):  # type: ignore[no-untyped-def]
    """x (n,) in place by the inverse of the lower triangle of a factor of Cholesky."""
    for a in range(len(x)):
        for b in range(a):
            x[a] -= factor[a, b] * x[b]
        x[a] /= factor[a, a]


@numba.njit
def _back(factor, x):  # type: ignore[no-untyped-def]
    """x (n,) in place by the inverse of its transpose: after ``_forward`` the solution of the whole."""
    for a in range(len(x) - 1, -1, -1):
        for b in range(a + 1, len(x)):
            x[a] -= factor[b, a] * x[b]
        x[a] /= factor[a, a]


@numba.njit
def _inverse(factor, out):  # type: ignore[no-untyped-def]
    """The inverse of the matrix whose factor of Cholesky is given, column by column."""
    out[:] = 0.0
    for c in range(len(out)):
        out[c, c] = 1.0
        _forward(factor, out[:, c])
        _back(factor, out[:, c])


@numba.njit
def _innovation(H, cov, R, PHt, S):  # type: ignore[no-untyped-def]
    """P H' (n, k) and S = H P H' + R (k, k) of one row, into the last two arguments."""
    size, states = H.shape
    for n in range(states):
        for a in range(size):
            total = 0.0
            for o in range(states):
                total += cov[n, o] * H[a, o]
            PHt[n, a] = total
    for a in range(size):
        for b in range(size):
            total = R[a, b]
            for n in range(states):
                total += H[a, n] * PHt[n, b]
            S[a, b] = total


@compiled("b1(f8[:,::1], f8[:,::1])")
def inverted(matrix, out):  # type: ignore[no-untyped-def]
    """Inverse (n, n) of a symmetric positive definite matrix (n, n), itself symmetric; False where it is none."""
    factor = matrix.copy()
    if not _factor(factor, len(factor)):
        return False
    _inverse(factor, out)
    for a in range(len(out)):
        for b in range(a):
            out[a, b] = out[b, a] = 0.5 * (out[a, b] + out[b, a])
    return True


@numba.njit
def _by_shared(H, gain, D, C):  # type: ignore[no-untyped-def]
    """H G + D (k, m): derivatives by the shared unknowns with the row's gain in them, into the last argument."""
    product(H, gain, C)
    for a in range(C.shape[0]):
        for u in range(C.shape[1]):
            C[a, u] += D[a, u]


@compiled("void(f8[:,:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,::1], f8[:,::1], f8[::1])")
def surprises(cov, gain, H, D, R, residual, shared_cov, out):  # type: ignore[no-untyped-def]
    """Normalised innovation squared of each row, the shared unknowns' part in it; NaN where S is not positive.

    Args:
        cov, gain: (N, n, n), (N, n, m).
        H, D, R, residual: (N, k, n), (N, k, m), (N, k, k), (N, k).
        shared_cov: (m, m).
        out: (N,).
    """
    count, size, states = H.shape
    unknowns = D.shape[2]
    PHt, S, z = np.empty((states, size)), np.empty((size, size)), np.empty(size)
    C, weighed = np.empty((size, unknowns)), np.empty((size, unknowns))
    for i in range(count):
        _innovation(H[i], cov[i], R[i], PHt, S)
        _by_shared(H[i], gain[i], D[i], C)
        product(C, shared_cov, weighed)
        for a in range(size):
            for b in range(size):
                for u in range(unknowns):
                    S[a, b] += weighed[a, u] * C[b, u]
        if not _factor(S, size):
            out[i] = np.nan
            continue
        out[i] = 0.0
        for a in range(size):
            total = residual[i, a]
            for b in range(a):
                total -= S[a, b] * z[b]
            z[a] = total / S[a, a]
            out[i] += z[a] * z[a]


@compiled(
    "void(f8[:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,::1], f8[:,::1], f8[::1])"
)
def take_in(mean, cov, gain, H, D, R, residual, information, push):  # type: ignore[no-untyped-def]
    """Kalman update of rows given the shared unknowns, in place (covariances in Joseph's form), and what they tell of
    those.

    Args:
        mean, cov, gain: (N, n), (N, n, n), (N, n, m), changed in place.
        H, D, R, residual: as ``surprises``.
        information, push: (m, m) and (m,), added to.
    """
    count, size, states = H.shape
    unknowns = D.shape[2]
    PHt, S, inverse = np.empty((states, size)), np.empty((size, size)), np.empty((size, size))
    K, A, AP = np.empty((states, size)), np.empty((states, states)), np.empty((states, states))
    C = np.empty((size, unknowns))
    for i in range(count):
        _innovation(H[i], cov[i], R[i], PHt, S)
        _factor(S, size)
        _by_shared(H[i], gain[i], D[i], C)
        _inverse(S, inverse)
        for u in range(unknowns):
            for b in range(size):
                weighed = 0.0
                for a in range(size):
                    weighed += C[a, u] * inverse[a, b]
                push[u] += weighed * residual[i, b]
                for v in range(unknowns):
                    information[u, v] += weighed * C[b, v]
        product(PHt, inverse, K)
        for n in range(states):
            for b in range(size):
                mean[i, n] += K[n, b] * residual[i, b]
            for u in range(unknowns):
                for b in range(size):
                    gain[i, n, u] -= K[n, b] * C[b, u]
            for o in range(states):
                total = 1.0 if n == o else 0.0
                for b in range(size):
                    total -= K[n, b] * H[i, b, o]
                A[n, o] = total
        product(A, cov[i], AP)
        product(K, R[i], PHt)  # P H' is not needed any more
        for n in range(states):
            for o in range(n + 1):
                total = 0.0
                for p in range(states):
                    total += AP[n, p] * A[o, p]
                for b in range(size):
                    total += PHt[n, b] * K[o, b]
                cov[i, n, o] = total
                cov[i, o, n] = total


@compiled("void(f8[:,:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,:,::1])")
def propagate(F, Q, cov, gain, out_cov, out_gain):  # type: ignore[no-untyped-def]
    """F P F' + Q (N, n, n) and F G (N, n, m) of rows of covariances P (N, n, n) and gains G (N, n, m)."""
    count, states, _ = F.shape
    half = np.empty((states, states))
    for i in range(count):
        product(F[i], cov[i], half)
        product(F[i], gain[i], out_gain[i])
        for n in range(states):
            for o in range(n + 1):
                total = Q[i, n, o]
                for k in range(states):
                    total += half[n, k] * F[i, o, k]
                out_cov[i, n, o] = out_cov[i, o, n] = total


@compiled("b1(f8[:,::1], f8[::1], f8[::1], f8[:,::1], f8[:,::1], f8[:,::1])")
def drifted_shared(cov, decay, noise, after, smooth, root):  # type: ignore[no-untyped-def]
    """Covariance of the shared unknowns after a drift s' = decay s + w, and what is left behind; False where that of
    s' is not positive definite.

    Args:
        cov: (m, m) of the unknowns; the first d of them drift, the others are memory and end.
        decay, noise: (d,), noise as variance.
        after: (d + q, d + q) output, of s' and of new memory of variance 1 beside it.
        smooth: (m, d) output: E[s | s'] = mean + smooth (s' - mean').
        root: (m, m) output, lower triangular: root root' is the covariance of s given s'. Directions in which none is
            left (a share of 1e-13 of the variance) have a column of zeros.
    """
    size, drifting = len(cov), len(decay)
    factor, forward = np.empty((drifting, drifting)), np.empty((drifting, size))
    after[:] = 0.0
    for a in range(len(after)):
        after[a, a] = 1.0
    for a in range(drifting):
        for b in range(drifting):
            after[a, b] = decay[a] * cov[a, b] * decay[b]
        after[a, a] += noise[a]
    factor[:] = after[:drifting, :drifting]
    if not _factor(factor, drifting):
        return False
    for u in range(size):
        forward[:, u] = decay * cov[:drifting, u]
        _forward(factor, forward[:, u])
        smooth[u] = forward[:, u]
        _back(factor, smooth[u])
    root[:] = 0.0
    for b in range(size):
        for a in range(b, size):
            total = cov[a, b]
            for d in range(drifting):
                total -= forward[d, a] * forward[d, b]
            for c in range(b):
                total -= root[a, c] * root[b, c]
            if a == b:
                if total <= 1e-13 * cov[b, b]:
                    break
                root[b, b] = math.sqrt(total)
            else:
                root[a, b] = total / root[b, b]
    return True


@compiled("void(f8[:,:,::1], f8[:,:,::1], f8[:,::1], f8[:,:,::1], f8[:,::1])")
def moved_by_memory(cov, gain, direction, out, gram):  # type: ignore[no-untyped-def]
    """What directions of the unknowns' error move in the rows, and how alike they do so, in units of the rows' sigmas.

    Args:
        cov, gain: (N, n, n), (N, n, m).
        direction: (m, d).
        out: (N, n, d) output; gram: (d, d) zeros, output.
    """
    for i in range(gain.shape[0]):
        product(gain[i], direction, out[i])
        for n in range(gain.shape[1]):
            weight = 1.0 / max(cov[i, n, n], 1e-12)
            for a in range(gram.shape[0]):
                for b in range(a + 1):
                    gram[a, b] += weight * out[i, n, a] * out[i, n, b]
    for a in range(gram.shape[0]):
        for b in range(a):
            gram[b, a] = gram[a, b]


@compiled("void(f8[:,:,::1], f8[:,::1], i8, f8[:,:,::1], f8[:,:,::1])")
def book_memory(moved, turn, memory, own, gain):  # type: ignore[no-untyped-def]
    """Directions turned so that the first move the rows most: those become memory, the rest is booked to the rows.

    Args:
        moved: (N, n, d); turn: (d, d), the strongest direction last.
        memory: how many are kept.
        own: (N, n, n) covariances, added to; gain: (N, n, m), its last ``memory`` columns are filled.
    """
    count, states, size = moved.shape
    first = gain.shape[2] - memory
    turned = np.empty((states, size))
    for i in range(count):
        for n in range(states):
            for d in range(size):
                total = 0.0
                for e in range(size):
                    total += moved[i, n, e] * turn[e, size - 1 - d]
                turned[n, d] = total
        for n in range(states):
            for d in range(memory):
                gain[i, n, first + d] = turned[n, d] if d < size else 0.0
            for o in range(n + 1):
                total = 0.0
                for d in range(memory, size):
                    total += turned[n, d] * turned[o, d]
                own[i, n, o] += total
                if o != n:
                    own[i, o, n] = own[i, n, o]
