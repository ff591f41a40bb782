"""What the tracker says of its tracks: which of them, and in which state."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tracking.config import TrackerConfig
from tracking.frame import Scene
from tracking.motion import MetricFilter
from tracking.table import TrackTable
from tracking.types import Tracks, TrackState

_ANY = -3.0  # log-odds of a score of 0.05: asks nothing
_STATE = np.array([TrackState.COASTING, TrackState.CONFIRMED], np.int64)  # without and with a detection
_METRIC = ("xy_m", "v_mps", "cov", "size_m", "yaw_rad", "ttc_s", "ttc_low_s", "ttc_high_s", "absolute")


class Demand(NamedTuple):
    """What a track must show to be reported: probabilities of being in view, and log-odds of its scores."""

    show: float
    hide: float
    unseen: float
    best: float
    mean: float


def demand(config: TrackerConfig, trust: float) -> Demand:
    """Between what is asked of the tracks of a doubtful detector (trust 0) and of a trusted one (1)."""
    trusted = Demand(config.show, config.hide, config.show_unseen, _ANY, _ANY)
    doubtful = Demand(
        config.doubt_show, config.doubt_hide, config.doubt_unseen, config.doubt_best_odds, config.doubt_mean_odds
    )
    return Demand(*(trust * a + (1.0 - trust) * b for a, b in zip(trusted, doubtful, strict=True)))


def tracks_from(
    table: TrackTable, metric: MetricFilter | None, scene: Scene, config: TrackerConfig, trust: float
) -> Tracks:
    """The believed tracks: probable enough now, and sure enough once; without a detection only for a short while.

    Args:
        trust: in the detector's middling scores, ``ScoreModel.trust``.
    """
    if not len(table):
        return Tracks.empty()
    from tracking.life_kernels import shown

    asked = tuple(demand(config, trust))
    rows, whole, score, xyxy, age_s, unseen_s = shown(table.data, scene.t_s, config.smooth, asked, scene.picture)
    return Tracks(
        track_id=whole[0],
        class_id=whole[1],
        state=_STATE[whole[3]],
        score=score,
        xyxy_px=xyxy,
        age_s=age_s,
        unseen_s=unseen_s,
        detection=whole[2],
        **_metric_columns(metric, rows),
    )


def _metric_columns(metric: MetricFilter | None, rows: np.ndarray) -> dict[str, np.ndarray]:
    if metric is not None:
        state = metric.state()
        return {name: getattr(state, name).take(rows, axis=0) for name in _METRIC}
    return _unknown(len(rows))


@lru_cache(maxsize=256)
def _unknown(count: int) -> dict[str, np.ndarray]:
    """Metric columns without a camera; shared, for they are read-only in ``Tracks``."""
    nan = np.full((count, 16), np.nan)
    one = nan[:, 0]
    return {
        "xy_m": nan[:, :2],
        "v_mps": nan[:, :2],
        "cov": nan.reshape(count, 4, 4),
        "size_m": nan[:, :3],
        "yaw_rad": one,
        "ttc_s": one,
        "ttc_low_s": one,
        "ttc_high_s": one,
        "absolute": np.zeros(count, bool),
    }
