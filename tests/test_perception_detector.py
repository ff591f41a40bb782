"""The detector on tiny networks with known boxes, on real files and pictures, and on all that can be wrong."""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from geometry.boxes import iou
from geometry.errors import InputError
from perception import detector as module
from perception.detector import Detector, DetectorConfig, available_models, default_model, load_detector
from perception.preprocess import Preprocess
from perception.session import open_session
from perception.types import CLASS_ID, CLASSES
from perception.vocabulary import COCO_NAMES, road_class, road_classes

MakeOnnx = Callable[..., Path]
SIZE = (96, 64)
CELLS = 12 * 8 + 6 * 4 + 3 * 2
CAR, TRUCK, PERSON = (CLASS_ID[name] for name in ("car", "truck", "person"))
PICTURE = np.zeros((128, 192, 3), np.uint8)
"""Twice the size of the tiny networks' input, so that edges double."""


def yolov8_output(*boxes: tuple[list[float], int, float], classes: int = 80) -> np.ndarray:
    """(1, 4 + C, N) with boxes given as edges, class column and score."""
    out = np.zeros((1, 4 + classes, CELLS), np.float32)
    for row, (xyxy, column, score) in enumerate(boxes):
        left, top, right, bottom = xyxy
        out[0, :4, row] = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        out[0, 4 + column, row] = score
    return out


def test_boxes_come_back_in_pixels_of_the_picture(constant_onnx: MakeOnnx) -> None:
    box = [20.0, 12.0, 52.0, 40.0]
    path = constant_onnx("v8", {"output0": yolov8_output((box, 2, 0.8), (box, 0, 0.6), (box, 16, 0.9))})
    detector = load_detector(path, device="cpu", threads=1)
    found = detector.detect(PICTURE)
    assert [CLASSES[c] for c in found.class_id] == ["car", "person"]  # column 16 is a dog
    assert found.xyxy_px.tolist() == [[39.5, 23.5, 103.5, 79.5]] * 2  # edges doubled, minus half a pixel
    assert found.score.tolist() == pytest.approx([0.8, 0.6])
    tall = detector.detect(np.zeros((640, 480, 3), np.uint8))  # a tenth, in the middle: 24 columns of padding
    assert tall.xyxy_px[0] == pytest.approx([0 - 0.5, 119.5, 279.5, 399.5])  # left of the picture: clipped


def test_description_tells_what_runs(constant_onnx: MakeOnnx) -> None:
    path = constant_onnx("v8", {"output0": yolov8_output()}, metadata={"roadlens.version": "3"})
    assert load_detector(path, device="cpu").description == {
        "name": "v8",
        "file": "v8.onnx",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "provider": "CPUExecutionProvider",
        "head": "yolov8",
        "input_size": "96x64",
        "version": "3",
    }
    assert "notice" not in load_detector(path).description, "that a CPU build has no CUDA is no news"


def test_no_boxes_are_no_detections(constant_onnx: MakeOnnx) -> None:
    found = load_detector(constant_onnx("v8", {"output0": yolov8_output()})).detect(PICTURE)
    assert len(found) == 0 and found.xyxy_px.shape == (0, 4)


def test_suppression_is_by_class_and_threshold_is_settable(constant_onnx: MakeOnnx) -> None:
    near = [[20.0, 12.0, 52.0, 40.0], [22.0, 12.0, 52.0, 40.0], [60.0, 12.0, 90.0, 40.0]]
    output = yolov8_output((near[0], 2, 0.5), (near[1], 2, 0.9), (near[0], 0, 0.4), (near[2], 2, 0.1))
    path = constant_onnx("v8", {"output0": output})
    assert load_detector(path).detect(PICTURE).class_id.tolist() == [CAR, PERSON]
    low = load_detector(path, score_threshold=0.05).detect(PICTURE)
    assert low.score.tolist() == pytest.approx([0.9, 0.4, 0.1])
    assert len(load_detector(path, score_threshold=0.6).detect(PICTURE)) == 1


def test_one_vehicle_is_one_detection(constant_onnx: MakeOnnx) -> None:
    van, shifted = [20.0, 12.0, 60.0, 52.0], [22.0, 12.0, 62.0, 52.0]  # IoU 38 / 42 = 0.905
    output = yolov8_output((van, 2, 0.5), (shifted, 7, 0.7), (shifted, 0, 0.6))
    path = constant_onnx("v8", {"output0": output})
    assert load_detector(path).detect(PICTURE).class_id.tolist() == [TRUCK, PERSON]
    both = Detector(open_session(path, "cpu"), DetectorConfig(rival_iou=0.95)).detect(PICTURE)
    assert both.class_id.tolist() == [TRUCK, PERSON, CAR]


def test_overlap_of_suppression_comes_from_the_file_unless_named(constant_onnx: MakeOnnx) -> None:
    output = yolov8_output(([20, 12, 60, 52], 2, 0.5), ([30, 12, 70, 52], 2, 0.7))  # IoU 30 / 50 = 0.6
    assert len(load_detector(constant_onnx("usual", {"o": output})).detect(PICTURE)) == 1
    path = constant_onnx("told", {"o": output}, metadata={"roadlens.nms_iou": "0.65"})
    assert len(load_detector(path).detect(PICTURE)) == 2
    assert len(Detector(open_session(path, "cpu"), DetectorConfig(nms_iou=0.5)).detect(PICTURE)) == 1


def test_support_by_others_lifts_a_score_over_the_threshold(constant_onnx: MakeOnnx) -> None:
    """At one half weight and no support expected, four boxes in one place have twice the odds of one."""
    near = [([20, 12, 60, 52], 2, 0.4)] * 4
    metadata = {"roadlens.score_threshold": "0.5"}
    told = metadata | {"roadlens.support": json.dumps({"weight": 0.5, "area_px2": [100], "expected": [0]})}
    plain, four, alone = (
        load_detector(constant_onnx(name, {"o": yolov8_output(*boxes)}, metadata=said)).detect(PICTURE)
        for name, boxes, said in (("plain", near, metadata), ("four", near, told), ("alone", near[:1], told))
    )
    assert len(plain) == len(alone) == 0
    assert four.score == pytest.approx([0.8 / 1.4])


def test_boxes_lose_what_the_file_says_they_are_too_large(constant_onnx: MakeOnnx) -> None:
    output = {"o": yolov8_output(([20, 12, 60, 52], 2, 0.9))}
    metadata = {"roadlens.oversize": json.dumps({"area_px2": [1600], "log_side": [math.log(1.25)]})}
    plain = load_detector(constant_onnx("plain", output)).detect(PICTURE).xyxy_px[0]
    mended = load_detector(constant_onnx("told", output, metadata=metadata)).detect(PICTURE).xyxy_px[0]
    assert mended[2:] - mended[:2] == pytest.approx((plain[2:] - plain[:2]) / 1.25)
    assert mended[2:] + mended[:2] == pytest.approx(plain[2:] + plain[:2])


def test_yolov5_file(constant_onnx: MakeOnnx) -> None:
    out = np.zeros((1, 3 * CELLS, 85), np.float32)
    out[0, 11, :5], out[0, 11, 5 + 7] = [36, 26, 32, 28, 0.9], 0.9
    found = load_detector(constant_onnx("v5", {"output": out})).detect(PICTURE)
    assert found.class_id.tolist() == [TRUCK] and found.xyxy_px.tolist() == [[39.5, 23.5, 103.5, 79.5]]


def test_ppyoloe_file_gets_its_side_inputs(constant_onnx: MakeOnnx) -> None:
    listed = np.array([[2, 0.9, 20, 12, 52, 40], [0, 0.1, 0, 0, 9, 9]], np.float32)
    path = constant_onnx(
        "ppyoloe",
        {"multiclass_nms3_0.tmp_0": listed, "multiclass_nms3_0.tmp_2": np.array([2], np.int32)},
        others={"scale_factor": ("float32", (1, 2)), "im_shape": ("float32", (1, 2))},
    )
    detector = load_detector(path)
    found = detector.detect(np.zeros((128, 96, 3), np.uint8))  # stretched: only the height doubles
    assert detector.description["head"] == "ppyoloe"
    assert found.class_id.tolist() == [CAR] and found.xyxy_px.tolist() == [[19.5, 23.5, 51.5, 79.5]]
    feeds, _ = detector.prepare(PICTURE)
    assert feeds["scale_factor"].tolist() == [[1, 1]] and feeds["im_shape"].tolist() == [[64, 96]]


@pytest.mark.parametrize(("bus", "wins"), [(0.45, "bus"), (0.25, "truck")])
def test_a_bus_wins_against_a_rival_that_is_a_little_surer(constant_onnx: MakeOnnx, bus: float, wins: str) -> None:
    """Odds of 0.5 are 1, of 0.45 0.82, which doubled is more; of 0.25 they are 0.33. Scores stay their own."""
    boxes, scores = np.zeros((1, 7, 4), np.float32), np.zeros((1, 7, 3), np.float32)
    boxes[0, :3] = [[20, 12, 52, 40], [20, 12, 52, 41], [60, 12, 90, 40]]
    scores[0, 0, 0], scores[0, 1, 1], scores[0, 2, 2] = 0.5, bus, 0.47
    metadata = {"roadlens.head": "decoded", "roadlens.classes": json.dumps(["truck", "bus", "car"])}
    path = constant_onnx(f"bus{bus}", {"boxes": boxes, "scores": scores}, metadata=metadata)
    found = load_detector(path, score_threshold=0.1).detect(PICTURE)
    assert {CLASSES[c] for c in found.class_id} == {wins, "car"}
    assert (np.diff(found.score) <= 0).all() and found.score.max() == pytest.approx(0.5 if wins == "truck" else 0.47)


def test_own_metadata_is_obeyed(constant_onnx: MakeOnnx) -> None:
    boxes, scores = np.zeros((1, 7, 4), np.float32), np.zeros((1, 7, 3), np.float32)
    boxes[0, :4] = [[20, 12, 52, 40], [20, 12, 52, 48], [60, 12, 90, 40], [1, 1, 9, 9]]
    scores[0, 0, 0], scores[0, 1, 0], scores[0, 2, 1], scores[0, 3, 2] = 0.5, 0.45, 0.2, 0.39
    metadata = {
        "roadlens.head": "decoded-unique",
        "roadlens.classes": json.dumps(["motor", "traffic light", "pedestrian"]),
        "roadlens.score_threshold": json.dumps({"traffic light": 0.15, "pedestrian": 0.4, "motor": 0.3}),
        "roadlens.preprocess": json.dumps({"fit": "stretch", "rgb": True, "mean": [1, 2, 3], "std": [4, 5, 6]}),
    }
    outputs = {"boxes": boxes, "scores": scores}
    detector = load_detector(constant_onnx("own", outputs, metadata=metadata, dtype="uint8"))
    found = detector.detect(PICTURE)
    assert [CLASSES[c] for c in found.class_id] == ["motorcycle", "motorcycle", "traffic light"]  # no suppression
    assert detector.road_classes == ("person", "motorcycle", "traffic light")
    assert detector.prepare(PICTURE)[0]["images"].dtype == np.uint8
    metadata["roadlens.head"] = "decoded"
    assert len(load_detector(constant_onnx("nms", outputs, metadata=metadata)).detect(PICTURE)) == 2


def test_ultralytics_names_are_read_and_never_run(constant_onnx: MakeOnnx) -> None:
    names = "{0: 'bike', 1: \"driver's car\", 2: 'motor'}"
    path = constant_onnx("v8", {"o": yolov8_output(([20, 12, 52, 40], 2, 0.8), classes=3)}, metadata={"names": names})
    found = load_detector(path).detect(PICTURE)
    assert [CLASSES[c] for c in found.class_id] == ["motorcycle"]
    evil = {"names": "__import__('pathlib').Path('/tmp/owned').touch()"}
    with pytest.raises(InputError, match="shows 3 classes, but the file has no names"):
        load_detector(constant_onnx("evil", {"o": yolov8_output(classes=3)}, metadata=evil))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"roadlens.classes": "['car']"}, r"wrong\.onnx: metadata roadlens\.classes is .*must be JSON"),
        ({"roadlens.classes": "3"}, "must be a JSON list of names"),
        ({"roadlens.input_size": "[640]"}, r"must be \[width, height\]"),
        ({"roadlens.stride": "0"}, "must be a positive whole number"),
        ({"roadlens.preprocess": '{"gamma": 2}'}, "must be an object with keys of fit"),
        ({"roadlens.score_threshold": "1.5"}, "must be a number from 0 to below 1"),
        ({"roadlens.nms_iou": "0"}, "must be a number over 0, up to 1"),
        ({"roadlens.support": "0.3"}, "must be a weight, ascending areas over 0"),
        ({"roadlens.support": '{"weight": 1, "area_px2": [9, 4], "expected": [0, 1]}'}, "ascending areas over 0"),
        ({"roadlens.support": '{"weight": "1", "area_px2": [9], "expected": [0]}'}, "must be a weight, "),
        ({"roadlens.oversize": '{"weight": 1, "area_px2": [9], "log_side": [0]}'}, "must be ascending areas over 0"),
        ({"roadlens.oversize": '{"area_px2": [9, 16], "log_side": [0]}'}, "must be ascending areas over 0"),
        ({"roadlens.oversize": '{"area_px2": [9, 16], "log_side": [[0], [1, 2]]}'}, "must be ascending areas over 0"),
        ({"roadlens.head": "yolov99"}, "head is 'yolov99'; must be one of distances, "),
        ({"names": "{0: 'car', 2: 'bus'}"}, "must be numbered from 0"),
        ({"roadlens.classes": '["car"]'}, "head yolov8 shows 80 classes, but 1 names are given"),
        ({"roadlens.classes": json.dumps(["cat"] * 80)}, "none of its classes .* is of the road"),
        ({"roadlens.head": "nanodet-plus"}, "head nanodet-plus shows 94 classes, but the file has no names"),
        ({"roadlens.head": "detr"}, "do not fit the head detr"),
        ({"roadlens.head": "decoded"}, "do not fit the head decoded"),
    ],
)
def test_metadata_that_cannot_be_is_named(constant_onnx: MakeOnnx, metadata: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        load_detector(constant_onnx("wrong", {"o": yolov8_output()}, metadata=metadata))
    assert str(raised.value).startswith("wrong.onnx") and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("shape", "dtype", "others", "message"),
    [
        ((1, 3), "float32", {}, "wanted one picture"),
        ((1, 1, 64, 96), "float32", {}, r"wanted \(1, 3, height, width\)"),
        ((8, 3, 64, 96), "float32", {}, "export it with batch 1 or free"),
        ((1, 3, 64, 96), "int64", {}, "takes int64 pictures"),
        ((1, 3, 64, 96), "float32", {"prompt": ("int64", (1, 77))}, "no detector known here"),
    ],
)
def test_networks_that_are_no_detectors(
    constant_onnx: MakeOnnx, shape: tuple, dtype: str, others: dict, message: str
) -> None:
    with pytest.raises(InputError, match=rf"odd\.onnx .*{message}"):
        load_detector(constant_onnx("odd", {"o": yolov8_output()}, shape=shape, dtype=dtype, others=others))


def test_outputs_that_fit_no_head(constant_onnx: MakeOnnx) -> None:
    with pytest.raises(InputError, match=r"cls\.onnx: outputs prob \(1, 1000\) .* fit no known head"):
        load_detector(constant_onnx("cls", {"prob": np.zeros((1, 1000), np.float32)}))


def test_nan_and_infinity_name_the_file(constant_onnx: MakeOnnx) -> None:
    wrong = yolov8_output(([20, 12, 52, 40], 2, 0.8))
    wrong[0, 4 + 5, 3] = np.nan
    with pytest.raises(InputError, match=r"nan\.onnx: the network's scores hold NaN"):
        load_detector(constant_onnx("nan", {"o": wrong}))
    wrong = yolov8_output(([20, 12, 52, np.inf], 2, 0.8))
    with pytest.raises(InputError, match=r"inf\.onnx: the network's boxes hold NaN or infinity"):
        load_detector(constant_onnx("inf", {"o": wrong})).detect(PICTURE)


def test_input_sizes(constant_onnx: MakeOnnx, shared: Path) -> None:
    fixed = constant_onnx("v8", {"o": yolov8_output()})
    assert load_detector(fixed, input_size=(96, 64)).input_size((1280, 720)) == (96, 64)
    with pytest.raises(InputError, match=r"v8\.onnx takes 96x64 only, 640x384 was asked for"):
        load_detector(fixed, input_size=(640, 384))
    free = shared / "models" / "nanodet_plus_m.onnx"
    assert load_detector(free).input_size((1242, 375)) == (864, 256)
    asked = load_detector(free, input_size=(416, 416))
    assert asked.input_size((1242, 375)) == (416, 416) and asked.description["input_size"] == "416x416"
    with pytest.raises(InputError, match="input size is 0x416"):
        load_detector(free, input_size=(0, 416))


@pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan")])
def test_thresholds_outside_are_refused(constant_onnx: MakeOnnx, threshold: float) -> None:
    with pytest.raises(InputError, match="score threshold is"):
        load_detector(constant_onnx("v8", {"o": yolov8_output()}), score_threshold=threshold)


def test_names_and_defaults(tmp_path: Path, constant_onnx: MakeOnnx, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, beside = tmp_path / "weights", tmp_path / "beside"
    weights.mkdir()
    beside.mkdir()
    monkeypatch.setattr(module, "WEIGHTS", weights)
    monkeypatch.setattr(module, "SHARED_MODELS", beside)
    with pytest.raises(InputError, match=r"no weights in .* and no model named"):
        load_detector()
    other = constant_onnx("v8", {"o": yolov8_output()})
    stand_in = other.rename(beside / module.STAND_IN)
    assert default_model() is None and "stands in" in load_detector().description["notice"]
    (weights / "ours_n.onnx").write_bytes(stand_in.read_bytes())
    (weights / "ours_n_int8.onnx").write_bytes(stand_in.read_bytes())
    assert [path.stem for path in available_models()] == ["ours_n_int8", "ours_n", stand_in.stem]
    assert load_detector(device="cpu").description["name"] == "ours_n_int8"
    assert "notice" not in load_detector(device="cpu").description
    assert load_detector("ours_n").description["file"] == "ours_n.onnx"
    with pytest.raises(InputError, match="no model named 'theirs'; there are ours_n_int8, ours_n, "):
        load_detector("theirs")
    with pytest.raises(InputError, match=r"no model at gone/theirs\.onnx"):
        load_detector("gone/theirs.onnx")


def test_preprocessing_can_be_named(constant_onnx: MakeOnnx) -> None:
    session = open_session(constant_onnx("v8", {"o": yolov8_output()}), "cpu")
    detector = Detector(session, DetectorConfig(preprocess=Preprocess("stretch", pad=0), classes=COCO_NAMES))
    assert detector.prepare(PICTURE + 9)[0]["images"].max() == 9.0


def test_one_road_vocabulary() -> None:
    assert len(COCO_NAMES) == len(set(COCO_NAMES)) == 80
    known = [CLASSES[c] for c in road_classes(COCO_NAMES) if c >= 0]
    assert sorted(known) == sorted(set(CLASSES) - {"rider"})
    names = ["bike", "bus", "car", "motor", "person", "rider", "Traffic_Light", "traffic-sign", "train", "truck"]
    assert sorted(road_classes(names)) == list(range(10))
    assert road_class("bike") == CLASS_ID["bicycle"] and road_class("Pedestrian") == PERSON and road_class("dog") == -1


# In pixels of the pictures, drawn round what a person sees.
CARS_IN_PICTURES = {
    "pictures/bdd_test.jpg": [[429, 236, 651, 409], [850, 190, 1279, 525]],
    "pictures/udacity_adv_test1.jpg": [[812, 408, 942, 494], [1050, 403, 1272, 506]],
    "pictures/bdd_adb4871d-4d063244.jpg": [[877, 352, 1117, 487]],
}
PEOPLE_IN_PICTURES = {"kitti_0005/image_02/0000000000.jpg": [[770, 168, 882, 363], [1109, 170, 1200, 318]]}
FILES = ["deimv2_atto_320_int8", "fastestdet_352", "nanodet_plus_m", "picodet_s_416", "yolox_nano_416"]


def best_overlap(detector: Detector, picture: Path, truth: list[list[float]], class_id: int) -> np.ndarray:
    found = detector.detect(cv2.imread(str(picture)))
    boxes = found.xyxy_px[found.class_id == class_id].astype(np.float64)
    assert len(boxes), f"nothing of class {CLASSES[class_id]} in {picture.name}"
    return iou(np.array(truth, np.float64), boxes).max(axis=1)


@pytest.mark.parametrize("name", FILES)
def test_real_files_find_cars_and_people(shared: Path, name: str) -> None:
    detector = load_detector(shared / "models" / f"{name}.onnx", device="cpu", threads=1, score_threshold=0.2)
    overlaps = [
        best_overlap(detector, shared / "data" / picture, truth, CAR) for picture, truth in CARS_IN_PICTURES.items()
    ]
    weak = name.startswith("deim")  # MANIFEST.md: .40 and .02 AP50 on cars and people, so little is asked of it
    assert np.concatenate(overlaps).mean() > (0.5 if weak else 0.75)
    assert (np.concatenate(overlaps) > 0.5).mean() >= (0.5 if weak else 1.0)
    if not weak:
        for picture, truth in PEOPLE_IN_PICTURES.items():
            assert (best_overlap(detector, shared / "data" / picture, truth, PERSON) > 0.5).all()


def test_one_pixel_and_odd_sizes_run(shared: Path) -> None:
    detector = load_detector(shared / "models" / "nanodet_plus_m.onnx", device="cpu", threads=1)
    for height, width in ((1, 1), (1, 400), (37, 53)):
        assert len(detector.detect(np.full((height, width, 3), 90, np.uint8))) == 0


def test_a_torch_program_is_a_detector(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Brightest(torch.nn.Module):
        """One box over the left half, as sure as the picture is bright."""

        def forward(self, images: "torch.Tensor") -> dict:
            box = images.new_tensor([[[0.0, 0.0, 48.0, 64.0]]])
            return {
                "boxes": box.expand(images.shape[0], 1, 4),
                "scores": images.mean((1, 2, 3)).reshape(-1, 1, 1) / 255,
            }

    program = torch.export.export(Brightest(), (torch.zeros(1, 3, 64, 96),))
    properties = {"roadlens.head": "decoded", "roadlens.classes": '["bus"]', "roadlens.version": "1"}
    torch.export.save(program, tmp_path / "b.pt2", extra_files={"roadlens.json": json.dumps(properties)})
    detector = load_detector(tmp_path / "b.pt2", device="cpu")
    found = detector.detect(np.full((128, 192, 3), 204, np.uint8))
    assert found.score.tolist() == pytest.approx([0.8]) and found.xyxy_px.tolist() == [[-0.5, -0.5, 95.5, 127.5]]
    assert [CLASSES[c] for c in found.class_id] == ["bus"] and detector.description["provider"] == "torch cpu"
