"""The first convolution in 8 bits: fed with the picture's own bytes, and wide enough for 8-bit instructions.

A 3x3 convolution of stride 2 on three channels is slower in 8 bits than in float: its rows of 27 products are gathered
in pieces of nine bytes. The same sums are made faster of runs of four pixels, which are neighbours in memory: twelve
channels go in, the 32 that come out are two columns of sixteen, and no byte is moved for either. It is the same
convolution, with zeros where a run holds pixels that a column does not look at.
"""

from __future__ import annotations

from typing import Any

import numpy as np

COLUMNS = 2
"""Columns of the output that are made at once, of ``2 COLUMNS`` columns of the picture. Measured at 736x416, ms: 2.1
with one, 0.84 with two, 1.3 with four; float, with its conversions, 1.7."""
RUNS, SPLIT = "stem_runs", "stem_split"
"""Names of the shapes that are added."""


def widen(model: Any) -> bool:
    """Rewrite the first convolution of a network on (B, H, W, 3) uint8 pictures to work on runs of pixels, in place.

    Args:
        model: onnx ModelProto; changed only where a picture is transposed, cast to float and convolved by 3x3 with
            stride 2, padding 1 and an activation behind it.

    Returns:
        Whether it was changed.
    """
    found = _find(model)
    if found is None:
        return False
    turn, conv, act = found
    _swap_kernel(model.graph, conv)
    _regroup(model.graph, turn, act)
    del model.graph.value_info[:]  # shapes have changed
    return True


def _swap_kernel(graph: Any, conv: Any) -> None:
    from onnx import helper, numpy_helper

    weights, bias = (next(t for t in graph.initializer if t.name == name) for name in conv.input[1:3])
    kernel = numpy_helper.to_array(weights)
    graph.initializer.remove(weights)
    graph.initializer.remove(bias)
    arrays = {
        conv.input[1]: run_kernel(kernel),
        conv.input[2]: np.tile(numpy_helper.to_array(bias), COLUMNS),
        RUNS: np.array([0, 0, -1, 6 * COLUMNS], np.int64),
        SPLIT: np.array([0, 0, -1, kernel.shape[0]], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    del conv.attribute[:]
    settings = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 1, 0, 0]}
    conv.attribute.extend(helper.make_attribute(key, value) for key, value in settings.items())


def _regroup(graph: Any, turn: Any, act: Any) -> None:
    """Runs of pixels before the picture is transposed, single columns behind the activation."""
    from onnx import helper

    nodes = list(graph.node)
    into = helper.make_node("Reshape", [turn.input[0], RUNS], ["stem_in"], name="stem_in")
    turn.input[0] = into.output[0]
    last, act.output[0] = act.output[0], "stem_wide"
    out = [
        helper.make_node("Transpose", ["stem_wide"], ["stem_last"], name="stem_last", perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["stem_last", SPLIT], ["stem_columns"], name="stem_columns"),
        helper.make_node("Transpose", ["stem_columns"], [last], name="stem_out", perm=[0, 3, 1, 2]),
    ]
    split = nodes.index(act) + 1
    del graph.node[:]
    graph.node.extend([into, *nodes[:split], *out, *nodes[split:]])


def run_kernel(kernel: np.ndarray) -> np.ndarray:
    """(O, 3, 3, 3) of stride 2 and padding 1 -> (COLUMNS O, 6 COLUMNS, 3, 2), the same sums on runs of pixels.

    Column k of a run looks at pixels 2 k - 1 .. 2 k + 1 of it; pixel -1 is the last one of the run before, so the
    kernel is two runs wide.
    """
    outputs, run = kernel.shape[0], 2 * COLUMNS
    wide = np.zeros((COLUMNS, outputs, 2 * run, 3, 3), kernel.dtype)  # column, output, pixel of two runs, colour, row
    for column in range(COLUMNS):
        for tap in range(3):
            wide[column, :, run + 2 * column + tap - 1] = kernel[:, :, :, tap]
    wide = wide.reshape(COLUMNS * outputs, 2, 3 * run, 3)
    return np.ascontiguousarray(wide.transpose(0, 2, 3, 1))


def bytes_straight(model: Any, pixels: str) -> None:
    """Feed 8-bit layers with the picture's bytes, which need no quantising, in place.

    Args:
        model: quantised; the cast picture ``pixels`` is quantised with step 1 from 0 on, as its type says.
        pixels: name of that tensor.
    """
    graph = model.graph
    cast = next((node for node in graph.node if node.op_type == "Cast" and pixels in node.output), None)
    step = next((node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == pixels), None)
    if cast is None or step is None:
        return
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == step.output[0]:
                node.input[index] = cast.input[0]
    graph.node.remove(step)
    if not any(pixels in node.input for node in graph.node):
        graph.node.remove(cast)


def cast_pictures(model: Any) -> tuple[str, ...]:
    """Names of float tensors that are a uint8 input of the network, moved about and cast."""
    from onnx import TensorProto

    whole = {value.name for value in model.graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8}
    found = []
    for node in model.graph.node:
        if node.op_type in ("Transpose", "Reshape") and node.input[0] in whole:
            whole.add(node.output[0])
        elif node.op_type == "Cast" and node.input[0] in whole:
            found.append(node.output[0])
    return tuple(found)


def _find(model: Any) -> tuple[Any, Any, Any] | None:
    """Transpose, convolution and activation of a picture, if they and a cast stand in a row with no other reader."""
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    chain: list[Any] = []
    tensor = model.graph.input[0].name
    for kind in ("Transpose", "Cast", "Conv", "Relu"):
        behind = readers.get(tensor, [])
        if len(behind) != 1 or behind[0].op_type != kind:
            return None
        chain.append(behind[0])
        tensor = behind[0].output[0]
    turn, _, conv, act = chain
    told = {item.name: list(item.ints) for item in conv.attribute}
    dims = next((list(t.dims) for t in model.graph.initializer if t.name == conv.input[1]), [])
    fits = dims[1:] == [3, 3, 3] and told.get("strides") == [2, 2] and told.get("pads") == [1, 1, 1, 1]
    return (turn, conv, act) if fits and len(conv.input) == 3 else None
