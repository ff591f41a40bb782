"""From runs to a COCO task: pictures, annotations.json with pre-labels, frames.csv with reasons, a contact sheet."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.evaluation.contact_sheet import contact_sheet
from app.export.coco import annotations_of, categories_of, image_of
from app.mining.appearance import Look, looks, rare
from app.mining.select import DEFAULT_GAP_S, Chosen, Pool
from app.mining.signals import Kind, Reason, candidates
from app.palette import ALERT, bgr
from app.partial import partial_path
from app.record import Recording, clip_path, find, stream
from app.report.pictures import picture_at
from app.types import FrameResult
from app.video import frames
from geometry.errors import InputError
from tracking.appearance import Embedder, OnnxEmbedder

_LOOK_EVERY_S = 0.4
_MOST_LOOKS = 20_000  # 12 MB of descriptions
_SHEET = 24
_QUALITY = 95
_SHORT: dict[Kind, str] = {
    "low confidence": "doubt",
    "flicker": "flicker",
    "cues disagree": "cues",
    "models disagree": "models",
    "rare appearance": "rare",
}


@dataclass(frozen=True)
class MiningPlan:
    """What to mine: folders of runs, a record of another model for the first of them, how many frames, where to.

    Attributes:
        gap_s: no two frames of a clip are nearer in time.
        appearance: whether pictures are looked at for what is rare; without, records alone are read.
        png: lossless pictures.
        embedding: a network whose embeddings say what objects look like, in place of our own description.
    """

    runs: tuple[Path, ...]
    out: Path
    count: int = 50
    gap_s: float = DEFAULT_GAP_S
    other: Path | None = None
    appearance: bool = True
    png: bool = False
    embedding: Path | None = None


OnStep = Callable[[str, int, int], None]
"""Told what is done, how much of it, of how much."""


def run_folders(folder: Path) -> tuple[Path, ...]:
    """The folder itself where it holds a run, else those in it that do.

    Raises:
        InputError: none.
    """
    try:
        find(folder)
        return (folder,)
    except InputError:
        found = tuple(sorted(path.parent for path in folder.glob("*/results.jsonl")))
    if not found:
        raise InputError(f"{folder} holds neither a run nor a batch; wanted a folder with results.jsonl, or with clips")
    return found


def mine(plan: MiningPlan, *, on_step: OnStep = lambda what, done, total: None) -> list[Chosen]:
    """Ranks the frames of the runs and writes those worth labelling into ``plan.out``; gives them, the best first.

    Raises:
        InputError: a run or its clip is not there, the folder is there already or cannot be written.
    """
    if plan.out.exists():
        raise InputError(f"{plan.out} is there already; give another folder with --out")
    if plan.other is not None and len(plan.runs) != 1:
        raise InputError(f"--other compares one run, {len(plan.runs)} were given; name the folder of one")
    recordings = [stream(path) for path in plan.runs]
    clips = [clip_of(recording) for recording in recordings]
    pool = Pool()
    embedder = OnnxEmbedder(plan.embedding) if plan.embedding is not None and plan.appearance else None
    seen: list[Look] = []
    for number, recording in enumerate(recordings):
        on_step("clips", number, len(recordings))
        other = stream(plan.other).results if plan.other is not None else ()
        every = int(recording.header.settings.get("detector", {}).get("every", 1))
        for candidate in candidates(recording.header, recording.results, other, every=every):
            pool.add(number, candidate)
        if plan.appearance and len(seen) < _MOST_LOOKS:
            seen += list(_looks(number, recording, clips[number], embedder))
    for found in rare(seen):
        look = found.look
        reason = Reason("rare appearance", found.value, look.box, look.track_id, found.text)
        pool.join(look.clip, look.index, look.t_s, reason)
    on_step("clips", len(recordings), len(recordings))
    chosen = pool.choose(plan.count, gap_s=plan.gap_s)
    if not chosen:
        raise InputError("no frame gives a reason to label it; nothing was written")
    _write(plan, recordings, clips, chosen, on_step)
    return chosen


def clip_of(recording: Recording) -> Path:
    """The clip of a run.

    Raises:
        InputError: it is not there any more.
    """
    clip = clip_path(recording)
    if clip is None:
        source = recording.header.clip.get("source", "")
        raise InputError(f"the clip of {recording.folder}, {source}, is not there; mining needs its pictures")
    return clip


def _looks(number: int, recording: Recording, clip: Path, embedder: Embedder | None) -> Iterator[Look]:
    """Descriptions of the objects in some frames a second."""
    results = iter(recording.results)
    first = next(results, None)
    if first is None:
        return
    result: FrameResult | None = first
    due_s = first.t_s
    for frame in frames(clip, start_s=max(0.0, first.t_s - 1e-3)):
        while result is not None and result.t_s < frame.t_s - 1e-5:
            result = next(results, None)
        if result is None:
            return
        if abs(result.t_s - frame.t_s) < 1e-5 and result.t_s >= due_s and len(result.detections):
            due_s = result.t_s + _LOOK_EVERY_S
            yield from looks(number, result, frame.bgr, embedder)


# -- files ------------------------------------------------------------------------------------------------------------


def _write(
    plan: MiningPlan, recordings: Sequence[Recording], clips: Sequence[Path], chosen: list[Chosen], on_step: OnStep
) -> None:
    work = partial_path(plan.out)
    try:
        if work.exists():
            shutil.rmtree(work)
        (work / "images").mkdir(parents=True)
        _Task(plan, recordings, clips, work).write(chosen, on_step)
        work.rename(plan.out)
    except OSError as error:
        raise InputError(f"{plan.out} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


class _Task:
    """The files of a task, written into a folder."""

    def __init__(self, plan: MiningPlan, recordings: Sequence[Recording], clips: Sequence[Path], folder: Path) -> None:
        self.plan, self.recordings, self.clips, self.folder = plan, recordings, clips, folder
        self.images: list[dict[str, Any]] = []
        self.labels: list[dict[str, Any]] = []
        self.sheet: dict[int, tuple[np.ndarray, str]] = {}

    def write(self, chosen: list[Chosen], on_step: OnStep) -> None:
        ranks = {(frame.clip, frame.index): rank for rank, frame in enumerate(chosen, 1)}
        done = 0
        for number, recording in enumerate(self.recordings):
            wanted = {frame.index: frame for frame in chosen if frame.clip == number}
            if not wanted:
                continue
            for result in recording.results:
                frame = wanted.get(result.index)
                if frame is not None:
                    self._frame(frame, result, ranks[number, result.index])
                    done += 1
                    on_step("pictures", done, len(chosen))
        self.images.sort(key=lambda image: image["rank"])
        self._files(chosen)

    def _frame(self, frame: Chosen, result: FrameResult, rank: int) -> None:
        header = self.recordings[frame.clip].header
        picture = picture_at(self.clips[frame.clip], result.t_s)
        if picture is None:
            raise InputError(f"{self.clips[frame.clip]} has no picture at {result.t_s:.2f} s; is it the run's clip?")
        image = image_of(rank, header, result)
        run = self.recordings[frame.clip].folder.resolve().name
        name = Path(image["file_name"]).with_suffix(".png" if self.plan.png else ".jpg").name
        image["file_name"] = f"{run}_{name}" if len(self.recordings) > 1 else name
        image |= {"rank": rank, "run": run, "score": round(frame.score, 4)}
        image["reasons"] = [asdict(reason) | {"value": round(reason.value, 4)} for reason in frame.reasons]
        self.images.append(image)
        self.labels += annotations_of(result.detections, rank, len(self.labels) + 1)
        options = [] if self.plan.png else [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        path = self.folder / "images" / image["file_name"]
        if not cv2.imwrite(str(path), picture, options):
            raise OSError(f"{path.name} could not be written")
        if rank <= _SHEET:
            self.sheet[rank] = (_marked(picture, frame), _caption(frame, rank))

    def _files(self, chosen: list[Chosen]) -> None:
        header = self.recordings[0].header
        info = {"description": f"frames worth labelling, roadlens {header.roadlens}; annotations are pre-labels"}
        task = {"info": info, "categories": categories_of(header.classes)}
        task |= {"images": self.images, "annotations": self.labels}
        (self.folder / "annotations.json").write_text(json.dumps(task, indent=1) + "\n", encoding="utf-8")
        with (self.folder / "frames.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("rank", "run", "frame", "t_s", "score", "kind", "value", "track_id", "text"))
            for image, frame in zip(self.images, chosen, strict=True):
                start = (image["rank"], image["run"], frame.index, frame.t_s, f"{frame.score:.4f}")
                for reason in frame.reasons:
                    table.writerow((*start, reason.kind, f"{reason.value:.4f}", reason.track_id, reason.text))
        pictures = [self.sheet[rank] for rank in sorted(self.sheet)]
        cv2.imwrite(
            str(self.folder / "contact_sheet.png"), contact_sheet([p for p, _ in pictures], [c for _, c in pictures])
        )


def _marked(picture: np.ndarray, frame: Chosen) -> np.ndarray:
    """A copy with the boxes of its strongest reasons."""
    marked = picture.copy()
    thick = max(2, round(picture.shape[0] / 270))
    for reason in frame.reasons[:3]:
        left, top, right, bottom = (round(side) for side in reason.box)
        cv2.rectangle(marked, (left - thick, top - thick), (right + thick, bottom + thick), bgr(ALERT), thick)
    return marked


def _caption(frame: Chosen, rank: int) -> str:
    first = frame.reasons[0]
    return f"{rank}. {frame.t_s:.1f} s, {_SHORT[first.kind]}: {first.text}"
