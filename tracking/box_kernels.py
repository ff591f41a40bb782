"""Compiled loops of the metric filter's box model, over tracks: the box of a body, and which way it points.

Everything is compiled, or read from the cache on disk, when the module is imported; nobody imports it at its own
import. Nothing is checked here: arrays are C-contiguous float64.
"""

from __future__ import annotations

import math

import numpy as np

from geometry.compiled import compiled

_GRADE = 0.5  # share of grade in what all objects' roads depart by in common; the rest is the own suspension


@compiled("void(f8[:,::1], f8[:,:,::1], UniTuple(f8[:,:,::1], 4))")
def outermost(state, turns, out):  # type: ignore[no-untyped-def]
    """Left and right side of every row at every heading: the outermost of four corners.

    The corner l = +-1 along and w = +-1 across the body, whose nearest corner is at depth 0, lies
    L (|cos| + l cos) / 2 + W (|sin| - w sin) / 2 deep and L l sin / 2 + W w cos / 2 aside of the middle.

    Args:
        state: (R, 4) log x, bearing, log width, log length.
        turns: (2, R, B) cosine and sine of the headings.
        out: slope and its derivatives by bearing, log width and log length, (R, B, 2) each.
    """
    slope, by_bearing, by_log_w, by_log_l = out
    for i in range(len(state)):
        near = math.exp(-state[i, 0])
        bearing, width, length = state[i, 1], math.exp(state[i, 2]) * near, math.exp(state[i, 3]) * near
        for b in range(turns.shape[2]):
            cos, sin = turns[0, i, b], turns[1, i, b]
            slope[i, b, 0], slope[i, b, 1] = -np.inf, np.inf
            for c in range(4):
                along, aside = 1.0 - 2.0 * (c // 2), 1.0 - 2.0 * (c % 2)
                deep_l, deep_w = 0.5 * (abs(cos) + along * cos), 0.5 * (abs(sin) - aside * sin)
                side_l, side_w = 0.5 * along * sin, 0.5 * aside * cos
                inverse = 1.0 / (1.0 + length * deep_l + width * deep_w)
                here = (bearing + length * side_l + width * side_w) * inverse
                for end in range(2):
                    if (here > slope[i, b, 0]) if end == 0 else (here < slope[i, b, 1]):
                        slope[i, b, end], by_bearing[i, b, end] = here, inverse
                        by_log_w[i, b, end] = width * (side_w - here * deep_w) * inverse
                        by_log_l[i, b, end] = length * (side_l - here * deep_l) * inverse


@compiled("void(f8[:,::1], UniTuple(f8[:,:,::1], 4), f8[:,::1], UniTuple(f8, 3), f8[:,::1], f8[:,::1])")
def heading_shares(variances, side, seen, setting, log_share, now):  # type: ignore[no-untyped-def]
    """Weigh headings by the box's width: what a body of each would show against what is seen.

    Args:
        variances: (R, 3) of log x, log width and log length.
        side: as ``outermost`` gives it.
        seen: (R, 2) width seen, as a slope, and its variance; NaN where a side is cut off.
        setting: weight of the evidence to keep and for this frame, and the model's own relative variance of a width.
        log_share: (R, B) logarithms of probabilities, changed in place.
        now: (R, B) probabilities for this frame, output.
    """
    slope, _, by_log_w, by_log_l = side
    keep, fresh, model = setting
    count, headings = log_share.shape
    for i in range(count):
        top_kept, top_now = -np.inf, -np.inf
        for b in range(headings):
            evidence = 0.0
            if not math.isnan(seen[i, 0]):
                width = slope[i, b, 0] - slope[i, b, 1]
                by_w, by_l = by_log_w[i, b, 0] - by_log_w[i, b, 1], by_log_l[i, b, 0] - by_log_l[i, b, 1]
                variance = by_w * by_w * variances[i, 1] + by_l * by_l * variances[i, 2] + seen[i, 1]
                variance += width * width * (variances[i, 0] + model)
                evidence = -0.5 * (seen[i, 0] - width) ** 2 / variance - 0.5 * math.log(variance)
            now[i, b] = log_share[i, b] + fresh * evidence
            log_share[i, b] += keep * evidence
            top_kept, top_now = max(top_kept, log_share[i, b]), max(top_now, now[i, b])
        kept_sum, now_sum = 0.0, 0.0
        for b in range(headings):
            now[i, b] = math.exp(now[i, b] - top_now)
            now_sum += now[i, b]
            kept_sum += math.exp(log_share[i, b] - top_kept)
        norm = top_kept + math.log(kept_sum)
        for b in range(headings):
            now[i, b] /= now_sum
            log_share[i, b] -= norm


@compiled("void(f8[:,::1], f8[::1], f8[:,::1], f8[:,::1], f8[::1])")
def peaks(log_share, axis, grid, out, shares):  # type: ignore[no-untyped-def]
    """Likeliest heading of every row: the vertex of the parabola through the greatest log density and its neighbours.

    Args:
        log_share: (R, B) logarithms of probabilities.
        axis: (R,) what the headings are counted from.
        grid: (3, B) order of the headings by angle, their angles in that order, logarithms of the bins' widths.
        out: (R, 1) heading; shares: (B,) scratch.
    """
    count, headings = log_share.shape
    for i in range(count):
        best = 0
        for b in range(headings):
            shares[b] = log_share[i, int(grid[0, b])] - grid[2, b]
            if shares[b] > shares[best]:
                best = b
        left, right = (best - 1) % headings, (best + 1) % headings
        back = (grid[1, left] - grid[1, best]) - (math.pi if left > best else 0.0)
        forth = (grid[1, right] - grid[1, best]) + (math.pi if right < best else 0.0)
        low, high = shares[left] - shares[best], shares[right] - shares[best]
        # Parabola q t^2 + p t through (back, low), (0, 0), (forth, high).
        curve = (high / forth - low / back) / (forth - back)
        tilt = low / back - curve * back
        at = -0.5 * tilt / curve if curve < 0.0 else 0.0
        out[i, 0] = axis[i] + grid[1, best] + min(max(at, 0.5 * back), 0.5 * forth)


@compiled(
    "void(f8[:,::1], f8[::1], f8, f8[:,::1], f8[:,:,::1], UniTuple(f8[:,:,::1], 4), f8[:,::1],"
    " UniTuple(f8[:,:,::1], 3))"
)
def expected_edges(state, shared, camera_m, share, turns, side, slope, out):  # type: ignore[no-untyped-def]
    """Edges of boxes averaged over headings, linearised; rows and shared unknowns as in ``tracking.box_model``.

    Args:
        state: (R, 9). shared: (>= 3,). camera_m: height of the camera.
        share: (R, B) probability of each heading; turns: (2, R, B) their cosines and sines.
        side: as ``outermost`` gives it.
        slope: (R, 4) left, top, right, bottom: output.
        out: derivatives by the state (R, 4, 9) and by the shared unknowns (R, 4, >= 3), which must be zeros at first,
            and covariance of left and right for not knowing the heading (R, 2, 2).
    """
    H, D, turned = out
    here, by_bearing, by_log_w, by_log_l = side
    for i in range(len(state)):
        depth_l, depth_w = 0.0, 0.0
        for end in range(2):
            edge = 2 * end
            mean, b1, w1, l1 = 0.0, 0.0, 0.0, 0.0
            for b in range(share.shape[1]):
                p = share[i, b]
                mean += p * here[i, b, end]
                b1 += p * by_bearing[i, b, end]
                w1 += p * by_log_w[i, b, end]
                l1 += p * by_log_l[i, b, end]
            slope[i, edge], H[i, edge, 1], H[i, edge, 5], H[i, edge, 6] = mean, b1, w1, l1
            H[i, edge, 0] = -(w1 + l1)
        left2, both, right2 = 0.0, 0.0, 0.0
        for b in range(share.shape[1]):
            p = share[i, b]
            left, right = here[i, b, 0] - slope[i, 0], here[i, b, 1] - slope[i, 2]
            left2 += p * left * left
            both += p * left * right
            right2 += p * right * right
            depth_l += p * abs(turns[0, i, b])
            depth_w += p * abs(turns[1, i, b])
        turned[i, 0, 0], turned[i, 0, 1], turned[i, 1, 0], turned[i, 1, 1] = left2, both, both, right2
        above = camera_m * math.exp(shared[2] - state[i, 0])
        high, length = math.exp(state[i, 4] - state[i, 0]), math.exp(state[i, 6] - state[i, 0]) * depth_l
        width = math.exp(state[i, 5] - state[i, 0]) * depth_w
        # Grade and the road under the object lift it; suspension turns the camera, which moves both edges alike.
        road, pitch = state[i, 7] + _GRADE * shared[1], shared[0] + (1.0 - _GRADE) * shared[1]
        lower = high + road < above  # of a roof below the camera the far rim is the upper edge, else the near one
        shrink = 1.0 / (1.0 + length + width) if lower else 1.0
        roof = (high - above + road) * shrink
        by_depth = -roof * shrink if lower else 0.0
        slope[i, 1], slope[i, 3] = roof + pitch, -above + road + pitch
        H[i, 1, 0], H[i, 1, 4] = (above - high) * shrink - by_depth * (length + width), high * shrink
        H[i, 1, 5], H[i, 1, 6] = by_depth * width, by_depth * length
        H[i, 3, 0] = above
        H[i, 1, 7], H[i, 3, 7], D[i, 1, 0], D[i, 3, 0] = shrink, 1.0, 1.0, 1.0
        D[i, 1, 1], D[i, 3, 1] = 1.0 - _GRADE * (1.0 - shrink), 1.0
        D[i, 1, 2], D[i, 3, 2] = -above * shrink, -above


@compiled("void(f8[:,::1], UniTuple(f8, 6), f8[::1], f8[:,::1], f8[:,:,::1])")
def moved(state, step, aside, new, F):  # type: ignore[no-untyped-def]
    """Rows after a step, and its derivatives: an acceleration that fades, seen from a vehicle that turns.

    Args:
        state: (R, 9) as ``tracking.box_model``.
        step: seconds, cosine and sine of the vehicle's turn, its gain of speed (m/s), the share of an acceleration that
            is kept, and what it adds to the speed (m/s per m/s^2).
        aside: (R,) what the vehicle's velocity gains to the left against that of each row (m/s).
        new: (R, 9); F: (R, 9, 9): outputs.
    """
    dt, c, s, faster, kept, speeds = step
    fading = speeds / (1.0 - kept)
    covers = fading * (dt - speeds)
    direct = np.zeros((4, 4))  # of bearing, rates and acceleration by themselves
    direct[0] = np.array([c, -s * dt, c * dt, -s * covers])
    direct[1] = np.array([0.0, c, s, c * speeds])
    direct[2] = np.array([0.0, -s, c, -s * speeds])
    direct[3, 3] = c * kept
    at = np.array([1, 2, 3, 8])
    for i in range(len(state)):
        near = math.exp(-state[i, 0])
        gained, swayed = faster * near, aside[i] * near
        rate_x, rate_y = state[i, 2] + speeds * state[i, 8] - gained, state[i, 3] - swayed
        along = 1.0 + state[i, 2] * dt + covers * state[i, 8]
        across = state[i, 1] + state[i, 3] * dt
        alpha = max(c * along + s * across, 0.2)
        new[i] = state[i]
        new[i, 0] += math.log(alpha)
        new[i, 1] = (c * across - s * along) / alpha
        new[i, 2], new[i, 3] = (c * rate_x + s * rate_y) / alpha, (c * rate_y - s * rate_x) / alpha
        new[i, 8] *= kept * c / alpha
        by_alpha = (s / alpha, c * dt / alpha, s * dt / alpha, c * covers / alpha)
        F[i] = 0.0
        for n in range(F.shape[1]):
            F[i, n, n] = 1.0
        for b in range(4):
            F[i, 0, at[b]] = by_alpha[b]
            for a in range(4):
                F[i, at[a], at[b]] = direct[a, b] / alpha - new[i, at[a]] * by_alpha[b]
        F[i, 2, 0], F[i, 3, 0] = (c * gained + s * swayed) / alpha, (c * swayed - s * gained) / alpha


@compiled("void(f8[:,::1], f8[::1], f8[::1], UniTuple(f8, 6), f8[:,:,::1], f8[:,:,::1])")
def drifted(state, road_var, lively, noise, F, Q):  # type: ignore[no-untyped-def]
    """Noise of all states over a step, and the fading of the road under each row.

    Args:
        state: (R, 9) before the step.
        road_var: (R,) variance of the departure of each row's road; lively: (R,) share of the powers that each row has.
        noise: seconds; powers of white acceleration along and aside, (m/s^2)^2 s, and of white jerk, (m/s^3)^2 s; share
            of a road's departure that is kept; variance of a width's change.
        F: (R, 9, 9), its row of the road scaled in place; Q: (R, 9, 9) zeros, output.
    """
    dt, along, aside, jerk, keep, width = noise
    d2, d3, d4, d5 = dt * dt, dt**3, dt**4, dt**5
    for i in range(len(state)):
        near2 = lively[i] * math.exp(-2.0 * max(state[i, 0], 0.0))
        for place, rate, power in ((0, 2, along), (1, 3, aside)):
            q = power * near2
            Q[i, place, place] = q * d3 / 3
            Q[i, place, rate] = Q[i, rate, place] = q * d2 / 2
            Q[i, rate, rate] = q * dt
        q = jerk * near2  # white jerk, integrated
        Q[i, 0, 0] += q * d5 / 20
        Q[i, 2, 2] += q * d3 / 3
        Q[i, 8, 8] += q * dt
        Q[i, 0, 2] += q * d4 / 8
        Q[i, 0, 8] += q * d3 / 6
        Q[i, 2, 8] += q * d2 / 2
        Q[i, 2, 0], Q[i, 8, 0], Q[i, 8, 2] = Q[i, 0, 2], Q[i, 0, 8], Q[i, 2, 8]
        for n in range(F.shape[2]):
            F[i, 7, n] *= keep
        Q[i, 7, 7] = road_var[i] * (1.0 - keep * keep)
        Q[i, 5, 5] = width


@compiled("void(f8[:,::1], f8[:,::1], f8[:,::1], UniTuple(f8, 3), f8[:,::1])")
def tangents(xy, coeff, reach, doubts, out):  # type: ignore[no-untyped-def]
    """Direction of parallel lines at places beside them: tangents where the normals through the places meet the lines.

    Args:
        xy: (N, 2) vehicle metres.
        coeff: (K, 4) of y = c0 + c1 x + c2 x^2 + c3 x^3; reach: (K, 2) nearest and farthest x with evidence.
        doubts: deviation of a tangent (rad), growth beyond the evidence (rad/m), most that a direction may be (rad).
        out: (N, 2) direction, mean by inverse variance, and the deviation of the surest.
    """
    tangent, bend, most = doubts
    for i in range(len(xy)):
        total, weights, best = 0.0, 0.0, math.inf
        for k in range(len(coeff)):
            x, slope, inside = xy[i, 0], 0.0, 0.0
            for turn in range(2):  # beside the place, then at the foot of the normal
                inside = min(max(x, reach[k, 0]), reach[k, 1])
                y, slope = 0.0, 0.0
                for c in range(3, -1, -1):  # Horner's rule, of the derivative as well
                    slope = slope * inside + y
                    y = y * inside + coeff[k, c]
                if turn == 0:
                    y += slope * (x - inside)
                    x += (xy[i, 1] - y) * slope / (1.0 + slope * slope)
            sigma = math.hypot(tangent, bend * abs(x - inside))
            total += min(max(math.atan(slope), -most), most) / (sigma * sigma)
            weights += 1.0 / (sigma * sigma)
            best = min(best, sigma)
        out[i, 0], out[i, 1] = total / weights, best  # lines of one road share its departures


@compiled("void(f8[::1], f8[:,::1], f8[:,:,::1], UniTuple(f8, 3), f8[::1])")
def fronts(axis, velocity, cov, limits, out):  # type: ignore[no-untyped-def]
    """Headings from -pi up to pi: of what moves its course or the end of its axis nearer to it, else its axis.

    Args:
        axis: (N,) rad, modulo half a turn.
        velocity, cov: (N, 2), (N, 2, 2) over ground.
        limits: speed from which on the motion tells the front, and from which on a course may be surer than the axis
            (m/s), and the deviation of a course up to which it is (rad).
        out: (N,).
    """
    walking, rolling, sure = limits
    for i in range(len(axis)):
        speed, course = math.hypot(velocity[i, 0], velocity[i, 1]), math.atan2(velocity[i, 1], velocity[i, 0])
        heading = axis[i]
        if speed > walking and math.cos(course - heading) < 0.0:
            heading += math.pi
        if speed > rolling:
            x, y = -math.sin(course), math.cos(course)
            across = x * x * cov[i, 0, 0] + x * y * (cov[i, 0, 1] + cov[i, 1, 0]) + y * y * cov[i, 1, 1]
            if across < (sure * speed) ** 2:
                heading = course
        out[i] = (heading + math.pi) % (2.0 * math.pi) - math.pi


@compiled("void(f8[:,::1], f8[:,::1], f8[::1], UniTuple(f8, 3), f8[:,::1])")
def solids(size, place, yaw, usual, out):  # type: ignore[no-untyped-def]
    """Bodies behind their nearest faces; ``tracking.bodies`` says of what columns.

    Args:
        size: (N, 3) height, width, length, NaN where they are not known: then those of ``usual``.
        place: (N, 2) nearest x, lateral centre; yaw: (N,) rad, NaN for along the vehicle's axis.
        out: (N, 7).
    """
    for i in range(len(out)):
        for k in range(3):
            out[i, k] = size[i, k] if math.isfinite(size[i, k]) else usual[k]
        turn = 0.0 if math.isnan(yaw[i]) else yaw[i]
        deep = abs(math.cos(turn)) * out[i, 2] + abs(math.sin(turn)) * out[i, 1]
        out[i, 3], out[i, 4], out[i, 5], out[i, 6] = place[i, 0] + 0.5 * deep, place[i, 1], 0.0, turn
