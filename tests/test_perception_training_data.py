"""COCO lists, the decoded cache, sampling weights; and the views made from frames, checked by their pixels."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from geometry.errors import InputError
from perception.training.augment import (
    PAD,
    AugmentConfig,
    Augmenter,
    clip_labels,
    move_boxes,
)
from perception.training.batches import BatchMaker, made_ahead
from perception.training.data import (
    FrameSet,
    JoinedSet,
    Labels,
    frame_weights,
    list_path,
    load_annotations,
    pack,
)
from perception.training.device import DeviceBatchMaker, distort
from perception.training.photometric import STEPS, PhotometricConfig
from perception.types import CLASS_ID

PLAIN = PhotometricConfig(0, 0, 0, 0, 0, 0)
GREEN = (0, 255, 0)


def coco(folder: Path, *, categories=("car", "bike", "unicorn"), crowd: int = 0) -> Path:
    """Two pictures, the second twice as large; boxes of all categories."""
    for index, size in enumerate(((40, 20), (80, 40))):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((size[1], size[0], 3), 50 * index + 50, np.uint8))
    content = {
        "images": [
            {"id": 7, "file_name": "0.png", "width": 40, "height": 20},
            {"id": 9, "file_name": "1.png", "width": 80, "height": 40},
            {"id": 3, "file_name": "0.png", "width": 40, "height": 20},
        ],
        "categories": [{"id": 5 + i, "name": name} for i, name in enumerate(categories)],
        "annotations": [
            {"image_id": 7, "category_id": 5, "bbox": [1, 2, 10, 5]},
            {"image_id": 9, "category_id": 6, "bbox": [8, 4, 20, 16], "iscrowd": crowd},
            {"image_id": 9, "category_id": 7, "bbox": [8, 4, 20, 16]},
            {"image_id": 9, "category_id": 5, "bbox": [8, 4, 0, 16]},
        ],
    }
    path = folder / "train.json.gz"
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    return path


def test_names_are_mapped_and_order_is_kept(tmp_path):
    found = load_annotations(coco(tmp_path))
    assert found.names == ("0.png", "1.png", "0.png")
    assert [label.class_id.tolist() for label in found.labels] == [[0], [CLASS_ID["bicycle"]], []]
    assert found.labels[0].xyxy_px.tolist() == [[1, 2, 11, 7]]
    assert load_annotations(coco(tmp_path, crowd=1)).labels[1].ignore_xyxy_px.tolist() == [[8, 4, 28, 20]]
    assert len(found.every(2).names) == 2


def test_lists_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no val\.json"):
        list_path(tmp_path, "val")
    path = coco(tmp_path, categories=("unicorn", "dragon", "elf"))
    assert list_path(tmp_path, "train") == path
    with pytest.raises(InputError, match="road vocabulary"):
        load_annotations(path)
    path.write_bytes(b"no gzip")
    with pytest.raises(InputError, match="not a COCO list"):
        load_annotations(path)
    (tmp_path / "train.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="not a COCO list"):
        load_annotations(tmp_path / "train.json")


@pytest.mark.parametrize("cached", [False, True])
def test_packing_decodes_to_one_size_and_scales_the_boxes(tmp_path, cached):
    annotations = load_annotations(coco(tmp_path))
    cache = tmp_path / "cache" if cached else None
    frames = pack(annotations, cache)
    assert frames.images.shape == (3, 20, 40, 3)
    assert [int(image.mean()) for image in frames.images] == [50, 100, 50]
    assert frames.labels[1].xyxy_px.tolist() == [[4, 2, 14, 10]]
    if cached:
        (tmp_path / "0.png").unlink()  # the second time nothing is decoded
        again = pack(annotations, cache)
        assert (again.images == frames.images).all()
        assert len(list(cache.iterdir())) == 1
    with pytest.raises(InputError, match="cannot be read"):
        pack(replace(annotations, names=("gone.png", "1.png", "gone.png")), cache)


def test_frames_with_rare_classes_come_more_often():
    common, rare = Labels.of([[0, 0, 9, 9]], [0]), Labels.of([[0, 0, 9, 9]] * 2, [0, 6])
    weights = frame_weights((common,) * 99 + (rare,))
    assert weights.mean() == pytest.approx(1.0)
    # the rare class is in 1 of 100 frames: sqrt(0.3 / 0.01) = 5.48 times as often
    assert weights[99] / weights[0] == pytest.approx(30**0.5, rel=1e-6)
    assert (frame_weights((common, common)) == 1.0).all()


def frame_with_boxes(boxes, size=(160, 96)) -> FrameSet:
    """One picture that is black but for green boxes, so that views can be compared with their labels."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1] = GREEN
    return FrameSet(image[None], (Labels.of(boxes, [0] * len(boxes)),))


def seen_box(image: np.ndarray) -> np.ndarray:
    """Edges of what is green, to a fraction of a pixel by the half-bright border pixels."""
    bright = image[..., 1].astype(float) - image[..., 2] > 100
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_labels_follow_the_pixels(seed):
    frames = frame_with_boxes([(60, 30, 100, 62)])
    config = AugmentConfig(size_px=(128, 96), scale=(0.6, 1.6), mosaic=0.0, photometric=PLAIN)
    view = Augmenter(frames, config).view(0, np.random.default_rng(seed))
    if len(view.labels.class_id):
        np.testing.assert_allclose(view.labels.xyxy_px[0], seen_box(view.image), atol=1.01)


@pytest.mark.parametrize("seed", range(6))
def test_mosaics_keep_labels_on_their_pixels(seed):
    frames = frame_with_boxes([(60, 30, 100, 62)])
    config = AugmentConfig(size_px=(192, 128), scale=(0.6, 1.0), mosaic=1.0, photometric=PLAIN)
    view = Augmenter(frames, config).view(0, np.random.default_rng(seed))
    mask = np.zeros(view.image.shape[:2], bool)
    for x0, y0, x1, y1 in np.round(np.concatenate((view.labels.xyxy_px, view.labels.ignore_xyxy_px))).astype(int):
        mask[y0:y1, x0:x1] = True
    green = (view.image[..., 1] > 180) & (view.image[..., 2] < 60)
    assert green.any()
    assert (green & ~mask).mean() < 0.002
    assert not Augmenter(frames, config).config.calm().mosaic


def test_mixup_keeps_both_sets_of_objects():
    frames = frame_with_boxes([(20, 20, 120, 80)])
    config = AugmentConfig((160, 96), scale=(0.999, 1.001), focus=0, mosaic=0, mixup=1.0, aspect=0, photometric=PLAIN)
    view = Augmenter(frames, config).view(0, np.random.default_rng(1))
    assert len(view.labels.class_id) == 2


def test_what_is_hardly_seen_or_tiny_is_to_be_ignored():
    labels = Labels.of([[-90, 10, 10, 30], [5, 5, 25, 25], [40, 40, 42, 60], [200, 0, 220, 20]], [0, 1, 2, 3])
    cut = clip_labels(labels, (100, 80))
    assert cut.class_id.tolist() == [1]
    assert cut.ignore_xyxy_px.tolist() == [[0, 10, 10, 30], [40, 40, 42, 60]]


@given(
    box=st.tuples(*[st.floats(0, 100)] * 4),
    scale=st.tuples(*[st.floats(0.2, 4)] * 2),
    shift=st.tuples(*[st.floats(-50, 50)] * 2),
)
def test_mirroring_twice_is_the_plain_move(box, scale, shift):
    xyxy = np.array([[min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3])]])
    plain = move_boxes(xyxy, np.array(scale), np.array(shift), None)
    mirrored = move_boxes(xyxy, np.array(scale), np.array(shift), 64.0)
    np.testing.assert_allclose(move_boxes(mirrored, np.ones(2), np.zeros(2), 64.0), plain, atol=1e-3)
    assert (mirrored[:, 2] >= mirrored[:, 0]).all()


def test_small_pictures_are_expanded_with_the_letterbox_grey():
    frames = frame_with_boxes([(60, 30, 100, 62)])
    config = AugmentConfig(size_px=(320, 320), scale=(0.5, 0.5001), mosaic=0.0, aspect=0.0, photometric=PLAIN)
    view = Augmenter(frames, config).view(0, np.random.default_rng(0))
    assert ((view.image == PAD).all(-1)).mean() > 0.9


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_photometric_changes_keep_shape_and_objects_in_place(name, step):
    image = frame_with_boxes([(60, 30, 100, 62)]).images[0]
    changed = step(image, np.random.default_rng(4))
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert (changed != image).any()
    inside, outside = changed[40:50, 75:85].mean((0, 1)), changed[:10].mean((0, 1))
    assert inside[1] > outside[1]


def test_a_batch_depends_on_seed_and_step_alone():
    maker = BatchMaker(Augmenter(frame_with_boxes([(60, 30, 100, 62)]), AugmentConfig((96, 64))), np.ones(1), 3, seed=5)
    first, again, other = maker.make(11), maker.make(11), maker.make(12)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.truth.xyxy_px, again.truth.xyxy_px)
    assert not torch.equal(first.images, other.images)
    ahead = made_ahead(maker.make, first=11)
    assert torch.equal(next(ahead).images, first.images)
    assert torch.equal(next(ahead).images, other.images)
    ahead.close()


def test_an_error_while_making_batches_reaches_the_loop():
    def broken(step):
        raise ValueError("no batch")

    with pytest.raises(ValueError, match="no batch"):
        next(made_ahead(broken, 0))


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_a_device_renders_what_the_cpu_renders(mosaic):
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.integers(0, 255, (96, 160, 3), np.uint8), (0, 0), 3)
    frames = FrameSet(smooth[None], (Labels.of([[60, 30, 100, 62]], [0]),))
    augmenter = Augmenter(frames, AugmentConfig((128, 96), mosaic=mosaic, mixup=0.5, photometric=PLAIN))
    maker = DeviceBatchMaker(augmenter, np.ones(1), 1, 0, device=torch.device("cpu"))
    for seed in range(5):
        plan = augmenter.plan(0, np.random.default_rng(seed))
        cpu = augmenter.render(plan).astype(float)
        device = maker.render(plan)[0].permute(1, 2, 0).numpy().astype(float)
        # the two differ in how they interpolate at the padding's border, and by rounding
        assert np.abs(cpu - device).mean() < 1.0
        assert np.percentile(np.abs(cpu - device), 97) <= 3


def test_distortion_on_a_device_is_seeded_and_optional():
    images = torch.randint(0, 255, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    same = [distort(images, 1.0, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], images)
    assert torch.equal(distort(images, 0.0, torch.Generator().manual_seed(1)), images)


def test_joined_sets_are_one_after_the_other():
    first, second = frame_with_boxes([(0, 0, 9, 9)]), frame_with_boxes([(0, 0, 9, 9), (20, 20, 30, 30)])
    joined = JoinedSet((first, second))
    assert len(joined) == 2
    assert [len(label.class_id) for label in joined.labels] == [1, 2]
    assert (joined.image(1) == second.images[0]).all()
    with pytest.raises(IndexError):
        joined.image(2)


def test_real_frames_have_their_ten_classes(shared):
    annotations = load_annotations(list_path(shared / "data/train", "val"))
    assert len(annotations.names) == 946
    assert set(np.concatenate([label.class_id for label in annotations.labels]).tolist()) == set(range(10))
    sample = pack(annotations.every(200))
    assert sample.images.shape == (5, 360, 640, 3)
    assert sample.images.std() > 20
