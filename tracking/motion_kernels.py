"""Compiled loops of the metric filter, over tracks.

Everything is compiled, or read from the cache on disk, when the module is imported; nobody imports it at its own
import. Nothing is checked here: arrays are C-contiguous float64 (rows: int64).
"""

from __future__ import annotations

import math

import numpy as np

from geometry.compiled import compiled
from tracking.shared_kernels import product


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
            # Of a roof below the camera, whatever road it stands on, the far rim is seen: height = angle x - top depth.
            x = (height - min(bottom + angle, 0.0) * depth) / angle
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
            product(left, shared_cov, spread)
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


@compiled("void(f8[:,::1], f8[:,:,::1], f8[:,::1], f8[:,:,::1])")
def metres(mean, cov, place, metric):  # type: ignore[no-untyped-def]
    """Positions and velocities in metres and their joint covariance, from logarithms and shares of the distance.

    Args:
        mean, cov: (N, n), (N, n, n) whose first four are log x, y/x, vx/x, vy/x.
        place: (N, 4) x, y, vx, vy; metric: (N, 4, 4): outputs.
    """
    for i in range(len(mean)):
        x = math.exp(mean[i, 0])
        ratio = (1.0, mean[i, 1], mean[i, 2], mean[i, 3])
        for a in range(4):
            place[i, a] = x * ratio[a]
            for b in range(4):
                total = ratio[a] * ratio[b] * cov[i, 0, 0]
                if a > 0:
                    total += ratio[b] * cov[i, a, 0]
                if b > 0:
                    total += ratio[a] * cov[i, 0, b]
                if a > 0 and b > 0:
                    total += cov[i, a, b]
                metric[i, a, b] = x * x * total


@compiled(
    "void(f8[:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,::1], UniTuple(i8, 2), f8[:,::1], f8[:,::1], f8[:,:,::1], f8,"
    " f8[:,::1])"
)
def proportions(mean, cov, gain, shared_cov, at, wide, wide_sigma, kinds, most, out):  # type: ignore[no-untyped-def]
    """Log-likelihood of each kind by what was learned of width over height, the wide prior taken out.

    Args:
        mean, cov, gain, shared_cov: as ``kind_gains``.
        at: indices of log height and log width in a row.
        wide, wide_sigma: (N, 3) of the wide priors over log height, width and length.
        kinds: (2 K, N, 3) log sizes of every kind, then their spreads.
        most: variance of a proportion that nothing was learned of.
        out: (N, K).
    """
    high, wid = at
    unknowns, count = gain.shape[2], len(kinds) // 2
    for i in range(len(mean)):
        variance = cov[i, wid, wid] + cov[i, high, high] - 2.0 * cov[i, wid, high]
        for u in range(unknowns):
            for v in range(unknowns):
                variance += (
                    (gain[i, wid, u] - gain[i, high, u]) * shared_cov[u, v] * (gain[i, wid, v] - gain[i, high, v])
                )
        prior_var = wide_sigma[i, 0] ** 2 + wide_sigma[i, 1] ** 2
        learned = max(1.0 / variance - 1.0 / prior_var, 1.0 / most)
        believed = (mean[i, wid] - mean[i, high]) / variance
        measured = (believed - (wide[i, 1] - wide[i, 0]) / prior_var) / learned
        for k in range(count):
            spread = kinds[count + k, i, 0] ** 2 + kinds[count + k, i, 1] ** 2 + 1.0 / learned
            rest = measured - (kinds[k, i, 1] - kinds[k, i, 0])
            out[i, k] = -0.5 * (rest * rest / spread + math.log(spread))


@compiled("void(f8[::1], f8[::1], f8[:,:,::1], f8[:,::1])")
def collisions(x, closing, cov, out):  # type: ignore[no-untyped-def]
    """Time to collision and Fieller's interval; ``tracking.collision`` has the formulas' source.

    Args:
        x, closing: (N,) m and m/s; cov: (N, 2, 2) of both.
        out: (3, N) time, lower and upper end (s).
    """
    for i in range(len(x)):
        a = closing[i] ** 2 - cov[i, 1, 1]
        b = x[i] * closing[i] - cov[i, 0, 1]
        c = x[i] ** 2 - cov[i, 0, 0]
        root = math.sqrt(max(b * b - a * c, 0.0))
        out[0, i] = x[i] / closing[i] if closing[i] > 0.0 else math.inf
        if a > 0.0:
            low, high = (b - root) / a, (b + root) / a
        else:
            low, high = max(c, 0.0) / (b + root) if b + root > 0.0 else math.inf, math.inf
        if a > 0.0 and closing[i] <= 0.0:
            low = high = math.inf
        out[1, i], out[2, i] = max(low, 0.0), high


@compiled(
    "void(f8[:,::1], f8[:,:,::1], f8[:,:,::1], f8[::1], f8[:,::1], UniTuple(f8, 7), UniTuple(f8[:,:,::1], 3),"
    " f8[:,::1], f8[:,::1])"
)
def standing(mean, cov, gain, shared, shared_cov, motion, out, residual, evidence):  # type: ignore[no-untyped-def]
    """Velocities over ground as measurements of zero, and how well they fit that against the velocities of traffic.

    Args:
        mean, cov, gain, shared_cov: as ``kind_gains``; shared: (m,).
        motion: own speed (m/s), its relative deviation, 1 where it grows with the camera's height and else 0, speed of
            the camera to the left, variance of a velocity that is zero (m/s)^2, spread of velocities of traffic along
            and across (m/s).
        out: derivatives by state (N, 2, n) and by shared unknowns (N, 2, m), covariance (N, 2, 2): zeros at first.
        residual: (N, 2) along and across, over the distance (1/s).
        evidence: (N, 2) logarithm of the Bayes factor for standing, normalised innovation squared.
    """
    speed, speed_rel, by_height, sideways, still, along, across = motion
    H, D, R = out
    count, unknowns = len(gain), gain.shape[2]
    C, S = np.empty((2, unknowns)), np.empty((2, 2))
    speed *= math.exp(speed_rel * shared[3] + by_height * shared[2])
    for i in range(count):
        near = math.exp(-mean[i, 0])
        H[i, 0, 0], H[i, 0, 2], H[i, 1, 3] = -speed * near, 1.0, 1.0
        D[i, 0, 3], D[i, 0, 2] = speed_rel * speed * near, by_height * speed * near
        R[i, 0, 0] = R[i, 1, 1] = still * near * near
        residual[i, 0], residual[i, 1] = -mean[i, 2] - speed * near, -mean[i, 3] - sideways * near
        for a in range(2):
            for u in range(unknowns):
                C[a, u] = D[i, a, u]
                for n in range(4):
                    C[a, u] += H[i, a, n] * gain[i, n, u]
        for a in range(2):
            for b in range(2):
                S[a, b] = R[i, a, b]
                for n in range(4):
                    for o in range(4):
                        S[a, b] += H[i, a, n] * cov[i, n, o] * H[i, b, o]
                for u in range(unknowns):
                    for v in range(unknowns):
                        S[a, b] += C[a, u] * shared_cov[u, v] * C[b, v]
        log_odds = 0.0
        for hypothesis in range(2):
            determinant = S[0, 0] * S[1, 1] - S[0, 1] * S[1, 0]
            square = S[1, 1] * residual[i, 0] ** 2 + S[0, 0] * residual[i, 1] ** 2
            square = (square - 2.0 * S[0, 1] * residual[i, 0] * residual[i, 1]) / determinant
            if hypothesis == 0:
                evidence[i, 1] = square
                log_odds -= 0.5 * (square + math.log(determinant))
                S[0, 0] += (along * near) ** 2
                S[1, 1] += (across * near) ** 2
            else:
                log_odds += 0.5 * (square + math.log(determinant))
        evidence[i, 0] = log_odds


@compiled("void(i8[::1], f8[:,::1], f8, f8, f8[:,::1])")
def closing_rates(rows, seen, dt, agility, table):  # type: ignore[no-untyped-def]
    """Kalman filter of the logarithm of an angle and its rate: how fast a body grows in the picture, whatever its size.

    Args:
        rows: (R,) rows of the table.
        seen: (R, 3) logarithm of the angle and its variance, NaN where it is not seen; 1 / distance.
        dt: since the last step (s); agility: acceleration of bodies against the vehicle, power over a second.
        table: (N, 5) logarithm, rate (1/s), variances and covariance of both, changed in place; NaN before the first.
    """
    for i in range(len(rows)):
        state = table[rows[i]]
        z, noise, near = seen[i]
        if math.isnan(state[0]):
            state[0], state[1], state[2], state[3], state[4] = z, 0.0, noise, 0.0, (30.0 * near) ** 2
            continue
        q = (agility * near) ** 2
        state[0] += state[1] * dt
        state[2] += 2.0 * state[3] * dt + state[4] * dt * dt + q * dt**3 / 3.0
        state[3] += state[4] * dt + q * dt * dt / 2.0
        state[4] += q * dt
        if math.isnan(z):
            continue
        whole, rest = state[2] + noise, z - state[0]
        gain, rate_gain = state[2] / whole, state[3] / whole
        state[0] += gain * rest
        state[1] += rate_gain * rest
        state[4] -= rate_gain * state[3]
        state[3] *= 1.0 - gain
        state[2] *= 1.0 - gain
