"""Columns of one row type to lines of comma-separated values, without a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from offdecode.model import DecodedChunk, rows_of
from offdecode.sinks.jsonl import Writable


class CsvSink:
    """Writes these columns of the rows of one type to a binary stream; other rows are left out."""

    def __init__(self, stream: Writable, row_type: str, columns: Sequence[str]) -> None:
        self._stream = stream
        self._row_type = row_type
        self._columns = columns

    def write(self, chunk: DecodedChunk) -> None:
        batch = chunk.batches.get(self._row_type)
        if batch is not None:
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerows([row[name] for name in self._columns] for row in rows_of(batch, self._columns))
            self._stream.write(text.getvalue().encode("utf-8", "backslashreplace"))
