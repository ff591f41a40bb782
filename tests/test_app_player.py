"""The player: what the browser is given is what the records say, through the camera; clips that every browser plays."""

import json
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from app.player.clip import browser_clip
from app.player.data import player_data
from app.player.embed import asset, page_html, player_html
from app.record import Header, Run
from app.types import CameraPose, Event, EventKind, FrameResult
from app.video_writer import VideoWriter
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.types import GroundPoints
from perception.types import Detections, LaneBoundary, Lanes
from tracking.bodies import bodies
from tracking.types import EgoMotion, Tracks, TrackState

CAMERA = Camera(640, 360, 600.0, 600.0, 320.0, 180.0, 1.4, 0.05, 0.02, 0.01)


def tracks(xy_m: tuple[float, float], **given: object) -> Tracks:
    base = {
        "track_id": [3], "class_id": [0], "state": [TrackState.CONFIRMED], "score": [0.9],
        "xyxy_px": [[10.0, 20.0, 60.0, 50.0]], "xy_m": [xy_m], "v_mps": [[10.0, 1.0]],
        "cov": [np.diag([4.0, 1.0, 1.0, 1.0])], "size_m": [[1.5, 1.8, 4.0]], "yaw_rad": [0.0], "ttc_s": [np.inf],
        "ttc_low_s": [np.inf], "ttc_high_s": [np.inf], "age_s": [1.0], "unseen_s": [0.0], "detection": [0],
        "absolute": [True],
    }  # fmt: skip
    return Tracks(**{**base, **given})


def result(index: int, seen: Tracks, events: tuple[Event, ...] = ()) -> FrameResult:
    lane = LaneBoundary(np.array([1.7, 0.0, 1e-3]), np.eye(3), (4.0, 40.0), "dashed", 0.9)
    pose = CameraPose(1.4, 0.05, 0.02, 0.01)
    ego = EgoMotion(speed_mps=12.0)
    return FrameResult(
        index, index / 10, Detections.empty(), GroundPoints.empty(), seen, Lanes(left=lane), ego, pose, events
    )


def run(*results: FrameResult) -> Run:
    return Run(Header({}, CAMERA, {}, {}), results)


def write_clip(path: Path, frames: int = 12) -> Path:
    rng = np.random.default_rng(0)
    with VideoWriter(path, (64, 48), Fraction(10)) as writer:
        for index in range(frames):
            writer.write(rng.integers(0, 255, (48, 64, 3), np.uint8), index / 10)
    return path


def test_bodies_lie_behind_their_nearest_face() -> None:
    along, across = (bodies(tracks((20.0, 1.0), yaw_rad=[yaw]))[0] for yaw in (0.0, np.pi / 2))
    np.testing.assert_allclose(along, [1.5, 1.8, 4.0, 22.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(across[3:5], [20.9, 1.0])
    unknown = bodies(tracks((20.0, 1.0), size_m=[[np.nan] * 3], yaw_rad=[np.nan]))
    assert np.isfinite(unknown).all()


def test_objects_come_with_their_place_uncertainty_and_corners_through_the_camera() -> None:
    (frame,) = player_data(run(result(0, tracks((20.0, 1.0)))))["frames"]
    (item,) = frame["objects"]
    assert item["id"] == 3 and item["xy"] == [20.0, 1.0] and item["sigma"] == 2.0 and item["ttc"] is None
    assert item["ahead"] == [16.0, 3.0]  # 10 m/s over ground seen from 12 m/s, 2 s on
    assert item["ellipse"] == pytest.approx([4.0, 2.0, 0.0])
    cube = np.array(item["cube"]).reshape(8, 2)
    expected, _ = CAMERA.project(np.array([20.0, 1.9, 0.0]))  # rear left at the road: the nearest face's left end
    assert np.abs(cube - expected).sum(1).min() < 0.2


def test_lanes_come_in_pixels_and_metres() -> None:
    (frame,) = player_data(run(result(0, tracks((20.0, 1.0)))))["frames"]
    (lane,) = frame["lanes"]
    assert lane["ego"] and lane["kind"] == "dashed"
    xy_m, valid = CAMERA.ground_from_px(np.array(lane["px"]).reshape(-1, 2))
    assert valid.all()
    near = xy_m[:, 0] < 15
    np.testing.assert_allclose(xy_m[near, 1], 1.7 + 1e-3 * xy_m[near, 0] ** 2, atol=0.02)


def test_what_is_not_known_is_null_and_everything_is_plain_json() -> None:
    lost = tracks((np.nan, np.nan), cov=[np.full((4, 4), np.nan)])
    data = player_data(run(result(0, lost)))
    assert "xy" not in data["frames"][0]["objects"][0]
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_tentative_tracks_stay_out_and_long_runs_are_thinned() -> None:
    seen = tracks((20.0, 1.0), state=[TrackState.TENTATIVE])
    data = player_data(run(*(result(i, seen) for i in range(20))), limit=5)
    assert [frame["t"] for frame in data["frames"]] == [0.0, 0.4, 0.8, 1.2, 1.6]
    assert data["frames"][0]["objects"] == []


def test_an_event_is_one_span_from_its_start_to_its_end() -> None:
    def event(phase: str, t_s: float) -> Event:
        return Event(EventKind.CUT_IN, phase, t_s, 0.1, 3, 20.0, "cuts in")  # type: ignore[arg-type]

    phases = ("start", "active", "end")
    data = player_data(run(*(result(i, Tracks.empty(), (event(p, i / 10),)) for i, p in enumerate(phases))))
    assert data["events"] == [{"kind": "cut-in", "from": 0.0, "to": 0.2, "text": "cuts in", "id": 3}]
    assert data["frames"][1]["words"] == ["cuts in"] and data["frames"][2]["words"] == []


def test_texts_cannot_break_out_of_the_report(tmp_path: Path) -> None:
    evil = Event(EventKind.CUT_IN, "start", 0.0, 0.0, 3, 1.0, "</script><script>alert(1)</script>")
    html = page_html("<b>", player_html(run(result(0, Tracks.empty(), (evil,))), write_clip(tmp_path / "c.mp4")))
    assert "<script>alert" not in html and "<title>&lt;b&gt;</title>" in html
    text = re.search(r'id="roadlens-data">(.*?)</script>', html, re.DOTALL)
    assert text is not None and json.loads(text[1])["frames"][0]["words"] == [evil.text]


def test_h264_is_copied_and_its_times_are_kept(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4")
    out = browser_clip(source, tmp_path / "out.mp4")
    with av.open(str(source)) as before, av.open(str(out)) as after:
        old = [frame.to_ndarray() for frame in before.decode(video=0)]
        new = [(frame.time, frame.to_ndarray()) for frame in after.decode(video=0)]
    np.testing.assert_allclose([t for t, _ in new], np.arange(12) / 10, atol=1e-3)
    assert all((a == b).all() for a, (_, b) in zip(old, new, strict=True))
    assert out.read_bytes().find(b"moov") < out.read_bytes().find(b"mdat")


def test_other_codecs_are_encoded_for_browsers(tmp_path: Path) -> None:
    source = tmp_path / "a.avi"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for _ in range(5):
            picture = np.full((48, 64, 3), 120, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24").reformat(format="yuvj420p")))
        container.mux(stream.encode())
    out = browser_clip(source, tmp_path / "out.mp4")
    with av.open(str(out)) as container:
        code = container.streams.video[0].codec_context
        assert (code.name, code.pix_fmt) == ("h264", "yuv420p")
        assert len(list(container.decode(video=0))) == 5


def test_a_clip_that_is_none_leaves_no_file(tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("I am a text")
    with pytest.raises(InputError):
        browser_clip(text, tmp_path / "out.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not here to check the script")
@pytest.mark.parametrize("names", [("player.js",), ("player.js", "component.js")])
def test_the_script_is_valid(names: tuple[str, ...]) -> None:
    script = "".join(asset(name) for name in names)
    done = subprocess.run(
        ["node", "--check", "--input-type=module"], input=script, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
