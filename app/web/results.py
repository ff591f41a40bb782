"""What a run found: the player, warnings, one object over time, health, tables, downloads."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app.events import EventConfig
from app.jobs.store import PLAYER, VIEW
from app.partial import size_words
from app.player.clip import CLIP
from app.runner import RECORD, SUMMARY, VIDEO
from app.types import EventKind
from app.web.common import queue, visitor
from app.web.deleting import delete_box
from app.web.files import EXPORTS, FILES, address, existing
from app.web.health import show_health
from app.web.playing import jump, play
from app.web.plots import collision_plot, distance_plot, speed_plot
from app.web.tables import Digest, digest, objects_by_interest
from geometry.errors import InputError

_MOST_ROWS = 5000  # of a table on the screen; the CSV has them all


def show_results(job_id: str) -> None:
    """Everything about an ended run, whole or partial."""
    folder = queue().store.results(job_id)
    data = _record(folder)
    if data is not None:
        followed = _picture(job_id, folder)
        summary = _summary(folder)
        _numbers(data, summary)
        _events(data)
        _objects(data, followed)
        st.subheader("Health", anchor=False)
        show_health(data, summary)
        _tables(data)
    _downloads(job_id, folder, record=data is not None)
    _keep(job_id)


def _record(folder: Path) -> Digest | None:
    path = existing(folder / RECORD)
    if path is None:
        st.info("Nothing was recorded: the run ended before its first frame.", icon=":material/info:")
        return None
    try:
        return _digest(str(path), path.stat().st_mtime_ns)
    except InputError as error:
        st.error(str(error), icon=":material/error:")
        return None


@st.cache_resource(max_entries=4, show_spinner="reading the record")
def _digest(path: str, changed_ns: int) -> Digest:
    return digest(Path(path))


def _summary(folder: Path) -> dict[str, Any]:
    path = existing(folder / SUMMARY)
    return json.loads(path.read_text(encoding="utf-8")) if path is not None else {}


def _picture(job_id: str, folder: Path) -> int:
    """The player where there is a plain clip; else the annotated video. The object that is followed."""
    clip, video = folder / CLIP, existing(folder / VIDEO)
    if clip.is_file():
        return play(job_id, clip)
    if video is not None:
        st.video(str(video), muted=True)
    else:
        st.info("There is no clip to play; the records are below.", icon=":material/info:")
    return 0


def _numbers(data: Digest, summary: dict[str, Any]) -> None:
    nearest = summary.get("nearest") or {}
    warned = data.events[data.events["what"] != EventKind.CALIBRATION.value]
    with st.container(horizontal=True):
        st.metric("Warnings", len(warned))
        if nearest:
            st.metric(
                "Nearest", f"{nearest['distance_m']:.1f} m", help=f"{nearest['class_name']} at {nearest['t_s']:.1f} s"
            )
        st.metric("Objects", data.tracks["object"].nunique() if len(data.tracks) else 0)
        own = data.frames["own speed, km/h"].dropna()
        st.metric("Own speed", f"{own.median():.0f} km/h" if len(own) else "–", help="In the median.")


# -- warnings ---------------------------------------------------------------------------------------------------------


def _events(data: Digest) -> None:
    st.subheader("Events", anchor=False)
    if data.events.empty:
        st.caption("None in this clip.")
        return
    kinds = sorted(data.events["what"].unique())
    wanted = st.pills("Kinds", kinds, selection_mode="multi", default=kinds, label_visibility="collapsed")
    shown = data.events[data.events["what"].isin(wanted)]
    st.session_state["event_times"] = shown["time, s"].tolist()
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        on_select=_jump_to_picked,
        selection_mode="single-row",
        key="events",
        column_config={
            "time, s": st.column_config.NumberColumn(width=80, format="%.2f"),
            "what": st.column_config.Column("kind", width="small"),
            "object": st.column_config.Column(width=70),
            "words": st.column_config.Column("what happens", width="large"),
        },
    )
    st.caption("Choose a row, or a mark on the player's timeline, to jump to its moment.")


def _jump_to_picked() -> None:
    rows = st.session_state["events"].selection.rows
    if rows and rows[0] < len(st.session_state["event_times"]):
        jump(st.session_state["event_times"][rows[0]])


# -- one object -------------------------------------------------------------------------------------------------------


def _objects(data: Digest, followed: int) -> None:
    st.subheader("One object over time", anchor=False)
    words = objects_by_interest(data)
    if not words:
        st.caption("No objects were followed in this clip.")
        return
    if followed and followed != st.session_state.get("followed"):
        name = next((name for name in words if name.endswith(f" {followed}")), None)
        if name is not None:
            st.session_state["object"] = name
    st.session_state["followed"] = followed
    if st.session_state.get("object") not in words:
        st.session_state.pop("object", None)
    _object(data, words)


@st.fragment
def _object(data: Digest, words: dict[str, str]) -> None:
    name = st.selectbox(
        "Object", list(words), format_func=words.__getitem__, key="object", help="Or click one in the player."
    )
    track = data.tracks[data.tracks["object"] == name]
    collision = collision_plot(track, EventConfig().collision_ttc_s)
    columns = st.columns(3, gap="medium")
    columns[0].altair_chart(distance_plot(track), width="stretch")
    columns[1].altair_chart(speed_plot(track, data.frames), width="stretch")
    if collision is not None:
        columns[2].altair_chart(collision, width="stretch")
    else:
        columns[2].caption("Never on the way to a collision within ten seconds.")


# -- tables -----------------------------------------------------------------------------------------------------------


@st.fragment
def _tables(data: Digest) -> None:
    with st.expander("Tables", icon=":material/table:"):
        what = st.segmented_control("Table", ["objects", "frames"], default="objects", label_visibility="collapsed")
        table = data.frames if what == "frames" else _filtered(data.tracks)
        st.dataframe(table.head(_MOST_ROWS), hide_index=True, width="stretch")
        if len(table) > _MOST_ROWS:
            st.caption(f"The first {_MOST_ROWS} of {len(table)} rows; the CSV below has them all.")


def _filtered(tracks: pd.DataFrame) -> pd.DataFrame:
    if tracks.empty:
        return tracks
    classes = tracks["object"].astype(str).str.rsplit(" ", n=1).str[0]
    left, middle, right = st.columns(3)
    wanted = left.multiselect("Classes", sorted(classes.unique()), placeholder="all")
    farthest_m = float(tracks["distance, m"].max()) + 1.0
    within_m = middle.slider("Distance up to, m", 1.0, farthest_m, farthest_m)
    ttc_only = right.toggle("Only while closing in", help="Rows that have a time to collision.")
    keep = tracks["distance, m"] <= within_m
    if wanted:
        keep &= classes.isin(wanted)
    if ttc_only:
        keep &= tracks["time to collision, s"].notna()
    return tracks[keep]


# -- files ------------------------------------------------------------------------------------------------------------


def _downloads(job_id: str, folder: Path, *, record: bool) -> None:
    """Links to the files; the browser fetches them from the disk, nothing is read before the click."""
    found = {name: path for name in FILES if name not in (PLAYER, VIEW) and (path := existing(folder / name))}
    links = [
        f'<a href="{address(job_id, name)}?download" download="{path.name}">{html.escape(path.name)}'
        f"<small>{size_words(path)}</small></a>"
        for name, path in found.items()
    ]
    if record:
        links += [
            f'<a href="{address(job_id, name)}?download" download="{name}">{name}<small>made on click</small></a>'
            for name in EXPORTS
        ]
    if links:
        st.subheader("Downloads", anchor=False)
        st.html(f"{_LINK_STYLE}<div class='rl-files'>{''.join(links)}</div>")


_LINK_STYLE = """<style>
.rl-files { display: flex; flex-wrap: wrap; gap: 8px; }
.rl-files a { display: inline-flex; flex-direction: column; padding: 6px 14px; border-radius: 8px;
  text-decoration: none; border: 1px solid rgba(128, 140, 150, 0.5); color: inherit; font-weight: 600; }
.rl-files a:hover, .rl-files a:focus-visible { border-color: #56b4e9; }
.rl-files small { font-weight: 400; opacity: 0.75; }
</style>"""


def _keep(job_id: str) -> None:
    """The link that reopens the run, for oneself and for whom one gives it to; and the end of it."""
    st.subheader("Keep, share or delete", anchor=False)
    here = str(st.context.url or "").rstrip("/").rsplit("/", 1)[0]
    st.code(f"{here}/explore?run={job_id}", language=None, wrap_lines=True)
    st.caption("Whoever has this link and reaches this server sees this run, and no other run of yours.")
    if queue().store.spec(job_id).owner == visitor():
        delete_box(job_id, "Delete this run")
    else:
        st.caption("It can be deleted by the browser that started it.")
