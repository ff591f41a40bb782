"""What Explore shows of a record as tables: objects, frames and events, in people's units."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from app.record import read
from app.record_json import Header
from app.types import Event, FrameResult
from geometry.errors import InputError
from perception.types import CLASSES
from tracking.types import TrackState


@dataclass(frozen=True, eq=False)
class Digest:
    """A record in three tables: ``tracks`` one row an object and frame, ``frames``, ``events`` one row each."""

    header: Header
    tracks: pd.DataFrame
    frames: pd.DataFrame
    events: pd.DataFrame


def digest(path: Path) -> Digest:
    """Reads a record once, line by line.

    Raises:
        InputError: no record there, a broken or an empty one.
    """
    lines = read(path)
    header = next(lines, None)
    if not isinstance(header, Header):
        raise InputError(f"{path.name} is empty: the run ended before its first frame")
    results = [line for line in lines if isinstance(line, FrameResult)]
    events = [event for result in results for event in result.events if event.phase == "start"]
    return Digest(header, track_table(results), frame_table(results), event_table(events))


def track_table(results: Iterable[FrameResult]) -> pd.DataFrame:
    """One row a frame and confirmed track with a known place: distance with sigma, speeds, time to collision."""
    columns: dict[str, list[np.ndarray]] = {}
    for result in results:
        tracks = result.tracks[result.tracks.state != TrackState.TENTATIVE]
        tracks = tracks[np.isfinite(tracks.xy_m[:, 0])]
        own_mps = np.where(tracks.absolute, result.ego.speed_mps, 0.0)
        over_ground_mps = np.where(tracks.absolute, tracks.v_mps[:, 0], tracks.v_mps[:, 0] + result.ego.speed_mps)
        row = {
            "time, s": np.full(len(tracks), result.t_s),
            "class_id": tracks.class_id,
            "track_id": tracks.track_id,
            "distance, m": tracks.xy_m[:, 0],
            "sigma, m": np.sqrt(np.maximum(tracks.cov[:, 0, 0], 0.0)),
            "aside, m": tracks.xy_m[:, 1],
            "closing speed, m/s": own_mps - tracks.v_mps[:, 0],
            "speed, km/h": 3.6 * over_ground_mps,
            "time to collision, s": _finite(tracks.ttc_s),
            "at least, s": _finite(tracks.ttc_low_s),
            "at most, s": _finite(tracks.ttc_high_s),
        }
        for name, values in row.items():
            columns.setdefault(name, []).append(values)
    if not columns:
        return pd.DataFrame()
    table = pd.DataFrame({name: np.concatenate(values) for name, values in columns.items()})
    names = [f"{CLASSES[c]} {i}" for c, i in zip(table.pop("class_id"), table.pop("track_id"), strict=True)]
    table.insert(1, "object", pd.Categorical(names))
    return table


def frame_table(results: Iterable[FrameResult]) -> pd.DataFrame:
    """One row a frame: own speed, place in the lane, and the camera as it was believed to be mounted."""
    rows = [
        {
            "time, s": result.t_s,
            "own speed, km/h": 3.6 * result.ego.speed_mps,
            "lane offset, m": result.lanes.offset_m,
            "pitch, degrees": math.degrees(result.pose.pitch_rad),
            "yaw, degrees": math.degrees(result.pose.yaw_rad),
            "height, m": result.pose.height_m,
            "horizon, px": result.pose.horizon_y_px,
            "calibration": result.pose.state,
            "progress": result.pose.progress,
        }
        for result in results
    ]
    return pd.DataFrame(rows)


def event_table(events: Iterable[Event]) -> pd.DataFrame:
    """One row an event: when it began, its kind, the object and the words of the warning."""
    rows = [
        {"time, s": round(e.t_s, 2), "what": e.kind.value, "object": str(e.track_id or ""), "words": e.text}
        for e in events
    ]
    return pd.DataFrame(rows, columns=["time, s", "what", "object", "words"])


def objects_by_interest(data: Digest) -> dict[str, str]:
    """Objects to choose from, those warned of first, then the nearest; with a few words on each."""
    if data.tracks.empty:
        return {}
    known = data.tracks.groupby("object", observed=True)["distance, m"].agg(["min", "size"])
    warned = set(data.events["object"])
    order = sorted(known.index, key=lambda name: (name.rsplit(" ", 1)[1] not in warned, known.loc[name, "min"]))
    return {
        name: f"{name} · nearest {known.loc[name, 'min']:.0f} m"
        + (" · warned of" if name.rsplit(" ", 1)[1] in warned else "")
        for name in order
    }


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, math.nan)
