"""The places of the page and the way between them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from app.web import calibrate, compare, explore, run
from app.web.common import chosen_run, visitor

ICON = Path(__file__).resolve().parents[1] / "ui" / "icon.svg"  # a name of a symbol would be fetched from elsewhere


@cache
def places() -> dict[str, Any]:
    """The places by the last part of their address."""
    return {
        "run": st.Page(run.place, title="Run", icon=":material/play_circle:", url_path="run", default=True),
        "explore": st.Page(explore.place, title="Explore", icon=":material/travel_explore:", url_path="explore"),
        "calibrate": st.Page(calibrate.place, title="Calibrate", icon=":material/architecture:", url_path="calibrate"),
        "compare": st.Page(compare.place, title="Compare", icon=":material/compare:", url_path="compare"),
    }


def show() -> None:
    """Draws the place that the address names."""
    st.set_page_config(page_title="roadlens", page_icon=str(ICON), layout="wide")
    visitor()
    page = st.navigation(list(places().values()), position="top")
    run_id = chosen_run()
    first_look = "seen" not in st.session_state
    st.session_state["seen"] = True
    if (
        first_look and page is places()["run"] and run_id is not None
    ):  # a link to a run, or a reload at the moment of leaving here
        st.switch_page(places()["explore"], query_params={"run": run_id})
    page.run()
