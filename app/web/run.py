"""Run: choose a clip, a camera and a model; go."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app.camera_choice import GENERIC, sidecars
from app.config import Settings
from app.jobs.limits import LIVE_LIMIT_S
from app.jobs.store import JobSpec
from app.web.common import (
    BROWSER_CAMERA,
    BY_FOV,
    LIVE_SOURCE,
    OWN_CLIP,
    live_allowed,
    queue,
    sample_clips,
    visitor,
)
from app.web.uploads import upload_box
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.profiles import camera_from_fov, load_profile, profile_names, save_profile

_SIDECAR = "its own, known exactly"
_ADDRESS = re.compile(r"(rtsps?|https?)://[^\s/]+\S*")


@dataclass(frozen=True)
class Source:
    """What is to be run: a file or a live source, its name for people, and whether the visitor sent it."""

    clip: str
    name: str
    uploaded: bool = False
    live: bool = False


def place() -> None:
    """The form; a click on Go queues a run and opens it in Explore."""
    st.header("What is on the road ahead, in metres", anchor=False)
    st.caption(
        "Choose a clip, say what camera filmed it, press Go: distances with error bars, lanes, tracks, warnings, and "
        "the road from above. Nothing leaves the machine that runs this page."
    )
    left, right = st.columns(2, gap="large")
    with left:
        choice, source = _source()
    with right:
        camera = _camera(source)
        model = _model()
        settings = _options(model, live=choice in (LIVE_SOURCE, BROWSER_CAMERA))
    if choice == BROWSER_CAMERA:
        from app.web.webcam import show_webcam

        show_webcam(_profile(camera), settings)
        return
    if st.button("Go", type="primary", icon=":material/play_arrow:", disabled=source is None, width="stretch"):
        assert source is not None
        try:
            job_id = _submit(source, camera, settings)
        except InputError as error:
            st.error(str(error), icon=":material/error:")
        else:
            from app.web.site import places

            st.switch_page(places()["explore"], query_params={"run": job_id})


def _source() -> tuple[str, Source | None]:
    """What was chosen, and the source that it leads to; None as long as something is missing."""
    samples = sample_clips()
    choice = st.selectbox(
        "Clip",
        [*samples, OWN_CLIP, *([LIVE_SOURCE] if live_allowed() else []), BROWSER_CAMERA],
        help="A rendered sample, a video from your dashcam, or a camera as it films.",
    )
    if choice in samples:
        st.video(str(samples[choice]), muted=True)
        return choice, Source(str(samples[choice]), samples[choice].name)
    if choice == OWN_CLIP:
        upload = upload_box(queue().store, "run_upload")
        st.caption("It stays on this machine and goes when you delete the run.")
        return choice, None if upload is None else Source(str(upload.path), upload.name, uploaded=True)
    return choice, _live_source() if choice == LIVE_SOURCE else None


def _live_source() -> Source | None:
    text = st.text_input(
        "Address of the stream, or number of a webcam",
        placeholder="rtsp://camera/stream, http://camera/video.mjpg, or 0",
        help="The number is of a webcam of the machine that roadlens runs on: 0 is the first.",
    ).strip()
    st.caption(
        "The newest picture counts, late ones are skipped. "
        f"It ends when you stop it, or after {LIVE_LIMIT_S / 60:.0f} minutes."
    )
    if not text:
        return None
    if not (text.isdigit() and len(text) <= 2) and not _ADDRESS.fullmatch(text):
        st.warning(
            "Wanted an address that begins with rtsp:// or http://, or a number like 0.", icon=":material/warning:"
        )
        return None
    name = f"webcam {text}" if text.isdigit() else re.sub(r"//[^/@]*@", "//", text)  # no passwords on screens
    return Source(text, name, live=True)


def _camera(source: Source | None) -> str | Camera:
    """A profile's name or file, or a camera described here."""
    known = source is not None and not source.uploaded and not source.live
    beside = next((p for p in sidecars(Path(source.clip)) if p.is_file()), None) if known and source else None
    names = [*([_SIDECAR] if beside else []), *profile_names(), BY_FOV]
    start = names.index(_SIDECAR) if beside else names.index(GENERIC)
    choice = st.selectbox(
        "Camera",
        names,
        index=start,
        help="Distances are as good as this description. Not yours? Choose its field of view, from its data sheet.",
    )
    if choice == _SIDECAR:
        return str(beside)
    if choice == GENERIC:
        st.caption(
            "A guess for a camera nobody has described: how it is mounted is looked for in the clip, its field of view "
            "is taken to be 65°, and distances scale with that. Calibrate makes yours known."
        )
        return choice
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


def _model() -> str | None:
    """The detector: None for the default; asked only where there is a choice."""
    from perception.detector import available_models

    models = {path.stem: str(path) for path in available_models()}
    if len(models) < 2:
        return None
    choice = st.selectbox(
        "Model", list(models), help="The first is the default; others find other things, at another pace."
    )
    return None if choice == next(iter(models)) else models[choice]


def _options(model: str | None, *, live: bool) -> dict[str, Any]:
    with st.expander("More", icon=":material/tune:"):
        first, second = st.columns(2)
        end_s = 0.0
        if not live:
            end_s = first.number_input("Stop after, s", 0.0, 3600.0, 0.0, help="0: the whole clip.")
        every = second.number_input(
            "Detect on each n-th frame", 1, 10, 1, help="2 saves much of the time; boxes are followed between."
        )
        speed = first.number_input("Own speed, km/h", 0.0, 300.0, 0.0, help="0: measured from the picture.")
        lanes = second.toggle("Lanes", value=True)
    return {
        "clip": {"end_s": end_s or None},
        "detector": {"file": model, "every": int(every)},
        "ego": {"speed": speed / 3.6 if speed else None},
        "lanes": {"enabled": lanes},
    }


def _submit(source: Source, camera: str | Camera, options: dict[str, Any]) -> str:
    settings = Settings().changed(camera={"profile": _profile(camera)}, **options).model_dump(mode="json")
    spec = JobSpec(source.clip, source.name, settings, visitor(), uploaded=source.uploaded, live=source.live)
    return queue().submit(spec)


def _profile(camera: str | Camera) -> str:
    """A profile's name or file; a camera described here is written to one, named after what it says."""
    if isinstance(camera, str):
        return camera
    name = hashlib.sha256(repr(camera).encode()).hexdigest()[:24]
    path = queue().store.uploads / f"{name}.toml"
    save_profile(camera, path)
    return str(path)
