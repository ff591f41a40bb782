"""Fixtures that many tests share."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_server import Server, browser_path, browsing, serving

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder of real frames, models and benchmarks beside the checkout; tests skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"real data is not here: {SHARED} is absent")
    return SHARED


@pytest.fixture
def constant_onnx(tmp_path: Path) -> Callable[..., Path]:
    """Makes an ONNX file that answers every picture with given arrays: ``make(name, outputs, ...) -> path``."""

    def make(
        name: str,
        outputs: dict[str, np.ndarray],
        *,
        shape: Sequence[int | str] = (1, 3, 64, 96),
        dtype: str = "float32",
        others: dict[str, tuple[str, tuple[int, ...]]] | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Path:
        onnx = pytest.importorskip("onnx")
        inputs = {"images": (dtype, tuple(shape))} | (others or {})
        kind = {key: onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)) for key, (kind, _) in inputs.items()}
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Identity", [f"{key}_value"], [key]) for key in outputs],
            name,
            [onnx.helper.make_tensor_value_info(key, kind[key], size) for key, (_, size) in inputs.items()],
            [
                onnx.helper.make_tensor_value_info(key, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
                for key, array in outputs.items()
            ],
            [onnx.numpy_helper.from_array(array, f"{key}_value") for key, array in outputs.items()],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        onnx.helper.set_model_props(model, metadata or {})
        path = tmp_path / f"{name}.onnx"
        onnx.save(model, path)
        return path

    return make


@pytest.fixture
def one_car_model(constant_onnx: Callable[..., Path]) -> Path:
    """A network that always sees one car in the middle of the picture."""
    output = np.zeros((1, 84, 12 * 8 + 6 * 4 + 3 * 2), np.float32)
    output[0, :4, 0] = 48, 40, 16, 12
    output[0, 4 + 2, 0] = 0.9
    return constant_onnx("one_car", {"output0": output})


@pytest.fixture
def noise_clip() -> Callable[..., Path]:
    """Writes a small clip of noise about a grey level, 20 pictures a second: ``write(path, frames, level) -> path``."""
    from app.video import VideoWriter

    def write(path: Path, frames: int = 8, level: int = 80, size_px: tuple[int, int] = (192, 128)) -> Path:
        rng = np.random.default_rng(level)
        path.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(path, size_px, Fraction(20)) as writer:
            for number in range(frames):
                writer.write(rng.integers(level, level + 20, (*size_px[::-1], 3), dtype=np.uint8), number / 20)
        return path

    return write


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page on a free port, with runs of its own."""
    with serving(tmp_path_factory.mktemp("page") / "runs") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; tests skip where there is none."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make e2e")
    if browser_path() is None:
        pytest.skip("no chromium here: make e2e installs it, or apt-get install chromium")
    with browsing() as found:
        yield found
