"""The table of sizes: in the order of the vocabulary, proper mixtures, true moments."""

from __future__ import annotations

import numpy as np
import pytest

from geometry.size_priors import KINDS, SIZE_PRIORS, size_priors
from perception.types import CLASS_ID, CLASSES


def test_table_is_in_the_order_of_the_vocabulary() -> None:
    assert tuple(SIZE_PRIORS) == CLASSES


def test_every_class_is_a_mixture_that_adds_to_one() -> None:
    priors = size_priors(np.arange(len(CLASSES)))
    np.testing.assert_allclose(priors.share.sum(axis=1), 1.0)
    assert priors.log_hwl.shape == (len(CLASSES), KINDS, 3)
    assert (priors.spread > 0).all()


def test_only_lights_and_signs_do_not_stand_on_the_road() -> None:
    grounded = size_priors(np.arange(len(CLASSES))).grounded
    assert {name for name, stands in zip(CLASSES, grounded, strict=True) if not stands} == {
        "traffic light",
        "traffic sign",
    }


@pytest.mark.parametrize("name", CLASSES)
def test_moments_are_those_of_samples(name: str) -> None:
    priors = size_priors(np.array([CLASS_ID[name]]))
    rng = np.random.default_rng(0)
    kind = rng.choice(KINDS, size=200_000, p=priors.share[0])
    samples = priors.log_hwl[0, kind] + priors.spread[0, kind] * rng.standard_normal((len(kind), 3))
    mean, sigma = priors.moments()
    np.testing.assert_allclose(mean[0], samples.mean(axis=0), atol=5e-3)
    np.testing.assert_allclose(sigma[0], samples.std(axis=0), rtol=0.02)


def test_class_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 0 to 9"):
        size_priors(np.array([0, 10]))


def test_no_objects_are_no_rows() -> None:
    assert size_priors(np.empty(0, np.int64)).log_hwl.shape == (0, KINDS, 3)
