"""``roadlens eval track``: tracks against truth, and the search for settings with a held-out split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from app.evaluation.track import TrackData

_SHOWN = ("hota", "deta", "assa", "mota", "idf1", "switches", "fragments")
_BARS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())

Folder = Annotated[Path, typer.Argument(help="Benchmark folder: label_02, lengths.json, one folder per detection set.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Sets of detections. Default: every folder with CSVs.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures here.")]


def eval_track(
    data: Folder,
    sets: Sets = None,
    every: Annotated[int, typer.Option(min=1, help="Show one frame in so many: 2 is 5 fps of KITTI's 10.")] = 1,
    drop_every: Annotated[int, typer.Option(min=0, help="Lose every so-manieth frame; 0: none.")] = 0,
    min_score: Annotated[float, typer.Option(min=0.0, max=1.0, help="Leave out detections below.")] = 0.3,
    out: Annotated[Path, typer.Option(help="Folder for the MOT and KITTI files.")] = Path("out/eval_track"),
    json_file: JsonFile = None,
) -> None:
    """HOTA, DetA, AssA, MOTA, IDF1, switches and fragments of the tracker; its tracks as MOT and KITTI files.

    Keys of --json: for each set SET.hota, .deta, .assa, .loca, .mota, .idf1 (percent), .switches, .fragments,
    .false_positives, .false_negatives (counts).
    """
    from app.evaluation.report import write_json
    from app.evaluation.track import Protocol, kitti_lines, load_set, measure, mot_lines, track

    console = Console()
    protocol = Protocol(every, drop_every, min_score)
    figures: dict[str, float] = {}
    table = Table("set", *_SHOWN)
    with Progress(*_BARS, console=console) as progress:
        for name in sets or _sets(data):
            loaded = load_set(data, name, min_score=min_score)
            task = progress.add_task(name, total=len(loaded.frames) + 1)
            results = {}
            for sequence, frames in loaded.frames.items():
                results[sequence] = tracks = track(frames, protocol)
                _write(out / name / "kitti" / f"{sequence}.txt", kitti_lines(tracks, loaded.kind))
                _write(out / name / "mot" / f"{sequence}.txt", mot_lines(tracks))
                progress.advance(task)
            measured = measure(loaded, results, protocol)
            progress.advance(task)
            figures |= {f"{name}.{key}": value for key, value in measured.items()}
            table.add_row(name, *(_number(measured[key], key) for key in _SHOWN))
    console.print(table)
    console.print(f"MOT and KITTI files in {out}")
    if json_file is not None:
        write_json(json_file, figures)


def tune_track(
    data: Folder,
    sets: Sets = None,
    trials: Annotated[int, typer.Option(min=1, help="Settings tried.")] = 40,
    seed: Annotated[int, typer.Option(help="Of the random search and of the split.")] = 0,
    json_file: JsonFile = None,
) -> None:
    """Search a small space of tracker settings on half of the sequences; report it on the held-out half.

    Keys of --json: setting.NAME for the settings found; tuned.SET.hota and held_out.SET.hota with them, default_tuned.
    SET.hota and default_held_out.SET.hota with the settings as they come.
    """
    from app.evaluation.report import write_json
    from app.evaluation.track import load_set
    from app.evaluation.track_tuning import tune

    console = Console()
    loaded: list[TrackData] = [load_set(data, name) for name in sets or _sets(data)]
    with Progress(*_BARS, console=console) as progress:
        task = progress.add_task("settings", total=trials)
        found = tune(loaded, trials, seed, lambda: progress.advance(task))
    table = Table("set", "default, tuned half", "found, tuned half", "default, held out", "found, held out")
    for one in loaded:
        keys = [f"{group}.{one.name}" for group in ("default_tuned", "tuned", "default_held_out", "held_out")]
        table.add_row(one.name, *(f"{found[f'{key}.hota']:.2f}" for key in keys))
    console.print(table)
    for key, value in found.items():
        if key.startswith("setting."):
            console.print(f"{key.removeprefix('setting.')} = {value:.4g}")
    if json_file is not None:
        write_json(json_file, found)


def _sets(data: Path) -> list[str]:
    from geometry.errors import InputError

    found = sorted({path.parent.name for path in data.glob("*/*.csv")})
    if not found:
        what = "holds no SET/SEQUENCE.csv with detections" if data.is_dir() else "is no folder"
        raise InputError(f"{data} {what}; wanted a tracking benchmark as `roadlens eval track --help` describes it")
    return found


def _write(path: Path, lines: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))  # type: ignore[arg-type]


def _number(value: float, key: str) -> str:
    return f"{value:.0f}" if key in ("switches", "fragments") else f"{value:.2f}"
