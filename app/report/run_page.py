"""The report about one run: figures, player, worst moments with pictures, events, plots, health."""

from __future__ import annotations

import html
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.player.clip import CLIP, browser_clip
from app.player.embed import page_html, player_html
from app.record import clip_path, count, stream
from app.report.gather import Gathered, Moment, gather
from app.report.pictures import pictures
from app.report.plots import Frame, Shade, plot
from app.report.style import script, style, tiles
from geometry.errors import InputError

EMBED_LIMIT_BYTES = 18_000_000
"""A larger clip lies beside the report: in base64 this one makes 24 MB, what mail servers still take (25 MB)."""
_MOST_PICTURES = 8
_MOST_EVENTS = 200
_MOST_TTC_S = 10.0  # beyond it nobody brakes: the plot would show noise alone
_ANNOTATED = ("annotated.mp4", "annotated.partial.mp4")


def run_page(folder: Path, target: Path, on_frame: Callable[[int], None] = lambda done: None) -> str:
    """HTML about the run in a folder; a clip too large for it is written beside ``target``.

    Args:
        on_frame: told how many frames were read.

    Raises:
        InputError: no record, or one without frames.
    """
    recording = stream(folder)
    frames = count(folder)
    if not frames:
        raise InputError(f"{folder} holds a record without frames; there is nothing to report")
    found = gather(recording, frames, on_frame=on_frame)
    title = Path(str(found.header.clip.get("source", "run"))).name
    with _clip(found, target) as clip:
        parts = [
            f"<style>{style()}</style><h1>{html.escape(title)}</h1>",
            _subtitle(found),
            _tiles(found),
            _player(found, clip),
            _moments(found, clip),
            _events(found),
            _plots(found),
            _health(found, folder if folder.is_dir() else folder.parent),
            f'<script type="module">{script()}</script>',
        ]
    return page_html(f"roadlens: {title}", "\n".join(parts))


@contextmanager
def _clip(found: Gathered, target: Path) -> Iterator[Path | None]:
    """The plain clip as browsers play it: the page's copy in the run's folder, or made of the source, beside the report
    only if it is too large to be put into it. None where there is none."""
    source = clip_path(found.run)
    with tempfile.TemporaryDirectory() as work:
        there = found.run.folder / CLIP
        clip: Path | None = there if there.is_file() else None
        if clip is None and source is not None:
            last_s = found.run.results[-1].t_s
            clip = browser_clip(source, Path(work) / CLIP, end_s=last_s + 1.0)
        if clip is not None and clip.stat().st_size > EMBED_LIMIT_BYTES:
            beside = target.parent / CLIP
            if clip != beside:
                beside.write_bytes(clip.read_bytes())
            clip = beside
        yield clip


# -- parts ------------------------------------------------------------------------------------------------------------


def _subtitle(found: Gathered) -> str:
    header, camera = found.header, found.header.camera
    rate = header.clip.get("rate", "")
    words = [
        f"{camera.width_px}x{camera.height_px} pixels, {rate} frames a second, camera {camera.name}",
        f"detector {header.detector.get('name', 'none')}, roadlens {header.roadlens}",
    ]
    if found.run.partial:
        words.append("the run did not come to its end")
    return f"<p class=sub>{'<br>'.join(map(html.escape, words))}</p>"


def _tiles(found: Gathered) -> str:
    tally = found.tally
    speed = found.series["speed"][1]
    known = speed[[math.isfinite(v) for v in speed]]
    kmh = f"{sorted(known)[len(known) // 2]:.0f} km/h" if len(known) else "unknown"
    near = tally.nearest
    objects = tally.objects()
    return tiles(
        [
            (f"{tally.clip_s:.1f} s", f"{tally.frames} frames"),
            (str(len(found.moments)), "warnings"),
            (str(sum(objects.values())), ", ".join(f"{n} {name}" for name, n in objects.items()) or "objects"),
            (f"{near.distance_m:.1f} ± {near.sigma_m:.1f} m", f"nearest: {near.class_name} {near.track_id}")
            if near
            else ("none", "nearest object"),
            (kmh, "own speed, median"),
        ]
    )


def _player(found: Gathered, clip: Path | None) -> str:
    if clip is not None:
        beside = clip.stat().st_size > EMBED_LIMIT_BYTES
        size = f"{clip.stat().st_size / 1e6:.0f} MB"
        note = f"<p class=dim>The clip ({size}) is too large to be in this file: keep {CLIP} beside it.</p>"
        return player_html(found.run, clip, limit_bytes=EMBED_LIMIT_BYTES) + (note if beside else "")
    annotated = _annotated(found)
    if annotated is None:
        return "<p class=none>The clip is not there any more, so it cannot be shown.</p>"
    first_s = found.run.results[0].t_s
    name = html.escape(annotated.name)
    return (
        f'<video class=plain controls muted src="{name}" data-from="{first_s}"></video>'
        f"<p class=dim>The clip is not there any more: this is the annotated video, {name}, which lies beside it.</p>"
    )


def _annotated(found: Gathered) -> Path | None:
    return next((found.run.folder / name for name in _ANNOTATED if (found.run.folder / name).is_file()), None)


def _moments(found: Gathered, clip: Path | None) -> str:
    if not found.moments:
        return "<h2>Worst moments</h2><p>No warning was given.</p>"
    worst = found.worst[:_MOST_PICTURES]
    shown: dict[int, str] = {}
    if clip is not None:
        shown = pictures(found.header, clip, [moment.at for moment in worst])
    figures = []
    for moment in worst:
        uri = shown.get(moment.at.index)
        image = f'<img alt="" src="{uri}">' if uri else ""
        text = html.escape(f"{moment.kind.value}: {moment.worst.text}")
        figures.append(f"<figure>{image}<figcaption>{_jump(moment.worst.t_s)} {text}</figcaption></figure>")
    return f"<h2>Worst moments</h2><div class=moments>{''.join(figures)}</div>"


def _jump(t_s: float) -> str:
    return f'<button class=jump data-t="{t_s:.3f}">{t_s:.2f} s</button>'


def _events(found: Gathered) -> str:
    rows = []
    for moment in found.moments[:_MOST_EVENTS]:
        cells = [_jump(moment.start_s), html.escape(moment.kind.value), _worst_value(moment)]
        cells.append(f"{moment.end_s - moment.start_s:.1f} s")
        cells.append(str(moment.track_id) if moment.track_id else "")
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    more = len(found.moments) - len(rows)
    note = f"<p class=dim>and {more} more in the record</p>" if more > 0 else ""
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in ("from", "what", "at its worst", "lasts", "object"))
    return f"<h2>Events</h2><div class=scroll><table><tr>{head}</tr>{''.join(rows)}</table></div>{note}"


def _worst_value(moment: Moment) -> str:
    return html.escape(moment.worst.text or (f"{moment.worst.value:.2f}" if math.isfinite(moment.worst.value) else ""))


def _plots(found: Gathered) -> str:
    shades = [Shade(m.start_s, max(m.end_s, m.start_s), f"{m.kind.value}: {m.worst.text}") for m in found.moments]
    results = found.run.results
    frame = Frame((results[0].t_s, results[-1].t_s), tuple(shades))
    series = found.series
    ttc = {"time to collision": series["ttc"]}
    bands = "Bands are one standard deviation, shades are warnings; a click jumps there."
    return "\n".join(
        [
            f"<h2>Over time</h2><p class=dim>{bands}</p>",
            plot("Distance of the objects that come nearest, m", found.distances, frame),
            plot(
                f"Shortest time to collision in the own path, s (up to {_MOST_TTC_S:.0f})", ttc, frame, top=_MOST_TTC_S
            ),
            plot("Own speed, km/h", {"speed": series["speed"]}, frame),
            plot("Offset from the lane's middle, m (left is positive)", {"offset": series["offset"]}, frame),
        ]
    )


def _health(found: Gathered, folder: Path) -> str:
    pose = found.run.results[-1].pose
    states = ", ".join(f"{state} for {seconds:.1f} s" for state, seconds in found.calibration.items())
    detector = found.header.detector
    mount = (
        f"{pose.height_m:.2f} m high, pitch {math.degrees(pose.pitch_rad):.2f}, "
        f"yaw {math.degrees(pose.yaw_rad):.2f}, roll {math.degrees(pose.roll_rad):.2f} degrees"
    )
    facts = [
        ("mount", f"{states or pose.state}; at last {mount}"),
        ("provider", ", ".join(detector[k] for k in ("provider", "input_size", "file") if detector.get(k)) or "none"),
        ("frames left out", str(found.missing)),
    ]
    facts += [("note", note) for note in _summary(folder).get("notes", [])]
    rows = "".join(f"<tr><th>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>" for a, b in facts)
    return f"<h2>Health</h2><table>{rows}</table>{_stages(found)}"


def _summary(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "summary.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _stages(found: Gathered) -> str:
    stages = found.tally.stage_ms()
    longest = max(stages.values(), default=0.0) or 1.0
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td class=n>{ms:.2f}</td>"
        f'<td style="width:60%"><div class=bar><i style="width:{100 * ms / longest:.1f}%"></i></div></td></tr>'
        for name, ms in stages.items()
    )
    return f"<h3>Milliseconds a frame (stages run at the same time)</h3><table>{rows}</table>" if rows else ""
