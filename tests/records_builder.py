"""Records of any keys and values, as if they had been found in a chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from offdecode.log.batches import Frames, read_frames
from offdecode.log.records import Records
from offdecode.model import PADDING, Chunk

Pair = tuple[bytes | None, bytes | None]


def records_of(pairs: Sequence[Pair]) -> Records:
    """One batch that holds these (key, value) pairs, at offsets from 0 on."""
    parts: list[bytes] = []
    size = 0
    places: list[tuple[int, int]] = []
    for data in (item for pair in pairs for item in pair):
        places.append((size, -1 if data is None else len(data)))
        parts.append(data or b"")
        size += len(parts[-1])
    buffer = np.frombuffer(b"".join((*parts, bytes(PADDING))), np.uint8)
    position, length = np.asarray(places, np.int64).reshape(-1, 2).T
    count = len(pairs)
    return Records(
        frames=_one_frame(count),
        buffer=buffer,
        frame=np.zeros(count, np.int64),
        log_offset=np.arange(count),
        log_timestamp=np.arange(count) + 1_700_000_000_000,
        has_timestamp=np.ones(count, np.bool_),
        key_position=position[0::2],
        key_length=length[0::2],
        value_position=position[1::2],
        value_length=length[1::2],
    )


def _one_frame(count: int) -> Frames:
    empty = Chunk("records", 7, 0, np.zeros(PADDING, np.uint8), 0, 0)
    frames = read_frames(empty)
    vectors = {
        name: np.zeros(1, np.int64)
        for name in (
            "position", "end", "base_offset", "last_offset", "leader_epoch", "magic", "attributes", "base_timestamp",
            "max_timestamp", "producer_id", "producer_epoch", "base_sequence", "count",
        )
    }  # fmt: skip
    vectors["count"][0] = count
    return replace(frames, crc_valid=np.ones(1, np.bool_), **vectors)  # type: ignore[arg-type]
