"""The places of the page and the way between them."""

from __future__ import annotations

import streamlit as st

from app.web import explore, run
from app.web.common import visitor


def show() -> None:
    """Draws the place that the address names."""
    st.set_page_config(page_title="roadlens", page_icon=":material/directions_car:", layout="wide")
    visitor()
    places = [
        st.Page(run.place, title="Run", icon=":material/play_circle:", url_path="run", default=True),
        st.Page(explore.place, title="Explore", icon=":material/travel_explore:", url_path="explore"),
    ]
    st.navigation(places, position="top").run()
