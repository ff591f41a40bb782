"""The places of the page and the way between them."""

from __future__ import annotations

import streamlit as st

from app.web import calibrate, compare, explore, run
from app.web.common import chosen_run, visitor

RUN = st.Page(run.place, title="Run", icon=":material/play_circle:", url_path="run", default=True)
EXPLORE = st.Page(explore.place, title="Explore", icon=":material/travel_explore:", url_path="explore")
CALIBRATE = st.Page(calibrate.place, title="Calibrate", icon=":material/architecture:", url_path="calibrate")
COMPARE = st.Page(compare.place, title="Compare", icon=":material/compare:", url_path="compare")


def show() -> None:
    """Draws the place that the address names."""
    st.set_page_config(page_title="roadlens", page_icon=":material/directions_car:", layout="wide")
    visitor()
    page = st.navigation([RUN, EXPLORE, CALIBRATE, COMPARE], position="top")
    run_id = chosen_run()
    first_look = "seen" not in st.session_state
    st.session_state["seen"] = True
    if first_look and page is RUN and run_id is not None:  # a link to a run, or a reload at the moment of leaving here
        st.switch_page(EXPLORE, query_params={"visitor": visitor(), "run": run_id})
    page.run()
