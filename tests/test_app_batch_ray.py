"""The batch on a Ray cluster of this machine gives what local processes give."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.batch import BatchPlan, run_batch
from app.batch_plan import collect
from app.config import Settings

_TIMINGS = re.compile(rb'"stage_ms": ?\{[^}]*\}|"(wall_s|fps)": ?[0-9.]+')


def contents(out: Path) -> dict[str, bytes]:
    """Every file below the folder, timings aside."""
    return {
        str(path.relative_to(out)): path.read_bytes() if path.suffix == ".mp4" else _TIMINGS.sub(b"", path.read_bytes())
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_the_same_files_as_local_processes(
    one_car_model: Path, noise_clip: Callable[..., Path], tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from app.batch_ray import run_on_ray

    for level in (60, 90):
        noise_clip(tmp_path / "clips" / f"{level}.mp4", level=level)
    (tmp_path / "clips" / "bad.mp4").write_text("no video")
    settings = Settings().changed(detector={"file": str(one_car_model)})
    jobs = collect([str(tmp_path / "clips")])
    local = run_batch(BatchPlan(jobs, tmp_path / "local", settings))
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        on_ray = run_on_ray(BatchPlan(jobs, tmp_path / "ray", settings))
        far = f"file://{tmp_path}/far"
        sent = run_on_ray(BatchPlan(jobs, tmp_path / "staging", settings, address=far))
    finally:
        ray.shutdown()
    assert [o.status for o in local] == ["done", "done", "failed"]
    for outcomes in (on_ray, sent):
        assert [(o.job.name, o.status, o.reason) for o in outcomes] == [(o.job.name, o.status, o.reason) for o in local]
    wanted = contents(tmp_path / "local")
    assert contents(tmp_path / "ray") == wanted and sum(name.endswith(".mp4") for name in wanted) == 2
    assert contents(tmp_path / "far") == wanted
    assert not any(name.endswith(".mp4") for name in contents(tmp_path / "staging"))
