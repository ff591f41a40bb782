"""Stages in threads: order, errors, closing; counts of what a run found; settings; speeds from outside."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from app.config import Settings
from app.overlap import DEPTH, ahead
from app.runner import run_clip
from app.speed import known_speed
from app.video import BufferPool
from geometry.errors import InputError


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_items_come_in_order_and_the_thread_ends() -> None:
    assert list(ahead(iter(range(100)), name="count")) == list(range(100))
    assert "roadlens-count" not in names()


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    got = []
    with pytest.raises(ValueError, match="third"):
        for item in ahead(items(), name="error"):
            got.append(item)
    assert got == [1, 2]


def test_a_stage_works_while_its_consumer_works_and_never_far_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    stream = ahead(items(), name="ahead")
    assert next(stream) == 0
    until = time.monotonic() + 5
    while len(made) < DEPTH + 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(made) == DEPTH + 2, "the queue is full, and one more waits for room"
    stream.close()
    assert "roadlens-ahead" not in names()


def test_closing_the_last_stage_closes_all_before_it() -> None:
    closed = []

    def source() -> Iterator[int]:
        try:
            yield from range(10_000)
        finally:
            closed.append("source")

    def doubled() -> Iterator[int]:
        stream = ahead(source(), name="source")
        try:
            for item in stream:
                yield 2 * item
        finally:
            stream.close()

    last = ahead(doubled(), name="doubled")
    assert [next(last), next(last)] == [0, 2]
    last.close()
    assert closed == ["source"]
    assert not {"roadlens-source", "roadlens-doubled"} & names()


def test_buffers_are_made_while_the_stages_fill_and_used_again_after_that(
    noise_clip: Callable[..., Path], one_car_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most one picture in the hands of each stage, and some waiting before it: for 120 frames as for 12."""
    pools: dict[int, list[int]] = {}
    take = BufferPool.take

    def counted(self: BufferPool, height_px: int, width_px: int) -> np.ndarray:
        buffer = take(self, height_px, width_px)
        pools.setdefault(id(self), []).append(len(self))
        return buffer

    monkeypatch.setattr(BufferPool, "take", counted)
    clip = noise_clip(tmp_path / "clip.mp4", frames=120)
    settings = Settings().changed(detector={"file": str(one_car_model)})
    run_clip(str(clip), tmp_path / "out", settings)
    decoded, drawn = sorted((sizes for sizes in pools.values() if len(sizes) == 120), key=max, reverse=True)
    stages = ("decode", "detect", "step", "draw")
    assert 2 <= max(decoded) <= len(stages) * (1 + DEPTH) and 1 <= max(drawn) <= 2 * (1 + DEPTH)


# -- settings ---------------------------------------------------------------------------------------------------------


def test_settings_come_back_from_their_toml(tmp_path: Path) -> None:
    before = Settings().changed(
        clip={"start_s": 1.5, "every": 2},
        detector={"input_size": (640, 384), "file": 'a "b" \\ c.onnx'},
        ego={"speed": 20},
    )
    path = tmp_path / "settings.toml"
    path.write_text(before.toml(), encoding="utf-8")
    assert Settings.from_toml(path) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[clip]\nevery = 0", "clip.every"),
        ("[clips]\nevery = 1", "clips is no known key"),
        ("[clip]\nend_s = nan", "clip.end_s"),
        ("[clip]\nstart_s = 3\nend_s = 2", "must be after"),
        ("[events]\nheadway = 1.0", "events.headway is no known key"),
        ("[video]\npreset = 'warp'", "video.preset"),
        ("clip = ", "no TOML"),
    ],
)
def test_settings_that_cannot_be_used_are_told_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        Settings.from_toml(path)
    assert "\n" not in str(caught.value) and "settings.toml" in str(caught.value)


# -- own speed --------------------------------------------------------------------------------------------------------


def test_a_number_is_a_speed_at_any_time() -> None:
    assert known_speed(None) is None
    assert known_speed(12.5).at(99.0)[0] == 12.5


def test_a_table_is_linear_between_its_lines_and_silent_in_its_gaps(tmp_path: Path) -> None:
    path = tmp_path / "can.csv"
    path.write_text("t_s,speed_mps,sigma_mps\n0,10,0.1\n1,20,0.3\n9,20,0.1\n")
    speed = known_speed(str(path))
    assert speed.at(0.0) == (10.0, 0.1)
    assert speed.at(0.25) == pytest.approx((12.5, 0.15))
    assert np.isnan(speed.at(5.0)[0]), "eight seconds without a line"
    assert np.isnan(speed.at(9.5)[0]) and np.isnan(speed.at(-0.1)[0])


def test_a_gps_track_gives_the_speed_of_its_way(tmp_path: Path) -> None:
    """A minute of arc of the meridian is a nautical mile (1852 m): a thousandth of it in each second."""
    points = "".join(
        f'<trkpt lat="{50 + n / 60_000:.9f}" lon="8"><time>2026-01-01T10:00:{n:02d}Z</time></trkpt>' for n in range(5)
    )
    path = tmp_path / "track.gpx"
    path.write_text(f'<gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>{points}</trkseg></trk></gpx>')
    assert known_speed(str(path)).at(2.0)[0] == pytest.approx(1.852, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "time,speed\n0,1\n", "no column"),
        ("a.csv", "t_s,speed_mps\n0,fast\n1,2\n", "no table"),
        ("a.csv", "t_s,speed_mps\n0,1\n", "two or more"),
        ("a.csv", "t_s,speed_mps\n1,1\n0,2\n", "do not rise"),
        ("a.csv", "t_s,speed_mps\n0,-1\n1,2\n", "negative"),
        ("a.csv", "t_s,speed_mps\n0,nan\n1,2\n", "numbers"),
        ("a.gpx", "<gpx></gpx>", "0 track points"),
        ("a.gpx", "no xml", "no GPX"),
    ],
)
def test_a_speed_file_that_cannot_be_used_is_told(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        known_speed(str(path))


def test_what_is_neither_number_nor_file_is_told() -> None:
    with pytest.raises(InputError, match="neither"):
        known_speed("fast")
