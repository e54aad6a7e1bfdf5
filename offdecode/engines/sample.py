"""The first records of a log: whether it is the offsets topic's at all."""

from __future__ import annotations

import numpy as np

from offdecode.engines.keys import key_types, read_keys
from offdecode.log.records import Records

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
    key_type = key_types(records, rows)
    good = (key_type >= 0) & (key_type < _ABSURD_KEY_TYPE)
    odd = np.where(good, 0, _CLEARLY_ODD)
    for _, mine, _, fits in read_keys(records, rows, key_type):
        good[mine], odd[mine] = fits, ~fits
    so_far, against = np.cumsum(good), np.cumsum(odd)
    if not len(rows):
        return None
    if (so_far >= against + _CLEARLY_GOOD).any():
        return True
    if against[-1] >= max(_CLEARLY_ODD, so_far[-1] * _RARE):
        return False
    return True if so_far[-1] else None
