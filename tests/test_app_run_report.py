"""The report of a run: one file, all in it, nothing invented."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from app.record import Header, RecordWriter
from app.run_report import write_report
from app.types import CameraPose, Event, EventKind, FrameResult
from app.video import VideoWriter
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.types import GroundPoints
from perception.types import Detections, Lanes
from tracking.types import EgoMotion, Tracks

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5, 1.3)


def make_run(folder: Path, *, frames: int = 10, video: bool = True) -> None:
    nothing = FrameResult(
        0, 0.0, Detections.empty(), GroundPoints.empty(), Tracks.empty(), Lanes(), EgoMotion(), CameraPose(1.3, 0, 0, 0)
    )
    event = Event(EventKind.CUT_IN, "start", 0.5, 0.4, 3, text="<car> cuts in")
    with RecordWriter(
        folder / "results.jsonl", Header({"source": "a/<clip>.mp4"}, CAMERA, {"name": "d"}, {})
    ) as writer:
        for number in range(frames):
            events = (event,) if number == 5 else ()
            ego = EgoMotion(speed_mps=10.0 + number)
            writer.write(replace(nothing, index=number, t_s=number / 10, ego=ego, events=events))
    if video:
        with VideoWriter(folder / "annotated.mp4", (64, 48), Fraction(10)) as out:
            for number in range(frames):
                out.write(np.full((48, 64, 3), 20 * number, np.uint8), number / 10)


def test_a_report_is_one_file_with_events_pictures_and_plots(tmp_path: Path) -> None:
    make_run(tmp_path)
    text = write_report(tmp_path).read_text()
    assert "&lt;car&gt; cuts in" in text and "<car>" not in text and "<clip>" not in text
    assert text.count("data:image/jpeg;base64,") == 1
    assert not re.search(r'(src|href)="(?!data:)', text), "nothing is fetched from anywhere"
    svg = re.findall(r"<svg.*?</svg>", text)
    assert len(svg) == 1, "distances and lane offset are unknown: no plot is made up"
    points = ElementTree.fromstring(svg[0]).find("polyline").attrib["points"].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert len(points) == 10 and heights == sorted(heights, reverse=True), "the speed rises all the time"


def test_a_run_without_video_has_a_report_without_pictures(tmp_path: Path) -> None:
    make_run(tmp_path, video=False)
    assert "<img" not in write_report(tmp_path, tmp_path / "other.html").read_text()


def test_a_record_without_frames_is_told(tmp_path: Path) -> None:
    make_run(tmp_path, frames=0, video=False)
    with pytest.raises(InputError, match="without frames"):
        write_report(tmp_path)
