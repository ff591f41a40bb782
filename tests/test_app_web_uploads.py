"""Uploads: known by content, limited while they come, named by nobody."""

from pathlib import Path

import pytest

import app.web.uploads as uploads
from app.jobs.store import JobStore
from app.web.uploads import Intake, container, kept
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
        (b"#EXTM3U\n/etc/passwd\n", None),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", None),
        (b"", None),
    ],
)
def test_the_content_decides(head: bytes, kind: str | None) -> None:
    assert container(head) == kind


def keep(pieces: list[bytes], folder: Path, limit_mb: int = 10) -> Path:
    with Intake(folder, limit_mb=limit_mb) as intake:
        for piece in pieces:
            intake.write(piece)
        path = intake.path
    return path


@pytest.mark.parametrize("size", [1, 7, 256, 1000])
def test_what_is_kept_is_what_was_sent_under_a_random_name(tmp_path: Path, size: int) -> None:
    pieces = [MP4[i : i + size] for i in range(0, len(MP4), size)]
    first, second = (keep(pieces, tmp_path) for _ in range(2))
    assert first.read_bytes() == MP4 and first != second
    assert first.parent == tmp_path and len(first.name) == 24
    assert sorted(tmp_path.iterdir()) == sorted([first, second])


@pytest.mark.parametrize("text", [b"hello, I am a text", b"hello " * 1000, b""])
def test_a_text_named_mp4_is_no_clip_and_leaves_nothing(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(InputError, match="no video by its content"):
        keep([text], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_clip_over_the_limit_is_refused_while_it_comes_and_leaves_nothing(tmp_path: Path) -> None:
    taken = 0
    with pytest.raises(InputError, match="over 1 MB"), Intake(tmp_path, limit_mb=1) as intake:
        for piece in [MP4, *[bytes(1 << 18)] * 100]:
            intake.write(piece)
            taken += len(piece)
    assert taken <= 1 << 20
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(InputError, match="disk is almost full"):
        keep([MP4], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "answer",
    [
        None, "x", 7, {}, {"token": None}, {"token": 5}, {"token": "../../etc/passwd"}, {"token": "/etc/passwd"},
        {"token": "0" * 24}, {"token": "0" * 23 + "\n"}, {"token": ["0" * 24]},
    ],
)  # fmt: skip
def test_a_browser_can_name_nothing_but_what_it_sent(tmp_path: Path, answer: object) -> None:
    assert kept(JobStore(tmp_path / "runs"), answer) is None


@pytest.mark.parametrize(
    "name", ["../../x.mp4", "a\x00\n.mp4", "x" * 300, "<script>alert(1)</script>.mp4", "", None, 5]
)
def test_any_name_is_harmless(tmp_path: Path, name: object) -> None:
    store = JobStore(tmp_path / "runs")
    path = keep([MP4], store.uploads)
    upload = kept(store, {"token": path.name, "name": name})
    assert upload is not None and upload.path == path
    assert len(upload.name) <= 80 and upload.name.isprintable() and "/" not in upload.name
