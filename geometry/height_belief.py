"""What is believed of the camera's height: a profile that was measured or is plainly wrong, against the drive.

A Gaussian prior either holds a wrong profile fast or moves a right one; a mixture of a narrow and a wide one does
neither: its shares are weighed by how likely each part made what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def believed_height(
    said: Sequence[tuple[float, float]], prior_sigmas: tuple[float, float], prior_share: float
) -> tuple[float, float]:
    """Mean and standard deviation of the logarithm of the height over the profile's.

    Args:
        said: logarithm and standard deviation of each cue; what is not finite is left out.
        prior_sigmas: of a profile's height that was measured, and of one that is plainly wrong.
        prior_share: of profiles of the first sort.
    """
    cues = [(value, sigma) for value, sigma in said if math.isfinite(value)]
    weight = sum(sigma**-2.0 for _, sigma in cues)
    value = sum(value * sigma**-2.0 for value, sigma in cues) / weight if cues else 0.0
    shares = (prior_share, 1.0 - prior_share)
    parts = [_part(share, sigma, value, weight) for share, sigma in zip(shares, prior_sigmas, strict=True)]
    whole = sum(part[0] for part in parts)
    mean = sum(share * m for share, m, _ in parts) / whole
    variance = sum(share * (v + (m - mean) ** 2) for share, m, v in parts) / whole
    return mean, math.sqrt(variance)


def _part(share: float, sigma: float, value: float, weight: float) -> tuple[float, float, float]:
    """One part of a mixed prior about 0 after a measurement of a value with weight 1 / variance, 0 for none: its share
    (not yet normalised), mean and variance."""
    variance = sigma**2
    if weight == 0.0:
        return share, 0.0, variance
    whole = variance + 1.0 / weight
    likely = math.exp(-0.5 * value**2 / whole) / math.sqrt(whole)
    return share * max(likely, 1e-300), value * variance / whole, variance / (weight * whole)
