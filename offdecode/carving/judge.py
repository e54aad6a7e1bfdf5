"""Frames to whose they are: the coordinator's, of another topic, or not to be told from the batch alone."""

from __future__ import annotations

import numpy as np

from offdecode.byte_vectors import big_endian
from offdecode.carving.runs import Whose
from offdecode.engines.decode import Decoder
from offdecode.engines.selection import Selection
from offdecode.log.batches import Frames
from offdecode.log.records import Records, iter_records
from offdecode.log.transactions import Status
from offdecode.model import Vector, plain_values
from offdecode.schemas.placement import group_hash
from offdecode.schemas.registry import RECORD_TYPES
from offdecode.schemas.rows import UNDECODABLE_ROW, UNKNOWN_ROW

_KNOWN_TYPES = np.array([record.key_type for record in RECORD_TYPES])
_LEAST_ABSURD_TYPE = 256  # upstream counts key types up from 0 and is at 23
_MOST_HASHES = 1 << 20


class Judge:
    """Judges batches by their first records: key and value must decode to the last byte."""

    def __init__(self) -> None:
        self._decoder = Decoder(Selection())
        self._hashes: dict[str, int] = {}

    def judge(self, frames: Frames) -> tuple[Vector, Vector]:
        """Whose each batch is, and the hash of the group of its first record, -1 where that tells none."""
        whose = np.where(frames.control, Whose.MARKER, np.where(frames.count == 0, Whose.OPEN, Whose.FOREIGN))
        code = np.full(len(frames), -1, np.int64)
        seen = np.zeros(len(frames), np.bool_)
        for records in iter_records(frames, frames.crc_valid & (whose == Whose.FOREIGN)):
            first = np.flatnonzero(np.diff(records.frame, prepend=-1))
            first = first[~seen[records.frame[first]]]
            seen[records.frame[first]] = True
            first = first[records.key_length[first] >= 2]
            key_type = big_endian(records.buffer, np.int16, records.key_position[first])
            newer = (key_type > _KNOWN_TYPES.max()) & (key_type < _LEAST_ABSURD_TYPE)
            whose[records.frame[first[newer]]] = Whose.OPEN
            self._decode(records, first[np.isin(key_type, _KNOWN_TYPES)], whose, code)
        return whose, code

    def _decode(self, records: Records, first: Vector, whose: Vector, code: Vector) -> None:
        """Enter what the records at `first` (ascending) tell of their batches."""
        wanted = np.zeros(len(records), np.bool_)
        wanted[first] = True
        chunk = self._decoder.decode(records, np.full(len(records.frames), Status.NONE, np.int64), wanted)
        found: list[tuple[int, int]] = []
        for name, batch in chunk.coded.items():
            if name == UNDECODABLE_ROW:
                found += [(Whose.FOREIGN, -1)] * len(batch)
            elif name == UNKNOWN_ROW:
                found += [(Whose.OPEN, -1)] * len(batch)
            else:
                found += [(Whose.COORDINATOR, self._hash(group)) for group in plain_values(batch.column("group"))]
        frame = records.frame[first]
        whose[frame], code[frame] = np.asarray(found, np.int64).reshape(-1, 2)[chunk.order].T

    def _hash(self, group: str) -> int:
        known = self._hashes.get(group)
        if known is None:
            if len(self._hashes) >= _MOST_HASHES:
                self._hashes.clear()
            known = self._hashes[group] = group_hash(group)
        return known
