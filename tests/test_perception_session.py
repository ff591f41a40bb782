"""Sessions: what runs is told, what is missing is named, and a torch program gives what its ONNX twin gives."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geometry.errors import InputError
from perception.session import TORCH_METADATA, TensorSpec, open_session

MakeOnnx = Callable[..., Path]
FEEDS = {"images": np.zeros((1, 3, 64, 96), np.float32)}


def test_reports_inputs_outputs_metadata_and_provider(constant_onnx: MakeOnnx) -> None:
    value = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    path = constant_onnx("a", {"out": value}, shape=(1, 3, "h", "w"), metadata={"roadlens.version": "7"})
    session = open_session(path, "cpu", threads=1)
    assert session.inputs == (TensorSpec("images", (1, 3, None, None), "float32"),)
    assert session.metadata == {"roadlens.version": "7"}
    assert (session.provider, session.notice) == ("CPUExecutionProvider", "")
    outputs = session.run(FEEDS)
    assert list(outputs) == ["out"] and (outputs["out"] == value).all()


def test_auto_falls_back_and_says_so_when_asked_but_cuda_by_name_is_an_error(
    constant_onnx: MakeOnnx, caplog: pytest.LogCaptureFixture
) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    path = constant_onnx("a", {"out": np.zeros((1, 1), np.float32)})
    with caplog.at_level("INFO", logger="roadlens"):
        session = open_session(path, "auto")
    assert (session.provider, session.notice) == ("CPUExecutionProvider", "")
    assert "no CUDA in this onnxruntime" in caplog.text
    for device in ("cuda", "cuda:1", "tensorrt"):
        with pytest.raises(InputError, match=r"pip install onnxruntime-gpu"):
            open_session(path, device)


def test_a_provider_that_is_listed_but_does_not_start(constant_onnx: MakeOnnx, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime falls back on its own and only logs that; the session must not hide it."""
    import onnxruntime

    class Fallen:
        def __init__(self, path: Path, sess_options: object, providers: list[str], provider_options: object) -> None:
            self.asked = providers
            self.real = real(path, providers=["CPUExecutionProvider"])

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

    real = onnxruntime.InferenceSession
    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Fallen)
    path = constant_onnx("a", {"out": np.zeros((1, 1), np.float32)})
    session = open_session(path, "auto")
    assert session.provider == "CPUExecutionProvider"
    assert session.notice == "CUDAExecutionProvider did not start, so CPUExecutionProvider runs"
    with pytest.raises(InputError, match="device cuda did not start"):
        open_session(path, "cuda")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "cpu2"])
def test_unknown_devices_are_refused(constant_onnx: MakeOnnx, device: str) -> None:
    path = constant_onnx("a", {"out": np.zeros((1, 1), np.float32)})
    with pytest.raises(InputError, match=r"device is .*must be auto, cpu, cuda"):
        open_session(path, device)


def test_files_that_are_no_networks_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model at .*gone\.onnx"):
        open_session(tmp_path / "gone.onnx")
    for name, content in {"text.onnx": b"hello, I am a text file", "empty.onnx": b"", "junk.pt2": b"not a zip"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} cannot be opened"):
            open_session(tmp_path / name)


def test_a_truncated_network_is_named(constant_onnx: MakeOnnx) -> None:
    path = constant_onnx("cut", {"out": np.zeros((1, 500), np.float32)})
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(InputError, match=r"cut\.onnx cannot be opened by onnxruntime"):
        open_session(path)


def test_an_input_of_the_wrong_size_names_file_and_wish(constant_onnx: MakeOnnx) -> None:
    session = open_session(constant_onnx("a", {"out": np.zeros((1, 1), np.float32)}))
    with pytest.raises(InputError, match=r"a\.onnx did not run on .*\(1, 3, 8, 8\); it declares images .*64, 96\)"):
        session.run({"images": np.zeros((1, 3, 8, 8), np.float32)})


def test_threads_must_be_positive(constant_onnx: MakeOnnx) -> None:
    with pytest.raises(InputError, match="threads is 0"):
        open_session(constant_onnx("a", {"out": np.zeros((1, 1), np.float32)}), threads=0)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A torch.export program with two outputs of which one is integer."""
    torch = pytest.importorskip("torch")

    class Twice(torch.nn.Module):
        def forward(self, images: "torch.Tensor") -> dict:
            return {"boxes": images * 2, "labels": images.sum((1, 2, 3)).long()}

    exported = torch.export.export(Twice(), (torch.ones(1, 3, 4, 6),))
    path = tmp_path / "twice.pt2"
    torch.export.save(exported, path, extra_files={TORCH_METADATA: json.dumps({"roadlens.version": "9"})})
    return path


def test_a_torch_program_runs(program: Path) -> None:
    session = open_session(program, "cpu")
    assert session.inputs == (TensorSpec("images", (1, 3, 4, 6), "float32"),)
    assert (session.provider, session.metadata) == ("torch cpu", {"roadlens.version": "9"})
    outputs = session.run({"images": np.full((1, 3, 4, 6), 0.5, np.float32)})
    assert (
        (outputs["boxes"] == 1.0).all() and outputs["labels"].tolist() == [36] and outputs["labels"].dtype == np.int64
    )


def test_a_torch_program_refuses_what_is_not_there(program: Path) -> None:
    with pytest.raises(InputError, match=r"has no device 'cuda:77'|has no device 'warp'"):
        open_session(program, "warp")
    with pytest.raises(InputError, match=r"twice\.pt2 did not run on images float32\(1, 3, 5, 5\)"):
        open_session(program, "cpu").run({"images": np.zeros((1, 3, 5, 5), np.float32)})
