"""Frames of one log to the problems of offsets that come again: jumps back, and copies of batches.

Nothing is merged or dropped for it: every batch with a right checksum gives its rows, in file order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from offdecode.byte_vectors import big_endian
from offdecode.log.batches import Frames
from offdecode.log.headers import CRC_START, LEGACY_CRC_START
from offdecode.model import Mask, Problem, Vector

_REMEMBERED = 1 << 18  # batches that a copy is looked for among; memory must not grow with the log


class Repeats:
    """Takes the frames of a log in order and gives a problem wherever the offsets jump back."""

    def __init__(self) -> None:
        self._last = -1
        self._segment: str | None = None
        self._seen: deque[tuple[Vector, Vector]] = deque()  # offsets and checksums of earlier batches
        self._remembered = 0

    def add(self, frames: Frames) -> Iterator[Problem]:
        valid = np.flatnonzero(frames.crc_valid)
        if not len(valid):
            return
        new_segment = self._segment is not None and self._segment != frames.place(int(valid[0]))[0]
        self._segment = frames.place(int(valid[-1]))[0]
        base, last = frames.base_offset[valid], frames.last_offset[valid]
        before = np.concatenate(([self._last], last[:-1]))
        crc = checksums(frames, valid)
        back = np.flatnonzero((base <= before) & (before >= 0))
        copies = self._copies(base, crc) if len(back) else np.zeros(len(base), np.bool_)
        self._remember(base, crc)
        self._last = int(last[-1])
        for at in back.tolist():
            index = int(valid[at])
            if copies[at]:
                message = f"the batch at offset {base[at]} is a copy of one before it; both are kept"
                yield frames.problem(index, "duplicate_batch", message)
            else:
                yield self._jump(frames, index, int(before[at]), new_segment and at == 0)

    @staticmethod
    def _jump(frames: Frames, index: int, before: int, new_segment: bool) -> Problem:
        base, last = int(frames.base_offset[index]), int(frames.last_offset[index])
        where = "the segment starts" if new_segment else "the offsets jump back"
        message = f"{where} at {base}, where {before + 1} would follow; offsets {base} to "
        message += f"{min(before, max(last, base))} may stand in the log twice"
        return frames.problem(index, "overlapping_segment" if new_segment else "offsets_jump_back", message)

    def _copies(self, base: Vector, crc: Vector) -> Mask:
        """Which batches have the offset and the checksum of one before them."""
        every = [*self._seen, (base, crc)]
        pairs = np.stack([np.concatenate(vectors) for vectors in zip(*every, strict=True)], axis=1)
        # Equal pairs stand together, in the order of the log, when they are sorted by both and stably.
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        again = np.zeros(len(pairs), np.bool_)
        again[order[1:]] = (pairs[order[1:]] == pairs[order[:-1]]).all(axis=1)
        copies: Mask = again[len(pairs) - len(base) :]
        return copies

    def _remember(self, base: Vector, crc: Vector) -> None:
        self._seen.append((base, crc))
        self._remembered += len(base)
        while self._remembered > _REMEMBERED and len(self._seen) > 1:
            self._remembered -= len(self._seen.popleft()[0])


def checksums(frames: Frames, valid: Vector) -> Vector:
    """The checksums in the headers of these batches."""
    position = frames.position[valid]
    at = position + np.where(frames.magic[valid] == 2, CRC_START, LEGACY_CRC_START) - 4
    return big_endian(frames.chunk.buffer, np.uint32, at).astype(np.int64)
