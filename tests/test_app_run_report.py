"""The report of a run or a batch: one file, all in it, nothing invented."""

import json
import math
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.player.clip import CLIP
from app.record import Header, RecordWriter, load
from app.report import clip_folders, run_page, write_report
from app.report.gather import gather
from app.report.plots import Frame, Shade, plot, ticks
from app.types import CameraPose, Event, EventKind, FrameResult
from app.video import VideoWriter
from geometry.camera import Camera
from geometry.errors import InputError
from geometry.types import GroundPoints
from perception.types import CLASS_ID, Detections, Lanes
from tracking.types import EgoMotion, Tracks, TrackState

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5, 1.3)
NOTHING = FrameResult(
    0, 0.0, Detections.empty(), GroundPoints.empty(), Tracks.empty(), Lanes(), EgoMotion(), CameraPose(1.3, 0, 0, 0)
)


def video(path: Path, frames: int) -> Path:
    with VideoWriter(path, (64, 48), Fraction(10)) as out:
        for number in range(frames):
            out.write(np.full((48, 64, 3), 20 * number % 256, np.uint8), number / 10)
    return path


def make_run(folder: Path, *, frames: int = 10, clip: bool = True) -> Path:
    """A run whose speed rises, with a cut-in that is worst in the middle of its course."""
    folder.mkdir(parents=True, exist_ok=True)
    source = video(folder / "a <clip>.mp4", frames) if clip and frames else folder / "gone.mp4"
    values = {5: ("start", 12.0), 6: ("active", 7.0), 7: ("active", 9.0), 8: ("end", 9.0)}
    with RecordWriter(folder / "results.jsonl", Header({"source": str(source)}, CAMERA, {"name": "d"}, {})) as writer:
        for number in range(frames):
            events: tuple[Event, ...] = ()
            if number in values:
                phase, value = values[number]
                events = (Event(EventKind.CUT_IN, phase, number / 10, 0.4, 3, value, f"<car> at {value:.0f} m"),)
            pose = replace(NOTHING.pose, state="calibrating" if number < 4 else "calibrated")
            ego = EgoMotion(10.0 + number, 0.5)
            writer.write(
                replace(
                    NOTHING, index=number, t_s=number / 10, ego=ego, events=events, pose=pose, stage_ms={"lanes": 2.0}
                )
            )
    return folder


def test_a_report_is_one_file_with_player_pictures_and_plots(tmp_path: Path) -> None:
    text = write_report(make_run(tmp_path)).read_text()
    assert "<car>" not in text and "&lt;car&gt; at 7 m" in text, "shown as it was at its worst"
    assert "<clip>" not in text and "a &lt;clip&gt;.mp4" in text
    assert "data:video/mp4;base64," in text and text.count('src="data:image/jpeg;base64,') == 1
    assert not re.search(r'(src|href)="(?!data:)', text), "nothing is fetched from anywhere"
    assert list(tmp_path.glob("*.mp4")) == [tmp_path / "a <clip>.mp4"], "nothing lies beside it"
    assert 'data-t="0.600"' in text and 'data-t="0.500"' in text, "the worst moment, and the beginning"
    assert "calibrating for 0.3 s, calibrated for 0.6 s" in text


def test_plots_show_what_is_known_and_nothing_else(tmp_path: Path) -> None:
    text = write_report(make_run(tmp_path)).read_text()
    svgs = re.findall(r"<svg class=(\w+) .*?</svg>", text)
    assert svgs == ["wide", "narrow"], "only the speed is known: twice, for wide and for narrow screens"
    points = [tuple(map(float, p.split(","))) for p in re.search(r'<polyline points="([^"]+)"', text)[1].split()]
    assert len(points) == 10
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True), "the speed rises all the time"
    assert text.count("Nothing is known.") == 3


def test_a_run_whose_clip_is_gone_shows_the_annotated_video_beside_it(tmp_path: Path) -> None:
    folder = make_run(tmp_path, clip=False)
    text = write_report(folder, folder / "other.html").read_text()
    assert "<img" not in text and "<video" not in text and "not there any more" in text
    video(folder / "annotated.mp4", 10)
    assert 'src="annotated.mp4"' in write_report(folder).read_text()


def test_a_large_clip_lies_beside_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_page, "EMBED_LIMIT_BYTES", 100)
    folder = make_run(tmp_path / "run")
    target = tmp_path / "elsewhere" / "report.html"
    target.parent.mkdir()
    text = write_report(folder, target).read_text()
    assert "data:video" not in text and f'"src":"{CLIP}"' in text and "too large" in text
    assert sorted(path.name for path in target.parent.iterdir()) == [CLIP, "report.html"]


def test_a_record_without_frames_is_told(tmp_path: Path) -> None:
    make_run(tmp_path, frames=0)
    with pytest.raises(InputError, match="without frames"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_folder_without_a_run_or_a_batch_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a run nor a batch"):
        write_report(tmp_path)


# -- what is gathered -------------------------------------------------------------------------------------------------


def test_a_long_record_is_thinned_and_loses_no_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.report.gather.FRAME_LIMIT", 3)
    run = load(make_run(tmp_path))
    found = gather(run, len(run.results))
    assert [result.index for result in found.run.results] == [0, 4, 8]
    phases = [event.phase for result in found.run.results for event in result.events]
    assert phases == ["start", "active", "active", "end"]
    (moment,) = found.moments
    assert (moment.start_s, moment.end_s, moment.worst.value, moment.at.index) == (0.5, 0.8, 7.0, 6)
    assert found.tally.frames == 10


def car(x_m: float, y_m: float, ttc_s: float, number: int) -> Tracks:
    base = Tracks.empty()
    values = {name: np.zeros((1, *getattr(base, name).shape[1:])) for name in base.__dataclass_fields__}
    values |= {"track_id": np.array([number]), "class_id": np.array([CLASS_ID["car"]]), "ttc_s": np.array([ttc_s])}
    values |= {"state": np.array([TrackState.CONFIRMED]), "xy_m": np.array([[x_m, y_m]])}
    values["size_m"] = np.array([[1.5, 1.8, 4.4]])
    return Tracks(**values)


def test_the_time_to_collision_is_that_of_the_own_path(tmp_path: Path) -> None:
    run = load(make_run(tmp_path))
    parked = replace(run, results=tuple(replace(r, tracks=car(10.0, 3.5, 1.0, 5)) for r in run.results))
    assert np.isnan(gather(parked, 10).series["ttc"][1]).all(), "a parked car beside the road is no danger"
    ahead = replace(run, results=tuple(replace(r, tracks=car(10.0, 0.5, 1.0, 5)) for r in run.results))
    found = gather(ahead, 10)
    assert (found.series["ttc"][1] == 1.0).all()
    assert list(found.distances) == ["car 5"] and (found.distances["car 5"][1] == 10.0).all()


def test_the_tracks_that_were_warned_of_are_always_shown(tmp_path: Path) -> None:
    run = load(make_run(tmp_path))
    results = [
        replace(r, tracks=car(40.0, 0.0, math.inf, 3) if r.index % 2 else car(5.0, 0.0, math.inf, 100 + r.index))
        for r in run.results
    ]
    shown = gather(replace(run, results=tuple(results)), 10, tracks=2).distances
    assert next(iter(shown)) == "car 3" and len(shown) == 2, "it came nearer than none, but the cut-in was its"


# -- plots ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0, 10, 5, [0, 2, 4, 6, 8, 10]),
        (-0.3, 0.9, 4, [0.0, 0.5]),
        (0, 93, 6, [0, 20, 40, 60, 80]),
        (5.0, 5.0, 4, [5.0]),
    ],
)
def test_ticks_are_round(low: float, high: float, count: int, expected: list[float]) -> None:
    assert ticks(low, high, count) == expected


def test_gaps_stay_gaps_and_bands_are_as_wide_as_the_deviation() -> None:
    t_s = np.arange(0.0, 10.0, 0.1)
    values = np.where((t_s > 4) & (t_s < 6), np.nan, 10.0)
    text = plot("x", {"a": (t_s, values, np.full(100, 2.0))}, Frame((0.0, 10.0), (Shade(3.0, 5.0, "<b>"),)))
    wide = text[: text.index("</svg>")]
    assert wide.count("<polyline") == 2 and wide.count("<polygon") == 2 and "&lt;b&gt;" in wide
    band = [float(p.split(",")[1]) for p in re.search(r'<polygon class=band points="([^"]+)"', wide)[1].split()]
    line = [float(p.split(",")[1]) for p in re.search(r'<polyline points="([^"]+)"', wide)[1].split()]
    axis_px = 240 - 26  # height and lower margin
    assert max(band) - line[0] == pytest.approx(0.2 * (axis_px - line[0]), abs=0.2), "2 of 10 is a fifth of the height"


def test_names_of_lines_do_not_cover_each_other() -> None:
    t_s = np.arange(0.0, 5.0, 0.1)
    lines = {f"car {n}": (t_s, np.full(50, 20.0 + 0.1 * n), np.full(50, np.nan)) for n in range(4)}
    text = plot("x", lines, Frame((0.0, 5.0)))
    wide = text[: text.index("</svg>")]
    heights = [float(y) for y in re.findall(r'class=name x="[\d.]+" y="([\d.]+)"', wide)]
    assert len(heights) > 1 and min(abs(a - b) for i, a in enumerate(heights) for b in heights[:i]) >= 12


# -- batches ----------------------------------------------------------------------------------------------------------


def make_batch(folder: Path) -> Path:
    for name, seconds in (("one", 1.7), ("two", 0.9)):
        run = make_run(folder / name)
        video(run / "annotated.mp4", 10)
        event = {"kind": "forward collision", "t_s": 0.5, "track_id": 3, "value": seconds, "text": f"{seconds} s"}
        (run / "summary.json").write_text(
            json.dumps(
                {"frames": 10, "clip_s": 0.9, "fps": 12.0, "objects": {"car": 2}, "warnings": {"forward collision": 1},
                 "events": [event], "nearest": None, "notes": ["a <note>"]}
            )
        )  # fmt: skip
    (folder / ".failed").mkdir()
    (folder / ".failed" / "three.json").write_text(json.dumps({"clip": "three.mp4", "reason": "breaks <off>"}))
    return folder


def test_a_batch_is_a_table_of_its_clips_with_the_worst_first(tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "b")
    assert [path.name for path in clip_folders(batch)] == ["one", "two"]
    text = write_report(batch).read_text()
    assert text.count("<tr>") == 2 + 1 + 1, "two clips, the head, the failure"
    assert "breaks &lt;off&gt;" in text and "a &lt;note&gt;" in text and "<note>" not in text
    assert text.index("<b>two</b>") < text.index("<b>one</b>"), "0.9 s to collision is worse than 1.7 s"
    assert text.count("data:image/jpeg;base64,") == 2
    assert "<a href" not in text
    write_report(batch / "one")
    assert '<a href="one/report.html">' in write_report(batch).read_text()


def test_a_run_of_a_folder_of_pictures_has_its_player(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", clip=False)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(10):
        cv2.imwrite(str(pictures / f"{number:03d}.png"), np.full((48, 64, 3), 20 * number, np.uint8))
    record = run / "results.jsonl"
    record.write_text(record.read_text().replace(str(run / "gone.mp4"), str(pictures)))
    text = write_report(run).read_text()
    assert "data:video/mp4;base64," in text and "data:image/jpeg;base64," in text
