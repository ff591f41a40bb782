"""Mining finds what was planted, shows no two frames that teach the same, and writes a task that COCO's tools read."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mining.appearance import Look, describe, looks, rare
from app.mining.select import Pool, score
from app.mining.signals import Candidate, Reason, candidates
from app.mining.task import MiningPlan, mine, run_folders
from app.mount import FixedMount
from app.pipeline import Motion, NoLanes, Pipeline
from app.record import Header, RecordWriter, load
from app.record_json import rounded
from app.video import frames
from geometry.errors import InputError
from perception.synthetic.truth_file import read_truth
from perception.types import CLASS_ID, Detections, Frame
from tracking.ego_motion import EgoMotion
from tracking.tracker import Tracker

SAMPLES = Path(__file__).resolve().parents[1] / "sample_videos"
CLIP = SAMPLES / "highway_cut_in.mp4"
DOUBT_AT, GAP_AT, CUES_AT = 60, 110, 170
FRAMES = 190


class Still:
    """Own motion is of no interest here."""

    camera_motion = None

    def step(self, *args: object) -> EgoMotion:
        return EgoMotion()


Change = Callable[[int, Detections, np.ndarray], Detections]


def unchanged(index: int, found: Detections, rows: np.ndarray) -> Detections:
    return found


def planted(index: int, found: Detections, target: np.ndarray) -> Detections:
    """A doubtful frame, a frame that misses the object, a frame whose box says two distances; ``target``: its row."""
    if index == DOUBT_AT:
        return replace(found, score=np.where(target, 0.3, found.score))
    if index == GAP_AT:
        return found[~target]
    if index == CUES_AT:
        box = found.xyxy_px.copy()
        height = box[target, 3] - box[target, 1]
        box[target, 3] -= 0.55 * height  # a foot higher up: farther away on the road
        box[target, 1] -= 0.80 * height  # and taller: nearer by its size
        return replace(found, xyxy_px=box)
    return found


def record(folder: Path, change: Change = unchanged) -> Path:
    """A run on a rendered sample whose detections are its truth, but for what is changed."""
    truth = read_truth(CLIP.with_suffix("").with_suffix(".truth.jsonl.gz"))
    folder.mkdir()
    pipeline = Pipeline(truth.camera, None, NoLanes(), Tracker(), motion=Motion(Still(), FixedMount(truth.camera)))
    with RecordWriter(
        folder / "results.jsonl", Header({"source": str(CLIP)}, truth.camera, {"name": "truth"}, {})
    ) as out:
        for frame in truth.frames[:FRAMES]:
            objects = frame.objects
            clear = (objects.occlusion < 0.3) & ~objects.truncated & objects.grounded
            clear &= objects.xyxy_px[:, 3] - objects.xyxy_px[:, 1] > 16
            clear &= objects.class_id == CLASS_ID["car"]
            seen = objects[clear]
            found = rounded(Detections(seen.xyxy_px, np.full(len(seen), 0.9), seen.class_id))
            found = change(frame.index, found, seen.track_id == target_of(truth))
            picture = np.empty((0, 0, 3), np.uint8)
            out.write(pipeline.step(Frame(frame.index, frame.t_s, picture), rounded(found)))
    return folder


def target_of(truth: object) -> int:
    """The car that is largest in the frames where something is planted."""
    sizes: dict[int, list[float]] = {}
    for index in (DOUBT_AT, GAP_AT, CUES_AT):
        objects = truth.frames[index].objects  # type: ignore[attr-defined]
        for number, box, hidden, cut, kind in zip(
            objects.track_id, objects.xyxy_px, objects.occlusion, objects.truncated, objects.class_id, strict=True
        ):
            if hidden < 0.3 and not cut and kind == CLASS_ID["car"]:
                sizes.setdefault(int(number), []).append(float(box[3] - box[1]))
    return max((n for n in sizes if len(sizes[n]) == 3), key=lambda n: min(sizes[n]))


@pytest.fixture(scope="module")
def planted_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("mine") / "planted", planted)


def test_what_is_planted_in_a_rendered_scene_is_ranked_on_top(planted_run: Path, tmp_path: Path) -> None:
    chosen = mine(MiningPlan((planted_run,), tmp_path / "task", count=3, appearance=False))
    found = {frame.index: frame.reasons[0].kind for frame in chosen}
    assert found == {DOUBT_AT: "low confidence", GAP_AT: "flicker", CUES_AT: "cues disagree"}
    assert all(frame.score > 0.6 for frame in chosen)


def test_without_plants_nothing_scores_as_high(tmp_path: Path) -> None:
    run = record(tmp_path / "clean")
    pool = Pool()
    loaded = load(run)
    for candidate in candidates(loaded.header, loaded.results):
        pool.add(0, candidate)
    assert all(frame.score < 0.6 for frame in pool.choose(10))


def test_the_task_is_coco_with_pictures_prelabels_and_reasons(planted_run: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    out = tmp_path / "task"
    plan = MiningPlan((planted_run,), out, count=3, appearance=False, png=True)
    mine(plan, on_step=lambda *step: steps.append(step))
    assert steps[-1] == ("pictures", 3, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["task"], "nothing half-written is left"
    task = json.loads((out / "annotations.json").read_text())
    results = {result.index: result for result in load(planted_run).results}
    for image in task["images"]:
        picture = cv2.imread(str(out / "images" / image["file_name"]))
        assert picture.shape == (image["height"], image["width"], 3)
        labels = [label for label in task["annotations"] if label["image_id"] == image["id"]]
        found = results[image["frame"]].detections
        boxes = np.array([label["bbox"] for label in labels])
        boxes[:, 2:] += boxes[:, :2]
        np.testing.assert_allclose(boxes - 0.5, found.xyxy_px, atol=0.02)
        assert [label["category_id"] - 1 for label in labels] == found.class_id.tolist()
        assert image["reasons"][0]["kind"] and 0 < image["score"] <= 1
    assert [image["rank"] for image in task["images"]] == [1, 2, 3]
    coco = pytest.importorskip("faster_coco_eval", reason="the extra eval is not installed").COCO
    assert len(coco(str(out / "annotations.json")).getImgIds()) == 3
    rows = list(csv.DictReader((out / "frames.csv").read_text().splitlines()))
    assert rows[0]["rank"] == "1" and {row["rank"] for row in rows} == {"1", "2", "3"}
    sheet = cv2.imread(str(out / "contact_sheet.png"))
    assert sheet is not None and sheet.std() > 10


def test_the_picture_is_that_of_the_frame(planted_run: Path, tmp_path: Path) -> None:
    mine(MiningPlan((planted_run,), tmp_path / "task", count=1, appearance=False, png=True))
    image = json.loads((tmp_path / "task" / "annotations.json").read_text())["images"][0]
    expected = next(frame.bgr for frame in frames(CLIP) if frame.index == image["frame"])
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "task" / "images" / image["file_name"])), expected)


def test_models_that_disagree_are_found(planted_run: Path, tmp_path: Path) -> None:
    def another(index: int, found: Detections, target: np.ndarray) -> Detections:
        if index == 30:
            return found[~target]
        if index == 140:
            return replace(found, class_id=np.where(target, CLASS_ID["bus"], found.class_id))
        return found

    other = record(tmp_path / "other", another)
    clean = record(tmp_path / "clean")
    plan = MiningPlan((clean,), tmp_path / "task", count=2, appearance=False, other=other)
    reasons = {frame.index: frame.reasons[0] for frame in mine(plan)}
    assert set(reasons) == {30, 140}
    assert {reason.kind for reason in reasons.values()} == {"models disagree"}
    assert reasons[140].text == "car or bus" and "not seen by the other model" in reasons[30].text


def test_a_clip_that_is_gone_a_folder_in_the_way_and_no_run_are_told(planted_run: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there already"):
        mine(MiningPlan((planted_run,), tmp_path / "there"))
    with pytest.raises(InputError, match="neither a run nor a batch"):
        run_folders(tmp_path / "there")
    run = load(planted_run)
    with RecordWriter(tmp_path / "results.jsonl", replace(run.header, clip={"source": "gone.mp4"})) as out:
        out.write(run.results[0])
    with pytest.raises(InputError, match=r"gone\.mp4, is not there"):
        mine(MiningPlan((tmp_path,), tmp_path / "task"))
    assert not (tmp_path / "task").exists()


# -- choosing ---------------------------------------------------------------------------------------------------------


def doubt(value: float, track: int = 1) -> Reason:
    return Reason("low confidence", value, (0.0, 0.0, 9.0, 9.0), track, "x")


def test_neighbours_in_time_and_the_same_object_again_come_late() -> None:
    pool = Pool()
    for index in range(100):  # the same doubtful car for ten seconds
        pool.add(0, Candidate(index, index / 10, [doubt(0.9)]))
    pool.add(0, Candidate(555, 55.5, [doubt(0.6, track=2)]))
    chosen = pool.choose(4, gap_s=2.0)
    assert [frame.reasons[0].track_id for frame in chosen][:2] == [1, 2], "another object before the same one again"
    times = sorted(frame.t_s for frame in chosen)
    assert all(b - a >= 2.0 for a, b in pairwise(times))


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0.1, 1.0), st.integers(0, 5)), min_size=1, max_size=60))
def test_no_two_chosen_frames_are_nearer_than_the_gap(found: list[tuple[float, float, int]]) -> None:
    pool = Pool()
    for number, (t_s, value, track) in enumerate(found):
        pool.add(number % 2, Candidate(number, t_s, [doubt(value, track)]))
    chosen = pool.choose(20, gap_s=3.0)
    assert chosen and len({(frame.clip, frame.index) for frame in chosen}) == len(chosen)
    for a in chosen:
        assert all(b is a or b.clip != a.clip or abs(b.t_s - a.t_s) >= 3.0 for b in chosen)


@given(st.lists(st.floats(0.0, 1.0), max_size=5), st.floats(0.0, 1.0))
def test_a_further_reason_never_lowers_a_score(values: list[float], more: float) -> None:
    reasons = [doubt(value) for value in values]
    assert 0.0 <= score(reasons) <= score([*reasons, Reason("flicker", more, (0, 0, 1, 1), 0, "x")]) <= 1.0


# -- appearance -------------------------------------------------------------------------------------------------------


def test_one_of_another_kind_among_many_is_rare() -> None:
    rng = np.random.default_rng(0)
    looks = []
    for track in range(40):
        odd = track == 17
        for index in range(3):
            patch = np.full((60, 40, 3), (200, 60, 30) if odd else (60, 70, 80), np.uint8)
            if odd:
                patch[::8] = 255  # stripes
            else:
                cv2.circle(patch, (20, 30), 12, (20, 20, 20), -1)
            noisy = np.clip(patch + rng.normal(0, 12, patch.shape), 0, 255).astype(np.uint8)
            looks.append(Look(0, index, index / 2, track, CLASS_ID["car"], (0.0, 0.0, 40.0, 60.0), describe(noisy)))
    found = sorted(rare(looks), key=lambda rarity: -rarity.value)
    assert found[0].look.track_id == 17 and found[0].value > 0.9
    assert "1 of 40" in found[0].text
    assert [r.look.track_id for r in found].count(17) == 1, "one look of each object"


def test_among_a_few_objects_nothing_is_rare() -> None:
    looks = [Look(0, 0, 0.0, n, 0, (0, 0, 9, 9), describe(np.full((40, 40, 3), 9 * n, np.uint8))) for n in range(5)]
    assert rare(looks) == []


def test_rare_looks_reach_the_task(planted_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.mining.appearance._FEWEST_OBJECTS", 3)
    monkeypatch.setattr("app.mining.appearance._COMMON", 0.0)
    chosen = mine(MiningPlan((planted_run,), tmp_path / "task", count=12))
    assert any(reason.kind == "rare appearance" for frame in chosen for reason in frame.reasons)


def test_a_network_of_ones_own_takes_the_descriptions_place(planted_run: Path) -> None:
    class Places:
        """Says where a box begins, and of the first one nothing."""

        length = 2

        def embed(self, bgr: np.ndarray, xyxy_px: np.ndarray) -> np.ndarray:
            rows = np.column_stack((np.ones(len(xyxy_px)), xyxy_px[:, 0]))
            rows[:1] = np.nan
            return rows

    picture = np.zeros((720, 1280, 3), np.uint8)
    result = max(load(planted_run).results, key=lambda r: len(looks(0, r, picture)))
    own, named = looks(0, result, picture), looks(0, result, picture, Places())
    assert len(own) >= 2 and own[0].described.shape == (152,)
    assert [look.track_id for look in named] == [look.track_id for look in own[1:]]
    assert [look.described[1] for look in named] == pytest.approx([look.box[0] for look in named], abs=0.01)
