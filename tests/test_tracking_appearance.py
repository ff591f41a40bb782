"""Appearance: embeddings by a network file, what tracks keep of them, and crossings that only looks can settle."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geometry.errors import InputError
from perception.types import CLASS_ID, Detections
from tracking.appearance import Gallery, OnnxEmbedder, covered, unit_rows
from tracking.tracker import Tracker

onnx = pytest.importorskip("onnx")

RED, GREEN, GREY = (30, 30, 220), (40, 200, 40), (90, 90, 90)  # blue, green, red
PLAIN = '{"rgb": true, "mean": [0, 0, 0], "std": [255, 255, 255]}'


def mean_colour_model(path: Path, shape: tuple[int | str, ...] = ("batch", 3, 16, 8), metadata: str = PLAIN) -> Path:
    """A network whose embedding is the mean colour of the crop."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["crops"], ["mean"]), helper.make_node("Flatten", ["mean"], ["look"])],
        "mean_colour",
        [helper.make_tensor_value_info("crops", kind, shape)],
        [helper.make_tensor_value_info("look", kind, (shape[0], 3))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"roadlens.preprocess": metadata} if metadata else {})
    onnx.save(model, path)
    return path


def painted(boxes: np.ndarray, colours: list[tuple[int, int, int]]) -> np.ndarray:
    """Boxes of one colour each on grey; later ones cover earlier ones."""
    bgr = np.full((200, 400, 3), GREY, np.uint8)
    for (x1, y1, x2, y2), colour in zip(boxes.round().astype(int), colours, strict=True):
        bgr[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = colour
    return bgr


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_the_embedding_is_what_the_network_says_of_each_crop(tmp_path: Path, batch: str | int) -> None:
    embedder = OnnxEmbedder(mean_colour_model(tmp_path / "m.onnx", (batch, 3, 16, 8)))
    boxes = np.array([[10, 20, 50, 100], [100, 20, 150, 100], [300, 50, 380, 90], [-40, 0, -5, 30], [200, 60, 240, 80]])
    got = embedder.embed(painted(boxes, [RED, GREEN, RED, RED, GREY]), boxes.astype(float) - 0.5)
    wanted = unit_rows(np.array([RED, GREEN, RED, (np.nan,) * 3, GREY], float)[:, ::-1])
    assert embedder.length == 3
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert embedder.embed(painted(boxes[:1], [RED]), np.empty((0, 4))).shape == (0, 3)


def test_without_metadata_pictures_are_scaled_as_imagenet(tmp_path: Path) -> None:
    embedder = OnnxEmbedder(mean_colour_model(tmp_path / "m.onnx", metadata=""))
    got = embedder.embed(painted(np.array([[0, 0, 99, 99]]), [RED]), np.array([[0.0, 0, 90, 90]]))
    rgb = np.array(RED[::-1]) / 255
    np.testing.assert_allclose(got, unit_rows(((rgb - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])[None]), atol=1e-5)


def test_files_that_do_not_fit_are_refused_in_one_line(tmp_path: Path, constant_onnx: Callable[..., Path]) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    ones = np.ones((2, 5), np.float32)
    bad = {
        "no model": tmp_path / "none.onnx",
        "cannot be opened": tmp_path / "text.onnx",
        "takes crops": mean_colour_model(tmp_path / "grey.onnx", ("batch", 1, 16, 8)),
        "wanted one input": constant_onnx("two", {"look": ones}, others={"size": ("float32", (1, 2))}),
        "uint8 pictures": constant_onnx("bytes", {"look": ones}, shape=("batch", 3, 16, 8), dtype="uint8"),
        r"array \(2, 5, 4\)": constant_onnx("map", {"o": np.ones((2, 5, 4), np.float32)}, shape=("batch", 3, 16, 8)),
        r"array \(7, 5\)": constant_onnx("rows", {"o": np.ones((7, 5), np.float32)}, shape=("batch", 3, 16, 8)),
        "three numbers": mean_colour_model(tmp_path / "mean.onnx", metadata='{"mean": [1, 2]}'),
    }
    for says, path in bad.items():
        with pytest.raises(InputError, match=says) as refused:
            OnnxEmbedder(path)
        assert "\n" not in str(refused.value)


def test_what_stands_behind_a_nearer_box_is_covered() -> None:
    boxes = np.array([[0, 0, 40, 40], [30, 0, 130, 60], [20, 10, 36, 30], [30, 5, 60, 70], [300, 0, 340, 40]], float)
    assert covered(boxes).tolist() == [False, False, True, False, False]
    boxes[0, 2] = 50
    assert covered(boxes[:2]).tolist() == [True, False]


def test_a_gallery_is_the_fading_mean_and_unknown_looks_teach_nothing() -> None:
    gallery, x, y = Gallery(2), np.array([1.0, 0.0]), np.array([0.0, 1.0])
    gallery.append(np.stack([x, x]), 2)
    gallery.append(None, 1)
    gallery.learn(np.arange(3), np.stack([y, [np.nan, np.nan], y]), 0.25)
    np.testing.assert_allclose(gallery.mean, [np.array([0.75, 0.25]) / np.hypot(0.75, 0.25), x, y])
    gallery.keep(np.array([False, True, True]))
    np.testing.assert_allclose(gallery.cosine((np.array([0, 0, 1]), np.array([0, 1, 1])), np.stack([x, y])), [1, 0, 1])


def meeting(embedder: OnnxEmbedder | None) -> tuple[int, int]:
    """Two cars that meet and turn back, where motion says that they pass: changes of number, boxes with a number."""
    tracker, rng = Tracker(embedder=embedder), np.random.default_rng(0)
    numbers, half = dict[int, int](), np.array([25, 20])
    changes = seen = 0
    for k in range(60):
        apart = 6.0 * abs(k - 30)
        centre = np.array([[200 - apart, 100], [200 + apart, 112]]) + rng.normal(0, 1.5, (2, 2))
        boxes = np.column_stack([centre - half, centre + half])
        tracker.show(painted(boxes, [RED, GREEN]))
        tracks = tracker.update(Detections(boxes, [0.95] * 2, [CLASS_ID["car"]] * 2), 0.1 * k)
        for row, number in zip(tracks.detection.tolist(), tracks.track_id.tolist(), strict=True):
            if row >= 0:
                seen += 1
                changes += numbers.get(row, number) != number
                numbers[row] = number
    return changes, seen


def test_two_colours_that_meet_and_part_keep_their_numbers_by_their_looks_only(tmp_path: Path) -> None:
    embedder = OnnxEmbedder(mean_colour_model(tmp_path / "m.onnx"))
    without, _ = meeting(None)
    with_looks, seen = meeting(embedder)
    assert without == 2
    assert with_looks == 0 and seen > 110


def test_pictures_without_an_embedder_and_an_embedder_without_pictures_change_nothing(tmp_path: Path) -> None:
    embedder = OnnxEmbedder(mean_colour_model(tmp_path / "m.onnx"))
    results = []
    for given in (None, embedder):
        tracker = Tracker(embedder=given)
        for k in range(20):
            if given is None:
                tracker.show(np.zeros((100, 100, 3), np.uint8))
            found = Detections([[5.0 * k, 10, 5.0 * k + 40, 50], [60, 10, 100, 50]], [0.9, 0.9], [0, 0])
            tracks = tracker.update(found, 0.1 * k)
        results.append((tracks.track_id.tolist(), tracks.xyxy_px.tolist()))
    assert results[0] == results[1]


def test_the_command_line_takes_a_network_and_refuses_another_file(
    tmp_path: Path,
    noise_clip: Callable[..., Path],
    one_car_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from app import cli

    clip, codes = noise_clip(tmp_path / "clip.mp4"), {}
    for name, path in {"good": mean_colour_model(tmp_path / "m.onnx"), "bad": one_car_model}.items():
        words = ["run", clip, "--detector", one_car_model, "--no-video", "--reid", path, "--out", tmp_path / name]
        monkeypatch.setattr("sys.argv", ["roadlens", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        codes[name] = int(ended.value.code or 0)
    assert codes["good"] == 0 and codes["bad"] != 0
    assert "m.onnx" in (tmp_path / "good" / "settings.toml").read_text()
    said = capsys.readouterr().err
    assert "wanted one embedding a picture" in " ".join(said.split()) and "Traceback" not in said
