"""A clip whose camera nobody has described: its mount is found in the clip before the first frame is run."""

import math
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from app import first_look
from app.config import Settings
from app.first_look import start_camera, wants_look
from app.record import load
from app.replay import RecordedDetections
from app.runner import Job, run_clip
from app.video import VideoWriter, glimpses, probe
from geometry.profiles import load_profile
from perception.synthetic import make_scene
from perception.types import BELIEVED_SCORE, Detections

SIZE = (960, 540)
PITCH_DEG, YAW_DEG, HEIGHT_M = -4.0, 1.0, 1.5
GUESSED = Settings()


class Blind:
    """A detector that sees nothing."""

    def __init__(self) -> None:
        self.description = {"name": "blind"}

    def detect(self, bgr: np.ndarray) -> Detections:
        return Detections.empty()


@pytest.fixture(scope="module")
def nose_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered highway of a camera with the generic lens that points four degrees up."""
    path = tmp_path_factory.mktemp("first_look") / "nose_up.mp4"
    mount = {"pitch_rad": math.radians(PITCH_DEG), "yaw_rad": math.radians(YAW_DEG), "height_m": HEIGHT_M}
    camera = load_profile("generic").for_size(*SIZE).mounted(**mount)
    with VideoWriter(path, SIZE, Fraction(5), crf=15) as writer:
        for number, (frame, _) in enumerate(make_scene("highway", camera, duration_s=3, fps=5, seed=3).frames()):
            writer.write(frame.bgr, number / 5)
    return path


def test_the_mount_is_found_where_the_camera_is_a_guess(nose_up: Path) -> None:
    start = start_camera(probe(nose_up), GUESSED)
    assert start.found and "field of view is a guess (65 degrees)" in start.note and "4.0 degrees up" in start.note
    assert math.degrees(start.camera.pitch_rad) == pytest.approx(PITCH_DEG, abs=0.25)
    assert math.degrees(start.camera.yaw_rad) == pytest.approx(YAW_DEG, abs=0.25)
    assert start.camera.height_m == pytest.approx(HEIGHT_M, rel=0.02)  # lanes there are 3.6 m wide
    given = start_camera(probe(nose_up), GUESSED.changed(camera={"lane_width_m": 3.0}))
    assert given.camera.height_m == pytest.approx(HEIGHT_M * 3.0 / 3.6, rel=0.02)


def test_a_run_begins_with_it_and_believes_the_lane_from_its_first_second(nose_up: Path, tmp_path: Path) -> None:
    summary = run_clip(nose_up, tmp_path / "run", GUESSED.changed(video={"write": False}), job=Job(detector=Blind()))
    assert any("found from the road" in note for note in summary.notes)
    run = load(tmp_path / "run")
    assert math.degrees(run.header.camera.pitch_rad) == pytest.approx(PITCH_DEG, abs=0.25)
    sure = [len(result.lanes.believed) >= 2 for result in run.results]
    assert all(sure[2:]), [[round(b.score, 2) for b in result.lanes.boundaries] for result in run.results]
    assert BELIEVED_SCORE == 0.5

    again = RecordedDetections(tmp_path / "run", probe(nose_up), GUESSED.changed(video={"write": False}))
    assert again.kept, "the same look would find the same camera"
    other = RecordedDetections(tmp_path / "run", probe(nose_up), GUESSED.changed(camera={"profile": "kitti"}))
    assert not other.kept


def test_only_a_guess_is_corrected(nose_up: Path) -> None:
    info = probe(nose_up)
    for section in ({"profile": "kitti"}, {"calibrate": False}):
        settings = GUESSED.changed(camera=section)
        start = start_camera(info, settings)
        assert not wants_look(info, settings) and not start.found and not start.note
        assert start.camera == load_profile(settings.camera.profile).for_size(*SIZE)
    assert not wants_look(info, GUESSED.changed(lanes={"enabled": False}))


def test_segments_of_a_clip_share_one_look(nose_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(first_look, "glimpses", lambda info, count: looks.append(info) or glimpses(info, count))
    first_look._look.cache_clear()
    clip = tmp_path / "drive.mp4"
    shutil.copy(nose_up, clip)
    segments = [GUESSED.changed(clip={"start_s": start_s}) for start_s in (0.0, 1.0, 2.0)]
    assert len({start_camera(probe(clip), settings).note for settings in segments}) == 1 == len(looks)
    with VideoWriter(clip, SIZE, Fraction(5)) as writer:  # the file is another clip now
        for number in range(15):
            writer.write(np.full((SIZE[1], SIZE[0], 3), 90, np.uint8), number / 5)
    assert not start_camera(probe(clip), GUESSED).found and len(looks) == 2


def test_a_clip_without_a_road_keeps_the_guess(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "noise.mp4"
    with VideoWriter(path, (192, 128), Fraction(20)) as writer:
        for number in range(20):
            writer.write(rng.integers(0, 255, (128, 192, 3), dtype=np.uint8), number / 20)
    start = start_camera(probe(path), GUESSED)
    assert not start.found and start.camera == load_profile("generic").for_size(192, 128)


def test_glimpses_of_a_long_clip_are_from_all_over_it(tmp_path: Path) -> None:
    """Each frame's grey tells its number: pictures and times belong together, and no picture comes twice."""
    path = tmp_path / "long.mp4"
    with VideoWriter(path, (64, 48), Fraction(25), crf=10) as writer:
        for number in range(1000):
            writer.write(np.full((48, 64, 3), 20 + number // 5, np.uint8), number / 25)
    seen = list(glimpses(probe(path), 8))
    times = np.array([frame.t_s for frame in seen])
    assert 4 <= len(seen) <= 8 and (np.diff(times) > 0).all() and np.ptp(times) > 20
    numbers = [(frame.bgr.mean() - 20) * 5 for frame in seen]
    np.testing.assert_allclose(numbers, times * 25, atol=12)


def test_glimpses_of_a_clip_that_breaks_off_are_those_before(nose_up: Path, tmp_path: Path) -> None:
    """The run itself says what is wrong with it."""
    cut = tmp_path / "cut.mp4"
    whole = nose_up.read_bytes()
    cut.write_bytes(whole[: len(whole) * 6 // 10])
    assert 3 <= len(list(glimpses(probe(cut), 16))) < 15
