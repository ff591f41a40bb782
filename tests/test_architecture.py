"""Arrows between packages point one way only, and heavy imports stay out of light modules."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from app.kernels import MODULES

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("geometry", "perception", "tracking", "app")
HEAVY = ("torch", "streamlit", "ray", "onnxruntime", "numba")
LIGHT_MODULES = ("geometry", "tracking", "app.pipeline", "app.cli")


def imported_packages(source: str) -> set[str]:
    """Top-level packages that a module imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def forbidden(layer: str) -> set[str]:
    """Siblings above a layer: those it must not know."""
    return set(LAYERS[LAYERS.index(layer) + 1 :])


@pytest.mark.parametrize("layer", LAYERS)
def test_arrows_point_left_only(layer: str) -> None:
    modules = list((ROOT / layer).rglob("*.py"))
    assert modules, f"no modules under {layer}: the test would prove nothing"
    wrong = {
        str(path.relative_to(ROOT)): sorted(imported_packages(path.read_text()) & (forbidden(layer) | {"tests"}))
        for path in modules
    }
    assert {path: names for path, names in wrong.items() if names} == {}


def test_the_arrow_check_can_fail() -> None:
    assert "tracking" in imported_packages("def f():\n    from tracking.types import Tracks\n")
    assert "tracking" in forbidden("perception")


def heavy_after(statement: str) -> list[str]:
    """Heavy packages loaded in a fresh interpreter after a statement."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.split()


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_light_modules_stay_light(module: str) -> None:
    assert heavy_after(f"import {module}") == []


def test_the_heavy_import_check_can_fail() -> None:
    assert heavy_after("import onnxruntime") == ["onnxruntime"]


def test_all_compiled_loops_are_loaded_before_the_first_frame() -> None:
    found = {
        ".".join(path.with_suffix("").relative_to(ROOT).parts)
        for layer in LAYERS
        for path in (ROOT / layer).rglob("*.py")
        if "from geometry.compiled import" in path.read_text() or "@numba.njit" in path.read_text()
    }
    assert set(MODULES) == found


def test_every_package_is_installed() -> None:
    """The explicit list in pyproject.toml names exactly the folders that are packages."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for layer in LAYERS
        for path in (ROOT / layer).rglob("__init__.py")
    }
    assert set(listed) == found


def test_every_constraint_names_one_version() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    names = [line.split("==")[0].lower() for line in lines]
    assert all(line.count("==") == 1 for line in lines)
    assert len(set(names)) == len(names)
