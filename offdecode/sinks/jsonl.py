"""Decoded chunks to JSON lines, by Arrow's string kernels: a column at a time, rows in log order.

Text is escaped once per dictionary entry where a column is dictionary-encoded, and only where it needs it.
A row is joined from as few pieces as possible: joining costs per piece.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.model import Column, DecodedChunk, Kind, Vector, arrow, text_ends
from offdecode.schemas.rows import RowOptions, row_type
from offdecode.sinks.pieces import Coded, Lists, Piece, Pieces
from offdecode.sinks.times import time_texts

Timestamps = Literal["ms", "iso", "local"]

_ROWS_PER_CHANGE = 4  # looking for equal numbers pays while each serves so many rows
_ROWS_PER_TEXT = 2  # and to escape each text once
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'
_LINES_A_RUN = 8  # on average at least, where lines are put in order run by run
_FIRST_PRINTABLE = 0x20
_NESTED = frozenset({Kind.LIST, Kind.STRUCT, Kind.EMBEDDED})


class Writable(Protocol):
    """What rows are written to."""

    def write(self, data: bytes | memoryview, /) -> int: ...


class LineSink(ABC):
    """Writes rows to a stream, between what stands before all of them and what stands behind."""

    def begin(self) -> None:  # noqa: B027 - most have nothing there
        """Write what stands before all rows: nothing, where a sink does not say more."""

    def end(self) -> None:  # noqa: B027 - most have nothing there either
        """Write what stands behind all rows: nothing, where a sink does not say more."""

    @abstractmethod
    def write(self, chunk: DecodedChunk) -> None:
        """Write the rows of a chunk."""


class JsonLinesSink(LineSink):
    """Writes rows to a binary stream."""

    def __init__(self, stream: Writable, options: RowOptions, timestamps: Timestamps = "ms") -> None:
        self._stream = stream
        self._options = options
        self._timestamps = timestamps

    def write(self, chunk: DecodedChunk) -> None:
        lines = [self._lines(name, batch) for name, batch in chunk.coded.items()]
        if chunk.row_count:
            self._stream.write(_bytes_of(lines[0]) if len(lines) == 1 else _in_order(lines, chunk.order))

    def _lines(self, name: str, batch: pa.RecordBatch) -> pa.Array:
        columns = row_type(name, self._options).columns
        return self._object(columns, batch.columns, len(batch), "}\n")

    def _object(self, columns: Sequence[Column], arrays: Sequence[pa.Array], count: int, close: str = "}") -> pa.Array:
        """One JSON object a row."""
        pieces = Pieces(count)
        self._add_fields(pieces, columns, arrays, close)
        return pieces.joined()

    def _add_fields(
        self, pieces: Pieces, columns: Sequence[Column], arrays: Sequence[pa.Array], close: str = "}"
    ) -> None:
        """Add an object's text. The first column that is always shown opens it."""
        pieces.add("{")
        separator = ""
        for column, array in zip(columns, arrays, strict=True):
            if not column.optional:
                pieces.add(f'{separator}"{column.name}":')
                self._add_value(pieces, column, array)
            elif array.null_count < len(array):
                shown = pc.binary_join_element_wise(f',"{column.name}":', self.text(column, array), "")
                pieces.add(pc.if_else(array.is_valid(), shown, "") if array.null_count else shown)
            separator = ","
        pieces.add(close)

    def text(self, column: Column, array: pa.Array) -> pa.Array:
        """The JSON text of each value."""
        if _is_coded(column, array):
            return self.text(column, array.dictionary).take(array.indices)
        pieces = Pieces(len(array))
        self._add_value(pieces, column, array)
        return pieces.joined()

    def _add_value(self, pieces: Pieces, column: Column, array: pa.Array) -> None:
        """Add the JSON text of each value, "null" for null. What is nested is joined with what is around it."""
        if array.null_count == len(array):
            pieces.add("null")
        elif column.kind is Kind.TEXT:
            self._add_text(pieces, array)
        elif _is_coded(column, array):
            pieces.add(_coded(array.indices, self.text(column, array.dictionary)))
        elif column.kind is Kind.CATEGORY and len(array.dictionary) * _ROWS_PER_TEXT > len(array):
            self._add_text(pieces, array.cast(pa.string()))
        elif column.kind not in _NESTED:
            pieces.add(self._plain(column, array))
        elif not array.null_count or column.kind is Kind.LIST:
            self._add_nested(pieces, column, array)
        else:
            inner = Pieces(len(array))
            self._add_nested(inner, column, array)
            pieces.add(pc.if_else(array.is_valid(), inner.joined(), "null"))

    def _add_text(self, pieces: Pieces, array: pa.Array) -> None:
        """Add each text as a JSON string; most need nothing but quotes, which are joined with what is around them."""
        if array.null_count or _may_need_escape(array):
            quoted = _quote(array)
            pieces.add(quoted.fill_null("null") if quoted.null_count else quoted)
            return
        pieces.add('"')
        pieces.add(array)
        pieces.add('"')

    def _add_nested(self, pieces: Pieces, column: Column, array: pa.Array) -> None:
        """Add the text of lists, and of structs; that of structs that are null is not to be looked at."""
        match column.kind:
            case Kind.LIST:
                there = array.is_valid().cast(pa.int8()) if array.null_count else None
                pieces.add("[" if there is None else Coded(there, pa.array(["null", "["])))
                elements = array.flatten()
                if len(elements):
                    pieces.add(self._elements(column.children[0], array, elements))
                pieces.add("]" if there is None else Coded(there, pa.array(["", "]"])))
            case Kind.STRUCT:
                self._add_fields(pieces, column.children, array.flatten())
            case Kind.EMBEDDED:
                self._add_embedded(pieces, column, array)

    def _plain(self, column: Column, array: pa.Array) -> Piece:
        """The JSON text of each value that is not nested, "null" for null."""
        match column.kind:
            case Kind.CATEGORY:
                return _coded(array.indices, _quote(array.dictionary).fill_null("null"))
            case Kind.INT32 | Kind.BOOL:
                encoded = (array[:1] if _is_one_value(array) else array).dictionary_encode()
                return _coded(encoded.indices, encoded.dictionary.cast(pa.string()))
            case Kind.INT64:
                return _numbers(array, _number_text)
            case Kind.TIMESTAMP | Kind.TIMESTAMP_NUMBER:
                return _numbers(array.cast(pa.int64()), self._time_text)
            case Kind.DOUBLE:
                text = array.cast(pa.string())
            case _:
                text = array
        return text.fill_null("null") if text.null_count else text

    def _time_text(self, milliseconds: pa.Array) -> pa.Array:
        numbers = _number_text(milliseconds)
        if self._timestamps == "ms":
            return numbers
        told = time_texts(milliseconds, local=self._timestamps == "local")
        return pc.coalesce(pc.binary_join_element_wise('"', told, '"', ""), numbers)

    def _elements(self, column: Column, array: pa.Array, flat: pa.Array) -> Piece:
        """The elements of each list, with commas. flat: those of all."""
        if array.null_count or len(flat) != len(array.values):
            lengths = pc.list_value_length(array).fill_null(0)
            offsets = arrow(np.concatenate((np.zeros(1, np.int32), np.cumsum(lengths.to_numpy(), dtype=np.int32))))
        else:
            offsets = array.offsets
        if _is_coded(column, flat):
            first = offsets.to_numpy()
            return Lists(Coded(flat.indices, self.text(column, flat.dictionary)), first - first[0])
        return pc.binary_join(pa.ListArray.from_arrays(offsets, self.text(column, flat)), ",")

    def _add_embedded(self, pieces: Pieces, column: Column, array: pa.Array) -> None:
        """Add the structure that the bytes hold, or `{"hex": ...}` and what else is optional."""
        arrays = array.flatten()
        by_name = {child.name: (child, item) for child, item in zip(column.children, arrays, strict=True)}
        hexadecimal = by_name["hex"][1]
        if hexadecimal.null_count == len(array):
            self._add_fields(pieces, column.children, arrays)
            return
        shown = [by_name[name] for name in ("hex", "decoded") if name in by_name]
        opaque = [Column("hex", Kind.TEXT), *(child for child, _ in shown[1:])]
        other = self._object(opaque, [item for _, item in shown], len(array))
        if hexadecimal.null_count:
            other = pc.if_else(hexadecimal.is_valid(), other, self._object(column.children, arrays, len(array)))
        pieces.add(other)


def _is_coded(column: Column, array: pa.Array) -> bool:
    """Whether these are structs of which most are there several times, each by the number of its text."""
    return column.kind is Kind.STRUCT and pa.types.is_dictionary(array.type)


def _is_one_value(array: pa.Array) -> bool:
    """Whether it says the same in every row, which is quicker told than equal values are found."""
    least = pc.min_max(array)
    return not array.null_count and bool(least["min"] == least["max"])


def _number_text(numbers: pa.Array) -> pa.Array:
    return numbers.cast(pa.string())


def _numbers(numbers: pa.Array, text_of: Callable[[pa.Array], pa.Array]) -> Piece:
    """The text of each number, made once for equal ones where most equal the one before, as times do."""
    values = (numbers.fill_null(0) if numbers.null_count else numbers).to_numpy()
    changes = np.count_nonzero(values[1:] != values[:-1])
    if changes * _ROWS_PER_CHANGE > len(values):
        texts = text_of(numbers)
        return texts.fill_null("null") if texts.null_count else texts
    if not changes and not numbers.null_count:
        return str(text_of(numbers[:1])[0].as_py())
    encoded = numbers.dictionary_encode()
    return _coded(encoded.indices, text_of(encoded.dictionary))


def _coded(indices: pa.Array, texts: pa.Array) -> Piece:
    """A piece of few distinct texts; a single one is a constant."""
    if indices.null_count:
        texts = pa.concat_arrays([texts, pa.array(["null"])])
        indices = indices.fill_null(len(texts) - 1)
    if len(texts) == 1:
        return str(texts[0].as_py())
    return Coded(indices, texts)


def _quote(array: pa.Array) -> pa.Array:
    """Each text as a JSON string, UTF-8 unescaped."""
    quoted = pc.binary_join_element_wise('"', array, '"', "")
    if not _may_need_escape(array):
        return quoted
    special = pc.match_substring_regex(array, _NEEDS_ESCAPE)
    if not pc.any(special).as_py():
        return quoted
    escaped = [orjson.dumps(text).decode("utf-8") for text in array.filter(special).to_pylist()]
    return pc.replace_with_mask(quoted, special.fill_null(False), pa.array(escaped, pa.string()))


def _may_need_escape(array: pa.Array) -> bool:
    """Whether a byte that is escaped stands anywhere in the texts, or between them: most have none."""
    data = np.frombuffer(_bytes_of(array), np.uint8)
    return bool((data < _FIRST_PRINTABLE).any() or (data == ord('"')).any() or (data == ord("\\")).any())


def _in_order(lines: list[pa.Array], order: Vector) -> bytes | memoryview:
    """Lines of several row types in the order of the log. order: numbers of all lines, type by type."""
    first = np.cumsum([0, *map(len, lines)])
    new = np.isin(order, first[:-1])
    new[0] = True
    new[1:] |= order[1:] != order[:-1] + 1
    starts = np.flatnonzero(new)
    if len(starts) * _LINES_A_RUN > len(order):
        return _bytes_of(pa.concat_arrays(lines).take(arrow(order)))
    # Mostly many of one type follow each other: each run of them is one piece of what is there.
    begin, end = order[starts], order[np.append(starts[1:], len(order)) - 1]
    kind = np.searchsorted(first, begin, side="right") - 1
    texts = [_bytes_of(line) for line in lines]
    place = [memoryview(ends - ends[0]) for ends in map(text_ends, lines)]
    return b"".join(
        texts[number][place[number][one] : place[number][last + 1]]
        for number, one, last in zip(
            kind.tolist(), (begin - first[kind]).tolist(), (end - first[kind]).tolist(), strict=True
        )
    )


def _bytes_of(strings: pa.Array) -> memoryview:
    """The texts of a string array one after the other, as they lie in its buffer."""
    data = strings.buffers()[2]
    if not len(strings) or data is None:
        return memoryview(b"")
    ends = text_ends(strings)
    return memoryview(data)[ends[0] : ends[-1]]
