"""Exported networks answer as torch does and tell everything about themselves."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from geometry.errors import InputError  # noqa: E402
from perception.detector import load_detector  # noqa: E402
from perception.metadata import read_metadata  # noqa: E402
from perception.session import open_session  # noqa: E402
from perception.training.export import (  # noqa: E402
    TOLERANCE,
    ExportConfig,
    check_onnx,
    export_onnx,
    export_program,
)
from perception.training.model import Decoded, Detector, Exported, ModelConfig  # noqa: E402
from perception.types import CLASSES  # noqa: E402

TINY = ModelConfig(stem=8, stages=(8, 16, 16, 24), depths=(1, 1, 1, 1), neck=16, bins=8)
SIZE = (96, 64)


@pytest.fixture(scope="module")
def model() -> Detector:
    """With outputs that vary from cell to cell, as an untrained network's do not."""
    torch.manual_seed(1)
    made = Detector(TINY).eval()
    for part in made.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 1.5, 2.5)
            torch.nn.init.uniform_(part.bias, -0.5, 0.5)
    for head in made.heads:
        torch.nn.init.normal_(head.box_out.weight, std=0.2)
        torch.nn.init.normal_(head.class_out.weight, std=0.2)
    return made


def random_pictures(batch: int = 1, height: int = 64, width: int = 96) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), np.uint8)


def reference(model: Detector, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, scores and logits of distances of the network as it was trained, channels first and float."""
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        boxes, scores = Decoded(model)(images)
        distances = model(images).distances.flatten(2)
    return boxes.numpy(), scores.numpy(), distances.numpy()


def test_the_network_of_these_tests_has_something_to_say(model):
    boxes, scores, distances = reference(model, random_pictures())
    assert scores.std() > 0.005
    assert distances.std() > 0.1
    assert (boxes[..., 2:] - boxes[..., :2]).std() > 1.0


@pytest.mark.parametrize("suffix", ["onnx", "pt2"])
@pytest.mark.parametrize("free_size", [False, True])
def test_files_answer_as_torch_does(model, tmp_path, suffix, free_size):
    path = tmp_path / f"net.{suffix}"
    export = export_onnx if suffix == "onnx" else export_program
    export(model, path, ExportConfig(SIZE, free_size=free_size))
    session = open_session(path, "cpu", 1)
    assert session.inputs[0].name == "images"
    assert (session.inputs[0].dtype, session.inputs[0].shape[3]) == ("uint8", 3)
    shapes = [(1, 64, 96), (3, 64, 96), *([(2, 96, 160), (1, 32, 32)] * free_size)]
    for shape in shapes:
        pictures = random_pictures(*shape)
        outputs = session.run({"images": pictures})
        _, scores, distances = reference(model, pictures)
        np.testing.assert_allclose(outputs["scores"], scores, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(outputs["distances"], distances, atol=TOLERANCE, rtol=TOLERANCE)
    assert session.metadata == ExportConfig(SIZE, free_size=free_size).properties(model)


def test_metadata_makes_a_side_file_needless(model):
    told = ExportConfig(SIZE, score_threshold={"car": 0.4}, version="7").properties(model)
    assert json.loads(told["roadlens.classes"]) == list(CLASSES)
    assert json.loads(told["roadlens.input_size"]) == [96, 64]
    assert json.loads(told["roadlens.score_threshold"]) == {"car": 0.4}
    assert told["roadlens.head"] == "distances-signed"
    unsigned = Detector(replace(TINY, nearest=0))
    assert ExportConfig(SIZE).properties(unsigned)["roadlens.head"] == "distances"
    assert told["roadlens.version"] == "7"
    assert ModelConfig.from_dict(json.loads(told["roadlens.model"])) == TINY
    unique = Detector(replace(TINY, end_to_end=True))
    assert ExportConfig(SIZE).properties(unique)["roadlens.head"] == "distances-signed-unique"
    assert read_metadata(told).support == ExportConfig().support is not None
    assert read_metadata(told).oversize == ExportConfig().oversize is not None
    assert read_metadata(ExportConfig(SIZE).properties(unique)).support is None
    assert read_metadata(ExportConfig(SIZE).properties(unique)).oversize is None


def test_the_runtime_opens_what_is_exported(model, tmp_path):
    path = tmp_path / "net.onnx"
    export_onnx(model, path, ExportConfig(SIZE, score_threshold=0.0))
    detector = load_detector(path, device="cpu")
    assert detector.description["head"] == "distances-signed"
    found = detector.detect(np.random.default_rng(0).integers(0, 255, (120, 200, 3), np.uint8))
    assert len(found) > 0
    assert (found.xyxy_px[:, 2] <= 199.5).all()


def test_the_runtime_finds_the_boxes_that_torch_decodes(model, tmp_path):
    path = tmp_path / "net.onnx"
    export_onnx(model, path, ExportConfig(SIZE, score_threshold=0.0, nms_iou=0.99, support=None, oversize=None))
    picture = random_pictures()[0]  # of the input's own size: boxes need no scaling, points are edges less 0.5
    found = load_detector(path, device="cpu").detect(picture)
    boxes, scores, _ = (array[0] for array in reference(model, picture[None]))
    best = scores.max(axis=1).argmax()
    assert found.score[0] == pytest.approx(scores[best].max(), abs=1e-4)
    wanted = np.clip(boxes[best], 0, [96, 64, 96, 64]) - 0.5
    np.testing.assert_allclose(found.xyxy_px[0], wanted, atol=0.02)


def test_a_file_that_differs_is_refused(model, tmp_path):
    path = tmp_path / "net.onnx"
    export_onnx(model, path, ExportConfig(SIZE))
    other = Detector(TINY).eval()
    with pytest.raises(InputError, match="differs from torch"):
        check_onnx(Exported(other), path, [(1, 64, 96)])


def test_sizes_off_the_stride_are_refused():
    with pytest.raises(InputError, match="multiples of 32"):
        ExportConfig((100, 64))


def test_the_exporters_leave_the_callers_warnings_alone(model, tmp_path):
    export_onnx(model, tmp_path / "net.onnx", ExportConfig(SIZE))
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", UserWarning, stacklevel=1)
