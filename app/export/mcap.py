"""MCAP with Foxglove's schemas: the clip, boxes over it, the scene in metres, camera, mount, own motion and warnings.

| topic | schema | what |
|---|---|---|
| /camera/video | foxglove.CompressedVideo | H.264, Annex B, of the clip |
| /camera/calibration | foxglove.CameraCalibration | intrinsics and lens, in OpenCV's terms |
| /camera/annotations | foxglove.ImageAnnotations | boxes, labels and lanes over the picture |
| /scene | foxglove.SceneUpdate | bodies of tracks and lanes on the road, vehicle frame |
| /tf | foxglove.FrameTransform | camera in the vehicle frame, as the mount is believed |
| /events | foxglove.Log | warnings that begin and end |
| /ego | JSON | own speed, yaw rate, lane offset, curvature: for plots |

Times count from the start of the clip, since a record knows no clock on the wall. docs: https://docs.foxglove.dev/docs/sdk/schemas
"""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any, BinaryIO, Self

import numpy as np

from app.draw import boundaries_px
from app.export.base import PIXEL_CENTRE_PX, Exporter, believed, finite, quaternion_xyzw
from app.export.h264 import Pictures
from app.export.scene import label, lane_colour, lane_points
from app.mount import camera_at
from app.palette import CLASS_COLOURS, WHITE
from app.record_json import header_line
from app.types import FrameResult
from geometry.camera import Camera
from geometry.errors import InputError
from perception.types import CLASSES
from tracking.bodies import bodies
from tracking.types import Tracks

VEHICLE, CAMERA = "vehicle", "camera"
_LENSES = {"none": "", "brown": "plumb_bob", "fisheye": "kannala_brandt"}
_RATIONAL = "rational_polynomial"  # Foxglove's name of Brown's model with eight coefficients
_LINE_PX, _FONT_PX, _LANE_WIDTH_M, _FONT_M = 2.0, 16.0, 0.12, 0.8
_EGO_SCHEMA = {
    "type": "object",
    "properties": {
        name: {"type": ["number", "null"]}
        for name in ("speed_mps", "speed_sigma_mps", "yaw_rate_radps", "lane_offset_m", "lane_width_m", "curvature_pm")
    },
}


def foxglove_messages() -> ModuleType:
    """Foxglove's message types.

    Raises:
        InputError: the package is not installed.
    """
    try:
        from foxglove import messages
    except ImportError as error:
        raise InputError("MCAP needs the package foxglove-sdk: pip install 'roadlens[mcap]'") from error
    found: ModuleType = messages
    return found


class McapExporter(Exporter):
    """run.mcap; messages in the order of their times."""

    names = ("run.mcap",)

    def begin(self) -> None:
        self._make = foxglove_messages()
        import foxglove
        from foxglove import channels

        self._pictures = Pictures(self.recording)
        self._begun = False
        self._file = _Watched(self.partial[0].open("wb"))
        self._context = context = foxglove.Context()  # held: channels close when it goes
        with self._file:
            self._writer = foxglove.open_mcap(self._file, context=context)
            self._writer.write_metadata("roadlens", {"header": header_line(self.header)})
        self._video = channels.CompressedVideoChannel("/camera/video", context=context)
        self._calibration = channels.CameraCalibrationChannel("/camera/calibration", context=context)
        self._annotations = channels.ImageAnnotationsChannel("/camera/annotations", context=context)
        self._scene = channels.SceneUpdateChannel("/scene", context=context)
        self._transform = channels.FrameTransformChannel("/tf", context=context)
        self._log = channels.LogChannel("/events", context=context)
        self._ego = foxglove.Channel("/ego", schema=_EGO_SCHEMA, message_encoding="json", context=context)

    def write(self, result: FrameResult) -> None:
        with self._file:
            self._write(result)

    def _write(self, result: FrameResult) -> None:
        self._clip_until(result.t_s)
        at_ns = nanoseconds(result.t_s)
        stamp = self._stamp(at_ns)
        camera = camera_at(self.header.camera, result.pose)
        tracks = believed(result)
        if not self._begun:
            self._begun = True
            self._calibration.log(calibration(self._make, self.header.camera, stamp), log_time=at_ns)
        self._transform.log(transform(self._make, camera, stamp), log_time=at_ns)
        self._annotations.log(image_annotations(self._make, result, tracks, camera, stamp), log_time=at_ns)
        self._scene.log(scene_update(self._make, result, tracks, stamp), log_time=at_ns)
        self._ego.log(_ego_values(result), log_time=at_ns)
        for event in result.events:
            if event.phase != "active":
                level = self._make.LogLevel.Warning if event.phase == "start" else self._make.LogLevel.Info
                text = f"{event.kind.value} ({event.phase}): {event.text}"
                message = self._make.Log(timestamp=stamp, level=level, message=text, name="roadlens")
                self._log.log(message, log_time=at_ns)

    def close(self) -> None:
        try:
            with self._file:
                self._writer.close()
        finally:
            self._file.close()

    def _clip_until(self, t_s: float) -> None:
        for sample in self._pictures.until(t_s):
            at_ns = nanoseconds(sample.t_s)
            stamp = self._stamp(at_ns)
            message = self._make.CompressedVideo(timestamp=stamp, frame_id=CAMERA, data=sample.data, format="h264")
            self._video.log(message, log_time=at_ns)

    def _stamp(self, at_ns: int) -> Any:
        return self._make.Timestamp(at_ns // 1_000_000_000, at_ns % 1_000_000_000)


class _Watched:
    """A file whose faults are kept, because the writer behind the messages only logs them or words them its own way.

    As a context manager it raises the first fault at the end of the block.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._fault: OSError | None = None

    def write(self, data: bytes) -> int:
        return int(self._kept(self._file.write, data))

    def seek(self, place: int, whence: int = 0) -> int:
        return int(self._kept(self._file.seek, place, whence))

    def flush(self) -> None:
        self._kept(self._file.flush)

    def _kept(self, call: Any, *given: Any) -> Any:
        try:
            return call(*given)
        except OSError as error:
            self._fault = self._fault or error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        self._file.close()


def nanoseconds(t_s: float) -> int:
    """Whole nanoseconds of a time; times before the clip's start become 0."""
    return max(0, round(t_s * 1e9))


# -- messages ---------------------------------------------------------------------------------------------------------


def calibration(make: Any, camera: Camera, stamp: Any) -> Any:
    """CameraCalibration: K of pixels whose centres are whole numbers, as OpenCV and ours."""
    lens = camera.distortion
    k = camera.matrix
    return make.CameraCalibration(
        timestamp=stamp,
        frame_id=CAMERA,
        width=camera.width_px,
        height=camera.height_px,
        distortion_model=_RATIONAL if len(lens.coefficients) == 8 else _LENSES[lens.model],
        D=_coefficients(lens.model, lens.coefficients),
        K=k.ravel().tolist(),
        R=np.eye(3).ravel().tolist(),
        P=np.column_stack([k, np.zeros(3)]).ravel().tolist(),
    )


def _coefficients(model: str, coefficients: tuple[float, ...]) -> list[float]:
    if model == "brown" and len(coefficients) == 4:
        return [*map(float, coefficients), 0.0]  # plumb_bob has k3
    return [float(k) for k in coefficients]


def transform(make: Any, camera: Camera, stamp: Any) -> Any:
    """FrameTransform of the camera in the vehicle frame."""
    x, y, z, w = quaternion_xyzw(camera.vehicle_from_camera_rotation)
    return make.FrameTransform(
        timestamp=stamp,
        parent_frame_id=VEHICLE,
        child_frame_id=CAMERA,
        translation=make.Vector3(x=0.0, y=0.0, z=camera.height_m),
        rotation=make.Quaternion(x=x, y=y, z=z, w=w),
    )


def image_annotations(make: Any, result: FrameResult, tracks: Tracks, camera: Camera, stamp: Any) -> Any:
    """ImageAnnotations: a loop and a label a track, a strip a lane boundary; pixels from the picture's corner."""
    shapes, labels = [], []
    for row, (left, top, right, bottom) in enumerate((tracks.xyxy_px + PIXEL_CENTRE_PX).tolist()):
        colour = _colour(make, CLASS_COLOURS[tracks.class_id[row]])
        about = _about(make, tracks, row)
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        shapes.append(_line(make, make.PointsAnnotationType.LineLoop, corners, colour, stamp, about))
        labels.append(
            make.TextAnnotation(
                timestamp=stamp,
                position=make.Point2(x=left, y=top),
                text=label(tracks, row),
                font_size=_FONT_PX,
                text_color=_colour(make, WHITE),
                background_color=colour,
                metadata=about,
            )
        )
    sure = result.lanes.believed
    for boundary, px in zip(sure, boundaries_px(sure, camera), strict=True):
        if len(px) > 1:
            points = [(x, y) for x, y in (px + PIXEL_CENTRE_PX).tolist()]
            colour = _colour(make, lane_colour(result, boundary))
            shapes.append(_line(make, make.PointsAnnotationType.LineStrip, points, colour, stamp, []))
    return make.ImageAnnotations(timestamp=stamp, points=shapes, texts=labels)


def _line(make: Any, kind: Any, points: Any, colour: Any, stamp: Any, about: list[Any]) -> Any:
    return make.PointsAnnotation(
        timestamp=stamp,
        type=kind,
        points=[make.Point2(x=x, y=y) for x, y in points],
        outline_color=colour,
        thickness=_LINE_PX,
        metadata=about,
    )


def scene_update(make: Any, result: FrameResult, tracks: Tracks, stamp: Any) -> Any:
    """SceneUpdate that replaces the scene: a cube and a label a track with a position, a line a lane boundary."""
    entities = []
    for row, body in enumerate(bodies(tracks)):
        if not np.isfinite(body).all():
            continue
        height, width, length, x, y, z, yaw = body.tolist()
        pose = make.Pose(
            position=make.Vector3(x=x, y=y, z=z + height / 2),
            orientation=make.Quaternion(x=0.0, y=0.0, z=np.sin(yaw / 2), w=np.cos(yaw / 2)),
        )
        above = make.Pose(position=make.Vector3(x=x, y=y, z=z + height + _FONT_M))
        colour = CLASS_COLOURS[tracks.class_id[row]]
        entities.append(
            make.SceneEntity(
                timestamp=stamp,
                frame_id=VEHICLE,
                id=f"track {tracks.track_id[row]}",
                metadata=_about(make, tracks, row),
                cubes=[
                    make.CubePrimitive(
                        pose=pose, size=make.Vector3(x=length, y=width, z=height), color=_colour(make, colour, 0.6)
                    )
                ],
                texts=[
                    make.TextPrimitive(
                        pose=above,
                        billboard=True,
                        font_size=_FONT_M,
                        color=_colour(make, WHITE),
                        text=label(tracks, row),
                    )
                ],
            )
        )
    entities += [_lane_entity(make, result, number, stamp) for number in range(len(result.lanes.believed))]
    everything = make.SceneEntityDeletion(timestamp=stamp, type=make.SceneEntityDeletionType.All)
    return make.SceneUpdate(deletions=[everything], entities=entities)


def _lane_entity(make: Any, result: FrameResult, number: int, stamp: Any) -> Any:
    boundary = result.lanes.believed[number]
    line = make.LinePrimitive(
        type=make.LinePrimitiveLineType.LineStrip,
        thickness=_LANE_WIDTH_M,
        points=[make.Point3(x=x, y=y, z=0.0) for x, y in lane_points(boundary).tolist()],
        color=_colour(make, lane_colour(result, boundary)),
    )
    about = [
        make.KeyValuePair(key="kind", value=boundary.kind),
        make.KeyValuePair(key="score", value=f"{boundary.score:.2f}"),
    ]
    return make.SceneEntity(timestamp=stamp, frame_id=VEHICLE, id=f"lane {number}", lines=[line], metadata=about)


def _about(make: Any, tracks: Tracks, row: int) -> list[Any]:
    """What the record knows of a track, as key and value."""
    vx, vy = tracks.v_mps[row].tolist()
    values = {
        "track_id": int(tracks.track_id[row]),
        "class": CLASSES[tracks.class_id[row]],
        "score": round(float(tracks.score[row]), 4),
        "vx_mps": finite(vx),
        "vy_mps": finite(vy),
        "velocity_over_ground": bool(tracks.absolute[row]),
        "ttc_s": finite(float(tracks.ttc_s[row])),
    }
    return [
        make.KeyValuePair(key=key, value=value if isinstance(value, str) else json.dumps(value))
        for key, value in values.items()
        if value is not None
    ]


def _colour(make: Any, colour: str, opacity: float = 1.0) -> Any:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return make.Color(r=red, g=green, b=blue, a=opacity)


def _ego_values(result: FrameResult) -> dict[str, float | None]:
    ego, lanes = result.ego, result.lanes
    numbers = (
        ego.speed_mps, ego.speed_sigma_mps, ego.yaw_rate_radps, lanes.offset_m, lanes.width_m, lanes.curvature_pm,
    )  # fmt: skip
    return {name: finite(float(value)) for name, value in zip(_EGO_SCHEMA["properties"], numbers, strict=True)}
