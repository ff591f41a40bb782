"""Fits and their inverse: closed forms, round trips, and pictures that really lie where the fit says."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geometry.errors import InputError
from perception.preprocess import Fit, FitKind, Preprocess, fit, size_for

SIDES = st.integers(1, 1500)
KINDS: tuple[FitKind, ...] = ("top-left", "centre", "stretch")


def test_half_size_by_hand() -> None:
    placed = fit((1280, 720), (640, 384), "centre")
    assert (placed.resized_size_px, placed.left_px, placed.top_px) == ((640, 360), 0, 12)
    # (c + 0.5) s - 0.5: the point between the first two pixels is the centre of the first network pixel.
    assert placed.to_network(np.array([[0.5, 0.5]])) == pytest.approx(np.array([[0.0, 12.0]]))
    # The whole picture, as edges, is points from half a pixel before its first to half a pixel past its last.
    assert placed.boxes_to_image(np.array([[0.0, 12.0, 640.0, 372.0]])).tolist() == [[-0.5, -0.5, 1279.5, 719.5]]


@given(st.tuples(SIDES, SIDES), st.tuples(st.integers(32, 1280), st.integers(32, 1280)), st.sampled_from(KINDS))
def test_there_and_back(image: tuple[int, int], size: tuple[int, int], kind: FitKind) -> None:
    placed = fit(image, size, kind)
    xy = np.random.default_rng(0).uniform(-0.5, 1.0, (50, 2)) * image
    assert placed.to_image(placed.to_network(xy)) == pytest.approx(xy, abs=1e-6)
    inside = np.add(placed.resized_size_px, (placed.left_px, placed.top_px))
    assert min(placed.resized_size_px) >= 1 and (inside <= size).all()
    if kind != "stretch":
        assert placed.resized_size_px[0] == size[0] or placed.resized_size_px[1] == size[1]


@given(st.tuples(SIDES, SIDES), st.sampled_from(KINDS))
def test_boxes_and_points_agree(image: tuple[int, int], kind: FitKind) -> None:
    placed = fit(image, (416, 320), kind)
    low, high = np.sort(np.random.default_rng(1).uniform(0, 1, (2, 9, 2)), axis=0) * image
    corner = np.array([placed.left_px, placed.top_px])
    edges = np.concatenate([low * placed.scale + corner, high * placed.scale + corner], axis=1)
    points = np.concatenate([placed.to_image(edges[:, :2] - 0.5), placed.to_image(edges[:, 2:] - 0.5)], axis=1)
    assert placed.boxes_to_image(edges) == pytest.approx(points, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("image", "size"), [((1280, 720), (640, 384)), ((333, 500), (416, 416)), ((90, 60), (320, 96))]
)
def test_a_blob_is_where_the_fit_says(image: tuple[int, int], size: tuple[int, int], kind: FitKind) -> None:
    y, x = np.mgrid[: image[1], : image[0]]
    centre = np.array([0.37 * image[0], 0.61 * image[1]])
    spread = min(image) / 12
    blob = 255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * spread**2))
    bgr = np.repeat(blob.round().astype(np.uint8)[:, :, None], 3, axis=2)
    array, placed = Preprocess(kind, pad=0)(bgr, size)
    v, u = np.mgrid[: size[1], : size[0]]
    weight = array[0, 0] / array[0, 0].sum()
    found = np.array([[(weight * u).sum(), (weight * v).sum()]])
    assert found == pytest.approx(placed.to_network(centre[None]), abs=0.05)


def test_values_order_and_padding_by_hand() -> None:
    bgr = np.empty((2, 4, 3), np.uint8)
    bgr[:] = (10, 20, 30)
    array, _ = Preprocess("centre", rgb=True, mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 5.0), pad=100)(bgr, (4, 4))
    assert array.shape == (1, 3, 4, 4) and array.dtype == np.float32
    assert array[0, :, 1, 0] == pytest.approx([(30 - 1) / 2, (20 - 2) / 4, (10 - 3) / 5])
    assert array[0, :, 0, 0] == pytest.approx([99 / 2, 98 / 4, 97 / 5])
    whole, _ = Preprocess()(bgr, (4, 4), np.uint8)
    assert whole.dtype == np.uint8 and whole[0, :, 0, 0].tolist() == [10, 20, 30] and whole[0, 0, 3, 3] == 114


def test_channels_last_is_the_same_array_turned_and_bytes_are_the_picture_itself() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    for preprocess in (Preprocess(), Preprocess("centre", rgb=True, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))):
        for dtype in (np.uint8, np.float32):
            first, placed = preprocess(bgr, (96, 64), dtype)
            last, also_placed = preprocess(bgr, (96, 64), dtype, channels_last=True)
            assert last.shape == (1, 64, 96, 3) and last.dtype == dtype and last.flags.c_contiguous
            assert (np.moveaxis(last, 3, 1) == first).all() and placed == also_placed
    same, _ = Preprocess()(bgr, (50, 30), np.uint8, channels_last=True)
    assert np.shares_memory(same, bgr)


def test_one_pixel_is_a_picture() -> None:
    array, placed = Preprocess()(np.full((1, 1, 3), 7, np.uint8), (64, 32))
    assert array.shape == (1, 3, 32, 64) and placed == Fit((1, 1), (32, 32), 0, 0)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 4), "u1"),
    ],
)
def test_what_is_no_picture_is_named(picture: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"wanted a uint8 picture \(height, width, 3\)"):
        Preprocess()(picture, (64, 64))


@pytest.mark.parametrize("wrong", [{"fit": "crop"}, {"std": (1.0, 0.0, 1.0)}, {"mean": (1.0, math.nan, 1.0)}])
def test_wrong_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match="must be"):
        Preprocess(**wrong)


def test_wide_frames_get_wide_inputs() -> None:
    assert size_for((1280, 720), 640 * 384) == (640, 384)
    assert size_for((1242, 375), 640 * 384) == (864, 256)
    assert size_for((640, 480), 640 * 384) == (576, 416)


@settings(max_examples=60)
@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(32 * 32, 1_000_000))
def test_no_other_size_shows_the_frame_larger(width: int, height: int, budget_px: int) -> None:
    best = size_for((width, height), budget_px)
    assert best[0] % 32 == best[1] % 32 == 0 and best[0] * best[1] <= budget_px
    scale = min(best[0] / width, best[1] / height)
    sides = range(32, budget_px // 32 + 1, 32)
    assert scale >= max(min(w / width, budget_px // w // 32 * 32 / height) for w in sides if w * 32 <= budget_px)
