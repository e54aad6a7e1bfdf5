"""Rows to lines for a person to read, by a function that knows the rows."""

from __future__ import annotations

import os
import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from itertools import accumulate
from typing import IO, Any, NamedTuple
from unicodedata import combining, east_asian_width

from offdecode.model import DecodedChunk, rows_of
from offdecode.sinks.jsonl import LineSink, Writable
from offdecode.system import terminals_have_colours

Row = dict[str, Any]

_NARROW = 8
_NARROW_TIME = 17  # characters of a time down to the minute, and the sign of what is cut
_TIME_WIDTHS = (24, 29)  # UTC and local
_PADDED = 48  # a longer cell moves those behind it


class Style(Enum):
    """How a line stands out where there are colours: the numbers that a terminal takes."""

    PLAIN = ""
    TITLE = "1"
    NOTABLE = "33"
    WARNING = "31"


class Styled(NamedTuple):
    """A line that stands out."""

    text: str
    style: Style


Line = str | Styled
Cells = Sequence[str]


class _Terminal(NamedTuple):
    """Where lines go. width: characters of a line, None = any number."""

    width: int | None = None
    colours: bool = False


_NO_TERMINAL = _Terminal()
_terminal = ContextVar("terminal", default=_NO_TERMINAL)


@contextmanager
def fitted_to(stream: IO[Any] | None) -> Iterator[None]:
    """Within, lines have colours and tables fit the width where this stream is a terminal.

    NO_COLOR takes the colours away (https://no-color.org), as TERM=dumb does.
    """
    found = _NO_TERMINAL
    if stream is not None and stream.isatty():
        colours = not os.environ.get("NO_COLOR") and terminals_have_colours()
        found = _Terminal(shutil.get_terminal_size().columns, colours)
    before = _terminal.set(found)
    try:
        yield
    finally:
        _terminal.reset(before)


def printable(text: str) -> str:
    """Text as a terminal may have it: control, escape and direction characters escaped, the rest as it is."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def text_of(line: Line) -> str:
    """A line without its style."""
    return line.text if isinstance(line, Styled) else line


def shown(line: Line) -> str:
    """A line as a terminal may have it."""
    text = printable(text_of(line))
    style = line.style if isinstance(line, Styled) else Style.PLAIN
    return f"\x1b[{style.value}m{text}\x1b[0m" if style.value and _terminal.get().colours else text


def encoded(lines: Iterable[Line]) -> bytes:
    """Lines as a terminal may have them, each with its end."""
    return "".join(f"{shown(line)}\n" for line in lines).encode()


class TextSink(LineSink):
    """Writes the lines of each row to a binary stream."""

    def __init__(self, stream: Writable, lines: Callable[[Row], Iterable[Line]]) -> None:
        self._stream = stream
        self._lines = lines

    def write(self, chunk: DecodedChunk) -> None:
        for row in _rows(chunk):
            self._stream.write(encoded(self._lines(row)))


class TableSink(LineSink):
    """Writes the lines of each chunk, whose rows are read together, to a binary stream."""

    def __init__(self, stream: Writable, lines: Callable[[dict[str, list[Row]]], Iterable[Line]]) -> None:
        self._stream = stream
        self._lines = lines

    def write(self, chunk: DecodedChunk) -> None:
        rows = {name: rows_of(batch, batch.schema.names) for name, batch in chunk}
        self._stream.write(encoded(self._lines(rows)))


class Listing(NamedTuple):
    """A table that grows: a line of cells for each row. style: how the row's line stands out."""

    titles: Cells
    cells: Callable[[Row], Cells]
    style: Callable[[Row], Style] = lambda row: Style.PLAIN


class ListingSink(LineSink):
    """Writes a line for each row, in log order. Columns are as wide as what has come so far.

    The titles come with the first rows, whose widths they take.
    """

    def __init__(self, stream: Writable, listing: Listing) -> None:
        self._stream = stream
        self._listing = listing
        self._widths = [0] * len(listing.titles)

    def write(self, chunk: DecodedChunk) -> None:
        rows = list(_rows(chunk))
        if not rows:
            return
        lines = [self._listing.cells(row) for row in rows]
        styles = [self._listing.style(row) for row in rows]
        if not any(self._widths):
            lines.insert(0, self._listing.titles)
            styles.insert(0, Style.TITLE)
        columns = zip(self._widths, *lines, strict=True)
        self._widths = [max(width, *map(columns_of, column)) for width, *column in columns]
        fit = _fitting(self._widths)
        self._stream.write(encoded(Styled(fit(line), style) for line, style in zip(lines, styles, strict=True)))


def _rows(chunk: DecodedChunk) -> Iterator[Row]:
    """The rows of all types, in log order."""
    rows = [row for _, batch in chunk for row in rows_of(batch, batch.schema.names)]
    return (rows[index] for index in chunk.order.tolist())


def table_lines(
    titles: Cells, cells: Sequence[Cells], indent: str = "  ", styles: Iterable[Style] = ()
) -> Iterator[Line]:
    """A table under its titles; nothing where it has no lines. styles: how each line stands out, else plain."""
    if cells:
        fit = _fitting([max(map(columns_of, column)) for column in zip(titles, *cells, strict=True)], indent)
        yield Styled(fit(titles), Style.TITLE)
        found = iter(styles)
        for line in cells:
            yield Styled(fit(line), next(found, Style.PLAIN))


def _fitting(widths: Sequence[int], indent: str = "") -> Callable[[Cells], str]:
    """A function from cells to their line: below each other, and as much of them as the terminal is wide.

    widths: of the longest cell of each column. Where not all fit, the widest columns are cut, to no less than _NARROW,
    times to the minute; what then is too long still ends at the line's end. Without a terminal nothing is cut.
    """
    width = _terminal.get().width
    if width is None:
        padded = [min(widest, _PADDED) for widest in widths]
        return lambda cells: _joined(cells, padded, indent)
    room = width - len(indent) - 2 * (len(widths) - 1)
    least = [_NARROW_TIME if widest in _TIME_WIDTHS else _NARROW for widest in widths]

    def narrow(level: int) -> list[int]:
        return [min(widest, max(level, low)) for widest, low in zip(widths, least, strict=True)]

    levels = range(_NARROW, max(_NARROW, *widths) + 1)
    narrowed = narrow(levels[max(bisect_right(levels, room, key=lambda level: sum(narrow(level))) - 1, 0)])
    return lambda cells: _cut(_joined(list(map(_cut, cells, narrowed)), narrowed, indent), width)


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if combining(character):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def _joined(cells: Cells, widths: Sequence[int], indent: str) -> str:
    padded = (cell + " " * (width - columns_of(cell)) for cell, width in zip(cells, widths, strict=True))
    return indent + "  ".join(padded).rstrip()


def _cut(text: str, width: int) -> str:
    """As much of a text as there are columns, with a sign where that is not all."""
    if columns_of(text) <= width:
        return text
    ends = accumulate(map(_columns, text))
    return "".join(one for one, end in zip(text, ends, strict=True) if end < width) + "…"[:width]
