"""Long clips in segments: joined they are as if they had been run whole."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from app.batch import BatchPlan, run_batch
from app.batch_plan import ClipJob, collect
from app.batch_split import SEGMENTS, run_split
from app.config import Settings
from app.record import load
from app.remote import fetch_states
from app.runner import Job, run_clip
from app.stitch import join_videos, segments, stitch
from app.video import VideoWriter, frames
from geometry.errors import InputError
from perception.types import CLASS_ID, Detections
from tracking.types import TrackState

SIZE = (320, 192)
RATE = 20


def noise_free_clip(path: Path, seconds: float) -> Path:
    """A dark lower half, and three bright squares that move across each other."""
    with VideoWriter(path, SIZE, Fraction(RATE), crf=8) as writer:
        for number in range(round(seconds * RATE)):
            writer.write(squares(number / RATE), number / RATE)
    return path


def squares(t_s: float) -> np.ndarray:
    picture = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    picture[96:] = 40
    for number, (level, speed, top) in enumerate(((150, 22.0, 100), (200, -17.0, 116), (250, 11.0, 132))):
        left = int(130 + 30 * number + 90 * np.sin(speed * t_s / 90))
        picture[top : top + 34, left : left + 40] = level
    return picture


class SquareDetector:
    """Finds the squares by their brightness: a detector whose answer depends on the picture alone."""

    description: ClassVar = {"name": "squares", "sha256": "0" * 64}
    notice = ""

    def detect(self, bgr: np.ndarray) -> Detections:
        boxes = []
        for level in (150, 200, 250):
            y, x = np.nonzero(np.abs(bgr[96:, :, 0].astype(int) - level) < 12)
            if len(x) > 100:
                left, right = np.quantile(x, [0.01, 0.99])
                top, bottom = np.quantile(y, [0.01, 0.99]) + 96
                boxes.append([left, top, right + 1, bottom + 1])
        count = len(boxes)
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.full(count, 0.9, np.float32),
            np.full(count, CLASS_ID["car"], np.int64),
        )


def run_parts(clip: Path, out: Path, base: Settings) -> list[Path]:
    parts = segments(ClipJob(str(clip), "clip"), base)
    for part in parts:
        run_clip(str(clip), out / part.name, part.settings(base), job=Job(detector=SquareDetector()))
    return [out / part.name for part in parts]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a whole run, and of one in four segments, of the same clip."""
    folder = tmp_path_factory.mktemp("stitch")
    clip = noise_free_clip(folder / "clip.mp4", 9.0)
    base = Settings().changed(
        camera={"calibrate": False}, lanes={"enabled": False}, clip={"split_s": 2.0, "lead_s": 2.5}
    )
    whole = base.changed(clip={"split_s": 0.0})
    run_clip(str(clip), folder / "whole", whole, job=Job(detector=SquareDetector()))
    parts = run_parts(clip, folder / "parts", base)
    (folder / "joined").mkdir()
    stitch(parts, folder / "joined", base)
    assert len(parts) == 4
    return folder / "whole", folder / "joined"


def test_each_frame_is_there_once_with_the_same_identities(runs: tuple[Path, Path]) -> None:
    whole, joined = (load(folder).results for folder in runs)
    assert [(a.index, a.t_s) for a in whole] == [(b.index, b.t_s) for b in joined] and len(whole) == 180
    confirmed = 0
    for a, b in zip(whole, joined, strict=True):
        np.testing.assert_array_equal(a.detections.xyxy_px, b.detections.xyxy_px)
        np.testing.assert_array_equal(a.tracks.track_id, b.tracks.track_id)
        np.testing.assert_array_equal(a.tracks.state, b.tracks.state)
        np.testing.assert_array_equal(a.tracks.detection, b.tracks.detection)
        confirmed += int((a.tracks.state == TrackState.CONFIRMED).sum())
    assert confirmed > 2.5 * len(whole), "three tracks, but for their first moments"
    assert {n for result in joined for n in result.tracks.track_id.tolist()} <= set(range(1, 8))


def test_the_joined_video_is_that_of_the_whole_run(runs: tuple[Path, Path]) -> None:
    whole, joined = (list(frames(folder / "annotated.mp4")) for folder in runs)
    assert [a.t_s for a in whole] == pytest.approx([b.t_s for b in joined], abs=1e-4)
    for a, b in zip(whole, joined, strict=True):
        differ = np.abs(a.bgr[:, : SIZE[0]].astype(int) - b.bgr[:, : SIZE[0]]).mean()
        assert differ < 3.0, "encoded apart, the same pictures"
    import av

    with av.open(str(runs[1] / "annotated.mp4")) as container:
        packets = [p for p in container.demux(video=0) if p.dts is not None]
        assert np.all(np.diff([p.dts for p in packets]) > 0) and all(p.pts >= p.dts for p in packets)
        assert len(packets) == 180


def test_the_joined_folder_is_one_run(runs: tuple[Path, Path]) -> None:
    assert sorted(path.name for path in runs[1].iterdir()) == sorted(path.name for path in runs[0].iterdir())
    run = load(runs[1])
    assert run.header.settings["clip"]["split_s"] == 2.0 and run.header.settings["clip"]["end_s"] is None
    assert all(result.stage_ms["decode"] >= 0.0 and "encode" in result.stage_ms for result in run.results)


def test_frames_of_a_lead_in_are_run_but_not_told(tmp_path: Path) -> None:
    clip = noise_free_clip(tmp_path / "clip.mp4", 3.0)
    cold = Settings().changed(clip={"start_s": 1.5}, video={"write": False})
    warm = cold.changed(clip={"lead_s": 1.0})
    for name, settings in (("cold", cold), ("warm", warm)):
        run_clip(str(clip), tmp_path / name, settings, job=Job(detector=SquareDetector()))
    first_cold, first_warm = (load(tmp_path / name).results[0] for name in ("cold", "warm"))
    assert first_cold.t_s == first_warm.t_s == 1.5 and first_cold.index == first_warm.index == 30
    assert (first_warm.tracks.state == TrackState.CONFIRMED).sum() == 3
    assert (first_cold.tracks.state == TrackState.CONFIRMED).sum() == 0


def test_segments_cover_a_clip_once(tmp_path: Path, noise_clip: Callable[..., Path]) -> None:
    clip = str(noise_clip(tmp_path / "clip.mp4", frames=100))  # 5 s
    base = Settings().changed(clip={"split_s": 1.2, "start_s": 0.5})
    parts = [part.settings(base).clip for part in segments(ClipJob(clip, "clip"), base)]
    assert [part.start_s for part in parts] == pytest.approx([0.5, 1.7, 2.9])
    assert [part.end_s for part in parts] == [parts[1].start_s, parts[2].start_s, None]
    assert all(part.split_s == 0.0 for part in parts) and [part.lead_s for part in parts] == [0.0, 4.0, 4.0]
    assert segments(ClipJob(clip, "clip"), base.changed(clip={"split_s": 2.4})) == ()
    with pytest.raises(InputError, match="every frame"):
        segments(ClipJob(clip, "clip"), base.changed(detector={"every": 2}))


def test_videos_encoded_in_other_ways_are_not_joined(tmp_path: Path, noise_clip: Callable[..., Path]) -> None:
    one, other = noise_clip(tmp_path / "a.mp4"), noise_clip(tmp_path / "b.mp4", size_px=(96, 64))
    with pytest.raises(InputError, match="another way"):
        join_videos([one, other], [0.0, 0.4], tmp_path / "c.mp4")


@pytest.mark.slow
@pytest.mark.parametrize("far", [False, True])
def test_a_batch_in_segments_gives_one_folder_a_clip_and_goes_on_where_it_was_killed(
    one_car_model: Path, noise_clip: Callable[..., Path], tmp_path: Path, far: bool
) -> None:
    if far:
        pytest.importorskip("fsspec", reason="the extra 'remote' is not installed")
    noise_clip(tmp_path / "archive" / "long.mp4", frames=60)
    noise_clip(tmp_path / "archive" / "short.mp4", frames=10)
    (tmp_path / "archive" / "bad.mp4").write_text("no video")
    base = Settings().changed(detector={"file": str(one_car_model)}, camera={"calibrate": False})
    jobs, out = collect([str(tmp_path / "archive")]), tmp_path / "out"
    address = f"file://{out}" if far else None
    split = base.changed(clip={"split_s": 1.0})
    told: list[str] = []

    def engine(plan: BatchPlan, **rest: object) -> tuple:
        """Stops after the first segment, the first time."""
        if plan.out.name == SEGMENTS and not told:
            told.append("stopped")
            ended = run_batch(replace(plan, jobs=plan.jobs[:1]))
            return ended + tuple(type(ended[0])(job, "stopped", "", {}) for job in plan.jobs[1:])
        return run_batch(plan, **rest)

    watch = {"on_event": lambda event: None, "should_stop": lambda: False}

    def run(name: str) -> dict[str, str]:
        """With a staging folder of its own, as every call of the command has, where results go to an address."""
        staging = tmp_path / name if far else out
        if far:
            fetch_states(f"file://{out}", staging)
        plan = BatchPlan(jobs, staging, split, workers=2, address=address)
        return {o.job.name: o.status for o in run_split(plan, engine, **watch)}

    first = run("first")
    assert first == {"bad": "failed", "long": "stopped", "short": "done"}
    assert [path.name for path in (out / SEGMENTS).iterdir()] == ["long.0000"]
    second = run("second")
    assert second == {"bad": "failed", "long": "done", "short": "skipped"}
    assert not (out / SEGMENTS).exists()
    whole = run_batch(BatchPlan(jobs[1:2], tmp_path / "whole", base))
    assert [o.status for o in whole] == ["done"]
    joined, alone = load(out / "long").results, load(tmp_path / "whole" / "long").results
    assert [r.t_s for r in joined] == [r.t_s for r in alone]
    assert [r.tracks.track_id.tolist() for r in joined] == [r.tracks.track_id.tolist() for r in alone]
    assert run("third")["long"] == "skipped"
