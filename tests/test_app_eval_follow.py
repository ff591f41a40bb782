"""Detection on every n-th picture: the figures on a textured object whose place is known."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli import app
from app.evaluation.track_following import Shown, measure_following
from perception.types import Detections, Frame


def swinging(count: int = 70) -> list[Shown]:
    """An object that swings by 90 px, found exactly by its detector."""
    rng = np.random.default_rng(7)
    ground = cv2.GaussianBlur(rng.integers(60, 120, (300, 700, 3), dtype=np.uint8), (0, 0), 3)
    patch = cv2.GaussianBlur(rng.integers(0, 255, (90, 120, 3), dtype=np.uint8), (0, 0), 2)
    patch = cv2.normalize(patch, None, 0, 255, cv2.NORM_MINMAX)
    frames = []
    for k in range(count):
        x = round(250 + 90 * np.sin(k / 6))
        image = ground.copy()
        image[100:190, x : x + 120] = patch
        box = np.array([[x, 100.0, x + 120, 190.0]])
        frames.append(Shown(Frame(k, k / 10, image), Detections(box, [0.95], [0]), box, np.array([1])))
    return frames


def test_every_frame_detected_loses_nothing() -> None:
    figures = measure_following(swinging(), 1, follow=False)
    assert figures["found"] == 100.0 and figures["overlap"] > 85.0 and figures["changes"] == 0.0


@pytest.mark.parametrize("every", [3, 5])
def test_followed_boxes_keep_to_the_object_where_motion_alone_does_not(every: int) -> None:
    frames = swinging()
    followed = measure_following(frames, every, follow=True)
    coasted = measure_following(frames, every, follow=False)
    assert followed["overlap"] > coasted["overlap"] + 3.0
    assert followed["found"] >= coasted["found"]


def test_frames_without_truth_give_zeros() -> None:
    assert measure_following([], 2, follow=True) == {"found": 0.0, "overlap": 0.0, "changes": 0.0}


def test_a_folder_that_is_no_drive_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["eval", "follow", str(tmp_path)])
    assert done.exit_code != 0 and "label.txt" in str(done.exception) + done.output
