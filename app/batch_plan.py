"""Which clips a batch has, under which names, and when a clip counts as done."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app import __version__
from app.camera_choice import camera_for
from app.config import Settings
from app.record_json import FORMAT
from app.video_folder import PICTURE_SUFFIXES
from geometry.errors import InputError

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mov", ".mkv", ".avi", ".m4v", ".ts", ".m2ts", ".webm", ".mpg", ".mpeg", ".3gp", ".gif", ".h264", ".hevc"}
)
_FINGERPRINT_BYTES = 1 << 20
_MANIFEST_COLUMNS = ("clip", "camera", "name", "start_s", "end_s", "speed")


@dataclass(frozen=True)
class ClipJob:
    """One clip of a batch: where it is, the name of its result folder, settings of its own.

    ``own`` holds sections as ``Settings.changed`` takes them: camera, start and end, speed.
    """

    clip: str
    name: str = ""
    own: dict[str, dict[str, Any]] = field(default_factory=dict)

    def settings(self, base: Settings) -> Settings:
        """The batch's settings with this clip's own, the camera beside the clip where none is named."""
        named = self.own.get("camera", {}).get("profile")
        profile = camera_for(self.clip, named or base.camera.named).profile
        return base.changed(**{**self.own, "camera": {"profile": profile}})


def collect(sources: Sequence[str]) -> tuple[ClipJob, ...]:
    """The clips that sources stand for, each once, in order, with names that are theirs alone.

    Args:
        sources: clips, folders (searched through; one of pictures alone is a clip), patterns with * or ?, lists
            (.txt, a clip a line), manifests (.csv with the column clip and any of camera, name, start_s, end_s,
            speed). What lists and manifests name is relative to them.

    Raises:
        InputError: a source that is not there or holds no clip, a manifest that cannot be used, a name used twice.
    """
    jobs: dict[str, ClipJob] = {}
    for source in sources:
        found = list(_expand(source))
        if not found:
            raise InputError(f"{source} stands for no clip; wanted video files, or folders that hold some")
        for job in found:
            jobs.setdefault(job.clip + json.dumps(job.own, sort_keys=True), job)
    return _named(tuple(jobs.values()))


def shard(jobs: Sequence[ClipJob], text: str) -> tuple[ClipJob, ...]:
    """The part ``i/n`` of the jobs (i from 1 to n): each job is in exactly one part, whichever machine asks.

    Raises:
        InputError: no such form or part.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part <= parts:
        raise InputError(f"--shard is {text!r}; wanted i/n with 1 <= i <= n, such as 2/8")
    return tuple(jobs[part - 1 :: parts])


def _expand(source: str) -> Iterator[ClipJob]:
    path = Path(source)
    if any(sign in source for sign in "*?[") and not path.exists():
        anchor = Path(path.anchor) if path.is_absolute() else Path()
        pattern = str(path.relative_to(path.anchor)) if path.is_absolute() else source
        for found in sorted(anchor.glob(pattern)):
            if found.is_dir() or found.suffix.lower() in VIDEO_SUFFIXES:
                yield from _expand(str(found))
    elif path.is_dir():
        yield from (ClipJob(str(clip)) for clip in _in_folder(path))
    elif not path.is_file():
        raise InputError(f"no such file: {source}; wanted a clip, a folder, a pattern, a .txt list or a .csv manifest")
    elif path.suffix.lower() == ".csv":
        yield from _manifest(path)
    elif path.suffix.lower() == ".txt":
        lines = (line.strip() for line in _text(path).splitlines())
        yield from (ClipJob(_beside(path, line)) for line in lines if line and not line.startswith("#"))
    else:
        yield ClipJob(source)


def _in_folder(folder: Path) -> list[Path]:
    found = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and ".partial" not in path.name
    )
    if not found and any(path.suffix.lower() in PICTURE_SUFFIXES for path in folder.iterdir()):
        return [folder]
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error


def _beside(listing: Path, entry: str) -> str:
    return entry if "://" in entry else str(listing.parent / entry)


def _manifest(path: Path) -> Iterator[ClipJob]:
    reader = csv.DictReader(_text(path).splitlines())
    unknown = set(reader.fieldnames or ()) - set(_MANIFEST_COLUMNS)
    if "clip" not in (reader.fieldnames or ()) or unknown:
        wanted = f"clip and any of {', '.join(_MANIFEST_COLUMNS[1:])}"
        raise InputError(f"{path} has the columns {', '.join(reader.fieldnames or ())}; wanted {wanted}")
    for number, row in enumerate(reader, 2):
        given = {key: value.strip() for key, value in row.items() if key and value and value.strip()}
        if "clip" not in given:
            raise InputError(f"{path}, line {number}: the column clip is empty")
        own: dict[str, dict[str, Any]] = {}
        if "camera" in given:
            own["camera"] = {"profile": _profile(path, given["camera"])}
        try:
            own |= {"clip": {key: float(given[key]) for key in ("start_s", "end_s") if key in given}}
            if "speed" in given:
                own["ego"] = {"speed": _speed(path, given["speed"])}
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}; wanted seconds as numbers") from error
        yield ClipJob(_beside(path, given["clip"]), given.get("name", ""), {k: v for k, v in own.items() if v})


def _profile(manifest: Path, camera: str) -> str:
    return _beside(manifest, camera) if camera.endswith(".toml") else camera


def _speed(manifest: Path, speed: str) -> float | str:
    return _beside(manifest, speed) if speed.endswith(".csv") else float(speed)


def _named(jobs: tuple[ClipJob, ...]) -> tuple[ClipJob, ...]:
    """Names for result folders: the clip's stem; where several share it, with a mark of their path."""
    given = Counter(job.name for job in jobs if job.name)
    twice = [name for name, count in given.items() if count > 1]
    if twice:
        raise InputError(f"the name {twice[0]!r} is given to {given[twice[0]]} clips; wanted one for each")
    stems = Counter(_safe(_stem(job.clip)) for job in jobs)
    named = []
    taken = set(given)
    for job in jobs:
        name = job.name or _safe(_stem(job.clip))
        if not job.name and (stems[name] > 1 or name in taken):
            mark = hashlib.sha256((job.clip + json.dumps(job.own, sort_keys=True)).encode()).hexdigest()[:8]
            name = f"{name}-{mark}"
        taken.add(name)
        named.append(replace(job, name=_safe(name)))
    return tuple(named)


def _stem(clip: str) -> str:
    path = Path(clip.split("://")[-1].rstrip("/"))
    return path.name if path.is_dir() else path.stem


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", name).lstrip(".")[:120] or "clip"


# -- when a clip is done ----------------------------------------------------------------------------------------------


def key_of(clip: str, settings: Settings, model_sha256: str) -> dict[str, Any]:
    """All that decides the results of a clip: equal keys give equal results.

    Raises:
        InputError: the clip or a file that the settings name cannot be read.
    """
    files = [name for name in (settings.camera.profile, settings.ego.speed) if isinstance(name, str)]
    return {
        "roadlens": __version__,
        "format": FORMAT,
        "clip": fingerprint(clip),
        "model_sha256": model_sha256,
        "files": {name: _sha256([Path(name).read_bytes()]) for name in files if Path(name).is_file()},
        "settings": settings.model_dump(mode="json"),
    }


def fingerprint(clip: str) -> str:
    """Size and a hash of the first and the last megabyte of a clip; of a folder, of names and sizes of its pictures.

    Reading all of an archive to find that nothing changed would take longer than a person waits.
    """
    path = Path(clip)
    try:
        if path.is_dir():
            entries = sorted((p.name, p.stat().st_size) for p in path.iterdir() if p.is_file())
            return f"{len(entries)} files, sha256 {_sha256([json.dumps(entries).encode()])}"
        if not path.is_file():
            return clip
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_FINGERPRINT_BYTES)
            file.seek(max(0, size - _FINGERPRINT_BYTES))
            return f"{size} bytes, sha256 {_sha256([head, file.read(_FINGERPRINT_BYTES)])}"
    except OSError as error:
        raise InputError(f"{clip} cannot be read: {error.strerror}") from error


def _sha256(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
