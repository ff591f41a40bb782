"""Ranges of activations: closed forms, and what each method cuts off."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from geometry.errors import InputError
from perception.training.calibrate import BINS, TensorStatistics, collect, entropy_limit, ranges

onnx = pytest.importorskip("onnx")


def doubling() -> Any:
    """out = relu(2 x)."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [helper.make_node("Add", ["x", "x"], ["twice"]), helper.make_node("Relu", ["twice"], ["out"])]
    values = [helper.make_tensor_value_info(name, kind, ["n"]) for name in ("x", "out")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_frames_stream_through_twice_one_at_a_time() -> None:
    alive, most, started = 0, 0, 0

    class Held(dict):
        def __init__(self, values: np.ndarray) -> None:
            nonlocal alive, most
            super().__init__(x=values)
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def frames() -> Iterator[dict]:
        nonlocal started
        started += 1
        for scale in range(1, 9):
            yield Held(np.linspace(-scale, scale / 2, 300, dtype=np.float32))

    ticks: list[int] = []
    statistics = collect(doubling(), ["x", "twice", "out"], frames, lambda: ticks.append(1))
    assert started == 2 and len(ticks) == 16 and most <= 2  # the one at work and the next
    assert (statistics["x"].low, statistics["x"].high) == (-8.0, 4.0)
    assert (statistics["twice"].low, statistics["twice"].high) == (-16.0, 8.0)
    assert (statistics["out"].low, statistics["out"].high) == (0.0, 8.0)
    assert statistics["x"].counts.sum() == statistics["out"].counts.sum() == 8 * 300


def test_no_frames_and_infinite_activations_are_refused() -> None:
    with pytest.raises(InputError, match="at least one frame"):
        collect(doubling(), ["out"], list)
    with pytest.raises(InputError, match="finite"):
        collect(doubling(), ["out"], lambda: [{"x": np.array([np.inf], np.float32)}])


def statistics_of(values: np.ndarray) -> TensorStatistics:
    limit = np.abs(values).max()
    counts = np.histogram(values, BINS, (-limit, limit))[0]
    return TensorStatistics(float(values.min()), float(values.max()), counts)


def test_minmax_and_percentile_of_known_values() -> None:
    values = np.concatenate([np.linspace(-1, 1, 9990), np.full(10, 50.0)])
    tensor = {"a": statistics_of(values)}
    assert ranges(tensor, "minmax")["a"] == (-1.0, 50.0)
    low, high = ranges(tensor, "percentile-99.5")["a"]
    assert low == -1.0 or low == pytest.approx(-1.0, abs=0.03)
    assert high == pytest.approx(1.0, abs=0.03)  # one bin is 50 / 2048 wide
    assert ranges(tensor, "percentile-99.99")["a"][1] == pytest.approx(50.0, abs=0.03)


def test_one_sided_activations_stay_one_sided() -> None:
    tensor = {"relu": statistics_of(np.maximum(np.random.default_rng(0).normal(0, 1, 50_000), 0))}
    for method in ("minmax", "entropy", "percentile-99.9"):
        low, high = ranges(tensor, method)["relu"]
        assert low == 0.0 and 1.5 < high < 5


def test_entropy_keeps_what_is_evenly_spread_and_cuts_rare_outliers() -> None:
    flat = statistics_of(np.random.default_rng(0).uniform(-1, 1, 200_000))
    assert entropy_limit(flat.magnitudes) > 0.95
    bell = np.random.default_rng(0).normal(0, 1, 200_000)
    spiky = statistics_of(np.append(bell, [200.0, -200.0]))
    assert entropy_limit(spiky.magnitudes) * spiky.limit < 20
    assert statistics_of(bell).outlier_ratio() < 2 < 30 < spiky.outlier_ratio()


@pytest.mark.parametrize("method", ["max", "percentile", "percentile-101", "percentile-x", "percentile-10", ""])
def test_unknown_methods_are_named(method: str) -> None:
    with pytest.raises(InputError, match="must be minmax, entropy or percentile-P"):
        ranges({"a": statistics_of(np.arange(5.0))}, method)
