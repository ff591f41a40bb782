"""8-bit networks on a detector of bright squares whose weights are known, and the command that accepts or refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli import app
from app.evaluation.detect import DetectionScores
from app.evaluation.quantised import Variant, winner, worst_loss
from geometry.errors import InputError
from perception.detector import load_detector
from perception.training.calibrate import collect, ranges
from perception.training.quantize import noise, prepare, quantise, sensitivity

onnx = pytest.importorskip("onnx")
WIDTH, HEIGHT, CELL = 96, 64, 8
COLUMNS, ROWS = WIDTH // CELL, HEIGHT // CELL


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, inputs.split(), [output], name=f"{kind}_{output}", **attributes)


def bright_squares(path: Path, outlier: float = 0.0) -> Path:
    """A network that calls every bright cell of 8 x 8 pixels a car, as its brightness from 0 to 1 is over a half.

    ``outlier``: gain of a second channel that the next layer ignores, but that shares the first one's 8-bit range.
    """
    weights = {
        "w1": np.stack([np.full((3, CELL, CELL), g / (255 * 3 * CELL**2), np.float32) for g in (1.0, outlier)]),
        "w2": np.array([[1.0, 0.0], [0.0, 0.25]], np.float32).reshape(2, 2, 1, 1),
        **{f"w{i}": np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1) for i in range(3, 8)},
        "w8": np.array([[20.0, 0.0]], np.float32).reshape(1, 2, 1, 1),
        "b8": np.array([-10.0], np.float32),
        "shape": np.array([0, 1, -1]),
    }
    x, y = np.meshgrid(np.arange(COLUMNS) * CELL, np.arange(ROWS) * CELL)
    weights["cells"] = np.stack([x, y, x + CELL, y + CELL], -1).reshape(1, -1, 4).astype(np.float32)
    nodes = [node("Conv", "images w1", "c1", kernel_shape=[CELL] * 2, strides=[CELL] * 2), node("Relu", "c1", "r1")]
    for i in range(2, 8):
        nodes += [node("Conv", f"r{i - 1} w{i}", f"c{i}", kernel_shape=[1, 1]), node("Relu", f"c{i}", f"r{i}")]
    nodes += [
        node("Conv", "r7 w8 b8", "logits", kernel_shape=[1, 1]),
        node("Reshape", "logits shape", "flat"),
        node("Transpose", "flat", "column", perm=[0, 2, 1]),
        node("Sigmoid", "column", "scores"),
        node("Identity", "cells", "boxes"),
    ]
    info, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "squares",
        [info("images", kind, [1, 3, HEIGHT, WIDTH])],
        [info("boxes", kind, [1, ROWS * COLUMNS, 4]), info("scores", kind, [1, ROWS * COLUMNS, 1])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.helper.set_model_props(model, {"roadlens.classes": '["car"]', "roadlens.version": "5"})
    onnx.save(model, path)
    return path


def picture(seed: int, squares: int = 8) -> tuple[np.ndarray, list[list[int]]]:
    """A dim picture of twice the network's size with bright squares on cells, and their boxes as COCO has them."""
    rng = np.random.default_rng(seed)
    bgr = rng.integers(0, 90, (2 * HEIGHT, 2 * WIDTH, 3)).astype(np.uint8)
    boxes = []
    for cell in rng.choice(ROWS * COLUMNS, squares, replace=False):
        left, top = 2 * CELL * int(cell % COLUMNS), 2 * CELL * int(cell // COLUMNS)
        bgr[top : top + 2 * CELL, left : left + 2 * CELL] = rng.integers(190, 255)
        boxes.append([left, top, 2 * CELL, 2 * CELL])
    return bgr, boxes


@pytest.fixture
def squares_data(tmp_path: Path) -> Path:
    """A labelled folder with train and val lists of such pictures."""
    for split, seeds in {"train": range(4), "val": range(10, 16)}.items():
        labels: dict[str, list] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "car"}]}
        for seed in seeds:
            bgr, boxes = picture(seed)
            cv2.imwrite(str(tmp_path / f"{seed}.png"), bgr)
            labels["images"].append({"id": seed, "file_name": f"{seed}.png"})
            labels["annotations"] += [{"image_id": seed, "category_id": 1, "bbox": box} for box in boxes]
        (tmp_path / f"{split}.json").write_text(json.dumps(labels))
    return tmp_path


def calibrated(path: Path) -> tuple[Any, dict, list[dict]]:
    prepared = prepare(path)
    detector = load_detector(path, device="cpu")
    frames = [detector.prepare(picture(seed)[0])[0] for seed in range(4)]
    return prepared, ranges(collect(prepared.model, prepared.tensors, lambda: frames), "minmax"), frames


def test_eight_bits_find_the_same_squares_and_keep_the_metadata(tmp_path: Path) -> None:
    path = bright_squares(tmp_path / "float.onnx")
    prepared, spans, _ = calibrated(path)
    assert list(prepared.units) == [*(f"Conv_c{i}" for i in range(2, 8)), "Conv_logits"]  # c1 sees the picture
    assert spans["r1"][0] == 0.0 and 0.7 < spans["r1"][1] < 1.1
    made = tmp_path / "int8.onnx"
    made.write_bytes(quantise(prepared, spans, note="minmax").SerializeToString())
    whole, small = load_detector(path, device="cpu"), load_detector(made, device="cpu")
    assert small.session.metadata["roadlens.version"] == "5"
    assert json.loads(small.session.metadata["roadlens.quantised"]) == "minmax"
    for seed in range(20, 24):
        bgr, boxes = picture(seed)
        a, b = whole.detect(bgr), small.detect(bgr)
        assert len(a) == len(boxes)
        assert sorted(map(tuple, a.xyxy_px.tolist())) == sorted(map(tuple, b.xyxy_px.tolist()))
        assert abs(np.sort(a.score) - np.sort(b.score)).max() < 0.05


def test_weights_are_per_channel_and_the_tail_stays_float(tmp_path: Path) -> None:
    prepared, spans, _ = calibrated(bright_squares(tmp_path / "float.onnx", outlier=3.0))
    made = quantise(prepared, spans)
    kinds = {item.name: item.data_type for item in made.graph.initializer}
    assert kinds["w2_quantized"] == onnx.TensorProto.INT8 and "w1_quantized" not in kinds
    scale = next(onnx.numpy_helper.to_array(item) for item in made.graph.initializer if item.name == "w2_scale")
    assert scale.shape == (2,) and scale[0] == pytest.approx(4 * scale[1], rel=1e-3)
    quantised = {item.input[0] for item in made.graph.node if item.op_type == "QuantizeLinear"}
    assert not quantised & {"flat", "column", "scores", "boxes"}
    assert "r1" in quantised and "images" not in quantised


def test_symmetric_activations_are_signed_about_zero_and_find_the_same(tmp_path: Path) -> None:
    path = bright_squares(tmp_path / "float.onnx")
    _, spans, _ = calibrated(path)
    made = quantise(prepare(path, symmetric=True), spans)
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in made.graph.initializer}
    zeros = [constants[n.input[2]] for n in made.graph.node if n.op_type == "QuantizeLinear"]
    assert zeros and all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
    small = tmp_path / "signed.onnx"
    small.write_bytes(made.SerializeToString())
    bgr, boxes = picture(20)
    assert len(load_detector(small, device="cpu").detect(bgr)) == len(boxes)


@pytest.mark.parametrize("attention", [True, False])
def test_attention_keeps_all_but_convolutions_in_float(tmp_path: Path, attention: bool) -> None:
    """conv, linear, softmax(x xT) times bins. Without that product linear layers go to 8 bits, the bins never."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        node("Conv", "images w", "c", kernel_shape=[1, 1]),
        node("Reshape", "c shape", "flat"),
        node("MatMul", "flat linear", "x"),
        node("Transpose", "x", "t", perm=[0, 2, 1]),
        node("MatMul", "x t" if attention else "x square", "similar"),
        node("Softmax", "similar", "attention", axis=-1),
        node("MatMul", "attention bins", "scores"),
        node("Identity", "cells", "boxes"),
    ]
    weights = {
        "w": np.ones((3, 4, 1, 1), np.float32),
        "shape": np.array([0, 0, -1]),
        "linear": np.eye(64, dtype=np.float32),
        "square": np.ones((64, 3), np.float32),
        "bins": np.arange(3, dtype=np.float32)[:, None],
        "cells": np.ones((1, 3, 4), np.float32),
    }
    info = helper.make_tensor_value_info
    outputs = [info("boxes", kind, [1, 3, 4]), info("scores", kind, [1, 3, 1])]
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "a", [info("images", kind, [1, 4, 8, 8])], outputs, constants)
    path = tmp_path / "attention.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    expected = ["Conv_c"] if attention else ["Conv_c", "MatMul_x", "MatMul_similar"]
    assert list(prepare(path).units) == expected


def test_sensitivity_names_the_layer_that_sees_an_outlier(tmp_path: Path) -> None:
    prepared, spans, frames = calibrated(bright_squares(tmp_path / "float.onnx", outlier=1000.0))
    order = sensitivity(prepared, spans, frames[:2])
    assert order[0][0] == "Conv_c2" and order[0][1] > 20 * order[1][1]


def test_noise_by_hand() -> None:
    truth = {"scores": np.array([[[0.0], [1.0]]]), "boxes": np.array([[[5.0] * 4, [0.0, 0.0, 2.0, 2.0]]])}
    assert noise(truth, truth) == 0.0
    moved = {"scores": truth["scores"], "boxes": truth["boxes"] + np.array([[[100.0] * 4, [0.5] * 4]])}
    assert noise(truth, moved) == pytest.approx(4 * 0.25 / 4)  # only the sure box counts: its corners vary by 1
    assert noise({"o": np.array([0.0, 2.0])}, {"o": np.array([1.0, 2.0])}) == pytest.approx(0.5)


def test_files_that_cannot_be_quantised(tmp_path: Path, constant_onnx: Callable[..., Path], shared: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(InputError, match=r"text\.onnx cannot be read as an ONNX network"):
        prepare(tmp_path / "text.onnx")
    with pytest.raises(InputError, match="has no layer with weights"):
        prepare(constant_onnx("a", {"o": np.zeros((1, 2), np.float32)}))
    with pytest.raises(InputError, match=r"deimv2_atto_320_int8\.onnx is quantised already"):
        prepare(shared / "models" / "deimv2_atto_320_int8.onnx")


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["quantize", *map(str, arguments)])


def test_the_command_writes_what_holds(tmp_path: Path, squares_data: Path) -> None:
    path, figures = bright_squares(tmp_path / "float.onnx"), tmp_path / "figures.json"
    result = run(path, "--data", squares_data, "--every", 1, "--least-boxes", 10, "--json", figures, "--frames", 4)
    assert result.exit_code == 0, result.output
    told = json.loads(figures.read_text())
    assert set(told) == {"float32", "minmax", "entropy", "percentile-99.99"}
    assert told["minmax"]["accepted"] and told["float32"]["ap50"]["car"] == 1.0
    found = load_detector(tmp_path / "float_int8.onnx", device="cpu").detect(picture(30)[0])
    assert len(found) == 8


def test_the_command_keeps_sensitive_layers_or_refuses(tmp_path: Path, squares_data: Path) -> None:
    """One outlier channel makes every 8-bit step worth four times what the network looks at: it finds nothing."""
    path, figures = bright_squares(tmp_path / "float.onnx", outlier=1000.0), tmp_path / "figures.json"
    arguments = [path, "--data", squares_data, "--every", 1, "--frames", 4, "--method", "minmax", "--json", figures]
    result = run(*arguments, "--least-boxes", 10, "--out", tmp_path / "kept.onnx")
    assert result.exit_code == 0, result.output
    told = json.loads(figures.read_text())
    assert not told["minmax"]["accepted"] and told["minmax"]["loss"] > 0.2
    assert told["minmax, 1 float"]["accepted"] and "minmax, 2 float" not in told
    assert (tmp_path / "kept.onnx").is_file()
    refused = run(*arguments, "--least-boxes", 10, "--max-loss", -1, "--out", tmp_path / "none.onnx")
    assert refused.exit_code == 1 and "refused" in refused.output and not (tmp_path / "none.onnx").exists()


def test_the_command_does_not_overwrite_its_source(tmp_path: Path, squares_data: Path) -> None:
    path = bright_squares(tmp_path / "float.onnx")
    result = run(path, "--data", squares_data, "--out", path)
    assert isinstance(result.exception, InputError) and "is the float network itself" in str(result.exception)
    few = run(path, "--data", squares_data, "--every", 1, "--least-boxes", 5000, "--frames", 1)
    assert isinstance(few.exception, InputError) and "no class has over 5000 boxes" in str(few.exception)


def scores(**ap50: float) -> DetectionScores:
    return DetectionScores(sum(ap50.values()), ap50, {}, {}, dict.fromkeys(ap50, 100) | {"bus": 3})


def test_the_worst_class_with_enough_boxes_decides() -> None:
    worst = worst_loss(scores(car=0.6, bus=0.9, person=0.3), scores(car=0.59, bus=0.1, person=0.28), 50)
    assert worst == ("person", pytest.approx(0.02))


def test_the_winner_is_the_most_accurate_of_the_fast_ones(tmp_path: Path) -> None:
    def variant(name: str, latency: float, car: float, accepted: bool = True) -> Variant:
        return Variant(name, tmp_path, scores(car=car), latency_ms_1t=latency, accepted=accepted)

    whole, fast, close = variant("float32", 9.0, 0.9), variant("a", 5.0, 0.5), variant("b", 5.2, 0.6)
    slow, wrong = variant("c", 7.0, 0.8), variant("d", 1.0, 0.1, accepted=False)
    best = winner([whole, fast, close, slow, wrong])
    assert best is not None and best.name == "b"
    assert winner([whole, wrong]) is None
