"""Records in other people's formats: CSV, Parquet, MOT Challenge, KITTI tracking, COCO (docs/records.md).

One row an object and frame; units are in the column names. NaN and infinity are empty cells (CSV) or nulls (Parquet).
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.mount import camera_at
from app.partial import partial_path
from app.record import Run
from app.types import FrameResult
from geometry.box3d import kitti_from_box
from geometry.errors import InputError
from perception.types import CLASSES
from tracking.types import TrackState

TRACK_COLUMNS = (
    "frame", "t_s", "track_id", "class", "state", "score",
    "left_px", "top_px", "right_px", "bottom_px",
    "x_m", "y_m", "sigma_x_m", "sigma_y_m", "vx_mps", "vy_mps", "velocity_over_ground",
    "height_m", "width_m", "length_m", "yaw_rad",
    "ttc_s", "ttc_low_s", "ttc_high_s", "age_s", "unseen_s",
)  # fmt: skip
FRAME_COLUMNS = (
    "frame", "t_s", "ego_speed_mps", "ego_speed_sigma_mps", "ego_yaw_rate_radps",
    "lane_width_m", "lane_offset_m", "lane_heading_rad", "lane_curvature_pm", "lane_status",
    "camera_height_m", "camera_pitch_rad", "camera_yaw_rad", "camera_roll_rad", "calibration", "objects", "detections",
)  # fmt: skip
_WHOLE = frozenset({"frame", "track_id", "objects", "detections"})
_TEXT = frozenset({"class", "state", "lane_status", "calibration"})
# KITTI's names of what it labels; the rest is "Misc" there.
_KITTI_NAMES = {"car": "Car", "truck": "Truck", "train": "Tram", "person": "Pedestrian", "rider": "Cyclist"}


def track_rows(run: Run) -> Iterator[dict[str, Any]]:
    """One row a track and frame, keys as ``TRACK_COLUMNS``."""
    for result in run.results:
        tracks = result.tracks
        sigma = np.sqrt(np.maximum(np.diagonal(tracks.cov, axis1=1, axis2=2), 0.0))
        for row in range(len(tracks)):
            values = (
                result.index, result.t_s, int(tracks.track_id[row]), CLASSES[tracks.class_id[row]],
                TrackState(tracks.state[row]).name.lower(), float(tracks.score[row]),
                *tracks.xyxy_px[row].tolist(), *tracks.xy_m[row].tolist(), *sigma[row, :2].tolist(),
                *tracks.v_mps[row].tolist(), bool(tracks.absolute[row]), *tracks.size_m[row].tolist(),
                float(tracks.yaw_rad[row]), float(tracks.ttc_s[row]), float(tracks.ttc_low_s[row]),
                float(tracks.ttc_high_s[row]), float(tracks.age_s[row]), float(tracks.unseen_s[row]),
            )  # fmt: skip
            yield dict(zip(TRACK_COLUMNS, map(_finite, values), strict=True))


def frame_rows(run: Run) -> Iterator[dict[str, Any]]:
    """One row a frame, keys as ``FRAME_COLUMNS``."""
    for result in run.results:
        ego, lanes, pose = result.ego, result.lanes, result.pose
        values = (
            result.index, result.t_s, ego.speed_mps, ego.speed_sigma_mps, ego.yaw_rate_radps,
            lanes.width_m, lanes.offset_m, lanes.heading_rad, lanes.curvature_pm, lanes.status.value,
            pose.height_m, pose.pitch_rad, pose.yaw_rad, pose.roll_rad, pose.state,
            len(result.tracks), len(result.detections),
        )  # fmt: skip
        yield dict(zip(FRAME_COLUMNS, map(_finite, values), strict=True))


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


# -- tables -----------------------------------------------------------------------------------------------------------


def to_csv(run: Run, folder: Path) -> list[Path]:
    """tracks.csv and frames.csv."""
    written = []
    for name, columns, rows in _tables(run):
        path = folder / f"{name}.csv"
        with _whole(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        written.append(_rename(path))
    return written


def to_parquet(run: Run, folder: Path) -> list[Path]:
    """tracks.parquet and frames.parquet; camera, detector and settings are in their metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = {"roadlens": run.header.roadlens, "detector": json.dumps(run.header.detector)}
    about |= {"settings": json.dumps(run.header.settings), "clip": json.dumps(run.header.clip)}
    written = []
    for name, columns, rows in _tables(run):
        kinds = [(column, _arrow_kind(pa, column)) for column in columns]
        table = pa.Table.from_pylist(list(rows), schema=pa.schema(kinds, metadata=about))
        path = folder / f"{name}.parquet"
        pq.write_table(table, _whole(path))
        written.append(_rename(path))
    return written


def _tables(run: Run) -> Iterator[tuple[str, Sequence[str], Iterator[dict[str, Any]]]]:
    yield "tracks", TRACK_COLUMNS, track_rows(run)
    yield "frames", FRAME_COLUMNS, frame_rows(run)


def _arrow_kind(pa: Any, column: str) -> Any:
    if column in _WHOLE:
        return pa.int64()
    if column in _TEXT:
        return pa.string()
    return pa.bool_() if column == "velocity_over_ground" else pa.float64()


# -- benchmarks' formats ----------------------------------------------------------------------------------------------


def _confirmed(result: FrameResult) -> Any:
    return result.tracks[result.tracks.state == TrackState.CONFIRMED]


def to_mot(run: Run, folder: Path) -> list[Path]:
    """mot.txt, MOT Challenge: frame, id, left, top, width, height, score, x, y, z; frames and pixels count from 1.

    The last three are world coordinates there: metres forward and left here, 0 up; -1 where unknown.
    """
    lines = []
    for number, result in enumerate(run.results, 1):
        tracks = _confirmed(result)
        xywh = tracks.xyxy_px.copy()
        xywh[:, 2:] -= xywh[:, :2]
        place = np.where(np.isfinite(tracks.xy_m), tracks.xy_m, -1.0)
        for row in range(len(tracks)):
            left, top, width, height = xywh[row] + [1.0, 1.0, 0.0, 0.0]
            x, y = place[row]
            lines.append(
                f"{number},{tracks.track_id[row]},{left:.2f},{top:.2f},{width:.2f},{height:.2f},"
                f"{tracks.score[row]:.4f},{x:.3f},{y:.3f},{0 if x >= 0 else -1}"
            )
    return [_text(folder / "mot.txt", lines)]


def to_kitti(run: Run, folder: Path) -> list[Path]:
    """kitti.txt, KITTI tracking: frame, id, type, truncated, occluded, alpha, box, h, w, l, x, y, z, rotation_y, score.

    Locations are in the camera's frame, at the middle of the object's bottom, as KITTI has them; where a position is
    unknown, KITTI's marks for it (-1000, -10).
    """
    lines = []
    for number, result in enumerate(run.results):
        tracks = _confirmed(result)
        for row in range(len(tracks)):
            name = _KITTI_NAMES.get(CLASSES[tracks.class_id[row]], "Misc")
            box = " ".join(f"{v:.2f}" for v in tracks.xyxy_px[row])
            lines.append(
                f"{number} {tracks.track_id[row]} {name} -1 -1 {_kitti_place(run, result, tracks, row, box)} "
                f"{tracks.score[row]:.4f}"
            )
    return [_text(folder / "kitti.txt", lines)]


def _kitti_place(run: Run, result: FrameResult, tracks: Any, row: int, box: str) -> str:
    """alpha, box, h, w, l, x, y, z, rotation_y of a track."""
    if not (np.isfinite(tracks.xy_m[row]).all() and np.isfinite(tracks.size_m[row]).all()):
        return f"-10 {box} -1 -1 -1 -1000 -1000 -1000 -10"
    yaw = tracks.yaw_rad[row] if math.isfinite(tracks.yaw_rad[row]) else 0.0
    size = tracks.size_m[row]
    x_m, y_m = tracks.xy_m[row]
    in_space = np.array([*size, x_m + 0.5 * size[2], y_m, 0.0, yaw])  # x is the nearest face, KITTI wants the centre
    _, location, rotation_y, alpha = kitti_from_box(camera_at(run.header.camera, result.pose), in_space)
    numbers = [*size, *location, rotation_y]
    return f"{float(alpha):.4f} {box} " + " ".join(f"{float(v):.4f}" for v in numbers)


def to_coco(run: Run, folder: Path) -> list[Path]:
    """coco.json: pictures, categories and the detections as annotations with scores."""
    clip = run.header.clip
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, result in enumerate(run.results, 1):
        name = f"{Path(str(clip.get('source', 'clip'))).stem}_{result.index:06d}.jpg"
        images.append(
            {"id": number, "file_name": name, "width": run.header.camera.width_px,
             "height": run.header.camera.height_px, "frame": result.index, "t_s": result.t_s}
        )  # fmt: skip
        found = result.detections
        for box, score, class_id in zip(
            found.xyxy_px.tolist(), found.score.tolist(), found.class_id.tolist(), strict=True
        ):
            left, top, right, bottom = (round(v, 2) for v in box)
            width, height = round(right - left, 2), round(bottom - top, 2)
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": class_id + 1,
                 "bbox": [left, top, width, height], "area": round(width * height, 2), "iscrowd": 0,
                 "score": round(score, 4)}
            )  # fmt: skip
    categories = [{"id": number, "name": name} for number, name in enumerate(run.header.classes, 1)]
    data = {"info": {"description": f"roadlens {run.header.roadlens}"}, "images": images, "categories": categories}
    return [_text(folder / "coco.json", [json.dumps(data | {"annotations": annotations})])]


FORMATS: dict[str, Callable[[Run, Path], list[Path]]] = {
    "csv": to_csv,
    "parquet": to_parquet,
    "mot": to_mot,
    "kitti": to_kitti,
    "coco": to_coco,
}


def export(run: Run, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Writes a run in some formats into a folder; each file is whole or not there.

    Raises:
        InputError: an unknown format, or a folder that cannot be written.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise InputError(f"no format {unknown[0]!r}; wanted some of {', '.join(FORMATS)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [path for name in formats for path in FORMATS[name](run, folder)]
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from error


def _whole(path: Path) -> Path:
    return partial_path(path)


def _rename(path: Path) -> Path:
    return partial_path(path).replace(path)


def _text(path: Path, lines: Sequence[str]) -> Path:
    _whole(path).write_text("\n".join(lines) + "\n" if lines else "", encoding="utf-8")
    return _rename(path)
