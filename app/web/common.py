"""What all places of the page share: the queue, the visitor, the clips and cameras to choose from."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import streamlit as st

from app.jobs.queue import WORKER_COMMAND, JobQueue
from app.jobs.store import JobState, JobStore
from geometry.errors import InputError

RUNS_VARIABLE = "ROADLENS_RUNS"
SAMPLES = Path(__file__).resolve().parents[2] / "sample_videos"
OWN_CLIP, BY_FOV = "my own clip", "by its field of view"  # choices that stand in more than one place
STATE_WORDS = {
    JobState.QUEUED: "waiting",
    JobState.RUNNING: "working",
    JobState.DONE: "done",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


@st.cache_resource(show_spinner=False)
def queue() -> JobQueue:
    """The one queue of this server; its runs lie in $ROADLENS_RUNS, or ./runs."""
    workers = max(1, (os.cpu_count() or 2) // 2)
    return JobQueue(JobStore(os.environ.get(RUNS_VARIABLE, "runs")), workers=workers, command=WORKER_COMMAND)


def visitor() -> str:
    """Who is looking: a random token kept in the page's address, so that reloads and bookmarks find one's own runs."""
    token = st.query_params.get("visitor", "")
    if len(token) != 24 or not token.isalnum():
        token = st.session_state.setdefault("visitor", secrets.token_hex(12))
        st.query_params["visitor"] = token
    return str(token)


def sample_clips() -> dict[str, Path]:
    """Sample clips by a name for people."""
    clips = (path for path in sorted(SAMPLES.glob("*.mp4")) if not path.stem.endswith(".partial"))
    return {path.stem.replace("_", " "): path for path in clips}


def chosen_run() -> str | None:
    """The run named in the address, if it is there."""
    job_id = st.query_params.get("run", "")
    try:
        queue().store.folder(job_id)
    except InputError:
        return None
    return str(job_id)


def choose_run(job_id: str | None) -> None:
    """Names a run in the address, so that the link reopens it."""
    if job_id is None:
        st.query_params.pop("run", None)
    else:
        st.query_params["run"] = job_id
