"""A trained network as ONNX and as a torch.export program, either of which needs no side file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from geometry.errors import InputError
from perception.consensus import Oversize, Support
from perception.training.model import Detector, Exported
from perception.types import CLASSES, VEHICLES

OPSET = 17
STRIDE = 32
TOLERANCE = 1e-4
"""Of the exported network against torch: scores absolutely, logits of distances as a share of their largest."""
TORCH_METADATA = "roadlens.json"
NMS_IOU = {name: 0.6 if index in VEHICLES else 0.5 for index, name in enumerate(CLASSES)}
"""Vehicles park close to each other. On every third val frame AP50 of people, lights and signs is 0.3 to 0.7 points
higher at 0.5 than at 0.6, of cars 0.2 lower."""

SUPPORT = Support(
    0.3, (50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0), (0.063, 0.150, 0.336, 0.677, 0.962, 1.061, 1.011)
)
"""Of the embedded network: the curve is fitted to its boxes of a score over 0.2 on every 20th training frame, without
their labels. The weight is the middle of what is flat for cars and people on every second val frame (0.2 to 0.4)."""
OVERSIZE = Oversize(SUPPORT.area_px2, (0.039, 0.087, 0.076, 0.037, 0.012, 0.0, 0.0))
"""Of the embedded network: ``tests/benchmarks/fit_oversize.py`` on every 8th training frame, 14,475 boxes. Large
ones are left as they are, so that what the picture cuts still ends at its edge."""


@dataclass(frozen=True)
class ExportConfig:
    """What is written into the file.

    Attributes:
        input_size_px: (width, height), multiples of 32; with free axes its area is the runtime's budget.
        free_size: height and width are free axes; the batch always is.
        score_threshold: shown to people from this score on; one number, or one per class name.
        nms_iou: overlap at which the runtime should suppress; one number, or one per class name.
        support, oversize: how scores should follow the support of boxes, and how much too large those are; None
            leaves them, as a network that needs no NMS does.
    """

    input_size_px: tuple[int, int] = (832, 480)
    free_size: bool = False
    score_threshold: float | dict[str, float] = 0.35
    nms_iou: float | dict[str, float] = field(default_factory=lambda: dict(NMS_IOU))
    support: Support | None = SUPPORT
    oversize: Oversize | None = OVERSIZE
    version: str = "1"

    def __post_init__(self) -> None:
        if any(side <= 0 or side % STRIDE for side in self.input_size_px):
            raise InputError(f"input size is {self.input_size_px}; both sides must be positive multiples of {STRIDE}")

    def properties(self, model: Detector) -> dict[str, str]:
        """Metadata by key; every value a string of JSON, except head and version (perception/README.md)."""
        unique = model.single_heads is not None
        told = {
            "roadlens.head": "distances" + "-signed" * (model.config.nearest < 0) + "-unique" * unique,
            "roadlens.classes": json.dumps(CLASSES[: model.config.classes]),
            "roadlens.input_size": json.dumps(list(self.input_size_px)),
            "roadlens.stride": json.dumps(STRIDE),
            "roadlens.normalise": json.dumps("x / 255, inside the first convolution"),
            "roadlens.preprocess": json.dumps({"fit": "top-left", "pad": 114}),
            "roadlens.score_threshold": json.dumps(self.score_threshold),
            "roadlens.nms_iou": json.dumps(self.nms_iou),
            "roadlens.model": json.dumps(model.config.to_dict()),
            "roadlens.version": self.version,
        }
        for key, curve in (("roadlens.support", self.support), ("roadlens.oversize", self.oversize)):
            if curve is not None and not unique:
                told[key] = json.dumps(asdict(curve))
        return told


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of their own old code and of sizes that are meant to be constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def export_onnx(model: Detector, path: Path, config: ExportConfig = ExportConfig()) -> None:
    """Write the folded network as ONNX, then check it against torch.

    Input ``images`` (B, H, W, 3) uint8 blue-green-red; outputs ``scores`` (B, N, classes) and ``distances``
    (B, N, 4 bins), logits of left, top, right, bottom in strides (the head ``distances`` of ``perception.heads``).

    Raises:
        InputError: the file answers otherwise than torch by more than ``TOLERANCE``.
    """
    import onnx

    exported = Exported(model.folded()).eval()
    width, height = config.input_size_px
    example = torch.randint(0, 256, (1, height, width, 3), dtype=torch.uint8)
    axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in ("images", "scores", "distances")}
    if config.free_size:
        axes["images"] |= {1: "height", 2: "width"}
        for name in ("scores", "distances"):
            axes[name] |= {1: "cells"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with _quiet():
        torch.onnx.export(
            exported,
            (example,),
            str(path),
            input_names=["images"],
            output_names=["scores", "distances"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    proto = onnx.load(path)
    _settle_reshapes(proto)
    onnx.helper.set_model_props(proto, config.properties(model))
    onnx.checker.check_model(proto)
    onnx.save(proto, path)
    check_onnx(exported, path, [(2, height, width), *([(1, height // 2 // 32 * 32 or 32, width)] * config.free_size)])


def _settle_reshapes(proto: Any) -> None:
    """Rows of cells (B, H, W, C) -> (B, H W, C) by one constant shape, where the exporter works it out at every run."""
    import onnx

    maker = {output: node for node in proto.graph.node for output in node.output}
    inferred = onnx.shape_inference.infer_shapes(proto).graph.value_info
    shapes = {value.name: value.type.tensor_type.shape.dim for value in inferred}
    for node in proto.graph.node:
        if node.op_type == "Reshape" and maker[node.input[0]].op_type == "Transpose":
            channels = shapes[maker[node.input[0]].input[0]][1].dim_value
            rows = np.array([0, -1, channels], np.int64)  # 0 copies
            name = f"{node.name}_rows"
            proto.graph.initializer.append(onnx.numpy_helper.from_array(rows, name))
            node.input[1] = name
    _prune(proto.graph)


def _prune(graph: Any) -> None:
    """Drop nodes that nothing uses any more."""
    used = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if used & set(node.output):
            used |= set(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def check_onnx(exported: nn.Module, path: Path, sizes: list[tuple[int, int, int]]) -> float:
    """Largest difference between file and torch over random pictures of (batch, height, width) ``sizes``."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    worst = 0.0
    for batch, height, width in sizes:
        images = rng.integers(0, 256, (batch, height, width, 3), np.uint8)
        scores, distances = session.run(["scores", "distances"], {"images": images})
        with torch.inference_mode():
            wanted = {name: value.numpy() for name, value in exported(torch.from_numpy(images)).items()}
        worst = max(worst, float(np.abs(scores - wanted["scores"]).max()))
        largest = max(1.0, float(np.abs(wanted["distances"]).max()))
        worst = max(worst, float(np.abs(distances - wanted["distances"]).max()) / largest)
    if not worst <= TOLERANCE:
        raise InputError(
            f"{path} differs from torch by {worst:.2g}, more than {TOLERANCE:g}; report the versions in use"
        )
    return worst


def export_program(model: Detector, path: Path, config: ExportConfig = ExportConfig()) -> None:
    """Write the same network as a torch.export program (.pt2) with the metadata inside, free in batch and size.

    ``perception.session`` runs it on any torch device.
    """
    exported = Exported(model.folded()).eval()
    width, height = config.input_size_px
    free = torch.export.Dim("tall", min=1, max=128), torch.export.Dim("wide", min=1, max=128)
    batch = torch.export.Dim("batch", min=1, max=256)
    sizes = {0: batch, 1: STRIDE * free[0], 2: STRIDE * free[1]} if config.free_size else {0: batch}
    example = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _quiet():
        program = torch.export.export(exported, (example,), dynamic_shapes=({**sizes},))
        program.example_inputs = None  # else the file holds the pictures too
        extra: dict[str, Any] = {TORCH_METADATA: json.dumps(config.properties(model))}
        torch.export.save(program, path, extra_files=extra)
