"""The player and the view of a live run on the page: Streamlit components around files that the server gives out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from app.jobs.store import PLAYER, VIEW
from app.player.embed import asset
from app.web.components import component
from app.web.files import address


def play(job_id: str, clip: Path) -> int:
    """Shows a run over its plain clip; an event picked elsewhere on the page is jumped to (see ``jump``).

    Returns:
        The number of the object that the person follows, 0 for none.
    """
    jump_s, count = st.session_state.get("player_jump", (0.0, 0))
    data = {
        "src": address(job_id, clip.name.replace(".partial", "")),
        "records": address(job_id, PLAYER),
        "token": f"{job_id}:{clip.stat().st_mtime_ns}",
        "jump_s": jump_s,
        "jump_count": count,
    }
    answer = _player()(key=f"player-{job_id}", data=data, on_followed_change=lambda: None)
    return int(answer.followed or 0)


def jump(t_s: float) -> None:
    """Makes the player go to a time when the page is drawn next."""
    _, count = st.session_state.get("player_jump", (0.0, 0))
    st.session_state["player_jump"] = (t_s, count + 1)


def watch(job_id: str) -> None:
    """Shows the newest picture of a live run, again and again."""
    component("live")(key=f"live-{job_id}", data={"address": address(job_id, VIEW)})


@st.cache_resource(show_spinner=False)
def _player() -> Any:
    script = asset("player.js") + asset("component.js")
    return st.components.v2.component("roadlens_player", html=asset("player.html"), css=asset("player.css"), js=script)
