"""The first records of a log: whether it is the offsets topic's at all."""

from __future__ import annotations

import numpy as np

from offdecode.engines.columns import VectorReader
from offdecode.engines.reference_rows import KEY_VERSION
from offdecode.log.records import Records
from offdecode.model import distinct
from offdecode.schemas.registry import by_key_type

_BY_KEY_TYPE = by_key_type()
_TYPE_BYTES = 2
_SAMPLE = 1000
_ABSURD_KEY_TYPE = 256  # upstream counts key types up from 0 and is at 23
_CLEARLY_ODD = 4  # so many keys that merely break their layout weigh as much as one absurd key
_CLEARLY_GOOD = 8
_RARE = 16  # a good key among so many odd ones is chance


def sample_looks_like_offsets(records: Records) -> bool | None:
    """Whether the first records look like the coordinator's; None where there are none to judge.

    A key that decodes, or a key type that a newer broker may have added, speaks for an offsets log; keys that
    break their layout, are null, too short or of absurd types speak for a user topic's.
    """
    rows = np.flatnonzero(~records.frames.control[records.frame[:_SAMPLE]])
    position, length = records.key_position[rows], records.key_length[rows]
    reader = VectorReader(records.buffer)
    key_type = np.where(length < _TYPE_BYTES, -1, reader.integers(position, _TYPE_BYTES))
    good = (key_type >= 0) & (key_type < _ABSURD_KEY_TYPE)
    odd = np.where(good, 0, _CLEARLY_ODD)
    for known in _BY_KEY_TYPE.keys() & set(distinct(key_type).tolist()):
        mine = np.flatnonzero(key_type == known)
        at, end = position[mine] + _TYPE_BYTES, position[mine] + length[mine]
        _, fits = reader.read(_BY_KEY_TYPE[known].key, KEY_VERSION, at, end)
        good[mine], odd[mine] = fits, ~fits
    so_far, against = np.cumsum(good), np.cumsum(odd)
    if not len(rows):
        return None
    if (so_far >= against + _CLEARLY_GOOD).any():
        return True
    if against[-1] >= max(_CLEARLY_ODD, so_far[-1] * _RARE):
        return False
    return True if so_far[-1] else None
