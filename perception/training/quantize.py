"""8-bit ONNX networks: static, per-channel weights, quantise-dequantise pairs, sensitive layers left in float.

What is left in float from the start, and why (docs/quantisation.md has the measurements):

- everything after the last weighted layer: box arithmetic in pixels, where one step of 8 bits is several pixels;
- everything before the first one, and what convolves a float picture: on three channels 8 bits are slower than float,
  and the noise is worst there. A network that takes bytes has neither trouble (``perception.training.stem``);
- in a network with attention, all but the convolutions: products of two activations, Softmax, LayerNorm and the
  linear layers about them, whose activations have outlier channels.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from geometry.errors import InputError
from perception.heads import distances
from perception.training.calibrate import Feeds, Ranges
from perception.training.stem import bytes_straight, cast_pictures, widen

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
WEIGHTED = CONVOLUTIONS | {"Gemm", "MatMul"}
# Cheap between 8-bit layers, and each float one among them would cost two conversions.
BETWEEN = frozenset(
    {"Relu", "Clip", "LeakyRelu", "Sigmoid", "Add", "Mul", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool"}
    | {"Resize", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split", "Pad"}
)
_MOVES = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Flatten"})
OPSET = 13
"""Per-channel quantisation needs it."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A float network ready to be quantised.

    Attributes:
        model: onnx ModelProto, batch norms folded in, nodes named.
        units: per layer with weights, in order, the names of the nodes that go to 8 bits with it: itself, and what
            lies behind it before the next such layer.
        tensors: activations whose ranges are needed.
        symmetric: activations become signed, about zero: the only kind that TensorRT reads.
    """

    model: Any
    units: dict[str, tuple[str, ...]]
    tensors: tuple[str, ...]
    symmetric: bool = False


def prepare(path: Path, *, symmetric: bool = False) -> Prepared:
    """Fold, name and sort what is to be quantised.

    Args:
        path: of an ONNX network.
        symmetric: see ``Prepared``; half the steps of what is never negative are lost, and bytes do not go in as such.

    Raises:
        InputError: no ONNX network, one without weights, or one that is quantised already.
    """
    try:
        import onnx
        from onnxruntime.quantization import quant_pre_process
    except ImportError as error:
        raise InputError("quantising needs onnx: pip install 'roadlens[train]'") from error
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's and onnx's own classes, by version
        raise InputError(f"{path} cannot be read as an ONNX network; give an .onnx file") from error
    already = {"DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger"}
    if already & {node.op_type for node in model.graph.node}:
        raise InputError(f"{path.name} is quantised already; give the float network that it was made from")
    metadata = {item.key: item.value for item in model.metadata_props}
    _constants_out_of_inputs(model)
    if _opset(model) < OPSET:
        model = onnx.version_converter.convert_version(model, OPSET)
    with TemporaryDirectory() as folder:
        whole, folded = Path(folder) / "whole.onnx", Path(folder) / "folded.onnx"
        onnx.save(model, whole)
        with _quiet():
            quant_pre_process(str(whole), str(folded), skip_symbolic_shape=True)
        model = onnx.load(folded)
    if not symmetric and widen(model):
        model = onnx.shape_inference.infer_shapes(model)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    units = _units(model)
    if not units:
        raise InputError(f"{path.name} has no layer with weights to quantise; give a float network")
    return Prepared(model, units, _tensors(model, {name for nodes in units.values() for name in nodes}), symmetric)


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime's advice to people who call it by hand goes to its own log and to Python's."""
    import onnxruntime

    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    onnxruntime.set_default_logger_severity(3)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(2)
        logger.setLevel(before)


def _opset(model: Any) -> int:
    return max((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), default=0)


def _constants_out_of_inputs(model: Any) -> None:
    """Old exporters list weights among the inputs, which keeps them from being folded."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _units(model: Any) -> dict[str, tuple[str, ...]]:
    """Weighted layers, each with the nodes between it and the next; what lies behind the last one is in none."""
    nodes = list(model.graph.node)
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {output for node in nodes if node.op_type == "Constant" for output in node.output}
    maker = {output: node for node in nodes for output in node.output}
    kinds = CONVOLUTIONS if _has_attention(nodes, constants) else WEIGHTED
    on_picture = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 4 and tensor.dims[1] == 3}
    weighted = [
        node
        for node in nodes
        if node.op_type in kinds and _is_layer(node, constants, maker) and not on_picture & set(node.input[1:2])
    ]
    number = {node.name: index for index, node in enumerate(weighted)}
    last: dict[str, int] = {}  # the last weighted layer before a tensor, in the file's order, which runs
    for node in nodes:
        behind = number.get(node.name, max((last.get(name, -1) for name in node.input), default=-1))
        last.update(dict.fromkeys(node.output, behind))
    before: set[str] = set()  # tensors with a weighted layer somewhere behind them
    for node in reversed(nodes):
        if node.name in number or any(name in before for name in node.output):
            before.update(node.input)
    units = {node.name: [node.name] for node in weighted}
    for node in nodes:
        owner = last[node.output[0]]
        if node.op_type in BETWEEN and owner >= 0 and any(name in before for name in node.output):
            units[weighted[owner].name].append(node.name)
    return {name: tuple(members) for name, members in units.items()}


def _has_attention(nodes: Sequence[Any], constants: set[str]) -> bool:
    """Whether a softmax and a product of two activations are there."""
    products = any(node.op_type == "MatMul" and not constants & set(node.input) for node in nodes)
    return products and any(node.op_type == "Softmax" for node in nodes)


def _is_layer(node: Any, constants: set[str], maker: dict[str, Any]) -> bool:
    """Whether a node multiplies an activation with weights, and is not the expectation over a softmax."""
    if not any(name in constants for name in node.input[1:2]):
        return False
    source = maker.get(node.input[0])
    while source is not None and source.op_type in _MOVES:
        source = maker.get(source.input[0])
    return source is None or source.op_type != "Softmax"


def _tensors(model: Any, nodes: set[str]) -> tuple[str, ...]:
    """Float activations that go into or come out of the nodes."""
    import onnx

    typed = {value.name: value for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
    constants = {tensor.name for tensor in model.graph.initializer}
    names = dict.fromkeys(
        name
        for node in model.graph.node
        if node.name in nodes
        for name in (*node.input, *node.output)
        if name and name not in constants
    )
    float_type = onnx.TensorProto.FLOAT
    return tuple(n for n in names if n in typed and typed[n].type.tensor_type.elem_type == float_type)


def quantise(prepared: Prepared, ranges: Ranges, *, keep: Sequence[str] = (), note: str = "") -> Any:
    """The 8-bit network: signed weights per channel, activations unsigned or as ``prepared.symmetric`` says.

    Args:
        prepared: the float network.
        ranges: of its tensors, from ``perception.training.calibrate``.
        keep: weighted layers that stay in float, with their units.
        note: how it was made; goes into the metadata.

    Returns:
        onnx ModelProto with the metadata of the float one.
    """
    chosen = [name for layer, members in prepared.units.items() if layer not in keep for name in members]
    return _quantise_nodes(prepared, ranges, chosen, note)


def _quantise_nodes(prepared: Prepared, ranges: Ranges, nodes: Sequence[str], note: str) -> Any:
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    model = onnx.ModelProto()
    model.CopyFrom(prepared.model)
    pictures = () if prepared.symmetric else cast_pictures(model)
    ranges = ranges | dict.fromkeys(pictures, (0.0, 255.0))  # as the type says, whatever the frames held
    spans = {name: (np.float32(min(low, 0.0)), np.float32(max(high, 0.0))) for name, (low, high) in ranges.items()}
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if prepared.symmetric else QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, spans),
        nodes_to_quantize=list(nodes),
        nodes_to_exclude=[],
        op_types_to_quantize=sorted({node.op_type for node in model.graph.node if node.name in set(nodes)}),
        extra_options={"WeightSymmetric": True, "ActivationSymmetric": prepared.symmetric},
    )
    quantizer.quantize_model()
    for name in pictures:
        bytes_straight(quantizer.model.model, name)
    quantizer.model.topological_sort()
    made = quantizer.model.model
    told = {item.key: item.value for item in prepared.model.metadata_props}
    del made.metadata_props[:]
    onnx.helper.set_model_props(made, told | {"roadlens.quantised": json.dumps(note)})
    return made


def sensitivity(
    prepared: Prepared, ranges: Ranges, frames: Sequence[Feeds], on_layer: Callable[[], None] | None = None
) -> list[tuple[str, float]]:
    """Noise that each weighted layer makes at the outputs when its unit alone is in 8 bits, worst first.

    Returns:
        (layer, noise power over signal power) with ``noise`` as the measure.
    """
    truth = [_run(prepared.model, [feeds])[0] for feeds in frames]
    found = []
    for name, members in prepared.units.items():
        outputs = _run(_quantise_nodes(prepared, ranges, members, "one layer"), frames)
        found.append((name, float(np.mean([noise(a, b) for a, b in zip(truth, outputs, strict=True)]))))
        if on_layer:
            on_layer()
    return sorted(found, key=lambda item: -item[1])


def noise(truth: dict[str, np.ndarray], changed: dict[str, np.ndarray]) -> float:
    """Noise power over signal power at the worst output; boxes count by how sure their best class is."""
    worst = 0.0
    truth, changed = _boxes(truth), _boxes(changed)
    weight = truth["scores"].max(axis=-1, keepdims=True) if {"boxes", "scores"} <= set(truth) else None
    for name, value in truth.items():
        if value.dtype.kind != "f":
            continue
        share = weight if weight is not None and name == "boxes" else np.ones_like(value)
        share = np.broadcast_to(share, value.shape)
        mean = (share * value).sum() / max(float(share.sum()), 1e-12)
        signal = float((share * (value - mean) ** 2).sum())
        worst = max(worst, float((share * (changed[name] - value) ** 2).sum()) / max(signal, 1e-12))
    return worst


def _boxes(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Logits of distances as the distances that they stand for, in strides: what a box is made of."""
    if set(outputs) != {"scores", "distances"}:
        return outputs
    logits = outputs["distances"]
    sides = distances(logits.reshape(-1, logits.shape[-1])).reshape(*logits.shape[:2], 4)
    return {"scores": outputs["scores"], "boxes": sides}


def _run(model: Any, frames: Sequence[Feeds]) -> list[dict[str, np.ndarray]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, feeds), strict=True)) for feeds in frames]
