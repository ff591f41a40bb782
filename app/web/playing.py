"""The player on the page: a Streamlit component around app.player."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime import get_instance

from app.player.data import player_data
from app.player.embed import asset
from app.record import Run


def play(run: Run, clip: Path) -> None:
    """Shows a run over its plain clip; an event picked elsewhere on the page is jumped to (see ``jump``)."""
    jump_s, count = st.session_state.get("player_jump", (0.0, 0))
    token = f"{clip}:{clip.stat().st_mtime_ns}"
    data: dict[str, Any] = {
        **_data(run, token),
        "src": _address(clip),
        "token": token,
        "jump_s": jump_s,
        "jump_count": count,
    }
    _component()(key="player", data=data)


def jump(t_s: float) -> None:
    """Makes the player go to a time when the page is drawn next."""
    _, count = st.session_state.get("player_jump", (0.0, 0))
    st.session_state["player_jump"] = (t_s, count + 1)


@st.cache_data(max_entries=4, show_spinner="preparing the player")
def _data(_run: Run, token: str) -> dict[str, Any]:
    return player_data(_run)


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    script = asset("player.js") + asset("component.js")
    return st.components.v2.component("roadlens_player", html=asset("player.html"), css=asset("player.css"), js=script)


def _address(clip: Path) -> str:
    """Where the browser gets the clip: Streamlit's own media storage, which answers range requests."""
    return get_instance().media_file_mgr.add(str(clip), "video/mp4", coordinates="roadlens-player")
