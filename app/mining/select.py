"""Which frames to label: the strongest reasons first, and no two frames that would teach the same.

Greedy: the frame with the highest score is taken; what lies within ``gap_s`` of it in the same clip is out, and further
reasons of the same kind about the same object count half as much each time. A frame's score joins its reasons as
independent chances that there is something to learn.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from app.mining.signals import KINDS, Candidate, Kind, Reason

DEFAULT_GAP_S = 2.0
_BUCKET_S = 0.5  # of so much time only the best frame of each kind is remembered: four hours fit into a few megabytes
_WORTH = 0.05
# How sure a full value of each kind is to be worth a look: disagreement of sources tells most, doubt and rarity less.
_WEIGHT: dict[Kind, float] = {
    "models disagree": 0.9,
    "cues disagree": 0.85,
    "flicker": 0.9,
    "low confidence": 0.8,
    "rare appearance": 0.7,
}


@dataclass(frozen=True)
class Chosen:
    """A frame to label; reasons the strongest first."""

    clip: int
    index: int
    t_s: float
    score: float
    reasons: tuple[Reason, ...]


class Pool:
    """Candidates of all clips, the best of each short stretch of time and kind of reason."""

    def __init__(self) -> None:
        self._best: dict[tuple[int, int, Kind], Candidate] = {}

    def add(self, clip: int, candidate: Candidate) -> None:
        """Considers a frame."""
        for kind in {reason.kind for reason in candidate.reasons}:
            key = (clip, int(candidate.t_s / _BUCKET_S), kind)
            held = self._best.get(key)
            if held is None or _strength(candidate, kind) > _strength(held, kind):
                self._best[key] = candidate

    def join(self, clip: int, index: int, t_s: float, reason: Reason) -> None:
        """A reason that is known only later."""
        bucket = int(t_s / _BUCKET_S)
        held = (self._best.get((clip, bucket, kind)) for kind in KINDS)
        candidate = next((c for c in held if c is not None and c.index == index), Candidate(index, t_s))
        candidate.reasons.append(reason)
        self.add(clip, candidate)

    def choose(self, count: int, *, gap_s: float = DEFAULT_GAP_S) -> list[Chosen]:
        """At most so many frames, the best first."""
        frames = {(clip, held.index): held for (clip, _, _), held in self._best.items()}
        used: Counter[tuple[int, Kind, int]] = Counter()
        heap = [(-score(held.reasons), clip, index) for (clip, index), held in frames.items()]
        heapq.heapify(heap)
        chosen: list[Chosen] = []
        while heap and len(chosen) < count:
            old, clip, index = heapq.heappop(heap)
            held = frames[clip, index]
            if any(c.clip == clip and abs(c.t_s - held.t_s) < gap_s for c in chosen):
                continue
            now = -score(held.reasons, (used, clip))
            if heap and now > heap[0][0] + 1e-12 and now > old + 1e-12:
                heapq.heappush(heap, (now, clip, index))  # it lost what others have shown since
                continue
            if -now < _WORTH:
                continue
            reasons = tuple(sorted(held.reasons, key=lambda reason: -reason.value * _WEIGHT[reason.kind]))
            chosen.append(Chosen(clip, index, held.t_s, -now, reasons))
            used.update({(clip, reason.kind, reason.track_id) for reason in held.reasons if reason.track_id})
        return chosen


def _strength(candidate: Candidate, kind: Kind) -> float:
    return max((reason.value for reason in candidate.reasons if reason.kind == kind), default=0.0)


def score(reasons: Iterable[Reason], shown: tuple[Counter[tuple[int, Kind, int]], int] | None = None) -> float:
    """0 to 1: one less the product of what each reason leaves open, of each kind only the strongest.

    Args:
        shown: how often each kind was shown of each object, and the clip: then it counts half as much each time.
    """
    best: dict[Kind, float] = {}
    for reason in reasons:
        times = 0 if shown is None or not reason.track_id else shown[0][shown[1], reason.kind, reason.track_id]
        value = _WEIGHT[reason.kind] * reason.value * 0.5**times
        best[reason.kind] = max(best.get(reason.kind, 0.0), value)
    left = 1.0
    for value in best.values():
        left *= 1.0 - value
    return 1.0 - left
