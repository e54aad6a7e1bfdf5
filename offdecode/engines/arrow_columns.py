"""Readings to Arrow columns: texts as views into the chunk, ids and hex by table look-up, nested values as lists.

Arrow checks that texts are UTF-8 on the way; DoubtfulRows names the rows that are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.byte_vectors import Buffer, byte_views, unaligned
from offdecode.engines.plain import encoded_json, opaque_json
from offdecode.engines.readings import (
    EmbeddedBytes,
    Encoded,
    Fields,
    Items,
    Numbers,
    Ranges,
    Reading,
    Repeated,
    Sparse,
    UnknownTags,
    Uuids,
)
from offdecode.model import (
    Column,
    Kind,
    Mask,
    Vector,
    arrow,
    bounds,
    constant_category,
    is_utf8,
    lists,
    scattered,
    within,
)
from offdecode.schemas.layout import UNKNOWN_TAGGED_FIELDS, USER_DATA, OpaqueFormat
from offdecode.schemas.rows import DECODED, USER_DATA_DECODED

_HEX = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), "<u2")
_BASE64 = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", np.uint8)
_UUID_TEXT_BYTES = 22
_BASE64_QUANTUM = 4  # base64 with padding comes in fours


class DoubtfulRows(Exception):
    """Rows whose text is not UTF-8: the reference engine shows them."""

    def __init__(self, rows: Vector) -> None:
        self.rows = rows
        super().__init__()


class ArrowColumns:
    """Builds the columns of rows whose readings lie in one buffer."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer

    def column(  # noqa: C901 - a branch for each kind of reading
        self, column: Column, reading: Reading | None, rows: Vector
    ) -> pa.Array:
        """One column of as many values as `rows`, which numbers the record that each value belongs to."""
        count = len(rows)
        match reading:
            case None:
                return pa.nulls(count, column.arrow_type)
            case Numbers():
                dtype = np.int32 if column.kind is Kind.INT32 else np.int64
                return arrow(reading.values.astype(dtype, copy=False)).cast(column.arrow_type)
            case Ranges() if reading.text:
                return self._texts(reading, rows, category=column.kind is Kind.CATEGORY)
            case Ranges():
                return self.hex(reading.position, reading.length)
            case Uuids():
                return self._uuids(reading.position, category=column.kind is Kind.CATEGORY)
            case Items():
                owners = np.repeat(rows, np.maximum(reading.count, 0))
                return lists(reading.count, self.column(column.children[0], reading.elements, owners))
            case Repeated():
                return self._repeated(column, reading, rows)
            case Sparse():
                return scattered(self.column(column, reading.reading, rows[reading.rows]), reading.rows, count)
            case EmbeddedBytes():
                return self._parts(column, reading, rows)
            case Encoded():
                return self._encoded(reading)
            case Fields():
                return self._struct(column.children, self.fields(column.children, reading, rows), count)

    def _repeated(self, column: Column, reading: Repeated, rows: Vector) -> pa.Array:
        """Structs as the elements of coded lists."""
        try:
            once = self.column(column, reading.once, np.arange(int(reading.index.max(initial=-1)) + 1))
        except DoubtfulRows as doubt:
            raise DoubtfulRows(np.unique(rows[np.isin(reading.index, doubt.rows)])) from None
        return pa.DictionaryArray.from_arrays(arrow(reading.index.astype(np.int32)), once)

    def fields(self, columns: Sequence[Column], fields: Fields, rows: Vector) -> list[pa.Array]:
        """The columns of a struct, in order; those that the struct does not have are null."""
        return [
            self._unknown_tags(column, fields.unknown_tags, len(rows))
            if column.name == UNKNOWN_TAGGED_FIELDS
            else self.column(column, fields.values.get(column.name), rows)
            for column in columns
        ]

    def _struct(self, columns: Sequence[Column], arrays: list[pa.Array], count: int) -> pa.Array:
        fields = [pa.field(column.name, column.arrow_type) for column in columns]
        return pa.StructArray.from_arrays(arrays, fields=fields)

    def _unknown_tags(self, column: Column, tags: UnknownTags | None, count: int) -> pa.Array:
        if tags is None:
            return pa.nulls(count, column.arrow_type)
        per_row = np.bincount(tags.row, minlength=count)
        entry = column.children[0]
        arrays = [arrow(tags.tag), self.hex(tags.position, tags.length)]
        return lists(np.where(per_row == 0, -1, per_row), self._struct(entry.children, arrays, len(tags.row)))

    def _parts(self, column: Column, parts: EmbeddedBytes, rows: Vector) -> pa.Array:
        """Structures where the bytes hold one, else their hex."""
        count = len(rows)
        names = [child.name for child in column.children]
        opaque = parts.ranges.length >= 0
        pieces: list[pa.Array] = []
        order: list[Vector] = []
        for found, version, fields in parts.read:
            arrays = dict(zip(names, self.fields(column.children, fields, rows[found]), strict=True))
            arrays["version"] = arrow(version.astype(np.int32))
            user_data = fields.values.get(USER_DATA)
            if isinstance(user_data, Ranges) and parts.nested_opaque:
                arrays[USER_DATA_DECODED.name] = self._opaque(parts.nested_opaque, user_data, found)
            pieces.append(self._struct(column.children, list(arrays.values()), len(found)))
            order.append(found)
            opaque[found] = False
        other = np.flatnonzero(opaque)
        if len(other):
            ranges = Ranges(parts.ranges.position[other], parts.ranges.length[other], text=False)
            shown = {"hex": self.hex(ranges.position, ranges.length)}
            if parts.opaque:
                shown[DECODED.name] = self._opaque(parts.opaque, ranges, other)
            arrays = {
                child.name: shown.get(child.name, pa.nulls(len(other), child.arrow_type)) for child in column.children
            }
            pieces.append(self._struct(column.children, list(arrays.values()), len(other)))
            order.append(other)
        if not pieces:
            return pa.nulls(count, column.arrow_type)
        if len(pieces) == 1 and len(pieces[0]) == count:
            return pieces[0]
        return scattered(pa.concat_arrays(pieces), np.concatenate(order), count)

    def _opaque(self, formats: Sequence[tuple[OpaqueFormat, Mask]], ranges: Ranges, rows: Vector) -> pa.Array:
        """JSON texts of the free-form readings of ranges; rows: which rows of the masks they belong to."""
        count = len(rows)
        texts = pa.nulls(count, pa.string())
        for opaque, mask in formats:
            mine = np.flatnonzero(mask[rows] & (ranges.length >= 0))
            data = byte_views(self._buffer, ranges.position[mine], ranges.length[mine])
            found = _of_distinct(data, partial(opaque_json, opaque))
            texts = pc.coalesce(texts, scattered(found, mine, count))
        return texts

    def _encoded(self, reading: Encoded) -> pa.Array:
        ranges = reading.texts
        maybe = np.flatnonzero((ranges.length > 0) & (ranges.length % _BASE64_QUANTUM == 0))
        count = len(ranges.length)
        if not len(maybe):
            return pa.nulls(count, pa.string())
        texts = byte_views(self._buffer, ranges.position[maybe], ranges.length[maybe])
        found = _of_distinct(texts, lambda data: encoded_json(reading.encoded, data.decode("utf-8", "replace")))
        return scattered(found, maybe, count)

    def _texts(self, ranges: Ranges, rows: Vector, *, category: bool) -> pa.Array:
        if not ranges.length.any():  # as metadata is nearly always
            count = len(ranges.length)
            return constant_category("", count) if category else pa.repeat("", count)
        binary = byte_views(self._buffer, ranges.position, ranges.length)
        if category:
            encoded = binary.cast(pa.binary()).dictionary_encode()
            try:
                texts = encoded.dictionary.cast(pa.string())
            except pa.ArrowInvalid:
                bad = [not is_utf8(item) for item in encoded.dictionary.to_pylist()]
                indices = encoded.indices.fill_null(0).to_numpy()
                raise DoubtfulRows(np.unique(rows[np.asarray(bad)[indices] & (ranges.length >= 0)])) from None
            return pa.DictionaryArray.from_arrays(encoded.indices, texts)
        try:
            return binary.cast(pa.string())
        except pa.ArrowInvalid:
            bad = [item is not None and not is_utf8(item) for item in binary.cast(pa.binary()).to_pylist()]
            raise DoubtfulRows(np.unique(rows[np.asarray(bad)])) from None

    def distinct_ones(self, position: Vector, length: Vector) -> pa.DictionaryArray:
        """The bytes of ranges, the same ones once; null where the length is -1."""
        return byte_views(self._buffer, position, length).cast(pa.binary()).dictionary_encode()

    def hex(self, position: Vector, length: Vector) -> pa.Array:
        """Ranges in lower-case hex; null where the length is -1."""
        filled = np.maximum(length, 0)
        texts = _HEX[self._buffer[np.repeat(position, filled) + within(filled)]]
        null = length < 0
        validity = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
        offsets = pa.py_buffer((bounds(filled) * 2).astype(np.int32))
        return pa.Array.from_buffers(pa.string(), len(length), [validity, offsets, pa.py_buffer(texts)])

    def _uuids(self, position: Vector, *, category: bool) -> pa.Array:
        words = unaligned(self._buffer, "<u8")
        ids = np.stack((words[position], words[position + 8]), axis=1).view(np.uint8)
        if not category:
            return _uuid_texts(ids)
        binary = pa.Array.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(ids)])
        encoded = binary.dictionary_encode()
        distinct = np.frombuffer(encoded.dictionary.buffers()[1], np.uint8)[: len(encoded.dictionary) * 16]
        return pa.DictionaryArray.from_arrays(encoded.indices, _uuid_texts(distinct.reshape(-1, 16)))


def _uuid_texts(ids: npt.NDArray[np.uint8]) -> pa.Array:
    """Base64url without padding, 22 characters an id."""
    padded = np.zeros((len(ids), 18), np.uint32)
    padded[:, :16] = ids
    words = padded[:, 0::3] << 16 | padded[:, 1::3] << 8 | padded[:, 2::3]
    digits = np.stack([words >> shift & 0x3F for shift in (18, 12, 6, 0)], axis=2).reshape(len(ids), 24)
    texts = np.ascontiguousarray(_BASE64[digits[:, :_UUID_TEXT_BYTES]])
    offsets = np.arange(len(ids) + 1, dtype=np.int32) * _UUID_TEXT_BYTES
    return pa.Array.from_buffers(pa.string(), len(ids), [None, pa.py_buffer(offsets), pa.py_buffer(texts)])


def _of_distinct(data: pa.Array, text_of: Callable[[bytes], str | None]) -> pa.Array:
    """The text of each value, made once for equal ones."""
    encoded = data.cast(pa.binary()).dictionary_encode()
    texts = pa.array([text_of(item) for item in encoded.dictionary.to_pylist()], pa.string())
    return texts.take(encoded.indices)
