"""A picture of what roadlens says: boxes with distances, lanes on the paint, warnings, the road from above.

Drawing only consumes a ``FrameResult``; nothing here computes what the records would not hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache

import cv2
import numpy as np
import supervision as sv

from app.draw_birdseye import BirdsEyePanel, coefficients
from app.draw_box3d import draw_boxes3d
from app.palette import (
    ALERT,
    CLASS_COLOURS,
    EGO_LANE,
    OTHER_LANE,
    PANEL,
    Strokes,
    bgr,
    colours_of,
    frame_boxes,
    put_text,
    shade,
    text_width,
    tint,
)
from app.sprites import Sprite, lay_text
from app.types import EventKind, FrameResult, going_on
from app.video_types import BufferPool
from geometry.camera import Camera
from perception.types import CLASSES, ON_ROAD, Frame, LaneBoundary, Lanes
from tracking.lane_position import lane_positions
from tracking.types import Tracks, TrackState

_LANE_STEPS, _DRAWN_STEPS = 40, 12  # for other programs, and where the width of the line hides the rest
_NEAREST_ROW_M = 2.0
_LANE_SHARE = 0.22
_ON_ROAD = ON_ROAD.tolist()


class Painter:
    """Draws the frames of one clip; it remembers only the panel's trails and remap, and pictures to draw on."""

    def __init__(self, width_px: int, height_px: int, *, birdseye: bool = True) -> None:
        self.scale = max(height_px, 240) / 720
        self._panel = BirdsEyePanel(height_px) if birdseye else None
        self.size_px = (width_px + (self._panel.size_px[0] if self._panel else 0), height_px)
        self._buffers = BufferPool()
        self._edge_px = max(1, round(3 * self.scale))
        self._corners = sv.BoxCornerAnnotator(
            color=sv.ColorPalette.from_hex([*CLASS_COLOURS, ALERT]),
            thickness=max(1, round(2 * self.scale)),
            corner_length=max(4, round(12 * self.scale)),
        )
        self._font_px = max(10, round(19 * self.scale))

    def draw(self, frame: Frame, result: FrameResult, camera: Camera) -> np.ndarray:
        """(h, w, 3) annotated picture, the bird's-eye panel at its right; ``camera`` as used for this frame.

        The picture is the caller's for as long as he holds it or a view of it; then it is drawn on again.
        """
        width_px = frame.bgr.shape[1]
        image = self._buffers.take(self.size_px[1], self.size_px[0])
        picture = image[:, :width_px]  # a view: what is drawn on it is drawn in place
        picture[:] = frame.bgr
        self._annotate(picture, image[:, width_px:], result, camera)
        return image

    def draw_on(self, frame: Frame, result: FrameResult, camera: Camera) -> tuple[np.ndarray, ...]:
        """The same in parts that stand side by side, without a copy: the frame's own picture, which is drawn on, and
        the panel, which is the caller's as that of ``draw`` is. For who needs the frame no more."""
        if not (frame.bgr.flags.c_contiguous and frame.bgr.flags.writeable):
            return (self.draw(frame, result, camera),)
        panel = frame.bgr[:, :0]
        if self._panel is not None:
            panel = self._buffers.take(self.size_px[1], self._panel.size_px[0])
        self._annotate(frame.bgr, panel, result, camera)
        return (frame.bgr, panel) if panel.size else (frame.bgr,)

    def _annotate(self, picture: np.ndarray, panel: np.ndarray, result: FrameResult, camera: Camera) -> None:
        warned = [event.track_id for event in result.events if event.track_id]
        alert = np.isin(result.tracks.track_id, warned) if warned else np.zeros(len(result.tracks), bool)
        if self._panel is not None:
            self._panel.draw(panel, picture, result, camera, alert)
        self._lanes(picture, result.lanes, camera)
        tracks, believed = result.tracks, result.tracks.state != TrackState.TENTATIVE
        if not believed.all():
            tracks, alert = tracks[believed], alert[believed]
        self._tracks(picture, tracks, camera, alert)
        self._status(picture, result)
        self._warning(picture, result)

    # -- lanes ------------------------------------------------------------------------------------------------

    def _lanes(self, picture: np.ndarray, lanes: Lanes, camera: Camera) -> None:
        sure = lanes.believed
        lines = boundaries_px(sure, camera, _DRAWN_STEPS)
        own = [boundary is lanes.left or boundary is lanes.right for boundary in sure]
        ego = [line for line, mine in zip(lines, own, strict=True) if mine and len(line) > 1]
        if len(ego) == 2:
            tint(picture, [np.concatenate((ego[0], ego[1][::-1]))], np.array([bgr(EGO_LANE)]), _LANE_SHARE)
        strokes = Strokes()
        for line, mine in zip(lines, own, strict=True):
            strokes.add(line[None], [bgr(EGO_LANE if mine else OTHER_LANE)], (5 if mine else 3) * self.scale)
        strokes.draw(picture)

    # -- objects ----------------------------------------------------------------------------------------------

    def _tracks(self, picture: np.ndarray, tracks: Tracks, camera: Camera, alert: np.ndarray) -> None:
        if not len(tracks):
            return
        seen = tracks.detection >= 0
        draw_boxes3d(picture, tracks, camera, seen, max(1.0, 1.5 * self.scale))
        rows = np.flatnonzero(seen)
        frame_boxes(picture, tracks.xyxy_px[rows], colours_of(tracks.class_id[rows], alert[rows]), self._edge_px)
        if len(rows) < len(tracks):
            hidden = np.flatnonzero(~seen)
            boxes = sv.Detections(xyxy=tracks.xyxy_px[hidden].astype(np.float32), class_id=tracks.class_id[hidden])
            colour_index = np.where(alert, len(CLASS_COLOURS), tracks.class_id)[hidden]
            self._corners.annotate(picture, boxes, custom_color_lookup=colour_index)
        self._labels(picture, tracks, alert)

    def _labels(self, picture: np.ndarray, tracks: Tracks, alert: np.ndarray) -> None:
        """Objects warned of first, then the nearest; a label that would cover another one is left out."""
        nearness = np.where(alert, 0.0, np.where(np.isfinite(tracks.xy_m[:, 0]), tracks.xy_m[:, 0], 1e3))
        pad, corners_px, texts = max(2, round(4 * self.scale)), tracks.xyxy_px[:, :2].tolist(), labels(tracks)
        height_px = self._font_px + 2 * pad
        taken: list[tuple[int, int, int, int]] = []
        for row in np.argsort(nearness).tolist():
            text = texts[row]
            if not text:
                continue
            width_px = text_width(text, self._font_px) + 2 * pad
            left = int(min(max(corners_px[row][0], 0), max(picture.shape[1] - width_px, 0)))
            top = int(max(corners_px[row][1] - height_px, 0))
            box = (left, top, left + width_px, top + height_px)
            if any(x1 < box[2] and y1 < box[3] and x2 > left and y2 > top for x1, y1, x2, y2 in taken):
                continue
            taken.append(box)
            colour = ALERT if alert[row] else CLASS_COLOURS[tracks.class_id[row]]
            _plate(text, self._font_px, pad, colour).lay(picture, left, top)

    # -- words ------------------------------------------------------------------------------------------------

    def _status(self, picture: np.ndarray, result: FrameResult) -> None:
        """Big numbers, top left: own speed, the vehicle ahead, the place in the lane."""
        lines = status_lines(result)
        size_px, pad = max(11, round(26 * self.scale)), max(3, round(9 * self.scale))
        width_px = max(text_width(line, size_px, weight=600) for line in lines) + 2 * pad
        shade(picture, (0, 0, width_px, len(lines) * round(size_px * 1.35) + pad), PANEL, 0.6)
        for number, line in enumerate(lines, start=1):
            lay_text(picture, line, (pad, round(number * size_px * 1.35)), size_px, weight=600)

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
        lay_text(picture, text, (left, top + pad + round(size_px * 0.86)), size_px, weight=700)


@lru_cache(256)
def _plate(text: str, size_px: int, pad: int, colour: str) -> Sprite:
    """What stands on an object's box: the words on a dark plate with a bar of the object's colour."""
    width_px, height_px = text_width(text, size_px) + 2 * pad, size_px + 2 * pad

    def paint(image: np.ndarray) -> None:
        shade(image, (0, 0, width_px, height_px), PANEL, 0.72)
        cv2.rectangle(image, (0, 0), (2, height_px - 1), bgr(colour), -1)
        put_text(image, text, (pad + 1, height_px - pad - 1), size_px)

    return Sprite.of(width_px, height_px, paint)


def boundaries_px(boundaries: Sequence[LaneBoundary], camera: Camera, steps: int = _LANE_STEPS) -> list[np.ndarray]:
    """(K, 2) pixels at up to so many steps along each boundary, nearest first, from the picture's bottom edge to its
    last evidence."""
    if not boundaries:
        return []
    from app.shape_kernels import along_road

    far_m = np.array([max(b.x_range_m[1], _NEAREST_ROW_M + 1.0) for b in boundaries])
    points = np.empty((len(boundaries), steps, 3))
    along_road(coefficients(boundaries), far_m, _shares(steps), _NEAREST_ROW_M, points)
    px, valid = camera.project(points)
    margin_px = 2 * camera.width_px  # far outside the picture fixed-point drawing would overflow
    valid &= (np.abs(px) < margin_px).all(-1)
    return [line[keep] for line, keep in zip(px, valid, strict=True)]


@cache
def _shares(steps: int) -> np.ndarray:
    return np.linspace(0.0, 1.0, steps)


def labels(tracks: Tracks) -> list[str]:
    """What stands on the objects' boxes: class, distance with its standard deviation; nothing on lights and signs."""
    x_m, sigma_m = tracks.xy_m[:, 0].tolist(), np.maximum(np.sqrt(tracks.cov[:, 0, 0]), 0.1).tolist()
    texts = []
    for class_id, x, sigma in zip(tracks.class_id.tolist(), x_m, sigma_m, strict=True):
        distance = f" {x:.0f} m ±{sigma:.1f}" if math.isfinite(x) else ""
        texts.append(CLASSES[class_id] + distance if _ON_ROAD[class_id] else "")
    return texts


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
