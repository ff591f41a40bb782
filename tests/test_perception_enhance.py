"""Haze put on by the formula of light in fog, and taken off again."""

import numpy as np
import pytest

from perception.enhance import dehaze, enhance, measure_visibility

RNG = np.random.default_rng(3)
SHAPE = (360, 640)


def road():
    """Asphalt with dark and coloured patches under a bright sky: a dark channel near 0, as of clear days."""
    image = np.full((*SHAPE, 3), 95.0)
    image[: SHAPE[0] // 3] = (220, 200, 180)
    for _ in range(300):
        y, x = RNG.integers(SHAPE[0] // 3, SHAPE[0]), RNG.integers(0, SHAPE[1])
        image[y : y + 14, x : x + 20] = RNG.integers(0, 130, 3)
    return image


def hazed(image, visibility_m, air=205.0):
    """Koschmieder's law with the 5 % contrast threshold: t = exp(-3 x / visibility); x by row as of a flat road."""
    rows = np.arange(SHAPE[0]) - SHAPE[0] // 3
    x = np.where(rows > 0, 600.0 / np.maximum(rows, 1), 1e4)
    t = np.exp(-3 * x / visibility_m)[:, None, None]
    return np.clip(image * t + air * (1 - t), 0, 255).astype(np.uint8)


def test_a_clear_picture_is_handed_on_as_it_is():
    clear = np.clip(road(), 0, 255).astype(np.uint8)
    assert not measure_visibility(clear).is_hazy
    assert enhance(clear) is clear


@pytest.mark.parametrize("visibility_m", [30.0, 15.0])
def test_haze_is_seen_and_lifted_towards_the_truth(visibility_m):
    truth = np.clip(road(), 0, 255)
    hazy = hazed(truth, visibility_m)
    near = slice(SHAPE[0] // 2, SHAPE[0])
    lifted = dehaze(hazy)
    assert measure_visibility(hazy).dark_channel > measure_visibility(truth.astype(np.uint8)).dark_channel + 0.1
    assert np.abs(lifted[near] - truth[near]).mean() < 0.6 * np.abs(hazy[near] - truth[near]).mean()
    assert lifted[near].astype(float).std() > 1.2 * hazy[near].astype(float).std()


def test_flat_bright_fog_switches_it_on_and_night_does_not():
    fog = np.clip(RNG.normal(190, 4, (*SHAPE, 3)), 0, 255).astype(np.uint8)
    assert measure_visibility(fog).is_hazy
    assert enhance(fog) is not fog
    night = np.clip(RNG.normal(12, 4, (*SHAPE, 3)), 0, 255).astype(np.uint8)
    assert measure_visibility(night).is_dark and not measure_visibility(night).is_hazy
    assert enhance(night) is night


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 50, 3), (97, 13, 3), (720, 1280, 3)])
def test_any_size_keeps_its_size(shape):
    picture = RNG.integers(0, 256, shape).astype(np.uint8)
    out = dehaze(picture)
    assert out.shape == shape and out.dtype == np.uint8
    measure_visibility(picture)
