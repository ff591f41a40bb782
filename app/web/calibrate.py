"""Calibrate: drag the horizon until the metre grid lies on the road; or let the road itself say; save the profile."""

from __future__ import annotations

import base64
import hashlib
import math
import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import streamlit as st

from app.calibrating_road import LANE_WIDTH_M
from app.grid import draw_grid
from app.jobs.stills import Stills, stills, survey_in_child
from app.jobs.store import STILLS, stills_of
from app.web.common import BY_FOV, OWN_CLIP, queue, sample_clips
from app.web.components import component
from app.web.uploads import upload_box
from geometry.birdseye import BirdsEyeView
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.profiles import camera_from_fov, load_profile, profile_names, save_profile
from geometry.vanishing_point import facing, vanishing_point

_VIEW_M = ((4.0, 50.0), (-8.0, 8.0), (0.1, 0.05))  # ahead, aside, metres a pixel
_SHOWN_PX = 1280  # no screen here is wider, and a larger picture only makes the drag slower


def place() -> None:
    """The wizard: a clip, a lens, the mount by hand or from the road, the profile."""
    st.header("Calibrate your camera", anchor=False)
    clip = _clip()
    if clip is None:
        st.info("Choose a clip where the road is straight and its lines are visible.", icon=":material/info:")
        return
    try:
        with st.spinner("looking into the clip"):
            moments = stills(clip, _stills_folder(clip))
        _wizard(clip, moments)
    except InputError as error:
        st.error(str(error), icon=":material/error:")


def _clip() -> Path | None:
    samples = sample_clips()
    choice = st.selectbox(
        "Clip", [*samples, OWN_CLIP], key="calibrate_clip", help="Straight, level road shows it best."
    )
    if choice in samples:
        return samples[choice]
    upload = upload_box(queue().store, "calibrate_upload")
    st.caption("It is deleted when you choose another one, and some hours after you leave.")
    return None if upload is None else upload.path


def _stills_folder(clip: Path) -> Path:
    """Where the pictures taken of a clip lie: beside an upload, and go with it."""
    uploads = queue().store.uploads
    if clip.parent == uploads:
        clip.touch()  # somebody works with it
        return stills_of(clip)
    return uploads / (hashlib.sha256(str(clip).encode()).hexdigest()[:24] + STILLS)


def _wizard(clip: Path, moments: Stills) -> None:
    settings, picture = st.columns([1, 3], gap="large")
    with settings:
        lens = _lens(moments.size_px)
        st.session_state.setdefault("calibrate_height", round(lens.height_m, 2))
        height_m = st.number_input("Height of the lens above the road, m", 0.3, 4.0, step=0.01, key="calibrate_height")
        t_s = st.select_slider("Moment", moments.times_s, format_func="{:.1f} s".format)
        key = f"{clip}|{lens.fx_px:.3f}"
        if st.session_state.get("calibrate_key") != key:
            st.session_state["calibrate_key"], st.session_state["calibrate_camera"] = key, lens
            st.session_state["calibrate_height_words"], st.session_state["calibrate_doubts"] = "", ()
        lane_width_m = st.number_input(
            "Width of the lane, m",
            2.0,
            6.0,
            LANE_WIDTH_M,
            step=0.05,
            help="The road tells the height by the width of its lane, and by the vehicles on it.",
        )
        st.button(
            "Find it from the road",
            icon=":material/auto_fix_high:",
            help="Needs some seconds of driving; takes about half a minute.",
            on_click=_from_road,
            args=(clip, lens.mounted(height_m=height_m), lane_width_m),
        )
        if st.session_state.get("calibrate_height_words"):
            st.info(f"Found: {st.session_state['calibrate_height_words']}.", icon=":material/height:")
        for doubt in st.session_state.get("calibrate_doubts", ()):
            st.warning(doubt, icon=":material/warning:")
    camera = st.session_state["calibrate_camera"].mounted(height_m=height_m)
    with picture:
        bgr = _picture(str(moments.files[moments.times_s.index(t_s)]))
        camera = _drag(bgr, camera)
        st.image(
            _view(bgr, camera),
            channels="BGR",
            output_format="JPEG",  # PNG takes a tenth of a second, which a slider feels
            caption="From above: straight road must be straight and parallel.",
        )
    with settings:
        _result(camera)


def _lens(size_px: tuple[int, int]) -> Camera:
    choice = st.selectbox("Lens", [BY_FOV, *profile_names()], key="calibrate_lens")
    if choice != BY_FOV:
        return load_profile(choice).for_size(*size_px)
    fov_deg = st.number_input("Horizontal field of view, degrees", 20.0, 170.0, 65.0, help="From the data sheet.")
    return camera_from_fov(*size_px, math.radians(fov_deg))


def _from_road(clip: Path, lens: Camera, lane_width_m: float) -> None:
    """A click on the button: what the road shows replaces what was set; what it does not show is said."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.toml", Path(folder) / "after.toml"
        save_profile(lens, before)
        try:
            with st.spinner("driving along the clip, looking for lanes, motion and vehicles"):
                found = survey_in_child(clip, before, after, lane_width_m)
            camera = load_profile(str(found.profile)).for_size(lens.width_px, lens.height_px)
        except InputError as error:
            st.session_state["calibrate_height_words"], st.session_state["calibrate_doubts"] = "", (str(error),)
            return
    st.session_state["calibrate_camera"] = camera
    st.session_state["calibrate_height"] = min(max(camera.height_m, 0.3), 4.0)
    st.session_state["calibrate_height_words"], st.session_state["calibrate_doubts"] = found.height, found.warnings


def _drag(bgr: np.ndarray, camera: Camera) -> Camera:
    """Shows the frame with its grid and handles; the camera as it was dragged, in this run or the last."""
    x_px, y_px = vanishing_point(camera)
    data = {
        "image": _jpeg_address(draw_grid(bgr, camera)),
        "size": [camera.width_px, camera.height_px],
        "x": x_px,
        "y": y_px,
        "roll_deg": math.degrees(camera.roll_rad),
    }
    answer = component("horizon")(key="horizon", data=data, on_mount_change=lambda: None)
    mount = answer.mount
    if mount and mount != st.session_state.get("calibrate_mount"):
        st.session_state["calibrate_mount"] = mount
        turned = facing(camera, (mount["x"], mount["y"]), math.radians(mount["roll_deg"]))
        st.session_state["calibrate_camera"] = turned
        st.rerun()
    return camera


def _jpeg_address(bgr: np.ndarray) -> str:
    """The picture inside an address, no wider than screens are."""
    scale = _SHOWN_PX / bgr.shape[1]
    small = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1.0 else bgr
    done, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")


def _result(camera: Camera) -> None:
    with st.container(horizontal=True):
        st.metric("Pitch", f"{math.degrees(camera.pitch_rad):.2f}°", help="Positive: nose down.")
        st.metric("Yaw", f"{math.degrees(camera.yaw_rad):.2f}°", help="Positive: to the left.")
        st.metric("Roll", f"{math.degrees(camera.roll_rad):.2f}°", help="Positive: right side down.")
        st.metric("Height", f"{camera.height_m:.2f} m")
    st.download_button(
        "Save the profile",
        partial(_profile, camera),  # made at the click: a link to an older one would lead nowhere
        file_name="camera.toml",
        mime="application/toml",
        type="primary",
        on_click="ignore",
    )
    st.caption("Use it with `roadlens run CLIP --camera camera.toml`.")


def _profile(camera: Camera) -> bytes:
    """The camera as a profile's text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "camera.toml"
        save_profile(camera, path)
        return path.read_bytes()


def _view(bgr: np.ndarray, camera: Camera) -> np.ndarray:
    ahead_m, aside_m, metres_per_px = _VIEW_M
    return BirdsEyeView(camera, x_range_m=ahead_m, y_range_m=aside_m, metres_per_px=metres_per_px).warp(bgr)


@st.cache_resource(max_entries=16, show_spinner=False)
def _picture(file: str) -> np.ndarray:
    bgr = cv2.imread(file)
    if bgr is None:
        raise InputError("the pictures of this clip are gone; choose it again")
    bgr.flags.writeable = False
    return bgr
