"""Processes that a test looks for: helpers that tests share."""

from pathlib import Path


def children(parent: int) -> list[int]:
    """Processes that multiprocessing started, not its resource tracker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status, line = (entry / "status").read_text(), (entry / "cmdline").read_text()
            except OSError:
                continue
            if f"PPid:\t{parent}\n" in status and "spawn_main" in line:
                found.append(int(entry.name))
    return found
