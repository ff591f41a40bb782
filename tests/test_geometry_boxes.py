"""Overlaps of boxes: worked by hand, against other definitions, NumPy and torch, with exact gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geometry import boxes as bx

FAMILY = (bx.iou, bx.ioa, bx.giou, bx.diou, bx.ciou)
LOWEST = {bx.iou: 0.0, bx.ioa: 0.0, bx.giou: -1.0, bx.diou: -1.0, bx.ciou: -1.5}
A = np.array([[0.0, 0.0, 2.0, 2.0]])
B = np.array([[1.0, 1.0, 3.0, 3.0]])
FAR = np.array([[4.0, 0.0, 6.0, 2.0]])
TALL = np.array([[0.0, 0.0, 1.0, 2.0]])

coordinate = st.floats(-100, 100, width=32)
any_boxes = arrays(np.float64, st.tuples(st.integers(0, 5), st.just(4)), elements=coordinate)
wild_boxes = arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.just(4)),
    elements=st.one_of(coordinate, st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf])),
)


def proper(xyxy: np.ndarray) -> np.ndarray:
    """Boxes with their edges in order and at least 1 wide and high."""
    low, high = np.minimum(xyxy[:, :2], xyxy[:, 2:]), np.maximum(xyxy[:, :2], xyxy[:, 2:])
    return np.concatenate([low, high + 1.0], axis=1)


def flat_rows(xyxy: np.ndarray) -> np.ndarray:
    """(N,) bool: finite boxes without area."""
    return np.isfinite(xyxy).all(axis=1) & ((xyxy[:, 2] <= xyxy[:, 0]) | (xyxy[:, 3] <= xyxy[:, 1]))


def random_boxes(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 10, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0.5, 8, (count, 2))], axis=1)


def random_rotated(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.c_[rng.uniform(-2, 2, (count, 2)), rng.uniform(0.5, 5, (count, 2)), rng.uniform(-7, 7, count)]


# Two 2x2 squares that share 1: IoU 1/7, hull 9 of which 2 empty; centres sqrt 2 apart, diagonal sqrt 18.
# The tall one is half of A: IoU 1/2, hull A; centres 0.5 apart, diagonal sqrt 8; atan 1 against atan 1/2.
TALL_ASPECT = 4 / math.pi**2 * (math.atan(1.0) - math.atan(0.5)) ** 2


@pytest.mark.parametrize(
    ("overlap", "other", "expected"),
    [
        (bx.iou, B, 1 / 7),
        (bx.ioa, B, 1 / 4),
        (bx.giou, B, 1 / 7 - 2 / 9),
        (bx.diou, B, 1 / 7 - 2 / 18),
        (bx.ciou, B, 1 / 7 - 2 / 18),
        (bx.iou, FAR, 0.0),
        (bx.giou, FAR, -4 / 12),
        (bx.diou, FAR, -16 / 40),
        (bx.iou, TALL, 1 / 2),
        (bx.ioa, TALL, 1 / 2),
        (bx.giou, TALL, 1 / 2),
        (bx.diou, TALL, 1 / 2 - 0.25 / 8),
        (bx.ciou, TALL, 1 / 2 - 0.25 / 8 - TALL_ASPECT**2 / (0.5 + TALL_ASPECT)),
    ],
)
def test_worked_by_hand(overlap, other: np.ndarray, expected: float) -> None:
    assert overlap(A, other).shape == (1, 1)
    assert overlap(A, other)[0, 0] == pytest.approx(expected, abs=1e-15)
    assert overlap(A, other, aligned=True)[0] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("overlap", FAMILY)
def test_pairs_rows_and_torch_agree(overlap) -> None:
    a, b = random_boxes(7, 1), random_boxes(5, 2)
    pairs = overlap(a, b)
    assert pairs.shape == (7, 5)
    np.testing.assert_array_equal(overlap(a[:5], b, aligned=True), pairs[:5].diagonal())
    tensor = overlap(torch.from_numpy(a), torch.from_numpy(b))
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_allclose(tensor.numpy(), pairs, atol=1e-14)
    batched = overlap(np.stack([a, a + 1]), np.stack([b, b]))
    np.testing.assert_array_equal(batched[0], pairs)
    assert overlap(a.astype(np.float32), b.astype(np.float32)).dtype == np.float32


def test_aligned_names() -> None:
    a, b = random_boxes(6, 3), random_boxes(6, 4)
    for rowwise, pairwise in (
        (bx.aligned_iou, bx.iou),
        (bx.aligned_giou, bx.giou),
        (bx.aligned_diou, bx.diou),
        (bx.aligned_ciou, bx.ciou),
    ):
        np.testing.assert_array_equal(rowwise(a, b), pairwise(a, b).diagonal())


@given(any_boxes, any_boxes)
@settings(max_examples=60, deadline=None)
def test_bounds_symmetry_and_identity(raw_a: np.ndarray, raw_b: np.ndarray) -> None:
    a, b = proper(raw_a), proper(raw_b)
    plain = bx.iou(a, b)
    assert plain.shape == (len(a), len(b))
    for overlap in FAMILY:
        values = overlap(a, b)
        assert ((values >= LOWEST[overlap]) & (values <= 1 + 1e-12)).all()
        np.testing.assert_allclose(overlap(a, a).diagonal(), 1.0)
        if overlap is not bx.ioa:
            np.testing.assert_allclose(overlap(b, a).T, values, atol=1e-12)
            assert (values <= plain + 1e-12).all()


@given(wild_boxes, wild_boxes)
@settings(max_examples=100, deadline=None)
def test_no_box_gives_nan_or_a_nan_gradient(a: np.ndarray, b: np.ndarray) -> None:
    broken = ~np.isfinite(a).all(axis=1)[:, None] | ~np.isfinite(b).all(axis=1)
    flat = flat_rows(a)[:, None] | flat_rows(b)
    for overlap in FAMILY:
        tensor_a = torch.tensor(a, requires_grad=True)
        values = overlap(tensor_a, torch.tensor(b))
        assert torch.isfinite(values).all()
        np.testing.assert_array_equal(values.detach().numpy()[broken], LOWEST[overlap])
        if overlap in (bx.iou, bx.ioa):
            assert (values.detach().numpy()[flat] == 0).all()
        values.sum().backward()
        assert torch.isfinite(tensor_a.grad[np.isfinite(a).all(axis=1)]).all()


@pytest.mark.parametrize("overlap", [bx.iou, bx.ioa, bx.giou, bx.diou])
def test_gradients_are_exact(overlap) -> None:
    a = torch.tensor(random_boxes(6, 5), requires_grad=True)
    b = torch.tensor(random_boxes(4, 6), requires_grad=True)
    assert torch.autograd.gradcheck(overlap, (a, b))


def test_gradient_of_ciou_holds_its_weight_constant() -> None:
    """The paper's gradient: that of diou - w v with w at its present value."""
    a = torch.tensor(random_boxes(6, 7), requires_grad=True)
    b = torch.tensor(random_boxes(6, 8))

    def aspect(box: torch.Tensor) -> torch.Tensor:
        angle = [torch.atan((x[:, 2] - x[:, 0]) / (x[:, 3] - x[:, 1])) for x in (box, b)]
        return 4 / math.pi**2 * (angle[0] - angle[1]) ** 2

    v = aspect(a)
    weight = (v / (1 - bx.aligned_iou(a, b) + v)).detach()
    expected = torch.autograd.grad((bx.aligned_diou(a, b) - weight * v).sum(), a)[0]
    got = torch.autograd.grad(bx.aligned_ciou(a, b).sum(), a)[0]
    torch.testing.assert_close(got, expected)


def test_whole_numbers_are_taken() -> None:
    assert bx.iou(A.astype(np.int64), B.astype(np.int64))[0, 0] == pytest.approx(1 / 7)
    assert bx.iou(torch.tensor([[0, 0, 2, 2]]), torch.tensor([[1, 1, 3, 3]]))[0, 0] == pytest.approx(1 / 7)


@given(any_boxes)
def test_conversions_there_and_back(raw: np.ndarray) -> None:
    xyxy = proper(raw)
    np.testing.assert_allclose(bx.xyxy_from_xywh(bx.xywh_from_xyxy(xyxy)), xyxy, atol=1e-9)
    np.testing.assert_allclose(bx.xyxy_from_cxcywh(bx.cxcywh_from_xyxy(xyxy)), xyxy, atol=1e-9)
    np.testing.assert_allclose(bx.area(xyxy), np.prod(bx.xywh_from_xyxy(xyxy)[:, 2:], axis=1))


def test_conversions_by_hand() -> None:
    box = np.array([1.0, 2.0, 5.0, 10.0])
    assert bx.xywh_from_xyxy(box).tolist() == [1.0, 2.0, 4.0, 8.0]
    assert bx.cxcywh_from_xyxy(box).tolist() == [3.0, 6.0, 4.0, 8.0]
    assert bx.area(box) == 32.0
    assert bx.area(box[[2, 1, 0, 3]]) == 0.0
    assert bx.clipped(np.array([-5.0, 3.0, 50.0, 400.0]), 40, 30).tolist() == [-0.5, 3.0, 39.5, 29.5]


# -- rotated boxes --------------------------------------------------------------------------------------------------


def clipped_area(p: np.ndarray, q: np.ndarray) -> float:
    """Area of the intersection of two convex polygons by Sutherland and Hodgman's clipping."""
    polygon = [tuple(corner) for corner in p]
    for start, end in zip(q, np.roll(q, -1, axis=0), strict=True):
        inputs, polygon = polygon, []
        side = [np.cross([*(end - start), 0], [*(np.array(c) - start), 0])[2] for c in inputs]
        for k, corner in enumerate(inputs):
            following, s0, s1 = inputs[(k + 1) % len(inputs)], side[k], side[(k + 1) % len(inputs)]
            if s0 >= 0:
                polygon.append(corner)
            if s0 * s1 < 0:
                polygon.append(tuple(np.array(corner) + (np.array(following) - corner) * s0 / (s0 - s1)))
        if not polygon:
            return 0.0
    x, y = np.array(polygon).T
    return 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def test_rotated_against_polygon_clipping() -> None:
    a, b = random_rotated(30, 1), random_rotated(25, 2)
    inside = np.array([[clipped_area(p, q) for q in bx.corners_of_rotated(b)] for p in bx.corners_of_rotated(a)])
    union = (a[:, 2] * a[:, 3])[:, None] + b[:, 2] * b[:, 3] - inside
    np.testing.assert_allclose(bx.rotated_iou(a, b), inside / union, atol=1e-10)


def test_rotated_by_hand() -> None:
    square = np.array([[0.0, 0.0, 2.0, 2.0, 0.0]])
    # Turned by 45 degrees about the same centre the intersection is the regular octagon of inradius 1.
    octagon = 8 * math.tan(math.pi / 8)
    turned = np.add(square, [0, 0, 0, 0, math.pi / 4])
    assert bx.rotated_iou(square, turned)[0, 0] == pytest.approx(octagon / (8 - octagon), abs=1e-12)
    # Unturned it is the plain IoU; touching along an edge is nothing.
    assert bx.rotated_iou(square, np.add(square, [1, 1, 0, 0, 0]))[0, 0] == pytest.approx(1 / 7, abs=1e-12)
    assert bx.rotated_iou(square, np.add(square, [2, 0, 0, 0, 0]))[0, 0] == pytest.approx(0.0, abs=1e-12)
    # A small one wholly inside, turned anyhow.
    small = np.array([[0.2, -0.1, 0.5, 0.4, 1.1]])
    assert bx.rotated_iou(square, small)[0, 0] == pytest.approx(0.2 / 4, abs=1e-12)


@given(st.integers(0, 1000), st.floats(-10, 10), st.floats(-1000, 1000))
@settings(max_examples=60, deadline=None)
def test_rotated_does_not_depend_on_the_frame(seed: int, turn: float, shift: float) -> None:
    a, b = random_rotated(3, seed), random_rotated(4, seed + 5000)

    def moved(boxes: np.ndarray) -> np.ndarray:
        cos, sin = math.cos(turn), math.sin(turn)
        centre = boxes[:, :2] @ np.array([[cos, sin], [-sin, cos]]) + [shift, -shift / 2]
        return np.c_[centre, boxes[:, 2:4], boxes[:, 4] + turn]

    values = bx.rotated_iou(a, b)
    np.testing.assert_allclose(bx.rotated_iou(moved(a), moved(b)), values, atol=1e-9)
    np.testing.assert_allclose(bx.rotated_iou(b, a).T, values, atol=1e-10)
    np.testing.assert_allclose(bx.rotated_iou(moved(a), moved(a)).diagonal(), 1.0, atol=1e-9)
    quarter = a[:, [0, 1, 3, 2, 4]] + [0, 0, 0, 0, math.pi / 2]  # the same box, described the other way
    np.testing.assert_allclose(bx.rotated_iou(a, quarter, aligned=True), 1.0, atol=1e-9)


def test_rotated_torch_gradients_and_degenerate_boxes() -> None:
    a, b = random_rotated(6, 3), random_rotated(6, 4)
    np.testing.assert_allclose(
        bx.rotated_iou(torch.tensor(a), torch.tensor(b)).numpy(), bx.rotated_iou(a, b), atol=1e-12
    )
    tensors = (torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True))
    assert torch.autograd.gradcheck(bx.rotated_iou, tensors)
    bad = torch.tensor(
        [[0, 0, 0, 0, 0.0], [0, 0, -1, 2, 0], [math.nan, 0, 1, 1, 0], [0, 0, 2, 0, 1]], dtype=torch.float64
    ).requires_grad_()
    values = bx.rotated_iou(bad, tensors[1])
    assert (values == 0).all()
    values.sum().backward()
    assert torch.isfinite(bad.grad).all()
    assert bx.rotated_iou(np.zeros((0, 5)), b).shape == (0, 6)


def test_rotated_in_single_precision() -> None:
    a = random_rotated(50, 9).astype(np.float32) + np.float32([100, 50, 0, 0, 0])
    b = random_rotated(50, 10).astype(np.float32) + np.float32([100, 50, 0, 0, 0])
    np.testing.assert_allclose(
        bx.rotated_iou(a, b), bx.rotated_iou(a.astype(float), b.astype(float)), atol=1e-4, rtol=0.0
    )
    np.testing.assert_allclose(bx.rotated_iou(a, a).diagonal(), 1.0, atol=1e-4)
