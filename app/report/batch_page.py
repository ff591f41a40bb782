"""The report about a batch: totals, the worst moments with pictures, failures, and a table of all clips."""

from __future__ import annotations

import html
import json
import math
import statistics
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.batch_clip import failures
from app.player.embed import page_html
from app.record import stream
from app.report.gather import badness
from app.report.pictures import jpeg, picture_at
from app.report.style import style, tiles
from app.types import EventKind
from geometry.errors import InputError

_MOST_MOMENTS = 12
_REPORT = "report.html"


def batch_page(folder: Path, target: Path) -> str:
    """HTML about the clips in a batch's folder.

    Raises:
        InputError: no clip there.
    """
    clips = {path.parent.name: _summary(path) for path in sorted(folder.glob("*/summary.json"))}
    failed = failures(folder)
    if not clips and not failed:
        raise InputError(f"{folder} holds neither a run nor a batch; wanted a folder with results.jsonl, or with clips")
    title = f"{folder.resolve().name}: {len(clips)} clips"
    parts = [
        f"<style>{style()}</style><h1>{html.escape(title)}</h1>",
        _totals(clips, failed),
        _moments(folder, clips),
        _failures(failed),
        _table(folder, target, clips),
    ]
    return page_html(f"roadlens: {title}", "\n".join(parts))


def _summary(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _totals(clips: dict[str, dict[str, Any]], failed: dict[str, str]) -> str:
    seconds = sum(clip.get("clip_s") or 0.0 for clip in clips.values())
    warnings: dict[str, int] = {}
    for clip in clips.values():
        for kind, number in clip.get("warnings", {}).items():
            warnings[kind] = warnings.get(kind, 0) + number
    objects = sum(sum(clip.get("objects", {}).values()) for clip in clips.values())
    road = f"{seconds / 3600:.1f} h" if seconds > 7200 else f"{seconds / 60:.1f} min"
    rates = [clip["fps"] for clip in clips.values() if clip.get("fps")]
    return tiles(
        [
            (road, f"of road in {len(clips)} clips"),
            (str(sum(warnings.values())), ", ".join(f"{n} {kind}" for kind, n in warnings.items()) or "warnings"),
            (str(objects), "objects"),
            (f"{statistics.median(rates):.0f}" if rates else "unknown", "frames a second, median of the clips"),
            (str(len(failed)), "clips failed"),
        ]
    )


def _moments(folder: Path, clips: dict[str, dict[str, Any]]) -> str:
    events = [
        (badness(EventKind(event["kind"]), math.nan if event["value"] is None else event["value"]), name, event)
        for name, clip in clips.items()
        for event in clip.get("events", [])
        if event["kind"] != EventKind.CALIBRATION.value
    ]
    if not events:
        return "<h2>Worst moments</h2><p>No warning was given.</p>"
    figures = []
    for _, name, event in sorted(events, key=lambda item: item[:2])[:_MOST_MOMENTS]:
        uri = _picture(folder / name, event["t_s"])
        image = f'<img alt="" src="{uri}">' if uri else ""
        text = html.escape(f"{event['t_s']:.2f} s, {event['kind']}: {event['text']}")
        figures.append(f"<figure>{image}<figcaption><b>{html.escape(name)}</b> {text}</figcaption></figure>")
    return f"<h2>Worst moments</h2><div class=moments>{''.join(figures)}</div>"


def _picture(folder: Path, t_s: float) -> str:
    """The annotated frame of a moment, empty where there is none; its video begins with the record's first frame."""
    video = folder / "annotated.mp4"
    if not video.is_file():
        return ""
    try:
        first = next(iter(stream(folder).results), None)
    except InputError:
        return ""
    picture = picture_at(video, t_s - (first.t_s if first else 0.0))
    return "" if picture is None else jpeg(picture)


def _failures(failed: dict[str, str]) -> str:
    if not failed:
        return ""
    rows = "".join(
        f"<tr><td class=failed>{html.escape(name)}</td><td>{html.escape(reason)}</td></tr>"
        for name, reason in failed.items()
    )
    return f"<h2>Failed</h2><div class=scroll><table>{rows}</table></div>"


def _table(folder: Path, target: Path, clips: dict[str, dict[str, Any]]) -> str:
    names = ("clip", "length", "frames a second", "objects", "warnings", "nearest", "calibration", "notes")
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = "".join(_row(folder, target, name, clip) for name, clip in clips.items())
    return f"<h2>Clips</h2><div class=scroll><table><tr>{head}</tr>{rows}</table></div>"


def _row(folder: Path, target: Path, name: str, clip: dict[str, Any]) -> str:
    nearest = clip.get("nearest") or {}
    states = [e["text"] for e in clip.get("events", []) if e["kind"] == EventKind.CALIBRATION.value]
    cells = [
        f"{clip.get('clip_s') or 0.0:.1f} s",
        f"{clip.get('fps') or 0.0:.1f}",
        ", ".join(f"{n} {kind}" for kind, n in clip.get("objects", {}).items()),
        ", ".join(f"{n} {kind}" for kind, n in clip.get("warnings", {}).items()),
        f"{nearest['class_name']} {nearest['distance_m']:.1f} ± {nearest['sigma_m']:.1f} m" if nearest else "",
        states[-1].rpartition("-> ")[2] if states else "",
        "; ".join(clip.get("notes", [])),
    ]
    linked = html.escape(name)
    if (folder / name / _REPORT).is_file() and target.parent.resolve() == folder.resolve():
        linked = f'<a href="{quote(name)}/{_REPORT}">{linked}</a>'
    return f"<tr><td>{linked}</td>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
