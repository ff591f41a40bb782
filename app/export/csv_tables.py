"""CSV (RFC 4180, UTF-8): tracks.csv, frames.csv, events.csv; cells are empty where nothing is known."""

from __future__ import annotations

import csv

from app.export.base import Exporter
from app.export.tables import TABLES, rows
from app.types import FrameResult


class CsvExporter(Exporter):
    """One file a table, a header line first."""

    names = tuple(f"{table}.csv" for table in TABLES)

    def begin(self) -> None:
        self._files = [path.open("w", newline="", encoding="utf-8") for path in self.partial]
        self._writers = {
            table: csv.DictWriter(file, columns)
            for file, (table, columns) in zip(self._files, TABLES.items(), strict=True)
        }
        for writer in self._writers.values():
            writer.writeheader()

    def write(self, result: FrameResult) -> None:
        for table, writer in self._writers.items():
            writer.writerows(rows(table, result))

    def close(self) -> None:
        for file in self._files:
            file.close()
