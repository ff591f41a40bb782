"""Tracking against truth: HOTA, MOTA, IDF1 by TrackEval on files in KITTI's tracking format, MOT and KITTI files out.

A benchmark folder holds ``label_02/SEQUENCE.txt`` (KITTI tracking labels), ``lengths.json`` (frames per sequence) and
one folder per set of detections: ``SET/SEQUENCE.csv`` with the columns frame, x1, y1, x2, y2, score.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geometry.errors import InputError
from perception.types import CLASS_ID, Detections
from tracking.config import TrackerConfig
from tracking.tracker import Tracker
from tracking.types import Tracks

MIN_SCORE = 0.3
FPS = 10.0  # KITTI's
SIZE_PX = (1242, 375)  # of KITTI's pictures, the few that are 18 px narrower too
KINDS = {"car": "Car", "person": "Pedestrian"}
"""KITTI's name of the two classes that its benchmark measures."""


@dataclass(frozen=True)
class Protocol:
    """What is shown to the tracker.

    Attributes:
        every: one frame in so many is shown: 2 makes 5 frames a second of 10.
        drop_every: every so-manieth frame is lost; 0: none.
        min_score: detections below are left out, as the published figures do.
    """

    every: int = 1
    drop_every: int = 0
    min_score: float = MIN_SCORE

    def shown(self, count: int) -> list[int]:
        """Frames shown of so many."""
        kept = range(0, count, self.every)
        if self.drop_every < 2:
            return list(kept)
        return [k for place, k in enumerate(kept) if place % self.drop_every != self.drop_every - 1]


@dataclass(frozen=True, eq=False)
class TrackData:
    """One set of detections with its truth: detections per frame of each sequence."""

    root: Path
    name: str
    kind: str
    lengths: dict[str, int]
    frames: dict[str, list[Detections]]


def load_set(root: Path, name: str, *, min_score: float = MIN_SCORE, kind: str | None = None) -> TrackData:
    """Read one set of a benchmark folder.

    Args:
        kind: "car" or "person"; found from the name of the set where it says "ped" or "person", else cars.

    Raises:
        InputError: files that are not there or not as described above.
    """
    files = sorted((root / name).glob("*.csv"))
    if not files:
        raise InputError(f"{root / name} holds no SEQUENCE.csv; wanted detections with frame, x1, y1, x2, y2, score")
    for needed in ("lengths.json", "label_02"):
        if not (root / needed).exists():
            raise InputError(f"{root} holds no {needed}; wanted a benchmark folder with labels in KITTI's format")
    lengths = json.loads((root / "lengths.json").read_text())
    if kind is None:
        kind = "person" if "ped" in name or "person" in name else "car"
    frames = {}
    for path in files:
        if path.stem not in lengths or not (root / "label_02" / f"{path.stem}.txt").is_file():
            raise InputError(f"{path} has no length in lengths.json or no labels in label_02/{path.stem}.txt")
        frames[path.stem] = _read_csv(path, lengths[path.stem], min_score, CLASS_ID[kind])
    return TrackData(root, name, kind, {s: lengths[s] for s in frames}, frames)


def _read_csv(path: Path, count: int, min_score: float, class_id: int) -> list[Detections]:
    rows: list[list[list[float]]] = [[] for _ in range(count)]
    try:
        with path.open(newline="") as handle:
            for row in csv.DictReader(handle):
                values = [float(row[key]) for key in ("x1", "y1", "x2", "y2", "score")]
                if values[4] >= min_score:
                    rows[int(row["frame"])].append(values)
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"{path} cannot be read ({error}); wanted columns frame, x1, y1, x2, y2, score") from error
    tables = [np.array(frame, np.float64).reshape(-1, 5) for frame in rows]
    return [Detections(t[:, :4], t[:, 4], np.full(len(t), class_id)) for t in tables]


def track(
    frames: Sequence[Detections], protocol: Protocol | None = None, config: TrackerConfig | None = None
) -> list[Tracks]:
    """Tracks of each frame of a sequence at KITTI's 10 frames a second; none in frames that were not shown."""
    tracker, shown = Tracker(config, size_px=SIZE_PX), set((protocol or Protocol()).shown(len(frames)))
    return [
        tracker.update(found, index / FPS) if index in shown else Tracks.empty() for index, found in enumerate(frames)
    ]


def kitti_lines(tracks: Sequence[Tracks], kind: str) -> Iterator[str]:
    """KITTI tracking lines; what is not known in 3D has the values that KITTI gives for unknown."""
    for index, frame in enumerate(tracks):
        for track_id, box, score in zip(frame.track_id, frame.xyxy_px, frame.score, strict=True):
            corners = " ".join(f"{v:.2f}" for v in box)
            yield f"{index} {track_id} {KINDS[kind]} -1 -1 -10 {corners} -1 -1 -1 -1000 -1000 -1000 -10 {score:.4f}\n"


def mot_lines(tracks: Sequence[Tracks]) -> Iterator[str]:
    """MOTChallenge lines: frame from 1, id, left, top, width, height from pixel 1, score, and -1 thrice."""
    for index, frame in enumerate(tracks, 1):
        for track_id, box, score in zip(frame.track_id, frame.xyxy_px, frame.score, strict=True):
            x, y, w, h = box[0] + 1, box[1] + 1, box[2] - box[0], box[3] - box[1]
            yield f"{index},{track_id},{x:.2f},{y:.2f},{w:.2f},{h:.2f},{score:.4f},-1,-1,-1\n"


def measure(
    data: TrackData,
    results: dict[str, list[Tracks]],
    protocol: Protocol | None = None,
) -> dict[str, float]:
    """HOTA, DetA, AssA, LocA, MOTA, IDF1 in percent; switches, fragments, false positives and negatives.

    Frames that the protocol does not show are taken out of the truth too.
    """
    protocol = protocol or Protocol()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        out = root / "trackers" / "roadlens" / "data"
        out.mkdir(parents=True)
        (root / "gt" / "label_02").mkdir(parents=True)
        seqmap = []
        for sequence, tracks in results.items():
            kept = protocol.shown(data.lengths[sequence])
            (out / f"{sequence}.txt").write_text("".join(kitti_lines([tracks[k] for k in kept], data.kind)))
            labels = (data.root / "label_02" / f"{sequence}.txt").read_text().splitlines(keepends=True)
            (root / "gt" / "label_02" / f"{sequence}.txt").write_text("".join(_renumbered(labels, kept)))
            seqmap.append(f"{sequence} empty 000000 {len(kept):06d}\n")
        (root / "gt" / "evaluate_tracking.seqmap.set").write_text("".join(seqmap))
        return _trackeval(root, KINDS[data.kind].lower())


def _renumbered(labels: Sequence[str], kept: Sequence[int]) -> Iterator[str]:
    place = {frame: index for index, frame in enumerate(kept)}
    for line in labels:
        frame, rest = line.split(" ", 1)
        if int(frame) in place:
            yield f"{place[int(frame)]} {rest}"


def _trackeval(root: Path, kind: str) -> dict[str, float]:
    try:
        import trackeval
    except ImportError as error:
        raise InputError("trackeval is not installed; pip install 'roadlens[eval]'") from error
    quiet: dict[str, Any] = {"PRINT_CONFIG": False}
    silent = {"PRINT_RESULTS": False, "TIME_PROGRESS": False, "OUTPUT_SUMMARY": False, "OUTPUT_DETAILED": False}
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        run = trackeval.Evaluator({**quiet, **silent, "USE_PARALLEL": False, "PLOT_CURVES": False})
        dataset = trackeval.datasets.Kitti2DBox(
            {
                **quiet,
                "GT_FOLDER": str(root / "gt"),
                "TRACKERS_FOLDER": str(root / "trackers"),
                "CLASSES_TO_EVAL": [kind],
                "SPLIT_TO_EVAL": "set",
                "TRACKERS_TO_EVAL": ["roadlens"],
            }
        )
        metrics = [metric(quiet) for metric in _metrics(trackeval)]
        result = run.evaluate([dataset], metrics)[0]["Kitti2DBox"]["roadlens"]["COMBINED_SEQ"][kind]
    hota, clear, identity = result["HOTA"], result["CLEAR"], result["Identity"]
    figures = {name.lower(): 100.0 * float(np.mean(hota[name])) for name in ("HOTA", "DetA", "AssA", "LocA")}
    figures |= {"mota": 100.0 * float(clear["MOTA"]), "idf1": 100.0 * float(identity["IDF1"])}
    names = {"switches": "IDSW", "fragments": "Frag", "false_positives": "CLR_FP", "false_negatives": "CLR_FN"}
    return figures | {name: float(clear[key]) for name, key in names.items()}


def _metrics(trackeval: Any) -> list[Callable[[dict[str, Any]], Any]]:
    return [trackeval.metrics.HOTA, trackeval.metrics.CLEAR, trackeval.metrics.Identity]
