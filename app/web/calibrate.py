"""Calibrate: drag the horizon until the metre grid lies on the road; or let the road itself say; save the profile."""

from __future__ import annotations

import base64
import math
import tempfile
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import streamlit as st

from app.grid import draw_grid
from app.video import ClipInfo, frames, probe
from app.web.common import BY_FOV, OWN_CLIP, queue, sample_clips
from app.web.uploads import SIZE_LIMIT_MB, keep
from geometry.birdseye import BirdsEyeView
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.profiles import camera_from_fov, load_profile, profile_names, save_profile
from geometry.vanishing_point import facing, vanishing_point

_ASSETS = Path(__file__).resolve().parent / "horizon"
_SURVEY_FRAMES = 400
_VIEW_M = ((4.0, 50.0), (-8.0, 8.0), (0.1, 0.05))  # ahead, aside, metres a pixel


def place() -> None:
    """The wizard: a clip, a lens, the mount by hand or from the road, the profile."""
    st.title("Calibrate your camera")
    clip = _clip()
    if clip is None:
        st.info("Choose a clip where the road is straight and its lines are visible.", icon=":material/info:")
        return
    try:
        info = probe(str(clip))
        _wizard(clip, info)
    except InputError as error:
        st.error(str(error), icon=":material/error:")


def _clip() -> Path | None:
    samples = sample_clips()
    choice = st.selectbox(
        "Clip", [*samples, OWN_CLIP], key="calibrate_clip", help="Straight, level road shows it best."
    )
    if choice in samples:
        return samples[choice]
    upload = st.file_uploader(f"Your clip, up to {SIZE_LIMIT_MB} MB", max_upload_size=SIZE_LIMIT_MB, key="calibrate_up")
    if upload is None:
        return None
    kept = st.session_state.setdefault("calibrate_kept", {})
    if upload.file_id not in kept:
        kept[upload.file_id] = keep(upload, queue().store.uploads)
    return kept[upload.file_id]


def _wizard(clip: Path, info: ClipInfo) -> None:
    settings, picture = st.columns([1, 3], gap="large")
    with settings:
        lens = _lens(info)
        st.session_state.setdefault("calibrate_height", round(lens.height_m, 2))
        height_m = st.number_input("Height of the lens above the road, m", 0.3, 4.0, step=0.01, key="calibrate_height")
        t_s = st.slider("Moment, s", 0.0, max(info.duration_s or 0.0, 0.1), 0.0)
        key = f"{clip}|{lens.fx_px:.3f}"
        if st.session_state.get("calibrate_key") != key:
            st.session_state["calibrate_key"], st.session_state["calibrate_camera"] = key, lens
        st.button(
            "Find it from the road",
            icon=":material/auto_fix_high:",
            help="Needs some seconds of driving.",
            on_click=_from_road,
            args=(clip, lens.mounted(height_m=height_m)),
        )
        for doubt in st.session_state.get("calibrate_doubts", ()):
            st.warning(doubt, icon=":material/warning:")
    camera = st.session_state["calibrate_camera"].mounted(height_m=height_m)
    with picture:
        bgr = _frame(str(clip), t_s)
        camera = _drag(bgr, camera)
        st.image(_view(bgr, camera), channels="BGR", caption="From above: straight road must be straight and parallel.")
    with settings:
        _result(camera)


def _lens(info: ClipInfo) -> Camera:
    choice = st.selectbox("Lens", [BY_FOV, *profile_names()], key="calibrate_lens")
    if choice != BY_FOV:
        return load_profile(choice).for_size(*info.size_px)
    fov_deg = st.number_input("Horizontal field of view, degrees", 20.0, 170.0, 65.0, help="From the data sheet.")
    return camera_from_fov(*info.size_px, math.radians(fov_deg))


def _from_road(clip: Path, lens: Camera) -> None:
    """A click on the button: what the road shows replaces what was set; what it does not show is said."""
    from app.calibrating_road import survey

    try:
        found = survey(islice(frames(str(clip)), _SURVEY_FRAMES), lens, lane_width_m=3.7)
    except InputError as error:
        st.session_state["calibrate_doubts"] = (str(error),)
        return
    st.session_state["calibrate_camera"] = found.camera
    st.session_state["calibrate_height"] = min(max(found.camera.height_m, 0.3), 4.0)
    st.session_state["calibrate_doubts"] = found.warnings


def _drag(bgr: np.ndarray, camera: Camera) -> Camera:
    """Shows the frame with its grid and handles; the camera as it was dragged, in this run or the last."""
    x_px, y_px = vanishing_point(camera)
    done, jpeg = cv2.imencode(".jpg", draw_grid(bgr, camera), [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    data = {
        "image": "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii"),
        "size": [camera.width_px, camera.height_px],
        "x": x_px,
        "y": y_px,
        "roll_deg": math.degrees(camera.roll_rad),
    }
    answer = _component()(key="horizon", data=data, on_mount_change=lambda: None)
    mount = answer.mount
    if mount and mount != st.session_state.get("calibrate_mount"):
        st.session_state["calibrate_mount"] = mount
        turned = facing(camera, (mount["x"], mount["y"]), math.radians(mount["roll_deg"]))
        st.session_state["calibrate_camera"] = turned
        st.rerun()
    return camera


def _result(camera: Camera) -> None:
    st.metric("Pitch, nose down", f"{math.degrees(camera.pitch_rad):.2f}°")
    st.metric("Yaw, to the left", f"{math.degrees(camera.yaw_rad):.2f}°")
    st.metric("Roll, right side down", f"{math.degrees(camera.roll_rad):.2f}°")
    st.metric("Height", f"{camera.height_m:.2f} m")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "camera.toml"
        save_profile(camera, path)
        text = path.read_text(encoding="utf-8")
    st.download_button("Save the profile", text, file_name="camera.toml", mime="application/toml", type="primary")
    st.caption("Use it with `roadlens run CLIP --camera camera.toml`.")


def _view(bgr: np.ndarray, camera: Camera) -> np.ndarray:
    ahead_m, aside_m, metres_per_px = _VIEW_M
    return BirdsEyeView(camera, x_range_m=ahead_m, y_range_m=aside_m, metres_per_px=metres_per_px).warp(bgr)


@st.cache_data(max_entries=16, show_spinner=False)
def _frame(clip: str, t_s: float) -> np.ndarray:
    """The first frame from a moment on; the last one there is where the clip ends before."""
    for frame in frames(clip, start_s=t_s):
        return frame.bgr.copy()
    return next(iter(frames(clip))).bgr.copy()


@cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(
        "roadlens_horizon", html=_asset("horizon.html"), css=_asset("horizon.css"), js=_asset("horizon.js")
    )
