"""The viewer's own camera: each picture is answered with an annotated one; the package that brings it is an extra."""

import subprocess
import sys

import numpy as np

from app.config import Settings
from app.web.webcam import Webcam


def test_pictures_are_answered_with_the_road_from_above_beside_them() -> None:
    webcam = Webcam(Settings().changed(lanes={"enabled": False}))
    rng = np.random.default_rng(0)
    for index in range(3):
        drawn = webcam.annotate(rng.integers(0, 255, (180, 320, 3), np.uint8), 100.0 + index / 10)
    assert drawn.dtype == np.uint8 and drawn.shape[0] == 180 and drawn.shape[1] > 320
    assert drawn.shape[1] % 2 == 0  # what video encoders want
    first = webcam._pipeline
    webcam.annotate(rng.integers(0, 255, (180, 320, 3), np.uint8), 100.3)
    assert webcam._pipeline is first
    webcam.annotate(rng.integers(0, 255, (180, 320, 3), np.uint8), 110.0)  # after a pause it is another drive
    second = webcam._pipeline
    assert second is not first
    webcam.annotate(rng.integers(0, 255, (90, 160, 3), np.uint8), 110.1)  # the phone was turned
    assert webcam._pipeline is not second and webcam._detector is not None


def test_webrtc_is_only_imported_when_it_is_asked_for() -> None:
    code = "import app.web.site, app.web.server, app.web.webcam, sys; print('streamlit_webrtc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
