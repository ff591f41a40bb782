"""KITTI tracking: kitti.txt, ``frame, id, type, truncated, occluded, alpha, box, h w l, x y z, rotation_y, score``.

As the benchmark's devkit has it: frames from 0, locations in the camera's frame at the middle of the object's bottom;
what is not known has the devkit's marks (-1, -10, -1000).
"""

from __future__ import annotations

import numpy as np

from app.export.base import TextExporter, confirmed
from app.mount import camera_at
from app.types import FrameResult
from geometry.box3d import kitti_from_box
from perception.types import CLASSES
from tracking.bodies import bodies

# KITTI's names of what it labels; the rest is "Misc" there.
_NAMES = {"car": "Car", "truck": "Truck", "train": "Tram", "person": "Pedestrian", "rider": "Cyclist"}
_NO_ALPHA, _NO_SPACE = "-10", "-1 -1 -1 -1000 -1000 -1000 -10"


class KittiExporter(TextExporter):
    """Confirmed tracks."""

    names = ("kitti.txt",)

    def lines(self, number: int, result: FrameResult) -> list[str]:
        tracks = confirmed(result)
        placed = np.isfinite(tracks.xy_m).all(1) & np.isfinite(tracks.size_m).all(1)
        camera = camera_at(self.header.camera, result.pose)
        size_m, location_m, rotation_y, alpha = kitti_from_box(camera, bodies(tracks))
        space = np.column_stack([size_m, location_m, rotation_y])
        found = []
        for row in range(len(tracks)):
            name = _NAMES.get(CLASSES[tracks.class_id[row]], "Misc")
            box = " ".join(f"{v:.2f}" for v in tracks.xyxy_px[row])
            angle = f"{float(alpha[row]):.4f}" if placed[row] else _NO_ALPHA
            place = " ".join(f"{v:.4f}" for v in space[row]) if placed[row] else _NO_SPACE
            found.append(f"{number} {tracks.track_id[row]} {name} -1 -1 {angle} {box} {place} {tracks.score[row]:.4f}")
        return found
