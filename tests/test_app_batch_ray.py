"""The batch on a Ray cluster of this machine gives what local processes give."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from app.batch import BatchPlan, run_batch
from app.batch_plan import collect
from app.config import Settings
from app.video import VideoWriter

CELLS = 12 * 8 + 6 * 4 + 3 * 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_the_same_records_as_local_processes(constant_onnx: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from app.batch_ray import run_on_ray

    output = np.zeros((1, 84, CELLS), np.float32)
    output[0, :4, 0] = 48, 40, 16, 12
    output[0, 4 + 2, 0] = 0.9
    model = constant_onnx("one_car", {"output0": output})
    (tmp_path / "clips").mkdir()
    for level in (60, 90):
        with VideoWriter(tmp_path / "clips" / f"{level}.mp4", (192, 128), Fraction(20)) as writer:
            for number in range(6):
                writer.write(np.full((128, 192, 3), level, np.uint8), number / 20)
    (tmp_path / "clips" / "bad.mp4").write_text("no video")
    settings = Settings().changed(detector={"file": str(model)}, video={"write": False})
    jobs = collect([str(tmp_path / "clips")])
    local = run_batch(BatchPlan(jobs, tmp_path / "local", settings))
    on_ray = run_on_ray(BatchPlan(jobs, tmp_path / "ray", settings, workers=1))
    assert [(o.job.name, o.status) for o in on_ray] == [(o.job.name, o.status) for o in local]
    assert [o.status for o in on_ray] == ["done", "done", "failed"]
    for name in ("60", "90"):
        one, two = (
            re.sub(r'"stage_ms":\{[^}]*\}', "", (tmp_path / where / name / "results.jsonl").read_text())
            for where in ("local", "ray")
        )
        assert one == two
