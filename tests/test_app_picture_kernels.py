"""Compiled loops over pictures, against the formulas in plain NumPy."""

import numpy as np
import pytest

from app.picture_kernels import shade
from app.video_writer import Pictures420


def planes_exactly(bgr: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ITU-R BT.709-6 in limited range, 4:2:0 by means of 2 x 2 pixels, not rounded."""
    blue, green, red = np.moveaxis(bgr.astype(np.float64) / 255, -1, 0)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    height, width = luma.shape

    def mean(plane: np.ndarray) -> np.ndarray:
        return plane.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))

    cb, cr = mean((blue - luma) / 1.8556), mean((red - luma) / 1.5748)
    return 16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr


def planes_of(picture: object) -> list[np.ndarray]:
    return [
        np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width].astype(int)
        for plane in picture.planes  # type: ignore[attr-defined]
    ]


@pytest.mark.parametrize("size", [(64, 48), (34, 2), (250, 130)])
def test_planes_are_those_of_the_standard_to_a_level(size: tuple[int, int]) -> None:
    bgr = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    for got, wanted in zip(planes_of(Pictures420()(bgr)), planes_exactly(bgr), strict=True):
        assert np.abs(got - wanted).max() <= 1.0
        assert abs((got - wanted).mean()) < 0.3  # rounded, not cut off


@pytest.mark.parametrize(
    ("bgr", "yuv"),
    [
        ((0, 0, 0), (16, 128, 128)),
        ((255, 255, 255), (235, 128, 128)),
        ((255, 0, 0), (32, 240, 118)),
        ((0, 0, 255), (63, 102, 240)),
    ],
)
def test_published_values_of_plain_colours(bgr: tuple[int, int, int], yuv: tuple[int, int, int]) -> None:
    """Bars of BT.709 at 100 %: black, white, blue, red."""
    planes = planes_of(Pictures420()(np.full((4, 6, 3), bgr, np.uint8)))
    for plane, wanted in zip(planes, yuv, strict=True):
        assert np.abs(plane - wanted).max() <= 1


def test_a_maker_goes_on_with_another_size() -> None:
    pictures = Pictures420()
    pictures(np.zeros((8, 8, 3), np.uint8))
    again = pictures(np.full((5, 7, 3), 255, np.uint8))
    assert (again.width, again.height) == (8, 6)
    assert planes_of(again)[0].min() == 235, "the last row and column are repeated"


@pytest.mark.parametrize("widths", [(34, 6), (33, 7, 2), (5, 4)])
def test_parts_side_by_side_give_the_planes_of_the_whole(widths: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    parts = [rng.integers(0, 256, (13, width, 3), dtype=np.uint8) for width in widths]
    whole = planes_of(Pictures420()(np.concatenate(parts, axis=1)))
    for got, wanted in zip(planes_of(Pictures420()(*parts)), whole, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("box", [(3, 2, 20, 9), (-5, -4, 8, 70), (25, 1, 90, 4), (40, 2, 50, 3)])
def test_a_shade_is_a_blend_inside_its_box_only(box: tuple[int, int, int, int]) -> None:
    image = np.random.default_rng(6).integers(0, 256, (12, 30, 3), dtype=np.uint8)
    expected, (left, top, right, bottom) = image.astype(float), box
    part = np.s_[max(top, 0) : bottom, max(left, 0) : right]
    expected[part] = 0.6 * np.array([10, 200, 90]) + 0.4 * expected[part]
    shade(image.reshape(12, -1), np.array(box), np.array([10, 200, 90]), round(256 * 0.6))
    np.testing.assert_allclose(image, expected, atol=1)
    outside = np.ones(image.shape, bool)
    outside[part] = False
    assert (image[outside] == expected[outside]).all()
