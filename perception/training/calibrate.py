"""Ranges of activations for 8-bit networks, from real frames: min-max, entropy and percentile, in two passes.

Frames stream through one at a time: the first pass finds each tensor's extremes, the second a histogram between
them, so memory does not grow with their number, and all methods share the two passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geometry.errors import InputError

BINS = 4096
"""Of the histogram from -limit to limit."""
SAMPLES = 65536
"""Values of a tensor that join its histogram per frame; the extremes come from all of them."""
LEVELS = 128
"""Magnitudes of a signed 8-bit number, which the entropy method matches the distribution to."""

Feeds = dict[str, np.ndarray]
Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class TensorStatistics:
    """Extremes of one activation, and (BINS,) counts of a sample of it from -limit to limit, its largest magnitude."""

    low: float
    high: float
    counts: np.ndarray

    @property
    def limit(self) -> float:
        return max(abs(self.low), abs(self.high), 1e-12)

    @property
    def magnitudes(self) -> np.ndarray:
        """(BINS / 2,) counts of |x| from 0 to limit."""
        return self.counts[BINS // 2 :] + self.counts[: BINS // 2][::-1]

    def outlier_ratio(self) -> float:
        """Largest magnitude over the 99.9th percentile of magnitudes: how much of an 8-bit range few values eat up."""
        share = np.cumsum(self.magnitudes) / max(1, self.magnitudes.sum())
        usual = (np.searchsorted(share, 0.999) + 1) / (BINS // 2)
        return float(1.0 / min(1.0, usual))


def collect(
    model: Any,
    tensors: Sequence[str],
    frames: Callable[[], Iterable[Feeds]],
    on_frame: Callable[[], None] | None = None,
) -> dict[str, TensorStatistics]:
    """Statistics of named activations over frames.

    Args:
        model: onnx ModelProto.
        tensors: names of float activations, the network's inputs among them.
        frames: called twice; gives what the network is fed, frame by frame.
        on_frame: called after each frame of both passes.

    Raises:
        InputError: no frames, or an activation is not finite.
    """
    session, names = _observing(model, tensors)
    low, high = dict.fromkeys(tensors, np.inf), dict.fromkeys(tensors, -np.inf)
    for name, values in _observe(session, names, tensors, frames, on_frame):
        low[name] = min(low[name], float(values.min()))
        high[name] = max(high[name], float(values.max()))
    if not all(np.isfinite([*low.values(), *high.values()])):
        raise InputError("calibration needs at least one frame, and activations that are finite on all of them")
    limit = {name: max(abs(low[name]), abs(high[name]), 1e-12) for name in tensors}
    counts = {name: np.zeros(BINS, np.int64) for name in tensors}
    for number, (name, values) in enumerate(_observe(session, names, tensors, frames, on_frame)):
        step = -(-values.size // SAMPLES)
        sample = values.reshape(-1)[number % step :: step]
        bins = ((sample + limit[name]) * (BINS / (2 * limit[name]))).astype(np.int64)
        counts[name] += np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS)
    return {name: TensorStatistics(low[name], high[name], counts[name]) for name in tensors}


def _observing(model: Any, tensors: Sequence[str]) -> tuple[Any, list[str]]:
    """A session that also puts out the named activations."""
    import onnx
    import onnxruntime

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    inputs = {value.name for value in watched.graph.input}
    have = {value.name for value in watched.graph.output}
    for name in tensors:
        if name not in have | inputs:
            watched.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session, [name for name in tensors if name not in inputs]


def _observe(
    session: Any,
    names: list[str],
    tensors: Sequence[str],
    frames: Callable[[], Iterable[Feeds]],
    on_frame: Callable[[], None] | None,
) -> Iterable[tuple[str, np.ndarray]]:
    for feeds in frames():
        yield from zip(names, session.run(names, feeds), strict=True)
        yield from ((name, feeds[name]) for name in tensors if name in feeds)
        if on_frame:
            on_frame()


def ranges(statistics: dict[str, TensorStatistics], method: str) -> Ranges:
    """The (low, high) that 8 bits shall span, by ``minmax``, ``entropy`` or ``percentile-P`` with P below 100."""
    if method == "minmax":
        return {name: (tensor.low, tensor.high) for name, tensor in statistics.items()}
    if method == "entropy":
        return {name: _within(tensor, entropy_limit(tensor.magnitudes)) for name, tensor in statistics.items()}
    kind, _, percent = method.partition("-")
    try:
        share = float(percent) / 100
    except ValueError:
        share = 0.0
    if kind != "percentile" or not 0.5 < share < 1:
        raise InputError(
            f"calibration method is {method!r}; must be minmax, entropy or percentile-P, as percentile-99.99"
        )
    return {name: _within(tensor, _percentile_limit(tensor.magnitudes, share)) for name, tensor in statistics.items()}


def _within(tensor: TensorStatistics, share: float) -> tuple[float, float]:
    """The tensor's own range, cut at a share of its limit: a one-sided tensor stays one-sided."""
    return max(tensor.low, -share * tensor.limit), min(tensor.high, share * tensor.limit)


def _percentile_limit(magnitudes: np.ndarray, share: float) -> float:
    """Share of the limit that so many of the values lie within."""
    cumulative = np.cumsum(magnitudes)
    return float(np.searchsorted(cumulative, share * cumulative[-1]) + 1) / len(magnitudes)


def entropy_limit(magnitudes: np.ndarray) -> float:
    """Share of the limit to cut at, so that the quantised distribution tells most of the real one.

    Cuts are tried from LEVELS bins on; each is scored by the Kullback-Leibler divergence of the distribution, its tail
    heaped on the last bin, from its copy in LEVELS steps (Migacz, "8-bit inference with TensorRT", 2017).
    """
    # The bin of zero holds what a ReLU cut off; it is exact at any scale and would drown the rest.
    counts = magnitudes.astype(np.float64)
    counts[0] = counts[1] if len(counts) > 1 else counts[0]
    best, best_stop = np.inf, len(counts)
    for stop in range(LEVELS, len(counts) + 1, 8):
        kept = counts[:stop]
        reference = kept.copy()
        reference[-1] += counts[stop:].sum()
        step = np.arange(stop) * LEVELS // stop
        filled = kept > 0
        mean = np.bincount(step, kept, LEVELS) / np.maximum(np.bincount(step, filled, LEVELS), 1)
        divergence = _divergence(reference, np.where(filled, mean[step], 0.0))
        if divergence < best:
            best, best_stop = divergence, stop
    return best_stop / len(counts)


def _divergence(reference: np.ndarray, copy: np.ndarray) -> float:
    """Kullback-Leibler divergence of two histograms; a bin that the copy lost counts as one in a billion."""
    if not copy.sum():
        return np.inf
    p = reference / reference.sum()
    q = np.maximum(copy / copy.sum(), 1e-9)
    there = p > 0
    return float((p[there] * np.log(p[there] / q[there])).sum())
