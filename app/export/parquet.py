"""Parquet: tracks.parquet, frames.parquet, events.parquet; clip, camera, detector and settings in their metadata."""

from __future__ import annotations

import json
from typing import Any

from app.export.base import Exporter
from app.export.tables import TABLES, TEXTS, TRUTHS, WHOLE, rows
from app.record_json import header_line
from app.types import FrameResult

_ROWS_A_BATCH, _ROWS_A_GROUP = 1_000, 50_000  # rows as Python's values; rows as Arrow's, some 10 MB, before written


class ParquetExporter(Exporter):
    """One file a table, written row group by row group."""

    names = tuple(f"{table}.parquet" for table in TABLES)

    def begin(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        header: dict[str, Any] = json.loads(header_line(self.header))["header"]
        about = {key: value if isinstance(value, str) else json.dumps(value) for key, value in header.items()}
        self._rows: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
        self._batches: dict[str, list[Any]] = {table: [] for table in TABLES}
        self._writers = {
            table: pq.ParquetWriter(path, pa.schema([(c, _kind(pa, c)) for c in columns], metadata=about))
            for path, (table, columns) in zip(self.partial, TABLES.items(), strict=True)
        }

    def write(self, result: FrameResult) -> None:
        for table, waiting in self._rows.items():
            waiting.extend(rows(table, result))
            if len(waiting) >= _ROWS_A_BATCH:
                self._pack(table)

    def _pack(self, table: str) -> None:
        import pyarrow as pa

        schema, batches = self._writers[table].schema, self._batches[table]
        if self._rows[table]:
            batches.append(pa.RecordBatch.from_pylist(self._rows[table], schema=schema))
            self._rows[table].clear()
        if sum(map(len, batches)) >= _ROWS_A_GROUP:
            self._flush(table)

    def _flush(self, table: str) -> None:
        import pyarrow as pa

        if self._batches[table]:
            self._writers[table].write_table(pa.Table.from_batches(self._batches[table]))
            self._batches[table].clear()

    def close(self) -> None:
        for table, writer in self._writers.items():
            self._pack(table)
            self._flush(table)
            writer.close()


def _kind(pa: Any, column: str) -> Any:
    if column in WHOLE:
        return pa.int64()
    if column in TEXTS:
        return pa.string()
    return pa.bool_() if column in TRUTHS else pa.float64()
