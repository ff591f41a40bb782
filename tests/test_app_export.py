"""Exports say what the records say, in the terms of each format."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from app.export import FORMATS, export
from app.export.tables import EVENT_COLUMNS, FRAME_COLUMNS, TABLES, TRACK_COLUMNS
from app.record import Header, RecordWriter, Run, stream
from app.types import CameraPose, Event, EventKind, FrameResult
from geometry.box3d import box_from_kitti
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.types import GroundPoints
from perception.types import CLASS_ID, Detections, LaneBoundary, Lanes
from tracking.types import EgoMotion, Tracks, TrackState

LEFT = LaneBoundary(np.array([1.75, 0.01, 0.002]), np.eye(3) * 1e-4, (3.0, 40.0), "dashed", 0.9)
CAMERA = Camera(1280, 720, 1000.0, 1000.0, 639.5, 359.5, 1.5, 0.02, yaw_rad=0.01)


def tracks(ids: list[int], x_m: float) -> Tracks:
    count = len(ids)
    place = np.tile([x_m, -2.0], (count, 1))
    place[ids.index(9)] = np.nan
    return Tracks(
        track_id=np.array(ids),
        class_id=np.array([CLASS_ID["car"], CLASS_ID["traffic light"], CLASS_ID["person"]][:count]),
        state=np.array([TrackState.CONFIRMED, TrackState.CONFIRMED, TrackState.TENTATIVE][:count]),
        score=np.full(count, 0.75),
        xyxy_px=np.tile([100.0, 200.0, 180.5, 260.25], (count, 1)),
        xy_m=place,
        v_mps=np.tile([-3.0, 0.5], (count, 1)),
        cov=np.tile(np.diag([0.25, 0.04, 1.0, 1.0]), (count, 1, 1)),
        size_m=np.tile([1.5, 1.8, 4.4], (count, 1)),
        yaw_rad=np.full(count, 0.1),
        ttc_s=np.full(count, np.inf),
        ttc_low_s=np.full(count, 3.0),
        ttc_high_s=np.full(count, np.inf),
        age_s=np.full(count, 1.5),
        unseen_s=np.zeros(count),
        detection=np.arange(count),
        absolute=np.zeros(count, bool),
    )


def need(name: str) -> None:
    """Skips where the package of a format is not installed."""
    package = {"mcap": "foxglove", "rerun": "rerun"}.get(name)
    if package:
        pytest.importorskip(package, reason=f"the extra {name} is not installed")


@pytest.fixture
def run() -> Run:
    header = Header({"source": "a/clip.mp4"}, CAMERA, {"name": "d"}, {})
    results = []
    for number in range(2):
        found = Detections(np.array([[100.0, 200.0, 180.5, 260.25]]), np.array([0.75]), np.array([CLASS_ID["car"]]))
        results.append(
            FrameResult(
                index=3 * number,
                t_s=number / 10,
                detections=found,
                ranges=GroundPoints(np.zeros((1, 2)), np.zeros((1, 2, 2)), np.ones(1, bool)),
                tracks=tracks([4, 9, 11], 20.0 + number),
                lanes=Lanes(left=LEFT, offset_m=0.25),
                ego=EgoMotion(speed_mps=15.0),
                pose=CameraPose(1.5, 0.02, 0.01, 0.0),
                events=(
                    Event(EventKind.CUT_IN, "start" if number == 0 else "active", number / 10, 0.0, 4, 9.5, "a, b"),
                ),
            )
        )
    return Run(header, tuple(results))


def test_csv(run: Run, tmp_path: Path) -> None:
    assert {p.name for p in export(run, tmp_path, ["csv"])} == {"tracks.csv", "frames.csv", "events.csv"}
    rows = list(csv.DictReader((tmp_path / "tracks.csv").read_text().splitlines()))
    assert tuple(rows[0]) == TRACK_COLUMNS and len(rows) == 6
    first = rows[0]
    assert (first["frame"], first["class"], first["state"], first["x_m"]) == ("0", "car", "confirmed", "20.0")
    assert (first["sigma_x_m"], first["sigma_y_m"], first["ttc_s"], first["ttc_low_s"]) == ("0.5", "0.2", "", "3.0")
    assert rows[1]["x_m"] == "" and rows[1]["track_id"] == "9"
    frames = list(csv.DictReader((tmp_path / "frames.csv").read_text().splitlines()))
    assert tuple(frames[0]) == FRAME_COLUMNS
    assert (frames[1]["frame"], frames[1]["ego_speed_mps"], frames[1]["lane_width_m"]) == ("3", "15.0", "")
    lane = [frames[0][f"left_{name}"] for name in ("c0_m", "c1", "c2_pm", "c3_pm2", "from_m", "to_m", "kind")]
    assert lane == ["1.75", "0.01", "0.002", "0.0", "3.0", "40.0", "dashed"] and frames[0]["right_c0_m"] == ""
    events = list(csv.DictReader((tmp_path / "events.csv").read_text().splitlines()))
    assert tuple(events[0]) == EVENT_COLUMNS
    assert [(e["kind"], e["phase"], e["value"], e["text"]) for e in events] == [("cut-in", "start", "9.5", "a, b")]


def test_parquet_has_units_in_names_and_the_run_in_its_metadata(run: Run, tmp_path: Path) -> None:
    export(run, tmp_path, ["parquet"])
    table = pq.read_table(tmp_path / "tracks.parquet")
    assert tuple(table.column_names) == TRACK_COLUMNS
    assert table["x_m"].to_pylist() == [20.0, None, 20.0, 21.0, None, 21.0]
    assert json.loads(table.schema.metadata[b"detector"]) == {"name": "d"}
    assert json.loads(table.schema.metadata[b"camera"])["fx_px"] == 1000.0


def test_csv_and_parquet_say_the_same(run: Run, tmp_path: Path) -> None:
    export(run, tmp_path, ["csv", "parquet"])
    for table, columns in TABLES.items():
        rows = list(csv.reader((tmp_path / f"{table}.csv").read_text().splitlines()))
        same = pq.read_table(tmp_path / f"{table}.parquet").to_pylist()
        assert rows[0] == list(columns)
        assert rows[1:] == [["" if v is None else str(v) for v in row.values()] for row in same]


def test_a_long_record_is_written_in_parts(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.export.parquet._ROWS_A_BATCH", 4)
    monkeypatch.setattr("app.export.parquet._ROWS_A_GROUP", 7)
    many = Run(run.header, run.results * 7)
    export(many, tmp_path, ["parquet"])
    file = pq.ParquetFile(tmp_path / "tracks.parquet")
    assert file.num_row_groups > 3 and file.metadata.num_rows == 42
    assert file.read()["t_s"].to_pylist() == [r.t_s for r in many.results for _ in range(3)]


def test_mot_counts_frames_and_pixels_from_one(run: Run, tmp_path: Path) -> None:
    export(run, tmp_path, ["mot"])
    lines = (tmp_path / "mot.txt").read_text().splitlines()
    assert lines[0] == "1,4,101.00,201.00,80.50,60.25,0.7500,20.000,-2.000,0"
    assert lines[1] == "1,9,101.00,201.00,80.50,60.25,0.7500,-1.000,-1.000,-1"
    assert [line.split(",")[0] for line in lines] == ["1", "1", "2", "2"]  # the tentative track is none yet


def test_kitti_comes_back_as_the_same_box_in_space(run: Run, tmp_path: Path) -> None:
    export(run, tmp_path, ["kitti"])
    car, light = ((tmp_path / "kitti.txt").read_text().splitlines())[:2]
    words = car.split()
    assert words[:5] == ["0", "4", "Car", "-1", "-1"] and len(words) == 18
    height, width, length, x, y, z, rotation_y = map(float, words[10:17])
    box = box_from_kitti(CAMERA, np.array([height, width, length]), np.array([x, y, z]), np.array(rotation_y))
    half_m = (4.4 * math.cos(0.1) + 1.8 * math.sin(0.1)) / 2  # from the nearest corner to the centre, along x
    np.testing.assert_allclose(box, [1.5, 1.8, 4.4, 20.0 + half_m, -2.0, 0.0, 0.1], atol=2e-3)
    assert float(words[5]) == pytest.approx(rotation_y - math.atan2(x, z), abs=1e-3)
    assert light.split()[2] == "Misc" and light.split()[13:16] == ["-1000"] * 3


def test_coco_can_be_read_by_its_own_tools(run: Run, tmp_path: Path) -> None:
    export(run, tmp_path, ["coco"])
    data = json.loads((tmp_path / "coco.json").read_text())
    assert [image["file_name"] for image in data["images"]] == ["clip_000000.jpg", "clip_000003.jpg"]
    names = {category["id"]: category["name"] for category in data["categories"]}
    one = data["annotations"][1]
    assert names[one["category_id"]] == "car" and one["image_id"] == 2
    assert one["bbox"] == [100.5, 200.5, 80.5, 60.25], "COCO counts from the corner of the top-left pixel"
    assert one["score"] == 0.75 and one["area"] == pytest.approx(80.5 * 60.25, abs=0.01)
    coco = pytest.importorskip("faster_coco_eval", reason="the extra eval is not installed").COCO
    api = coco(str(tmp_path / "coco.json"))
    assert api.getImgIds() == [1, 2] and len(api.loadAnns(api.getAnnIds(imgIds=[2]))) == 1
    assert len(api.loadRes(data["annotations"]).anns) == 2


def test_an_unknown_format_is_told(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="csv, parquet, mot, kitti, coco, mcap, rerun"):
        export(run, tmp_path, ["xml"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_without_frames_becomes_files_without_rows(run: Run, tmp_path: Path, name: str) -> None:
    need(name)
    for path in export(Run(run.header, ()), tmp_path, [name]):
        assert path.is_file() and ".partial" not in path.name


@pytest.mark.parametrize("name", FORMATS)
def test_a_record_that_breaks_leaves_no_file(run: Run, tmp_path: Path, name: str) -> None:
    need(name)
    path = tmp_path / "results.jsonl"
    with RecordWriter(path, run.header) as writer:
        for result in run.results:
            writer.write(result)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1] + "no JSON\n" + lines[2])
    out = tmp_path / "out"
    with pytest.raises(InputError, match="line 3"):
        export(stream(path), out, [name])
    assert list(out.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        export(run, tmp_path / "file" / "out", ["csv"])


def test_frames_are_told_as_they_are_through(run: Run, tmp_path: Path) -> None:
    seen: list[int] = []
    export(run, tmp_path, ["csv", "mot"], on_frame=seen.append)
    assert seen == [1, 2]
