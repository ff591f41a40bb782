"""Uploads: known by content, limited, named by nobody."""

import io
from pathlib import Path

import pytest

from app.web.uploads import container, keep
from geometry.errors import InputError

MP4 = b"\x00\x00\x00\x18ftypisom" + bytes(300)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (MP4, "MP4 or QuickTime"),
        (b"\x1aE\xdf\xa3" + bytes(20), "Matroska or WebM"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "AVI"),
        (b"GIF89a", "GIF"),
        (b"G" + bytes(187) + b"G", "MPEG transport stream"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        (b"#!/bin/sh\nrm -rf /\n", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_the_content_decides(head: bytes, kind: str | None) -> None:
    assert container(head) == kind


def test_what_is_kept_is_what_was_sent_under_a_random_name(tmp_path: Path) -> None:
    first, second = (keep(io.BytesIO(MP4), tmp_path) for _ in range(2))
    assert first.read_bytes() == MP4 and first != second
    assert first.parent == tmp_path and len(first.name) == 24


def test_a_text_named_mp4_is_no_clip_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no video by its content"):
        keep(io.BytesIO(b"hello, I am a text"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_clip_over_the_limit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="over 1 MB"):
        keep(io.BytesIO(MP4 + bytes(1 << 20)), tmp_path, limit_mb=1)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 1000:
                raise OSError(28, "No space left on device")
            return super().read(600 if size is None or size > 600 else size)

    with pytest.raises(InputError, match="No space left"):
        keep(Broken(MP4 * 10), tmp_path)
    assert list(tmp_path.iterdir()) == []
