"""Every place of the page in both themes and two widths: `make screenshots` leaves them in out/screenshots.

With ROADLENS_PICTURES naming a folder, the few that the README shows are written there as small JPEG files.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from page_server import ROOT, Server, wait

from app.config import Settings
from app.jobs.store import JobSpec, JobState, JobStore

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PICTURES = ROOT / "out" / "screenshots"
VISITOR = "c" * 32
CLIP = ROOT / "sample_videos" / "highway_cut_in.mp4"
MOMENT_S = 4.6
TALLEST_PX = 6000
SHOW_MOMENT = """(t) => {
  const search = (root) => {
    for (const element of root.querySelectorAll('*')) {
      if (element.classList && element.classList.contains('rl-video')) return element;
      const inner = element.shadowRoot && search(element.shadowRoot);
      if (inner) return inner;
    }
    return null;
  };
  const video = search(document);
  if (!video || video.readyState < 2) return false;
  video.currentTime = t;
  return true;
}"""
WIDTH = "() => { const m = document.querySelector('[data-testid=stMain]'); return [m.scrollWidth, m.clientWidth] }"
HEIGHT = "() => document.querySelector('[data-testid=stMain]').scrollHeight"


@pytest.fixture(scope="module")
def jobs(server: Server) -> list[str]:
    """Two finished runs of a sample, with other settings."""
    store = JobStore(server.runs)
    camera = {"profile": str(CLIP.with_suffix(".toml"))}
    both = [Settings().changed(camera=camera, detector={"every": every}, clip={"end_s": 8.0}) for every in (1, 2)]
    specs = [JobSpec(str(CLIP), CLIP.name, settings.model_dump(mode="json"), VISITOR) for settings in both]
    made = [store.create(spec) for spec in specs]
    wait(lambda: all(store.status(job_id).state.ended for job_id in made), 400)
    assert [store.status(job_id).state for job_id in made] == [JobState.DONE] * 2
    return made


def ready(page: Any, place: str) -> None:
    """Waits until what the place is about is really there."""
    if place == "run":
        page.get_by_role("button", name="Go").wait_for()
        wait(lambda: page.evaluate("() => document.querySelector('video')?.readyState >= 2"))
    elif place == "explore":
        page.get_by_text("Delete this run").wait_for()
        wait(lambda: page.evaluate(SHOW_MOMENT, MOMENT_S))
        page.get_by_text("Stages run at the same time").wait_for()
        if page.viewport_size["height"] > 900:  # charts are drawn when they come into sight
            page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg").first.wait_for()
    elif place == "calibrate":
        page.locator(".rl-horizon img").wait_for()
        page.get_by_text("From above").wait_for()
    elif place == "compare":
        page.locator("[data-testid=stDataFrame]").wait_for()
        wait(lambda: page.evaluate("() => [...document.querySelectorAll('video')].every(v => v.readyState >= 2)"))
    page.wait_for_timeout(1500)


@pytest.mark.parametrize("width_px", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_place_fits_its_width(browser: Any, server: Server, jobs: list[str], theme: str, width_px: int) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    visit = browser.new_context(
        viewport={"width": width_px, "height": 900}, color_scheme=theme, base_url=server.url,
        device_scale_factor=1 if width_px > 600 else 2,
    )  # fmt: skip
    visit.add_cookies([{"name": "roadlens_visitor", "value": VISITOR, "url": server.url}])
    page = visit.new_page()
    page.set_default_timeout(90_000)
    addresses = {"run": "/", "explore": f"/explore?run={jobs[0]}", "runs": "/explore", "calibrate": "/calibrate",
                 "compare": "/compare"}  # fmt: skip
    for place, address in addresses.items():
        page.set_viewport_size({"width": width_px, "height": 900})
        page.goto(address)
        page.locator("[data-testid=stMain] h1, [data-testid=stMain] h2").first.wait_for()
        ready(page, place)
        page.set_viewport_size({"width": width_px, "height": min(page.evaluate(HEIGHT) + 1, TALLEST_PX)})
        ready(page, place)
        page.screenshot(path=str(PICTURES / f"{place}_{theme}_{width_px}.png"))
        wide, seen = page.evaluate(WIDTH)
        assert wide <= seen, f"{place} is {wide} px wide where {seen} are seen"
        assert page.get_by_text("Deploy", exact=True).count() == 0
        assert page.locator("[data-testid=stException]").count() == 0
        if os.environ.get("ROADLENS_PICTURES"):
            for_readme(page, place, theme, width_px)
    visit.close()


def for_readme(page: Any, place: str, theme: str, width_px: int) -> None:
    """The pictures that the README shows: the upper part, as JPEG."""
    if (place, theme, width_px) not in {
        ("explore", "dark", 1280),
        ("calibrate", "light", 1280),
        ("explore", "light", 390),
    }:
        return
    path = Path(os.environ["ROADLENS_PICTURES"]) / f"page_{place}{'_phone' if width_px < 600 else ''}.jpg"
    height = 1400 if (place, width_px) == ("explore", 1280) else 1000
    part = {"x": 0, "y": 0, "width": width_px, "height": min(height, page.viewport_size["height"])}
    page.screenshot(path=str(path), type="jpeg", quality=72, clip=part)
