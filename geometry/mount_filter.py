"""The two time scales of a mount: blocks of seconds averaged into slow angles, and a fast filter for the suspension."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

QUANTITIES = ("pitch", "yaw", "roll", "log_height")
_MAD_SIGMA = 1.4826  # standard deviation over median absolute deviation of a normal distribution
_STUBBORN = 4  # measurements in a row that may be left out before they are believed


class Block:
    """Weighted means of some seconds of measurements of pitch, yaw, roll and the logarithm of height."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._weight = np.zeros(4)
        self._sum = np.zeros(4)

    def add(self, quantity: int, value: float, sigma: float) -> None:
        """One measurement; what is not finite is left out."""
        if math.isfinite(value) and math.isfinite(sigma):
            self._weight[quantity] += sigma**-2
            self._sum[quantity] += value * sigma**-2

    @property
    def mean(self) -> np.ndarray:
        """(4,), NaN without measurements."""
        return np.where(self._weight > 0, self._sum / np.maximum(self._weight, 1e-300), np.nan)


@dataclass(frozen=True)
class SlowEstimate:
    """Mean (4,) and standard error (4,) of pitch, yaw, roll and log height; NaN where nothing was measured."""

    mean: np.ndarray
    sigma: np.ndarray
    blocks: int


class SlowMount:
    """The last blocks; their medians are the mount, their scatter says how sure."""

    def __init__(self, kept: int) -> None:
        self.blocks: deque[np.ndarray] = deque(maxlen=kept)

    def add(self, mean: np.ndarray) -> None:
        """One block's mean (4,)."""
        self.blocks.append(mean)

    def keep_last(self, count: int) -> None:
        """Forget all but the newest blocks."""
        while len(self.blocks) > count:
            self.blocks.popleft()

    def estimate(self, floor: np.ndarray) -> SlowEstimate:
        """Of all blocks; ``floor`` (4,) is the least scatter believed of one block."""
        return estimate(np.array(self.blocks).reshape(-1, 4), floor)

    def moved(self, recent: int, floor: np.ndarray, threshold_rad: float) -> bool:
        """Whether the newest blocks agree with each other but not with those before them, in pitch or yaw."""
        if len(self.blocks) < 2 * recent:
            return False
        every = np.array(self.blocks)
        old, new = estimate(every[:-recent], floor), estimate(every[-recent:], floor)
        apart = np.abs(new.mean - old.mean)[:2]
        doubt = 3.0 * np.hypot(old.sigma, new.sigma)[:2]
        one_way = np.sign(every[-recent:, :2] - old.mean[:2])
        return bool(((apart > np.maximum(threshold_rad, doubt)) & (np.abs(one_way.sum(axis=0)) == recent)).any())


def estimate(blocks: np.ndarray, floor: np.ndarray) -> SlowEstimate:
    """Median of blocks (N, 4) and its standard error, that of a mean times 1.25 (normal distribution)."""
    mean, sigma = np.full(4, np.nan), np.full(4, np.nan)
    for k in range(4):
        values = blocks[:, k]
        values = values[np.isfinite(values)]
        if len(values):
            mean[k] = np.median(values)
            scatter = max(_MAD_SIGMA * float(np.median(np.abs(values - mean[k]))), float(floor[k]))
            sigma[k] = 1.25 * scatter / math.sqrt(len(values))
    return SlowEstimate(mean, sigma, len(blocks))


class SuspensionPitch:
    """Pitch of the body against its rest: turns between frames summed, drawn to rest, corrected by the heading seen.

    One state x: x' = x exp(-dt / tau) + turn. The turn from optical flow is good to hundredths of a degree, the
    heading to tenths: together they follow what neither can alone. Plain numbers: matrices of one row and column cost
    thirty times as much, three times a frame.
    """

    def __init__(self, rest_s: float, sigma_rad: float) -> None:
        self._rest_s, self._sigma = rest_s, sigma_rad
        self._pitch_rad, self._variance = 0.0, sigma_rad**2
        self._left_out = 0

    @property
    def pitch_rad(self) -> float:
        """Nose down is positive."""
        return self._pitch_rad

    @property
    def sigma_rad(self) -> float:
        """Standard deviation of ``pitch_rad``."""
        return math.sqrt(self._variance)

    def predict(self, dt_s: float, turn_rad: float = math.nan, turn_sigma_rad: float = math.nan) -> None:
        """Over a time step; without a turn seen the body may have moved anywhere within its range."""
        decay = math.exp(-dt_s / self._rest_s)
        if math.isfinite(turn_rad) and math.isfinite(turn_sigma_rad):
            noise = turn_sigma_rad**2 + (1.0 - decay**2) * (0.3 * self._sigma) ** 2
        else:
            turn_rad, noise = 0.0, (1.0 - math.exp(-8.0 * dt_s / self._rest_s)) * self._sigma**2
        self._pitch_rad = decay * self._pitch_rad + turn_rad
        self._variance = decay**2 * self._variance + noise

    def update(self, pitch_rad: float, sigma_rad: float) -> None:
        """By a measurement of the pitch against rest; one beyond 4 sigma is left out, unless they all are."""
        if not (math.isfinite(pitch_rad) and math.isfinite(sigma_rad)):
            return
        if abs(pitch_rad - self.pitch_rad) > 4.0 * math.hypot(self.sigma_rad, sigma_rad):
            self._left_out += 1
            if self._left_out <= _STUBBORN:
                return
            self._variance = (pitch_rad - self.pitch_rad) ** 2  # not noise: the body or the mount moved
        self._left_out = 0
        noise = float(sigma_rad) ** 2
        gain = self._variance / (self._variance + noise)
        self._pitch_rad += gain * (float(pitch_rad) - self._pitch_rad)
        self._variance = gain * noise

    def shift(self, by_rad: float) -> None:
        """The rest position moved; what is seen stays."""
        self._pitch_rad -= float(by_rad)
