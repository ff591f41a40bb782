"""Results of a batch at an address that fsspec knows: an object store, a server, another disk.

Such places have no renaming of whole folders, so a result folder is whole when its marker is there: the marker of
older results goes first, the new one comes last. Clips are run on the local disk and sent when they are done.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from app.batch_clip import FAILED, MARKER, ClipOutcome
from app.batch_plan import ClipJob
from app.runner import SUMMARY
from geometry.errors import InputError


def is_address(text: str) -> bool:
    """Whether results go to an address instead of a folder."""
    return "://" in text


def _open(address: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise InputError(f"{address} needs fsspec; install it with: pip install 'roadlens[remote]'") from error
    try:
        files, root = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError, OSError) as error:
        raise InputError(f"{address} cannot be used: {error}") from error
    return files, str(root).rstrip("/")


def fetch_states(address: str, staging: Path) -> None:
    """Markers, summaries and notes of failures of all result folders, for ``app.batch_clip`` to read.

    Raises:
        InputError: the address cannot be read.
    """
    files, root = _open(address)
    try:
        found = files.find(root, maxdepth=2) if files.exists(root) else []
        for path in found:
            *_, folder, name = str(path).split("/")
            if name in (MARKER, SUMMARY) or folder == FAILED:
                (staging / folder).mkdir(parents=True, exist_ok=True)
                (staging / folder / name).write_bytes(files.cat_file(path))
    except OSError as error:
        raise InputError(f"{address} cannot be read: {error}") from error


def send(paths: Iterable[Path], address: str, folder: str = "") -> None:
    """Copies files into a folder of the address, a marker among them last.

    Raises:
        InputError: the address cannot be written.
    """
    files, root = _open(address)
    target = f"{root}/{folder}".rstrip("/")
    try:
        files.makedirs(target, exist_ok=True)
        if files.exists(f"{target}/{MARKER}"):
            files.rm_file(f"{target}/{MARKER}")
        for path in sorted(paths, key=lambda path: path.name == MARKER):
            files.put_file(str(path), f"{target}/{path.name}")
    except OSError as error:
        raise InputError(f"{address} cannot be written: {error}") from error


def fetch(address: str, folder: str, into: Path) -> Path:
    """Copies a result folder from the address to one of its name below ``into``, and says where it is.

    Raises:
        InputError: the address cannot be read.
    """
    files, root = _open(address)
    target = into / folder
    target.mkdir(parents=True, exist_ok=True)
    try:
        for path in files.find(f"{root}/{folder}", maxdepth=1):
            files.get_file(path, str(target / str(path).rsplit("/", 1)[-1]))
    except OSError as error:
        raise InputError(f"{address} cannot be read: {error}") from error
    return target


def remove(address: str, folder: str) -> None:
    """Removes a result folder, its marker first, so that half of one never passes for a whole.

    Raises:
        InputError: the address cannot be written.
    """
    files, root = _open(address)
    try:
        for path in (f"{root}/{folder}/{MARKER}", f"{root}/{folder}"):
            if files.exists(path):
                files.rm(path, recursive=True)
    except OSError as error:
        raise InputError(f"{address} cannot be written: {error}") from error


def drop_if_empty(address: str) -> None:
    """Removes a folder that holds nothing, where the place has folders at all."""
    files, root = _open(address)
    with contextlib.suppress(OSError, NotImplementedError, ValueError):
        files.rmdir(root)


def forget_failure(address: str, name: str) -> None:
    """Removes the note that a clip failed."""
    files, root = _open(address)
    if files.exists(f"{root}/{FAILED}/{name}.json"):
        files.rm_file(f"{root}/{FAILED}/{name}.json")


def run_and_send(job: ClipJob, address: str, run: Callable[[Path], ClipOutcome]) -> ClipOutcome:
    """Runs a clip into a folder of this machine and sends what came of it.

    Args:
        run: ``app.batch_clip.do_clip`` with all but the folder.
    """
    with tempfile.TemporaryDirectory(prefix="roadlens-") as folder:
        outcome = run(Path(folder))
        try:
            if outcome.status == "done":
                send((Path(folder) / job.name).iterdir(), address, job.name)
                forget_failure(address, job.name)
            elif outcome.status == "failed":
                send((Path(folder) / FAILED).iterdir(), address, FAILED)
        except InputError as error:
            return ClipOutcome(job, "failed", str(error), {})
    return outcome
