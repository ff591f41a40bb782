"""``roadlens models``: the default first, files of a person's own, and what cannot be used."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli import app
from geometry.errors import InputError
from perception import detector


def test_the_default_comes_first_and_wrong_files_are_named(
    tmp_path: Path, constant_onnx: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {"boxes": np.zeros((1, 3, 4), np.float32), "scores": np.zeros((1, 3, 2), np.float32)}
    path = constant_onnx("mine", outputs, metadata={"roadlens.classes": json.dumps(["car", "person"])})
    weights = tmp_path / "weights"
    weights.mkdir()
    monkeypatch.setattr(detector, "WEIGHTS", weights)
    monkeypatch.setattr(detector, "SHARED_MODELS", tmp_path / "nowhere")
    monkeypatch.setenv("COLUMNS", "150")
    empty = CliRunner().invoke(app, ["models"], catch_exceptions=False)
    assert empty.exit_code == 0 and "no weights are embedded here" in empty.output
    for name in ("ours_n", "ours_n_int8"):
        (weights / f"{name}.onnx").write_bytes(path.read_bytes())
    listed = CliRunner().invoke(app, ["models", str(path), "--device", "cpu"], catch_exceptions=False)
    rows = [line for line in listed.output.splitlines() if "decoded" in line]
    assert ["ours_n_int8 (default)" in rows[0], "ours_n " in rows[1], "mine" in rows[2]] == [True] * 3
    assert "2 of 10" in rows[2] and "96x64" in rows[2] and "yours" in rows[2] and "embedded" in rows[0]
    (tmp_path / "text.onnx").write_text("hello")
    wrong = CliRunner().invoke(app, ["models", str(tmp_path / "text.onnx")])
    assert isinstance(wrong.exception, InputError) and "text.onnx cannot be opened" in str(wrong.exception)
