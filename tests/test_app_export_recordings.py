"""MCAP and rerun recordings, read back with their own readers, hold what the record holds and play the clip."""

import json
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from app.export import export
from app.export.h264 import ClipVideo, passes_as_it_is
from app.mount import camera_at
from app.record import Header, Recording, RecordWriter, stream
from app.types import CameraPose, Event, EventKind, FrameResult
from app.video import VideoWriter, frames
from geometry.camera import Camera
from geometry.distortion import Distortion
from geometry.errors import InputError
from geometry.types import GroundPoints
from perception.types import CLASS_ID, Detections, LaneBoundary, Lanes
from tracking.bodies import bodies
from tracking.types import EgoMotion, Tracks, TrackState

SIZE = (96, 64)
CAMERA = Camera(
    *SIZE, 80.0, 81.0, 47.5, 31.5, 1.4, 0.03, 0.01, distortion=Distortion("brown", (-0.1, 0.02, 1e-3, 2e-3))
)
COUNT, FPS = 24, 12


def tracks(number: int) -> Tracks:
    """A car ahead that comes nearer, a traffic light without a place, a tentative one that nobody believes."""
    return Tracks(
        track_id=np.array([4, 9, 11]),
        class_id=np.array([CLASS_ID["car"], CLASS_ID["traffic light"], CLASS_ID["person"]]),
        state=np.array([TrackState.CONFIRMED, TrackState.COASTING, TrackState.TENTATIVE]),
        score=np.array([0.9, 0.5, 0.3]),
        xyxy_px=np.array([[20.0 + number / 2, 25.0, 40.5, 45.25], [3.0, 2.0, 6.0, 9.0], [60.0, 20.0, 66.0, 40.0]]),
        xy_m=np.array([[20.0 - number / 2, -1.5], [np.nan, np.nan], [12.0, 4.0]]),
        v_mps=np.tile([-6.0, 0.25], (3, 1)),
        cov=np.tile(np.diag([0.25, 0.04, 1.0, 1.0]), (3, 1, 1)),
        size_m=np.tile([1.5, 1.8, 4.4], (3, 1)),
        yaw_rad=np.full(3, 0.1),
        ttc_s=np.array([2.5, np.inf, np.inf]),
        ttc_low_s=np.full(3, 2.0),
        ttc_high_s=np.full(3, 3.0),
        age_s=np.full(3, 1.5),
        unseen_s=np.zeros(3),
        detection=np.array([0, -1, 1]),
        absolute=np.zeros(3, bool),
    )


LEFT = LaneBoundary(np.array([1.75, 0.01, 0.002]), np.eye(3) * 1e-4, (4.0, 30.0), "dashed", 0.9)


def result(number: int, t_s: float) -> FrameResult:
    started = Event(EventKind.FORWARD_COLLISION, "start", t_s, t_s, 4, 2.5, "car ahead")
    return FrameResult(
        index=number,
        t_s=t_s,
        detections=Detections.empty(),
        ranges=GroundPoints.empty(),
        tracks=tracks(number),
        lanes=Lanes(left=LEFT, offset_m=0.25),
        ego=EgoMotion(speed_mps=10.0 + number),
        pose=CameraPose(1.4 + number / 1000, 0.03, 0.01, -0.02),
        events=(started,) if number == 6 else (),
    )


def picture(number: int) -> np.ndarray:
    image = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
    image[8 : 8 + number, 4:60] = (10 * number, 200, 90)
    return image


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """A record that begins at the seventh picture of its clip."""
    clip = tmp_path / "drive.mp4"
    with VideoWriter(clip, SIZE, Fraction(FPS), preset="superfast") as writer:
        for number in range(COUNT):
            writer.write(picture(number), number / FPS)
    header = Header({"source": str(clip)}, CAMERA, {"name": "d"}, {})
    with RecordWriter(tmp_path / "results.jsonl", header) as record:
        for number in range(6, COUNT):
            record.write(result(number, round(number / FPS, 6)))
    return stream(tmp_path)


def decoded(samples: list[bytes]) -> list[np.ndarray]:
    """Pictures of access units, one for one: a decoder that is handed nothing else."""
    decoder = av.CodecContext.create("h264", "r")
    found = [frame for data in samples for frame in decoder.decode(av.Packet(data))]
    return [frame.to_ndarray(format="bgr24") for frame in found + decoder.decode(None)]


def without_b_frames(path: Path, count: int = COUNT) -> Path:
    """A clip as dashcams write them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"bf": "0", "crf": "30"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.gop_size = 5
        for number in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="bgr24")))
        container.mux(stream.encode())
    return path


# -- the clip ---------------------------------------------------------------------------------------------------------


def test_a_clip_without_b_frames_is_passed_on_bit_for_bit(tmp_path: Path) -> None:
    path = without_b_frames(tmp_path / "dashcam.mp4")
    assert passes_as_it_is(path)
    samples = list(ClipVideo(path).samples(0.0))
    assert [round(s.t_s * FPS) for s in samples] == list(range(COUNT))
    assert [s.key for s in samples] == [number % 5 == 0 for number in range(COUNT)]
    assert all(s.data.startswith(b"\x00\x00\x00\x01") for s in samples)
    ours = decoded([s.data for s in samples])
    theirs = [frame.bgr for frame in frames(path)]
    np.testing.assert_array_equal(ours, theirs)


def test_a_part_begins_with_what_its_first_picture_needs(tmp_path: Path) -> None:
    path = without_b_frames(tmp_path / "dashcam.mp4")
    samples = list(ClipVideo(path).samples(13 / FPS))
    assert [round(s.t_s * FPS) for s in samples] == list(range(10, COUNT)), "from the key frame at 10"
    assert len(decoded([s.data for s in samples])) == COUNT - 10


def test_a_clip_with_b_frames_is_encoded_without_them(recording: Recording) -> None:
    path = Path(recording.header.clip["source"])
    assert not passes_as_it_is(path)
    samples = list(ClipVideo(path).samples(0.0))
    assert [round(s.t_s * FPS) for s in samples] == list(range(COUNT))
    assert samples[0].key
    for ours, frame in zip(decoded([s.data for s in samples]), frames(path), strict=True):
        assert np.abs(ours.astype(int) - frame.bgr).mean() < 3.0


def test_what_no_player_shows_as_it_is_is_encoded(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="bgr24")))
        container.mux(stream.encode())
    assert not passes_as_it_is(path)
    assert len(decoded([s.data for s in ClipVideo(path).samples(0.0)])) == 5


def test_a_folder_of_pictures_is_encoded(tmp_path: Path) -> None:
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number))
    assert not passes_as_it_is(tmp_path)
    samples = list(ClipVideo(tmp_path).samples(0.0))
    assert [s.t_s for s in samples] == pytest.approx([frame.t_s for frame in frames(tmp_path)], abs=1e-5)
    for ours, frame in zip(decoded([s.data for s in samples]), frames(tmp_path), strict=True):
        assert np.abs(ours.astype(int) - frame.bgr).mean() < 3.0


# -- MCAP -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mcap(recording: Recording, tmp_path: Path) -> dict[str, list[tuple[int, Any]]]:
    """Messages of the exported file by topic: time in nanoseconds and what Foxglove's schema in the file decodes."""
    pytest.importorskip("foxglove", reason="the extra mcap is not installed")
    reader = pytest.importorskip("mcap.reader", reason="the reader of MCAP is not installed")
    decoder = pytest.importorskip("mcap_protobuf.decoder", reason="the reader of MCAP is not installed")
    (path,) = export(recording, tmp_path / "out", ["mcap"])
    found: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    with path.open("rb") as file:
        opened = reader.make_reader(file, validate_crcs=True, decoder_factories=[decoder.DecoderFactory()])
        last = 0
        for schema, channel, message in opened.iter_messages(log_time_order=False):
            assert message.log_time >= last, "messages lie in the order of their times"
            last = message.log_time
            if channel.message_encoding == "json":
                value = json.loads(message.data)
            else:
                value = decoder.DecoderFactory().decoder_for(channel.message_encoding, schema)(message.data)
                assert schema.name.startswith("foxglove.")
            found[channel.topic].append((message.log_time, value))
        meta = next(opened.iter_metadata())
        assert json.loads(meta.metadata["header"])["header"]["detector"] == {"name": "d"}
    return found


def test_mcap_has_a_message_a_frame_at_its_time(mcap: dict[str, list[tuple[int, Any]]], recording: Recording) -> None:
    times = [round(r.t_s * 1e9) for r in recording.results]
    for topic in ("/camera/annotations", "/scene", "/tf", "/ego"):
        assert [at for at, _ in mcap[topic]] == times, topic
    assert [at for at, _ in mcap["/camera/video"]] == pytest.approx(times, abs=12_000)
    assert len(mcap["/camera/calibration"]) == 1
    stamps = [value.timestamp.ToNanoseconds() for _, value in mcap["/camera/annotations"]]
    assert stamps == times
    assert [value["speed_mps"] for _, value in mcap["/ego"]] == [r.ego.speed_mps for r in recording.results]
    assert {value["lane_width_m"] for _, value in mcap["/ego"]} == {None}


def test_mcap_video_is_h264_that_decodes_to_the_clip(
    mcap: dict[str, list[tuple[int, Any]]], recording: Recording
) -> None:
    messages = [value for _, value in mcap["/camera/video"]]
    assert {m.format for m in messages} == {"h264"} and {m.frame_id for m in messages} == {"camera"}
    pictures = decoded([m.data for m in messages])
    clip = [frame.bgr for frame in frames(recording.header.clip["source"])][6:]
    assert len(pictures) == len(clip) == COUNT - 6
    assert np.abs(np.array(pictures, int) - np.array(clip, int)).mean() < 3.0


def test_mcap_camera_and_mount_are_those_of_the_record(
    mcap: dict[str, list[tuple[int, Any]]], recording: Recording
) -> None:
    camera = mcap["/camera/calibration"][0][1]
    assert (camera.width, camera.height) == SIZE
    np.testing.assert_allclose(np.reshape(camera.K, (3, 3)), CAMERA.matrix)
    np.testing.assert_allclose(np.reshape(camera.P, (3, 4))[:, :3], CAMERA.matrix)
    assert camera.distortion_model == "plumb_bob" and list(camera.D) == [-0.1, 0.02, 1e-3, 2e-3, 0.0]
    for (_, transform), frame in zip(mcap["/tf"], recording.results, strict=True):
        believed = camera_at(CAMERA, frame.pose)
        assert (transform.parent_frame_id, transform.child_frame_id) == ("vehicle", "camera")
        assert transform.translation.z == pytest.approx(frame.pose.height_m)
        q = transform.rotation
        axis = np.array([q.x, q.y, q.z])
        forward = np.array([0.0, 0.0, 1.0])  # Rodrigues' formula with a unit quaternion
        turned = forward + 2 * np.cross(axis, np.cross(axis, forward) + q.w * forward)
        np.testing.assert_allclose(turned, believed.vehicle_from_camera_rotation @ forward, atol=1e-9)


def test_mcap_boxes_are_those_of_the_record(mcap: dict[str, list[tuple[int, Any]]], recording: Recording) -> None:
    for (_, shown), frame in zip(mcap["/camera/annotations"], recording.results, strict=True):
        loops = [shape for shape in shown.points if shape.type == 2]
        assert len(loops) == 2, "what is tentative is not shown"
        for loop, box in zip(loops, frame.tracks.xyxy_px, strict=False):
            xs, ys = [p.x - 0.5 for p in loop.points], [p.y - 0.5 for p in loop.points]
            np.testing.assert_allclose([min(xs), min(ys), max(xs), max(ys)], box, atol=1e-9)
        about = {pair.key: pair.value for pair in loops[0].metadata}
        assert about["track_id"] == "4" and about["class"] == "car" and float(about["vx_mps"]) == -6.0
        strips = [shape for shape in shown.points if shape.type == 3]
        assert len(strips) == 1, "the one lane boundary"


def test_mcap_scene_is_that_of_the_record(mcap: dict[str, list[tuple[int, Any]]], recording: Recording) -> None:
    for (_, scene), frame in zip(mcap["/scene"], recording.results, strict=True):
        assert scene.deletions[0].type == 1, "each update replaces the scene"
        entities = {entity.id: entity for entity in scene.entities}
        assert set(entities) == {"track 4", "lane 0"}, "what has no place is not in space"
        assert {entity.frame_id for entity in scene.entities} == {"vehicle"}
        cube = entities["track 4"].cubes[0]
        height, width, length, x, y, _, yaw = bodies(frame.tracks)[0]
        assert (cube.size.x, cube.size.y, cube.size.z) == (length, width, height)
        assert (cube.pose.position.x, cube.pose.position.y) == (x, y) and cube.pose.position.z == height / 2
        assert 2 * np.arctan2(cube.pose.orientation.z, cube.pose.orientation.w) == pytest.approx(yaw)
        for point in entities["lane 0"].lines[0].points:
            assert point.y == pytest.approx(float(LEFT.y_m(point.x))) and 4.0 <= point.x <= 30.0


def test_mcap_says_warnings_once(mcap: dict[str, list[tuple[int, Any]]]) -> None:
    ((at_ns, log),) = mcap["/events"]
    assert at_ns == round(6 / FPS * 1e6) * 1000 and "car ahead" in log.message and log.level == 3


def test_a_full_disk_is_told_and_leaves_nothing(recording: Recording, tmp_path: Path, monkeypatch: Any) -> None:
    mcap = pytest.importorskip("app.export.mcap")
    pytest.importorskip("foxglove", reason="the extra mcap is not installed")

    class Full(mcap._Watched):
        def write(self, data: bytes) -> int:
            return int(self._kept(self._refuse))

        def _refuse(self) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(mcap, "_Watched", Full)
    with pytest.raises(InputError, match="No space left"):
        export(recording, tmp_path / "out", ["mcap"])
    assert list((tmp_path / "out").iterdir()) == []


def test_a_run_whose_clip_is_gone_is_exported_without_pictures(recording: Recording, tmp_path: Path) -> None:
    pytest.importorskip("foxglove", reason="the extra mcap is not installed")
    reader = pytest.importorskip("mcap.reader", reason="the reader of MCAP is not installed")
    Path(recording.header.clip["source"]).unlink()
    (path,) = export(recording, tmp_path / "out", ["mcap"])
    with path.open("rb") as file:
        topics = {channel.topic for _, channel, _ in reader.make_reader(file).iter_messages()}
    assert "/scene" in topics and "/camera/video" not in topics


# -- rerun ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def rrd(recording: Recording, tmp_path: Path) -> dict[tuple[str, str], list[tuple[float | None, Any]]]:
    """What the exported file holds, read by rerun: (entity, component) -> seconds (None: always) and value."""
    pytest.importorskip("rerun", reason="the extra rerun is not installed")
    from rerun.chunk import RrdReader

    (path,) = export(recording, tmp_path / "out", ["rerun"])
    found: dict[tuple[str, str], list[tuple[float | None, Any]]] = defaultdict(list)
    reader = RrdReader(path)
    assert len(reader.recordings()) == 1 and len(reader.blueprints()) == 1
    for chunk in reader.stream():
        batch = chunk.to_record_batch()
        names = batch.schema.names
        times = [None] * batch.num_rows
        if "t_s" in names:
            times = [ns / 1e9 for ns in batch.column(names.index("t_s")).cast("int64").to_pylist()]
        for name, column in zip(names, batch.columns, strict=True):
            values = column.to_pylist()
            found[chunk.entity_path, name] += [(t, v) for t, v in zip(times, values, strict=True) if v is not None]
    for entries in found.values():
        entries.sort(key=lambda entry: -1.0 if entry[0] is None else entry[0])
    return found


def test_rerun_has_boxes_and_bodies_of_the_record(
    rrd: dict[tuple[str, str], list[tuple[float | None, Any]]], recording: Recording
) -> None:
    results = list(recording.results)
    centres = rrd["/vehicle/camera/image/tracks", "Boxes2D:centers"]
    halves = rrd["/vehicle/camera/image/tracks", "Boxes2D:half_sizes"]
    assert [t for t, _ in centres] == pytest.approx([r.t_s for r in results], abs=1e-6)
    for (_, centre), (_, half), frame in zip(centres, halves, results, strict=True):
        box = np.concatenate([np.subtract(centre, half), np.add(centre, half)], axis=1) - 0.5
        np.testing.assert_allclose(box, frame.tracks.xyxy_px[:2], atol=1e-4)
    bodies_at = rrd["/vehicle/tracks", "Boxes3D:centers"]
    for (_, centre), frame in zip(bodies_at, results, strict=True):
        height, _, _, x, y, _, _ = bodies(frame.tracks)[0]
        np.testing.assert_allclose(centre, [[x, y, height / 2]], rtol=1e-6)
    assert [v for _, v in rrd["/ego/speed_mps", "Scalars:scalars"]] == [[r.ego.speed_mps] for r in results]


def test_rerun_has_camera_mount_and_clip(
    rrd: dict[tuple[str, str], list[tuple[float | None, Any]]], recording: Recording
) -> None:
    ((_, matrix),) = rrd["/vehicle/camera/image", "Pinhole:image_from_camera"]
    expected = CAMERA.matrix + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    np.testing.assert_allclose(np.reshape(matrix, (3, 3)).T, expected, rtol=1e-6)
    heights = [v[0][2] for _, v in rrd["/vehicle/camera", "Transform3D:translation"]]
    assert heights == pytest.approx([r.pose.height_m for r in recording.results], rel=1e-6)
    samples = rrd["/vehicle/camera/image", "VideoStream:sample"]
    assert [t for t, _ in samples] == pytest.approx([r.t_s for r in recording.results], abs=2e-5)
    assert len(decoded([bytes(value[0]) for _, value in samples])) == COUNT - 6


def test_rerun_says_warnings_once(rrd: dict[tuple[str, str], list[tuple[float | None, Any]]]) -> None:
    ((at_s, text),) = rrd["/events", "TextLog:text"]
    assert at_s == 0.5 and "car ahead" in text[0]
