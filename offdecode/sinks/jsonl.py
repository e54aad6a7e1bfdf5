"""Decoded chunks to JSON lines, by Arrow's string kernels: a column at a time, rows in log order.

Text is escaped once per dictionary entry where a column is dictionary-encoded, and only where it needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.model import Column, DecodedChunk, Kind
from offdecode.schemas.rows import RowOptions, row_type

Timestamps = Literal["ms", "iso"]

# Milliseconds of the years 1 to 9999: what RFC 3339 and most calendars can say.
FIRST_CALENDAR_MS = -62_135_596_800_000
LAST_CALENDAR_MS = 253_402_300_799_999

_NEEDS_ESCAPE = r'["\\\x00-\x1f]'


class JsonLinesSink:
    """Writes rows to a binary stream."""

    def __init__(self, stream: BinaryIO, options: RowOptions, timestamps: Timestamps = "ms") -> None:
        self._stream = stream
        self._options = options
        self._iso = timestamps == "iso"

    def write(self, chunk: DecodedChunk) -> None:
        lines = [self._lines(name, batch) for name, batch in chunk.batches.items()]
        if not lines:
            return
        joined = pa.concat_arrays(lines) if len(lines) > 1 else lines[0]
        if len(lines) > 1:
            joined = joined.take(pa.array(chunk.order))
        self._stream.write(_bytes_of(joined))

    def _lines(self, name: str, batch: pa.RecordBatch) -> pa.Array:
        columns = row_type(name, self._options).columns
        return self._object(columns, batch.columns, len(batch), "}\n")

    def _object(self, columns: Sequence[Column], arrays: Sequence[pa.Array], count: int, close: str = "}") -> pa.Array:
        """One JSON object a row. The first column that is always shown opens it."""
        pieces: list[pa.Array | str] = []
        text = "{"
        for column, array in zip(columns, arrays, strict=True):
            name = f'"{column.name}":'
            if not column.optional:
                separator = "" if text == "{" and not pieces else ","
                pieces += [text + separator + name, self._value(column, array)]
                text = ""
            elif array.null_count < len(array):
                value = pc.binary_join_element_wise(f",{name}", self._value(column, array), "")
                pieces += [text, pc.if_else(array.is_valid(), value, "")]
                text = ""
        pieces.append(text + close)
        joined = pc.binary_join_element_wise(*pieces, "")
        return joined if isinstance(joined, pa.Array) else pa.array([joined.as_py()] * count)

    def _value(self, column: Column, array: pa.Array) -> pa.Array | str:
        """The JSON text of each value, "null" for null; one text where it is the same for all."""
        if array.null_count == len(array):
            return "null"
        match column.kind:
            case Kind.CATEGORY:
                if len(array.dictionary) == 1 and not array.null_count:
                    return str(_quote(array.dictionary)[0].as_py())
                text = _quote(array.dictionary).take(array.indices)
            case Kind.TEXT:
                text = _quote(array)
            case Kind.JSON:
                text = array
            case Kind.TIMESTAMP | Kind.TIMESTAMP_NUMBER:
                text = self._time(array.cast(pa.int64()))
            case Kind.LIST:
                text = self._list(column.children[0], array)
            case Kind.STRUCT:
                text = self._object(column.children, array.flatten(), len(array))
                text = pc.if_else(array.is_valid(), text, pa.scalar(None, pa.string()))
            case Kind.EMBEDDED:
                text = self._embedded(column, array)
            case _:
                text = array.cast(pa.string())
        return text.fill_null("null") if text.null_count else text

    def _time(self, milliseconds: pa.Array) -> pa.Array:
        numbers = milliseconds.cast(pa.string())
        if not self._iso:
            return numbers
        sayable = pc.and_(
            pc.greater_equal(milliseconds, FIRST_CALENDAR_MS), pc.less_equal(milliseconds, LAST_CALENDAR_MS)
        )
        times = pc.if_else(sayable, milliseconds, None).cast(pa.timestamp("ms"))
        texts = pc.binary_join_element_wise('"', pc.strftime(times, format="%Y-%m-%dT%H:%M:%S"), 'Z"', "")
        return pc.coalesce(texts, numbers)

    def _list(self, column: Column, array: pa.Array) -> pa.Array:
        lengths = pc.list_value_length(array).fill_null(0)
        offsets = np.concatenate((np.zeros(1, np.int32), np.cumsum(lengths.to_numpy(), dtype=np.int32)))
        flat = array.flatten()
        text = self._value(column, flat)
        if isinstance(text, str):
            text = pa.array([text] * len(flat), pa.string())
        joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), text), ",")
        return pc.if_else(array.is_valid(), pc.binary_join_element_wise("[", joined, "]", ""), None)

    def _embedded(self, column: Column, array: pa.Array) -> pa.Array:
        """The structure that the bytes hold, or `{"hex": ...}` and what else is optional."""
        arrays = array.flatten()
        decoded = self._object(column.children, arrays, len(array))
        by_name = dict(zip((child.name for child in column.children), column.children, strict=True))
        shown = [(by_name[name], arrays[list(by_name).index(name)]) for name in ("hex", "decoded") if name in by_name]
        hexadecimal = shown[0][1]
        opaque = [Column("hex", Kind.TEXT), *(child for child, _ in shown[1:])]
        other = self._object(opaque, [item for _, item in shown], len(array))
        text = pc.if_else(hexadecimal.is_valid(), other, decoded)
        return pc.if_else(array.is_valid(), text, None)


def _quote(array: pa.Array) -> pa.Array:
    """Each text as a JSON string, UTF-8 unescaped."""
    quoted = pc.binary_join_element_wise('"', array, '"', "")
    special = pc.match_substring_regex(array, _NEEDS_ESCAPE)
    if not pc.any(special).as_py():
        return quoted
    escaped = [orjson.dumps(text).decode("utf-8") for text in array.filter(special).to_pylist()]
    return pc.replace_with_mask(quoted, special.fill_null(False), pa.array(escaped, pa.string()))


def _bytes_of(strings: pa.Array) -> memoryview:
    """The texts of a string array one after the other, as they lie in its buffer."""
    offsets = np.frombuffer(strings.buffers()[1], np.int32)[strings.offset : strings.offset + len(strings) + 1]
    return memoryview(strings.buffers()[2])[offsets[0] : offsets[-1]]
