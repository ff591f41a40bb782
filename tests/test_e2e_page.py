"""The page in a real browser: upload, run, play, jump to an event, download, reload while it works, share, cancel, a
killed worker, the wizard, live sources. `make e2e` installs what this needs; without a browser the tests say so and
skip.
"""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mjpeg_server import mjpeg_camera
from page_server import Server, render_clip, wait

from app.jobs.store import JobState, JobStore
from app.record import load

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

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


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of a rendered street, as a person would upload them."""
    return render_clip(tmp_path_factory.mktemp("clip") / "my drive.mp4")


@pytest.fixture
def store(server: Server) -> JobStore:
    return JobStore(server.runs)


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The first place, as a visitor who comes for the first time sees it."""
    visit = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["camera"], base_url=server.url)
    tab = visit.new_page()
    tab.set_default_timeout(60_000)
    tab.goto("/")
    tab.get_by_role("button", name="Go").wait_for()
    yield tab
    visit.close()


def choose(page: Any, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).first.click()
    page.get_by_role("option", name=option, exact=True).click()


def upload_and_go(page: Any, clip: Path) -> str:
    """Sends the clip, starts it; the run's id."""
    choose(page, "Clip", "my own clip")
    page.locator("input[type=file]").set_input_files(str(clip))
    page.get_by_text(clip.name).wait_for()
    page.get_by_role("button", name="Go").click()
    return run_id(page)


def run_id(page: Any) -> str:
    page.wait_for_url("**run=*")
    return str(page.url.split("run=")[1].split("&")[0])


def player(page: Any) -> Any:
    """The player's video once it can be played."""
    page.locator(".rl-video").wait_for()
    video = page.evaluate_handle(FIND_VIDEO)
    wait(lambda: video.evaluate("v => v.readyState") >= 2)
    return video


def saved(page: Any, name: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile(re.escape(name))).click()
    return Path(download.value.path()).read_bytes()


def test_from_upload_to_a_playing_result(page: Any, clip: Path, store: JobStore, browser: Any) -> None:
    job_id = upload_and_go(page, clip)
    page.reload()  # in the middle of the run: it goes on, and the address finds it again
    wait(lambda: store.status(job_id).state.ended, 240)
    assert store.status(job_id).state is JobState.DONE, store.status(job_id).message
    page.get_by_text("Downloads").wait_for()
    video = player(page)
    video.evaluate("v => v.play()")
    wait(lambda: video.evaluate("v => v.currentTime") > 0.5)
    video.evaluate("v => v.pause()")

    events = [e for result in load(store.results(job_id)).results for e in result.events if e.phase == "start"]
    assert events, "the lead vehicle brakes in this clip: something is warned of"
    marks = page.locator(".rl-timeline button")
    assert marks.count() == len(events)
    marks.last.click()
    wait(lambda: abs(video.evaluate("v => v.currentTime") - events[-1].t_s) < 0.2)
    video.evaluate("v => { v.currentTime = 0 }")
    page.locator("[data-testid=stDataFrame]").first.click(position={"x": 12, "y": 52})  # the box of the first row
    wait(lambda: abs(video.evaluate("v => v.currentTime") - events[0].t_s) < 0.2)

    assert len(saved(page, "results.jsonl").splitlines()) == 61  # a header and sixty frames
    assert saved(page, "tracks.csv").startswith(b"frame,t_s,track_id,class")
    assert saved(page, "clip.mp4") == (store.results(job_id) / "clip.mp4").read_bytes()
    assert b"profile" in saved(page, "settings.toml")

    other = browser.new_context().new_page()  # somebody else: sees the run by its link, and no list of it
    other.set_default_timeout(60_000)
    other.goto(page.url)
    other.get_by_text("Downloads").wait_for(timeout=60_000)
    other.get_by_role("button", name="All my runs").click()
    other.get_by_text("No runs yet").wait_for(timeout=60_000)
    other.context.close()
    page.get_by_role("button", name="All my runs").click()
    page.get_by_role("heading", name="My runs").wait_for()  # the run's own page has its name and a "Delete this run"
    page.get_by_role("button", name="Delete this run").wait_for(state="detached")
    row = page.locator("[class*=st-key-row-]").filter(has_text="my drive.mp4")
    row.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("Nothing undoes it").wait_for()  # one click too many loses nothing
    page.keyboard.press("Escape")
    page.get_by_text("Nothing undoes it").wait_for(state="detached")
    assert job_id in store.ids()
    row.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete for good").click()
    page.get_by_text("my drive.mp4 is deleted").wait_for()
    page.get_by_text("No runs yet").wait_for()
    assert job_id not in store.ids() and list(store.uploads.glob("[0-9a-f]*")) == []


def test_a_run_is_cancelled_and_says_so(page: Any, clip: Path, store: JobStore) -> None:
    job_id = upload_and_go(page, clip)
    page.get_by_role("button", name="Cancel").click()
    wait(lambda: store.status(job_id).state is JobState.CANCELLED, 30)
    page.get_by_text("This run was cancelled").wait_for()


def test_a_killed_worker_is_told_within_five_seconds_and_others_go_on(page: Any, clip: Path, store: JobStore) -> None:
    job_id = upload_and_go(page, clip)
    wait(lambda: store.status(job_id).frames_done > 5, 120)
    waits = store.create(store.spec(job_id))
    os.kill(store.status(job_id).pid, signal.SIGKILL)
    page.get_by_text("the worker was killed (SIGKILL)").wait_for(timeout=5_000)
    player(page)  # what was done before the end is there, and named for what it is
    page.get_by_role("link", name="results.partial.jsonl").wait_for()
    wait(lambda: store.status(waits).state.ended, 240)
    assert store.status(waits).state is JobState.DONE


def test_a_text_named_mp4_is_refused(page: Any, tmp_path: Path) -> None:
    text = tmp_path / "<b>holiday.mp4"
    text.write_text("dear diary")
    choose(page, "Clip", "my own clip")
    page.locator("input[type=file]").set_input_files(str(text))
    page.get_by_text("this file is no video by its content").wait_for()
    assert page.get_by_role("button", name="Go").is_disabled()


def test_the_wizard_follows_the_dragged_horizon(page: Any, clip: Path, store: JobStore) -> None:
    page.get_by_role("link", name="Calibrate").click()
    page.get_by_role("heading", name="Calibrate your camera").wait_for()
    choose(page, "Clip", "my own clip")
    page.locator("input[type=file]").set_input_files(str(clip))
    handle = page.locator(".rl-horizon circle")
    handle.wait_for()
    pitch = page.get_by_test_id("stMetric").filter(has_text="Pitch").get_by_test_id("stMetricValue")
    wait(lambda: pitch.inner_text().endswith("°"))
    before_deg = float(pitch.inner_text().rstrip("°"))
    page.wait_for_timeout(1000)
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 40, steps=5)
    page.mouse.up()
    wait(lambda: float(pitch.inner_text().rstrip("°")) > before_deg + 1.0)  # a higher horizon: the nose is lower
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the profile").click()
    profile = Path(download.value.path()).read_text()
    told = re.search(r"pitch_down_deg = ([-\d.]+)", profile)
    assert told is not None and float(told[1]) == pytest.approx(float(pitch.inner_text().rstrip("°")), abs=0.01)


def test_a_network_camera_is_followed_until_it_is_stopped(page: Any, store: JobStore) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (180, 320, 3), np.uint8) for _ in range(4)]
    with mjpeg_camera(pictures) as address:
        choose(page, "Clip", "a live camera or stream")
        box = page.get_by_role("textbox", name="Address of the stream, or number of a webcam")
        box.fill(address)
        box.press("Enter")
        wait(lambda: page.get_by_role("button", name="Go").is_enabled())
        page.get_by_role("button", name="Go").click()
        job_id = run_id(page)
        picture = page.locator(".rl-live img")
        wait(lambda: picture.evaluate("i => i.naturalWidth") > 320, 120)
        seen = picture.get_attribute("src")
        wait(lambda: picture.get_attribute("src") != seen)
        delay = page.get_by_test_id("stMetric").filter(has_text="Delay").get_by_test_id("stMetricValue")
        wait(lambda: delay.inner_text().endswith(" s"))
        page.get_by_role("button", name="Stop").click()
        wait(lambda: store.status(job_id).state is JobState.DONE, 30)
    player(page)
    page.get_by_text("stopped", exact=True).wait_for()


def test_the_browsers_own_camera_is_answered(page: Any) -> None:
    pytest.importorskip("streamlit_webrtc", reason="the extra live is not installed: pip install 'roadlens[live]'")
    choose(page, "Clip", "this browser's camera")
    frame = page.frame_locator("iframe[title*=webrtc]")
    frame.get_by_role("button", name=re.compile("start", re.IGNORECASE)).click()
    video = frame.locator("video")
    video.wait_for()
    wait(lambda: video.evaluate("v => v.videoWidth"), 120)
    began_s = video.evaluate("v => v.currentTime")
    wait(lambda: video.evaluate("v => v.currentTime") > began_s + 0.5)
    wait(lambda: video.evaluate("v => v.videoWidth / v.videoHeight") > 1.5, 120)  # the road from above is beside it
    frame.get_by_role("button", name=re.compile("stop", re.IGNORECASE)).click()
    frame.get_by_role("button", name=re.compile("start", re.IGNORECASE)).wait_for()
