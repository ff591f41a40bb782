"""Label assignment against values worked by hand on grids of a few cells."""

import pytest

torch = pytest.importorskip("torch")

from perception.training.assign import (  # noqa: E402
    FALLBACK_QUALITY,
    Cells,
    TalRule,
    Truth,
    assign_atss,
    assign_one_to_one,
    assign_tal,
)
from perception.training.model import cell_grid  # noqa: E402


def truth_of(*boxes, classes=None, images=None) -> Truth:
    count = len(boxes)
    return Truth(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(classes or [0] * count, dtype=torch.int64),
        torch.tensor(images or [0] * count, dtype=torch.int64),
        torch.zeros(0, 4),
        torch.zeros(0, dtype=torch.int64),
    )


def one_level(side: int = 4, stride: float = 8.0) -> Cells:
    """``side`` x ``side`` cells of one stride; cell (row r, column c) is at r * side + c."""
    steps = (torch.arange(side) + 0.5) * stride
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return Cells(torch.stack((x, y), -1).reshape(-1, 2), torch.full((side * side,), stride), 11)


def levels(width: int = 64, height: int = 64) -> Cells:
    sizes = [(height // s, width // s) for s in (8, 16, 32)]
    points, strides = cell_grid(sizes, torch.zeros(1))
    return Cells(points, strides, 11)


BOX = (0.0, 0.0, 16.0, 16.0)
EXACT, HALF, QUARTER, AWAY = BOX, (0.0, 0.0, 16.0, 8.0), (0.0, 0.0, 8.0, 8.0), (24.0, 24.0, 30.0, 30.0)


def predictions(by_cell: dict[int, tuple], scores_by_cell: dict[int, float], classes: int = 2):
    boxes = torch.tensor([AWAY] * 16)[None].clone()
    scores = torch.zeros(1, 16, classes)
    for cell, box in by_cell.items():
        boxes[0, cell] = torch.tensor(box)
    for cell, score in scores_by_cell.items():
        scores[0, cell, 0] = score
    return scores, boxes


def test_candidates_are_the_cells_whose_centre_the_box_holds():
    cells = one_level()
    mask = cells.candidates(torch.tensor([[0.0, 0.0, 16.0, 16.0], [9.0, 2.0, 23.0, 6.0]]))
    assert mask[0].nonzero()[:, 0].tolist() == [0, 1, 4, 5]
    # 14 px wide: centres at 12 and 20; 4 px high counts as 12 px around y = 4: centre 4 only (12 is 8 away)
    assert mask[1].nonzero()[:, 0].tolist() == [1, 2]


def test_a_box_between_cell_centres_still_has_candidates_and_only_at_the_finest_stride():
    cells = levels()
    box = torch.tensor([[6.0, 6.0, 10.0, 11.0]])  # 4 x 5 px, no centre of any stride inside
    mask = cells.candidates(box)[0]
    assert mask.any()
    assert (cells.strides_px[mask] == 8).all()
    assert (cells.points_px[mask] - torch.tensor([8.0, 8.5])).abs().max() < 6.0


def test_coarse_strides_open_with_size_and_fine_ones_close():
    cells = levels(512, 512)
    for side, strides in ((20.0, {8.0, 16.0}), (40.0, {8.0, 16.0, 32.0}), (200.0, {16.0, 32.0}), (500.0, {32.0})):
        box = torch.tensor([[250 - side / 2, 250 - side / 2, 250 + side / 2, 250 + side / 2]])
        assert set(cells.strides_px[cells.candidates(box)[0]].tolist()) == strides, side


def test_tal_takes_the_best_aligned_and_scales_to_the_best_iou():
    # score * IoU: 0.2, 0.8 * 0.5 = 0.4, 0.9 * 0.25 = 0.225, 0; the best two are cells 1 and 4
    scores, boxes = predictions({0: EXACT, 1: HALF, 4: QUARTER}, {0: 0.2, 1: 0.8, 4: 0.9, 5: 0.5})
    found = assign_tal(truth_of(BOX), scores, boxes, one_level(), TalRule(top=2, a=1.0, b=1.0))
    assert found.row[0].nonzero()[:, 0].numel() == 16 - 2  # -1 is non-zero: all but cells 1 and 4 are background
    assert found.row[0, [1, 4]].tolist() == [0, 0]
    # best IoU among them 0.5: quality 0.5 * 0.4 / 0.4 and 0.5 * 0.225 / 0.4
    torch.testing.assert_close(found.quality[0, [1, 4]], torch.tensor([0.5, 0.28125]))
    assert found.quality.sum() == pytest.approx(0.78125)


def test_tal_with_a_high_power_of_iou_prefers_the_better_box():
    # score * IoU^6: 0.2, 0.0125, 0.00022
    scores, boxes = predictions({0: EXACT, 1: HALF, 4: QUARTER}, {0: 0.2, 1: 0.8, 4: 0.9})
    found = assign_tal(truth_of(BOX), scores, boxes, one_level(), TalRule(top=1))
    assert (found.row[0] >= 0).nonzero()[:, 0].tolist() == [0]
    assert found.quality[0, 0] == pytest.approx(1.0)


def test_tal_never_leaves_the_box_however_good_the_prediction():
    scores, boxes = predictions({15: EXACT, 0: QUARTER}, {15: 1.0, 0: 0.1})
    found = assign_tal(truth_of(BOX), scores, boxes, one_level(), TalRule(top=9))
    assert found.row[0, 15] == -1
    assert found.row[0, 0] == 0


def test_a_cell_wanted_twice_goes_to_the_higher_iou():
    other = (0.0, 0.0, 16.0, 12.0)
    boxes = torch.tensor([other] * 16)[None]
    found = assign_tal(truth_of(BOX, other), torch.full((1, 16, 1), 0.5), boxes, one_level(), TalRule(top=9))
    # every prediction is the second box exactly (IoU 1 against 0.75), whose candidates are cells 0 and 1
    assert found.row[0, [0, 1, 4, 5]].tolist() == [1, 1, 0, 0]


def test_an_object_that_every_prediction_misses_is_learnt_by_its_nearest_cell():
    scores, boxes = predictions({}, {})
    found = assign_tal(truth_of((1.0, 1.0, 6.0, 6.0)), scores, boxes, one_level())
    assert (found.row[0] >= 0).nonzero()[:, 0].tolist() == [0]
    assert found.quality[0, 0] == pytest.approx(FALLBACK_QUALITY)


def test_objects_stay_in_their_own_pictures():
    boxes = torch.tensor([BOX] * 16)[None].repeat(3, 1, 1)
    truth = truth_of(BOX, BOX, images=[2, 0])
    found = assign_tal(truth, torch.full((3, 16, 1), 0.5), boxes, one_level())
    assert found.row[0].max() == 1
    assert found.row[1].max() == -1
    assert found.row[2].max() == 0


def test_atss_threshold_is_mean_plus_standard_deviation():
    # box (0, 0, 16, 8), its five nearest cells, squares of 16 px: IoU 1/3, 1/3, 1/7, 1/7, 1/11;
    # mean 0.2087 + sample deviation 0.1158 = 0.3244: the first two
    predicted = torch.tensor([(0.0, 0.0, 8.0, 8.0)] * 16)[None]
    found = assign_atss(truth_of((0.0, 0.0, 16.0, 8.0)), predicted, one_level(), top=5, anchor=2.0)
    assert (found.row[0] >= 0).nonzero()[:, 0].tolist() == [0, 1]
    torch.testing.assert_close(found.quality[0, :2], torch.tensor([0.5, 0.5]))


def test_atss_keeps_equal_candidates():
    # four cells at equal distance have equal overlaps: deviation 0, all at the threshold
    found = assign_atss(truth_of(BOX), torch.tensor([AWAY] * 16)[None], one_level(), top=4, anchor=2.0)
    assert (found.row[0] >= 0).nonzero()[:, 0].tolist() == [0, 1, 4, 5]
    assert (found.quality[0, [0, 1, 4, 5]] == FALLBACK_QUALITY).all()  # they predict nothing near it yet


def test_hungarian_gives_every_object_one_cell_at_the_least_total_cost():
    first, second = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 20.0)
    # cell 0 fits the first exactly and the second by half; cell 1 fits the first by half and is far from the second
    boxes = torch.tensor([first, (0.0, 0.0, 10.0, 5.0), (0.0, 40.0, 10.0, 60.0)])[None]
    scores = torch.full((1, 3, 1), 0.5)
    cells = Cells(torch.tensor([[4.0, 4.0], [5.0, 5.0], [6.0, 6.0]]), torch.full((3,), 8.0), 11)
    found = assign_one_to_one(truth_of(first, second), scores, boxes, cells)
    # totals of GIoU: first-0, second-1: 1 + 0.25; first-1, second-0: 0.5 + 0.5
    assert found.row[0].tolist() == [0, 1, -1]
    torch.testing.assert_close(found.quality[0], torch.tensor([1.0, 0.25, 0.0]))


def test_hungarian_prefers_a_cell_inside_to_a_better_prediction_outside():
    scores, boxes = predictions({15: EXACT, 0: QUARTER}, {15: 1.0, 0: 0.1})
    found = assign_one_to_one(truth_of(BOX), scores, boxes, one_level())
    assert (found.row[0] >= 0).nonzero()[:, 0].tolist() == [0]


@pytest.mark.parametrize("method", ["tal", "atss", "one_to_one"])
def test_pictures_without_objects_are_all_background(method):
    scores, boxes = predictions({}, {})
    calls = {
        "tal": lambda: assign_tal(truth_of(), scores, boxes, one_level()),
        "atss": lambda: assign_atss(truth_of(), boxes, one_level()),
        "one_to_one": lambda: assign_one_to_one(truth_of(), scores, boxes, one_level()),
    }
    found = calls[method]()
    assert (found.row == -1).all()
    assert not found.quality.any()
