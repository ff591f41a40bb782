"""Run: choose a clip, a camera and a model; go."""

from __future__ import annotations

import math
import secrets
from pathlib import Path
from typing import Any

import streamlit as st

from app.camera_choice import sidecars
from app.config import Settings
from app.jobs.store import JobSpec
from app.web.common import BY_FOV, OWN_CLIP, queue, sample_clips, visitor
from app.web.uploads import SIZE_LIMIT_MB, keep
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.profiles import camera_from_fov, load_profile, profile_names, save_profile

_SIDECAR = "the one filmed with"


def place() -> None:
    """The form; a click on Go queues a run and opens it in Explore."""
    st.title("What is on the road ahead, in metres")
    left, right = st.columns(2, gap="large")
    with left:
        clip, upload = _clip()
    with right:
        camera = _camera(clip)
        settings = _options()
    ready = clip is not None or upload is not None
    if st.button("Go", type="primary", icon=":material/play_arrow:", disabled=not ready, width="stretch"):
        try:
            job_id = _submit(clip, upload, camera, settings)
        except InputError as error:
            st.error(str(error), icon=":material/error:")
        else:
            from app.web.site import EXPLORE

            st.switch_page(EXPLORE, query_params={"visitor": visitor(), "run": job_id})


def _clip() -> tuple[Path | None, Any]:
    """The sample's path, or the upload."""
    samples = sample_clips()
    choice = st.selectbox("Clip", [*samples, OWN_CLIP], help="A rendered sample, or a video from your dashcam.")
    if choice in samples:
        st.video(str(samples[choice]), muted=True)
        return samples[choice], None
    upload = st.file_uploader(
        f"Your clip, up to {SIZE_LIMIT_MB} MB",
        max_upload_size=SIZE_LIMIT_MB,
        help="MP4, MOV, MKV, WebM, AVI, MPEG-TS or GIF. It stays on this machine and goes when you delete the run.",
    )
    return None, upload


def _camera(clip: Path | None) -> str | Camera:
    """A profile's name or file, or a camera described here."""
    beside = next((p for p in sidecars(clip) if p.is_file()), None) if clip is not None else None
    names = [*([_SIDECAR] if beside else []), *profile_names(), BY_FOV]
    start = names.index(_SIDECAR) if beside else names.index("generic")
    choice = st.selectbox(
        "Camera",
        names,
        index=start,
        help="Distances are as good as this description. Not yours? Choose its field of view, from its data sheet.",
    )
    if choice == _SIDECAR:
        return str(beside)
    if choice != BY_FOV:
        camera = load_profile(choice)
        st.caption(
            f"{camera.width_px} x {camera.height_px} px, focal length {camera.fx_px:.0f} px, {camera.height_m:.2f} m "
            f"above the road, {math.degrees(camera.pitch_rad):.1f}° down"
        )
        return choice
    fov, height, pitch = st.columns(3)
    fov_deg = fov.number_input("Field of view, degrees", 20.0, 170.0, 90.0, help="Horizontal.")
    height_m = height.number_input("Height, m", 0.3, 4.0, 1.3, help="Of the lens above the road.")
    pitch_deg = pitch.number_input("Pitch, degrees down", -20.0, 45.0, 0.0, help="Positive: the nose points down.")
    return camera_from_fov(1280, 720, math.radians(fov_deg), height_m=height_m, pitch_rad=math.radians(pitch_deg))


def _options() -> dict[str, Any]:
    with st.expander("More", icon=":material/tune:"):
        first, second = st.columns(2)
        end_s = first.number_input("Stop after, s", 0.0, 3600.0, 0.0, help="0: the whole clip.")
        every = second.number_input(
            "Detect on each n-th frame", 1, 10, 1, help="2 halves the time; tracks go on between."
        )
        speed = first.number_input("Own speed, km/h", 0.0, 300.0, 0.0, help="0: measured from the picture.")
        lanes = second.toggle("Lanes", value=True)
    return {
        "clip": {"end_s": end_s or None},
        "detector": {"every": int(every)},
        "ego": {"speed": speed / 3.6 if speed else None},
        "lanes": {"enabled": lanes},
    }


def _submit(clip: Path | None, upload: Any, camera: str | Camera, options: dict[str, Any]) -> str:
    store = queue().store
    profile = camera
    if isinstance(camera, Camera):
        profile = str(store.uploads / f"{secrets.token_hex(12)}.toml")
        save_profile(camera, profile)
    settings = Settings().changed(camera={"profile": profile}, **options).model_dump(mode="json")
    if upload is not None:
        path = keep(upload, store.uploads)
        return queue().submit(JobSpec(str(path), upload.name, settings, visitor(), uploaded=True))
    assert clip is not None
    return queue().submit(JobSpec(str(clip), clip.name, settings, visitor()))
