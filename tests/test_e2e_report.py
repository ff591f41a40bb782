"""The report in a real browser: opened as a file, the player plays and a click on a moment shows it."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.record import Header, RecordWriter
from app.report import write_report
from app.types import CameraPose, Event, EventKind, FrameResult
from app.video import VideoWriter
from geometry.camera import Camera
from geometry.types import GroundPoints
from perception.types import Detections, Lanes
from tracking.types import EgoMotion, Tracks

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
FPS, COUNT = 10, 40
TIME = "document.querySelector('video').currentTime"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    with VideoWriter(folder / "drive.mp4", (320, 180), Fraction(FPS)) as video:
        for number in range(COUNT):
            video.write(np.full((180, 320, 3), 4 * number, np.uint8), number / FPS)
    camera = Camera(320, 180, 300.0, 300.0, 159.5, 89.5, 1.3)
    empty = FrameResult(
        0, 0.0, Detections.empty(), GroundPoints.empty(), Tracks.empty(), Lanes(), EgoMotion(), CameraPose(1.3, 0, 0, 0)
    )
    with RecordWriter(folder / "results.jsonl", Header({"source": str(folder / "drive.mp4")}, camera, {}, {})) as out:
        for number in range(COUNT):
            t_s = number / FPS
            events = (Event(EventKind.HEADWAY, "start", t_s, t_s, 0, 0.4, "headway 0.4 s"),) if number == 25 else ()
            out.write(replace(empty, index=number, t_s=t_s, ego=EgoMotion(20.0, 1.0), events=events))
    return write_report(folder)


def test_a_click_on_a_moment_and_into_a_plot_shows_it(browser: Any, report: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url) if request.url.startswith("http") else None)
    page.goto(report.as_uri())
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    page.click(".moments button.jump")
    page.wait_for_function(f"{TIME} > 2.4 && {TIME} < 2.6")
    assert page.inner_text(".rl-warning") == "headway 0.4 s" and page.is_visible(".rl-warning")
    plot = page.locator(".plot svg.wide").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    left, right = (float(plot.get_attribute(f"data-{side}")) for side in ("left", "right"))
    x = left + 0.25 * (920 - left - right)  # a quarter of the plot's 3.9 seconds
    page.mouse.click(box["x"] + x * box["width"] / 920, box["y"] + box["height"] / 2)
    page.wait_for_function(f"Math.abs({TIME} - 0.975) < 0.1")
    assert faults == [], "no error, and nothing fetched from anywhere"


def test_it_fits_a_telephone(browser: Any, report: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing sticks out to the side"
    assert page.locator(".plot svg.narrow").first.is_visible() and not page.locator(".plot svg.wide").first.is_visible()
