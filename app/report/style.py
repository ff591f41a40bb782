"""What all report pages look like, and what a click does."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path


def style() -> str:
    """The style sheet."""
    return (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


def script() -> str:
    """What a click does."""
    return (Path(__file__).parent / "report.js").read_text(encoding="utf-8")


def tiles(facts: Sequence[tuple[str, str]]) -> str:
    """Figures in large type, what they are below each."""
    shown = (f"<div><b>{html.escape(a)}</b><span>{html.escape(b)}</span></div>" for a, b in facts)
    return f"<div class=tiles>{''.join(shown)}</div>"
