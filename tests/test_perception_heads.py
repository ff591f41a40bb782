"""Heads on arrays made by hand: known boxes come out, and the family is recognised by the arrays alone."""

import numpy as np
import pytest

from geometry.errors import InputError
from perception.heads import MODELS, Outputs, Query, cell_count, choose, distances, grid

SIZE = (96, 64)
CELLS = 12 * 8 + 6 * 4 + 3 * 2
EDGES = [20.0, 12.0, 52.0, 40.0]
"""The box that every array below holds, as edges."""
CENTRE_SIZE = [36.0, 26.0, 32.0, 28.0]


def ask(head: str, outputs: Outputs, wanted: tuple[int, ...] = (0, 2), classes: int = 80) -> tuple:
    found = MODELS[head].decode(outputs, Query(SIZE, classes, 0.25, np.array(wanted)))
    return (
        found.xyxy.astype(float).round(3).tolist(),
        found.score.astype(float).round(4).tolist(),
        found.label.tolist(),
        found.unique,
    )


def logits_for(strides: float) -> np.ndarray:
    """Eight logits whose expectation is ``strides``: all the weight on the two bins around it."""
    logits = np.full(8, -30.0, np.float32)
    low = int(strides)
    share = strides - low
    logits[low] = np.log(max(1 - share, 1e-9))
    if share:
        logits[low + 1] = np.log(share)
    return logits


def test_grid_runs_row_by_row_and_rounds_up() -> None:
    points, stride = grid((20, 9), (8, 16), 0.5)
    assert points.tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12], [8, 8], [24, 8]]
    assert stride.tolist() == [8] * 6 + [16] * 2
    assert cell_count((20, 9), (8, 16)) == 8 and cell_count(SIZE, (8, 16, 32)) == CELLS


def test_distances_are_expectations() -> None:
    logits = np.zeros((1, 32), np.float32)  # uniform over 0..7: 3.5
    logits[0, 8:16] = np.log(np.arange(1, 9))  # weights 1..8: sum i (i + 1) / 36 = 168 / 36
    logits[0, 16:24] = [0, 0, 0, 200, 0, 0, 0, 0]
    logits[0, 24:] += 1000.0  # a common shift changes nothing and overflows nothing
    assert distances(logits)[0] == pytest.approx([3.5, 168 / 36, 3.0, 3.5])
    assert distances(logits, nearest=-1)[0] == pytest.approx([2.5, 132 / 36, 2.0, 2.5])


def test_decoded_takes_the_best_wanted_class() -> None:
    boxes, scores = np.zeros((1, 5, 4), np.float32), np.zeros((1, 5, 3), np.float32)
    boxes[0, 3] = EDGES
    scores[0, 3] = [0.3, 0.9, 0.6]  # class 1 is of no interest
    scores[0, 4] = [0.25, 0.0, 0.2]  # not over the threshold
    assert ask("decoded", {"scores": scores, "boxes": boxes}) == ([EDGES], [0.6], [2], False)
    assert ask("decoded-unique", {"a": scores, "b": boxes})[3] is True


def test_distances_of_three_strides_from_cell_centres() -> None:
    scores, logits = np.zeros((1, CELLS, 3), np.float32), np.zeros((1, CELLS, 32), np.float32)
    row = 96 + 1 * 6 + 2  # stride 16, cell (2, 1), centre (40, 24)
    scores[0, row] = [0.3, 0.9, 0.6]  # class 1 is of no interest
    logits[0, row] = np.concatenate([logits_for(20 / 16), logits_for(12 / 16), logits_for(12 / 16), logits_for(1.0)])
    outputs = {"scores": scores, "distances": logits}
    assert ask("distances", outputs) == ([EDGES], [0.6], [2], False)
    assert ask("distances-unique", outputs) == ([EDGES], [0.6], [2], True)
    assert choose(["images"], outputs, SIZE, None) == "distances"


def test_signed_distances_see_an_object_beside_the_cells_centre() -> None:
    scores, logits = np.zeros((1, CELLS, 3), np.float32), np.zeros((1, CELLS, 32), np.float32)
    row = 96 + 1 * 6 + 2  # stride 16, cell (2, 1), centre (40, 24)
    scores[0, row, 2] = 0.6
    # the first of the bins stands for -1: the box begins half a stride right of the centre
    logits[0, row] = np.concatenate([logits_for(side + 1) for side in (-0.5, 0.25, 0.75, 0.5)])
    outputs = {"scores": scores, "distances": logits}
    assert ask("distances-signed", outputs) == ([[48.0, 20.0, 52.0, 32.0]], [0.6], [2], False)
    assert ask("distances-signed-unique", outputs)[3] is True
    logits[0, row, 16:24] = logits_for(0.25)  # right at -0.75: the sides would cross, so they meet
    assert ask("distances-signed", outputs)[0] == [[48.0, 20.0, 48.0, 32.0]]


def test_yolox_raw() -> None:
    raw = np.zeros((1, CELLS, 85), np.float32)
    row = 96 + 1 * 6 + 2  # stride 16, cell (2, 1) at pixel (32, 16)
    raw[0, row, :5] = [4 / 16, 10 / 16, np.log(32 / 16), np.log(28 / 16), 0.8]
    raw[0, row, 5 + 2] = 0.5
    assert ask("yolox", {"o": raw}) == ([EDGES], [0.4], [2], False)


def test_yolov5_and_yolov8_and_yolov10() -> None:
    five = np.zeros((1, 3 * CELLS, 85), np.float32)
    five[0, 7, :5] = [*CENTRE_SIZE, 0.5]
    five[0, 7, 5] = 0.9
    assert ask("yolov5", {"o": five}) == ([EDGES], [0.45], [0], False)
    eight = np.zeros((1, 84, CELLS), np.float32)
    eight[0, :4, 9], eight[0, 4 + 2, 9] = CENTRE_SIZE, 0.7
    assert ask("yolov8", {"o": eight}) == ([EDGES], [0.7], [2], False)
    ten = np.zeros((1, 300, 6), np.float32)
    ten[0, 0], ten[0, 1], ten[0, 2] = [*EDGES, 0.8, 2], [*EDGES, 0.9, 5], [*EDGES, 0.2, 0]
    assert ask("yolov10", {"o": ten}) == ([EDGES], [0.8], [2], True)


def test_nanodet_plus_has_points_at_cell_corners() -> None:
    count = cell_count(SIZE, (8, 16, 32, 64))
    table = np.zeros((1, count, 112), np.float32)
    row = 1 * 12 + 4  # stride 8, cell (4, 1) at pixel (32, 8)
    table[0, row, 2] = 0.6
    table[0, row, 80:] = np.concatenate([logits_for(12 / 8), logits_for(0.5), logits_for(20 / 8), logits_for(4.0)])
    assert ask("nanodet-plus", {"o": table}) == ([[20.0, 4.0, 52.0, 40.0]], [0.6], [2], False)
    three = {"o": table[:, :CELLS]}
    assert ask("nanodet-plus", three) == ([[20.0, 4.0, 52.0, 40.0]], [0.6], [2], False)


def test_picodet_has_points_at_cell_centres_and_levels_in_any_order() -> None:
    counts = [cell_count(SIZE, (s,)) for s in (8, 16, 32, 64)]
    classes = [np.zeros((1, n, 80), np.float32) for n in counts]
    boxes = [np.zeros((1, n, 32), np.float32) for n in counts]
    row = 1 * 6 + 2  # stride 16, cell (2, 1), centre (40, 24)
    classes[1][0, row, 0] = 0.5
    boxes[1][0, row] = np.concatenate([logits_for(20 / 16), logits_for(12 / 16), logits_for(12 / 16), logits_for(1.0)])
    outputs = {f"o{i}": a for i, a in enumerate([*classes, *boxes])}
    assert ask("picodet", outputs) == ([EDGES], [0.5], [0], False)
    reverse = {f"o{i}": a for i, a in enumerate([*classes[::-1], *boxes[::-1]])}
    assert ask("picodet", reverse) == ([EDGES], [0.5], [0], False)


def test_ppyoloe_with_and_without_its_own_suppression() -> None:
    listed = np.array([[2, 0.9, *EDGES], [-1, 0.99, 0, 0, 0, 0], [0, 0.1, *EDGES]], np.float32)
    assert ask("ppyoloe", {"multiclass_nms3_0": listed, "count": np.array([3], np.int32)}) == (
        [EDGES],
        [0.9],
        [2],
        True,
    )
    boxes, scores = np.zeros((1, CELLS, 4), np.float32), np.zeros((1, 80, CELLS), np.float32)
    boxes[0, 50], scores[0, 2, 50] = EDGES, 0.75
    assert ask("ppyoloe", {"b": boxes, "s": scores}) == ([EDGES], [0.75], [2], False)


@pytest.mark.parametrize("batched", [True, False])
def test_detr_with_and_without_batch_axis(batched: bool) -> None:
    outputs = {"labels": np.array([0, 2, 2]), "boxes": np.float32([EDGES] * 3), "scores": np.float32([0.1, 0.8, 0.2])}
    given = {name: array[None] for name, array in outputs.items()} if batched else outputs
    assert ask("detr", given) == ([EDGES], [0.8], [2], True)


def test_fastestdet() -> None:
    maps = np.full((1, 85, 4, 6), -9.0, np.float32)
    maps[:, [0, *range(5, 85)]] = 0.0
    maps[0, 0, 1, 2], maps[0, 5 + 2, 1, 2] = 0.81, 0.64
    logit = [np.log(share / (1 - share)) for share in (32 / 96, 28 / 64)]
    maps[0, 1:5, 1, 2] = [np.arctanh(4 / 16), np.arctanh(10 / 16), *logit]
    assert ask("fastestdet", {"o": maps}) == ([EDGES], [round(0.81**0.6 * 0.64**0.4, 4)], [2], False)


@pytest.mark.parametrize("head", ["decoded", "yolov8", "yolov10", "yolox"])
def test_nan_is_an_error_and_no_empty_road(head: str) -> None:
    shapes = {"yolov8": (1, 84, CELLS), "yolov10": (1, 300, 6), "yolox": (1, CELLS, 85)}
    outputs = {"boxes": np.zeros((1, 5, 4)), "scores": np.full((1, 5, 80), np.nan)}
    if head in shapes:
        outputs = {"o": np.full(shapes[head], np.nan, np.float32)}
    with pytest.raises(InputError, match="NaN"):
        ask(head, outputs)


def zeros(*shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {f"o{index}": np.zeros(shape, np.float32) for index, shape in enumerate(shapes)}


FOUR = cell_count(SIZE, (8, 16, 32, 64))
PICODET = tuple((1, cell_count(SIZE, (s,)), width) for width in (80, 32) for s in (8, 16, 32, 64))


@pytest.mark.parametrize(
    ("head", "inputs", "outputs", "classes"),
    [
        ("yolox", ["images"], zeros((1, CELLS, 85)), None),
        ("yolox", ["images"], zeros((1, CELLS, 15)), 10),
        ("nanodet-plus", ["data"], zeros((1, FOUR, 112)), None),
        ("nanodet-plus", ["data"], zeros((1, CELLS, 112)), None),
        ("nanodet-plus", ["data"], zeros((1, CELLS, 42)), 10),
        ("yolov5", ["images"], zeros((1, 3 * CELLS, 85)), None),
        ("yolov8", ["images"], zeros((1, 84, CELLS)), None),
        ("yolov8", ["images"], zeros((1, 14, CELLS)), 10),
        ("yolov10", ["images"], zeros((1, 300, 6)), None),
        ("fastestdet", ["input"], zeros((1, 85, 4, 6)), None),
        ("decoded", ["images"], zeros((1, CELLS, 4), (1, CELLS, 10)), 10),
        ("picodet", ["image"], zeros(*PICODET), None),
        ("nanodet", ["image"], zeros(*PICODET[:3], *PICODET[4:7]), None),
        ("detr", ["images", "orig_target_sizes"], zeros((300,), (300, 4), (300,)), None),
        ("ppyoloe", ["image", "scale_factor"], zeros((20, 6), (1,)), None),
    ],
)
def test_the_family_shows_in_the_arrays(head: str, inputs: list[str], outputs: Outputs, classes: int | None) -> None:
    assert choose(inputs, outputs, SIZE, classes) == head


@pytest.mark.parametrize("shape", [(1, 1000), (1, 1000, 1, 1), (1, 77, 85), (1, 19, 64, 96)])
def test_what_fits_nothing_says_what_came_and_what_can_be_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"o0 \(1, .*for an input of 96x64 fit no known head; name one: distances, "):
        choose(["x"], zeros(shape), SIZE, None)


def test_decoded_yolox_and_yolov6_look_alike_so_a_person_decides() -> None:
    outputs = zeros((1, CELLS, 85))
    outputs["o0"][0, -1, :4] = CENTRE_SIZE[0] + 40, 20, 10, 10
    with pytest.raises(InputError, match=r"name the head: yolov5 .* or yolox-decoded"):
        choose(["images"], outputs, SIZE, None)
