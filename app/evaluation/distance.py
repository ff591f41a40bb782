"""Distances against truth: our fused range, its cues alone, and what peers compute, on the same boxes.

Every method answers with metres and, where it knows one, a sigma. ``fused`` is ours over tracks and causal: at each
frame it has seen this frame and earlier ones only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise, repeat

import numpy as np

from app.evaluation.distance_data import Sequence, TrueBoxes
from geometry.camera import Camera
from geometry.ground import CUES, range_cues, range_objects
from geometry.types import GroundPoints
from perception.types import CLASS_ID
from tracking.motion import MetricFilter, MotionConfig
from tracking.types import EgoMotion

Ranged = tuple[np.ndarray, np.ndarray]
"""Forward distances (N,) in metres, NaN without one, and their sigmas (N,), NaN where the method has none."""

RANGE_BINS_M = (5.0, 10.0, 20.0, 30.0, 45.0, 60.0)
KNOWN_HEIGHT_M = 1.53
"""Mean height of KITTI's cars, the usual constant of pinhole rangers."""
PEER_FOCAL_PX, PEER_HEIGHT_M = 100.0, 1.5
"""The nearest program of the same job multiplies an object's height by a focal length of 100, whatever the camera."""
_FORGET_S = 1.0

GROUPS: dict[str, Callable[[TrueBoxes], np.ndarray]] = {
    "cars": lambda boxes: boxes.kind == "Car",
    "vehicles": lambda boxes: np.isin(boxes.kind, ("Car", "Van")),
    "vans": lambda boxes: boxes.kind == "Van",
    "trucks": lambda boxes: boxes.kind == "Truck",
    "people": lambda boxes: boxes.class_id == CLASS_ID["person"],
    "riders": lambda boxes: boxes.class_id == CLASS_ID["rider"],
}
"""Groups of the report; ``vehicles`` are cars and vans together, all called car."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What one method said of N boxes whose truth is known.

    Attributes:
        x_m, sigma_m: (N,) said.
        boxes: the labels, row by row, with the truth.
    """

    x_m: np.ndarray
    sigma_m: np.ndarray
    boxes: TrueBoxes

    @property
    def error_rel(self) -> np.ndarray:
        """(N,) relative error, positive too far; a box without an answer counts as wholly wrong."""
        return np.where(np.isfinite(self.x_m), self.x_m / self.boxes.x_m - 1.0, 1.0)

    def figures(self, rows: np.ndarray) -> dict[str, float]:
        """Median and 90th percentile of the relative error, bias, coverage of one sigma and count of some rows."""
        error, sigma = self.error_rel[rows], (self.sigma_m / self.boxes.x_m)[rows]
        if not len(error):
            nan = float("nan")
            return {"median_rel": nan, "p90_rel": nan, "bias_rel": nan, "coverage_1sigma": nan, "n": 0}
        has_sigma = np.isfinite(sigma)
        return {
            "median_rel": float(np.median(np.abs(error))),
            "p90_rel": float(np.percentile(np.abs(error), 90)),
            "bias_rel": float(np.median(error)),
            "coverage_1sigma": float(np.mean((np.abs(error) <= sigma)[has_sigma])) if has_sigma.any() else float("nan"),
            "n": len(error),
        }


def follow(
    sequence: Sequence, config: MotionConfig | None = None, own_motion: Iterable[EgoMotion] | None = None
) -> Ranged:
    """Fused distances over tracks: the metric filter of the tracker, given the labels' boxes and ids, frame by frame.

    Neither size, type nor distance of a label is used, only box, id and the class a detector would say.

    Args:
        own_motion: of every frame from the first, where there are pictures to tell it (``distance_found.own_motion``).
    """
    boxes, camera = sequence.boxes, sequence.camera
    x_m, sigma_m = np.full(len(boxes), np.nan), np.full(len(boxes), np.nan)
    metric = MetricFilter(config or MotionConfig.outlines())
    ids = np.empty(0, np.int64)
    seen_at = np.empty(0, np.int64)
    last = None
    motions = repeat(EgoMotion()) if own_motion is None else chain(own_motion, repeat(EgoMotion()))
    for frame in range(int(boxes.frame.min()), int(boxes.frame.max()) + 1) if len(boxes) else ():
        now = np.flatnonzero(boxes.frame == frame)
        t_s = frame * sequence.period_s
        metric.predict(0.0 if last is None else sequence.period_s, next(motions))
        last = frame
        alive = (frame - seen_at) * sequence.period_s <= _FORGET_S
        metric.keep(alive)
        ids, seen_at = ids[alive], seen_at[alive]
        known = np.isin(boxes.track_id[now], ids)
        old, new = now[known], now[~known]
        rows = _where(ids, boxes.track_id[old])
        seen_at[rows] = frame
        metric.update(rows, _unranged(len(old)), boxes.xyxy_px[old], boxes.class_id[old], camera, t_s)
        metric.birth(_unranged(len(new)), boxes.xyxy_px[new], boxes.class_id[new], camera, t_s)
        ids = np.concatenate([ids, boxes.track_id[new]])
        seen_at = np.concatenate([seen_at, np.full(len(new), frame)])
        state = metric.state()
        at = _where(ids, boxes.track_id[now])
        x_m[now], sigma_m[now] = state.xy_m[at, 0], np.sqrt(state.cov[at, 0, 0])
    return x_m, sigma_m


def _where(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    order = np.argsort(ids)
    return order[np.searchsorted(ids, wanted, sorter=order)]


def _unranged(count: int) -> GroundPoints:
    return GroundPoints(np.full((count, 2), np.nan), np.full((count, 2, 2), np.nan), np.zeros(count, bool))


def single_frames(camera: Camera, xyxy_px: np.ndarray, class_id: np.ndarray) -> dict[str, Ranged]:
    """Every method that needs one frame only: our fused range, its cues, and the peers' formulas."""
    fused = range_objects(camera, xyxy_px, class_id)
    cues = range_cues(camera, xyxy_px, class_id)
    log_sigma = np.sqrt(np.einsum("nii->ni", cues.log_cov))
    answers: dict[str, Ranged] = {"single frame": (fused.xy_m[:, 0], np.sqrt(fused.cov_m2[:, 0, 0]))}
    for index, cue in enumerate(CUES):
        answers[f"cue {cue}"] = (cues.x_m[:, index], cues.x_m[:, index] * log_sigma[:, index])
    return answers | peers(camera, xyxy_px)


def peers(camera: Camera, xyxy_px: np.ndarray) -> dict[str, Ranged]:
    """What other programs compute from the same boxes: known height, flat road and level camera, focal length 100."""
    camera = camera.mounted(pitch_rad=0.0)
    height_px = np.maximum(xyxy_px[:, 3] - xyxy_px[:, 1], 1e-6)
    road, valid = camera.ground_from_px(np.stack([0.5 * (xyxy_px[:, 0] + xyxy_px[:, 2]), xyxy_px[:, 3]], axis=1))
    without = np.full(len(xyxy_px), np.nan)
    return {
        f"height {KNOWN_HEIGHT_M} m": (camera.fy_px * KNOWN_HEIGHT_M / height_px, without),
        "flat road": (np.where(valid, road[:, 0], np.nan), without),
        f"focal length {PEER_FOCAL_PX:.0f}": (PEER_FOCAL_PX * PEER_HEIGHT_M / height_px, without),
    }


def judge(
    sequence: Sequence, config: MotionConfig | None = None, own_motion: Iterable[EgoMotion] | None = None
) -> dict[str, Judged]:
    """All methods on the true boxes of one sequence; ``fused`` needs ids, without them it is the single frame's."""
    boxes = sequence.boxes
    answers = single_frames(sequence.camera, boxes.xyxy_px, boxes.class_id)
    fused = follow(sequence, config, own_motion) if sequence.has_tracks else answers["single frame"]
    rows = boxes.measured()
    return {
        name: Judged(x_m[rows], sigma_m[rows], boxes[rows])
        for name, (x_m, sigma_m) in ({"fused": fused} | answers).items()
    }


def judge_found(found: FoundBoxes, sequence: Sequence) -> dict[str, Judged]:
    """All methods on our own detections: ``fused`` from our own tracks, the rest from the boxes they were given."""
    answers = single_frames(sequence.camera, found.xyxy_px, found.class_id)
    truth = sequence.boxes[found.row]
    rows = truth.measured()
    every = {"fused": (found.x_m, found.sigma_m)} | answers
    return {name: Judged(x_m[rows], sigma_m[rows], truth[rows]) for name, (x_m, sigma_m) in every.items()}


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """Detections that lie on labelled objects: row of the label, box, class and the track's distance and sigma."""

    row: np.ndarray
    xyxy_px: np.ndarray
    class_id: np.ndarray
    x_m: np.ndarray
    sigma_m: np.ndarray


def joined(parts: list[dict[str, Judged]]) -> dict[str, Judged]:
    """The methods over several sequences."""
    names = parts[0]
    return {
        name: Judged(
            np.concatenate([part[name].x_m for part in parts]),
            np.concatenate([part[name].sigma_m for part in parts]),
            TrueBoxes(
                *(
                    np.concatenate([getattr(part[name].boxes, column) for part in parts])
                    for column in TrueBoxes.__dataclass_fields__
                )
            ),
        )
        for name in names
    }


def figures(judged: Mapping[str, Judged]) -> dict[str, dict[str, dict[str, float]]]:
    """{method: {group: figures}} for every group that has a box."""
    boxes = next(iter(judged.values())).boxes
    groups = {name: pick(boxes) for name, pick in GROUPS.items()}
    return {
        method: {name: said.figures(rows) for name, rows in groups.items() if rows.any()}
        for method, said in judged.items()
    }


def by_range(said: Judged, rows: np.ndarray) -> list[tuple[float, float, dict[str, float]]]:
    """Figures of some rows in each of ``RANGE_BINS_M``: (from, to, figures)."""
    true_m = said.boxes.x_m
    return [(low, high, said.figures(rows & (true_m >= low) & (true_m < high))) for low, high in pairwise(RANGE_BINS_M)]


def reliability(said: Judged, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of truth expected and found within k sigma, for k up to 3: a calibrated sigma lies on the diagonal."""
    from scipy.special import erf

    sigmas = np.linspace(0.1, 3.0, 30)
    z = np.abs(said.x_m - said.boxes.x_m)[rows] / said.sigma_m[rows]
    z = z[np.isfinite(z)]
    return erf(sigmas / np.sqrt(2.0)), np.array([np.mean(z <= k) if len(z) else np.nan for k in sigmas])
