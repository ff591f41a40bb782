"""Explore: how a run goes, and what it found."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from app.jobs.store import JobState, JobStatus
from app.partial import partial_path
from app.player.clip import CLIP
from app.record import Run, load
from app.runner import RECORD, SETTINGS, SUMMARY, VIDEO
from app.types import FrameResult
from app.web.common import STATE_WORDS, choose_run, chosen_run, queue, visitor
from app.web.playing import jump, play
from geometry.errors import InputError
from perception.types import CLASSES
from tracking.types import TrackState

_REFRESH_S = 0.5
_DOWNLOADS = {
    VIDEO: "video/mp4",
    RECORD: "application/jsonl",
    SETTINGS: "application/toml",
    SUMMARY: "application/json",
}


def place() -> None:
    """The run that the address names, or a choice of the visitor's runs."""
    job_id = chosen_run()
    _choice(job_id)
    if job_id is None:
        return
    status = queue().store.status(job_id)
    if not status.state.ended:
        _waiting(job_id)
        return
    if status.state is JobState.FAILED:
        st.error(status.message, icon=":material/error:")
    elif status.state is JobState.CANCELLED:
        st.warning("This run was cancelled; what was done before is below.", icon=":material/stop_circle:")
    _results(job_id)


def _choice(current: str | None) -> None:
    store = queue().store
    own = store.ids(visitor())[::-1]
    if current is not None and current not in own:
        own.insert(0, current)
    if not own:
        st.info("No runs yet. Choose a clip in Run; its result will be here.", icon=":material/info:")
        return
    words = {i: f"{store.spec(i).name} · {STATE_WORDS[store.status(i).state]}" for i in own}
    picked = st.selectbox(
        "Run",
        own,
        index=own.index(current) if current is not None else None,
        format_func=words.__getitem__,
        placeholder="choose one of your runs",
    )
    if picked != current:
        choose_run(picked)
        st.rerun()


@st.fragment(run_every=_REFRESH_S)
def _waiting(job_id: str) -> None:
    """Progress of a run; only this part of the page is drawn again."""
    status = queue().store.status(job_id)
    if status.state.ended:
        st.rerun()
    if status.state is JobState.QUEUED:
        before = queue().position(job_id)
        st.progress(0.0, f"waiting: {before} before this one" if before else "next to start")
    else:
        st.progress(status.share, _progress_words(status))
    if st.button("Cancel", icon=":material/stop:"):
        queue().cancel(job_id)


def _progress_words(status: JobStatus) -> str:
    if not status.frames_done:
        return "loading the model"
    words = f"{status.frames_done}/{status.frames_total or '?'} frames"
    if status.fps > 0:
        words += f", {status.fps:.1f} frames a second"
        if status.frames_total:
            words += f", {(status.frames_total - status.frames_done) / status.fps:.0f} s left"
    return words


# -- results ------------------------------------------------------------------------------------------------------


def _results(job_id: str) -> None:
    folder = queue().store.results(job_id)
    run = _record(folder)
    _picture(folder, run)
    if run is not None:
        _events(run)
        _tracks(run)
    _downloads(folder)
    if st.button("Delete this run", icon=":material/delete:"):
        queue().store.delete(job_id)
        choose_run(None)
        st.rerun()


def _record(folder: Path) -> Run | None:
    record = _existing(folder / RECORD)
    if record is None:
        return None
    try:
        return _load(str(record), record.stat().st_mtime_ns)
    except InputError as error:
        st.error(str(error), icon=":material/error:")
        return None


def _picture(folder: Path, run: Run | None) -> None:
    """The player where there is a plain clip; else what there is of the annotated video."""
    clip, video = folder / CLIP, _existing(folder / VIDEO)
    if run is not None and clip.is_file():
        play(run, clip)
    elif video is not None:
        st.video(str(video), muted=True)


def _existing(path: Path) -> Path | None:
    """The file, or what is left of it where the run did not end."""
    return next((p for p in (path, partial_path(path)) if p.is_file()), None)


@st.cache_data(max_entries=4, show_spinner="reading the record")
def _load(path: str, changed_ns: int) -> Run:
    return load(path)


def _events(run: Run) -> None:
    starts = [event for result in run.results for event in result.events if event.phase == "start"]
    st.subheader("Warnings")
    if not starts:
        st.caption("None in this clip.")
        return
    rows = [
        {"time, s": round(e.t_s, 2), "what": e.kind.value, "object": e.track_id or None, "words": e.text}
        for e in starts
    ]
    picked = st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        width="stretch",
        on_select=_jump_to_picked,
        selection_mode="single-row",
        key="events",
    )
    st.session_state["event_times"] = [e.t_s for e in starts]
    if not picked.selection.rows:
        st.caption("Choose a row, or a mark on the player's timeline, to jump to its moment.")


def _jump_to_picked() -> None:
    rows = st.session_state["events"].selection.rows
    if rows:
        jump(st.session_state["event_times"][rows[0]])


def _tracks(run: Run) -> None:
    st.subheader("Distance and speed")
    table = track_table(run.results)
    if table.empty:
        st.caption("No objects were followed in this clip.")
        return
    longest = table.groupby("object").size().sort_values(ascending=False)
    picked = st.multiselect("Objects", list(longest.index), default=list(longest.index[:4]))
    shown = table[table["object"].isin(picked)]
    left, right = st.columns(2)
    left.line_chart(shown, x="time, s", y="distance, m", color="object")
    right.line_chart(shown, x="time, s", y="closing speed, m/s", color="object")
    with st.expander("Table", icon=":material/table:"):
        st.dataframe(shown, hide_index=True, width="stretch")


def track_table(results: tuple[FrameResult, ...]) -> pd.DataFrame:
    """One row a frame and confirmed track: time, object, distance with sigma, speeds, time to collision."""
    frames = []
    for result in results:
        tracks = result.tracks[result.tracks.state != TrackState.TENTATIVE]
        own_mps = np.where(tracks.absolute, result.ego.speed_mps, 0.0)
        frames.append(
            pd.DataFrame(
                {
                    "time, s": result.t_s,
                    "object": [f"{CLASSES[c]} {i}" for c, i in zip(tracks.class_id, tracks.track_id, strict=True)],
                    "distance, m": tracks.xy_m[:, 0],
                    "sigma, m": np.sqrt(tracks.cov[:, 0, 0]),
                    "closing speed, m/s": own_mps - tracks.v_mps[:, 0],
                    "time to collision, s": np.where(np.isfinite(tracks.ttc_s), tracks.ttc_s, math.nan),
                }
            )
        )
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return table.dropna(subset=["distance, m"]) if len(table) else table


def _downloads(folder: Path) -> None:
    files = [(name, path) for name in _DOWNLOADS if (path := _existing(folder / name)) is not None]
    if not files:
        return
    st.subheader("Downloads")
    for column, (name, path) in zip(st.columns(len(files)), files, strict=True):
        size_mb = path.stat().st_size / 1e6
        column.download_button(
            f"{path.name} ({size_mb:.1f} MB)", path.read_bytes, file_name=path.name, mime=_DOWNLOADS[name], key=name
        )
