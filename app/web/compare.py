"""Compare: two runs side by side, their pictures and their figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app.jobs.store import JobState
from app.runner import SUMMARY, VIDEO
from app.web.common import queue, visitor
from app.web.files import address

_NOTHING_YET = "Two finished runs are needed. Run the same clip with another model, camera or setting, then come back."


def place() -> None:
    """Two of the visitor's finished runs."""
    st.header("Compare two runs", anchor=False)
    store = queue().store
    done = [i for i in store.ids(visitor())[::-1] if store.status(i).state is JobState.DONE]
    if len(done) < 2:
        st.info(_NOTHING_YET, icon=":material/info:")
        return
    sides = st.columns(2, gap="medium")
    words = {job_id: f"{store.spec(job_id).name} · {_detector(job_id)} · {job_id[:6]}" for job_id in done}
    picked = [
        side.selectbox(label, done, index=index, format_func=words.__getitem__)
        for index, (side, label) in enumerate(zip(sides, ("Left", "Right"), strict=True))
    ]
    for side, job_id in zip(sides, picked, strict=True):
        video = store.results(job_id) / VIDEO
        if video.is_file():
            side.html(_video(job_id))
    figures = {name: [side.get(name) for side in map(_figures, picked)] for name in _names(picked)}
    told = {
        name: ["–" if value is None or pd.isna(value) else str(value) for value in both]
        for name, both in figures.items()
    }
    table = pd.DataFrame(told, index=["left", "right"]).T
    st.dataframe(table, width="stretch", height="content", column_config={"_index": st.column_config.Column(width=220)})


def _video(job_id: str) -> str:
    """The annotated video straight from the disk."""
    how = 'controls muted playsinline preload="metadata" style="width:100%; border-radius:8px"'
    return f'<video {how} src="{address(job_id, VIDEO)}"></video>'


def _names(job_ids: list[str]) -> list[str]:
    """Of both runs, those of one kind ("objects: car", "objects: truck") beside each other."""
    names = list(dict.fromkeys(name for job_id in job_ids for name in _figures(job_id)))
    kinds = list(dict.fromkeys(name.split(":")[0] for name in names))
    return sorted(names, key=lambda name: kinds.index(name.split(":")[0]))


def _detector(job_id: str) -> str:
    return str(_summary(job_id).get("detector", {}).get("name", "no model"))


def _summary(job_id: str) -> dict[str, Any]:
    path = queue().store.results(job_id) / SUMMARY
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _figures(job_id: str) -> dict[str, Any]:
    """What is worth setting side by side of a run's summary and settings."""
    summary = _summary(job_id)
    camera = queue().store.spec(job_id).settings.get("camera", {}).get("profile", "")
    nearest = summary.get("nearest") or {}
    return {
        "model": _detector(job_id),
        "camera": Path(camera).stem,
        "frames": summary.get("frames"),
        "frames a second": summary.get("fps"),
        "nearest, m": nearest.get("distance_m"),
        **{f"objects: {name}": count for name, count in summary.get("objects", {}).items()},
        **{f"warnings: {name}": count for name, count in summary.get("warnings", {}).items()},
        **{f"ms a frame: {name}": ms for name, ms in summary.get("stage_ms", {}).items()},
    }
