"""Uploaded clips are not trusted: named by nobody, limited while they stream to disk, known by their content."""

from __future__ import annotations

import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import streamlit as st

from app.jobs.limits import LENGTH_LIMIT_S, SIZE_LIMIT_MB
from app.jobs.store import JobStore, clean_name
from app.partial import PartialFile
from app.web.components import component
from geometry.errors import InputError

KINDS = "MP4, MOV, MKV, WebM, AVI, MPEG-TS or GIF"
_TOKEN = re.compile(r"[0-9a-f]{24}")
_HEAD_BYTES = 256
_MIN_FREE_BYTES = 1 << 30
# First bytes of containers, by offset: ISO/IEC 14496-12 (ftyp), RFC 9559 (EBML), RIFF, GIF89a, ISO/IEC 13818-1.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftyp", "MP4 or QuickTime"),
    (4, b"moov", "QuickTime"),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (8, b"AVI ", "AVI"),
    (0, b"GIF8", "GIF"),
    (188, b"G", "MPEG transport stream"),
)


def container(head: bytes) -> str | None:
    """The kind of video file by its first bytes, None where it is none that is known."""
    for offset, signature, name in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return name
    return None


class Intake(PartialFile):
    """An upload on its way to disk, piece by piece, under a random name; gone again if anything is wrong with it.

    Args:
        folder: where uploads lie.
        limit_mb: the most it may hold.
    """

    def __init__(self, folder: Path, *, limit_mb: int = SIZE_LIMIT_MB) -> None:
        self.path = folder / secrets.token_hex(12)
        self.partial = self.path.with_suffix(".part")
        self._limit_mb, self._left = limit_mb, limit_mb << 20
        self._head = b""
        self._known = False
        try:
            self._out: IO[bytes] = self.partial.open("xb")
        except OSError as error:
            raise InputError(f"the clip cannot be kept: {error.strerror}") from error

    def write(self, piece: bytes) -> None:
        """Adds a piece.

        Raises:
            InputError: it is no video by its content, too large, or the disk is full.
        """
        self._left -= len(piece)
        if self._left < 0:
            raise InputError(f"this clip is over {self._limit_mb} MB; cut it, or use the command line: roadlens run")
        if not self._known:
            self._head = (self._head + piece)[:_HEAD_BYTES]
            if len(self._head) == _HEAD_BYTES:
                self._check_kind()
        try:
            if shutil.disk_usage(self.partial.parent).free < _MIN_FREE_BYTES:
                raise InputError("the clip cannot be kept: this machine's disk is almost full")
            self._out.write(piece)
        except OSError as error:
            raise InputError(f"the clip cannot be kept: {error.strerror}") from error

    def _check_kind(self) -> None:
        self._known = container(self._head) is not None
        if not self._known:
            raise InputError(f"this file is no video by its content; wanted {KINDS}")

    def close(self) -> None:
        """Gives it up: nothing is left of it."""
        self._out.close()
        self.partial.unlink(missing_ok=True)

    def finish(self) -> Path:
        """Keeps it; its path.

        Raises:
            InputError: as ``write``.
        """
        try:
            if not self._known:
                self._check_kind()
            self._out.close()
        except (InputError, OSError) as error:
            self.close()
            raise InputError(str(error)) from error
        return self.partial.replace(self.path)


@dataclass(frozen=True)
class Upload:
    """A clip that a visitor sent: where it lies, and its name for people."""

    path: Path
    name: str


def upload_box(store: JobStore, key: str) -> Upload | None:
    """Asks for a clip; it goes straight to disk by a request of its own, never through the page's memory."""
    data = {
        "limit_mb": SIZE_LIMIT_MB,
        "words": f"Your clip: up to {SIZE_LIMIT_MB} MB and {LENGTH_LIMIT_S / 60:.0f} minutes. {KINDS}.",
    }
    answer = component("upload")(key=key, data=data, on_upload_change=lambda: None)
    upload = kept(store, answer.upload)
    before = st.session_state.get(f"{key}_kept")
    if before is not None and before != upload:
        store.drop_upload(before.path)  # another one was chosen instead
    st.session_state[f"{key}_kept"] = upload
    return upload


def kept(store: JobStore, answer: Any) -> Upload | None:
    """The upload that the browser says it has sent, if that is true."""
    token = answer.get("token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return None
    path = store.uploads / token
    return Upload(path, clean_name(str(answer.get("name", "")))) if path.is_file() else None
