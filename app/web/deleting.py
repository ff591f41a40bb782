"""Deleting a run: asked twice, since nothing brings it back."""

from __future__ import annotations

import streamlit as st

from app.web.common import choose_run, plain, queue
from geometry.errors import InputError


def delete_box(job_id: str, label: str) -> None:
    """A button that opens a box which says what will be gone, with the button that does it.

    Args:
        job_id: a run that has ended.
        label: of the button that is always seen.
    """
    spec = queue().store.spec(job_id)
    with st.popover(label, icon=":material/delete:", key=f"ask-{job_id}"):
        clip = ", and the clip that you sent unless another run uses it" if spec.uploaded else ""
        st.markdown(f"Delete **{plain(spec.name)}**? Its video, its records and its link go{clip}. Nothing undoes it.")
        st.button(
            "Delete for good",
            key=f"delete-{job_id}",
            icon=":material/delete_forever:",
            type="primary",
            on_click=_delete,
            args=(job_id, spec.name),
        )


def _delete(job_id: str, name: str) -> None:
    try:
        queue().store.delete(job_id)
    except InputError as error:  # somebody was faster in another tab
        st.toast(plain(str(error)), icon=":material/info:")
    else:
        st.toast(f"{plain(name)} is deleted.", icon=":material/delete:")
    if st.query_params.get("run") == job_id:
        choose_run(None)
