"""The figures of every measurement are written whole, and as JSON that any reader takes."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.evaluation.report import write_json
from geometry.errors import InputError


def test_figures_come_back_and_what_json_lacks_is_null(tmp_path: Path) -> None:
    figures = {"map": np.float32(0.5), "ap50": {"car": 0.25, "rider": float("nan")}, "n": np.int64(3), "x": (1, 2)}
    write_json(tmp_path / "a.json", figures | {"rows": np.array([[1.0, np.inf]])})
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "map": 0.5,
        "ap50": {"car": 0.25, "rider": None},
        "n": 3,
        "x": [1, 2],
        "rows": [[1.0, None]],
    }


def test_what_cannot_be_written_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere does not exist"):
        write_json(tmp_path / "nowhere" / "a.json", {})
