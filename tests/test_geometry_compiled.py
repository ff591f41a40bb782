"""Compiled loops are kept on disk, and never after what they were compiled from has changed."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOOP = """
from geometry.compiled import compiled
from sizes import COLUMN


@compiled("i8(i8)")
def shifted(value):
    return value + COLUMN
"""


def answer(folder: Path) -> tuple[int, bool]:
    """What the loop gives in a fresh interpreter, and whether it was read from the disk."""
    code = "import loops; print(loops.shifted(1), sum(loops.shifted.stats.cache_hits.values()))"
    places = os.pathsep.join((str(folder), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": places},
    )
    value, hits = done.stdout.split()
    return int(value), hits == "1"


def test_a_constant_of_another_module_that_changes_is_compiled_in_anew(tmp_path: Path) -> None:
    constants = tmp_path / "sizes.py"
    constants.write_text("COLUMN = 40\n")
    (tmp_path / "loops.py").write_text(LOOP)
    assert answer(tmp_path) == (41, False)
    assert answer(tmp_path) == (41, True)
    constants.write_text("COLUMN = 700\n")
    later_s = time.time() + 2.0
    os.utime(constants, (later_s, later_s))
    assert answer(tmp_path) == (701, False)
