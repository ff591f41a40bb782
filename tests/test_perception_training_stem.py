"""The first convolution in 8 bits: the same sums on runs of pixels, and bytes that go in as they are."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from perception.training.calibrate import collect, ranges  # noqa: E402
from perception.training.quantize import prepare, quantise  # noqa: E402
from perception.training.stem import COLUMNS, cast_pictures, run_kernel, widen  # noqa: E402

OUTPUTS = 5


def stem_network(*, stride: int = 2, act: str = "Relu", channels_last: bool = True):
    """bytes -> transposed, cast, 3x3 convolution, activation, 1x1 convolution: ``last`` (B, 2, H / 2, W / 2)."""
    helper, types = onnx.helper, onnx.TensorProto
    rng = np.random.default_rng(3)
    weights = {
        "kernel": rng.normal(0, 0.01, (OUTPUTS, 3, 3, 3)).astype(np.float32),
        "bias": rng.normal(0, 1, OUTPUTS).astype(np.float32),
        "point": rng.normal(0, 1, (2, OUTPUTS, 1, 1)).astype(np.float32),
    }
    shape = ["batch", "height", "width", 3] if channels_last else ["batch", 3, "height", "width"]
    turn = [helper.make_node("Transpose", ["images"], ["turned"], perm=[0, 3, 1, 2])] if channels_last else []
    nodes = [
        *turn,
        helper.make_node("Cast", ["turned" if channels_last else "images"], ["pixels"], to=types.FLOAT),
        helper.make_node("Conv", ["pixels", "kernel", "bias"], ["c"], strides=[stride] * 2, pads=[1] * 4),
        helper.make_node(act, ["c"], ["a"]),
        helper.make_node("Conv", ["a", "point"], ["last"]),
    ]
    graph = helper.make_graph(
        nodes,
        "stem",
        [helper.make_tensor_value_info("images", types.UINT8, shape)],
        [helper.make_tensor_value_info("last", types.FLOAT, ["batch", 2, "h", "w"])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model, pictures: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": pictures})[0]


def pictures(batch: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), np.uint8)


@pytest.mark.parametrize("shape", [(1, 2, 4), (1, 8, 32), (3, 64, 96)])
def test_runs_of_pixels_give_the_same_sums(shape: tuple[int, int, int]) -> None:
    before, after = stem_network(), stem_network()
    assert widen(after)
    onnx.checker.check_model(after)
    given = pictures(*shape)
    np.testing.assert_allclose(run(after, given), run(before, given), atol=1e-4)


def test_a_kernel_by_hand() -> None:
    kernel = np.arange(27, dtype=np.float32).reshape(1, 3, 3, 3) + 1  # output, colour, row, column
    wide = run_kernel(kernel)
    assert wide.shape == (COLUMNS, 12, 3, 2)
    assert np.count_nonzero(wide) == COLUMNS * 27  # every weight once a column, and nothing else
    # column 0 looks at pixel -1, the last of the run before: colours 9..11 of the left of two runs
    assert wide[0, 9:, :, 0].tolist() == kernel[0, :, :, 0].tolist() and not wide[0, :9, :, 0].any()
    # column 1 looks at pixels 1, 2, 3 of its own run
    assert wide[1, 3:6, :, 1].tolist() == kernel[0, :, :, 0].tolist() and not wide[1, :, :, 0].any()


@pytest.mark.parametrize("other", [{"stride": 1}, {"act": "Sigmoid"}, {"channels_last": False}])
def test_other_networks_are_left_alone(other: dict) -> None:
    model = stem_network(**other)
    before = model.SerializeToString()
    assert not widen(model) and model.SerializeToString() == before


def test_bytes_are_not_quantised_again(tmp_path) -> None:
    path = tmp_path / "float.onnx"
    onnx.save(stem_network(), path)
    prepared = prepare(path)
    assert cast_pictures(prepared.model) == ("pixels",)
    dark = {"images": pictures(1, 32, 64) // 4}  # the frames do not show what bytes can hold; their type does
    spans = ranges(collect(prepared.model, prepared.tensors, lambda: [dark]), "minmax")
    made = quantise(prepared, spans)
    onnx.checker.check_model(made)
    assert not any(node.op_type == "Cast" for node in made.graph.node)
    straight = next(n for n in made.graph.node if n.op_type == "DequantizeLinear" and n.input[0] == "turned")
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in made.graph.initializer}
    assert constants[straight.input[1]] == 1.0 and constants[straight.input[2]] == 0
    wanted = run(onnx.load(path), dark["images"])
    assert np.abs(run(made, dark["images"]) - wanted).max() < 0.03 * np.abs(wanted).max()
