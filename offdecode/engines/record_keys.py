"""Keys of records to numbers, whatever they are, and to the groups and topics that they name."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.byte_vectors import big_endian
from offdecode.engines.arrow_columns import ArrowColumns
from offdecode.engines.keys import key_types, read_keys
from offdecode.engines.readings import Ranges
from offdecode.log.records import Records
from offdecode.model import Vector, arrow
from offdecode.schemas import offset_commit
from offdecode.schemas.registry import RECORD_TYPES
from offdecode.schemas.rows import MARKER_ROW, UNDECODABLE_ROW, UNKNOWN_ROW
from offdecode.texts import Texts

_TYPE_BYTES = _VERSION_BYTES = 2
_OFFSET_END = 10  # of a commit's value: its version, then the offset
_COMMIT_TYPES = [record.key_type for record in offset_commit.RECORD_TYPES]

ROW_TYPES = (*dict.fromkeys(record.row_type for record in RECORD_TYPES), UNKNOWN_ROW, UNDECODABLE_ROW, MARKER_ROW)
_NUMBER_OF = {name: number for number, name in enumerate(ROW_TYPES)}
NOBODY = 0  # the number of no group, and of no topic


class Names:
    """Texts by number, from 1 on, in the order in which they appeared. Number 0 is none."""

    def __init__(self) -> None:
        self._texts = Texts()

    def __len__(self) -> int:
        return len(self._texts) + 1

    def texts(self, numbers: Vector) -> pa.Array:
        """The texts of numbers."""
        if not len(self._texts):
            return pa.nulls(len(numbers), pa.string())
        found = self._texts.of(np.maximum(numbers - 1, 0), pa.binary())
        try:
            texts = found.cast(pa.string())
        except pa.ArrowInvalid:
            texts = pa.array([text.decode("utf-8", "backslashreplace") for text in found.to_pylist()], pa.string())
        return pc.if_else(arrow(numbers != NOBODY), texts, None)

    def numbers(self, columns: ArrowColumns, reading: object) -> Vector:
        """The number of each text of a reading; 0 where there is no such field."""
        if not isinstance(reading, Ranges):
            return np.full(1, NOBODY)
        encoded = columns.distinct_ones(reading.position, reading.length)
        number: Vector = self._texts.numbers(encoded.dictionary)[encoded.indices.to_numpy()] + 1
        return number


class Subjects(NamedTuple):
    """What keys are about, by their number: the row type by its place in ROW_TYPES, group and topic by theirs."""

    row_type: npt.NDArray[np.int32]
    group: npt.NDArray[np.int32]
    topic: npt.NDArray[np.int32]


class RecordKeys:
    """Numbers keys by their bytes as they appear. groups, topics: the names in them."""

    def __init__(self) -> None:
        self.groups = Names()
        self.topics = Names()
        self.subjects = Subjects(*(np.empty(0, np.int32) for _ in Subjects._fields))
        self._keys = Texts()

    def __len__(self) -> int:
        return len(self._keys)

    def numbers(self, records: Records, rows: Vector) -> Vector:
        """The number of the key of each of these records. A null key is one without bytes."""
        columns = ArrowColumns(records.buffer)
        encoded = columns.distinct_ones(records.key_position[rows], np.maximum(records.key_length[rows], 0))
        index = encoded.indices.to_numpy()
        known = len(self._keys)
        number = self._keys.numbers(encoded.dictionary)
        if len(self._keys) > known:
            example = np.empty(len(number), np.int64)
            example[index] = rows
            self._learn(records, columns, example[number >= known])  # in the order in which they were numbered
        found: Vector = number[index]
        return found

    def _learn(self, records: Records, columns: ArrowColumns, rows: Vector) -> None:
        """Take down what new keys are about. rows: a record of each."""
        key_type = key_types(records, rows)
        kind = np.full(len(rows), _NUMBER_OF[UNKNOWN_ROW], np.int32)
        kind[records.key_length[rows] < _TYPE_BYTES] = _NUMBER_OF[UNDECODABLE_ROW]
        group, topic = np.full((2, len(rows)), NOBODY, np.int32)
        for record, mine, fields, fits in read_keys(records, rows, key_type):
            kind[mine] = np.where(fits, _NUMBER_OF[record.row_type], _NUMBER_OF[UNDECODABLE_ROW])
            group[mine] = np.where(fits, self.groups.numbers(columns, fields.values["group"]), NOBODY)
            topic[mine] = np.where(fits, self.topics.numbers(columns, fields.values.get("topic")), NOBODY)
        grown = (np.concatenate(pair) for pair in zip(self.subjects, (kind, group, topic), strict=True))
        self.subjects = Subjects(*grown)


def committed_offsets(records: Records, absent: int) -> Vector:
    """The offset that each commit commits, as it is in every version; `absent` of other records and tombstones."""
    found = np.full(len(records), absent)
    rows = np.flatnonzero((records.key_length >= _TYPE_BYTES) & (records.value_length >= _OFFSET_END))
    key_type = big_endian(records.buffer, "i2", records.key_position[rows])
    rows = rows[np.isin(key_type, _COMMIT_TYPES)]
    found[rows] = big_endian(records.buffer, "i8", records.value_position[rows] + _VERSION_BYTES)
    return found
