"""Fixtures that many tests share."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder of real frames, models and benchmarks beside the checkout; tests skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"real data is not here: {SHARED} is absent")
    return SHARED
