"""The page under load: eight visitors at once, server memory over many runs, first paint, a slider while a run goes.

``python tests/benchmarks/bench_page.py [--visitors 8] [--runs 50] [--json FILE]``; everything happens on loopback, with
a server, a runs folder and clips of its own, and ends with it. Needs chromium and playwright (make e2e installs them).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from page_server import Server, browsing, render_clip, serving, wait

from app.jobs.store import JobState, JobStore

_NEW_VISIT = {"width": 1280, "height": 900}


def resident_mb(pid: int) -> float:
    """Resident memory of a process, from Linux's /proc."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def visit(browser: Any, server: Server) -> Any:
    tab = browser.new_context(viewport=_NEW_VISIT, base_url=server.url).new_page()
    tab.set_default_timeout(120_000)
    return tab


def first_paint_s(browser: Any, server: Server, times: int = 5) -> list[float]:
    """From asking for the page to the button Go on the screen, each time in a browser without a cache."""
    taken = []
    for _ in range(times):
        tab = visit(browser, server)
        began_s = time.perf_counter()
        tab.goto("/")
        tab.get_by_role("button", name="Go").wait_for()
        taken.append(time.perf_counter() - began_s)
        tab.context.close()
    return taken


def upload(tab: Any, clip: Path) -> None:
    tab.get_by_label("Clip", exact=True).first.click()
    tab.get_by_role("option", name="my own clip", exact=True).click()
    tab.locator("input[type=file]").set_input_files(str(clip))
    tab.get_by_text(clip.name).wait_for()


def go(tab: Any) -> str:
    tab.get_by_role("button", name="Go").click()
    return run_of(tab)


def run_of(tab: Any) -> str:
    tab.wait_for_url("**run=*")
    return str(tab.url.split("run=")[1].split("&")[0])


def visitors_at_once(browser: Any, server: Server, clip: Path, count: int) -> dict[str, Any]:
    """Each uploads, starts, waits for the result, and then looks at the list of runs."""
    store = JobStore(server.runs)
    tabs = [visit(browser, server) for _ in range(count)]
    began_s = time.perf_counter()
    for tab in tabs:
        tab.goto("/")
    for tab in tabs:
        tab.get_by_role("button", name="Go").wait_for()
        upload(tab, clip)
    for tab in tabs:
        tab.get_by_role("button", name="Go").click()
    jobs = [run_of(tab) for tab in tabs]
    waiting = [tab.get_by_text("before this one").or_(tab.get_by_text("next to start")).count() for tab in tabs]
    for tab in tabs:
        tab.get_by_text("Downloads").wait_for(timeout=600_000)
    all_s = time.perf_counter() - began_s
    foreign = 0
    for tab, job_id in zip(tabs, jobs, strict=True):
        tab.get_by_role("button", name="All my runs").click()
        tab.locator(f".st-key-open-{job_id}").wait_for()
        foreign += tab.locator("[class*=st-key-open-]").count() - 1
        tab.context.close()
    done = sum(store.status(job_id).state is JobState.DONE for job_id in jobs)
    return {"visitors": count, "done": done, "saw_a_place_in_the_queue": sum(map(bool, waiting)),
            "runs_of_others_seen": foreign, "seconds": round(all_s, 1)}  # fmt: skip


def memory_over_runs(browser: Any, server: Server, clip: Path, runs: int) -> dict[str, Any]:
    """One visitor after the other uploads, runs, looks at the result and leaves; the server's memory after each."""
    memory_mb = []
    for number in range(runs):
        tab = visit(browser, server)
        tab.goto("/")
        tab.get_by_role("button", name="Go").wait_for()
        upload(tab, clip)
        go(tab)
        tab.get_by_text("Downloads").wait_for(timeout=600_000)
        tab.context.close()
        memory_mb.append(round(resident_mb(server.pid), 1))
        print(f"run {number + 1}: {memory_mb[-1]:.0f} MB", flush=True)
    grown = memory_mb[-1] - memory_mb[min(4, runs - 1)]
    return {"runs": runs, "after_5_mb": memory_mb[min(4, runs - 1)], "after_last_mb": memory_mb[-1],
            "grown_mb": round(grown, 1)}  # fmt: skip


def slider_s(browser: Any, server: Server, clip: Path, times: int = 8) -> dict[str, Any]:
    """A key on the wizard's slider until the new picture is there, while a run goes; and again with none."""
    store = JobStore(server.runs)
    runner = visit(browser, server)
    runner.goto("/")
    runner.get_by_role("button", name="Go").wait_for()
    upload(runner, clip)
    first = go(runner)
    more = [store.create(store.spec(first)) for _ in range(6)]  # one goes on while the slider is moved
    tab = visit(browser, server)
    tab.goto("/calibrate")
    picture = tab.locator(".rl-horizon img")
    picture.wait_for()
    slider = tab.get_by_role("slider")
    slider.focus()
    tab.wait_for_timeout(1500)

    def moved() -> float:
        seen = picture.get_attribute("src")
        began_s = time.perf_counter()
        tab.keyboard.press("ArrowRight")
        while picture.get_attribute("src") == seen:
            if time.perf_counter() - began_s > 30:
                raise SystemExit("the slider did not answer in 30 s")
        return time.perf_counter() - began_s

    moved()
    wait(lambda: any(store.status(i).state is JobState.RUNNING and store.status(i).frames_done for i in more), 300)
    going, alone = [], []
    for _ in range(times):
        going.append(moved())
    for job_id in more:
        if store.status(job_id).state is JobState.QUEUED:
            store.write_status(job_id, replace(store.status(job_id), state=JobState.CANCELLED))
    wait(lambda: all(store.status(i).state.ended for i in more), 300)
    for _ in range(times):
        alone.append(moved())
    for each in (runner, tab):
        each.context.close()
    median = {"while_a_run_goes": going, "alone": alone}
    return {name: {"median": round(statistics.median(v), 3), "most": round(max(v), 3), "of": len(v)}
            for name, v in median.items() if v}  # fmt: skip


def main() -> None:
    """Prints and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=8)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, Any] = {"processors": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)}
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "runs") as server, browsing() as browser:
        tiny = render_clip(Path(folder) / "tiny.mp4", seconds=1.0)
        longer = render_clip(Path(folder) / "longer.mp4", seconds=20.0)
        paints = first_paint_s(browser, server)
        figures["first_paint_s"] = {"median": round(statistics.median(paints), 2), "first": round(paints[0], 2)}
        print(figures, flush=True)
        figures["slider_s"] = slider_s(browser, server, longer)
        print(figures["slider_s"], flush=True)
        figures["at_once"] = visitors_at_once(browser, server, tiny, options.visitors)
        print(figures["at_once"], flush=True)
        figures["memory"] = memory_over_runs(browser, server, tiny, options.runs)
    figures["load_after"] = round(os.getloadavg()[0], 1)
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
