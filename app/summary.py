"""What a run found and what it cost, in a few numbers: printed at the end, written as summary.json."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from app.types import Event, EventKind, FrameResult
from perception.types import CLASS_ID, CLASSES
from tracking.types import TrackState

_ON_THE_ROAD = np.array([CLASS_ID[name] for name in CLASSES if not name.startswith("traffic")])


@dataclass(frozen=True)
class Nearest:
    """The nearest object of a run."""

    distance_m: float
    sigma_m: float
    t_s: float
    track_id: int
    class_name: str


@dataclass(frozen=True)
class RunSummary:
    """How a run went.

    Attributes:
        state: "complete", or "stopped" by a person: then all files have partial names.
        frames: results written; ``clip_s`` the time between the first and the last; ``wall_s`` the time it took.
        stage_ms: mean milliseconds a frame of each stage; stages run at the same time, so they add up to more than
            the wall time.
        objects: confirmed tracks by class; ``warnings``: events begun by kind.
        notes: what a person should know: rough distances, frames left out, fallbacks.
        files: what was written, name -> path.
    """

    state: Literal["complete", "stopped"]
    frames: int
    clip_s: float
    wall_s: float
    stage_ms: dict[str, float]
    objects: dict[str, int]
    warnings: dict[str, int]
    events: tuple[Event, ...]
    nearest: Nearest | None
    notes: tuple[str, ...]
    detector: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)

    @property
    def fps(self) -> float:
        return self.frames / self.wall_s if self.wall_s > 0 else math.nan

    def plain(self) -> dict[str, Any]:
        """The same as plain values for JSON."""
        values = asdict(self) | {"fps": round(self.fps, 2), "wall_s": round(self.wall_s, 3)}
        values["stage_ms"] = {name: round(ms, 3) for name, ms in self.stage_ms.items()}
        values["files"] = {name: Path(path).name for name, path in self.files.items()}  # folders move
        values["events"] = [_plain_event(event) for event in self.events]
        return values


def _plain_event(event: Event) -> dict[str, Any]:
    value = round(event.value, 3) if math.isfinite(event.value) else None
    return {"kind": event.kind.value, "t_s": event.t_s, "track_id": event.track_id, "value": value, "text": event.text}


class Tally:
    """Adds up results as they come; its size does not grow with the number of frames."""

    def __init__(self) -> None:
        self.frames = 0
        self.events: list[Event] = []
        self.nearest: Nearest | None = None
        self._first_s = math.nan
        self._last_s = math.nan
        self._classes: dict[int, int] = {}
        self._ms: dict[str, float] = defaultdict(float)

    def add(self, result: FrameResult) -> None:
        """Counts a frame."""
        if self.frames == 0:
            self._first_s = result.t_s
        self._last_s = result.t_s
        self.frames += 1
        for stage, ms in result.stage_ms.items():
            self._ms[stage] += ms
        self.events += [event for event in result.events if event.phase == "start"]
        tracks = result.tracks[result.tracks.state == TrackState.CONFIRMED]
        self._classes.update(zip(tracks.track_id.tolist(), tracks.class_id.tolist(), strict=True))
        x_m = np.where(np.isin(tracks.class_id, _ON_THE_ROAD), tracks.xy_m[:, 0], np.nan)
        if np.isfinite(x_m).any():
            row = int(np.nanargmin(x_m))
            if self.nearest is None or x_m[row] < self.nearest.distance_m:
                self.nearest = Nearest(
                    distance_m=round(float(x_m[row]), 2),
                    sigma_m=round(math.sqrt(max(tracks.cov[row, 0, 0], 0.0)), 2),
                    t_s=result.t_s,
                    track_id=int(tracks.track_id[row]),
                    class_name=CLASSES[tracks.class_id[row]],
                )

    @property
    def clip_s(self) -> float:
        """Time between the first frame and the last."""
        return round(self._last_s - self._first_s, 6) if self.frames else 0.0

    def stage_ms(self) -> dict[str, float]:
        """Mean milliseconds a frame of each stage."""
        return {stage: total / self.frames for stage, total in self._ms.items()}

    def objects(self) -> dict[str, int]:
        """Confirmed tracks by class, most first."""
        return {CLASSES[class_id]: count for class_id, count in Counter(self._classes.values()).most_common()}

    def warnings(self) -> dict[str, int]:
        """Events begun by kind; a calibration that settled is no warning."""
        kinds = (event.kind.value for event in self.events if event.kind is not EventKind.CALIBRATION)
        return dict(Counter(kinds).most_common())

    def summary(
        self,
        state: Literal["complete", "stopped"],
        *,
        wall_s: float,
        notes: tuple[str, ...],
        detector: dict[str, str],
        files: dict[str, str],
    ) -> RunSummary:
        """What has been counted, with what the run itself knows."""
        return RunSummary(
            state=state,
            frames=self.frames,
            clip_s=self.clip_s,
            wall_s=wall_s,
            stage_ms=self.stage_ms(),
            objects=self.objects(),
            warnings=self.warnings(),
            events=tuple(self.events),
            nearest=self.nearest,
            notes=notes,
            detector=detector,
            files=files,
        )
