"""Our own parts of the page: a folder of one HTML, one CSS and one JS file each, named as the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).resolve().parent


@st.cache_resource(show_spinner=False)
def component(name: str) -> Any:
    """The Streamlit component (v2) whose files lie in the folder ``name`` beside this module."""
    html, css, js = ((_HERE / name / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    return st.components.v2.component(f"roadlens_{name}", html=html, css=css, js=js)
