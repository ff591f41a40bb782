"""Objects as boxes in space on the picture: the twelve edges of each, its front filled so that its heading is seen."""

from __future__ import annotations

import numpy as np

from app.palette import Strokes, colours_of, tint
from geometry.camera import Camera
from perception.types import CLASSES, VEHICLES
from tracking.bodies import bodies
from tracking.types import Tracks

_FRONT = [0, 1, 5, 4]  # corners of the front face in turn
_LONG_STROKE = np.array([0, 1, 2, 3, 0, 4, 5, 6, 7, 4])  # nine of the twelve edges
_SHORT_STROKES = np.array([[1, 5], [2, 6], [3, 7]])  # and the others
_FRONT_SHARE = 0.25
_SOLID = np.isin(np.arange(len(CLASSES)), list(VEHICLES))
_LEAST_HEIGHT_PX = 18.0  # of the outline: what is smaller has no visible shape
_FARTHEST_PX = 4.0  # picture widths from its edge beyond which nothing is worth drawing


def draw_boxes3d(
    picture: np.ndarray, tracks: Tracks, camera: Camera, seen: np.ndarray | None = None, thickness_px: float = 1.5
) -> None:
    """Draws the bodies of vehicles (H, W, 3) in place; those that reach behind the lens are left out.

    Fronts are filled farthest first, then the edges of all are drawn.

    Args:
        seen: (N,) bool, tracks to draw; all by default.
    """
    from app.shape_kernels import worth_drawing

    shown = _SOLID[tracks.class_id] if seen is None else _SOLID[tracks.class_id] & seen
    px, projected = camera.project(body_corners(tracks, camera))
    worth_drawing(px, projected, _FARTHEST_PX * picture.shape[1], _LEAST_HEIGHT_PX, shown)
    rows = np.flatnonzero(shown)
    if not len(rows):
        return
    rows = rows[np.argsort(-tracks.xy_m[rows, 0])]
    px, colours = px[rows], colours_of(tracks.class_id[rows])
    tint(picture, px[:, _FRONT], colours, _FRONT_SHARE)
    lines = Strokes()
    lines.add(px[:, _LONG_STROKE], colours, thickness_px)
    lines.add(px[:, _SHORT_STROKES].reshape(-1, 2, 2), colours.repeat(len(_SHORT_STROKES), axis=0), thickness_px)
    lines.draw(picture)


def body_corners(tracks: Tracks, camera: Camera) -> np.ndarray:
    """(N, 8, 3) corners of bodies as ``tracking.bodies`` has them, stood where the lower edges of their boxes are seen.

    The filter knows a road of its own under each object; records hold the distance alone, so the height of the road
    there is where the ray through the box's lower edge is at that distance.
    """
    from app.shape_kernels import standing_corners

    box, corners = tracks.xyxy_px, np.empty((len(tracks), 8, 3))
    bottom, _ = camera.normalised(np.stack(((box[:, 0] + box[:, 2]) / 2, box[:, 3]), axis=-1))
    turn = camera.vehicle_from_camera_rotation
    standing_corners(bodies(tracks), tracks.xy_m[:, 0].copy(), bottom, turn.copy(), camera.height_m, corners)
    return corners
