"""The reference engine over records: each record's key type chooses its tables, each record becomes one row.

Bytes of a kind that no table knows become `unknown` rows, bytes that break a table `undecodable` ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from offdecode.engines.parts import TypeRows, text_hex
from offdecode.engines.plain import Plain
from offdecode.engines.reference import Values, read_layout, read_value
from offdecode.engines.selection import Selection
from offdecode.errors import CorruptError, LengthError, TruncatedError, UnknownTypeError, UnknownVersionError
from offdecode.log.records import Records
from offdecode.model import Vector
from offdecode.schemas.layout import RecordType
from offdecode.schemas.registry import KEY_VERSION, by_key_type
from offdecode.schemas.rows import SHAPE, UNDECODABLE_ROW, UNKNOWN_ROW, row_type

_BY_KEY_TYPE = by_key_type()

INVALID_TEXT = "invalid_text"


@dataclass(slots=True)
class _Rows:
    rows: list[int] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)

    def part(self, name: str) -> TypeRows:
        columns = {
            column.name: pa.array([values.get(column.name) for values in self.values], column.arrow_type)
            for column in row_type(name).columns
            if any(column.name in values for values in self.values)
        }
        return TypeRows(name, np.asarray(self.rows, np.int64), columns)


class ReferenceEngine:
    """Reads records one by one."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def decode(self, records: Records, indices: Vector) -> list[TypeRows]:
        """The rows of the records at `indices` (ascending) that the selection wants."""
        found: dict[str, _Rows] = {}
        for index in indices.tolist():
            decoded = self._decode(records.key(index), records.value(index))
            if decoded is None:
                continue
            name, values = decoded
            rows = found.setdefault(name, _Rows())
            rows.rows.append(index)
            rows.values.append(values)
        return [rows.part(name) for name, rows in found.items()]

    def _decode(  # noqa: C901 - a branch for each way in which a record may not be what it says
        self, key: bytes | None, value: bytes | None
    ) -> tuple[str, Values] | None:
        """The row type and its values, or None where the selection does not want the record."""
        key_type: int | None = None
        version: int | None = None
        key_matches = not self._selection.keys
        try:
            key_type = _read_version(key, "key")
            record = _BY_KEY_TYPE.get(key_type)
            if record is None:
                raise UnknownTypeError(key_type)
            if not self._selection.wants_record(record.row_type):
                return None
            key_values = read_layout(record.key, KEY_VERSION, key or b"", 2, "key")
            key_matches = self._selection.keys.matches(key_values)
            if not key_matches:
                return None
            shown = Plain()
            row: Values = {"key_type": key_type, **shown.struct(record.key.fields, key_values)}
            if value is not None:
                version = _read_version(value, "value")
                row["value_version"] = version
                row.update(self._read_value(record, version, value, shown))
            if shown.invalid_text:
                row[INVALID_TEXT] = shown.invalid_text
            return record.row_type, row
        except (UnknownTypeError, UnknownVersionError) as error:
            if value is not None and version is None and len(value) >= 2:
                version = int.from_bytes(value[:2], "big", signed=True)
            name, reason, position = UNKNOWN_ROW, str(error), None
        except CorruptError as error:
            name, reason, position = UNDECODABLE_ROW, str(error), error.position
        if not key_matches:
            return None
        row = {"key_type": key_type, "value_version": version, "key_hex": text_hex(key), "value_hex": text_hex(value)}
        row["reason"] = reason
        if position is not None:
            row["position"] = position
        return name, row

    def _read_value(self, record: RecordType, version: int, value: bytes, shown: Plain) -> Values:
        """The value's fields by the first of the record's layouts that fits to the last byte."""
        layout, values = read_value(record, version, value, 2, "value")
        row = shown.struct(layout.fields, values)
        if layout.shape is not None:
            row[SHAPE.name] = layout.shape
        return row


def _read_version(data: bytes | None, what: str) -> int:
    if data is None:
        raise LengthError("null, where two bytes of version are needed", path=what)
    if len(data) < 2:
        raise TruncatedError(f"needs 2 bytes of version, {len(data)} are there", path=what)
    return int.from_bytes(data[:2], "big", signed=True)
