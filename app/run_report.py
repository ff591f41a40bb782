"""One HTML file about a run: events with their pictures, distances, speeds and lane offset over time. Needs no network.

Plots are SVG made here: a report from five years ago must open without anybody's script server.
"""

from __future__ import annotations

import base64
import html
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from app.record import Run, load
from app.types import Event
from app.video import frames
from geometry.errors import InputError
from perception.types import CLASSES
from tracking.types import TrackState

_WIDTH, _HEIGHT, _MARGIN = 900, 220, 46
_MOST_PICTURES = 12
_MOST_TRACKS = 12
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")  # Okabe and Ito

Series = dict[str, tuple[np.ndarray, np.ndarray]]
"""Name -> times and values."""


def write_report(folder: str | Path, path: str | Path | None = None) -> Path:
    """Writes ``report.html`` about the run in a folder, pictures and plots inside.

    Raises:
        InputError: no record there, a record without frames, or no right to write.
    """
    run = load(folder)
    if not run.results:
        raise InputError(f"{folder} holds a record without frames; there is nothing to report")
    target = Path(path) if path else run.folder / "report.html"
    parts = [_facts(run), _moments(run)]
    speed_kmh = [result.ego.speed_mps * 3.6 for result in run.results]
    offset_m = [result.lanes.offset_m for result in run.results]
    parts += [
        _plot("Distance of confirmed objects, m", _distances(run)),
        _plot("Own speed, km/h", {"speed": _of_frames(run, speed_kmh)}),
        _plot("Offset from the middle of the lane, m (left is positive)", {"offset": _of_frames(run, offset_m)}),
    ]
    title = html.escape(Path(str(run.header.clip.get("source", "run"))).name)
    try:
        target.write_text(_PAGE.format(title=title, body="\n".join(parts)), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}") from error
    return target


def _of_frames(run: Run, values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([result.t_s for result in run.results]), np.array(values, float)


def _distances(run: Run) -> Series:
    """Of the tracks that came nearest."""
    seen: dict[int, list[tuple[float, float]]] = defaultdict(list)
    names: dict[int, str] = {}
    for result in run.results:
        tracks = result.tracks[result.tracks.state == TrackState.CONFIRMED]
        for number, class_id, x_m in zip(tracks.track_id, tracks.class_id, tracks.xy_m[:, 0], strict=True):
            if math.isfinite(x_m) and not CLASSES[class_id].startswith("traffic"):
                seen[int(number)].append((result.t_s, float(x_m)))
                names[int(number)] = CLASSES[class_id]
    nearest = sorted(seen, key=lambda number: min(x_m for _, x_m in seen[number]))[:_MOST_TRACKS]
    return {f"{names[n]} {n}": (np.array(seen[n])[:, 0], np.array(seen[n])[:, 1]) for n in nearest}


def _facts(run: Run) -> str:
    header = run.header
    camera = header.camera
    rows = {
        "clip": header.clip.get("source", ""),
        "frames": f"{len(run.results)}, {run.results[0].t_s:.2f} s to {run.results[-1].t_s:.2f} s"
        + (" (the run was not finished)" if run.partial else ""),
        "camera": f"{camera.name}: {camera.height_m:.2f} m high, {math.degrees(camera.pitch_rad):.2f} degrees down",
        "detector": ", ".join(f"{header.detector.get(key, '')}" for key in ("name", "input_size", "provider")),
        "roadlens": header.roadlens,
    }
    cells = "".join(f"<tr><th>{name}</th><td>{html.escape(str(text))}</td></tr>" for name, text in rows.items())
    return f"<table>{cells}</table>"


def _moments(run: Run) -> str:
    """Events with the picture of the annotated video at that time."""
    events = [event for result in run.results for event in result.events if event.phase == "start"]
    if not events:
        return "<h2>Events</h2><p>No warning was given.</p>"
    pictures = _pictures(run, events[:_MOST_PICTURES])
    items = []
    for number, event in enumerate(events):
        picture = f'<img alt="" src="data:image/jpeg;base64,{pictures[number]}">' if number in pictures else ""
        text = html.escape(f"{event.t_s:.2f} s: {event.kind.value}. {event.text}")
        items.append(f"<figure>{picture}<figcaption>{text}</figcaption></figure>")
    return f"<h2>Events</h2><div class=moments>{''.join(items)}</div>"


def _pictures(run: Run, events: Sequence[Event]) -> dict[int, str]:
    """JPEG in base64 by number of the event, in one pass through the video; nothing where there is no video."""
    names = ("annotated.mp4", "annotated.partial.mp4")
    video = next((run.folder / name for name in names if (run.folder / name).is_file()), None)
    if video is None:
        return {}
    start_s = run.results[0].t_s
    wanted = sorted((event.t_s - start_s, number) for number, event in enumerate(events))
    found: dict[int, str] = {}
    for frame in frames(video):
        while wanted and frame.t_s >= wanted[0][0] - 1e-3:
            scale = min(1.0, 640 / frame.bgr.shape[1])
            small = cv2.resize(frame.bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            found[wanted.pop(0)[1]] = base64.b64encode(cv2.imencode(".jpg", small)[1].tobytes()).decode()
        if not wanted:
            break
    return found


def _plot(title: str, series: Series) -> str:
    """An SVG of some lines over time; gaps stay gaps."""
    finite = {name: (t[np.isfinite(y)], y[np.isfinite(y)]) for name, (t, y) in series.items() if np.isfinite(y).any()}
    if not finite:
        return f"<h2>{html.escape(title)}</h2><p>Nothing is known.</p>"
    t_low, t_high = min(t.min() for t, _ in finite.values()), max(t.max() for t, _ in finite.values())
    low, high = min(0.0, min(y.min() for _, y in finite.values())), max(y.max() for _, y in finite.values())
    span_t, span = max(t_high - t_low, 1e-9), max(high - low, 1e-9)
    lines = []
    for number, (name, (t, y)) in enumerate(finite.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        px = _MARGIN + (t - t_low) / span_t * (_WIDTH - 2 * _MARGIN)
        py = _HEIGHT - 24 - (y - low) / span * (_HEIGHT - 44)
        breaks = np.flatnonzero(np.diff(t) > 0.5) + 1
        for part in np.split(np.arange(len(t)), breaks):
            points = " ".join(f"{px[i]:.1f},{py[i]:.1f}" for i in part)
            lines.append(f'<polyline points="{points}" stroke="{colour}"><title>{html.escape(name)}</title></polyline>')
        lines.append(f'<text x="{px[-1] + 3:.1f}" y="{py[-1]:.1f}" fill="{colour}">{html.escape(name)}</text>')
    for value, y_px in ((low, _HEIGHT - 24), (high, 20)):
        lines.append(f'<text x="4" y="{y_px}">{value:.1f}</text>')
    for value, x_px in ((t_low, _MARGIN), (t_high, _WIDTH - _MARGIN)):
        lines.append(f'<text x="{x_px}" y="{_HEIGHT - 6}">{value:.1f} s</text>')
    return f'<h2>{html.escape(title)}</h2><svg viewBox="0 0 {_WIDTH} {_HEIGHT}">{"".join(lines)}</svg>'


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>roadlens: {title}</title><style>
body {{ font: 15px/1.45 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em; color: #222; }}
th {{ text-align: left; padding-right: 1.5em; font-weight: 600; }}
svg {{ width: 100%; background: #f7f7f7; }} svg text {{ font-size: 11px; }}
polyline {{ fill: none; stroke-width: 1.6; }}
.moments {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); gap: 1em; }}
figure {{ margin: 0; }} figure img {{ width: 100%; }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""
