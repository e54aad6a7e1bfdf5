"""The column engine over records: those that share a record type and value version become columns together.

Accept-only: records that it is not sure of are handed back, for the reference engine to read one by one.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from offdecode.engines.arrow_columns import ArrowColumns, DoubtfulRows
from offdecode.engines.columns import VectorReader
from offdecode.engines.parts import Part, constant_category
from offdecode.engines.readings import Fields
from offdecode.engines.reference_rows import BY_KEY_TYPE, KEY_VERSION
from offdecode.engines.selection import Selection
from offdecode.log.records import Records
from offdecode.model import Column, Mask, Vector, arrow, distinct
from offdecode.schemas.layout import Layout, RecordType
from offdecode.schemas.rows import SHAPE, record_columns

_VERSION_BYTES = 2


class ColumnEngine:
    """Reads the records of a chunk in vectors."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def decode(self, records: Records, indices: Vector) -> tuple[list[Part], Vector]:
        """The rows of the records at `indices` (ascending) that are wanted, and the records left to the reference."""
        run = _Run(records, self._selection)
        long_enough = records.key_length[indices] >= _VERSION_BYTES
        run.left.append(indices[~long_enough])
        indices = indices[long_enough]
        key_types = run.reader.integers(records.key_position[indices], 2)
        for key_type in distinct(key_types).tolist():
            rows = indices[key_types == key_type]
            record = BY_KEY_TYPE.get(key_type)
            if record is None:
                run.left.append(rows)
            elif self._selection.wants_record(record.row_type):
                run.read_type(record, rows)
        return run.parts, np.sort(np.concatenate(run.left))


class _Run:
    def __init__(self, records: Records, selection: Selection) -> None:
        self.records = records
        self.selection = selection
        self.reader = VectorReader(records.buffer)
        self.arrow = ArrowColumns(records.buffer)
        self.parts: list[Part] = []
        self.left: list[Vector] = [np.empty(0, np.int64)]

    def read_type(self, record: RecordType, rows: Vector) -> None:
        """Read all records of one type: filter by key, then go on by value version."""
        rows = self._matching(record, self._fitting(record.key, KEY_VERSION, rows, key=True))
        length = self.records.value_length[rows]
        self.left.append(rows[(length >= 0) & (length < _VERSION_BYTES)])
        self._read_part(record, None, None, rows[length < 0])
        rows = rows[length >= _VERSION_BYTES]
        versions = self.reader.integers(self.records.value_position[rows], 2)
        for version in distinct(versions).tolist():
            mine = rows[versions == version]
            for layout in record.values:
                if layout.layout_version(version) is None:
                    continue
                read = self._read_part(record, layout, version, mine)
                mine = np.setdiff1d(mine, read, assume_unique=True)
                if not len(mine):
                    break
            self.left.append(mine)

    def _fitting(self, layout: Layout, version: int, rows: Vector, *, key: bool) -> Vector:
        fits = self._read(layout, version, rows, key=key)[1]
        if key:
            self.left.append(rows[~fits])
        return rows[fits]

    def _read(self, layout: Layout, version: int, rows: Vector, *, key: bool) -> tuple[Fields, Mask]:
        records = self.records
        position = (records.key_position if key else records.value_position)[rows]
        length = (records.key_length if key else records.value_length)[rows]
        return self.reader.read(layout, version, position + _VERSION_BYTES, position + length)

    def _matching(self, record: RecordType, rows: Vector) -> Vector:
        """The rows whose keys pass the filter. Keys that are no UTF-8 are left to the reference."""
        tests = self.selection.keys.tests
        if not tests or not len(rows):
            return rows
        columns = {column.name: column for column in record_columns(record.row_type)}
        if not tests.keys() <= {field.name for field in record.key.fields}:
            return rows[:0]
        for name, test in tests.items():
            rows, values = self._certain(record.key, columns[name], rows)
            encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
            passes = np.fromiter((test(value) for value in encoded.dictionary.to_pylist()), np.bool_)
            rows = rows[passes[encoded.indices.to_numpy()]]
        return rows

    def _certain(self, layout: Layout, column: Column, rows: Vector) -> tuple[Vector, pa.Array]:
        """A key column of the rows, without those whose text is doubtful: they are left to the reference."""
        while True:
            fields, _ = self._read(layout, KEY_VERSION, rows, key=True)
            try:
                return rows, self.arrow.column(column, fields.values[column.name], rows)
            except DoubtfulRows as doubt:
                rows = self._leave(rows, doubt)

    def _leave(self, rows: Vector, doubt: DoubtfulRows) -> Vector:
        self.left.append(doubt.rows)
        return np.setdiff1d(rows, doubt.rows, assume_unique=True)

    def _read_part(self, record: RecordType, layout: Layout | None, version: int | None, rows: Vector) -> Vector:
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
            key, _ = self._read(record.key, KEY_VERSION, rows, key=True)
            try:
                self.parts.append(self._part(record, layout, version, rows, key, value))
                break
            except DoubtfulRows as doubt:
                rows = self._leave(rows, doubt)
        return dealt_with

    def _part(
        self, record: RecordType, layout: Layout | None, version: int | None, rows: Vector, key: Fields, value: Fields
    ) -> Part:
        columns = record_columns(record.row_type)
        fields = Fields({**value.values, **key.values}, value.unknown_tags)
        arrays = self.arrow.fields(columns, fields, rows)
        found = dict(zip((column.name for column in columns), arrays, strict=True))
        if layout is not None and layout.shape is not None:
            found[SHAPE.name] = constant_category(layout.shape, len(rows))
        count = len(rows)
        found["key_type"] = arrow(np.full(count, record.key_type, np.int32))
        found["value_version"] = (
            pa.nulls(count, pa.int32()) if version is None else arrow(np.full(count, version, np.int32))
        )
        return Part(record.row_type, rows, found)
