"""Records say what the results say: round trips, cut-off lines, files that are none."""

import json
import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from app.config import Settings
from app.record import Header, RecordWriter, clip_path, count, find, load, read, stream
from app.record_json import frame_line, header_line, read_frame, rounded
from app.runner import run_clip
from app.types import CameraPose, Event, EventKind, FrameResult
from geometry.camera import Camera
from geometry.distortion import Distortion
from geometry.errors import InputError
from geometry.types import GroundPoints
from perception.types import Detections, LaneBoundary, Lanes, LaneStatus
from tracking.types import EgoMotion, Tracks

CAMERA = Camera(1280, 720, 1000.0, 1001.5, 639.5, 359.5, 1.3, 0.01, distortion=Distortion("brown", (-0.2, 0.1, 0, 0)))


def header() -> Header:
    return Header(
        clip={"source": "clip.mp4"}, camera=CAMERA, detector={"name": "none"}, settings={"clip": {"every": 1}}
    )


def tracks(count: int, rng: np.random.Generator) -> Tracks:
    values = {}
    for field in fields(Tracks):
        like = getattr(Tracks.empty(), field.name)
        shape = (count, *like.shape[1:])
        values[field.name] = rng.normal(size=shape) * 10 if like.dtype == np.float64 else rng.integers(0, 2, shape)
    values["ttc_s"] = np.full(count, np.inf)
    return Tracks(**values)


def result(seed: int = 0, count: int = 3) -> FrameResult:
    rng = np.random.default_rng(seed)
    boundary = LaneBoundary(rng.normal(size=4), np.eye(4) * 1e-7, (3.0, 45.5), "dashed", 0.9, "yellow")
    invalid = np.arange(count) == 1
    return FrameResult(
        index=seed,
        t_s=seed / 30,
        detections=rounded(Detections(rng.uniform(0, 700, (count, 4)), rng.uniform(size=count), np.arange(count))),
        ranges=GroundPoints(
            np.where(invalid[:, None], np.nan, rng.normal(size=(count, 2)) * 30),
            np.where(invalid[:, None, None], np.nan, rng.normal(size=(count, 2, 2))),
            ~invalid,
        ),
        tracks=tracks(count, rng),
        lanes=Lanes(boundary, None, (boundary,), 3.6, -0.2, 0.01, 1.234567e-5, 2e-6, LaneStatus.DRIFTING_LEFT),
        ego=EgoMotion(20.0, 0.5, image_from_previous=np.eye(3), source="flow"),
        pose=CameraPose(1.3, 0.01, 0.0, -0.002, "calibrating", 0.4, 350.25),
        events=(Event(EventKind.CUT_IN, "start", 1.0, 0.9, 7, text="a car cuts in"),),
        stage_ms={"detect": 12.34},
    )


def assert_same(ours: object, theirs: object, rtol: float = 1e-5, atol: float = 6e-5) -> None:
    for field in fields(ours):  # type: ignore[arg-type]
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        if isinstance(a, np.ndarray):
            tolerance = 0.0051 if field.name == "xyxy_px" else atol
            np.testing.assert_allclose(a.astype(float), b.astype(float), rtol=rtol, atol=tolerance, err_msg=field.name)
        elif isinstance(a, float):
            assert a == pytest.approx(b, abs=1e-6, nan_ok=True), field.name
        elif isinstance(a, (Detections, GroundPoints, Tracks, Lanes, LaneBoundary, EgoMotion, CameraPose)):
            assert_same(a, b, rtol, atol)
        elif isinstance(a, tuple) and a and isinstance(a[0], (LaneBoundary, Event)):
            assert len(a) == len(b)
            for one, other in zip(a, b, strict=True):
                assert_same(one, other, rtol, atol)
        else:
            assert a == b, field.name


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_result_comes_back_as_it_was(count: int) -> None:
    before = result(3, count)
    assert_same(before, read_frame(json.loads(frame_line(before))))


def test_writing_what_was_read_changes_nothing() -> None:
    line = frame_line(result(5))
    assert frame_line(read_frame(json.loads(line))) == line


@given(hnp.arrays(np.float32, (4, 4), elements=st.floats(-4000, 4000, width=32)))
def test_detections_are_exact_to_the_last_bit(boxes: np.ndarray) -> None:
    before = rounded(Detections(boxes, np.full(4, 0.123456), np.zeros(4)))
    empty = FrameResult(
        0, 0.0, before, GroundPoints.empty(), Tracks.empty(), Lanes(), EgoMotion(), CameraPose(1.0, 0.0, 0.0, 0.0)
    )
    after = read_frame(json.loads(frame_line(empty))).detections
    assert after.xyxy_px.tobytes() == before.xyxy_px.tobytes()
    assert after.score.tobytes() == before.score.tobytes()
    assert np.abs(before.xyxy_px - boxes).max() <= 0.006


def test_a_time_to_collision_of_null_is_infinite_where_the_place_is_known() -> None:
    before = result()
    line = json.loads(frame_line(before))
    assert line["tracks"]["ttc_s"] == [None, None, None]
    line["tracks"]["xy_m"][2] = [None, None]
    after = read_frame(line).tracks.ttc_s
    assert math.isinf(after[0]) and math.isinf(after[1]) and math.isnan(after[2])


def test_lines_are_strict_json() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    json.loads(frame_line(result()), parse_constant=refuse)


def test_a_file_holds_header_and_frames_and_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with RecordWriter(path, header()) as writer:
        writer.write(result(0))
        assert not path.exists()
        writer.write(result(1))
    assert [p.name for p in tmp_path.iterdir()] == ["results.jsonl"]
    run = load(tmp_path)
    assert run.header.camera == CAMERA
    assert run.header.settings == {"clip": {"every": 1}}
    assert [r.index for r in run.results] == [0, 1]
    assert not run.partial


def test_an_interrupted_file_keeps_its_partial_name_and_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with pytest.raises(KeyboardInterrupt), RecordWriter(path, header()) as writer:
        writer.write(result(0))
        raise KeyboardInterrupt
    assert not path.exists()
    run = load(tmp_path)
    assert run.partial
    assert len(run.results) == 1


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with RecordWriter(path, header()) as writer:
        writer.write(result(0))
        writer.write(result(1))
    path.write_bytes(path.read_bytes()[:-40])
    assert [r.index for r in load(path).results] == [0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("hello\n", "line 1 is no line"),
        ('{"header": {"format": 99}}\n', "newer than this roadlens"),
        ('{"header": {"format": 1}}\n', "line 1 is no line"),
    ],
)
def test_what_is_no_record_is_told_in_one_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_broken_line_in_the_middle_is_told_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with RecordWriter(path, header()) as writer:
        writer.write(result(0))
        writer.write(result(1))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1][:50] + "\n" + lines[2])
    with pytest.raises(InputError, match="line 2"):
        list(read(path))


def test_a_folder_without_a_record_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no record"):
        find(tmp_path)


SAMPLES = Path(__file__).parents[1] / "sample_videos"


@pytest.mark.parametrize("name", ["highway_cut_in", "city_people_stopped_car", "curved_night_rain"])
def test_runs_of_the_sample_clips_follow_the_published_schema(name: str, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(__file__).parents[1] / "docs" / "records.schema.json").read_text())
    check = jsonschema.Draft202012Validator(schema)
    clip = SAMPLES / f"{name}.mp4"
    settings = Settings().changed(
        clip={"end_s": 1.8}, camera={"profile": str(clip.with_suffix(".toml"))}, video={"write": False}
    )
    summary = run_clip(clip, tmp_path, settings)
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert len(lines) == summary.frames + 1 == 46
    for line in lines:
        check.validate(json.loads(line))
    seen = [json.loads(line) for line in lines[1:]]
    for part, key in (("detections", "score"), ("tracks", "track_id"), ("lanes", "left")):
        assert any(frame[part][key] for frame in seen), f"what is validated is there at all: {part}"


@pytest.mark.parametrize("count", [0, 3])
def test_lines_follow_the_published_schema(count: int) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(__file__).parents[1] / "docs" / "records.schema.json").read_text())
    check = jsonschema.Draft202012Validator(schema)
    check.validate(json.loads(header_line(header())))
    line = json.loads(frame_line(result(1, count)))
    check.validate(line)
    del line["tracks"]["ttc_s"]
    assert not check.is_valid(line)
    line = json.loads(frame_line(result(1, count))) | {"more": 1}
    assert not check.is_valid(line)


# -- records of any length ---------------------------------------------------------------------------------------------


def test_a_stream_gives_the_frames_of_load_as_often_as_asked(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "results.jsonl", header()) as writer:
        for number in range(4):
            writer.write(result(number))
    recording, run = stream(tmp_path), load(tmp_path)
    assert recording.header.camera == run.header.camera and recording.folder == tmp_path
    for _ in range(2):
        lines = [frame_line(frame) for frame in recording.results]
        assert lines == [frame_line(frame) for frame in run.results] and len(lines) == count(tmp_path) == 4


def test_a_line_that_was_cut_off_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with RecordWriter(path, header()) as writer:
        writer.write(result(0))
        writer.write(result(1))
    path.write_bytes(path.read_bytes()[:-30])
    assert count(path) == len(load(path).results) == 1


def test_the_clip_of_a_record_is_where_its_header_says_or_in_the_folder(tmp_path: Path) -> None:
    source = tmp_path / "elsewhere.mp4"
    with RecordWriter(tmp_path / "results.jsonl", Header({"source": str(source)}, CAMERA, {"name": "d"}, {})):
        pass
    assert clip_path(stream(tmp_path)) is None
    (tmp_path / "clip.mp4").touch()
    assert clip_path(stream(tmp_path)) == tmp_path / "clip.mp4"
    source.touch()
    assert clip_path(stream(tmp_path)) == source
