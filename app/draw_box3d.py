"""Objects as boxes in space on the picture: the twelve edges of each, its front filled so that its heading is seen."""

from __future__ import annotations

import cv2
import numpy as np

from app.palette import CLASS_COLOURS, bgr, tint_all
from geometry.box3d import corners
from geometry.camera import Camera
from perception.types import CLASSES, VEHICLES
from tracking.bodies import bodies
from tracking.types import Tracks

_FRONT = [0, 1, 5, 4]  # corners of the front face in turn
_LONG_STROKE = [0, 1, 2, 3, 0, 4, 5, 6, 7, 4]  # nine of the twelve edges
_SHORT_STROKES = [[1, 5], [2, 6], [3, 7]]  # and the others
_FRONT_SHARE = 0.25
_SOLID = np.isin(np.arange(len(CLASSES)), list(VEHICLES))
_LEAST_AHEAD = 1e-3  # of a unit ray: what points less ahead meets no road in front
_SUBPIXEL_BITS = 4
_LEAST_HEIGHT_PX = 18.0  # of the outline: what is smaller has no visible shape
_FARTHEST_PX = 4.0  # picture widths from its edge at which fixed-point drawing would overflow


def draw_boxes3d(
    picture: np.ndarray, tracks: Tracks, camera: Camera, seen: np.ndarray | None = None, thickness_px: int = 1
) -> None:
    """Draws the bodies of vehicles (H, W, 3) in place; those that reach behind the lens are left out.

    Fronts are filled farthest first, then the edges of all are drawn, those of one colour at once.

    Args:
        seen: (N,) bool, tracks to draw; all by default.
    """
    drawn = _SOLID[tracks.class_id] & np.isfinite(tracks.xy_m).all(axis=1)
    rows = np.flatnonzero(drawn if seen is None else drawn & seen)
    if not len(rows):
        return
    rows = rows[np.argsort(-tracks.xy_m[rows, 0])]
    px, projected = camera.project(corners(standing_bodies(tracks, camera)[rows]))
    px = np.where(projected.all(axis=1)[:, None, None], px, np.inf)
    near = (np.abs(px) < _FARTHEST_PX * picture.shape[1]).all(axis=(1, 2))
    near[near] = np.ptp(px[near, :, 1], axis=1) >= _LEAST_HEIGHT_PX
    points = np.rint(px[near] * 2**_SUBPIXEL_BITS).astype(np.int32)
    colours = [CLASS_COLOURS[index] for index in tracks.class_id[rows[near]].tolist()]
    tint_all(picture, points[:, _FRONT] >> _SUBPIXEL_BITS, colours, _FRONT_SHARE)
    for colour in dict.fromkeys(colours):
        mine = points[[own == colour for own in colours]]
        strokes = [*mine.take(_LONG_STROKE, axis=1), *mine.take(_SHORT_STROKES, axis=1).reshape(-1, 2, 2)]
        cv2.polylines(picture, strokes, False, bgr(colour), thickness_px, cv2.LINE_AA, _SUBPIXEL_BITS)


def standing_bodies(tracks: Tracks, camera: Camera) -> np.ndarray:
    """(N, 7) bodies as ``tracking.bodies`` has them, stood where the lower edges of their boxes are seen.

    The filter knows a road of its own under each object; records hold the distance alone, so the height of the road
    there is where the ray through the box's lower edge is at that distance.
    """
    space, box = bodies(tracks), tracks.xyxy_px
    ray, defined = camera.ray(np.stack(((box[:, 0] + box[:, 2]) / 2, box[:, 3]), axis=-1))
    slope = ray[:, 2] / np.where(defined, np.maximum(ray[:, 0], _LEAST_AHEAD), np.inf)
    space[:, 5] = np.where(defined & (ray[:, 0] > _LEAST_AHEAD), camera.height_m + slope * tracks.xy_m[:, 0], 0.0)
    return space
