"""The keys of records in vectors, key type by key type."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from offdecode.engines.columns import VectorReader
from offdecode.engines.readings import Fields
from offdecode.log.records import Records
from offdecode.model import Mask, Vector, distinct
from offdecode.schemas.layout import RecordType
from offdecode.schemas.registry import KEY_VERSION, by_key_type

_BY_KEY_TYPE = by_key_type()
_TYPE_BYTES = 2


def key_types(records: Records, rows: Vector) -> Vector:
    """The key type of each of these records, -1 where the key is null or too short for one."""
    types = VectorReader(records.buffer).integers(records.key_position[rows], _TYPE_BYTES)
    return np.where(records.key_length[rows] < _TYPE_BYTES, -1, types).astype(np.int64)


def read_keys(records: Records, rows: Vector, key_type: Vector) -> Iterator[tuple[RecordType, Vector, Fields, Mask]]:
    """For each known key type its record type, which of `rows` have it, their fields, and which fit to the last byte.

    key_type: as key_types gives it.
    """
    reader = VectorReader(records.buffer)
    position, length = records.key_position[rows], records.key_length[rows]
    for one in distinct(key_type).tolist():
        record = _BY_KEY_TYPE.get(one)
        if record is None:
            continue
        mine = np.flatnonzero(key_type == one)
        fields, fits = reader.read(record.key, KEY_VERSION, position[mine] + _TYPE_BYTES, (position + length)[mine])
        yield record, mine, fields, fits
