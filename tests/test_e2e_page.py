"""The page in a real browser: upload, run, play, jump to an event, download, reload while it works, cancel, a killed
worker. Screenshots land in out/e2e. `make e2e` installs what this needs; without a browser the tests say so and skip.
"""

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
from pathlib import Path
from typing import Any

import pytest

from app.jobs.store import JobState, JobStore
from geometry.camera import Camera
from perception.synthetic import make_scene

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "out" / "e2e"
BROWSER_OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
FIND_VIDEO = """() => {
  const search = (root) => {
    for (const element of root.querySelectorAll('*')) {
      if (element.tagName === 'VIDEO' && element.classList.contains('rl-video')) return element;
      const inner = element.shadowRoot && search(element.shadowRoot);
      if (inner) return inner;
    }
    return null;
  };
  return search(document);
}"""


def wait(condition: Callable[[], Any], limit_s: float = 60.0) -> Any:
    end = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
    return value


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of a rendered street, as a person would upload them."""
    from fractions import Fraction

    from app.video import VideoWriter

    path = tmp_path_factory.mktemp("clip") / "my drive.mp4"
    camera = Camera(640, 360, 560.0, 560.0, 319.5, 179.5, 1.4, 0.03)
    with VideoWriter(path, (640, 360), Fraction(10)) as writer:
        for frame, _ in make_scene("lead_braking", camera, seed=3, duration_s=6.0, fps=10).frames():
            writer.write(frame.bgr, frame.t_s)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> JobStore:
    return JobStore(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def address(store: JobStore) -> Iterator[str]:
    """A server of its own on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "ui", "--port", str(port), "--no-browser"],
        env={**os.environ, "ROADLENS_RUNS": str(store.root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    wait(lambda: answers(url))
    yield url
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(timeout=20)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "/_stcore/health", timeout=1) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make e2e")
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("no chromium here: make e2e installs it, or apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path, args=BROWSER_OPTIONS)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(address)
        tab.get_by_role("button", name="Go").wait_for(timeout=60_000)
        yield tab
        browser.close()


def upload_and_go(page: Any, clip: Path) -> str:
    """Sends the clip, starts it; the run's id."""
    page.locator("[data-testid=stSelectbox]").first.click()
    page.get_by_role("option", name="my own clip").click()
    page.locator("input[type=file]").set_input_files(str(clip))
    page.get_by_text(clip.name).wait_for()
    page.get_by_role("button", name="Go").click()
    page.wait_for_url("**run=*", timeout=60_000)
    return str(page.url.split("run=")[1].split("&")[0])


def shot(page: Any, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(PICTURES / f"{name}.png"), full_page=True)


def test_from_upload_to_a_playing_result(page: Any, clip: Path, store: JobStore) -> None:
    shot(page, "run")
    job_id = upload_and_go(page, clip)
    page.reload()  # in the middle of the run: it goes on, and the address finds it again
    wait(lambda: store.status(job_id).state.ended, 240)
    assert store.status(job_id).state is JobState.DONE, store.status(job_id).message
    page.get_by_text("Downloads").wait_for(timeout=60_000)
    video = page.evaluate_handle(FIND_VIDEO)
    wait(lambda: video.evaluate("v => v.readyState") >= 2)
    video.evaluate("v => v.play()")
    wait(lambda: video.evaluate("v => v.currentTime") > 0.5)
    video.evaluate("v => v.pause()")
    shot(page, "explore")
    page.set_viewport_size({"width": 390, "height": 900})
    shot(page, "explore_narrow")
    page.set_viewport_size({"width": 1280, "height": 900})
    with page.expect_download() as download:
        page.get_by_role("button", name="results.jsonl").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 61  # a header and sixty frames
    marks = page.locator(".rl-timeline button")
    if marks.count():
        marks.first.click()
        wait(lambda: video.evaluate("v => v.currentTime") > 0)


def test_a_run_is_cancelled_and_says_so(page: Any, clip: Path, store: JobStore) -> None:
    job_id = upload_and_go(page, clip)
    page.get_by_role("button", name="Cancel").click()
    wait(lambda: store.status(job_id).state is JobState.CANCELLED, 30)
    page.get_by_text("This run was cancelled").wait_for(timeout=20_000)


def test_a_killed_worker_is_told_within_five_seconds(page: Any, clip: Path, store: JobStore) -> None:
    job_id = upload_and_go(page, clip)
    wait(lambda: store.status(job_id).frames_done > 0, 120)
    os.kill(store.status(job_id).pid, signal.SIGKILL)
    page.get_by_text("the worker was killed (SIGKILL)").wait_for(timeout=5_000)
    shot(page, "failed")


def test_a_text_named_mp4_is_refused(page: Any, tmp_path: Path) -> None:
    text = tmp_path / "holiday.mp4"
    text.write_text("dear diary")
    page.locator("[data-testid=stSelectbox]").first.click()
    page.get_by_role("option", name="my own clip").click()
    page.locator("input[type=file]").set_input_files(str(text))
    page.get_by_role("button", name="Go").click()
    page.get_by_text("this file is no video by its content").wait_for(timeout=20_000)
