"""Records of any keys and values, as they are found in a chunk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offdecode.log.batches import read_frames
from offdecode.log.records import Records, iter_records
from offdecode.model import PADDING, Chunk
from tests.segment_builder import Pair, batch

__all__ = ["Pair", "records_of"]


def records_of(pairs: Sequence[Pair]) -> Records:
    """One batch that holds these (key, value) pairs, at offsets from 0 on."""
    data = batch(pairs)
    buffer = np.frombuffer(data + bytes(PADDING), np.uint8)
    frames = read_frames(Chunk("records", 7, 0, buffer, len(data), len(data)))
    (records,) = iter_records(frames, frames.crc_valid)
    return records
