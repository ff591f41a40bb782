"""A rerun recording (.rrd): the clip with boxes and lanes over it, the scene in metres, plots, warnings, views.

Entities: ``vehicle`` (x forward, y left, z up), ``vehicle/camera`` (the mount), ``vehicle/camera/image`` (pinhole,
clip, boxes, lanes), ``vehicle/tracks``, ``vehicle/lanes``, ``ego/*``, ``lane/*`` and ``tracks/*`` (numbers for plots),
``events`` (words). Two timelines: ``t_s`` of the clip, and ``frame``. Lens distortion has no place in rerun's pinhole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from app.draw import boundaries_px
from app.export.base import PIXEL_CENTRE_PX, Exporter, believed, quaternion_xyzw
from app.export.h264 import Pictures
from app.export.scene import label, lane_colour, lane_points
from app.mount import camera_at
from app.palette import CLASS_COLOURS
from app.record_json import header_line
from app.types import FrameResult
from geometry.camera import Camera
from geometry.errors import InputError
from tracking.bodies import bodies
from tracking.types import Tracks

VEHICLE, CAMERA, IMAGE = "vehicle", "vehicle/camera", "vehicle/camera/image"
_SCALARS = ("ego/speed_mps", "ego/yaw_rate_radps", "lane/offset_m", "lane/width_m", "tracks/nearest_m")
_CHUNK_S = 3.0  # of writing; rerun's own is 0.2, made for watching live
_MOST_INDEXED = 20_000  # frames: the index takes 3 KB of memory a frame; without it a file opens more slowly
_PLANE_M = 4.0  # how far before the camera the 3D view shows the picture


def rerun_package() -> Any:
    """The rerun SDK.

    Raises:
        InputError: it is not installed.
    """
    try:
        import rerun
    except ImportError as error:
        raise InputError("rerun recordings need the package rerun-sdk: pip install 'roadlens[rerun]'") from error
    return rerun


class RerunExporter(Exporter):
    """run.rrd, written as it grows."""

    names = ("run.rrd",)

    def begin(self) -> None:
        self._rr = rr = rerun_package()
        self._pictures = Pictures(self.recording)
        self.partial[0].touch()  # a folder that cannot be written is told before any work
        self._stream = rr.RecordingStream("roadlens", batcher_config=_large_chunks(rr))
        short = int(self.header.clip.get("frames") or 0) <= _MOST_INDEXED
        self._stream.save(self.partial[0], default_blueprint=_blueprint(rr), write_footer=short)
        self._stream.send_recording_name(Path(str(self.header.clip.get("source", "run"))).name)
        camera = self.header.camera
        self._stream.log(VEHICLE, rr.ViewCoordinates.FLU, static=True)
        self._stream.log(IMAGE, _pinhole(rr, camera), static=True)
        if self._pictures.clip is not None:
            self._stream.log(IMAGE, rr.VideoStream(codec=rr.VideoCodec.H264), static=True)
        self._stream.log("header", rr.TextDocument(header_line(self.header)), static=True)

    def write(self, result: FrameResult) -> None:
        rr, stream = self._rr, self._stream
        self._clip_until(result.t_s)
        self._at(result.t_s)
        stream.set_time("frame", sequence=result.index)
        camera = camera_at(self.header.camera, result.pose)
        tracks = believed(result)
        stream.log(CAMERA, _mount(rr, camera))
        stream.log(f"{IMAGE}/tracks", _boxes(rr, tracks))
        stream.log(f"{VEHICLE}/tracks", _cubes(rr, tracks))
        self._lanes(result, camera)
        self._numbers(result, tracks)
        for event in result.events:
            if event.phase != "active":
                level = rr.TextLogLevel.WARN if event.phase == "start" else rr.TextLogLevel.INFO
                stream.log("events", rr.TextLog(f"{event.kind.value} ({event.phase}): {event.text}", level=level))

    def close(self) -> None:
        self._stream.flush()
        self._stream.disconnect()

    def _at(self, t_s: float) -> None:
        self._stream.set_time("t_s", duration=t_s)

    def _clip_until(self, t_s: float) -> None:
        self._stream.disable_timeline("frame")
        for sample in self._pictures.until(t_s):
            self._at(sample.t_s)
            self._stream.log(IMAGE, self._rr.VideoStream.from_fields(sample=sample.data, is_keyframe=sample.key))

    def _lanes(self, result: FrameResult, camera: Camera) -> None:
        rr, sure = self._rr, result.lanes.believed
        colours = [lane_colour(result, boundary) for boundary in sure]
        on_road = [np.column_stack([xy, np.zeros(len(xy))]) for xy in map(lane_points, sure)]
        self._stream.log(f"{VEHICLE}/lanes", rr.LineStrips3D(on_road, colors=_rgb(colours), radii=0.06))
        px = [line + PIXEL_CENTRE_PX for line in boundaries_px(sure, camera)]
        self._stream.log(f"{IMAGE}/lanes", rr.LineStrips2D(px, colors=_rgb(colours), radii=1.5))

    def _numbers(self, result: FrameResult, tracks: Tracks) -> None:
        ahead = tracks.xy_m[:, 0]
        nearest = float(np.nanmin(ahead)) if np.isfinite(ahead).any() else np.nan
        numbers = (
            result.ego.speed_mps, result.ego.yaw_rate_radps, result.lanes.offset_m, result.lanes.width_m, nearest,
        )  # fmt: skip
        for name, value in zip(_SCALARS, numbers, strict=True):
            if np.isfinite(value):
                self._stream.log(name, self._rr.Scalars(float(value)))
            else:
                self._stream.log(name, self._rr.Clear(recursive=False))


def _large_chunks(rr: Any) -> Any:
    """Fewer, larger chunks: the file's index, which rerun keeps in memory until the end, grows with their number."""
    config = rr.ChunkBatcherConfig.DEFAULT()
    config.flush_tick = _CHUNK_S
    return config


def _pinhole(rr: Any, camera: Camera) -> Any:
    """Rerun's picture begins at the corner of the top-left pixel, so its principal point is half a pixel further on."""
    image_from_camera = camera.matrix.copy()
    image_from_camera[:2, 2] += PIXEL_CENTRE_PX
    return rr.Pinhole(
        image_from_camera=image_from_camera,
        resolution=[camera.width_px, camera.height_px],
        camera_xyz=rr.ViewCoordinates.RDF,
        image_plane_distance=_PLANE_M,
    )


def _mount(rr: Any, camera: Camera) -> Any:
    rotation = rr.Quaternion(xyzw=quaternion_xyzw(camera.vehicle_from_camera_rotation))
    return rr.Transform3D(translation=[0.0, 0.0, camera.height_m], quaternion=rotation)


def _boxes(rr: Any, tracks: Tracks) -> Any:
    return rr.Boxes2D(
        array=tracks.xyxy_px + PIXEL_CENTRE_PX,
        array_format=rr.Box2DFormat.XYXY,
        labels=[label(tracks, row) for row in range(len(tracks))],
        colors=_rgb([CLASS_COLOURS[k] for k in tracks.class_id]),
        class_ids=tracks.class_id.astype(np.uint16),
    )


def _cubes(rr: Any, tracks: Tracks) -> Any:
    boxes = bodies(tracks)
    tracks, boxes = tracks[np.isfinite(boxes).all(1)], boxes[np.isfinite(boxes).all(1)]
    height, width, length, x, y, z, yaw = boxes.T
    zero = np.zeros_like(yaw)
    return rr.Boxes3D(
        centers=np.column_stack([x, y, z + height / 2]),
        sizes=np.column_stack([length, width, height]),
        quaternions=np.column_stack([zero, zero, np.sin(yaw / 2), np.cos(yaw / 2)]),
        labels=[label(tracks, row) for row in range(len(tracks))],
        colors=_rgb([CLASS_COLOURS[k] for k in tracks.class_id]),
    )


def _rgb(colours: list[str]) -> np.ndarray:
    values = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours]
    return np.array(values, np.uint8).reshape(-1, 3)


def _blueprint(rr: Any) -> Any:
    import rerun.blueprint as rrb

    return rrb.Blueprint(
        rrb.Vertical(
            rrb.Horizontal(
                rrb.Spatial2DView(origin=IMAGE, name="clip"), rrb.Spatial3DView(origin=VEHICLE, name="road")
            ),
            rrb.Horizontal(
                rrb.TimeSeriesView(origin="ego", name="own motion"),
                rrb.TimeSeriesView(origin="lane", name="lane"),
                rrb.TextLogView(origin="events", name="events"),
            ),
            row_shares=[3, 1],
        ),
        collapse_panels=True,
    )
