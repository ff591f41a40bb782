"""The files of a run that a browser may ask for: these names, nothing else."""

from __future__ import annotations

from pathlib import Path

from app.jobs.store import PLAYER, VIEW
from app.partial import partial_path
from app.player.clip import CLIP
from app.runner import RECORD, SETTINGS, SUMMARY, VIDEO

FILES = {
    CLIP: "video/mp4",
    VIDEO: "video/mp4",
    RECORD: "application/jsonl",
    SETTINGS: "application/toml",
    SUMMARY: "application/json",
    PLAYER: "application/json",
    VIEW: "image/jpeg",
}
EXPORTS = {"tracks.csv": "csv", "frames.csv": "csv", "mot.txt": "mot", "kitti.txt": "kitti"}
"""Other forms of the record, by file name; made when they are asked for."""


def address(job_id: str, name: str) -> str:
    """Where the browser finds a run's file, seen from any place of the page."""
    return f"runs/{job_id}/{name}"


def existing(path: Path) -> Path | None:
    """The file, or what is left of it where the run did not end."""
    return next((p for p in (path, partial_path(path)) if p.is_file()), None)
