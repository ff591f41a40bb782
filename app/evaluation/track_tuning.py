"""Settings of the tracker by random search on half of the sequences, judged on the other half."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from app.evaluation.track import TrackData, measure, track
from tracking.config import TrackerConfig

SPACE = {
    "acceleration": (0.5, 8.0),
    "noise": (0.01, 0.1),
    "evidence_slope": (0.5, 3.0),
    "birth_odds": (0.01, 1.0),
    "widen": (0.02, 0.4),
    "least_likeness": (0.05, 0.4),
    "hide_s": (0.5, 20.0),
    "stay_s": (1.0, 50.0),
}
"""Settings searched and their ranges, on a logarithmic scale."""
_STEP = 0.15  # of the range, for the walk around the best setting so far


def tune(data: Sequence[TrackData], trials: int, seed: int, on_trial: Callable[[], None]) -> dict[str, float]:
    """Walk from the default settings; every set counts alike.

    Returns:
        The keys that ``roadlens eval tune-track`` documents.
    """
    rng = np.random.default_rng(seed)
    halves = [_halves(sorted(one.frames), rng) for one in data]
    tuned, held_out = ([half[k] for half in halves] for k in (0, 1))
    config = TrackerConfig()
    first = scores = _hota(data, tuned, config)
    best = config
    for _ in range(trials):
        candidate = _step(best, rng)
        candidate_scores = _hota(data, tuned, candidate)
        if np.mean(candidate_scores) > np.mean(scores):
            best, scores = candidate, candidate_scores
        on_trial()
    found = {f"setting.{name}": float(getattr(best, name)) for name in SPACE}
    groups = {
        "default_tuned": first,
        "tuned": scores,
        "default_held_out": _hota(data, held_out, config),
        "held_out": _hota(data, held_out, best),
    }
    for group, values in groups.items():
        found |= {f"{group}.{one.name}.hota": value for one, value in zip(data, values, strict=True)}
    return found


def _halves(sequences: list[str], rng: np.random.Generator) -> tuple[list[str], list[str]]:
    order = rng.permutation(len(sequences))
    middle = (len(sequences) + 1) // 2
    return [sequences[k] for k in order[:middle]], [sequences[k] for k in order[middle:]] or sequences


def _step(config: TrackerConfig, rng: np.random.Generator) -> TrackerConfig:
    names = rng.choice(list(SPACE), size=int(rng.integers(1, 4)), replace=False)
    changes: dict[str, Any] = {}
    for name in names.tolist():
        low, high = (math.log(bound) for bound in SPACE[name])
        moved = math.log(max(getattr(config, name), 1e-9)) + rng.normal(0.0, _STEP * (high - low))
        changes[name] = math.exp(min(max(moved, low), high))
    return replace(config, **changes)


def _hota(data: Sequence[TrackData], sequences: Sequence[Sequence[str]], config: TrackerConfig) -> list[float]:
    return [
        measure(one, {name: track(one.frames[name], config=config) for name in names})["hota"]
        for one, names in zip(data, sequences, strict=True)
    ]
