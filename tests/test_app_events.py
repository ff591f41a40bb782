"""Warnings: when they start, hold and end; what must not raise one."""

import numpy as np
import pytest

from app.events import EventConfig, EventDetector
from app.types import CameraPose, Event, EventKind, going_on
from perception.types import CLASS_ID, LaneBoundary, Lanes
from tracking.types import EgoMotion, Tracks, TrackState

DT_S = 0.05


def a_track(**given: object) -> Tracks:
    """One confirmed car 30 m straight ahead, standing relative to us, unless told otherwise."""
    base = {
        "track_id": [1], "class_id": [CLASS_ID["car"]], "state": [TrackState.CONFIRMED], "score": [0.9],
        "xyxy_px": [[0, 0, 1, 1]], "xy_m": [[30.0, 0.0]], "v_mps": [[0.0, 0.0]], "cov": [np.eye(4)],
        "size_m": [[1.5, 1.8, 4.5]], "yaw_rad": [0.0], "ttc_s": [np.inf], "ttc_low_s": [np.inf],
        "ttc_high_s": [np.inf], "age_s": [1.0], "unseen_s": [0.0], "detection": [0], "absolute": [False],
    }  # fmt: skip
    return Tracks(**{**base, **given})


def lanes(centre_m: float = 0.0, c1: float = 0.0, c2: float = 0.0) -> Lanes:
    """A 3.5 m lane whose centre lies at ``centre_m`` to the left."""

    def line(c0: float) -> LaneBoundary:
        return LaneBoundary(np.array([c0, c1, c2]), np.eye(3) * 1e-4, (3.0, 60.0), "solid", 0.9)

    return Lanes(left=line(centre_m + 1.75), right=line(centre_m - 1.75), width_m=3.5, offset_m=-centre_m)


def drive(detector: EventDetector, frames: list[tuple[Tracks, Lanes]], speed_mps: float = 20.0) -> list[Event]:
    """All events of frames that follow each other by DT_S."""
    ego = EgoMotion(speed_mps=speed_mps, yaw_rate_radps=0.0, source="given")
    return [e for i, (t, lane) in enumerate(frames) for e in detector.step(i * DT_S, t, lane, ego)]


def of(events: list[Event], kind: EventKind, phase: str) -> list[Event]:
    return [e for e in events if e.kind is kind and e.phase == phase]


def test_collision_warns_after_confirmation_and_ends_after_release() -> None:
    config = EventConfig()
    near, far = a_track(ttc_s=[2.0]), a_track(ttc_s=[9.0])
    events = drive(EventDetector(config), [(near, Lanes())] * 10 + [(far, Lanes())] * 20)
    starts, ends = of(events, EventKind.FORWARD_COLLISION, "start"), of(events, EventKind.FORWARD_COLLISION, "end")
    assert len(starts) == len(ends) == 1
    assert starts[0].t_s == pytest.approx(config.confirm_s)
    assert starts[0].since_s == 0.0 and starts[0].track_id == 1 and starts[0].value == 2.0
    last_near_s = 9 * DT_S
    assert config.release_s < ends[0].t_s - last_near_s <= config.release_s + 2 * DT_S


def test_a_single_frame_of_short_ttc_is_no_warning() -> None:
    frames = [(a_track(ttc_s=[1.0]), Lanes())] + [(a_track(), Lanes())] * 20
    assert drive(EventDetector(), frames) == []


def test_between_warning_and_release_level_a_running_warning_stays_and_none_begins() -> None:
    middle = a_track(ttc_s=[3.0])
    assert drive(EventDetector(), [(middle, Lanes())] * 20) == []
    events = drive(EventDetector(), [(a_track(ttc_s=[2.0]), Lanes())] * 10 + [(middle, Lanes())] * 40)
    assert not of(events, EventKind.FORWARD_COLLISION, "end")


@pytest.mark.parametrize(
    "harmless",
    [
        {"xy_m": [[20.0, 3.5]]},  # in the next lane
        {"xy_m": [[-5.0, 0.0]]},  # behind
        {"state": [TrackState.TENTATIVE]},
        {"class_id": [CLASS_ID["traffic sign"]]},
        {"ttc_s": [np.nan]},
    ],
)
def test_what_cannot_be_hit_raises_no_collision_warning(harmless: dict[str, object]) -> None:
    track = a_track(**{"ttc_s": [1.0], **harmless})
    assert not of(drive(EventDetector(), [(track, Lanes())] * 20), EventKind.FORWARD_COLLISION, "start")


def test_a_bend_decides_what_is_in_the_way() -> None:
    """On a left bend of 200 m radius the lane is 4 m to the left at 40 m: straight ahead is the next lane."""
    bend = lanes(c2=1 / 400)
    straight = a_track(xy_m=[[40.0, 0.0]], ttc_s=[2.0])
    in_lane = a_track(xy_m=[[40.0, 4.0]], ttc_s=[2.0])
    assert not of(drive(EventDetector(), [(straight, bend)] * 10), EventKind.FORWARD_COLLISION, "start")
    assert of(drive(EventDetector(), [(in_lane, bend)] * 10), EventKind.FORWARD_COLLISION, "start")


@pytest.mark.parametrize(("gap_m", "speed_mps", "warned"), [(12.0, 20.0, True), (25.0, 20.0, False), (4.0, 5.0, False)])
def test_headway_depends_on_gap_and_speed(gap_m: float, speed_mps: float, warned: bool) -> None:
    events = drive(EventDetector(), [(a_track(xy_m=[[gap_m, 0.0]]), Lanes())] * 20, speed_mps)
    starts = of(events, EventKind.HEADWAY, "start")
    assert bool(starts) is warned
    if warned:
        assert starts[0].value == pytest.approx(gap_m / speed_mps)


def test_headway_needs_a_known_speed() -> None:
    assert drive(EventDetector(), [(a_track(xy_m=[[5.0, 0.0]]), Lanes())] * 20, float("nan")) == []


@pytest.mark.parametrize("direction", [1, -1])
def test_drifting_over_a_line_is_a_departure_to_that_side(direction: int) -> None:
    drift_mps = 0.6
    frames = [(Tracks.empty(), lanes(centre_m=-direction * drift_mps * i * DT_S)) for i in range(60)]
    starts = of(drive(EventDetector(), frames), EventKind.LANE_DEPARTURE, "start")
    assert len(starts) == 1
    assert starts[0].text.endswith("left" if direction > 0 else "right")
    # 0.85 m from wheel to line at 0.6 m/s: crossing at 1.42 s, announced within 0.6 s before it
    assert 1.42 - 0.6 <= starts[0].t_s <= 1.42


def test_keeping_the_lane_and_unknown_lanes_raise_no_departure() -> None:
    rng = np.random.default_rng(1)
    frames = [(Tracks.empty(), lanes(centre_m=rng.normal(0, 0.03))) for _ in range(100)]
    assert drive(EventDetector(), frames) == []
    assert drive(EventDetector(), [(Tracks.empty(), Lanes())] * 50) == []


def test_a_lane_change_does_not_look_like_a_jump_into_the_line() -> None:
    frames = [(Tracks.empty(), lanes(centre_m=0.0))] * 20 + [(Tracks.empty(), lanes(centre_m=3.4))] * 20
    assert drive(EventDetector(), frames) == []


def test_cut_in_is_seen_once_from_the_right_side() -> None:
    frames = [(a_track(xy_m=[[20.0, max(3.5 - 1.0 * i * DT_S, 0.0)]]), lanes()) for i in range(100)]
    starts = of(drive(EventDetector(), frames, 10.0), EventKind.CUT_IN, "start")
    assert len(starts) == 1
    assert "from the left" in starts[0].text
    # outer edge 0.9 m inside of its centre: 0.2 m over the line when the centre is at 2.45 m, 1.05 s
    assert starts[0].since_s == pytest.approx(1.05, abs=2 * DT_S)


def test_a_cut_in_comes_from_where_it_came_even_past_the_middle() -> None:
    frames = [(a_track(xy_m=[[20.0, 3.5 - 1.5 * i * DT_S]]), lanes()) for i in range(75)]
    texts = {e.text for e in drive(EventDetector(), frames, 10.0) if e.kind is EventKind.CUT_IN and e.phase != "end"}
    assert texts and all("from the left" in text for text in texts)


def test_a_neighbour_is_no_cut_in_where_its_line_is_only_guessed() -> None:
    """The right line alone is seen; the lane's usual width, and with it the left line, is a guess that changes."""
    neighbour = a_track(xy_m=[[20.0, 2.9]])
    right_only = [Lanes(right=lanes().right, width_m=3.5 + 0.02 * i) for i in range(60)]
    events = drive(EventDetector(), [(neighbour, seen) for seen in right_only], 5.0)
    assert not of(events, EventKind.CUT_IN, "start")
    both = [Lanes(left=lanes(0.02 * i).left, right=lanes().right, width_m=3.5) for i in range(60)]
    assert of(drive(EventDetector(), [(neighbour, seen) for seen in both], 5.0), EventKind.CUT_IN, "start")


@pytest.mark.parametrize(("sideways_mps", "warned"), [(-1.5, True), (-0.4, False), (1.5, False)])
def test_a_cyclist_cuts_in_only_by_moving_into_the_lane(sideways_mps: float, warned: bool) -> None:
    """Placed beside the line at first, 0.3 m over it later: an error of place, or a move beyond the speed's sigma."""
    rides = {
        "class_id": [CLASS_ID["rider"]], "size_m": [[1.74, 0.6, 1.76]], "absolute": [True],
        "v_mps": [[4.6, sideways_mps]], "cov": [np.diag([0.25, 0.04, 1.0, 0.25])],
    }  # fmt: skip
    frames = [(a_track(xy_m=[[12.0, 2.1 if i < 10 else 1.75]], **rides), lanes()) for i in range(40)]
    starts = of(drive(EventDetector(), frames, 12.0), EventKind.CUT_IN, "start")
    assert bool(starts) == warned
    assert all("rider cuts in from the left" in start.text for start in starts)


def test_who_crosses_on_foot_does_not_cut_in() -> None:
    crossing = [
        (a_track(xy_m=[[20.0, 3.5 - 1.0 * i * DT_S]], class_id=[CLASS_ID["person"]]), lanes()) for i in range(75)
    ]
    assert not of(drive(EventDetector(), crossing, 10.0), EventKind.CUT_IN, "start")


def test_the_most_urgent_event_comes_first_and_what_ended_is_silent() -> None:
    events = [
        Event(kind, phase, 1.0, 0.5)
        for kind, phase in (
            (EventKind.CALIBRATION, "start"),
            (EventKind.CUT_IN, "active"),
            (EventKind.HEADWAY, "end"),
            (EventKind.FORWARD_COLLISION, "start"),
        )
    ]
    found = [event.kind for event in going_on(events)]
    assert found == [EventKind.FORWARD_COLLISION, EventKind.CUT_IN, EventKind.CALIBRATION]


def test_a_lead_vehicle_that_was_always_there_is_no_cut_in() -> None:
    assert not of(drive(EventDetector(), [(a_track(), lanes())] * 50), EventKind.CUT_IN, "start")


def test_calibration_changes_are_told_once() -> None:
    detector = EventDetector()
    poses = [CameraPose(1.3, 0, 0, 0, state=s) for s in ("calibrating", "calibrating", "calibrated", "calibrated")]
    events = [e for i, p in enumerate(poses) for e in detector.step(float(i), Tracks.empty(), Lanes(), EgoMotion(), p)]
    assert [e.text for e in events] == ["calibration: calibrating -> calibrated"]
