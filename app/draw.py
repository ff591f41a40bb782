"""A picture of what roadlens says: boxes with distances, lanes on the paint, warnings, the road from above.

Drawing only consumes a ``FrameResult``; nothing here computes what the records would not hold.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import supervision as sv

from app.draw_birdseye import BirdsEyePanel, lateral_m
from app.draw_box3d import draw_boxes3d
from app.palette import (
    ALERT,
    CLASS_COLOURS,
    EGO_LANE,
    OTHER_LANE,
    PANEL,
    WHITE,
    bgr,
    put_text,
    shade,
    text_width,
    tint_between,
)
from app.types import EventKind, FrameResult, going_on
from app.video_types import BufferPool
from geometry.camera import Camera
from perception.types import CLASSES, ON_ROAD, Frame, LaneBoundary, Lanes
from tracking.lane_position import lane_positions
from tracking.types import Tracks, TrackState

_LANE_STEPS, _DRAWN_STEPS = 40, 16  # for other programs, and where the width of the line hides the rest
_NEAREST_ROW_M = 2.0


class Painter:
    """Draws the frames of one clip; it remembers only the panel's trails and remap, and pictures to draw on."""

    def __init__(self, width_px: int, height_px: int, *, birdseye: bool = True) -> None:
        self.scale = max(height_px, 240) / 720
        self._panel = BirdsEyePanel(height_px) if birdseye else None
        self.size_px = (width_px + (self._panel.size_px[0] if self._panel else 0), height_px)
        self._buffers = BufferPool()
        colours = sv.ColorPalette.from_hex([*CLASS_COLOURS, ALERT])
        line_px = max(1, round(2 * self.scale))
        self._boxes = sv.BoxAnnotator(color=colours, thickness=line_px)
        self._corners = sv.BoxCornerAnnotator(
            color=colours, thickness=line_px, corner_length=max(4, round(12 * self.scale))
        )
        self._font_px = max(10, round(19 * self.scale))

    def draw(self, frame: Frame, result: FrameResult, camera: Camera) -> np.ndarray:
        """(h, w, 3) annotated picture, the bird's-eye panel at its right; ``camera`` as used for this frame.

        The picture is the caller's for as long as he holds it or a view of it; then it is drawn on again.
        """
        image = self._buffers.take(self.size_px[1], self.size_px[0])
        width_px = frame.bgr.shape[1]
        picture = image[:, :width_px]  # a view: what is drawn on it is drawn in place
        picture[:] = frame.bgr
        alert = np.isin(result.tracks.track_id, [e.track_id for e in result.events if e.track_id])
        if self._panel is not None:
            self._panel.draw(image[:, width_px:], frame.bgr, result, camera, alert)
        self._lanes(picture, result.lanes, camera)
        believed = result.tracks.state != TrackState.TENTATIVE
        self._tracks(picture, result.tracks[believed], camera, alert[believed])
        self._status(picture, result)
        self._warning(picture, result)
        return image

    # -- lanes ------------------------------------------------------------------------------------------------

    def _lanes(self, picture: np.ndarray, lanes: Lanes, camera: Camera) -> None:
        sure = lanes.believed
        lines = {id(b): px for b, px in zip(sure, boundaries_px(sure, camera, _DRAWN_STEPS), strict=True)}
        if id(lanes.left) in lines and id(lanes.right) in lines:
            left, right = lines[id(lanes.left)], lines[id(lanes.right)]
            if len(left) > 1 and len(right) > 1:
                tint_between(picture, left, right, EGO_LANE, 0.22)
        for boundary in sure:
            ego = boundary is lanes.left or boundary is lanes.right
            points = lines[id(boundary)]
            if len(points) > 1:
                thickness_px = max(1, round((4 if ego else 2) * self.scale))
                colour = bgr(EGO_LANE if ego else OTHER_LANE)
                cv2.polylines(
                    picture, [np.rint(points * 16).astype(np.int32)], False, colour, thickness_px, cv2.LINE_AA, 4
                )

    # -- objects ----------------------------------------------------------------------------------------------

    def _tracks(self, picture: np.ndarray, tracks: Tracks, camera: Camera, alert: np.ndarray) -> None:
        if not len(tracks):
            return
        seen = tracks.detection >= 0
        draw_boxes3d(picture, tracks, camera, seen, max(1, round(self.scale)))
        colour_index = np.where(alert, len(CLASS_COLOURS), tracks.class_id)
        for annotator, rows in ((self._boxes, seen), (self._corners, ~seen)):
            if rows.any():
                boxes = sv.Detections(xyxy=tracks.xyxy_px[rows].astype(np.float32), class_id=tracks.class_id[rows])
                annotator.annotate(picture, boxes, custom_color_lookup=colour_index[rows])
        self._labels(picture, tracks, colour_index)

    def _labels(self, picture: np.ndarray, tracks: Tracks, colour_index: np.ndarray) -> None:
        """Objects warned of first, then the nearest; a label that would cover another one is left out."""
        colours = (*CLASS_COLOURS, ALERT)
        nearness = np.where(np.isfinite(tracks.xy_m[:, 0]), tracks.xy_m[:, 0], 1e3)
        nearness = np.where(colour_index == len(CLASS_COLOURS), 0.0, nearness)
        pad, corners_px = max(2, round(4 * self.scale)), tracks.xyxy_px[:, :2].tolist()
        height_px = self._font_px + 2 * pad
        taken: list[tuple[int, int, int, int]] = []
        for row in np.argsort(nearness).tolist():
            text = label(tracks, row)
            if not text:
                continue
            width_px = text_width(text, self._font_px) + 2 * pad
            left = int(min(max(corners_px[row][0], 0), max(picture.shape[1] - width_px, 0)))
            top = int(max(corners_px[row][1] - height_px, 0))
            box = (left, top, left + width_px, top + height_px)
            if any(x1 < box[2] and y1 < box[3] and x2 > left and y2 > top for x1, y1, x2, y2 in taken):
                continue
            taken.append(box)
            shade(picture, box, PANEL, 0.72)
            cv2.rectangle(picture, box[:2], (left + 2, box[3] - 1), bgr(colours[colour_index[row]]), -1)
            put_text(picture, text, (left + pad + 1, box[3] - pad - 1), self._font_px)

    # -- words ------------------------------------------------------------------------------------------------

    def _status(self, picture: np.ndarray, result: FrameResult) -> None:
        """Big numbers, top left: own speed, the vehicle ahead, the place in the lane."""
        lines = status_lines(result)
        size_px, pad = max(11, round(26 * self.scale)), max(3, round(9 * self.scale))
        width_px = max(text_width(line, size_px, weight=600) for line in lines) + 2 * pad
        shade(picture, (0, 0, width_px, len(lines) * round(size_px * 1.35) + pad), PANEL, 0.6)
        for number, line in enumerate(lines, start=1):
            put_text(picture, line, (pad, round(number * size_px * 1.35)), size_px, weight=600)

    def _warning(self, picture: np.ndarray, result: FrameResult) -> None:
        active = [event for event in going_on(result.events) if event.kind is not EventKind.CALIBRATION]
        if not active:
            return
        size_px, pad = max(13, round(32 * self.scale)), max(4, round(12 * self.scale))
        text = active[0].text
        width_px = text_width(text, size_px, weight=700)
        left = max((picture.shape[1] - width_px) // 2, 0)
        top = round(picture.shape[0] * 0.13)
        shade(picture, (left - pad, top, left + width_px + pad, top + size_px + 2 * pad), ALERT, 0.88)
        put_text(picture, text, (left, top + pad + round(size_px * 0.86)), size_px, WHITE, weight=700)


def boundaries_px(boundaries: Sequence[LaneBoundary], camera: Camera, steps: int = _LANE_STEPS) -> list[np.ndarray]:
    """(K, 2) pixels at up to so many steps along each boundary, nearest first, from the picture's bottom edge to its
    last evidence."""
    if not boundaries:
        return []
    longest = np.array([[max(b.x_range_m[1], _NEAREST_ROW_M + 1.0) / _NEAREST_ROW_M] for b in boundaries])
    x_m = _NEAREST_ROW_M * longest ** np.linspace(0.0, 1.0, steps)
    px, valid = camera.px_from_ground(np.stack([x_m, lateral_m(boundaries, x_m)], axis=-1))
    margin_px = 2 * camera.width_px  # far outside the picture fixed-point drawing would overflow
    valid &= (np.abs(px) < margin_px).all(-1)
    return [line[keep] for line, keep in zip(px, valid, strict=True)]


def label(tracks: Tracks, row: int) -> str:
    """What stands on an object's box: class, distance with its standard deviation."""
    name, x_m = CLASSES[tracks.class_id[row]], tracks.xy_m[row, 0]
    if not ON_ROAD[tracks.class_id[row]]:
        return ""
    if not np.isfinite(x_m):
        return name
    return f"{name} {x_m:.0f} m ±{max(np.sqrt(tracks.cov[row, 0, 0]), 0.1):.1f}"


def status_lines(result: FrameResult) -> list[str]:
    """Own speed, lead vehicle, place in the lane, as far as they are known."""
    tracks, lanes, ego = result.tracks, result.lanes, result.ego
    speed = f"{3.6 * ego.speed_mps:.0f} km/h" if np.isfinite(ego.speed_mps) else "speed unknown"
    lines = [speed]
    places = lane_positions(tracks.xy_m, lanes)
    ahead = (places.index == 0) & (tracks.xy_m[:, 0] > 0) & (tracks.state != TrackState.TENTATIVE)
    ahead &= ON_ROAD[tracks.class_id]
    if ahead.any():
        lead = int(np.flatnonzero(ahead)[np.argmin(tracks.xy_m[ahead, 0])])
        collision = f"  TTC {tracks.ttc_s[lead]:.1f} s" if tracks.ttc_s[lead] < 10 else ""
        lines.append(f"ahead {tracks.xy_m[lead, 0]:.0f} m{collision}")
    if np.isfinite(lanes.offset_m):
        side = "left" if lanes.offset_m > 0 else "right"
        lines.append(f"lane {abs(lanes.offset_m):.2f} m {side}")
    else:
        lines.append("no lane")
    return lines
