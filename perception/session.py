"""A network file behind one small protocol: onnxruntime (CPU, CUDA, TensorRT) or a torch.export program.

The provider that runs is always told. A device that was asked for by name and is not there is an error that names
the fix; ``auto`` takes what there is and says so in ``notice``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from geometry.errors import InputError

TORCH_SUFFIX = ".pt2"
TORCH_METADATA = "roadlens.json"
"""Extra file inside a .pt2: the JSON object of the same keys that ONNX files carry in ``metadata_props``."""

_ONNX_PROVIDERS: dict[str, list[str]] = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
    "tensorrt": ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
}
_GPU_FIX = "pip uninstall onnxruntime && pip install onnxruntime-gpu, with its CUDA and cuDNN libraries, or use cpu"


@dataclass(frozen=True)
class TensorSpec:
    """An input or output: name, shape with None where it is free, NumPy type name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class Session(Protocol):
    """A network ready to run."""

    path: Path
    provider: str
    notice: str
    inputs: tuple[TensorSpec, ...]
    metadata: dict[str, str]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name, in the order of the file."""
        ...


def open_session(path: Path | str, device: str = "auto", threads: int | None = None) -> Session:
    """Open a network file.

    Args:
        path: an ONNX file, or a torch.export program (.pt2).
        device: ``auto``, ``cpu``, ``cuda``, ``tensorrt``, with an optional ``:index``; a .pt2 takes any torch device.
        threads: of one run on the CPU; None leaves it to the runtime.

    Raises:
        InputError: no such file, no network in it, or the device is not there.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no model at {path}; give an .onnx or {TORCH_SUFFIX} file, or see `roadlens models`")
    if threads is not None and threads < 1:
        raise InputError(f"threads is {threads}; must be 1 or more")
    if path.suffix.lower() == TORCH_SUFFIX:
        return TorchSession(path, device, threads)
    return OnnxSession(path, device, threads)


def _split_device(device: str) -> tuple[str, int]:
    kind, _, index = device.lower().partition(":")
    if index and not index.isdigit():
        raise InputError(f"device is {device!r}; must be auto, cpu, cuda, cuda:1, ... or tensorrt")
    return kind, int(index or 0)


class OnnxSession:
    """An ONNX file in onnxruntime."""

    def __init__(self, path: Path, device: str, threads: int | None) -> None:
        import onnxruntime

        kind, index = _split_device(device)
        if kind not in (*_ONNX_PROVIDERS, "auto"):
            raise InputError(f"device is {device!r}; must be auto, {', '.join(_ONNX_PROVIDERS)} for {path.name}")
        there = onnxruntime.get_available_providers()
        wanted = "cuda" if kind == "auto" and "CUDAExecutionProvider" in there else "cpu" if kind == "auto" else kind
        if _ONNX_PROVIDERS[wanted][0] not in there:
            raise InputError(f"device {device} is not in this onnxruntime, which has {', '.join(there)}: {_GPU_FIX}")
        self.path = path
        self._session = _create(path, wanted, index, threads)
        self.provider = self._session.get_providers()[0]
        self.notice = ""
        if self.provider != _ONNX_PROVIDERS[wanted][0]:  # its libraries did not load: onnxruntime only logs that
            if kind != "auto":
                raise InputError(f"device {device} did not start, onnxruntime offers {self.provider}: {_GPU_FIX}")
            self.notice = f"{_ONNX_PROVIDERS[wanted][0]} did not start, so {self.provider} runs"
        elif kind == "auto" and wanted == "cpu":
            # no surprise, and the provider is on every screen: only for who asks
            logging.getLogger("roadlens").info("no CUDA in this onnxruntime, so CPUExecutionProvider runs")
        self.inputs = _specs(self._session.get_inputs())
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            outputs = self._session.run(None, dict(feeds))
        except Exception as error:  # onnxruntime raises classes of its own that derive from Exception alone
            given = ", ".join(f"{name} {array.dtype}{array.shape}" for name, array in feeds.items())
            wanted = ", ".join(f"{spec.name} {spec.dtype}{_shape_text(spec.shape)}" for spec in self.inputs)
            raise InputError(
                f"{self.path.name} did not run on {given}; it declares {wanted}; where the size is open it is mostly a "
                f"multiple of 32: {_line(error)}"
            ) from error
        return dict(zip(self._names, outputs, strict=True))


def _create(path: Path, kind: str, index: int, threads: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # exporters' oddities are no concern of a person, and what fails is raised
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # Spinning threads would burn the cores that decode and draw the neighbouring frames.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    gpu: dict[str, dict[str, Any]] = {
        "CUDAExecutionProvider": {"device_id": index},
        # An engine takes minutes to build, so it is kept.
        "TensorrtExecutionProvider": {
            "device_id": index,
            "trt_fp16_enable": True,
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(Path.home() / ".cache" / "roadlens" / "tensorrt"),
        },
    }
    names = _ONNX_PROVIDERS[kind]
    if kind != "cpu" and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA's libraries may lie in Python packages, where the loader does not look
    try:
        return onnxruntime.InferenceSession(
            path, sess_options=options, providers=names, provider_options=[gpu.get(name, {}) for name in names]
        )
    except Exception as error:
        wanted = f"an ONNX network or a torch.export program ({TORCH_SUFFIX})"
        raise InputError(f"{path} cannot be opened by onnxruntime; wanted {wanted}: {_line(error)}") from error


_NUMPY_TYPES = {"float": "float32", "double": "float64"}


def _specs(arguments: Sequence[Any]) -> tuple[TensorSpec, ...]:
    specs = []
    for argument in arguments:
        name = argument.type.removeprefix("tensor(").removesuffix(")")
        shape = tuple(size if isinstance(size, int) and size > 0 else None for size in argument.shape)
        specs.append(TensorSpec(argument.name, shape, _NUMPY_TYPES.get(name, name)))
    return tuple(specs)


class TorchSession:
    """A torch.export program on any torch device."""

    def __init__(self, path: Path, device: str, threads: int | None) -> None:
        try:
            import torch
            from torch.export.passes import move_to_device_pass
        except ImportError as error:
            raise InputError(
                f"{path.name} needs torch, which is not installed: pip install 'roadlens[train]'"
            ) from error
        self.path = path
        self._device, self.notice = _torch_device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        extra = {TORCH_METADATA: ""}
        try:
            program = torch.export.load(path, extra_files=extra)
            self.inputs = _program_inputs(program)
            self._module = move_to_device_pass(program, self._device).module()
        except Exception as error:  # a zip that is none, a program of another version, a device out of memory
            raise InputError(f"{path} cannot be opened as a torch.export program: {_line(error)}") from error
        self.provider = f"torch {self._device}"
        self.metadata = _json_strings(extra[TORCH_METADATA], path)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        inputs = [torch.from_numpy(np.ascontiguousarray(feeds[spec.name])).to(self._device) for spec in self.inputs]
        try:
            with torch.inference_mode():
                outputs = self._module(*inputs)
        except Exception as error:
            given = ", ".join(f"{name} {array.dtype}{array.shape}" for name, array in feeds.items())
            raise InputError(f"{self.path.name} did not run on {given}: {_line(error)}") from error
        if isinstance(outputs, torch.Tensor):
            outputs = {"output": outputs}
        elif not isinstance(outputs, Mapping):
            outputs = {f"output_{index}": tensor for index, tensor in enumerate(outputs)}
        return {name: _numpy(tensor) for name, tensor in outputs.items()}


def _numpy(tensor: Any) -> np.ndarray:
    """On the CPU, half precision widened: heads compute in float32."""
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()


def _torch_device(device: str) -> tuple[str, str]:
    import torch

    if device == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        if accelerator is None:
            return "cpu", "torch finds no accelerator, so it runs on the CPU"
        return str(accelerator), ""
    try:
        torch.empty(1, device=device)
    except Exception as error:  # an unknown word, a build without CUDA, no driver
        fix = "install a torch build for it and its driver, or use cpu"
        raise InputError(f"torch {torch.__version__} has no device {device!r}: {_line(error)}; {fix}") from error
    return device, ""


def _program_inputs(program: Any) -> tuple[TensorSpec, ...]:
    names = set(program.graph_signature.user_inputs)
    specs = []
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            value = node.meta["val"]
            shape = tuple(size if isinstance(size, int) else None for size in value.shape)
            specs.append(TensorSpec(node.name, shape, str(value.dtype).removeprefix("torch.")))
    return tuple(specs)


def _json_strings(text: str | bytes, path: Path) -> dict[str, str]:
    if not text:
        return {}
    try:
        loaded = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: {TORCH_METADATA} inside it is no JSON ({error}); export the model again") from error
    if not isinstance(loaded, dict) or not all(isinstance(value, str) for value in loaded.values()):
        raise InputError(f"{path}: {TORCH_METADATA} inside it must be a JSON object of strings; export the model again")
    return loaded


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('?' if size is None else str(size) for size in shape)})"


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
