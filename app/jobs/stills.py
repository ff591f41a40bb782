"""Pictures of a clip, and what its road tells of the camera, from a child process with limits of its own.

The wizard needs to look into clips that strangers send: no byte of them is decoded in the page's own process.
``python -m app.jobs.stills take CLIP FOLDER`` and ``python -m app.jobs.stills survey CLIP PROFILE OUT WIDTH``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from app.jobs.limits import confine
from geometry.errors import InputError

MOMENTS = 24
_TAKE_LIMIT_S, _SURVEY_LIMIT_S = 60, 120
_MEMORY_BYTES = 4 << 30
_SURVEY_FRAMES = 400
_INDEX = "index.json"


@dataclass(frozen=True)
class Stills:
    """Moments of a clip: ``times_s`` and ``files``, one each, in order; the clip's size in pixels."""

    size_px: tuple[int, int]
    times_s: tuple[float, ...]
    files: tuple[Path, ...]


def stills(clip: Path, folder: Path) -> Stills:
    """Pictures at moments spread over the clip's first minutes; taken once, then read from the folder.

    Raises:
        InputError: the clip cannot be used, or takes too long or too much memory to decode.
    """
    index = folder / _INDEX
    if not index.is_file():
        partial = folder.with_name(folder.name + ".part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            _child(["take", str(clip), str(partial)], _TAKE_LIMIT_S)
        except InputError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        partial.replace(folder)
    values = json.loads(index.read_text(encoding="utf-8"))
    files = tuple(folder / f"{number:02d}.jpg" for number in range(len(values["times_s"])))
    return Stills(tuple(values["size_px"]), tuple(values["times_s"]), files)


@dataclass(frozen=True)
class Surveyed:
    """Where the profile that the road showed was written, what told its height, and what is doubtful about it."""

    profile: Path
    height: str
    warnings: tuple[str, ...]


def survey_in_child(clip: Path, profile: Path, out: Path, lane_width_m: float) -> Surveyed:
    """The camera's mount from the road in the clip (``app.calibrating_road``); ``profile`` is where the search starts.

    Raises:
        InputError: as ``app.calibrating_road.survey``, or it took too long or too much memory.
    """
    said = json.loads(_child(["survey", str(clip), str(profile), str(out), str(lane_width_m)], _SURVEY_LIMIT_S))
    return Surveyed(out, said["height"], tuple(said["warnings"]))


def _child(arguments: list[str], limit_s: int) -> str:
    """What the child prints; its one line of complaint becomes ours. ``arguments``: the task, the clip, the rest."""
    command = [sys.executable, "-m", "app.jobs.stills", *arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"this clip took over {limit_s} s to look into; try a shorter one") from None
    if done.returncode == 0:
        return done.stdout
    if done.returncode == 2:
        said = done.stderr.strip().splitlines()[-1]
        raise InputError(said.replace(arguments[1], "the clip"))  # its place on this machine tells a visitor nothing
    raise InputError("this clip could not be looked into: it broke the decoder, or needs too much memory")


def main() -> None:
    """Entry point of the child; exits with 2 and one line where the clip cannot be used."""
    task, clip, *rest = sys.argv[1:]
    confine(cpu_s=2 * _SURVEY_LIMIT_S, memory_bytes=_MEMORY_BYTES)
    try:
        if task == "take":
            _take(clip, Path(rest[0]))
        else:
            _survey(clip, Path(rest[0]), Path(rest[1]), float(rest[2]))
    except InputError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


def _take(clip: str, folder: Path) -> None:
    import cv2

    from app.video import frames, probe

    info = probe(clip)
    length_s = min(info.duration_s or 10.0, 300.0)
    times_s: list[float] = []
    for frame in frames(info, end_s=length_s + 1.0):
        if frame.t_s >= len(times_s) * length_s / MOMENTS - 1e-6:
            if not cv2.imwrite(str(folder / f"{len(times_s):02d}.jpg"), frame.bgr, [cv2.IMWRITE_JPEG_QUALITY, 95]):
                raise InputError("the pictures of the clip cannot be kept; is the disk full?")
            times_s.append(round(frame.t_s, 3))
            if len(times_s) == MOMENTS:
                break
    (folder / _INDEX).write_text(json.dumps({"size_px": info.size_px, "times_s": times_s}), encoding="utf-8")


def _survey(clip: str, profile: Path, out: Path, lane_width_m: float) -> None:
    from app.calibrating_road import survey
    from app.video import frames, probe
    from geometry.profiles import load_profile, save_profile
    from perception.detector import load_detector

    info = probe(clip)
    lens = load_profile(str(profile)).for_size(*info.size_px)
    looked_at = islice(frames(info), _SURVEY_FRAMES)
    found = survey(looked_at, lens, load_detector(), lane_width_m=lane_width_m)
    save_profile(found.camera, out)
    print(json.dumps({"height": found.height_words, "warnings": found.warnings}))


if __name__ == "__main__":
    main()
