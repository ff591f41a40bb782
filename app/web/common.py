"""What all places of the page share: the queue, the visitor, the clips and cameras to choose from."""

from __future__ import annotations

import os
import re
import secrets
import threading
from functools import cache
from pathlib import Path

import streamlit as st

from app.jobs.queue import WORKER_COMMAND, JobQueue
from app.jobs.store import JobState, JobStore
from geometry.errors import InputError

RUNS_VARIABLE = "ROADLENS_RUNS"
LIVE_VARIABLE = "ROADLENS_LIVE"
VISITOR_COOKIE = "roadlens_visitor"
SAMPLES = Path(__file__).resolve().parents[2] / "sample_videos"
OWN_CLIP, LIVE_SOURCE, BROWSER_CAMERA = "my own clip", "a live camera or stream", "this browser's camera"
BY_FOV = "by its field of view"
STATE_WORDS = {
    JobState.QUEUED: "waiting",
    JobState.RUNNING: "working",
    JobState.DONE: "done",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}
_VISITOR = re.compile(r"[0-9a-f]{32}")


def queue() -> JobQueue:
    """The one queue of this server; its runs lie in $ROADLENS_RUNS, or ./runs."""
    with _one_queue:
        return _queue()


_one_queue = threading.Lock()


@cache
def _queue() -> JobQueue:
    workers = max(1, (os.cpu_count() or 2) // 2)
    return JobQueue(JobStore(os.environ.get(RUNS_VARIABLE, "runs")), workers=workers, command=WORKER_COMMAND)


def close_queue() -> None:
    """Ends the queue's watching; its workers go on, and a server that starts again takes them over."""
    with _one_queue:
        if _queue.cache_info().currsize:
            _queue().close()
        _queue.cache_clear()


def new_visitor() -> str:
    """A token for somebody new."""
    return secrets.token_hex(16)


def is_visitor(token: object) -> bool:
    """Whether this has the form of a visitor's token."""
    return isinstance(token, str) and _VISITOR.fullmatch(token) is not None


def visitor() -> str:
    """Who is looking: the token in the browser's cookie; where it keeps none, one that lasts as long as the tab."""
    token = st.context.cookies.get(VISITOR_COOKIE)
    return str(token) if is_visitor(token) else str(st.session_state.setdefault("visitor", new_visitor()))


def live_allowed() -> bool:
    """Whether visitors may make this machine open its webcams and connect to addresses that they name."""
    return os.environ.get(LIVE_VARIABLE, "") == "1"


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


def plain(text: str) -> str:
    """Text that Markdown shows as it is: names come from strangers."""
    return "".join(f"\\{c}" if c in r"\`*_[]<>#|:$~" else c for c in text)
