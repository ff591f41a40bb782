"""What a batch did: a table to read, a Parquet file to compute with (one row a clip)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.batch_clip import ClipOutcome
from geometry.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN = 40  # rows of the table; ten thousand clips are for the Parquet file


def rows(outcomes: Sequence[ClipOutcome]) -> list[dict[str, Any]]:
    """One flat row a clip: name, clip, status, reason and the figures of its summary; None where there are none."""
    flat = []
    for outcome in outcomes:
        found = outcome.summary
        nearest = found.get("nearest") or {}
        flat.append(
            {
                "name": outcome.job.name,
                "clip": outcome.job.clip,
                "status": outcome.status,
                "reason": outcome.reason,
                "frames": found.get("frames"),
                "clip_s": found.get("clip_s"),
                "wall_s": found.get("wall_s"),
                "fps": found.get("fps"),
                "objects": sum(found["objects"].values()) if "objects" in found else None,
                "warnings": sum(found["warnings"].values()) if "warnings" in found else None,
                "nearest_m": nearest.get("distance_m"),
                "nearest_sigma_m": nearest.get("sigma_m"),
                "nearest_t_s": nearest.get("t_s"),
                "nearest_class": nearest.get("class_name"),
                "detector": found.get("detector", {}).get("name"),
                "provider": found.get("detector", {}).get("provider"),
            }
        )
    return flat


def write_parquet(outcomes: Sequence[ClipOutcome], path: Path) -> None:
    """Writes the rows; whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, whole, number = pa.string(), pa.int64(), pa.float64()
    kinds = {"frames": whole, "objects": whole, "warnings": whole}
    kinds |= dict.fromkeys(("clip_s", "wall_s", "fps", "nearest_m", "nearest_sigma_m", "nearest_t_s"), number)
    flat = rows(outcomes)
    schema = pa.schema([(name, kinds.get(name, text)) for name in rows_columns()])
    temporary = path.with_name(path.name + ".tmp")
    try:
        pq.write_table(pa.Table.from_pylist(flat, schema=schema), temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error


def rows_columns() -> tuple[str, ...]:
    """Names of the columns, in order."""
    from app.batch_plan import ClipJob

    return tuple(rows([ClipOutcome(ClipJob(""), "failed", "", {})])[0])


def table(outcomes: Sequence[ClipOutcome]) -> Table:
    """The table for the screen: failures first, then the rest up to a screenful."""
    from rich.markup import escape
    from rich.table import Table

    shown = Table(box=None)
    for name in ("clip", "state", "frames", "fps", "objects", "warnings", "nearest"):
        shown.add_column(name, justify="left" if name in ("clip", "state") else "right", overflow="fold")
    order = {"failed": 0, "stopped": 1, "done": 2, "skipped": 3}
    pairs = sorted(zip(outcomes, rows(outcomes), strict=True), key=lambda pair: order[pair[0].status])
    colours = {"failed": "red", "stopped": "yellow", "done": "green", "skipped": "dim"}
    for outcome, row in pairs[:_SHOWN]:
        state = f"[{colours[outcome.status]}]{outcome.status}[/]"
        figures = [_text(row[key]) for key in ("frames", "fps", "objects", "warnings", "nearest_m")]
        shown.add_row(escape(outcome.job.name), state, *figures)
    if len(pairs) > _SHOWN:
        shown.add_row(f"and {len(pairs) - _SHOWN} more", "")
    return shown


def failed_lines(outcomes: Sequence[ClipOutcome]) -> list[str]:
    """``clip: reason`` of each failed clip."""
    return [f"{outcome.job.clip}: {outcome.reason}" for outcome in outcomes if outcome.status == "failed"]


def _text(value: float | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def counts(outcomes: Sequence[ClipOutcome]) -> str:
    """``38 done, 2 failed``."""
    number = Counter(outcome.status for outcome in outcomes)
    return ", ".join(
        f"{number[status]} {status}" for status in ("done", "skipped", "failed", "stopped") if number[status]
    )
