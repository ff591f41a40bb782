"""Own speed known from outside: a number, a CSV file (CAN, OBD) or a GPX track (GPS)."""

from __future__ import annotations

import csv
import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from geometry.errors import InputError

CAN_SIGMA_MPS = 0.2  # wheel speeds are rounded to some tenths and depend on the tyre by 1 or 2 %
GPS_SIGMA_MPS = 0.5  # consumer receivers: 0.1 m/s in the open, worse between houses; their track points lag
LONGEST_GAP_S = 3.0  # records silent for longer say nothing in between
_EARTH_RADIUS_M = 6_371_009.0  # IUGG mean radius


class KnownSpeed(Protocol):
    """A speed from outside, as ``tracking.ego_motion`` takes it."""

    def at(self, t_s: float) -> tuple[float, float]:
        """Speed and its standard deviation in m/s at a time of the clip; NaN where nothing is known."""
        ...


@dataclass(frozen=True)
class ConstantSpeed:
    """The same speed all the time."""

    speed_mps: float
    sigma_mps: float = CAN_SIGMA_MPS

    def at(self, t_s: float) -> tuple[float, float]:
        """The speed."""
        return self.speed_mps, self.sigma_mps


@dataclass(frozen=True, eq=False)
class SpeedRecord:
    """Speeds (N,) at rising times of the clip (N,), linear in between."""

    t_s: np.ndarray
    speed_mps: np.ndarray
    sigma_mps: np.ndarray

    def at(self, t_s: float) -> tuple[float, float]:
        """Speed and standard deviation; NaN outside the record and in its gaps."""
        after = int(np.searchsorted(self.t_s, t_s))
        if after < len(self.t_s) and self.t_s[after] == t_s:
            return float(self.speed_mps[after]), float(self.sigma_mps[after])
        if not 0 < after < len(self.t_s) or self.t_s[after] - self.t_s[after - 1] > LONGEST_GAP_S:
            return math.nan, math.nan
        return float(np.interp(t_s, self.t_s, self.speed_mps)), float(np.interp(t_s, self.t_s, self.sigma_mps))


def known_speed(given: float | str | None) -> KnownSpeed | None:
    """What ``--speed`` says: metres a second, or a .csv or .gpx file; None stays None.

    CSV: the columns t_s (seconds of the clip) and speed_mps, optionally sigma_mps. GPX: its first point is the clip's
    first moment.

    Raises:
        InputError: no such file, or one that is no such record.
    """
    if given is None or isinstance(given, (int, float)):
        return None if given is None else ConstantSpeed(float(given))
    path = Path(given)
    if not path.is_file():
        raise InputError(f"speed {given!r} is neither a number of metres a second nor a file; wanted one of these")
    record = _gpx(path) if path.suffix.lower() == ".gpx" else _csv(path)
    if len(record.t_s) < 2 or not np.isfinite([record.t_s, record.speed_mps, record.sigma_mps]).all():
        raise InputError(f"{path} has {len(record.t_s)} usable speeds; wanted two or more, all of them numbers")
    if not (np.diff(record.t_s) > 0).all():
        raise InputError(f"{path} has times that do not rise; wanted one line for each time, in order")
    if (record.speed_mps < 0).any():
        raise InputError(f"{path} has a negative speed; wanted metres a second, forwards")
    return record


def _csv(path: Path) -> SpeedRecord:
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
        t_s = np.array([float(row["t_s"]) for row in rows])
        speed = np.array([float(row["speed_mps"]) for row in rows])
        sigma = np.array([float(row.get("sigma_mps") or CAN_SIGMA_MPS) for row in rows])
    except KeyError as error:
        raise InputError(f"{path} has no column {error}; wanted t_s and speed_mps, optionally sigma_mps") from error
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is no table of speeds: {error}") from error
    return SpeedRecord(t_s, speed, sigma)


def _gpx(path: Path) -> SpeedRecord:
    try:
        points = [_gpx_point(point) for point in ElementTree.parse(path).iter() if point.tag.endswith("}trkpt")]
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
        raise InputError(f"{path} is no GPX track with times: {error}") from error
    if len(points) < 2:
        raise InputError(f"{path} has {len(points)} track points with times; wanted two or more")
    t_s, lat, lon = np.array(points).T
    t_s = t_s - t_s[0]
    north_m = np.diff(lat) * _EARTH_RADIUS_M
    east_m = np.diff(lon) * _EARTH_RADIUS_M * np.cos(lat[1:])
    between = (t_s[1:] + t_s[:-1]) / 2  # the way between two points is the speed half way
    return SpeedRecord(between, np.hypot(north_m, east_m) / np.diff(t_s), np.full(len(between), GPS_SIGMA_MPS))


def _gpx_point(point: ElementTree.Element) -> tuple[float, float, float]:
    time = next((child.text for child in point if child.tag.endswith("}time")), None)
    if time is None:
        raise ValueError("a track point has no time")
    stamp = datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()
    return stamp, math.radians(float(point.attrib["lat"])), math.radians(float(point.attrib["lon"]))
