"""A trained network as ONNX and as a torch.export program, either of which needs no side file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from geometry.errors import InputError
from perception.training.model import Decoded, Detector
from perception.types import CLASSES

OPSET = 17
STRIDE = 32
TOLERANCE = 1e-4
"""Of the exported network against torch: scores absolutely, boxes as a share of the input's longer side."""
TORCH_METADATA = "roadlens.json"


@dataclass(frozen=True)
class ExportConfig:
    """What is written into the file.

    Attributes:
        input_size_px: (width, height), multiples of 32; with free axes its area is the runtime's budget.
        free_size: height and width are free axes; the batch always is.
        score_threshold: shown to people from this score on; one number, or one per class name.
        nms_iou: overlap at which the runtime should suppress.
    """

    input_size_px: tuple[int, int] = (736, 416)
    free_size: bool = False
    score_threshold: float | dict[str, float] = 0.35
    nms_iou: float = 0.6
    version: str = "1"

    def __post_init__(self) -> None:
        if any(side <= 0 or side % STRIDE for side in self.input_size_px):
            raise InputError(f"input size is {self.input_size_px}; both sides must be positive multiples of {STRIDE}")

    def properties(self, model: Detector) -> dict[str, str]:
        """Metadata by key; every value a string of JSON, except head and version (perception/README.md)."""
        return {
            "roadlens.head": "decoded" if model.single_heads is None else "decoded-unique",
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


class _Named(nn.Module):
    """Outputs by name, for the torch.export program."""

    def __init__(self, decoded: Decoded) -> None:
        super().__init__()
        self.decoded = decoded

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        boxes, scores = self.decoded(images)
        return {"boxes": boxes, "scores": scores}


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of their own old code and of sizes that are meant to be constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def export_onnx(model: Detector, path: Path, config: ExportConfig = ExportConfig()) -> None:
    """Write the folded network with its decoding as ONNX, then check it against torch.

    Input ``images`` (B, 3, H, W) float32 blue-green-red 0..255; outputs ``boxes`` (B, N, 4) edges in input pixels
    and ``scores`` (B, N, classes).

    Raises:
        InputError: the file answers otherwise than torch by more than ``TOLERANCE``.
    """
    import onnx

    decoded = Decoded(model.folded()).eval()
    width, height = config.input_size_px
    example = torch.rand(1, 3, height, width) * 255.0
    axes: dict[str, dict[int, str]] = {"images": {0: "batch"}, "boxes": {0: "batch"}, "scores": {0: "batch"}}
    if config.free_size:
        axes["images"] |= {2: "height", 3: "width"}
        for name in ("boxes", "scores"):
            axes[name] |= {1: "cells"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with _quiet():
        torch.onnx.export(
            decoded,
            (example,),
            str(path),
            input_names=["images"],
            output_names=["boxes", "scores"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, config.properties(model))
    onnx.checker.check_model(proto)
    onnx.save(proto, path)
    check_onnx(decoded, path, [(2, height, width), *([(1, height // 2 // 32 * 32 or 32, width)] * config.free_size)])


def check_onnx(decoded: nn.Module, path: Path, sizes: list[tuple[int, int, int]]) -> float:
    """Largest difference between file and torch over random pictures of (batch, height, width) ``sizes``."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    worst = 0.0
    for batch, height, width in sizes:
        images = rng.uniform(0, 255, (batch, 3, height, width)).astype(np.float32)
        boxes, scores = session.run(["boxes", "scores"], {"images": images})
        with torch.inference_mode():
            want_boxes, want_scores = (t.numpy() for t in decoded(torch.from_numpy(images)))
        worst = max(worst, float(np.abs(scores - want_scores).max()))
        worst = max(worst, float(np.abs(boxes - want_boxes).max()) / max(height, width))
    if not worst <= TOLERANCE:
        raise InputError(
            f"{path} differs from torch by {worst:.2g}, more than {TOLERANCE:g}; report the versions in use"
        )
    return worst


def export_program(model: Detector, path: Path, config: ExportConfig = ExportConfig()) -> None:
    """Write the same network as a torch.export program (.pt2) with the metadata inside, free in batch and size.

    ``perception.session`` runs it on any torch device.
    """
    named = _Named(Decoded(model.folded())).eval()
    width, height = config.input_size_px
    free = torch.export.Dim("tall", min=1, max=128), torch.export.Dim("wide", min=1, max=128)
    batch = torch.export.Dim("batch", min=1, max=256)
    sizes = {0: batch, 2: STRIDE * free[0], 3: STRIDE * free[1]} if config.free_size else {0: batch}
    example = torch.rand(2, 3, height, width) * 255.0
    path.parent.mkdir(parents=True, exist_ok=True)
    with _quiet():
        program = torch.export.export(named, (example,), dynamic_shapes=({**sizes},))
        program.example_inputs = None  # else the file holds the pictures too
        extra: dict[str, Any] = {TORCH_METADATA: json.dumps(config.properties(model))}
        torch.export.save(program, path, extra_files=extra)
