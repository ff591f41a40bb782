"""FrameResult and header as JSON and back: arrays are lists with one entry per object, NaN and infinity are ``null``.

A run can be repeated from its records, so what its results follow from is exact: detections, which the pipeline
rounds to what is written here when they come in, and lanes, own motion and mount, which are written to the last digit.
Ranges and tracks are rounded far below their uncertainty. A time to collision of ``null`` at a known
position is infinite: nothing is closing in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson

from app import __version__
from app.types import CameraPose, Event, EventKind, FrameResult
from geometry.camera import Camera
from geometry.distortion import Distortion
from geometry.errors import InputError
from geometry.types import GroundPoints
from perception.types import CLASSES, Detections, LaneBoundary, Lanes, LaneStatus
from tracking.types import EgoMotion, Tracks

FORMAT = 1
"""Version of the record format; it rises when a reader of the old one would misread the new one."""

BOX_DECIMALS = 2
SCORE_DECIMALS = 4
_METRIC_DECIMALS = SCORE_DECIMALS  # 0.1 mm, 0.1 mm/s, 0.006 degrees
_SIGNIFICANT = 6  # of covariances, whose sizes differ by powers of ten
_TIME_DECIMALS = 6
_TRACK_COLUMNS = tuple(Tracks.__dataclass_fields__)
_EXACT = ("track_id", "class_id", "state", "detection", "absolute")
_METRIC = [name for name in _TRACK_COLUMNS if name not in (*_EXACT, "cov", "xyxy_px")]


@dataclass(frozen=True, eq=False)
class Header:
    """What a run was made with.

    Attributes:
        clip: source, size, rate and length (``ClipInfo`` as plain values).
        camera: as given, before any online calibration.
        detector: name, file, sha256, provider and input size.
        settings: as ``Settings.model_dump(mode="json")``.
    """

    clip: dict[str, Any]
    camera: Camera
    detector: dict[str, str]
    settings: dict[str, Any]
    roadlens: str = __version__
    format: int = FORMAT
    classes: tuple[str, ...] = CLASSES


def rounded(found: Detections) -> Detections:
    """Detections as a record keeps them, so that what is computed from them can be computed again from the record."""
    return replace(
        found,
        xyxy_px=np.round(found.xyxy_px.astype(np.float64), BOX_DECIMALS) + 0.0,  # no -0.0: text has none
        score=np.round(found.score.astype(np.float64), SCORE_DECIMALS) + 0.0,
    )


# -- to JSON ----------------------------------------------------------------------------------------------------------


def header_line(header: Header) -> str:
    """The first line of a record."""
    camera = {
        key: value
        for key, value in vars(header.camera).items()
        if key in Camera.__dataclass_fields__ and key != "distortion"
    }
    distortion = header.camera.distortion
    camera["distortion"] = {"model": distortion.model, "coefficients": [float(k) for k in distortion.coefficients]}
    values = {
        "format": header.format,
        "roadlens": header.roadlens,
        "classes": list(header.classes),
        "clip": header.clip,
    }
    values |= {"camera": camera, "detector": header.detector, "settings": header.settings}
    return _line({"header": values})


def frame_line(result: FrameResult) -> str:
    """One line of a record, without its line break."""
    found, ranges, tracks = result.detections, result.ranges, result.tracks
    boxes, track_boxes = _decimals(BOX_DECIMALS, found.xyxy_px, tracks.xyxy_px)
    score, xy_m, *columns = _decimals(
        _METRIC_DECIMALS, found.score, ranges.xy_m, *(getattr(tracks, name) for name in _METRIC)
    )
    cov_m2, cov = _significant(ranges.cov_m2, tracks.cov)
    of_tracks = dict(zip(_METRIC, columns, strict=True)) | {"xyxy_px": track_boxes, "cov": cov}
    values = {
        "index": result.index,
        "t_s": round(result.t_s, _TIME_DECIMALS),
        "detections": {"xyxy_px": boxes, "score": score, "class_id": _plain(found.class_id)},
        "ranges": {"xy_m": xy_m, "cov_m2": cov_m2, "valid": _plain(ranges.valid)},
        "tracks": {
            name: of_tracks[name] if name in of_tracks else _plain(getattr(tracks, name)) for name in _TRACK_COLUMNS
        },
        "lanes": _lanes(result.lanes),
        "ego": _ego(result.ego),
        "pose": vars(result.pose),
        "events": [_event(event) for event in result.events],
        "stage_ms": {name: round(ms, 2) for name, ms in result.stage_ms.items()},
    }
    return _line(values)


def _line(values: dict[str, Any]) -> str:
    """JSON in one line; what is not finite becomes ``null``."""
    return orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _plain(array: np.ndarray) -> np.ndarray:
    """As the writer takes arrays."""
    return np.ascontiguousarray(array)


def _parts(flat: np.ndarray, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Pieces of a flat array in the shapes of others."""
    parts, at = [], 0
    for array in arrays:
        parts.append(flat[at : at + array.size].reshape(array.shape))
        at += array.size
    return parts


def _flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.ravel() for array in arrays], dtype=np.float64)


def _decimals(decimals: int, *arrays: np.ndarray) -> list[np.ndarray]:
    """Rounded, in one go: what a call of NumPy costs is not the rounding."""
    return _parts(np.round(_flat(arrays), decimals) + 0.0, arrays)  # + 0.0: no -0.0


def _significant(*arrays: np.ndarray) -> list[np.ndarray]:
    flat = _flat(arrays)
    size = np.abs(flat)
    power = 10.0 ** (_SIGNIFICANT - 1 - np.floor(np.log10(np.where((size > 0) & (size < np.inf), size, 1.0))))
    # Multiplying by whole powers and dividing again gives the shortest decimal for all but tiny numbers.
    return _parts(np.round(flat * power) / power + 0.0, arrays)


def _boundary(boundary: LaneBoundary | None) -> dict[str, Any] | None:
    if boundary is None:
        return None
    return {
        "coeff": boundary.coeff.tolist(),
        "cov": boundary.cov.tolist(),
        "x_range_m": [float(x_m) for x_m in boundary.x_range_m],
        "kind": boundary.kind,
        "colour": boundary.colour,
        "score": float(boundary.score),
    }


def _lanes(lanes: Lanes) -> dict[str, Any]:
    return {
        "left": _boundary(lanes.left),
        "right": _boundary(lanes.right),
        "others": [_boundary(boundary) for boundary in lanes.others],
        "width_m": float(lanes.width_m),
        "offset_m": float(lanes.offset_m),
        "heading_rad": float(lanes.heading_rad),
        "curvature_pm": float(lanes.curvature_pm),
        "curvature_sigma_pm": float(lanes.curvature_sigma_pm),
        "status": lanes.status.value,
    }


def _ego(ego: EgoMotion) -> dict[str, Any]:
    matrix = ego.image_from_previous
    return vars(ego) | {"image_from_previous": None if matrix is None else matrix.tolist()}


def _event(event: Event) -> dict[str, Any]:
    return vars(event) | {"kind": event.kind.value}


# -- from JSON --------------------------------------------------------------------------------------------------------


def _array(values: Any, tail: tuple[int, ...]) -> np.ndarray:
    return np.array(values, dtype=np.float64).reshape(-1, *tail)  # None becomes NaN


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def read_header(values: dict[str, Any]) -> Header:
    if values["format"] > FORMAT:
        raise InputError(
            f"record format {values['format']} is newer than this roadlens knows ({FORMAT}); update roadlens"
        )
    camera = dict(values["camera"])
    lens = camera.pop("distortion")
    return Header(
        clip=values["clip"],
        camera=Camera(**camera, distortion=Distortion(lens["model"], tuple(lens["coefficients"]))),
        detector=values["detector"],
        settings=values["settings"],
        roadlens=values["roadlens"],
        format=values["format"],
        classes=tuple(values["classes"]),
    )


def read_detections(values: dict[str, Any]) -> Detections:
    """Detections of a line's ``detections``."""
    return Detections(
        _array(values["xyxy_px"], (4,)), np.array(values["score"]), np.array(values["class_id"], np.int64)
    )


def _read_tracks(values: dict[str, Any]) -> Tracks:
    empty = Tracks.empty()
    columns: dict[str, np.ndarray] = {}
    for name in Tracks.__dataclass_fields__:
        like = getattr(empty, name)
        if like.dtype == np.float64:
            columns[name] = _array(values[name], like.shape[1:])
        else:
            columns[name] = np.array(values[name], like.dtype)
    placed = np.isfinite(columns["xy_m"][:, 0])
    for name in ("ttc_s", "ttc_low_s", "ttc_high_s"):
        columns[name] = np.where(placed & np.isnan(columns[name]), np.inf, columns[name])
    return Tracks(**columns)


def _read_boundary(values: dict[str, Any] | None) -> LaneBoundary | None:
    if values is None:
        return None
    near_m, far_m = values["x_range_m"]
    coeff = np.array(values["coeff"], np.float64)
    return LaneBoundary(
        coeff=coeff,
        cov=_array(values["cov"], (len(coeff),)),
        x_range_m=(near_m, far_m),
        kind=values["kind"],
        score=values["score"],
        colour=values["colour"],
    )


def _read_lanes(values: dict[str, Any]) -> Lanes:
    scalars = ("width_m", "offset_m", "heading_rad", "curvature_pm", "curvature_sigma_pm")
    others = (_read_boundary(boundary) for boundary in values["others"])
    return Lanes(
        left=_read_boundary(values["left"]),
        right=_read_boundary(values["right"]),
        others=tuple(boundary for boundary in others if boundary is not None),
        status=LaneStatus(values["status"]),
        **{name: _float(values[name]) for name in scalars},
    )


def _read_ego(values: dict[str, Any]) -> EgoMotion:
    matrix = values["image_from_previous"]
    numbers = ("speed_mps", "speed_sigma_mps", "yaw_rate_radps", "yaw_rate_sigma_radps")
    return EgoMotion(
        **{name: _float(values[name]) for name in numbers},
        image_from_previous=None if matrix is None else np.array(matrix, np.float64),
        source=values["source"],
    )


def read_frame(values: dict[str, Any]) -> FrameResult:
    """The FrameResult of a parsed line."""
    ranges = values["ranges"]
    pose: dict[str, Any] = {key: math.nan if value is None else value for key, value in values["pose"].items()}
    events = (
        {**event, "kind": EventKind(event["kind"]), "value": _float(event["value"])} for event in values["events"]
    )
    return FrameResult(
        index=values["index"],
        t_s=values["t_s"],
        detections=read_detections(values["detections"]),
        ranges=GroundPoints(
            _array(ranges["xy_m"], (2,)), _array(ranges["cov_m2"], (2, 2)), np.array(ranges["valid"], np.bool_)
        ),
        tracks=_read_tracks(values["tracks"]),
        lanes=_read_lanes(values["lanes"]),
        ego=_read_ego(values["ego"]),
        pose=CameraPose(**pose),
        events=tuple(Event(**event) for event in events),
        stage_ms=values["stage_ms"],
    )
