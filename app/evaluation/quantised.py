"""The search for an 8-bit network that loses no accuracy worth speaking of: variants, measured side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.evaluation.detect import LOWEST_SCORE, DetectionScores, latency_ms, predict, read_picture, score_detections
from geometry.errors import InputError
from perception.detector import Detector, load_detector

if TYPE_CHECKING:
    from app.evaluation.detection_data import LabelledImage
    from perception.training.calibrate import Feeds, Ranges
    from perception.training.quantize import Prepared

METHODS = ("minmax", "entropy", "percentile-99.99")
FLOAT = "float32"
SENSITIVITY_FRAMES = 4
LATENCY_PICTURES = 15


@dataclass(frozen=True)
class Bar:
    """What a variant must hold: AP50 lost at most, on every class with so many boxes and on vehicles."""

    max_loss: float = 0.005
    least_boxes: int = 500


@dataclass(frozen=True, eq=False)
class Variant:
    """One network and what it reached; ``worst`` is the class of the bar that lost most, ``loss`` how much AP50."""

    name: str
    path: Path
    scores: DetectionScores
    kept: tuple[str, ...] = ()
    worst: str = ""
    loss: float = 0.0
    latency_ms_1t: float = float("nan")
    accepted: bool = True

    @property
    def size_mb(self) -> float:
        return self.path.stat().st_size / 1e6


@dataclass(frozen=True, eq=False)
class Search:
    """Everything that one search needs; ``said`` is told what is being done, with the count of steps it has."""

    source: Path
    folder: Path
    test: Sequence[LabelledImage]
    frames: Sequence[LabelledImage]
    bar: Bar
    methods: tuple[str, ...] = METHODS
    said: Callable[[str, int], Callable[[], None]] = lambda text, steps: lambda: None
    symmetric: bool = False

    def run(self) -> list[Variant]:
        """The float network first, then each method, then the best method with ever more layers left in float.

        Stops adding float layers at the first variant that holds the bar, or where a third of them is float.
        """
        from perception.training.calibrate import collect, ranges
        from perception.training.quantize import prepare

        prepared = prepare(self.source, symmetric=self.symmetric)
        reader = self._reader()
        step = self.said("calibrating", 2 * len(self.frames))
        statistics = collect(prepared.model, prepared.tensors, reader, step)
        variants = [self._measure(FLOAT, self.source)]
        found: dict[str, Ranges] = {method: ranges(statistics, method) for method in self.methods}
        for method, spans in found.items():
            variants.append(self._make(prepared, spans, method, (), variants[0]))
        if not any(variant.accepted for variant in variants[1:]):
            best = min(variants[1:], key=lambda variant: variant.loss)
            variants += self._keep_sensitive(prepared, found[best.name], best.name, variants[0])
        return self._time(variants)

    def _keep_sensitive(self, prepared: Prepared, spans: Ranges, method: str, reference: Variant) -> list[Variant]:
        from perception.training.quantize import sensitivity

        step = self.said("sensitivity", len(prepared.units))
        frames = [feeds for feeds, _ in zip(self._reader()(), range(SENSITIVITY_FRAMES), strict=False)]
        order = [name for name, _ in sensitivity(prepared, spans, frames, step)]
        variants: list[Variant] = []
        count = 1
        while count <= len(order) / 3 and not (variants and variants[-1].accepted):
            variants.append(self._make(prepared, spans, method, tuple(order[:count]), reference))
            count *= 2
        return variants

    def _reader(self) -> Callable[[], Iterable[Feeds]]:
        detector = load_detector(self.source, device="cpu", threads=1)
        return lambda: (detector.prepare(read_picture(image))[0] for image in self.frames)

    def _make(
        self, prepared: Prepared, spans: Ranges, method: str, kept: tuple[str, ...], reference: Variant
    ) -> Variant:
        from perception.training.quantize import quantise

        name = f"{method}, {len(kept)} float" if kept else method
        path = self.folder / f"{name.replace(', ', '-').replace(' ', '-')}.onnx"
        path.write_bytes(quantise(prepared, spans, keep=kept, note=name).SerializeToString())
        variant = replace(self._measure(name, path), kept=kept)
        worst, loss = worst_loss(reference.scores, variant.scores, self.bar.least_boxes)
        return replace(variant, worst=worst, loss=loss, accepted=loss <= self.bar.max_loss)

    def _measure(self, name: str, path: Path) -> Variant:
        detector = self._open(path, LOWEST_SCORE)
        found = predict(detector, self.test, self.said(name, len(self.test)))
        return Variant(name, path, score_detections(self.test, found, detector.road_classes))

    def _open(self, path: Path, least_score: float | None = None) -> Detector:
        """On one thread; timed with its own threshold, as it is used, measured with the least score."""
        return load_detector(path, device="cpu", threads=1, score_threshold=least_score)

    def _time(self, variants: list[Variant]) -> list[Variant]:
        pictures = [read_picture(image) for image in self.test[:: max(1, len(self.test) // LATENCY_PICTURES)]]
        times = latency_ms({v.name: self._open(v.path) for v in variants}, pictures[:LATENCY_PICTURES])
        return [replace(variant, latency_ms_1t=times[variant.name]) for variant in variants]


def worst_loss(before: DetectionScores, after: DetectionScores, least_boxes: int) -> tuple[str, float]:
    """The class with over so many boxes whose AP50 fell most, and by how much; below 0 where all rose.

    Raises:
        InputError: no class that the network knows has so many boxes.
    """
    losses = {
        name: ap - after.ap50[name] for name, ap in before.ap50.items() if before.boxes[name] > least_boxes and ap == ap
    }
    if not losses:
        raise InputError(f"no class has over {least_boxes} boxes in these pictures; take more (--every) or a lower bar")
    worst = max(losses, key=lambda name: losses[name])
    return worst, losses[worst]


def winner(variants: Sequence[Variant]) -> Variant | None:
    """Of the 8-bit variants that hold the bar, the one with the best mAP among those within 5 % of the fastest."""
    accepted = [variant for variant in variants if variant.accepted and variant.name != FLOAT]
    if not accepted:
        return None
    fastest = min(variant.latency_ms_1t for variant in accepted)
    return max((v for v in accepted if v.latency_ms_1t <= 1.05 * fastest), key=lambda variant: variant.scores.map)
