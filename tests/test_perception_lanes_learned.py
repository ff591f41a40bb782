"""The lane network: where its labels lie, a tiny training on striped views, its file, and what fusing it does."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from geometry.camera import Camera
from geometry.errors import InputError
from perception.lanes import LaneConfig, LaneTracker
from perception.lanes.ridge import marking_evidence
from perception.lanes.slices import SliceGrid
from perception.types import Detections, Frame, LaneBoundary, Lanes

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'roadlens[train]'")
pytest.importorskip("onnx", reason="exporting needs onnx: pip install 'roadlens[train]'")

from perception.lanes.learned import VIEW_SIZE, LearnedEvidence, shrunk  # noqa: E402
from perception.training.lanes import LaneNet, LaneTrainConfig, LaneTrainer, export_lane_net, lane_loss  # noqa: E402
from perception.training.lanes_data import LaneSet, label_of  # noqa: E402

CAMERA = Camera(640, 360, 500.0, 500.0, 319.5, 179.5, height_m=1.5, pitch_rad=math.radians(3))


def striped(count=12, seed=0):
    """Views of grey road with two bright lines each, and their labels."""
    rng = np.random.default_rng(seed)
    width, height = VIEW_SIZE
    views = rng.normal(90, 4, (count, height, width, 3))
    labels = np.zeros((count, height, width), np.uint8)
    for view, label in zip(views, labels, strict=True):
        for column in (int(rng.integers(30, 70)), int(rng.integers(90, 130))):
            view[:, column : column + 2] = 220
            label[:, column : column + 2] = 255
    return LaneSet(np.clip(views, 0, 255).astype(np.uint8), labels, np.ones_like(labels))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lanes")
    trainer = LaneTrainer(LaneTrainConfig(steps=40, batch=4, lr=5e-3))
    trainer.train(striped(), folder / "last.pt")
    worst = export_lane_net(trainer.model, folder / "lanes.onnx")
    return folder, trainer, worst


def test_labels_lie_on_the_boundaries_and_nowhere_else():
    grid = SliceGrid.build(CAMERA)
    assert grid is not None
    x = np.linspace(0, 30, 31)
    line = LaneBoundary(np.array([1.8, 0.02, 0.0]), np.eye(3), (0.0, 20.0), "solid", 1.0)
    truth = SimpleNamespace(lanes=Lanes(left=line), lane_points_m=(np.stack([x, 1.8 + 0.02 * x], axis=-1),))
    label = label_of(truth, grid)
    inside = grid.x_m < 19.9
    peak = grid.y_m[label[inside].argmax(axis=1)]
    np.testing.assert_allclose(peak, 1.8 + 0.02 * grid.x_m[inside], atol=0.035)
    assert label[grid.x_m > 20.1].max() == 0.0
    assert (label[inside].sum(axis=1) * 0.06 < 0.5).all()  # a normal curve of sigma 0.18 m has an area of 0.45 m


def test_a_perfect_answer_costs_little_and_a_wrong_one_much():
    label = torch.zeros(1, 1, 8, 8)
    label[..., 3] = 1
    weight = torch.ones_like(label)
    right, wrong = lane_loss(20 * (2 * label - 1), label, weight), lane_loss(-20 * (2 * label - 1), label, weight)
    assert right < 0.05 < 1 < wrong
    assert lane_loss(-20 * (2 * label - 1), label, torch.zeros_like(label)) < 0.01  # out of sight nothing counts


def test_training_learns_the_stripes(trained):
    _, trainer, worst = trained
    held_out = striped(4, seed=9)
    with torch.inference_mode():
        sure = torch.sigmoid(trainer.model.eval()(torch.from_numpy(held_out.views).permute(0, 3, 1, 2).float()))
    on, off = sure[:, 0].numpy()[held_out.labels > 0], sure[:, 0].numpy()[held_out.labels == 0]
    assert on.mean() > off.mean() + 0.3
    assert worst < 1e-4


def test_a_resumed_training_is_the_same_as_one_in_one_go(tmp_path):
    config = LaneTrainConfig(steps=4, batch=2)
    whole = LaneTrainer(config)
    whole.train(striped(), tmp_path / "whole.pt")
    first = LaneTrainer(config)
    for _ in range(2):
        for group in first.optimiser.param_groups:
            group["lr"] = config.lr * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * first.step / 4)))
        first.model.train()
        first._one(striped())
        first.step += 1
    first.save(tmp_path / "half.pt")
    second = LaneTrainer(config)
    second.resume(tmp_path / "half.pt")
    second.train(striped(), tmp_path / "rest.pt")
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], value)


def test_the_file_answers_on_a_view_of_any_grid_and_is_fused(trained):
    folder, _, _ = trained
    network = LearnedEvidence(folder / "lanes.onnx")
    grid = SliceGrid.build(CAMERA)
    assert grid is not None
    view = np.full((*grid.visible.shape, 3), 90, np.uint8)
    view[:, 100:104] = 220
    assert shrunk(view).shape == (VIEW_SIZE[1], VIEW_SIZE[0], 3)
    sure = network.probability(view)
    assert sure.shape == grid.visible.shape and sure.min() >= 0 and sure.max() <= 1
    plain = marking_evidence(view, grid)
    fused = network.fused(plain, view)
    expected = plain.strength * (0.6 + 0.4 * sure) + 2.0 * sure
    np.testing.assert_allclose(fused.strength, expected, rtol=1e-5, atol=1e-5)
    tracker = LaneTracker(LaneConfig(learned=network))
    picture = np.full((CAMERA.height_px, CAMERA.width_px, 3), 90, np.uint8)
    assert tracker.step(Frame(0, 0.0, picture), CAMERA, Detections.empty()).believed == ()


def test_other_files_are_refused(tmp_path, trained):
    with pytest.raises(InputError, match="no model at"):
        LearnedEvidence(tmp_path / "none.onnx")
    import onnx

    proto = onnx.load(trained[0] / "lanes.onnx")
    onnx.helper.set_model_props(proto, {"roadlens.kind": "detector"})
    onnx.save(proto, tmp_path / "other.onnx")
    with pytest.raises(InputError, match="no lane network"):
        LearnedEvidence(tmp_path / "other.onnx")
    (tmp_path / "broken.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="no checkpoint of a lane network"):
        LaneTrainer(LaneTrainConfig()).resume(tmp_path / "broken.pt")


def test_it_is_small():
    assert sum(p.numel() for p in LaneNet().parameters()) < 100_000


def test_the_command_trains_goes_on_and_writes_the_network(tmp_path):
    from typer.testing import CliRunner

    from app.cli import app

    striped(8).save(tmp_path / "views_0_8.npz")  # as if rendered before
    arguments = ["train-lanes", "--out", str(tmp_path), "--frames", "8", "--steps"]
    done = CliRunner().invoke(app, [*arguments, "2"])
    assert done.exit_code == 0, done.output
    assert "8 views" in done.output and "after 2 steps" in done.output
    done = CliRunner().invoke(app, [*arguments, "3", "--resume"])
    assert done.exit_code == 0 and "after 3 steps" in done.output
    assert LearnedEvidence(tmp_path / "lanes.onnx").probability(np.zeros((50, 40, 3), np.uint8)).shape == (50, 40)
    (tmp_path / "views_0_8.npz").write_bytes(b"broken")
    assert isinstance(CliRunner().invoke(app, [*arguments, "2"]).exception, InputError)
