"""The column engine over records: those that share a record type and value version become columns together.

Accept-only: records that it is not sure of are handed back, for the reference engine to read one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from offdecode.byte_vectors import big_endian, equal_ranges, unaligned
from offdecode.engines.arrow_columns import ArrowColumns, DoubtfulRows
from offdecode.engines.columns import VectorReader
from offdecode.engines.parts import TypeRows
from offdecode.engines.readings import Fields
from offdecode.engines.selection import Selection
from offdecode.log.records import Records
from offdecode.model import Mask, Vector, arrow, constant_category, distinct
from offdecode.schemas.layout import Layout, RecordType
from offdecode.schemas.registry import KEY_VERSION, by_key_type
from offdecode.schemas.rows import SHAPE, record_columns

_BY_KEY_TYPE = by_key_type()

_VERSION_BYTES = 2
_GROUP_AT = 4  # in a key: behind its version and the length of the group's name
_WORD_BYTES = 8
_SAMPLE = 1024
_ROWS_PER_REPEAT = 20  # in the sample: about five rows a key among all


class ColumnEngine:
    """Reads the records of a chunk in vectors."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def decode(self, records: Records, indices: Vector) -> tuple[list[TypeRows], Vector]:
        """The rows of the records at `indices` (ascending) that are wanted, and the records left to the reference."""
        run = _Run(records, self._selection)
        groups = self._selection.keys.groups
        if groups is not None:
            indices = _of_groups(records, indices, groups)
        long_enough = records.key_length[indices] >= _VERSION_BYTES
        run.left.append(indices[~long_enough])
        run.read(indices[long_enough])
        return run.parts, np.sort(np.concatenate(run.left))


def _of_groups(records: Records, rows: Vector, groups: Collection[bytes]) -> Vector:
    """The records whose keys begin with one of these groups, as the keys of all record types do.

    Whole keys need not be looked at to leave out the others: what breaks its layout passes no filter of groups.
    """
    at, room = records.key_position[rows] + _GROUP_AT, records.key_length[rows] - _GROUP_AT
    words = unaligned(records.buffer, "<u8")
    length = big_endian(records.buffer, "i2", at - 2)
    found = [rows[:0]]
    for group in groups:
        mine = np.flatnonzero((length == len(group)) & (room >= len(group)))
        for end in range(len(group), 0, -_WORD_BYTES):  # names differ at their ends
            place = max(end - _WORD_BYTES, 0)
            part = group[place : place + _WORD_BYTES]
            ones = (1 << 8 * len(part)) - 1
            mine = mine[words[at[mine] + place] & np.uint64(ones) == int.from_bytes(part, "little")]
        found.append(rows[mine])
    return np.sort(np.concatenate(found))


@dataclass(frozen=True, slots=True)
class _Keys:
    """The different keys of one record type that are wanted: their columns, and which of them each row has."""

    count: int
    columns: dict[str, pa.Array]
    index: Vector

    def of(self, rows: Vector) -> dict[str, pa.Array]:
        """The key's columns for these records."""
        index = self.index[rows]
        if len(index) == self.count and (index == np.arange(self.count)).all():
            return dict(self.columns)
        return {name: column.take(arrow(index)) for name, column in self.columns.items()}


class _Run:
    """Reads the records of one chunk. Where keys come time and again, each is read once."""

    def __init__(self, records: Records, selection: Selection) -> None:
        self.records = records
        self.selection = selection
        self.reader = VectorReader(records.buffer)
        self.arrow = ArrowColumns(records.buffer)
        self.parts: list[TypeRows] = []
        self.left: list[Vector] = [np.empty(0, np.int64)]

    def read(self, rows: Vector) -> None:
        """Read the records `rows`, one type after the other."""
        if not len(rows):
            return
        index = np.arange(len(rows))  # which key each row has
        if self._keys_repeat(rows):
            index = self._equal_keys(rows)
        example = np.empty(int(index.max()) + 1, np.int64)  # a record of each key
        example[index] = rows
        key_types = self.reader.integers(self.records.key_position[example], 2)
        for key_type in distinct(key_types).tolist():
            mine = key_types == key_type
            record = _BY_KEY_TYPE.get(key_type)
            if record is None:
                self.left.append(rows[mine[index]])
            elif self.selection.wants_record(record.row_type):
                self._read_type(record, *self._read_keys(record, rows, index, example, np.flatnonzero(mine)))

    def _keys_repeat(self, rows: Vector) -> bool:
        """Whether looking for equal keys pays: a few records, taken from everywhere, show it."""
        some = rows[:: len(rows) // _SAMPLE + 1]
        different = int(self._equal_keys(some).max()) + 1
        return (len(some) - different) * _ROWS_PER_REPEAT >= len(some)

    def _equal_keys(self, rows: Vector) -> Vector:
        start = self.records.key_position[rows]
        return equal_ranges(self.records.buffer, start, start + self.records.key_length[rows])

    def _read_keys(
        self, record: RecordType, rows: Vector, index: Vector, example: Vector, numbers: Vector
    ) -> tuple[Vector, _Keys]:
        """The rows whose keys are among `numbers` and wanted. index: each row's key; example: a row of each key."""
        columns: dict[str, pa.Array] = {}
        doubtful = [numbers[:0]]
        while len(numbers):
            fields, fits = self._read(record.key, KEY_VERSION, example[numbers], key=True)
            try:
                if not fits.all():
                    raise DoubtfulRows(numbers[~fits])
                named = [column for column in record_columns(record.row_type) if column.name in fields.values]
                arrays = self.arrow.fields(named, fields, numbers)
            except DoubtfulRows as doubt:
                doubtful.append(doubt.rows)
                numbers = np.setdiff1d(numbers, doubt.rows, assume_unique=True)
                continue
            columns = dict(zip((column.name for column in named), arrays, strict=True))
            passing = self._passing(columns, len(numbers))
            if passing.all():
                break
            numbers = numbers[passing]
        number = np.full(len(example), -1, np.int64)
        number[numbers] = np.arange(len(numbers))
        unsure = np.concatenate(doubtful)
        if len(unsure):
            self.left.append(rows[np.isin(index, unsure)])
        found = number[index]
        of_record = np.empty(len(self.records), np.int64)
        of_record[rows] = found
        return rows[found >= 0], _Keys(len(numbers), columns, of_record)

    def _passing(self, columns: Mapping[str, pa.Array], count: int) -> Mask:
        """Which keys the filter wants."""
        tests = self.selection.keys.tests
        if not tests.keys() <= columns.keys():
            return np.zeros(count, np.bool_)
        passing = np.ones(count, np.bool_)
        for name, test in tests.items():
            values = columns[name]
            encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
            passes = np.fromiter((test(value) for value in encoded.dictionary.to_pylist()), np.bool_)
            passing &= passes[encoded.indices.to_numpy()]
        return passing

    def _read_type(self, record: RecordType, rows: Vector, keys: _Keys) -> None:
        """Read all records of one type, one value version after the other."""
        length = self.records.value_length[rows]
        self.left.append(rows[(length >= 0) & (length < _VERSION_BYTES)])
        self._read_part(record, keys, None, None, rows[length < 0])
        rows = rows[length >= _VERSION_BYTES]
        versions = self.reader.integers(self.records.value_position[rows], 2)
        for version in distinct(versions).tolist():
            mine = rows[versions == version]
            for layout in record.values:
                if layout.layout_version(version) is None:
                    continue
                read = self._read_part(record, keys, layout, version, mine)
                if len(read) == len(mine):
                    mine = mine[:0]
                    break
                mine = np.setdiff1d(mine, read, assume_unique=True)
            self.left.append(mine)

    def _read(self, layout: Layout, version: int, rows: Vector, *, key: bool) -> tuple[Fields, Mask]:
        records = self.records
        position = (records.key_position if key else records.value_position)[rows]
        length = (records.key_length if key else records.value_length)[rows]
        return self.reader.read(layout, version, position + _VERSION_BYTES, position + length, coded=not key)

    def _leave(self, rows: Vector, doubt: DoubtfulRows) -> Vector:
        self.left.append(doubt.rows)
        return np.setdiff1d(rows, doubt.rows, assume_unique=True)

    def _read_part(
        self, record: RecordType, keys: _Keys, layout: Layout | None, version: int | None, rows: Vector
    ) -> Vector:
        """Add the rows that fit the layout (None = tombstones); gives those that are dealt with."""
        dealt_with = rows
        while len(rows):
            value = Fields({})
            if layout is not None and version is not None:
                known = layout.layout_version(version)
                value, fits = self._read(layout, 0 if known is None else known, rows, key=False)
                if not fits.all():
                    rows = dealt_with = rows[fits]
                    continue
            try:
                self.parts.append(self._part(record, keys, layout, version, rows, value))
                break
            except DoubtfulRows as doubt:
                rows = self._leave(rows, doubt)
        return dealt_with

    def _part(
        self, record: RecordType, keys: _Keys, layout: Layout | None, version: int | None, rows: Vector, value: Fields
    ) -> TypeRows:
        found = keys.of(rows)
        columns = [column for column in record_columns(record.row_type) if column.name not in found]
        arrays = self.arrow.fields(columns, value, rows)
        found.update(zip((column.name for column in columns), arrays, strict=True))
        if layout is not None and layout.shape is not None:
            found[SHAPE.name] = constant_category(layout.shape, len(rows))
        count = len(rows)
        found["key_type"] = arrow(np.full(count, record.key_type, np.int32))
        found["value_version"] = (
            pa.nulls(count, pa.int32()) if version is None else arrow(np.full(count, version, np.int32))
        )
        return TypeRows(record.row_type, rows, found)
