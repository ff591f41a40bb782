"""The loop: schedules, averages, resuming, refusals; and one small training that must really learn."""

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from geometry.errors import InputError  # noqa: E402
from perception.training.augment import AugmentConfig  # noqa: E402
from perception.training.data import FrameSet, Labels  # noqa: E402
from perception.training.model import Detector, ModelConfig  # noqa: E402
from perception.training.optim import WeightAverage, adamw  # noqa: E402
from perception.training.photometric import PhotometricConfig  # noqa: E402
from perception.training.plots import plot_history  # noqa: E402
from perception.training.train import (  # noqa: E402
    Check,
    TrainConfig,
    Trainer,
    blended,
    learning_rate,
    load_average,
    load_checkpoint,
    pick_device,
    train,
)
from perception.training.validate import average_precision, in_regions, letterbox, match  # noqa: E402

CPU = torch.device("cpu")
TINY = ModelConfig(stem=8, stages=(8, 16, 16, 24), depths=(1, 1, 1, 1), neck=16, bins=8)
SMALL = AugmentConfig(size_px=(96, 64), scale=(0.8, 1.2))


def few_frames(count: int = 4) -> FrameSet:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 90, (count, 64, 96, 3), np.uint8)
    labels = []
    for index in range(count):
        x, y = 10 + 8 * index, 20
        images[index, y : y + 24, x : x + 30] = (0, 200, 255)
        labels.append(Labels.of([[x, y, x + 30, y + 24]], [0]))
    return FrameSet(images, tuple(labels))


def config(**changes) -> TrainConfig:
    fields = {
        "steps": 6,
        "batch": 2,
        "warmup_steps": 2,
        "report_steps": 2,
        "threads": 1,
        "amp": False,
        "augment": SMALL,
    }
    return TrainConfig(**{**fields, **changes})


def test_blended_networks_lie_between():
    torch.manual_seed(0)
    one, other = Detector(TINY), Detector(TINY)
    other.train()(torch.rand(2, 3, 64, 64))  # moves the statistics of batch norms, counts of which are integers
    mixed = blended(one, other, 0.25).state_dict()
    for name, value in one.state_dict().items():
        wanted = 0.75 * value + 0.25 * other.state_dict()[name] if value.is_floating_point() else value
        torch.testing.assert_close(mixed[name], wanted)
    with pytest.raises(InputError, match="cannot be blended; wanted two of one training"):
        blended(one, Detector(replace(TINY, neck=24)), 0.5)


def test_the_learning_rate_warms_up_and_falls_along_a_cosine():
    plan = TrainConfig(steps=100, lr=1.0, warmup_steps=10, final_lr=0.1)
    assert learning_rate(plan, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(plan, 9, 0.0) == pytest.approx(1.0)
    assert learning_rate(plan, 50, 0.5) == pytest.approx(0.1 + 0.9 * 0.5)
    assert learning_rate(plan, 50, 1.0) == learning_rate(plan, 50, 1.7) == pytest.approx(0.1)


def test_a_budget_is_either_time_or_steps():
    for fields in ({}, {"minutes": 1.0, "steps": 1}):
        with pytest.raises(InputError, match="either minutes or steps"):
            TrainConfig(**fields)


def test_the_average_starts_young_and_ends_slow():
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    average = WeightAverage(model, decay=0.9)
    torch.nn.init.ones_(model.weight)
    average.update(model)  # decay 2/11
    assert average.model.weight.item() == pytest.approx(9 / 11)
    for _ in range(200):
        average.update(model)
    torch.nn.init.zeros_(model.weight)
    average.update(model)  # by now 0.9
    assert average.model.weight.item() == pytest.approx(0.9, rel=1e-3)


def test_only_kernels_decay():
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3))
    groups = adamw(model, 0.25).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.25), (3, 0.0)]


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in trainer.model.parameters()])


def test_training_is_deterministic_and_resuming_changes_nothing(tmp_path):
    frames = few_frames()
    whole = Trainer(TINY, config(), CPU)
    train(whole, frames, tmp_path / "whole")
    again = Trainer(TINY, config(), CPU)
    train(again, frames, tmp_path / "again")
    assert torch.equal(weights(whole), weights(again))
    # three steps, then a new trainer of another seed goes on from the file; the schedule is that of six steps
    first = Trainer(TINY, config(), CPU)
    maker = iter_batches(first, frames)
    for _ in range(3):
        first.step(next(maker))
    first.save(tmp_path / "half.pt")
    second = Trainer(TINY, config(), CPU)
    torch.nn.init.zeros_(second.model.neck.down16.conv.weight)
    second.resume(tmp_path / "half.pt")
    assert second.state.step == 3
    train(second, frames, tmp_path / "second")
    assert torch.equal(weights(whole), weights(second))
    averages = [load_average(tmp_path / name / "last.pt").state_dict() for name in ("whole", "second")]
    assert all(torch.equal(averages[0][key], averages[1][key]) for key in averages[0])


def test_a_training_that_is_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    frames = few_frames()
    whole = Trainer(TINY, config(), CPU)
    train(whole, frames, tmp_path / "whole")
    first = Trainer(TINY, config(), CPU)
    train(first, frames, tmp_path / "first", should_stop=lambda: first.state.step == 2)
    assert first.state.step == 2
    second = Trainer(TINY, config(), CPU)
    second.resume(tmp_path / "first" / "last.pt")
    train(second, frames, tmp_path / "second")
    assert torch.equal(weights(whole), weights(second))


def iter_batches(trainer: Trainer, frames: FrameSet):
    from perception.training.train import make_batches

    return make_batches(trainer, frames)


def test_another_seed_is_another_training():
    assert not torch.equal(weights(Trainer(TINY, config(seed=0), CPU)), weights(Trainer(TINY, config(seed=1), CPU)))


def test_reports_history_and_plots(tmp_path):
    told: list[dict[str, float]] = []
    frames = few_frames()
    trainer = Trainer(replace(TINY, end_to_end=True), config(), CPU)
    train(trainer, frames, tmp_path, told.append, Check(frames, (96, 64)))
    losses = [entry for entry in told if "loss" in entry]
    assert [entry["step"] for entry in losses] == [2, 4, 6]
    assert losses[-1]["left_s"] == pytest.approx(0.0)
    assert all(math.isfinite(entry["loss"]) for entry in losses)
    assert 0.0 <= told[-1]["ap50 mean"] <= 1.0
    assert repr(load_checkpoint(tmp_path / "last.pt")["state"]["history"]) == repr(told)  # NaN is not itself
    for path in plot_history(told, tmp_path):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert plot_history([], tmp_path) == []


def test_what_is_no_checkpoint_or_another_model_is_refused(tmp_path):
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "bad.pt")
    torch.save({"format": 99}, tmp_path / "old.pt")
    with pytest.raises(InputError, match="format 1"):
        load_checkpoint(tmp_path / "old.pt")
    Trainer(TINY, config(), CPU).save(tmp_path / "tiny.pt")
    with pytest.raises(InputError, match="another model"):
        Trainer(replace(TINY, neck=24), config(), CPU).resume(tmp_path / "tiny.pt")


def test_fine_tuning_begins_with_the_averaged_weights_and_a_new_head_with_the_dense_one(tmp_path):
    before = Trainer(TINY, config(), CPU)
    train(before, few_frames(), tmp_path)
    after = Trainer(replace(TINY, end_to_end=True), config(seed=5), CPU)
    after.start_from(tmp_path / "last.pt")
    averaged = before.average.model.state_dict()
    for model in (after.model, after.average.model):
        mine = model.state_dict()
        assert all(torch.equal(mine[key], value) for key, value in averaged.items())
        assert all(torch.equal(mine[f"single_{key}"], averaged[key]) for key in averaged if key.startswith("heads."))
    assert after.state.step == 0 and not after.optimiser.state
    with pytest.raises(InputError, match="another model"):
        Trainer(replace(TINY, neck=24), config(), CPU).start_from(tmp_path / "last.pt")


def test_the_one_to_one_head_can_learn_alone(tmp_path):
    frames = few_frames()
    train(Trainer(TINY, config(), CPU), frames, tmp_path)
    trainer = Trainer(replace(TINY, end_to_end=True), config(head_only=True), CPU)
    trainer.start_from(tmp_path / "last.pt")
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    train(trainer, frames, tmp_path / "head")
    after = trainer.model.state_dict()
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert {f"single_heads.{level}.class_out.weight" for level in range(3)} < changed
    assert all(key.startswith("single_heads.") for key in changed)
    with pytest.raises(InputError, match="add --end-to-end"):
        Trainer(TINY, config(head_only=True), CPU)
    Trainer(replace(TINY, end_to_end=True), config(), CPU).save(tmp_path / "whole.pt")
    with pytest.raises(InputError, match="begin with --init"):
        Trainer(replace(TINY, end_to_end=True), config(head_only=True), CPU).resume(tmp_path / "whole.pt")


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    trainer = Trainer(TINY, config(), CPU)
    with torch.no_grad():
        trainer.model.backbone.stem.conv.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="loss is nan"):
        train(trainer, few_frames(), tmp_path)


def test_devices():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            pick_device("cuda:0")


def test_average_precision_by_hand():
    # hits in order of score: 1, 0, 1; two truths: precision 1 to recall 0.5, then 2/3: 51 and 50 of 101 points
    hit, score = np.array([True, True, False]), np.array([0.9, 0.5, 0.7])
    assert average_precision(hit, score, 2) == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert average_precision(hit[:0], score[:0], 2) == 0.0
    assert math.isnan(average_precision(hit, score, 0))


def test_matching_gives_each_truth_to_the_best_score_once():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], float)
    hit = match(boxes, np.array([0.5, 0.9, 0.8]), np.array([[0, 0, 10, 10]], float))
    assert hit.tolist() == [False, True, False]
    assert in_regions(boxes, np.array([[40.0, 40.0, 70.0, 70.0]])).tolist() == [False, False, True]


def test_letterbox_is_that_of_the_runtime():
    canvas, scale = letterbox(np.full((360, 640, 3), 7, np.uint8), (736, 416))
    assert canvas.shape == (416, 736, 3)
    assert scale.tolist() == [1.15, 1.15]
    assert (canvas[:414] == 7).all()
    assert (canvas[414:] == 114).all()


@pytest.mark.slow
def test_a_small_training_learns_its_frames_and_the_exported_file_knows_them(tmp_path):
    """Rendered frames to AP50 over 0.9 in onnxruntime: assignment, loss, augmentation, average, resume, export."""
    from perception.detector import load_detector
    from perception.training.export import ExportConfig, export_onnx
    from perception.training.rendered import render_frames
    from perception.training.validate import Tally

    size = (320, 192)
    frames = large_enough(render_frames(24, size, seed=5))
    gentle = AugmentConfig(size, (0.9, 1.3), mosaic=0.1, mixup=0.05, aspect=0.05, photometric=PhotometricConfig(0.3))
    plan = TrainConfig(steps=320, batch=8, lr=3e-3, warmup_steps=20, ema=0.98, threads=1, augment=gentle)
    half = Trainer(ModelConfig(), plan, CPU)
    batches = iter_batches(half, frames)
    for _ in range(80):
        half.step(next(batches))
    batches.close()
    half.save(tmp_path / "half.pt")
    trainer = Trainer(ModelConfig(), plan, CPU)
    trainer.resume(tmp_path / "half.pt")
    train(trainer, frames, tmp_path)
    export_onnx(load_average(tmp_path / "last.pt"), tmp_path / "net.onnx", ExportConfig(size))
    detector, tally = load_detector(tmp_path / "net.onnx", device="cpu", score_threshold=0.01), Tally()
    for image, labels in zip(frames.images, frames.labels, strict=True):
        found = detector.detect(image)
        tally.add(found.xyxy_px + 0.5, found.score, found.class_id, labels)
    plenty = {name for name, count in tally.truths.items() if count >= 20}
    assert plenty == {"car", "truck", "vehicle"}
    assert {name: figure for name, figure in tally.ap50().items() if name in plenty and figure <= 0.9} == {}


def large_enough(frames: FrameSet, side_px: float = 8.0) -> FrameSet:
    """With what is under ``side_px`` left out of account: a cell of the finest stride."""
    labels = []
    for label in frames.labels:
        large = (label.xyxy_px[:, 2:] - label.xyxy_px[:, :2]).min(1, initial=np.inf) >= side_px
        rest = np.concatenate((label.ignore_xyxy_px, label.xyxy_px[~large]))
        labels.append(Labels.of(label.xyxy_px[large], label.class_id[large], rest))
    return FrameSet(frames.images, tuple(labels))
