"""Keys of records to numbers, whatever they are, and to the groups and topics that they name."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import filterfalse
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from offdecode.byte_vectors import big_endian
from offdecode.engines.arrow_columns import ArrowColumns
from offdecode.engines.columns import VectorReader
from offdecode.engines.readings import Ranges
from offdecode.engines.reference_rows import KEY_VERSION
from offdecode.log.records import Records
from offdecode.model import Vector, distinct
from offdecode.schemas import offset_commit
from offdecode.schemas.registry import RECORD_TYPES, by_key_type
from offdecode.schemas.rows import MARKER_ROW, UNDECODABLE_ROW, UNKNOWN_ROW

_BY_KEY_TYPE = by_key_type()
_TYPE_BYTES = _VERSION_BYTES = 2
_OFFSET_END = 10  # of a commit's value: its version, then the offset
_COMMIT_TYPES = [record.key_type for record in offset_commit.RECORD_TYPES]

ROW_TYPES = (*dict.fromkeys(record.row_type for record in RECORD_TYPES), UNKNOWN_ROW, UNDECODABLE_ROW, MARKER_ROW)
_NUMBER_OF = {name: number for number, name in enumerate(ROW_TYPES)}
NOBODY = 0  # the number of no group, and of no topic


class Names:
    """Texts by number, in the order in which they appeared. Number 0 is none."""

    def __init__(self) -> None:
        self._all: list[bytes | None] = [None]
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._all)

    def texts(self, numbers: Iterable[int]) -> list[str | None]:
        """The texts of numbers."""
        found = map(self._all.__getitem__, numbers)
        return [None if text is None else text.decode("utf-8", "backslashreplace") for text in found]

    def numbers(self, arrow: ArrowColumns, reading: object) -> Vector:
        """The number of each text of a reading; 0 where there is no such field."""
        if not isinstance(reading, Ranges):
            return np.full(1, NOBODY)
        encoded = arrow.distinct_ones(reading.position, reading.length)
        found, new = _numbered(encoded.dictionary.to_pylist(), self._numbers)
        self._all += new
        number: Vector = found[encoded.indices.to_numpy()] + 1
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
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, records: Records, rows: Vector) -> Vector:
        """The number of the key of each of these records. A null key is one without bytes."""
        arrow = ArrowColumns(records.buffer)
        encoded = arrow.distinct_ones(records.key_position[rows], np.maximum(records.key_length[rows], 0))
        index = encoded.indices.to_numpy()
        number, new = _numbered(encoded.dictionary.to_pylist(), self._numbers)
        if new:
            example = np.empty(len(number), np.int64)
            example[index] = rows
            fresh = number >= len(self._numbers) - len(new)  # in the order in which they were numbered
            self._learn(records, arrow, example[fresh])
        found: Vector = number[index]
        return found

    def _learn(self, records: Records, arrow: ArrowColumns, rows: Vector) -> None:
        """Take down what new keys are about. rows: a record of each."""
        position, length = records.key_position[rows], np.maximum(records.key_length[rows], 0)
        reader = VectorReader(records.buffer)
        long_enough = length >= _TYPE_BYTES
        key_type = np.where(long_enough, reader.integers(position, _TYPE_BYTES), -1).astype(np.int64)
        kind = np.full(len(rows), _NUMBER_OF[UNKNOWN_ROW], np.int32)
        kind[~long_enough] = _NUMBER_OF[UNDECODABLE_ROW]
        group, topic = np.full((2, len(rows)), NOBODY, np.int32)
        for one in distinct(key_type).tolist():
            record = _BY_KEY_TYPE.get(one)
            if record is None:
                continue
            mine = np.flatnonzero(key_type == one)
            at, end = position[mine] + _TYPE_BYTES, position[mine] + length[mine]
            fields, fits = reader.read(record.key, KEY_VERSION, at, end)
            kind[mine] = np.where(fits, _NUMBER_OF[record.row_type], _NUMBER_OF[UNDECODABLE_ROW])
            group[mine] = np.where(fits, self.groups.numbers(arrow, fields.values["group"]), NOBODY)
            topic[mine] = np.where(fits, self.topics.numbers(arrow, fields.values.get("topic")), NOBODY)
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


def _numbered(texts: list[bytes], known: dict[bytes, int]) -> tuple[Vector, list[bytes]]:
    """The number of each of different texts, and which are new: these get the next, in their order."""
    new = list(filterfalse(known.__contains__, texts))
    first = len(known)
    known.update(zip(new, range(first, first + len(new)), strict=True))
    if len(new) == len(texts):
        return np.arange(first, first + len(new)), new
    return np.fromiter(map(known.__getitem__, texts), np.int64, len(texts)), new
