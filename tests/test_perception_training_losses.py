"""Losses against values worked by hand, and their gradients against differences."""

import math

import pytest

torch = pytest.importorskip("torch")

from geometry.boxes import aligned_iou  # noqa: E402
from geometry.errors import InputError  # noqa: E402
from perception.training.assign import Truth  # noqa: E402
from perception.training.losses import (  # noqa: E402
    LossConfig,
    detection_loss,
    distribution_focal,
    varifocal,
)
from perception.training.model import Raw, cell_grid, decode_boxes, expected_distances  # noqa: E402


def test_varifocal_of_an_object_is_its_quality_times_cross_entropy():
    # p = 0.5, q = 0.8: 0.8 * -(0.8 ln 0.5 + 0.2 ln 0.5) = 0.8 ln 2
    loss = varifocal(torch.tensor([0.0]), torch.tensor([0.8]))
    assert loss.item() == pytest.approx(0.8 * math.log(2), rel=1e-6)


def test_varifocal_of_background_is_focal():
    # p = 0.5: 0.75 * 0.25 * ln 2;  p = sigmoid(-4) = 0.017986: 0.75 * p^2 * -ln(1 - p)
    loss = varifocal(torch.tensor([0.0, -4.0]), torch.zeros(2))
    p = 1 / (1 + math.exp(4))
    assert loss[0].item() == pytest.approx(0.75 * 0.25 * math.log(2), rel=1e-6)
    assert loss[1].item() == pytest.approx(0.75 * p**2 * -math.log(1 - p), rel=1e-5)


def test_varifocal_is_least_where_the_score_is_the_quality():
    logits = torch.linspace(-6, 6, 2401)
    best = logits[varifocal(logits, torch.full_like(logits, 0.7)).argmin()]
    assert torch.sigmoid(best).item() == pytest.approx(0.7, abs=2e-3)


def test_varifocal_gradient():
    quality = torch.tensor([0.3, 0.9, 0.6], dtype=torch.float64)
    logits = torch.tensor([-1.0, 0.4, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: varifocal(x, quality), (logits,))
    background = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    varifocal(background, torch.zeros(1, dtype=torch.float64)).backward()
    p = torch.sigmoid(background.detach())
    # the weight is held still: 0.75 p^2 times d/dx BCE = p
    torch.testing.assert_close(background.grad, 0.75 * p**2 * p)


def test_distribution_focal_by_hand():
    # four equal bins: every log-share is -ln 4, whatever the target
    flat = torch.zeros(2, 4)
    torch.testing.assert_close(distribution_focal(flat, torch.tensor([0.0, 1.7])), torch.full((2,), math.log(4)))
    # shares 1/2, 1/4, 1/4 and target 0.25: 0.75 ln 2 + 0.25 ln 4 = 1.25 ln 2
    logits = torch.tensor([[0.5, 0.25, 0.25]]).log()
    assert distribution_focal(logits, torch.tensor([0.25])).item() == pytest.approx(1.25 * math.log(2), rel=1e-6)


def test_distribution_focal_clips_to_what_the_bins_express():
    logits = torch.randn(1, 5, generator=torch.Generator().manual_seed(1))
    beyond = distribution_focal(logits, torch.tensor([9.0]))
    assert beyond.item() == pytest.approx(-logits.log_softmax(-1)[0, 4].item(), rel=1e-2)
    below = distribution_focal(logits, torch.tensor([-2.0]))
    assert below.item() == pytest.approx(-logits.log_softmax(-1)[0, 0].item(), rel=1e-6)


def test_distribution_focal_gradient():
    logits = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    target = torch.tensor([0.4, 2.9, 4.5], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: distribution_focal(x, target), (logits,))


def test_distribution_focal_is_least_for_the_two_bins_around_the_target():
    logits = torch.zeros(1, 6, requires_grad=True)
    target = torch.tensor([2.3])
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        distribution_focal(logits, target).sum().backward()
        optimiser.step()
    torch.testing.assert_close(logits.softmax(-1)[0, 2:4], torch.tensor([0.7, 0.3]), atol=0.02, rtol=0)
    assert expected_distances(logits.detach(), 0).item() == pytest.approx(2.3, abs=0.05)


def test_boxes_decode_as_expected_sides_and_their_gradient_is_right():
    sure = torch.full((1, 1, 4, 8), -30.0, dtype=torch.float64)
    for side, steps in enumerate((1, 2, 3, 4)):
        sure[0, 0, side, steps] = 30.0
    points, strides = torch.tensor([[20.0, 36.0]], dtype=torch.float64), torch.tensor([8.0], dtype=torch.float64)
    box = decode_boxes(Raw(sure, sure, points, strides, 0))
    torch.testing.assert_close(box[0, 0], torch.tensor([12.0, 20.0, 44.0, 68.0], dtype=torch.float64))
    random = torch.randn(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: decode_boxes(Raw(x, x, points, strides, 0)), (random,))


def test_a_box_may_lie_beside_its_cell_and_never_turns_inside_out():
    sides = torch.full((1, 1, 4, 8), -30.0)
    for side, step in enumerate((0, 3, 2, 1)):  # of bins that begin at -1: left -1, top 2, right 1, bottom 0
        sides[0, 0, side, step] = 30.0
    points, strides = torch.tensor([[20.0, 36.0]]), torch.tensor([8.0])
    assert decode_boxes(Raw(sides, sides, points, strides, -1))[0, 0].tolist() == [28.0, 20.0, 28.0, 36.0]
    sides[0, 0, 2] = sides[0, 0, 0]  # left and right both -1: they would cross by two strides
    box = decode_boxes(Raw(sides, sides, points, strides, -1))[0, 0]
    assert box.tolist() == [28.0, 20.0, 28.0, 36.0]


@pytest.mark.parametrize(("nearest", "least", "most"), [(0, 0.3, 0.5), (-1, 0.9, 1.0)])
def test_an_object_between_four_cell_centres_is_met_only_by_distances_below_zero(nearest, least, most):
    logits = torch.full((1, 21, 3), -3.0, requires_grad=True)
    distances = torch.zeros(1, 21, 4, 8, requires_grad=True)
    truth = a_truth(xyxy_px=torch.tensor([[14.5, 13.0, 17.5, 19.0]]))  # centres at 12 and 20
    optimiser = torch.optim.Adam([logits, distances], lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        detection_loss(raw_of(logits, distances, nearest), truth, LossConfig(), "tal").total.backward()
        optimiser.step()
    raw = raw_of(logits.detach(), distances.detach(), nearest)
    box = decode_boxes(raw)[0, raw.logits.amax(-1)[0].argmax()]
    overlap = aligned_iou(box[None], truth.xyxy_px).item()
    # from the centre of a cell at (12, 12) on, a box 3 wide and 6 high is met by one of 5.5 by 7: 18 / 38.5
    assert least < overlap < most


def raw_of(logits: torch.Tensor, distances: torch.Tensor, nearest: int = 0) -> Raw:
    points, strides = cell_grid([(4, 4), (2, 2), (1, 1)], logits)
    return Raw(logits, distances, points, strides, nearest)


def a_truth(**changes: torch.Tensor) -> Truth:
    fields = {
        "xyxy_px": torch.tensor([[2.0, 3.0, 18.0, 15.0]]),
        "class_id": torch.tensor([1]),
        "image": torch.tensor([0]),
        "ignore_xyxy_px": torch.zeros(0, 4),
        "ignore_image": torch.zeros(0, dtype=torch.int64),
    }
    return Truth(**{**fields, **changes})


@pytest.mark.parametrize("phase", ["atss", "tal", "one_to_one"])
@pytest.mark.parametrize("box_loss", ["giou", "ciou"])
def test_descending_the_loss_finds_the_object(phase, box_loss):
    generator = torch.Generator().manual_seed(0)
    logits = torch.full((1, 21, 3), -3.0, requires_grad=True)
    distances = torch.randn(1, 21, 4, 8, generator=generator, requires_grad=True)
    truth = a_truth()
    optimiser = torch.optim.Adam([logits, distances], lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        loss = detection_loss(raw_of(logits, distances), truth, LossConfig(box_loss=box_loss), phase)
        loss.total.backward()
        optimiser.step()
    raw = raw_of(logits.detach(), distances.detach())
    best = raw.logits.amax(-1)[0].argmax()
    assert raw.logits[0, best].argmax() == 1
    box = decode_boxes(raw)[0, best]
    torch.testing.assert_close(box, truth.xyxy_px[0], atol=1.0, rtol=0)
    assert raw.logits[0, best, 1].sigmoid() > 0.8


def test_regions_to_ignore_carry_no_loss_of_background():
    logits, distances = torch.full((1, 21, 3), 2.0), torch.zeros(1, 21, 4, 8)
    empty = {"xyxy_px": torch.zeros(0, 4), "class_id": torch.zeros(0, dtype=torch.int64)}
    empty["image"] = torch.zeros(0, dtype=torch.int64)
    everywhere = torch.tensor([[0.0, 0.0, 32.0, 32.0]])
    plain = detection_loss(raw_of(logits, distances), a_truth(**empty), LossConfig(), "tal")
    ignored = a_truth(**empty, ignore_xyxy_px=everywhere, ignore_image=torch.tensor([0]))
    assert plain.total > 1.0
    assert detection_loss(raw_of(logits, distances), ignored, LossConfig(), "tal").total == 0.0
    half = a_truth(**empty, ignore_xyxy_px=everywhere / 2, ignore_image=torch.tensor([0]))
    share = detection_loss(raw_of(logits, distances), half, LossConfig(), "tal").total / plain.total
    # a quarter of the picture holds 4 of 16 cells at stride 8, 1 of 4 at 16, and on its corner the one at 32
    assert share.item() == pytest.approx(1 - 6 / 21, rel=1e-5)


def test_a_class_counts_as_often_as_it_is_given_in_every_part():
    """At weight 3, the loss of its boxes alone stays; beside those of another class they count three times."""
    views, generator = 20, torch.Generator().manual_seed(5)  # so many that the sum of targets is over 1
    logits = torch.randn(1, 21, 3, generator=generator).expand(views, -1, -1)
    distances = torch.randn(1, 21, 4, 8, generator=generator).expand(views, -1, -1, -1)
    objects = {1: [2.0, 3.0, 18.0, 15.0], 0: [17.0, 18.0, 31.0, 30.0]}  # truck, car

    def loss(classes: list[int], **emphasis: float):
        truth = a_truth(
            xyxy_px=torch.tensor([objects[kind] for kind in classes] * views),
            class_id=torch.tensor(classes * views),
            image=torch.arange(views).repeat_interleave(len(classes)),
        )
        return detection_loss(raw_of(logits, distances), truth, LossConfig(emphasis=emphasis), "tal")

    truck, car, both = loss([1]), loss([0]), loss([1, 0])
    heavy = loss([1], truck=3.0)
    assert heavy.boxes.item() == pytest.approx(truck.boxes.item(), rel=1e-5)
    assert heavy.distances.item() == pytest.approx(truck.distances.item(), rel=1e-5)
    assert heavy.classes < truck.classes  # beside a truck that weighs 3, the background of other classes weighs a third
    for part in ("boxes", "distances"):
        alone, beside, joint = (getattr(parts, part).item() for parts in (truck, car, both))
        share = (joint - beside) / (alone - beside)  # of the truck in the sum of targets
        assert 0.1 < share < 0.9
        wanted = beside + 3 * share / (2 * share + 1) * (alone - beside)
        assert getattr(loss([1, 0], truck=3.0), part).item() == pytest.approx(wanted, rel=1e-4)


def test_what_is_no_class_cannot_be_emphasised():
    with pytest.raises(InputError, match="emphasis tram"):
        LossConfig(emphasis={"tram": 2.0})
    with pytest.raises(InputError, match="over 0"):
        LossConfig(emphasis={"car": 0.0})
