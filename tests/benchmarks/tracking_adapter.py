"""roadlens' tracker for the tracking benchmark: ``evaluate.py quality tests/benchmarks/tracking_adapter.py:factory``.

The settings are the defaults of ``TrackerConfig``, the same for every set of detections; the tracker is told the size
of KITTI's pictures, by which it forgets what leaves them.
"""

import numpy as np

from app.evaluation.track import SIZE_PX
from perception.types import Detections
from tracking.tracker import Tracker


class Adapter:
    """Rows [x1, y1, x2, y2, score, class] in, rows [x1, y1, x2, y2, id] out."""

    def __init__(self) -> None:
        self._tracker = Tracker(size_px=SIZE_PX)

    def update(self, boxes: np.ndarray, t_s: float) -> np.ndarray:
        found = Detections(boxes[:, :4], boxes[:, 4], boxes[:, 5].astype(np.int64))
        tracks = self._tracker.update(found, t_s)
        return np.concatenate((tracks.xyxy_px, tracks.track_id[:, None]), axis=1)


def factory() -> Adapter:
    return Adapter()
