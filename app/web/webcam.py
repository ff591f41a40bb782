"""The camera of the viewer's own browser, by WebRTC: an extra (``pip install 'roadlens[live]'``).

It runs in the page's own process and keeps no record: a way to hold a phone to the windscreen and see.
"""

from __future__ import annotations

import threading
import time
from importlib.util import find_spec
from typing import Any

import numpy as np
import streamlit as st

from app.config import Settings
from geometry.errors import InputError

MISSING = "This browser's camera needs an extra that is not installed here: `pip install 'roadlens[live]'`"
_NEW_CLIP_S = 2.0  # without a picture for so long, tracks and lanes begin anew


def show_webcam(profile: str, options: dict[str, Any]) -> None:
    """The camera's pictures with what is known of them; start and stop are the component's own buttons."""
    if find_spec("streamlit_webrtc") is None:
        st.info(MISSING, icon=":material/videocam_off:")
        return
    from streamlit_webrtc import webrtc_streamer

    try:
        settings = Settings().changed(camera={"profile": profile}, **options)
    except InputError as error:
        st.error(str(error), icon=":material/error:")
        return
    if st.session_state.get("webcam_for") != settings:
        st.session_state["webcam_for"], st.session_state["webcam_run"] = settings, Webcam(settings)
    webcam: Webcam = st.session_state["webcam_run"]
    webrtc_streamer(
        key="browser_camera",  # its own state lies under this name
        video_frame_callback=webcam.on_frame,  # is given the newest picture only
        media_stream_constraints={"video": {"width": {"ideal": 640}, "facingMode": "environment"}, "audio": False},
        rtc_configuration={"iceServers": []},  # straight from browser to server: nobody else is asked
    )
    st.caption(
        "Browsers give their camera to pages on this machine or behind https only. Nothing is kept. "
        "Only the newest picture is worked on; the picture says how long that took."
    )


class Webcam:
    """Follows the pictures of one camera; called from WebRTC's threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._busy = threading.Lock()
        self._detector: Any = None
        self._pipeline: Any = None
        self._last_s = -np.inf
        self._index = 0

    def on_frame(self, frame: Any) -> Any:
        """Answers a frame of the browser (``av.VideoFrame``) with the annotated one."""
        import av

        picture = self.annotate(frame.to_ndarray(format="bgr24"), time.monotonic())
        return av.VideoFrame.from_ndarray(picture, format="bgr24")

    def annotate(self, bgr: np.ndarray, t_s: float) -> np.ndarray:
        """The picture, (H, W, 3), with all that is known drawn on it; times must rise."""
        from app.jobs.live import stamp
        from app.mount import camera_at
        from perception.types import Frame

        with self._busy:
            if self._pipeline is None or t_s - self._last_s > _NEW_CLIP_S or bgr.shape != self._shape:
                self._begin(bgr, t_s)
            self._last_s = t_s
            began_s = time.perf_counter()
            frame = Frame(self._index, t_s - self._zero_s, bgr)
            self._index += 1
            result = self._pipeline.step(frame)
            drawn = self._painter.draw(frame, result, camera_at(self._base, result.pose))
            stamp(drawn, f"worked on for {time.perf_counter() - began_s:.2f} s")
            return np.ascontiguousarray(drawn[: drawn.shape[0] // 2 * 2, : drawn.shape[1] // 2 * 2])

    def _begin(self, bgr: np.ndarray, t_s: float) -> None:
        from app.draw import Painter
        from app.pipeline import build_pipeline, open_detector

        if self._detector is None:
            self._detector = open_detector(self._settings)
        self._shape, self._zero_s, self._index = bgr.shape, t_s, 0
        size_px = (bgr.shape[1], bgr.shape[0])
        self._pipeline = build_pipeline(self._settings, size_px, detector=self._detector)
        self._base = self._pipeline.camera
        self._painter = Painter(*size_px)
