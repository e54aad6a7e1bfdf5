"""Rows of one type to comma-separated values, by Arrow's writer: every column, what is nested as JSON.

Texts are in double quotes and null is nothing at all, so that an empty text differs from none. A row is a line, and
what names hold is for people to see, not for their terminal or spreadsheet to obey.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from offdecode.model import Column, DecodedChunk, Kind, rows_of
from offdecode.schemas.rows import RowOptions, row_type
from offdecode.sinks.jsonl import JsonLinesSink, LineSink, Timestamps, Writable
from offdecode.sinks.text.lines import printable
from offdecode.sinks.times import time_texts

_FORMULA = r"^[=+\-@]"  # what spreadsheets begin to compute at, by OWASP's page on CSV injection
_UNPRINTABLE = r"\pC|[^\PZ ]"
_NUMBERS = frozenset({Kind.BOOL, Kind.INT32, Kind.INT64, Kind.DOUBLE})


class CsvSink(LineSink):
    """Writes the rows of one type to a binary stream; other rows are left out."""

    def __init__(self, stream: Writable, name: str, options: RowOptions, timestamps: Timestamps = "ms") -> None:
        self._stream = stream
        self._row_type = row_type(name, options)
        self._timestamps = timestamps
        self._json = JsonLinesSink(stream, options, timestamps)

    def begin(self) -> None:
        """The names of the columns."""
        self._stream.write(csv_lines([[column.name for column in self._row_type.columns]]))

    def write(self, chunk: DecodedChunk) -> None:
        from pyarrow.csv import WriteOptions, write_csv  # what other formats need not wait for

        batch = chunk.batches.get(self._row_type.name)
        if batch is not None:
            columns = self._row_type.columns
            values = [self._values(column, array) for column, array in zip(columns, batch.columns, strict=True)]
            lines = pa.BufferOutputStream()
            written = pa.record_batch(values, [column.name for column in columns])
            write_csv(written, lines, WriteOptions(include_header=False))
            self._stream.write(memoryview(lines.getvalue()))

    def _values(self, column: Column, array: pa.Array) -> pa.Array:
        if column.kind in _NUMBERS:
            return array
        if column.kind in (Kind.TIMESTAMP, Kind.TIMESTAMP_NUMBER):
            return self._times(array.cast(pa.int64()))
        if column.kind is Kind.CATEGORY:
            return pa.DictionaryArray.from_arrays(array.indices, harmless(array.dictionary)).cast(pa.string())
        if column.kind is Kind.TEXT:
            return harmless(array)
        return pc.if_else(array.is_valid(), _escaped(self._json.text(column, array), _printable_json), None)

    def _times(self, milliseconds: pa.Array) -> pa.Array:
        if self._timestamps == "ms":
            return milliseconds
        texts = time_texts(milliseconds, local=self._timestamps == "local")
        return pc.coalesce(texts, milliseconds.cast(pa.string()))


def harmless(texts: pa.Array) -> pa.Array:
    """Texts, what is not printable in them escaped, and an apostrophe before what spreadsheets take for formulas."""
    texts = _escaped(texts, printable)
    formulas = pc.match_substring_regex(texts, _FORMULA)
    return pc.if_else(formulas, pc.binary_join_element_wise("'", texts, ""), texts)


def _escaped(texts: pa.Array, escape: Callable[[str], str]) -> pa.Array:
    odd = pc.match_substring_regex(texts, _UNPRINTABLE).fill_null(False)
    if not pc.any(odd).as_py():
        return texts
    return pc.replace_with_mask(texts, odd, pa.array(map(escape, texts.filter(odd).to_pylist()), pa.string()))


def _printable_json(text: str) -> str:
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


class ValuesSink(LineSink):
    """Writes these columns of the rows of one type, as they are and without their names; other rows are left out."""

    def __init__(self, stream: Writable, name: str, columns: Sequence[str]) -> None:
        self._stream = stream
        self._row_type = name
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
