"""Compiled loops of the metric filter, over tracks.

Everything is compiled, or read from the cache on disk, when the module is imported; nobody imports it at its own
import. Nothing is checked here: arrays are C-contiguous float64 (rows: int64).
"""

from __future__ import annotations

import math

import numba
import numpy as np

from geometry.compiled import compiled


@numba.njit
def _product(first, second, out):  # type: ignore[no-untyped-def]
    """The product of two matrices, into the third."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = 0.0
            for k in range(second.shape[0]):
                total += first[i, k] * second[k, j]
            out[i, j] = total


@compiled("void(i8[::1], f8[:,::1], f8[::1], f8[::1], f8[:,::1], UniTuple(f8[:,:,::1], 2), f8[:,::1])")
def weigh_heights(rows, boxes, constants, scales, log_h, grids, var):  # type: ignore[no-untyped-def]
    """One Kalman step of the departure of the road, at every height and scale, and the log-likelihood of the box.

    Args:
        rows: (R,) rows of the grids.
        boxes: (R, 6) angle between upper and lower edge; slope of the lower edge, the pitch taken out; depth of the
            body (m); white variance; usual variance of a departure; seconds since the last box.
        constants: camera height (m), variance of the pitch, seconds that departures persist and that evidence lasts.
        scales: (J,) of the departure's variance.
        log_h: (N, G).
        grids: expected departure and log-likelihood, (N, G, J), changed in place.
        var: (N, J) variance of the departure, negative before the first box; changed in place.
    """
    mean, log_like = grids
    camera_m, pitch_var = constants[0], constants[1]
    scale_count = len(scales)
    gain, whole, constant = np.empty(scale_count), np.empty(scale_count), np.empty(scale_count)
    for i in range(len(rows)):
        row = rows[i]
        angle, bottom, depth, white, usual = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3], boxes[i, 4]
        keep, remember = math.exp(-boxes[i, 5] / constants[2]), math.exp(-boxes[i, 5] / constants[3])
        for j in range(scale_count):
            stationary = usual * scales[j] + pitch_var
            before = stationary if var[row, j] < 0.0 else keep * keep * (var[row, j] - stationary) + stationary
            whole[j] = before + white
            gain[j], constant[j] = before / whole[j], 0.5 * math.log(whole[j])
            var[row, j] = before * (1.0 - gain[j])
        for g in range(log_h.shape[1]):
            height = math.exp(log_h[row, g])
            x, below = height / angle, max(camera_m - height, 0.0)
            for _ in range(2):  # of a roof below the camera the far rim is seen
                x = height / max(angle - below * (1.0 / x - 1.0 / (x + depth)), 0.3 * angle)
            departure = bottom + camera_m / x
            for j in range(scale_count):
                expected = keep * mean[row, g, j]
                rest = departure - expected
                mean[row, g, j] = expected + gain[j] * rest
                log_like[row, g, j] = remember * log_like[row, g, j] - constant[j] - 0.5 * rest * rest / whole[j]


@compiled("f8[:,::1](i8[::1], f8[:,:,::1], f8[::1], f8[:,:,::1], f8[:,::1])")
def kind_shares(rows, log_like, log_weight, log_prior, shape):  # type: ignore[no-untyped-def]
    """Probability (R, K) of each kind: likelihoods (N, G, J) summed over scales and over heights of each kind.

    Args:
        rows: (R,) rows of ``log_like`` and ``log_prior`` (N, G, K).
        log_weight: (J,) of the scales.
        shape: (R, K) further log-likelihood of each kind.
    """
    heights, kinds = log_prior.shape[1:]
    share = np.empty((len(rows), kinds))
    for i in range(len(rows)):
        row = rows[i]
        most = -np.inf
        for g in range(heights):
            for j in range(len(log_weight)):
                most = max(most, log_like[row, g, j] + log_weight[j])
        top = -np.inf
        for k in range(kinds):
            top = max(top, shape[i, k])
        share[i] = 0.0
        for g in range(heights):
            likely = 0.0
            for j in range(len(log_weight)):
                likely += math.exp(log_like[row, g, j] + log_weight[j] - most)
            for k in range(kinds):
                share[i, k] += likely * math.exp(log_prior[row, g, k] + shape[i, k] - top)
        share[i] /= share[i].sum()
    return share


@compiled("void(f8[:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,::1], f8[:,:,:,::1], i8, f8[:,:,:,::1], f8[:,::1], f8[::1])")
def kind_gains(mean, cov, gain, share, kinds, first, gains, information, push):  # type: ignore[no-untyped-def]
    """What exchanging the wide prior for each kind's does: gains of rows, and information on the shared unknowns.

    Args:
        mean, cov, gain: (N, n), (N, n, n), (N, n, m) of rows given the shared unknowns.
        share: (N, K) probabilities of the kinds.
        kinds: (2, N, K, 3) centre and variance of the quotient of priors, a measurement of the sizes.
        first: index of the first size in a row.
        gains: (N, K, n, 3) output.
        information, push: (m, m), (m,) outputs, added to.
    """
    count, states, unknowns = gain.shape
    S, inverse = np.empty((3, 3)), np.empty((3, 3))
    for i in range(count):
        for k in range(share.shape[1]):
            for a in range(3):
                for b in range(3):
                    S[a, b] = cov[i, first + a, first + b]
                S[a, a] += kinds[1, i, k, a]
            for a in range(3):  # by cofactors
                for b in range(3):
                    p, q, r, s = (a + 1) % 3, (a + 2) % 3, (b + 1) % 3, (b + 2) % 3
                    inverse[b, a] = S[p, r] * S[q, s] - S[p, s] * S[q, r]
            determinant = S[0, 0] * inverse[0, 0] + S[0, 1] * inverse[1, 0] + S[0, 2] * inverse[2, 0]
            for a in range(3):
                for b in range(3):
                    inverse[a, b] /= determinant
            for n in range(states):
                for b in range(3):
                    total = 0.0
                    for a in range(3):
                        total += cov[i, n, first + a] * inverse[a, b]
                    gains[i, k, n, b] = total
            for u in range(unknowns):
                for b in range(3):
                    weighed = 0.0
                    for a in range(3):
                        weighed += gain[i, first + a, u] * inverse[a, b]
                    weighed *= share[i, k]
                    push[u] += weighed * (kinds[0, i, k, b] - mean[i, first + b])
                    for v in range(unknowns):
                        information[u, v] += weighed * gain[i, first + b, v]


@compiled(
    "void(f8[:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,::1], f8[:,:,:,::1], i8, f8[:,:,:,::1], f8[:,::1], f8[::1],"
    " f8[:,::1], f8[:,:,::1])"
)
def kind_moments(  # type: ignore[no-untyped-def]
    mean, cov, gain, share, kinds, first, gains, shared_cov, step, out_mean, out_cov
):
    """Mean (N, n) and covariance (N, n, n) of rows over their kinds and over the shared unknowns.

    Arguments as ``kind_gains``; ``shared_cov`` (m, m) and ``step`` (m,) are the shared unknowns' new covariance and the
    change of their mean.
    """
    count, states, unknowns = gain.shape
    kind_count = share.shape[1]
    centre = np.empty((kind_count, states))
    left, spread = np.empty((states, unknowns)), np.empty((states, unknowns))
    for i in range(count):
        out_mean[i] = 0.0
        out_cov[i] = 0.0
        for k in range(kind_count):
            for n in range(states):
                total = mean[i, n]
                for a in range(3):
                    total += gains[i, k, n, a] * (kinds[0, i, k, a] - mean[i, first + a])
                for u in range(unknowns):
                    value = gain[i, n, u]
                    for a in range(3):
                        value -= gains[i, k, n, a] * gain[i, first + a, u]
                    left[n, u] = value
                    total += value * step[u]
                centre[k, n] = total
                out_mean[i, n] += share[i, k] * total
            _product(left, shared_cov, spread)
            for n in range(states):
                for o in range(states):
                    total = cov[i, n, o]
                    for a in range(3):
                        total -= gains[i, k, n, a] * cov[i, first + a, o]
                    for u in range(unknowns):
                        total += spread[n, u] * left[o, u]
                    out_cov[i, n, o] += share[i, k] * total
        for k in range(kind_count):
            for n in range(states):
                for o in range(states):
                    apart = (centre[k, n] - out_mean[i, n]) * (centre[k, o] - out_mean[i, o])
                    out_cov[i, n, o] += share[i, k] * apart


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


@compiled("void(f8[:,:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,::1], f8[:,::1], f8[::1])")
def surprises(cov, H, C, R, residual, shared_cov, out):  # type: ignore[no-untyped-def]
    """Normalised innovation squared of each row, the shared unknowns' part in it; NaN where S is not positive.

    Args:
        cov, H, R, residual: (N, n, n), (N, k, n), (N, k, k), (N, k).
        C: (N, k, m) derivatives by the shared unknowns, the rows' gains included.
        shared_cov: (m, m).
        out: (N,).
    """
    count, size, states = H.shape
    unknowns = C.shape[2]
    PHt, S, z = np.empty((states, size)), np.empty((size, size)), np.empty(size)
    weighed = np.empty((size, unknowns))
    for i in range(count):
        _innovation(H[i], cov[i], R[i], PHt, S)
        _product(C[i], shared_cov, weighed)
        for a in range(size):
            for b in range(size):
                for u in range(unknowns):
                    S[a, b] += weighed[a, u] * C[i, b, u]
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
def take_in(mean, cov, gain, H, C, R, residual, information, push):  # type: ignore[no-untyped-def]
    """Kalman update of rows given the shared unknowns, in place (covariances in Joseph's form), and what they tell of
    those.

    Args:
        mean, cov, gain: (N, n), (N, n, n), (N, n, m), changed in place.
        H, C, R, residual: as ``surprises``.
        information, push: (m, m) and (m,), added to.
    """
    count, size, states = H.shape
    unknowns = C.shape[2]
    PHt, S, inverse = np.empty((states, size)), np.empty((size, size)), np.empty((size, size))
    K, A, AP = np.empty((states, size)), np.empty((states, states)), np.empty((states, states))
    for i in range(count):
        _innovation(H[i], cov[i], R[i], PHt, S)
        _factor(S, size)
        for c in range(size):  # columns of the inverse: forward, then back
            for a in range(size):
                total = 1.0 if a == c else 0.0
                for b in range(a):
                    total -= S[a, b] * inverse[b, c]
                inverse[a, c] = total / S[a, a]
            for a in range(size - 1, -1, -1):
                total = inverse[a, c]
                for b in range(a + 1, size):
                    total -= S[b, a] * inverse[b, c]
                inverse[a, c] = total / S[a, a]
        for u in range(unknowns):
            for b in range(size):
                weighed = 0.0
                for a in range(size):
                    weighed += C[i, a, u] * inverse[a, b]
                push[u] += weighed * residual[i, b]
                for v in range(unknowns):
                    information[u, v] += weighed * C[i, b, v]
        for n in range(states):
            for b in range(size):
                total = 0.0
                for a in range(size):
                    total += PHt[n, a] * inverse[a, b]
                K[n, b] = total
                mean[i, n] += total * residual[i, b]
            for u in range(unknowns):
                for b in range(size):
                    gain[i, n, u] -= K[n, b] * C[i, b, u]
            for o in range(states):
                total = 1.0 if n == o else 0.0
                for b in range(size):
                    total -= K[n, b] * H[i, b, o]
                A[n, o] = total
        _product(A, cov[i], AP)
        _product(K, R[i], PHt)  # P H' is not needed any more
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
        _product(F[i], cov[i], half)
        _product(F[i], gain[i], out_gain[i])
        for n in range(states):
            for o in range(n + 1):
                total = Q[i, n, o]
                for k in range(states):
                    total += half[n, k] * F[i, o, k]
                out_cov[i, n, o] = out_cov[i, o, n] = total


@compiled("void(f8[:,:,::1], f8[:,:,::1], f8[:,::1], f8[:,:,::1], f8[:,::1])")
def moved_by_memory(cov, gain, direction, out, gram):  # type: ignore[no-untyped-def]
    """What directions of the unknowns' error move in the rows, and how alike they do so, in units of the rows' sigmas.

    Args:
        cov, gain: (N, n, n), (N, n, m).
        direction: (m, d).
        out: (N, n, d) output; gram: (d, d) zeros, output.
    """
    for i in range(gain.shape[0]):
        _product(gain[i], direction, out[i])
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
