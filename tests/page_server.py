"""A page of its own on a free port of this machine, and a real browser to look at it: for tests and benchmarks."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BROWSER_OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]  # fmt: skip


def wait(condition: Callable[[], Any], limit_s: float = 60.0) -> Any:
    """What the condition says as soon as it says something true."""
    end = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
    return value


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Server:
    """A running page: its address, its process, the folder of its runs."""

    url: str
    pid: int
    runs: Path


@contextmanager
def serving(runs: Path, *, port: int | None = None) -> Iterator[Server]:
    """Serves the page until the block ends; whatever it started ends with it."""
    port = port or free_port()
    log = (runs.parent / "server.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "ui", "--port", str(port), "--no-browser"],
        env={**os.environ, "ROADLENS_RUNS": str(runs)},
        stdout=log,
        stderr=log,
        cwd=ROOT,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait(lambda: answers(url), 90)
        yield Server(url, process.pid, runs)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def answers(url: str) -> bool:
    """Whether the server is up."""
    try:
        with urllib.request.urlopen(url + "/_stcore/health", timeout=1) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def browser_path() -> str | None:
    """A Chromium of this machine."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def browsing() -> Iterator[Any]:
    """A headless Chromium, driven by playwright. Raises ImportError or RuntimeError where one of them is missing."""
    from playwright.sync_api import sync_playwright

    path = browser_path()
    if path is None:
        raise RuntimeError("no chromium here: make e2e installs it, or apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=BROWSER_OPTIONS)
        yield browser
        browser.close()


def render_clip(path: Path, *, seconds: float = 6.0, scene: str = "lead_braking", fps: int = 10) -> Path:
    """A rendered street as a person would upload it: 640x360, H.264."""
    from app.video import VideoWriter
    from geometry.camera import Camera
    from perception.synthetic import make_scene

    camera = Camera(640, 360, 560.0, 560.0, 319.5, 179.5, 1.4, 0.03)
    with VideoWriter(path, (640, 360), Fraction(fps)) as writer:
        for frame, _ in make_scene(scene, camera, seed=3, duration_s=seconds, fps=fps).frames():
            writer.write(frame.bgr, frame.t_s)
    return path
