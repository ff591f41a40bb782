"""``roadlens train`` and ``roadlens export``: from a folder of labelled pictures to a file that detects."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from app.cli import app
from geometry.errors import InputError
from perception.detector import load_detector


@pytest.fixture
def data(tmp_path) -> Path:
    """Two pictures with a car each, as training and validation."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(2):
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 255, (90, 160, 3), np.uint8))
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 160, "height": 90} for i in range(2)],
        "annotations": [{"image_id": i, "category_id": 1, "bbox": [40, 30, 50, 40]} for i in range(2)],
        "categories": [{"id": 1, "name": "car"}],
    }
    for split in ("train", "val"):
        (folder / f"{split}.json").write_text(json.dumps(content))
    return folder


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)


def test_train_resume_export_detect(data, tmp_path):
    out = tmp_path / "run"
    common = ("train", "--data", data, "--out", out, "--batch", 1, "--device", "cpu", "--check-every", 1)
    common += ("--cache", tmp_path / "cache", "--threads", 1)
    first = run(*common, "--steps", 1, "--rendered", 0.4)
    assert first.exit_code == 0, first.output
    assert "3 frames" in first.output  # two real ones, and one rendered: 0.4 / 0.6 of 2
    assert (out / "ap50.png").is_file()
    second = run(*common, "--steps", 2, "--resume", out / "last.pt")
    assert second.exit_code == 0, second.output
    assert "from step 1" in second.output
    exported = run("export", out / "last.pt", "--out", tmp_path / "net.onnx", "--width", 96, "--height", 64)
    assert exported.exit_code == 0, exported.output
    detector = load_detector(tmp_path / "net.onnx", device="cpu", score_threshold=0.0)
    assert len(detector.detect(np.zeros((90, 160, 3), np.uint8))) > 0


def test_a_termination_leaves_a_checkpoint_and_says_how_to_go_on(data, tmp_path, monkeypatch):
    import os
    import signal

    from perception.training.train import Trainer

    learn = Trainer.step

    def ended_from_outside(self, batch):
        os.kill(os.getpid(), signal.SIGTERM)
        return learn(self, batch)

    monkeypatch.setattr(Trainer, "step", ended_from_outside)
    out = tmp_path / "run"
    said = run("train", "--data", data, "--out", out, "--batch", 1, "--device", "cpu", "--steps", 9,
               "--cache", tmp_path / "cache", "--threads", 1)  # fmt: skip
    assert said.exit_code == 130
    assert "--resume" in said.output and (out / "last.pt").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "--data", "nowhere", "--cache", "nowhere"), "has no train.json"),
        (("train", "--data", "x", "--size", "xl"), "sizes are n, s, m"),
        (("train", "--data", "x", "--resume", "gone.pt"), "gone.pt is no file"),
        (("export", "gone.pt"), "gone.pt is no file"),
        (("export", "gone.pt", "--out", "net.txt"), "must end in .onnx or .pt2"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(words, message):
    result = run(*words)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
