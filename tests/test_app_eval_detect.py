"""Average precision against values worked by hand, the readers of labels, and the command on known boxes."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli import app
from app.commands.eval_detect import open_models
from app.evaluation.detect import LOWEST_SCORE, MEASURED, confusion, latency_ms, pair, predict, score_detections
from app.evaluation.detect_failures import failure, worst_frames
from app.evaluation.detection_data import LabelledImage, load_labelled
from app.palette import ORANGE, VERMILLION, bgr
from geometry.errors import InputError
from perception.detector import load_detector
from perception.types import CLASS_ID, CLASSES, Detections

CAR, TRUCK, PERSON, LIGHT = (CLASS_ID[name] for name in ("car", "truck", "person", "traffic light"))
NOTHING = np.empty((0, 4))
BOXES = np.array([[10.0, 10.0, 40.0, 40.0], [100.0, 10.0, 200.0, 110.0], [300.0, 10.0, 420.0, 130.0]])
"""Small (900), large (10,000) and large (14,400) in COCO's sizes."""


def truth(boxes: np.ndarray, classes: list[int], ignored: np.ndarray = NOTHING) -> list[LabelledImage]:
    return [LabelledImage(Path("none"), boxes, np.array(classes), ignored)]


def found(boxes: np.ndarray, scores: list[float], classes: list[int]) -> list[Detections]:
    return [Detections(boxes, np.array(scores), np.array(classes))]


def test_average_precision_by_hand() -> None:
    # Right at .9, wrong at .8, right at .7: precision 1 up to recall 1/2 (51 of COCO's 101 recalls), then 2/3.
    boxes = np.array([BOXES[0], [500, 500, 520, 520], BOXES[1]])
    scores = score_detections(truth(BOXES[:2], [CAR, CAR]), found(boxes, [0.9, 0.8, 0.7], [CAR] * 3))
    assert scores.ap50["car"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert scores.map == pytest.approx((51 + 50 * 2 / 3) / 101)  # boxes are exact, so every IoU threshold agrees
    assert scores.ap50_by_size["small"]["car"] == pytest.approx(1.0)
    assert scores.ap50_by_size["large"]["car"] == pytest.approx(1.0)
    assert np.isnan(scores.ap50_by_size["medium"]["car"])
    assert scores.precision["car"][[0, 50, 51, 100]] == pytest.approx([1, 1, 2 / 3, 2 / 3])
    assert scores.boxes["car"] == scores.boxes["vehicle"] == 2


def test_map_falls_with_the_overlap() -> None:
    loose = np.add(BOXES[1:2], [0, 0, 0, 20])  # IoU 100 / 120 = 0.833: right at 7 of the 10 thresholds from 0.5 to 0.95
    scores = score_detections(truth(BOXES[1:2], [PERSON]), found(loose, [0.9], [PERSON]))
    assert scores.ap50["person"] == pytest.approx(1.0) and scores.map == pytest.approx(0.7)


def test_vehicles_are_pooled() -> None:
    scores = score_detections(truth(BOXES, [CAR, TRUCK, PERSON]), found(BOXES, [0.9] * 3, [CAR, CAR, PERSON]))
    assert scores.ap50["truck"] == 0.0
    assert scores.ap50["car"] == pytest.approx(1.0)  # the wrong one is as sure as the right one, and comes after it
    assert scores.ap50["vehicle"] == pytest.approx(1.0) and scores.boxes["vehicle"] == 2


def test_classes_that_a_model_does_not_know_are_left_out() -> None:
    scores = score_detections(truth(BOXES[:2], [CAR, LIGHT]), found(BOXES[:1], [0.9], [CAR]), known=["car", "person"])
    assert np.isnan(scores.ap50["traffic light"]) and np.isnan(scores.ap50["person"])
    assert scores.map == pytest.approx(1.0)
    assert score_detections(truth(BOXES[:2], [CAR, LIGHT]), found(BOXES[:1], [0.9], [CAR])).map == pytest.approx(0.5)


def test_nothing_found_is_zero() -> None:
    scores = score_detections(truth(BOXES, [CAR] * 3), [Detections.empty()])
    assert scores.ap50["car"] == 0.0 and scores.ap50["vehicle"] == 0.0


def test_what_lies_in_ignored_regions_counts_neither_way() -> None:
    boxes = np.array([BOXES[0], [310, 20, 340, 50], [350, 60, 380, 90]])
    detections = found(boxes, [0.5, 0.9, 0.8], [CAR] * 3)
    assert score_detections(truth(BOXES[:1], [CAR], BOXES[2:]), detections).ap50["car"] == pytest.approx(1.0)
    assert score_detections(truth(BOXES[:1], [CAR]), detections).ap50["car"] == pytest.approx(1 / 3)


def test_confusion_by_hand() -> None:
    detections = found(
        np.array([BOXES[0], BOXES[1], [500, 0, 520, 20], [310, 20, 340, 50], BOXES[2]]),
        [0.9, 0.8, 0.7, 0.6, 0.1],
        [CAR, TRUCK, PERSON, CAR, LIGHT],
    )
    counts = confusion(truth(BOXES[:2], [CAR, CAR], BOXES[2:]), detections, least_score=0.3)
    nothing = len(CLASSES)
    expected = {(CAR, CAR): 1, (CAR, TRUCK): 1, (nothing, PERSON): 1}
    assert {(int(r), int(c)): int(counts[r, c]) for r, c in zip(*np.nonzero(counts), strict=True)} == expected
    missed = confusion(truth(BOXES, [CAR, PERSON, PERSON]), [Detections.empty()])
    assert missed[CAR, nothing] == 1 and missed[PERSON, nothing] == 2 and missed.sum() == 3


def test_failures_by_hand(tmp_path: Path) -> None:
    """One large car missed weighs more than two small ones and a sure ghost; the sheet shows it first."""
    boxes = {"large": [[40, 40, 168, 168]], "small": [[10, 10, 26, 26], [50, 10, 66, 26]], "none": [[10, 10, 26, 26]]}
    images = []
    for name, truths in boxes.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((360, 640, 3), np.uint8))
        kinds = np.full(len(truths), CAR)
        images.append(LabelledImage(tmp_path / f"{name}.png", np.array(truths, float), kinds, np.empty((0, 4))))
    ghost = Detections(np.array([[300.0, 300, 340, 340]]), np.array([0.9]), np.array([CAR]))
    right = Detections(np.array([[10.0, 10, 26, 26]]), np.array([0.9]), np.array([CAR]))
    answers = [Detections.empty(), ghost, right]
    badness = [failure(i, a, pair(i, a, 0.3)) for i, a in zip(images, answers, strict=True)]
    assert badness == pytest.approx([4.0, 2 * 16 / 32 + 0.9, 0.0])
    sheet = worst_frames(images, answers, count=2)
    assert sheet.shape == (360, 1280, 3)
    missed, false = bgr(VERMILLION), bgr(ORANGE)
    assert (sheet[168, 60:150] == missed).all() and (sheet[300, 640 + 310 : 640 + 330] == false).all()


COCO = {
    "images": [{"id": 7, "file_name": "a.png"}, {"id": 3, "file_name": "b.png"}],
    "categories": [{"id": 1, "name": "bike"}, {"id": 2, "name": "car"}, {"id": 5, "name": "sofa"}],
    "annotations": [
        {"image_id": 3, "category_id": 2, "bbox": [10, 20, 30, 40]},
        {"image_id": 3, "category_id": 5, "bbox": [0, 0, 3, 3]},
        {"image_id": 3, "category_id": 2, "bbox": [50, 0, 30, 30], "iscrowd": 1},
        {"image_id": 7, "category_id": 1, "bbox": [1, 1, 2, 2]},
    ],
}


def test_coco_labels_become_points_of_the_image_frame(tmp_path: Path) -> None:
    (tmp_path / "val.json.gz").write_bytes(gzip.compress(json.dumps(COCO).encode()))
    first, second = load_labelled(tmp_path)
    assert [CLASSES[c] for c in first.class_id] == ["bicycle"] and second.path == tmp_path / "b.png"
    assert second.xyxy_px.tolist() == [[9.5, 19.5, 39.5, 59.5]] and second.class_id.tolist() == [CAR]
    assert second.ignored_px.tolist() == [[49.5, -0.5, 79.5, 29.5]]
    assert len(load_labelled(tmp_path, every=2)) == 1


def test_kitti_labels_in_both_forms(tmp_path: Path) -> None:
    row = "0 0 -1.5 10.0 20.0 40.0 60.0 1.5 1.6 4.0 1 2 3 0"
    (tmp_path / "image_2").mkdir()
    for name in ("000000.png", "000004.png"):
        (tmp_path / "image_2" / name).touch()
    (tmp_path / "label_2").mkdir()
    (tmp_path / "label_2" / "000004.txt").write_text(f"Van {row}\nDontCare {row}\nPedestrian {row}\n")
    empty, image = load_labelled(tmp_path)
    assert len(empty.class_id) == 0 and [CLASSES[c] for c in image.class_id] == ["car", "person"]
    assert image.xyxy_px[0].tolist() == [10, 20, 40, 60] and len(image.ignored_px) == 1
    (tmp_path / "label.txt").write_text(f"4 17 Cyclist {row}\n0 -1 DontCare {row}\n")
    first, second = load_labelled(tmp_path)
    assert [CLASSES[c] for c in second.class_id] == ["rider"] and len(first.ignored_px) == 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"no val\.json or val\.json\.gz in .*; the splits there are: none"),
        ({"train.json": "{}"}, "the splits there are: train"),
        ({"val.json": "[1"}, r"val\.json is no COCO detection file"),
        ({"val.json": '{"images": []}'}, r"is no COCO detection file \(KeyError"),
        ({"val.json": '{"images": [], "categories": [], "annotations": []}'}, "have no box of a road class"),
        ({"label.txt": "0 0 Car 1"}, "no image_02 or image_2"),
        ({"label.txt": "x y", "image_02/000.png": ""}, "labels are not in KITTI's format"),
        ({"label.txt": "0 0 Car 1", "image_02/000.png": ""}, "labels are not in KITTI's format"),
    ],
)
def test_labels_that_cannot_be_read(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        load_labelled(tmp_path)


def test_missing_folders_and_pictures_are_named(tmp_path: Path, shared: Path) -> None:
    with pytest.raises(InputError, match=r"no folder .*gone"):
        load_labelled(tmp_path / "gone")
    (tmp_path / "val.json").write_text(json.dumps(COCO))
    detector = load_detector(shared / "models" / "fastestdet_352.onnx", device="cpu", threads=1)
    with pytest.raises(InputError, match=r"no picture can be read from .*a\.png"):
        predict(detector, load_labelled(tmp_path))


def decoded(box: list[float], column: int) -> dict[str, np.ndarray]:
    scores = np.zeros((1, 1, len(CLASSES)), np.float32)
    scores[0, 0, column] = 0.9
    return {"boxes": np.array([[box]], np.float32), "scores": scores}


def test_the_command(tmp_path: Path, constant_onnx: Callable[..., Path]) -> None:
    """Two networks that each know one box, two pictures: the car's has it right in both, the other never."""
    metadata = {"roadlens.classes": json.dumps(CLASSES)}
    models = [
        constant_onnx("good", decoded([10, 10, 40, 30], CAR), metadata=metadata),
        constant_onnx("bad", decoded([10, 10, 40, 30], PERSON), metadata=metadata),
    ]
    labels = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in (1, 2)],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [{"image_id": i, "category_id": 1, "bbox": [20, 20, 60, 40]} for i in (1, 2)],
    }
    (tmp_path / "val.json").write_text(json.dumps(labels))
    for i in (1, 2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.zeros((128, 192, 3), np.uint8))
    arguments = ["eval", "detect", "--data", str(tmp_path), "--out", str(tmp_path / "plots")]
    arguments += ["--models", str(models[0]), "--models", f"{models[1]}@96x64", "--json", str(tmp_path / "f.json")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "f.json").read_text())
    assert set(figures) == {"good", "bad@96x64"} and set(figures["good"]["ap50"]) == set(MEASURED)
    assert figures["good"]["ap50"]["car"] == figures["good"]["ap50"]["vehicle"] == figures["good"]["map"] == 1.0
    assert figures["bad@96x64"]["ap50"]["car"] == 0.0 and figures["good"]["ap50"]["person"] is None
    assert figures["good"]["latency_ms_1t"] > 0
    plots = {path.name for path in (tmp_path / "plots").iterdir()}
    sheets = {"worst_good.jpg", "worst_bad@96x64.jpg"}
    assert plots == {"precision_recall.png", "confusion_good.png", "confusion_bad@96x64.png"} | sheets
    assert all(cv2.imread(str(tmp_path / "plots" / name)).std() > 5 for name in plots)


def test_models_that_cannot_be_told_apart_or_sized(tmp_path: Path, constant_onnx: Callable[..., Path]) -> None:
    path = constant_onnx("a", decoded([1, 1, 9, 9], CAR), metadata={"roadlens.classes": json.dumps(CLASSES)})
    with pytest.raises(InputError, match="two models are called a"):
        open_models([str(path), str(path)], "cpu")
    with pytest.raises(InputError, match="must be WIDTHxHEIGHT"):
        open_models([f"{path}@640"], "cpu")


def test_latency_takes_turns(constant_onnx: Callable[..., Path]) -> None:
    path = constant_onnx("a", decoded([1, 1, 9, 9], CAR), metadata={"roadlens.classes": json.dumps(CLASSES)})
    detector, order = load_detector(path, device="cpu"), []

    class Counted:
        def __init__(self, name: str) -> None:
            self.name = name

        def detect(self, bgr: np.ndarray) -> Detections:
            order.append(self.name)
            return detector.detect(bgr)

    times = latency_ms({"a": Counted("a"), "b": Counted("b")}, [np.zeros((8, 8, 3), np.uint8)] * 2, rounds=1)  # type: ignore[dict-item]
    assert order == ["a", "b", *["a", "b"] * 2] and set(times) == {"a", "b"} and min(times.values()) > 0


@pytest.mark.slow
def test_known_figures_of_real_networks_come_out(shared: Path) -> None:
    """Measured independently on every second frame: nanodet_plus 384x640 car .419, person .271; yolox car .303.

    Here every eighth frame (119 of 946), so the figures may differ by what sampling does.
    """
    images = load_labelled(shared / "data" / "train", "val", every=8)
    names = [str(shared / "models" / f"{name}.onnx") for name in ("nanodet_plus_m", "yolox_nano_416")]
    nanodet, yolox = (
        score_detections(images, predict(detector, images), detector.road_classes)
        for detector in open_models(names, "cpu", LOWEST_SCORE).values()
    )
    assert nanodet.ap50["car"] == pytest.approx(0.419, abs=0.05)
    assert nanodet.ap50["vehicle"] == pytest.approx(0.436, abs=0.05)
    assert nanodet.ap50["person"] == pytest.approx(0.271, abs=0.06)
    assert yolox.ap50["car"] == pytest.approx(0.303, abs=0.05)


def test_kitti_vehicles_are_found(shared: Path) -> None:
    images = load_labelled(shared / "data" / "kitti_0005", every=19)
    detector = load_detector(
        shared / "models" / "nanodet_plus_m.onnx", device="cpu", threads=1, score_threshold=0.01, input_size=(1280, 384)
    )
    scores = score_detections(images, predict(detector, images), detector.road_classes)
    assert scores.boxes["vehicle"] > 15
    assert scores.ap50["vehicle"] > 0.6  # measured elsewhere on nine other frames: .75
