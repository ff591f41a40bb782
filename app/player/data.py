"""A run as the player reads it: pixels come from the full camera model here, so the browser only draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from app.draw import boundaries_px
from app.draw_birdseye import predictions
from app.mount import camera_at
from app.palette import ALERT, CLASS_COLOURS, EGO_LANE, OTHER_LANE
from app.record import Run
from app.types import FrameResult, going_on
from geometry.box3d import corners
from geometry.camera import Camera
from perception.types import CLASSES, ON_ROAD, LaneBoundary
from tracking.bodies import bodies
from tracking.types import Tracks, TrackState

FRAME_LIMIT = 6000  # four minutes at 25 frames a second, some 15 MB; of longer runs each n-th frame is taken
_LANE_POINTS = 16


def player_data(run: Run, *, limit: int = FRAME_LIMIT) -> dict[str, Any]:
    """Plain values for JSON; ``docs`` of the keys are in player.js, which is their only reader."""
    every = max(1, math.ceil(len(run.results) / limit))
    camera = run.header.camera
    return {
        "size": [camera.width_px, camera.height_px],
        "classes": list(CLASSES),
        "colours": {"classes": list(CLASS_COLOURS), "alert": ALERT, "ego": EGO_LANE, "lane": OTHER_LANE},
        "frames": [_frame(result, camera) for result in run.results[::every]],
        "events": _events(run.results),
    }


def _frame(result: FrameResult, camera: Camera) -> dict[str, Any]:
    mounted = camera_at(camera, result.pose)
    tracks = result.tracks[result.tracks.state != TrackState.TENTATIVE]
    return {
        "t": round(result.t_s, 4),
        "objects": _objects(tracks, result.ego.speed_mps, mounted),
        "lanes": _lanes(result, mounted),
        "warned": sorted({e.track_id for e in result.events if e.track_id and e.phase != "end"}),
        "words": [event.text for event in going_on(result.events) if event.text],
        "speed": _number(result.ego.speed_mps),
        "offset": _number(result.lanes.offset_m),
    }


def _objects(tracks: Tracks, own_speed_mps: float, camera: Camera) -> list[dict[str, Any]]:
    if not len(tracks):
        return []
    space = corners(bodies(tracks))
    px, visible = camera.project(space)
    ahead = predictions(tracks, own_speed_mps)
    found = []
    for row in range(len(tracks)):
        item: dict[str, Any] = {
            "id": int(tracks.track_id[row]),
            "class": int(tracks.class_id[row]),
            "seen": bool(tracks.detection[row] >= 0),
            "box": np.round(tracks.xyxy_px[row], 1).tolist(),
        }
        if np.isfinite(tracks.xy_m[row]).all() and ON_ROAD[tracks.class_id[row]]:
            item |= {
                "xy": _round(tracks.xy_m[row], 2),
                "sigma": _number(math.sqrt(max(tracks.cov[row, 0, 0], 0.0))),
                "foot": _round(space[row, :4, :2].ravel(), 2),
                "ahead": _round(ahead[row], 2),
                "ellipse": _ellipse(tracks.cov[row, :2, :2]),
                "ttc": _number(tracks.ttc_s[row]),
                "v": _round(tracks.v_mps[row], 2),
                "cube": _round(px[row].ravel(), 1) if visible[row].all() else None,
            }
        found.append(item)
    return found


def _ellipse(cov_m2: np.ndarray) -> list[float] | None:
    """Two-sigma half axes in metres, and the long one's direction from the vehicle's x axis (rad)."""
    if not np.isfinite(cov_m2).all():
        return None
    variance, axes = np.linalg.eigh(cov_m2)
    small, large = 2.0 * np.sqrt(np.maximum(variance, 0.0))
    return [round(float(large), 2), round(float(small), 2), round(math.atan2(axes[1, 1], axes[0, 1]), 3)]


def _lanes(result: FrameResult, camera: Camera) -> list[dict[str, Any]]:
    boundaries = result.lanes.believed
    ego = (result.lanes.left, result.lanes.right)
    return [
        {
            "ego": any(boundary is b for b in ego),
            "kind": boundary.kind,
            "px": _round(_thinned(px).ravel(), 1),
            "xy": _round(_road_points(boundary).ravel(), 2),
        }
        for boundary, px in zip(boundaries, boundaries_px(boundaries, camera), strict=True)
    ]


def _thinned(points: np.ndarray) -> np.ndarray:
    if len(points) <= _LANE_POINTS:
        return points
    return points[np.linspace(0, len(points) - 1, _LANE_POINTS).astype(int)]


def _road_points(boundary: LaneBoundary) -> np.ndarray:
    x_m = np.linspace(*boundary.x_range_m, _LANE_POINTS)
    return np.stack([x_m, boundary.y_m(x_m)], axis=-1)


def _events(results: Sequence[FrameResult]) -> list[dict[str, Any]]:
    """Each event once: kind, its beginning and end in seconds, words, object."""
    found: list[dict[str, Any]] = []
    open_ones: dict[tuple[str, int], dict[str, Any]] = {}
    for result in results:
        for event in result.events:
            key = (event.kind.value, event.track_id)
            if event.phase == "start":
                item = {"kind": key[0], "from": event.t_s, "to": event.t_s, "text": event.text, "id": event.track_id}
                found.append(item)
                open_ones[key] = item
            elif key in open_ones:
                open_ones[key]["to"] = event.t_s
    return found


def _round(values: np.ndarray, decimals: int) -> list[float]:
    return np.round(values, decimals).tolist()


def _number(value: float) -> float | None:
    return round(float(value), 2) if math.isfinite(value) else None
