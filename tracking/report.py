"""What the tracker says of its tracks: which of them, and in which state."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tracking.config import TrackerConfig
from tracking.motion import MetricFilter
from tracking.table import BELIEVED, BORN, CLASS, DETECTION, ID, PRESENT, SCORE, SEEN, XYXY, TrackTable
from tracking.types import Tracks, TrackState

_METRIC = ("xy_m", "v_mps", "cov", "size_m", "yaw_rad", "ttc_s", "ttc_low_s", "ttc_high_s", "absolute")


def tracks_from(table: TrackTable, metric: MetricFilter | None, t_s: float, config: TrackerConfig) -> Tracks:
    """The believed tracks: probable enough now, and sure enough once; without a detection only for a short while."""
    if not len(table):
        return Tracks.empty()
    present, believed = table.column(PRESENT), table.column(BELIEVED)
    seen = table.column(DETECTION) >= 0
    believed[present > config.show] = 1.0
    shown = (believed > 0) & (present > np.where(seen, config.hide, config.show_unseen))
    rows = np.flatnonzero(shown)
    data, detected = table.data[rows], seen[rows]
    share = np.where(detected, config.smooth, 1.0)[:, None]
    reach = 0.5 * data[:, 2:4]
    filtered = np.concatenate((data[:, :2] - reach, data[:, :2] + reach), axis=1)
    return Tracks(
        track_id=data[:, ID].astype(np.int64),
        class_id=data[:, CLASS].astype(np.int64),
        state=np.where(detected, int(TrackState.CONFIRMED), int(TrackState.COASTING)),
        score=data[:, SCORE],
        xyxy_px=filtered * share + data[:, XYXY] * (1.0 - share),
        age_s=t_s - data[:, BORN],
        unseen_s=t_s - data[:, SEEN],
        detection=data[:, DETECTION].astype(np.int64),
        **_metric_columns(metric, rows),
    )


def _metric_columns(metric: MetricFilter | None, rows: np.ndarray) -> dict[str, np.ndarray]:
    if metric is not None:
        state = metric.state()
        return {name: getattr(state, name)[rows] for name in _METRIC}
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
