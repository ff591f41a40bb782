"""Records in other people's formats (docs/records.md): one module a format, each a writer that takes frame after frame.

A record is read once, whatever formats are asked for, and never held: four hours take no more memory than four seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from app.export.base import Exporter
from app.record import Recording
from geometry.errors import InputError

FORMATS: dict[str, str] = {
    "csv": "app.export.csv_tables:CsvExporter",
    "parquet": "app.export.parquet:ParquetExporter",
    "mot": "app.export.mot:MotExporter",
    "kitti": "app.export.kitti:KittiExporter",
    "coco": "app.export.coco:CocoExporter",
    "mcap": "app.export.mcap:McapExporter",
    "rerun": "app.export.rerun:RerunExporter",
}
"""Name -> module:class; imported when asked for, since some need packages of extras."""


def export(
    recording: Recording, folder: Path, formats: Sequence[str], *, on_frame: Callable[[int], None] = lambda done: None
) -> list[Path]:
    """Writes a recording in some formats into a folder; each file is whole or not there.

    Args:
        recording: of ``record.stream`` (any length) or ``record.load``.
        on_frame: called with the number of frames that are through.

    Raises:
        InputError: an unknown format, a package that is not installed, or a folder that cannot be written.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise InputError(f"no format {unknown[0]!r}; wanted some of {', '.join(FORMATS)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            exporters = [stack.enter_context(_exporter(name)(recording, folder)) for name in formats]
            for done, result in enumerate(recording.results, 1):
                for exporter in exporters:
                    exporter.write(result)
                on_frame(done)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from error
    return [path for exporter in exporters for path in exporter.paths]


def _exporter(name: str) -> type[Exporter]:
    module, kind = FORMATS[name].split(":")
    found: type[Exporter] = getattr(import_module(module), kind)
    return found
