"""Rows to lines of comma-separated values: columns of one row type, without a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

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
            rows = rows_of(batch, self._columns)
            self._stream.write(csv_lines([row[name] for name in self._columns] for row in rows))


def csv_lines(lines: Iterable[Sequence[Any]]) -> bytes:
    """Lines of values; what is no UTF-8 as escapes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode("utf-8", "backslashreplace")
