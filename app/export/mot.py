"""MOT Challenge: mot.txt, ``frame, id, left, top, width, height, score, x, y, z`` (A. Milan et al., MOT16, 2016).

Frames and pixels count from 1 there. The last three are world coordinates: metres forward and left here, 0 up; -1 where
nothing is known, as the challenge has it for sequences without them.
"""

from __future__ import annotations

import numpy as np

from app.export.base import TextExporter, confirmed
from app.types import FrameResult


class MotExporter(TextExporter):
    """Confirmed tracks."""

    names = ("mot.txt",)

    def lines(self, number: int, result: FrameResult) -> list[str]:
        tracks = confirmed(result)
        place = np.where(np.isfinite(tracks.xy_m), tracks.xy_m, -1.0)
        known = np.isfinite(tracks.xy_m).all(1)
        found = []
        for row, (left, top, right, bottom) in enumerate(tracks.xyxy_px.tolist()):
            x_m, y_m = place[row]
            found.append(
                f"{number + 1},{tracks.track_id[row]},{left + 1:.2f},{top + 1:.2f},"
                f"{right - left:.2f},{bottom - top:.2f},{tracks.score[row]:.4f},"
                f"{x_m:.3f},{y_m:.3f},{0 if known[row] else -1}"
            )
        return found
