"""Uploaded clips are not trusted: named by nobody, limited in size, known by their content."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import IO

from geometry.errors import InputError

SIZE_LIMIT_MB = 500
_CHUNK = 1 << 20
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


def keep(upload: IO[bytes], folder: Path, *, limit_mb: int = SIZE_LIMIT_MB) -> Path:
    """Copies an upload to the folder under a random name.

    Raises:
        InputError: it is no video by its content, too large, or the disk is full.
    """
    head = upload.read(256)
    if container(head) is None:
        raise InputError("this file is no video by its content; wanted MP4, MOV, MKV, WebM, AVI, MPEG-TS or GIF")
    upload.seek(0)
    path = folder / secrets.token_hex(12)
    left = limit_mb << 20
    try:
        if shutil.disk_usage(folder).free < 2 * left:
            left = min(left, shutil.disk_usage(folder).free // 2)
        with path.open("xb") as out:
            while chunk := upload.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise InputError(f"this clip is over {limit_mb} MB; cut it, or use the command line: roadlens run")
                out.write(chunk)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise InputError(f"the clip cannot be kept: {error.strerror}") from error
    except InputError:
        path.unlink(missing_ok=True)
        raise
    return path
