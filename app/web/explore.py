"""Explore: one's runs, how one goes, and what it found."""

from __future__ import annotations

import time

import streamlit as st

from app.jobs.store import JobSpec, JobState, JobStatus
from app.web.common import STATE_WORDS, choose_run, chosen_run, plain, queue, visitor
from app.web.deleting import delete_box
from app.web.playing import watch
from app.web.results import show_results

_REFRESH_S = 0.5
_LIST_S, _STILL_LIST_S = 3.0, 60.0  # while a run goes, and where only "5 min ago" changes
_LISTED = 30


def place() -> None:
    """The run that the address names, or the list of the visitor's runs."""
    job_id = chosen_run()
    if job_id is None:
        if st.query_params.get("run"):
            st.info(
                "The run of this link is not here: it was deleted, or the link is not whole.", icon=":material/info:"
            )
        _list()
        return
    store = queue().store
    spec, status = store.spec(job_id), store.status(job_id)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(plain(spec.name), anchor=False, width="stretch")
        if st.button("All my runs", icon=":material/list:"):
            choose_run(None)
            st.rerun()
    if not status.state.ended:
        (_live if spec.live else _waiting)(job_id)
        return
    if status.state is JobState.FAILED:
        st.error(plain(status.message), icon=":material/error:")
    elif status.state is JobState.CANCELLED:
        st.warning("This run was cancelled; what was done before is below.", icon=":material/stop_circle:")
    elif status.message:
        st.info(plain(status.message), icon=":material/info:")
    show_results(job_id)


# -- the list ---------------------------------------------------------------------------------------------------------


def _list() -> None:
    """The visitor's own runs, drawn again often only while one of them goes: buttons that stand still can be hit."""
    store = queue().store
    goes = any(not store.status(job_id).state.ended for job_id in store.ids(visitor())[-_LISTED:])
    st.fragment(_rows, run_every=_LIST_S if goes else _STILL_LIST_S)(goes)


def _rows(goes: bool) -> None:
    """One row a run, newest first; each has a key of its own, so that no click goes to the row that takes its place."""
    store = queue().store
    own = store.ids(visitor())[::-1]
    if goes and all(store.status(job_id).state.ended for job_id in own[:_LISTED]):
        st.rerun()
    st.header("My runs", anchor=False)
    if not own:
        st.info("No runs yet. Choose a clip in Run; its result will be here.", icon=":material/info:")
        return
    for job_id in own[:_LISTED]:
        spec, status = store.spec(job_id), store.status(job_id)
        row = st.container(horizontal=True, vertical_alignment="center", border=True, key=f"row-{job_id}")
        with row:
            st.markdown(f"**{plain(spec.name)}**  \n{_when(spec)} · {_state_words(job_id, status)}", width="stretch")
            if st.button("Open", key=f"open-{job_id}", type="primary"):
                choose_run(job_id)
                st.rerun()
            if status.state.ended:
                delete_box(job_id, "Delete")
            else:
                st.button("Stop", key=f"stop-{job_id}", icon=":material/stop:", on_click=queue().cancel, args=(job_id,))
    if len(own) > _LISTED:
        st.caption(f"The newest {_LISTED} of {len(own)}; delete some to see the others.")


def _when(spec: JobSpec) -> str:
    ago_s = max(time.time() - spec.created_s, 0.0)
    for limit_s, unit_s, unit in ((90, 1, "s"), (5400, 60, "min"), (129600, 3600, "h")):
        if ago_s < limit_s:
            return f"{ago_s / unit_s:.0f} {unit} ago"
    return f"{ago_s / 86400:.0f} days ago"


def _state_words(job_id: str, status: JobStatus) -> str:
    words = STATE_WORDS[status.state]
    if status.state is JobState.QUEUED:
        words += f", {queue().position(job_id)} before it"
    elif status.state is JobState.RUNNING and status.frames_total:
        words += f", {100 * status.share:.0f} %"
    return words


# -- while it goes ----------------------------------------------------------------------------------------------------


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
    st.caption("It goes on when you close this page; the address above reopens it.")
    if st.button("Cancel", icon=":material/stop:"):
        queue().cancel(job_id)


def _progress_words(status: JobStatus) -> str:
    if not status.frames_done:
        return "preparing the clip and loading the model; the first time on a machine half a minute longer"
    words = f"{status.frames_done}/{status.frames_total or '?'} frames"
    if status.fps > 0:
        words += f", {status.fps:.1f} frames a second"
        if status.frames_total:
            words += f", {(status.frames_total - status.frames_done) / status.fps:.0f} s left"
    return words


def _live(job_id: str) -> None:
    """A live run: its newest picture, big numbers, and a way to stop it."""
    watch(job_id)
    _live_numbers(job_id)


@st.fragment(run_every=_REFRESH_S)
def _live_numbers(job_id: str) -> None:
    status = queue().store.status(job_id)
    if status.state.ended:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.metric("Delay", f"{status.delay_s:.2f} s" if status.frames_done else "–", help="From arrival to drawn.")
        st.metric("Pace", f"{status.fps:.0f} /s" if status.frames_done else "–", help="Frames a second.")
        st.metric("Frames", str(status.frames_done))
    if st.button("Stop", icon=":material/stop:", type="primary", width="stretch"):
        queue().cancel(job_id)
        st.caption("stopping")
