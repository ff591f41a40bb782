"""The player where it is needed: in the page as a component, in a report as part of one HTML file."""

from __future__ import annotations

import base64
import html
import json
from functools import cache
from pathlib import Path
from typing import Any

from app.player.data import player_data
from app.record import Run

_HERE = Path(__file__).resolve().parent
EMBED_LIMIT_BYTES = 64 << 20  # a larger clip stays beside the report: browsers take seconds to read such a page


@cache
def asset(name: str) -> str:
    """Text of one of the player's files."""
    return (_HERE / name).read_text(encoding="utf-8")


def player_html(run: Run, clip: str | Path, *, limit_bytes: int = EMBED_LIMIT_BYTES) -> str:
    """The player as a piece of HTML with everything in it: style, script, records and, if not too large, the clip.

    Args:
        clip: the plain clip, as ``browser_clip`` makes it. A larger one is linked by its name, to lie beside the file.
        limit_bytes: the largest clip that is put into the page.

    The script leaves the player's handle in ``globalThis.roadlensPlayer``, for other parts of the page to jump with.
    """
    path = Path(clip)
    source = path.name
    if path.stat().st_size <= limit_bytes:
        source = "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
    data: dict[str, Any] = {**player_data(run), "src": source}
    script = asset("player.js").replace("export function mount", "function mount")
    return (
        f"<style>{asset('player.css')}</style>\n{asset('player.html')}\n"
        f'<script type="application/json" id="roadlens-data">{_in_script(data)}</script>\n'
        f'<script type="module">{script}\nconst roadlensData = document.getElementById("roadlens-data").textContent;\n'
        "globalThis.roadlensPlayer = mount(document, JSON.parse(roadlensData));</script>"
    )


def page_html(title: str, body: str) -> str:
    """A whole HTML page around pieces of HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title></head>\n<body>{body}</body></html>\n"
    )


def _in_script(data: dict[str, Any]) -> str:
    """JSON that cannot end the script it stands in, whatever texts it holds."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
