"""Rows to lines for a person to read, by a function that knows the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from offdecode.model import DecodedChunk, rows_of
from offdecode.sinks.jsonl import Writable


def printable(text: str) -> str:
    """Text as a terminal may have it: control, escape and direction characters escaped, the rest as it is."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def _encoded(lines: Iterable[str]) -> bytes:
    return "".join(f"{printable(line)}\n" for line in lines).encode()


Lines = Callable[[dict[str, Any]], Iterable[str]]


class TextSink:
    """Writes the lines of each row to a binary stream."""

    def __init__(self, stream: Writable, lines: Lines) -> None:
        self._stream = stream
        self._lines = lines

    def write(self, chunk: DecodedChunk) -> None:
        for _, batch in chunk:
            for row in rows_of(batch, batch.schema.names):
                self._stream.write(_encoded(self._lines(row)))


class TableSink:
    """Writes the lines of each chunk, whose rows are read together, to a binary stream."""

    def __init__(self, stream: Writable, lines: Callable[[dict[str, list[dict[str, Any]]]], Iterable[str]]) -> None:
        self._stream = stream
        self._lines = lines

    def write(self, chunk: DecodedChunk) -> None:
        rows = {name: rows_of(batch, batch.schema.names) for name, batch in chunk}
        self._stream.write(_encoded(self._lines(rows)))


def table_lines(titles: Sequence[str], cells: list[Sequence[str]], indent: str = "  ") -> Iterator[str]:
    """A table under its titles; nothing where it has no lines."""
    if cells:
        widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
        for line in (titles, *cells):
            yield indent + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
