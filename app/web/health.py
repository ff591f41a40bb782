"""How far a run can be trusted: the camera's calibration, what the network ran on, and what each stage cost."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import streamlit as st

from app.web.tables import Digest

_CALIBRATION = {
    "fixed": "as given",
    "uncalibrated": "not yet",
    "calibrating": "going on",
    "calibrated": "settled",
    "invalid": "mount has moved",
}
_SETTLED = ("calibrated", "fixed")


def calibration_facts(frames: pd.DataFrame) -> dict[str, str]:
    """State at the end, and the mount's mean with how far it varied (one standard deviation) while it was believed."""
    last = frames.iloc[-1]
    believed = frames[frames["calibration"].isin(_SETTLED)]
    believed = believed if len(believed) else frames
    facts = {"calibration": _CALIBRATION.get(last["calibration"], str(last["calibration"]))}
    if last["calibration"] == "calibrating":
        facts["calibration"] += f", {100 * last['progress']:.0f} %"
    for name, unit in (("pitch, degrees", "°"), ("yaw, degrees", "°"), ("height, m", " m"), ("horizon, px", " px")):
        values = believed[name].dropna()
        if len(values):
            digits = 0 if unit == " px" else 2
            spread = f"{values.std(ddof=0):.{digits}f}"
            varied = f", varied by {spread}{unit}" if float(spread) else ""
            facts[name.split(",")[0]] = f"{values.mean():.{digits}f}{unit}{varied}"
    return facts


def show_health(data: Digest, summary: dict[str, Any]) -> None:
    """The panel: calibration, horizon, spread, network and provider, stage times, notes."""
    facts = calibration_facts(data.frames) if len(data.frames) else {}
    detector = data.header.detector
    facts |= {
        "network": str(detector.get("name", "none")),
        "provider": str(detector.get("provider", "–")),
        "input": str(detector.get("input_size", "–")),
    }
    if math.isfinite(summary.get("fps") or math.nan):
        facts["pace"] = f"{summary['fps']:.1f} frames/s"
    left, right = st.columns(2, gap="medium")
    left.table(pd.DataFrame({"": facts.values()}, index=list(facts)), border="horizontal")
    left.caption(
        "Pitch is positive nose down, yaw to the left. How much they varied in the run (one sigma) does not say how "
        "right they are."
    )
    stages = summary.get("stage_ms") or {}
    if stages:
        costs = pd.DataFrame({"stage": list(stages), "ms a frame": list(stages.values())})
        right.bar_chart(costs, x="stage", y="ms a frame", horizontal=True, sort=False, height=300, color="#0072B2")
        right.caption("Stages run at the same time: a frame takes less than their sum.")
    for note in summary.get("notes") or ():
        st.caption(f":material/info: {note}")
