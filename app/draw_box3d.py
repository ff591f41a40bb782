"""Objects as boxes in space on the picture: the twelve edges of each, its front filled so that its heading is seen."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from app.palette import bgr
from geometry.box3d import EDGES, corners
from geometry.camera import Camera
from geometry.ground import BOTTOM, box_slopes
from perception.types import VEHICLES
from tracking.bodies import bodies
from tracking.types import Tracks

_FRONT = (0, 1, 5, 4)  # corners of the front face in turn
_SUBPIXEL_BITS = 4
_LEAST_HEIGHT_PX = 18.0  # of the outline: what is smaller has no visible shape
_FARTHEST_PX = 4.0  # picture widths from its edge at which fixed-point drawing would overflow


def draw_boxes3d(
    picture: np.ndarray, tracks: Tracks, camera: Camera, colours: Sequence[str], thickness_px: int = 1
) -> None:
    """Draws the bodies of vehicles (H, W, 3) in place, farthest first; those that reach behind the lens are left out.

    Args:
        colours: one per track.
    """
    rows = np.flatnonzero(np.isin(tracks.class_id, list(VEHICLES)) & np.isfinite(tracks.xy_m).all(axis=1))
    if not len(rows):
        return
    px, seen = camera.project(corners(standing_bodies(tracks[rows], camera)))
    tall = np.ptp(np.nan_to_num(px[..., 1]), axis=1) >= _LEAST_HEIGHT_PX
    near = (np.abs(np.nan_to_num(px)) < _FARTHEST_PX * picture.shape[1]).all(axis=(1, 2))
    for index in np.argsort(-tracks.xy_m[rows, 0]):
        if not (seen[index].all() and tall[index] and near[index]):
            continue
        points = np.rint(px[index] * 2**_SUBPIXEL_BITS).astype(np.int32)
        colour = bgr(colours[int(rows[index])])
        _fill_front(picture, px[index, list(_FRONT)], colour)
        lines = [points[list(edge)] for edge in EDGES]
        cv2.polylines(picture, lines, False, colour, thickness_px, cv2.LINE_AA, _SUBPIXEL_BITS)


def standing_bodies(tracks: Tracks, camera: Camera) -> np.ndarray:
    """(N, 7) bodies as ``tracking.bodies`` has them, stood where the lower edges of their boxes are seen.

    The filter knows a road of its own under each object; records hold the distance alone, so the height of the road
    there is where the ray through the box's lower edge is at that distance.
    """
    space = bodies(tracks)
    edge = box_slopes(camera, tracks.xyxy_px)
    space[:, 5] = np.where(edge.seen[:, BOTTOM], camera.height_m + edge.slope[:, BOTTOM] * tracks.xy_m[:, 0], 0.0)
    return space


def _fill_front(picture: np.ndarray, quad_px: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Blends a quadrangle (4, 2) lightly; only its own pixels are touched."""
    low = np.clip(np.floor(quad_px.min(axis=0)), 0, None).astype(int)
    high = np.minimum(np.ceil(quad_px.max(axis=0)).astype(int) + 1, (picture.shape[1], picture.shape[0]))
    if (high <= low).any():
        return
    region = picture[low[1] : high[1], low[0] : high[0]]
    over = region.copy()
    cv2.fillConvexPoly(over, np.rint(quad_px - low).astype(np.int32), colour)
    cv2.addWeighted(over, 0.25, region, 0.75, 0.0, dst=region)
