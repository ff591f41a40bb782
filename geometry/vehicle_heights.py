"""The camera's height from the vehicles on the road: their roofs are about as high as we know them to be.

Upper and lower edge of a box are slopes t and b of rays, seen from a camera at height h: a body of height H that stands
on the road at x has b = -h / x and t = (H - h) / x, so that h / H = -b / (t - b), whatever x is: where the horizon cuts
the body tells the camera's height in heights of the body (D. Hoiem, A. Efros, M. Hebert, "Putting objects in
perspective", IJCV 80, 2008). Bodies differ by 8 % and more, but a drive meets many: each track counts once, as a
mixture of body kinds with heavy tails, together with an error of the pitch that all of them share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geometry.camera import Camera
from geometry.ground import BOTTOM, TOP, RangeNoise, box_slopes, hidden_edges
from geometry.size_priors import SIZE_PRIORS, size_priors

_NOISE = RangeNoise(edge_px=2.0, edge_share=0.03)  # a detector's boxes
_VEHICLES = 3  # car, truck and bus lead the vocabulary
_LEAST_SLOPE = 0.025  # of the lower edge: beyond some 60 m the pitch is all one would measure
_LEAST_PX = 20.0
_BUMP_RAD = math.radians(0.15)  # pitch of one frame against what is believed of it
_OWN_ROAD_RAD = 0.006  # slope of the road under one object against the common one, as tracking.motion_config has it
_KERB = 0.05  # height of the road there, in camera heights
_SHARED_RAD = 0.0045  # a lasting error of the pitch, common to all: on 11 KITTI drives it makes the sigmas true
_ALIKE_S = 0.5  # boxes nearer in time than this are wrong together
_FLEET = (
    0.03  # mean heights of cars differ from country to country: 1.47 (EU, 2000s) to 1.55 m (KITTI, sport utilities)
)
_LEAST_HIDDEN = 0.1  # of the lower edge, from which on the foot is not surely seen
_FREEDOM = 5.0  # Student's t: hidden wheels, roof boxes
_MOST_TRACKS = 60
_LEAST_TRACKS = 5
_RARE_SHARES = np.array(
    [0.03, 0.1, 0.3, 0.6]
)  # of a class's rarer kind on this street: three vans in a row are no wonder
_RARE_WEIGHTS = np.array([0.3, 0.4, 0.2, 0.1])
_LOG_HEIGHTS = np.linspace(math.log(0.5), math.log(4.0), 105)  # 2 % apart: a posterior is never sharper than 3 %
_FREE = math.gamma(0.5 * (_FREEDOM + 1.0)) / math.gamma(0.5 * _FREEDOM) / math.sqrt(_FREEDOM * math.pi)
_JUNK_DENSITY = 1.0 / float(_LOG_HEIGHTS[-1] - _LOG_HEIGHTS[0]) / _FREE  # any height, in units of Student's density
_PITCHES, _PITCH_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_COLUMNS = 7  # track, class, weight, weighted log ratio and lever, times last and first seen
_JUNK_SHARE, _JUNK_S = 0.5, 0.25  # of what is seen once is no whole vehicle; of what is followed longer ever less is


@dataclass(frozen=True)
class HeightFound:
    """Logarithm of the camera's height (m), its standard deviation, and how many vehicles it rests on."""

    log_m: float
    sigma: float
    vehicles: int


class VehicleHeights:
    """Collects boxes of tracked vehicles of one camera and tells its height.

    Args:
        kept: of an earlier drive.
    """

    def __init__(self, kept: HeightFound | None = None) -> None:
        self._kept = self._found = kept
        self._tracks = np.empty((0, _COLUMNS))
        self._fresh = False

    def see(self, camera: Camera, track_id: np.ndarray, class_id: np.ndarray, xyxy_px: np.ndarray, t_s: float) -> None:
        """Take in the boxes (N, 4) of one frame, whose camera has the pitch of that frame; its height is not used."""
        xyxy_px = np.array(xyxy_px, np.float64)  # columns of ``Tracks`` are read-only, which compiled loops refuse
        free = (class_id < _VEHICLES) & (xyxy_px[:, 3] - xyxy_px[:, 1] >= _LEAST_PX)
        if not free.any():
            return
        edges = box_slopes(camera, xyxy_px, _NOISE)
        top, bottom = edges.slope[:, TOP], edges.slope[:, BOTTOM]
        free &= edges.seen.all(axis=1) & (bottom < -_LEAST_SLOPE) & stands_free(xyxy_px)
        rows = np.flatnonzero(free)
        if not len(rows):
            return
        top, bottom, sigma = top[rows], bottom[rows], edges.sigma[rows]
        angle = np.maximum(top - bottom, 1e-3)
        # Of a roof below the camera the far rim is seen.
        ratio = np.log(-bottom * (1.0 + np.maximum(-top, 0.0) * _SLENDER[class_id[rows]]) / angle)
        variance = np.square(sigma[:, BOTTOM] * (1.0 / -bottom - 1.0 / angle)) + np.square(sigma[:, TOP] / angle)
        self._add(track_id[rows], class_id[rows], np.stack([ratio, 1.0 / bottom, variance], axis=1), t_s)

    def _add(self, track_id: np.ndarray, class_id: np.ndarray, seen: np.ndarray, t_s: float) -> None:
        ratio, lever, variance = seen.T
        known = np.isin(track_id, self._tracks[:, 0])
        new = np.zeros((int((~known).sum()), _COLUMNS))
        new[:, 0], new[:, 5], new[:, 6] = track_id[~known], t_s - _ALIKE_S, t_s
        table = np.concatenate([self._tracks, new])
        order = np.argsort(table[:, 0])
        at = order[np.searchsorted(table[:, 0], track_id, sorter=order)]
        share = np.clip((t_s - table[at, 5]) / _ALIKE_S, 0.0, 1.0)
        weight = share / (variance + (_BUMP_RAD * lever) ** 2)
        table[at, 1] = class_id
        table[at, 2] += weight
        table[at, 3] += weight * ratio
        table[at, 4] += weight * lever
        table[at, 5] = t_s
        if len(table) > _MOST_TRACKS:
            table = table[np.argsort(self._variance(table))[:_MOST_TRACKS]]
        self._tracks, self._fresh = table, True

    @staticmethod
    def _variance(table: np.ndarray) -> np.ndarray:
        """Of each track's log ratio, but for the size of its body and the pitch that all share."""
        weight = np.maximum(table[:, 2], 1e-9)
        return 1.0 / weight + np.square(_OWN_ROAD_RAD * table[:, 4] / weight) + _KERB**2

    def found(self) -> HeightFound | None:
        """The height that all vehicles so far tell together; None for too few."""
        if self._fresh:
            self._fresh = False
            own = self._own()
            self._found = own if self._kept is None or own is None else _joined(self._kept, own)
        return self._found

    def _own(self) -> HeightFound | None:
        table = self._tracks[self._tracks[:, 2] > 0]
        if len(table) < _LEAST_TRACKS:
            return self._kept
        ratio, lever = table[:, 3] / table[:, 2], table[:, 4] / table[:, 2]
        priors = size_priors(table[:, 1].astype(np.int64))
        spread2 = np.square(priors.spread[..., 0]) + self._variance(table)[:, None]
        # Density (heights, pitches, vehicles, kinds): Student's t about each kind's height.
        pitch = _SHARED_RAD * _PITCHES
        said = ratio[:, None, None] - pitch[:, None] * lever[:, None, None] + priors.log_hwl[:, None, :, 0]
        rest2 = np.square(said.swapaxes(0, 1) - _LOG_HEIGHTS[:, None, None, None]) / spread2
        density = (1.0 + rest2 / _FREEDOM) ** (-0.5 * (_FREEDOM + 1.0)) / np.sqrt(spread2)
        mixed, junk = priors.share[:, 1] > 0.0, _JUNK_SHARE * np.exp((table[:, 6] - table[:, 5]) / _JUNK_S)
        by_share = []
        for share, likely in zip(_RARE_SHARES, _RARE_WEIGHTS, strict=True):
            rare = np.where(mixed, share, 0.0)
            whole = (1.0 - rare) * density[..., 0] + rare * density[..., 1]
            each = np.log((1.0 - junk) * whole + junk * _JUNK_DENSITY)
            by_share.append(each.sum(axis=2) + math.log(likely))
        log_like = np.logaddexp.reduce(by_share)
        weight = np.exp(log_like - log_like.max()) @ _PITCH_WEIGHTS
        weight /= weight.sum()
        mean = float(weight @ _LOG_HEIGHTS)
        sigma = math.sqrt(float(weight @ (_LOG_HEIGHTS - mean) ** 2))
        return HeightFound(mean, math.hypot(sigma, _FLEET), len(table))


def _joined(kept: HeightFound, own: HeightFound) -> HeightFound:
    """By inverse variance; what fleets have in common does not average out."""
    parts = [(part.log_m, max(part.sigma**2 - _FLEET**2, 1e-6)) for part in (kept, own)]
    total = sum(1.0 / variance for _, variance in parts)
    mean = sum(value / variance for value, variance in parts) / total
    return HeightFound(mean, math.hypot(total**-0.5, _FLEET), kept.vehicles + own.vehicles)


def stands_free(xyxy_px: np.ndarray) -> np.ndarray:
    """(N,) bool: boxes (N, 4) whose lower edge no nearer box hides, not even in part; nearer is what stands lower."""
    return ~hidden_edges(xyxy_px, _LEAST_HIDDEN)[:, BOTTOM]


_ROOF = 0.6  # of a body's length, from the foot of its front tyres, where a detector's box ends, to its roof's far rim
_SLENDER = _ROOF * np.array([kinds[0].hwl_m[2] / kinds[0].hwl_m[0] for kinds in SIZE_PRIORS.values()])
