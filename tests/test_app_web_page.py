"""The page's logic, driven by Streamlit's own test harness: what is shown, what is queued, what errors look like."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import app.web.common as common
from app.jobs.store import JobSpec, JobState, JobStatus, JobStore
from app.record import Header, RecordWriter
from app.types import CameraPose, Event, EventKind, FrameResult
from app.web.health import calibration_facts
from app.web.tables import track_table
from geometry.profiles import load_profile
from geometry.types import GroundPoints
from perception.types import Detections, Lanes
from tracking.types import EgoMotion, Tracks, TrackState

PAGE = Path(common.__file__).resolve().parents[1] / "ui" / "page.py"
VISITOR = "0" * 32
# Takes a run and does nothing, so that a page can be looked at while one waits.
IDLE_WORKER = (sys.executable, "-c", "import time; time.sleep(30)")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobStore]:
    monkeypatch.setenv(common.RUNS_VARIABLE, str(tmp_path / "runs"))
    monkeypatch.setattr(common, "WORKER_COMMAND", IDLE_WORKER)
    common.close_queue()
    st.cache_resource.clear()
    yield common.queue().store
    queue = common.queue()
    for job_id in queue.store.ids():
        queue.cancel(job_id)
    common.close_queue()
    st.cache_resource.clear()


def page(**query: str) -> AppTest:
    test = AppTest.from_file(str(PAGE), default_timeout=60)
    test.session_state["visitor"] = VISITOR
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def explore(job_id: str = "") -> AppTest:
    """Explore stands alone here: the harness follows no links between pages."""

    def script() -> None:
        from app.web.explore import place

        place()

    test = AppTest.from_function(script, default_timeout=60)
    test.session_state["visitor"] = VISITOR
    if job_id:
        test.query_params["run"] = job_id
    return test.run()


def a_result(index: int, x_m: float) -> FrameResult:
    tracks = Tracks(
        track_id=[7], class_id=[0], state=[TrackState.CONFIRMED], score=[0.9], xyxy_px=[[10, 10, 50, 40]],
        xy_m=[[x_m, 0.0]], v_mps=[[10.0, 0.0]], cov=[np.diag([4.0, 1.0, 1.0, 1.0])], size_m=[[1.5, 1.8, 4.2]],
        yaw_rad=[0.0], ttc_s=[np.inf], ttc_low_s=[np.inf], ttc_high_s=[np.inf], age_s=[1.0], unseen_s=[0.0],
        detection=[-1], absolute=[True],
    )  # fmt: skip
    event = Event(EventKind.CUT_IN, "start", index * 0.04, 0.0, 7, x_m, "car cuts in from the left at 20 m")
    return FrameResult(
        index, index * 0.04, Detections.empty(), GroundPoints.empty(), tracks, Lanes(), EgoMotion(speed_mps=12.0),
        CameraPose(1.3, 0.0, 0.0, 0.0), (event,) if index == 2 else (),
    )  # fmt: skip


def finished(store: JobStore, state: JobState = JobState.DONE, message: str = "") -> str:
    """A run whose worker is through, with a record of five frames."""
    job_id = store.create(JobSpec("/clips/drive.mp4", "drive.mp4", {}, VISITOR))
    results = store.results(job_id)
    results.mkdir()
    with RecordWriter(results / "results.jsonl", Header({}, load_profile("generic"), {"name": "none"}, {})) as writer:
        for index in range(5):
            writer.write(a_result(index, 20.0 - index))
    store.write_status(job_id, JobStatus(state, 5, 5, message=message))
    return job_id


def test_the_first_look_offers_clips_and_cameras(store: JobStore) -> None:
    test = page()
    assert not test.exception
    clip, camera = test.selectbox[0], test.selectbox[1]
    assert "my own clip" in clip.options
    assert {"generic", "kitti", "by its field of view"} <= set(camera.options)


def test_go_queues_the_clip_with_the_settings_chosen(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.run.sample_clips", lambda: {"a clip": Path("/clips/a.mp4")})
    monkeypatch.setattr("streamlit.video", lambda *a, **k: None)
    test = page()
    test.selectbox[1].set_value("by its field of view").run()
    fov = next(n for n in test.number_input if n.label == "Field of view, degrees")
    fov.set_value(60.0).run()
    next(t for t in test.toggle if t.label == "Lanes").set_value(False).run()
    test.button[0].click().run()
    (job_id,) = store.ids()
    spec = store.spec(job_id)
    assert spec.clip == "/clips/a.mp4" and spec.owner == VISITOR
    assert spec.settings["lanes"]["enabled"] is False
    camera = load_profile(spec.settings["camera"]["profile"])
    assert camera.fx_px == pytest.approx(640 / np.tan(np.radians(30)), rel=1e-3)


def test_without_a_clip_there_is_nothing_to_start(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.run.sample_clips", dict)
    assert page().button[0].disabled


def test_a_finished_run_shows_its_warnings_and_files(store: JobStore) -> None:
    test = explore(finished(store))
    assert not test.exception and not test.error
    assert test.dataframe[0].value["words"].tolist() == ["car cuts in from the left at 20 m"]
    assert next(s for s in test.selectbox if s.label == "Object").options == ["car 7 · nearest 16 m · warned of"]
    health = test.table[0].value
    assert health.loc["calibration"].item() == "as given" and health.loc["pitch"].item() == "0.00°"


def test_a_failed_run_says_why_and_shows_no_traceback(store: JobStore) -> None:
    test = explore(finished(store, JobState.FAILED, "the worker was killed (SIGKILL)"))
    assert not test.exception
    assert [e.value for e in test.error] == ["the worker was killed (SIGKILL)"]


def test_a_broken_record_is_one_clear_error(store: JobStore) -> None:
    job_id = finished(store)
    (store.results(job_id) / "results.jsonl").write_text("not json\n{}\n")
    test = explore(job_id)
    assert not test.exception and len(test.error) == 1


@pytest.mark.parametrize("link", ["f" * 24, "../../etc"])
def test_a_run_that_is_not_there_is_told_and_no_error(store: JobStore, link: str) -> None:
    test = explore(link)
    assert not test.exception and "is not here" in test.info[0].value


def test_the_list_without_a_link_misses_no_run(store: JobStore) -> None:
    assert ["No runs yet" in info.value for info in explore().info] == [True]


def test_a_working_run_can_be_cancelled(store: JobStore) -> None:
    job_id = common.queue().submit(JobSpec("/clips/drive.mp4", "drive.mp4", {}, VISITOR))
    test = explore(job_id)
    assert not test.exception
    next(b for b in test.button if b.label == "Cancel").click().run()
    assert not test.exception


def test_a_run_can_be_deleted(store: JobStore) -> None:
    job_id = finished(store)
    test = explore(job_id)
    assert "Delete **drive.mp4**?" in next(m.value for m in test.markdown if m.value.startswith("Delete"))
    next(b for b in test.button if b.label == "Delete for good").click().run()
    assert not test.exception and store.ids() == []
    assert "run" not in test.query_params and not any("is not here" in info.value for info in test.info)


def test_whom_a_link_was_given_sees_the_run_and_cannot_delete_it(store: JobStore) -> None:
    job_id = finished(store)
    theirs = store.create(JobSpec("/clips/drive.mp4", "drive.mp4", {}, "1" * 32))
    store.results(job_id).rename(store.results(theirs))
    store.write_status(theirs, JobStatus(JobState.DONE, 5, 5))
    test = explore(theirs)
    assert not test.exception and len(test.dataframe) > 0
    assert not any("Delete" in button.label for button in test.button)


def test_a_run_that_another_tab_deleted_first_is_no_error(store: JobStore) -> None:
    job_id = finished(store)
    test = explore(job_id)
    store.delete(job_id)
    next(b for b in test.button if b.label == "Delete for good").click().run()
    assert not test.exception and ["it may have been deleted" in toast.value for toast in test.toast] == [True]


def test_what_the_mount_varied_by_is_not_sold_as_its_error() -> None:
    pitch = [-3.5, -3.6, -3.4]
    frames = pd.DataFrame({"calibration": ["calibrating"] * 3, "progress": [0.1, 0.2, 0.3], "pitch, degrees": pitch})
    frames = frames.assign(**{"yaw, degrees": 0.11, "height, m": 1.15, "horizon, px": [421.0, 422.0, 423.0]})
    facts = calibration_facts(frames)
    assert facts == {
        "calibration": "going on, 30 %", "pitch": "-3.50°, varied by 0.08°", "yaw": "0.11°", "height": "1.15 m",
        "horizon": "422 px, varied by 1 px",
    }  # fmt: skip


def test_the_table_has_closing_speeds_and_sigmas() -> None:
    table = track_table((a_result(0, 20.0),))
    row = json.loads(table.to_json(orient="records"))[0]
    assert row["speed, km/h"] == pytest.approx(36.0)
    assert row["object"] == "car 7" and row["distance, m"] == 20.0 and row["sigma, m"] == 2.0
    assert row["closing speed, m/s"] == pytest.approx(2.0)
    assert row["time to collision, s"] is None
    assert track_table(()).empty


def test_the_wizard_shows_the_mount_and_hands_out_the_profile(store: JobStore, tmp_path: Path) -> None:
    """The first sample, its grid and its view from above; a height that is typed in reaches the profile."""

    def script() -> None:
        from app.web.calibrate import place

        place()

    test = AppTest.from_function(script, default_timeout=60).run()
    assert not test.exception and not test.error
    assert [m.label for m in test.metric][:2] == ["Pitch", "Yaw"]
    next(n for n in test.number_input if n.label.startswith("Height")).set_value(1.72).run()
    assert next(m for m in test.metric if m.label == "Height").value == "1.72 m"


def compared() -> AppTest:
    def script() -> None:
        from app.web.compare import place

        place()

    test = AppTest.from_function(script, default_timeout=60)
    test.session_state["visitor"] = VISITOR
    return test.run()


def test_two_finished_runs_stand_side_by_side(store: JobStore) -> None:
    assert len(compared().info) == 1
    for frames, model in ((100, "small"), (200, "large")):
        summary = {"frames": frames, "detector": {"name": model}, "objects": {"car": frames // 50}}
        (store.results(finished(store)) / "summary.json").write_text(json.dumps(summary))
    test = compared()
    assert not test.exception
    table = test.dataframe[0].value
    assert table.loc["frames"].tolist() == ["200", "100"]
    assert table.loc["objects: car"].tolist() == ["4", "2"]


def test_the_list_has_ones_own_runs_only_and_deletes_them(store: JobStore) -> None:
    mine = finished(store)
    store.create(JobSpec("/clips/other.mp4", "other.mp4", {}, "1" * 32))
    test = explore()
    assert not test.exception
    assert {b.label for b in test.button} == {"Open", "Delete for good"}
    assert not any("other" in m.value for m in test.markdown)
    next(b for b in test.button if b.label == "Delete for good").click().run()
    assert mine not in store.ids() and len(store.ids()) == 1


def test_names_from_strangers_are_text_and_no_markup(store: JobStore) -> None:
    job_id = store.create(JobSpec("/c.mp4", "<img src=x onerror=alert(1)>**a**[b](c)", {}, VISITOR))
    store.write_status(job_id, JobStatus(JobState.FAILED, message="**no** <b>"))
    test = explore(job_id)
    assert not test.exception
    assert "\\<img" in test.header[0].value and "\\*\\*a" in test.header[0].value
    assert test.error[0].value.startswith("\\*\\*no")


def test_a_live_source_is_offered_where_allowed_and_checked(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(common.LIVE_VARIABLE, "0")
    assert common.LIVE_SOURCE not in page().selectbox[0].options
    monkeypatch.setenv(common.LIVE_VARIABLE, "1")
    test = page()
    test.selectbox[0].set_value(common.LIVE_SOURCE).run()
    assert test.button[0].disabled
    for wrong in ("file:///etc/passwd", "concat:a|b", "/etc/passwd", "rtsp://"):
        test.text_input[0].set_value(wrong).run()
        assert test.button[0].disabled and len(test.warning) == 1
    test.text_input[0].set_value("rtsp://me:secret@camera/stream").run()
    test.button[0].click().run()
    (job_id,) = store.ids()
    spec = store.spec(job_id)
    assert spec.live and spec.clip == "rtsp://me:secret@camera/stream" and spec.name == "stream"


def test_the_browsers_camera_says_what_is_missing(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.webcam.find_spec", lambda name: None)
    test = page()
    test.selectbox[0].set_value(common.BROWSER_CAMERA).run()
    assert not test.exception
    assert "pip install 'roadlens[live]'" in test.info[0].value
    assert not any(b.label == "Go" for b in test.button)
