"""How large road users are: mean and spread of height, width and length per class, for ranging by apparent size.

A class may hold several body kinds (a detector's "car" is a saloon most of the time and a van some of the time), so
the prior of a class is a small mixture. Sizes are log-normal: errors of size are errors of scale, and a relative
spread carries over to range as it is.

Sources. Car, van, truck, person, rider: means and spreads of the labelled 3D boxes of KITTI (Geiger et al., "Are we
ready for autonomous driving?", CVPR 2012; anchors of the same means in Ku et al., AVOD, 2018: car 3.9 x 1.6 x 1.53,
pedestrian 0.84 x 0.66 x 1.76, cyclist 1.76 x 0.6 x 1.74 m). Bus and train: the limits of EU Directive 96/53/EC
(2.55 m wide, 12 m long, at most 4 m high) and common tram widths. Traffic lights and signs: Vienna Convention
practice (heads of three 200 to 300 mm lamps, signs of 600 to 900 mm).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from geometry.types import frozen_array


@dataclass(frozen=True)
class BodyKind:
    """One kind of body within a class: its share, mean sizes in metres and relative (log) spreads.

    Attributes:
        share: of the class's objects that are of this kind.
        hwl_m: mean height, width, length.
        spread: relative standard deviation of each, 0.1 is ten per cent.
        grounded: whether the lower edge of its box lies on the road.
    """

    share: float
    hwl_m: tuple[float, float, float]
    spread: tuple[float, float, float]
    grounded: bool = True


_CAR = BodyKind(0.90, (1.49, 1.63, 3.90), (0.08, 0.07, 0.15))
_VAN = BodyKind(0.10, (2.20, 1.90, 5.00), (0.13, 0.07, 0.15))

SIZE_PRIORS: dict[str, tuple[BodyKind, ...]] = {
    "car": (_CAR, _VAN),
    "truck": (
        BodyKind(0.75, (3.20, 2.50, 9.00), (0.15, 0.08, 0.45)),
        BodyKind(0.25, (2.20, 1.95, 5.40), (0.12, 0.08, 0.15)),
    ),
    "bus": (BodyKind(1.0, (3.10, 2.55, 12.0), (0.10, 0.05, 0.25)),),
    "train": (BodyKind(1.0, (3.50, 2.50, 20.0), (0.12, 0.08, 0.50)),),
    "person": (BodyKind(1.0, (1.73, 0.62, 0.75), (0.07, 0.25, 0.35)),),
    "rider": (BodyKind(1.0, (1.74, 0.62, 1.76), (0.06, 0.25, 0.15)),),
    "bicycle": (BodyKind(1.0, (1.15, 0.60, 1.76), (0.20, 0.25, 0.15)),),
    "motorcycle": (BodyKind(1.0, (1.35, 0.80, 2.15), (0.20, 0.20, 0.15)),),
    "traffic light": (BodyKind(1.0, (0.95, 0.38, 0.30), (0.25, 0.30, 0.50), grounded=False),),
    "traffic sign": (BodyKind(1.0, (0.75, 0.75, 0.05), (0.35, 0.35, 0.50), grounded=False),),
}
"""Body kinds per name of the road vocabulary, in the order of ``perception.types.CLASSES``, likeliest kind first."""

KINDS = max(len(kinds) for kinds in SIZE_PRIORS.values())
"""Most body kinds any class has."""


@dataclass(frozen=True, eq=False)
class SizePriors:
    """The table as arrays, for N objects; K = ``KINDS``, kinds a class lacks have share 0 and the first kind's sizes.

    Attributes:
        share: (N, K) adding to one.
        log_hwl: (N, K, 3) natural logarithms of the mean sizes in metres.
        spread: (N, K, 3) standard deviations of those logarithms.
        grounded: (N,) bool.
        log_mean, log_sigma: (N, 3) of the logarithms over the whole mixture.
    """

    share: np.ndarray
    log_hwl: np.ndarray
    spread: np.ndarray
    grounded: np.ndarray
    log_mean: np.ndarray
    log_sigma: np.ndarray

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, (N, 3) each, of the logarithms over the whole mixture."""
        return self.log_mean, self.log_sigma


_COLUMNS = tuple(SizePriors.__dataclass_fields__)


@cache
def _table() -> SizePriors:
    padded = [kinds + (kinds[0],) * (KINDS - len(kinds)) for kinds in SIZE_PRIORS.values()]
    share = [[k.share for k in kinds] + [0.0] * (KINDS - len(kinds)) for kinds in SIZE_PRIORS.values()]
    count = len(padded)
    log_hwl = np.log([[k.hwl_m for k in kinds] for kinds in padded])
    spread = np.array([[k.spread for k in kinds] for kinds in padded])
    weight = np.array(share)[..., None]
    mean = np.sum(weight * log_hwl, axis=1)
    second = np.sum(weight * (spread**2 + (log_hwl - mean[:, None]) ** 2), axis=1)
    return SizePriors(
        frozen_array(share, np.float64, (count, KINDS), "share"),
        frozen_array(log_hwl, np.float64, (count, KINDS, 3), "log_hwl"),
        frozen_array(spread, np.float64, (count, KINDS, 3), "spread"),
        frozen_array([kinds[0].grounded for kinds in padded], np.bool_, (count,), "grounded"),
        frozen_array(mean, np.float64, (count, 3), "log_mean"),
        frozen_array(np.sqrt(second), np.float64, (count, 3), "log_sigma"),
    )


def size_priors(class_id: np.ndarray) -> SizePriors:
    """Priors of objects by class.

    Args:
        class_id: (N,) index into ``perception.types.CLASSES``.

    Raises:
        ValueError: an index outside the vocabulary.
    """
    return _rows(np.asarray(class_id, np.int64).tobytes())


@lru_cache(maxsize=256)
def _rows(ids: bytes) -> SizePriors:
    """The same classes come frame after frame; the arrays are shared, so nobody may write into them."""
    table, rows = _table(), np.frombuffer(ids, np.int64)
    if rows.size and (rows.min() < 0 or rows.max() >= len(table.grounded)):
        raise ValueError(f"class_id spans {rows.min()} to {rows.max()}, must be 0 to {len(table.grounded) - 1}")
    columns = [getattr(table, name)[rows] for name in _COLUMNS]
    for column in columns:
        column.flags.writeable = False
    return SizePriors(*columns)
