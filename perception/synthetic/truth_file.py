"""Truth of a clip as a file: JSON Lines, one header, then one line a frame; .gz where the name ends so.

The numbers are rounded (pixels to 0.01, metres to 1 mm, radians to 1e-5), the text is the same for the same scene.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geometry.camera import Camera
from geometry.errors import InputError
from perception.synthetic.truth import FrameTruth, ObjectTruth
from perception.synthetic.world import Scene
from perception.types import CLASSES, LaneBoundary, Lanes

FORMAT = "roadlens scene truth 1"
COLUMNS = (
    *("track_id", "class_id", "left_px", "top_px", "right_px", "bottom_px", "x_m", "y_m", "vx_mps", "vy_mps"),
    *("height_m", "width_m", "length_m", "yaw_rad", "centre_x_m", "centre_y_m", "occlusion", "truncated", "grounded"),
)
_DIGITS = (0, 0, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 5, 3, 3, 3, 0, 0)


@dataclass(frozen=True, eq=False)
class ClipTruth:
    """A clip's truth read back: the nominal camera, what was asked for, and a truth per frame."""

    camera: Camera
    header: dict[str, Any]
    frames: tuple[FrameTruth, ...]


def _rows(objects: ObjectTruth) -> list[list[float]]:
    columns = [objects.track_id, objects.class_id, *objects.xyxy_px.T, *objects.xy_m.T, *objects.v_mps.T]
    columns += [*objects.size_m.T, objects.yaw_rad, *objects.centre_m.T, objects.occlusion]
    columns += [objects.truncated, objects.grounded]
    return [[_round(v, n) for v, n in zip(row, _DIGITS, strict=True)] for row in zip(*columns, strict=True)]


def _round(value: Any, digits: int) -> float | int:
    return int(value) if digits == 0 else round(float(value), digits) + 0.0


def _lane(boundary: LaneBoundary | None) -> dict[str, Any] | None:
    if boundary is None:
        return None
    return {
        "coeff": [float(f"{c:.9g}") + 0.0 if abs(c) > 1e-12 else 0.0 for c in boundary.coeff],
        "x_range_m": [round(x, 2) for x in boundary.x_range_m],
        "kind": boundary.kind,
        "colour": boundary.colour,
    }


def frame_line(truth: FrameTruth) -> dict[str, Any]:
    """One frame as plain data; lane coefficients c0 to c3 of y(x), the rest as in ``FrameTruth``."""
    lanes = truth.lanes
    return {
        "index": truth.index,
        "t_s": round(truth.t_s, 6),
        "speed_mps": round(truth.speed_mps, 4),
        "yaw_rate_radps": round(truth.yaw_rate_radps, 6) + 0.0,
        "acceleration_mps2": round(truth.acceleration_mps2, 4),
        "pose": [round(float(v), 5) + 0.0 for v in truth.pose_m_rad],
        "pitch_offset_rad": round(truth.pitch_offset_rad, 7) + 0.0,
        "mount_rad": [round(v, 7) + 0.0 for v in (truth.camera.pitch_rad, truth.camera.yaw_rad, truth.camera.roll_rad)],
        "lanes": {
            "left": _lane(lanes.left),
            "right": _lane(lanes.right),
            "others": [_lane(b) for b in lanes.others],
            **{
                name: None if np.isnan(value := getattr(lanes, name)) else round(value, 7) + 0.0
                for name in ("width_m", "offset_m", "heading_rad", "curvature_pm")
            },
        },
        "objects": _rows(truth.objects),
    }


def write_truth(path: Path, scene: Scene, truths: Iterable[FrameTruth], note: dict[str, Any] | None = None) -> None:
    """Writes the truth of a clip; ``note`` joins the header."""
    options = {k: v for k, v in asdict(scene.options).items() if v == v and v is not None}
    header = {
        "format": FORMAT,
        "kind": scene.kind,
        "seed": scene.seed,
        "duration_s": scene.duration_s,
        "fps": float(scene.fps),
        "camera": _camera(scene.camera),
        "options": options,
        "classes": list(CLASSES),
        "columns": COLUMNS,
        **(note or {}),
    }
    lines = [json.dumps(line, separators=(",", ":")) for line in (header, *map(frame_line, truths))]
    data = ("\n".join(lines) + "\n").encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


def _camera(camera: Camera) -> dict[str, Any]:
    return asdict(camera)


def read_truth(path: str | Path) -> ClipTruth:
    """Truth that ``write_truth`` wrote.

    Raises:
        InputError: no such file, or another format.
    """
    from geometry.distortion import Distortion

    source = Path(path)
    try:
        data = source.read_bytes()
        text = (gzip.decompress(data) if source.suffix == ".gz" else data).decode()
        header, *rest = (json.loads(line) for line in text.splitlines())
    except (OSError, EOFError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path}: no truth file of a scene ({error}); `roadlens scene` writes them") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError(f"{path}: no truth file of a scene, wanted a header with format {FORMAT!r}")
    lens = header["camera"].pop("distortion")
    lens = Distortion(lens["model"], tuple(lens["coefficients"]))
    camera = Camera(**header["camera"], distortion=lens)
    return ClipTruth(camera, header, tuple(_frame(line, camera) for line in rest))


def _boundary(data: dict[str, Any] | None) -> LaneBoundary | None:
    if data is None:
        return None
    low, high = data["x_range_m"]
    return LaneBoundary(np.array(data["coeff"]), np.zeros((4, 4)), (low, high), data["kind"], 1.0, data["colour"])


def _frame(line: dict[str, Any], camera: Camera) -> FrameTruth:
    rows = np.array(line["objects"], float).reshape(-1, len(COLUMNS))
    pairs = {"xyxy_px": (2, 6), "xy_m": (6, 8), "v_mps": (8, 10), "size_m": (10, 13), "centre_m": (14, 16)}
    single = {"track_id": 0, "class_id": 1, "yaw_rad": 13, "occlusion": 16, "truncated": 17, "grounded": 18}
    columns = {name: rows[:, a:b] for name, (a, b) in pairs.items()} | {n: rows[:, k] for n, k in single.items()}
    lanes = line["lanes"]
    width, offset, heading = (
        float("nan") if lanes[n] is None else lanes[n] for n in ("width_m", "offset_m", "heading_rad")
    )
    boundaries = [_boundary(b) for b in (lanes["left"], lanes["right"], *lanes["others"])]
    return FrameTruth(
        index=line["index"],
        t_s=line["t_s"],
        objects=ObjectTruth(**columns),
        lanes=Lanes(
            boundaries[0],
            boundaries[1],
            tuple(b for b in boundaries[2:] if b is not None),
            width_m=width,
            offset_m=offset,
            heading_rad=heading,
            curvature_pm=lanes["curvature_pm"],
        ),
        lane_points_m=(),
        camera=camera.mounted(**dict(zip(("pitch_rad", "yaw_rad", "roll_rad"), line["mount_rad"], strict=True))),
        pitch_offset_rad=line["pitch_offset_rad"],
        speed_mps=line["speed_mps"],
        yaw_rate_radps=line["yaw_rate_radps"],
        acceleration_mps2=line["acceleration_mps2"],
        pose_m_rad=np.array(line["pose"]),
    )
