"""Rows to lines for a person to read, by a function that knows the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from offdecode.model import DecodedChunk, rows_of
from offdecode.sinks.jsonl import Writable

Lines = Callable[[dict[str, Any]], Iterable[str]]


class TextSink:
    """Writes the lines of each row to a binary stream."""

    def __init__(self, stream: Writable, lines: Lines) -> None:
        self._stream = stream
        self._lines = lines

    def write(self, chunk: DecodedChunk) -> None:
        for _, batch in chunk:
            for row in rows_of(batch, batch.schema.names):
                text = "".join(f"{line}\n" for line in self._lines(row))
                self._stream.write(text.encode("utf-8", "backslashreplace"))


class TableSink:
    """Writes the lines of each chunk, whose rows are read together, to a binary stream."""

    def __init__(self, stream: Writable, lines: Callable[[dict[str, list[dict[str, Any]]]], Iterable[str]]) -> None:
        self._stream = stream
        self._lines = lines

    def write(self, chunk: DecodedChunk) -> None:
        rows = {name: rows_of(batch, batch.schema.names) for name, batch in chunk}
        text = "".join(f"{line}\n" for line in self._lines(rows))
        self._stream.write(text.encode("utf-8", "backslashreplace"))
