"""Live runs: the newest picture counts, the delay is told, stopping always works, what was seen is kept."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from mjpeg_server import mjpeg_camera

from app.config import Settings
from app.jobs.live import Live, LiveProgress
from app.jobs.store import VIEW
from app.record import load
from app.video import frames, probe
from geometry.errors import InputError

SETTINGS = Settings().changed(lanes={"enabled": False}, camera={"calibrate": False})


def pictures(count: int = 12) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    base = cv2.resize(rng.integers(0, 255, (9, 16, 3), np.uint8), (320, 180), interpolation=cv2.INTER_CUBIC)
    return [np.roll(base, 3 * i, axis=1) for i in range(count)]


class Follower:
    """Stops a run after so many frames; may be slower than the source."""

    def __init__(self, frames: int, pause_s: float = 0.0) -> None:
        self.live: Live | None = None
        self.news: list[LiveProgress] = []
        self.last_s = 0.0
        self._frames, self._pause_s = frames, pause_s

    def __call__(self, news: LiveProgress) -> None:
        self.news.append(news)
        self.last_s = time.monotonic()
        time.sleep(self._pause_s)
        if news.frames >= self._frames:
            assert self.live is not None
            self.live.stop()


def follow(address: str, out: Path, follower: Follower) -> str:
    follower.live = Live(address, out, SETTINGS, follower)
    return follower.live.run()


def test_what_was_seen_is_kept_and_plays(tmp_path: Path) -> None:
    with mjpeg_camera(pictures()) as address:
        assert follow(address, tmp_path, Follower(10)) == "stopped"
    run = load(tmp_path)
    assert len(run.results) == 10 and not run.partial and run.results[0].t_s == 0.0
    played = list(frames(tmp_path / "clip.mp4"))
    np.testing.assert_allclose([f.t_s for f in played], [r.t_s for r in run.results], atol=1e-3)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["frames"] == 10 and summary["state"] == "complete"
    view = cv2.imread(str(tmp_path / VIEW))
    assert view is not None and view.shape[0] == 180 and view.shape[1] > 320  # the road from above is beside it


def test_a_slow_machine_skips_pictures_and_does_not_lag(tmp_path: Path) -> None:
    """At 25 pictures a second and 0.2 s for each, a queue would be 3 s behind after 20; the newest is always fresh."""
    slow = Follower(20, pause_s=0.2)
    with mjpeg_camera(pictures(), fps=25) as address:
        follow(address, tmp_path, slow)
    indices = [result.index for result in load(tmp_path).results]
    assert indices[-1] - indices[0] > 2 * len(indices)
    assert all(0.0 <= news.delay_s < 1.5 for news in slow.news)
    note = json.loads((tmp_path / "summary.json").read_text())["notes"][-1]
    assert int(note.split()[0]) >= indices[-1] - indices[0] - len(indices)


def test_stopping_works_when_the_source_has_fallen_silent(tmp_path: Path) -> None:
    """As the worker does it: from a signal handler, while the run waits for a picture that never comes."""
    follower = Follower(1000)
    with mjpeg_camera(pictures(), silent_after=8) as address:
        follower.live = live = Live(address, tmp_path, SETTINGS, follower)

        def stop_when_silent() -> None:
            while not follower.news or time.monotonic() - follower.last_s < 1.0:
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, lambda *_: live.stop())
        thread = threading.Thread(target=stop_when_silent)
        thread.start()
        try:
            assert live.run() == "stopped"
        finally:
            thread.join()
            signal.signal(signal.SIGUSR1, before)
    assert load(tmp_path).results


def test_a_source_that_ends_is_a_proper_end(tmp_path: Path) -> None:
    ended: list[str] = []
    off = threading.Event()

    def watch(news: LiveProgress) -> None:
        if news.frames == 5:
            off.set()

    with mjpeg_camera(pictures()) as address:  # it is switched off after some pictures
        live = Live(address, tmp_path, SETTINGS, watch)
        thread = threading.Thread(target=lambda: ended.append(live.run()))
        thread.start()
        assert off.wait(60)
    thread.join(60)
    assert ended and ("ended" in ended[0] or "lost" in ended[0])
    assert len(load(tmp_path).results) >= 5


def test_a_clip_with_an_end_is_no_live_source(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        Live("http://127.0.0.1:9/none.mjpg", tmp_path, SETTINGS).run()
    from page_server import render_clip

    clip = render_clip(tmp_path / "a.mp4", seconds=0.5)
    assert not probe(clip).live
    with pytest.raises(InputError, match="no live source but a clip with an end"):
        Live(str(clip), tmp_path / "out", SETTINGS).run()
