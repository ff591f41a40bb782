"""Labels in KITTI's formats as boxes with a true distance: tracking (with ids) or object (single pictures).

A label's 2D box and 3D box of one object tell each other's camera, so where no calibration file lies beside the labels,
the one of KITTI's five recording days whose camera puts the 3D boxes onto the 2D boxes is taken, and said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from geometry.box3d import box_from_kitti, nearest_x_m, outline_px
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.profiles import load_profile
from geometry.types import Rows
from perception.types import CLASS_ID

CALLED = {
    "Car": "car",
    "Van": "car",
    "Truck": "truck",
    "Pedestrian": "person",
    "Person_sitting": "person",
    "Person": "person",
    "Cyclist": "rider",
    "Tram": "train",
}
"""What each KITTI type is called here: a detector with the road vocabulary calls vans cars."""

RECORDING_DAYS: dict[str, tuple[int, int, float, float, float]] = {
    "2011_09_26": (1242, 375, 721.5377, 609.5593, 172.8540),
    "2011_09_28": (1224, 370, 707.0493, 604.0814, 180.5066),
    "2011_09_29": (1238, 374, 718.3351, 600.3891, 181.5122),
    "2011_09_30": (1226, 370, 707.0912, 601.8873, 183.1104),
    "2011_10_03": (1241, 376, 718.8560, 607.1928, 185.2157),
}
"""Width, height, focal length and principal point of the rectified left colour camera (calib_cam_to_cam.txt)."""

MOUNT_PITCH_DOWN_DEG: dict[str, float] = {
    "2011_09_26": -0.27,
    "2011_09_28": 0.63,
    "2011_09_29": 0.50,
    "2011_09_30": 0.70,
    "2011_10_03": 0.74,
}
"""How the rectified camera was mounted each day, from the day's calibration files alone: its angle against the LiDAR
(R_rect_00 of calib_cam_to_cam.txt times R of calib_velo_to_cam.txt; 0.60 degree up on 2011_09_26, 0.30, 0.17, 0.37 and
0.41 down on the others), and the LiDAR's against the road, 0.33 down, by the road plane it saw on drive 0005."""

LABEL_CAMERA_M = (0.0597, 0.0, 0.0027)
"""From the camera the labels are written in (left grey) to the left colour camera: P_rect_02's offset over f."""

_PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, eq=False)
class TrueBoxes(Rows):
    """N labelled boxes, one row each, in order of frames.

    Attributes:
        frame: (N,) frame number; track_id: (N,), -1 without one.
        kind: (N,) KITTI's type; class_id: (N,) what it is called here.
        xyxy_px: (N, 4); truncated, occluded: (N,) KITTI's columns.
        x_m: (N,) forward distance to the nearest corner of the 3D box; y_m: (N,) of its middle, to the left.
        size_m: (N, 3) height, width, length; yaw_rad: (N,) heading in the vehicle frame.
    """

    frame: np.ndarray
    track_id: np.ndarray
    kind: np.ndarray
    class_id: np.ndarray
    xyxy_px: np.ndarray
    truncated: np.ndarray
    occluded: np.ndarray
    x_m: np.ndarray
    y_m: np.ndarray
    size_m: np.ndarray
    yaw_rad: np.ndarray

    def measured(self) -> np.ndarray:
        """(N,) bool: untruncated, occlusion at most 1, 5 to 60 m away."""
        return (self.truncated <= 0) & (self.occluded <= 1) & (self.x_m >= 5.0) & (self.x_m <= 60.0)


@dataclass(frozen=True, eq=False)
class Sequence:
    """One labelled drive: its camera, boxes, time between frames, and where its pictures are, if anywhere."""

    name: str
    camera: Camera
    camera_source: str
    boxes: TrueBoxes
    period_s: float = 0.1
    pictures: tuple[Path, ...] = ()

    @property
    def has_tracks(self) -> bool:
        return bool((self.boxes.track_id >= 0).any())


def load_sequences(path: Path, calibration: Path | None = None) -> list[Sequence]:
    """Sequences of a label file, a folder of label files, or a drive's folder (label.txt beside calibration, pictures).

    Args:
        calibration: KITTI calibration file for all of them; else one is looked for, else told from the labels.

    Raises:
        InputError: nothing of the kind is there, or a line cannot be read.
    """
    path = Path(path)
    files = _label_files(path)
    if not files:
        raise InputError(
            f"{path}: no KITTI labels here, wanted label.txt, label_02/*.txt, label_2/*.txt or a .txt file"
        )
    if _columns(files[0]) == 15:
        return [_single_pictures(path, files, calibration)]
    return [_tracking_sequence(file, calibration) for file in files]


def _label_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if (path / "label.txt").is_file():
        return [path / "label.txt"]
    for folder in (path / "label_02", path / "label_2", path):
        files = sorted(file for file in folder.glob("*.txt") if file.stem.isdigit())
        if files:
            return files
    return []


def _columns(file: Path) -> int:
    """Columns of a label file: 17 with frame and id (tracking), 15 without (object)."""
    lines = file.read_text(encoding="utf-8").split("\n", 1)
    return len(lines[0].split())


def _rows(file: Path, text_columns: int) -> list[list[str]]:
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        row = line.split()
        if not row:
            continue
        if len(row) < text_columns:
            raise InputError(f"{file}:{number}: {len(row)} columns, wanted {text_columns} of KITTI's label format")
        rows.append(row)
    return rows


def _tracking_sequence(file: Path, calibration: Path | None) -> Sequence:
    rows = [row for row in _rows(file, 17) if row[2] in CALLED]
    name = file.parent.name if file.stem == "label" else file.stem
    numbers = [[row[0], row[1], *row[3:17]] for row in rows]
    values = _numbers(numbers, 16, file)
    kinds = np.array([row[2] for row in rows], dtype=str)
    camera, source = _camera(calibration or _calibration_beside(file), values[:, 2:], name)
    boxes = _true_boxes(camera, values, kinds)
    return Sequence(name, camera, source, boxes, _period_s(file.parent), _pictures(file))


def _single_pictures(path: Path, files: list[Path], calibration: Path | None) -> Sequence:
    frames, rows = [], []
    for index, file in enumerate(files):
        kept = [row for row in _rows(file, 15) if row[0] in CALLED]
        rows += kept
        frames += [index] * len(kept)
    values = _numbers([[str(f), "-1", *row[1:15]] for f, row in zip(frames, rows, strict=True)], 16, path)
    camera, source = _camera(calibration, values[:, 2:], path.name)
    return Sequence(path.name, camera, source, _true_boxes(camera, values, np.array([row[0] for row in rows])))


def _numbers(rows: list[list[str]], columns: int, where: Path) -> np.ndarray:
    try:
        values = np.array(rows, dtype=np.float64).reshape(-1, columns)
    except ValueError as error:
        raise InputError(f"{where}: a label column is no number ({error})") from error
    return values


def _true_boxes(camera: Camera, values: np.ndarray, kinds: np.ndarray) -> TrueBoxes:
    order = np.argsort(values[:, 0], kind="stable")
    values, kinds = values[order], kinds[order]
    camera = camera.mounted(pitch_rad=0.0)  # true distances are those of the labels, along the camera's own axis
    solid = box_from_kitti(camera, values[:, 9:12], values[:, 12:15] + np.array(LABEL_CAMERA_M), values[:, 15])
    centre = solid[:, 4]
    return TrueBoxes(
        frame=values[:, 0].astype(np.int64),
        track_id=values[:, 1].astype(np.int64),
        kind=kinds,
        class_id=np.array([CLASS_ID[CALLED[kind]] for kind in kinds], dtype=np.int64),
        xyxy_px=values[:, 5:9],
        truncated=values[:, 2],
        occluded=values[:, 3],
        x_m=nearest_x_m(solid),
        y_m=centre,
        size_m=solid[:, :3],
        yaw_rad=solid[:, 6],
    )


# -- the camera ---------------------------------------------------------------------------------------------------


def _calibration_beside(file: Path) -> Path | None:
    drive = file.parent
    candidates = [
        *sorted(drive.glob("tracking_calib_*.txt")),
        drive.parent / "calib" / file.name,
        drive / "calib_cam_to_cam.txt",
    ]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _camera(calibration: Path | None, values: np.ndarray, name: str) -> tuple[Camera, str]:
    """Camera of a drive and where it is from; the mount is that of the package's ``kitti`` profile."""
    profile = load_profile("kitti")
    if calibration is None:
        day = _recording_day(profile, values)
        width, height, focal, cx, cy = RECORDING_DAYS[day]
        source = f"KITTI's camera of {day}, whose 3D boxes fall onto these 2D boxes"
    else:
        focal, cx, cy = _projection(calibration)
        day = min(
            RECORDING_DAYS, key=lambda key: abs(RECORDING_DAYS[key][2] - focal) + abs(RECORDING_DAYS[key][3] - cx)
        )
        width, height = RECORDING_DAYS[day][:2]
        source = calibration.name
    camera = _with_intrinsics(profile, (width, height, focal, cx, cy), name)
    return camera.mounted(pitch_rad=math.radians(MOUNT_PITCH_DOWN_DEG[day])), source


def _with_intrinsics(profile: Camera, of: tuple[int, int, float, float, float], name: str) -> Camera:
    width, height, focal, cx, cy = of
    return Camera(
        width,
        height,
        focal,
        focal,
        cx,
        cy,
        profile.height_m,
        profile.pitch_rad,
        profile.yaw_rad,
        profile.roll_rad,
        name=name,
    )


def _projection(calibration: Path) -> tuple[float, float, float]:
    """Focal length and principal point of the left colour camera: P2 (tracking, object) or P_rect_02 (raw)."""
    for line in calibration.read_text(encoding="utf-8").splitlines():
        key, _, rest = line.partition(" ")
        if key.rstrip(":") in ("P2", "P_rect_02"):
            try:
                matrix = np.array(rest.split(), dtype=np.float64).reshape(3, 4)
            except ValueError as error:
                raise InputError(f"{calibration}: {key} is no 3x4 matrix, wanted KITTI's calibration") from error
            return float(matrix[0, 0]), float(matrix[0, 2]), float(matrix[1, 2])
    raise InputError(f"{calibration}: neither P2 nor P_rect_02 in it, wanted KITTI's calibration")


def _recording_day(profile: Camera, values: np.ndarray) -> str:
    """The day whose camera brings the outlines of the 3D boxes nearest to the 2D boxes, in the median."""
    whole = (values[:, 0] <= 0) & (values[:, 12] > 3)
    if not whole.any():
        return next(iter(RECORDING_DAYS))
    values = values[whole]

    def misfit_px(day: str) -> float:
        camera = _with_intrinsics(profile, RECORDING_DAYS[day], day)
        solid = box_from_kitti(camera, values[:, 7:10], values[:, 10:13] + np.array(LABEL_CAMERA_M), values[:, 13])
        outline, valid = outline_px(camera, solid)
        return float(np.median(np.abs(outline - values[:, 3:7])[valid]))

    return min(RECORDING_DAYS, key=misfit_px)


# -- times and pictures -------------------------------------------------------------------------------------------


def _period_s(drive: Path) -> float:
    """Median time between frames from KITTI raw's timestamps; 0.1 s, KITTI's rate, without them."""
    file = drive / "timestamps.txt"
    if not file.is_file():
        return 0.1
    times = [
        datetime.fromisoformat(line.strip()[:26]).timestamp() for line in file.read_text().splitlines() if line.strip()
    ]
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.1


def _pictures(file: Path) -> tuple[Path, ...]:
    """Frames of a drive: image_02 beside label.txt, or image_02/NAME beside label_02."""
    for folder in (file.parent / "image_02", file.parent.parent / "image_02" / file.stem):
        pictures = (
            tuple(sorted(p for p in folder.glob("*") if p.suffix.lower() in _PICTURES)) if folder.is_dir() else ()
        )
        if pictures:
            return pictures
    return ()
