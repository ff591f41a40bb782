"""One body, one box: against hand-made frames, and what must stay as it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bodies import one_box_a_body
from perception.types import CLASS_ID, Detections

PERSON, RIDER, BICYCLE, MOTORCYCLE, CAR = (
    CLASS_ID[name] for name in ("person", "rider", "bicycle", "motorcycle", "car")
)
BODY = [100.0, 50.0, 140.0, 150.0]


def found(*rows: tuple[list[float], float, int]) -> Detections:
    boxes, scores, classes = zip(*rows, strict=True)
    return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(classes))


def moved(box: list[float], right_px: float) -> list[float]:
    return [box[0] + right_px, box[1], box[2] + right_px, box[3]]


@pytest.mark.parametrize(("first", "second"), [(PERSON, RIDER), (RIDER, PERSON), (BICYCLE, MOTORCYCLE)])
def test_a_body_shown_as_two_classes_keeps_the_surer_and_both_scores(first: int, second: int) -> None:
    one = one_box_a_body(found((BODY, 0.6, first), (moved(BODY, 4.0), 0.5, second)))
    assert one.class_id.tolist() == [first]
    np.testing.assert_allclose(one.xyxy_px, [BODY])
    assert one.score[0] == pytest.approx(0.8)  # 1 - 0.4 * 0.5


def test_equal_scores_leave_one_box() -> None:
    one = one_box_a_body(found((BODY, 0.5, PERSON), (BODY, 0.5, RIDER)))
    assert len(one) == 1 and one.score[0] == pytest.approx(0.75)


def test_best_score_stays_first() -> None:
    rows = found((moved(BODY, 300.0), 0.7, CAR), (BODY, 0.6, PERSON), (BODY, 0.5, RIDER))
    assert one_box_a_body(rows).class_id.tolist() == [PERSON, CAR]


@pytest.mark.parametrize(
    "rows",
    [
        ((BODY, 0.6, PERSON), (moved(BODY, 4.0), 0.5, PERSON)),  # two people of a crowd: suppression's business
        ((BODY, 0.6, RIDER), (BODY, 0.5, BICYCLE)),  # a rider is no bicycle
        ((BODY, 0.6, PERSON), (BODY, 0.5, CAR)),
        ((BODY, 0.6, PERSON), (moved(BODY, 14.0), 0.5, RIDER)),  # IoU 26/54 = 0.48
    ],
)
def test_what_may_be_two_bodies_stays(rows: tuple[tuple[list[float], float, int], ...]) -> None:
    before = found(*rows)
    assert one_box_a_body(before) is before or len(one_box_a_body(before)) == 2


def test_a_box_is_witness_for_one_body_alone() -> None:
    """Two people, and a rider's box over both: it joins the one it overlaps most, the other one stays."""
    rows = found((BODY, 0.6, PERSON), (moved(BODY, 10.0), 0.55, PERSON), (moved(BODY, 2.0), 0.5, RIDER))
    one = one_box_a_body(rows)
    assert one.class_id.tolist() == [PERSON, PERSON]
    np.testing.assert_allclose(one.score, [0.8, 0.55], rtol=1e-6)


def test_nothing_is_nothing() -> None:
    assert len(one_box_a_body(Detections.empty())) == 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_boxes_are_kept_or_gone_and_scores_never_fall(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (count, 2))
    boxes = np.hstack([corner, corner + rng.uniform(10, 60, (count, 2))]).astype(np.float32)
    before = Detections(
        boxes, np.sort(rng.uniform(0.1, 0.9, count).astype(np.float32))[::-1], rng.integers(0, 10, count)
    )
    after = one_box_a_body(before)
    old = {
        tuple(box): (score, kind)
        for box, score, kind in zip(before.xyxy_px, before.score, before.class_id, strict=True)
    }
    for box, score, kind in zip(after.xyxy_px, after.score, after.class_id, strict=True):
        was, of_kind = old[tuple(box)]
        assert kind == of_kind and was <= score <= 1.0
    others = ~np.isin(before.class_id, (PERSON, RIDER, BICYCLE, MOTORCYCLE))
    assert np.isin(after.class_id, (PERSON, RIDER, BICYCLE, MOTORCYCLE), invert=True).sum() == others.sum()
    assert (np.diff(after.score) <= 0).all()
