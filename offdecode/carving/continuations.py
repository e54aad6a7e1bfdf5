"""Batches that a file's fragments cut in two: the beginning in one place, the rest in another.

A file goes on at a block's border, and behind the rest of the batch the file's next batch follows, or the zeros that
fill the file's last block. So a batch that begins at `position` and is cut at a border goes on at the same distance
before the start of another run, whose offsets come later, or before such zeros: there are few of these, and the
checksum decides. Of batches in three places none is found.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from offdecode.carving.runs import LEAST_BLOCK_BYTES, SECTOR_BYTES
from offdecode.log.batches import Frames, read_frames
from offdecode.log.checksum import crc32c
from offdecode.log.headers import (
    CRC_START,
    HEADER_BYTES,
    LEGACY_LENGTHS,
    LENGTH_END,
    MAGIC_AT,
    MAX_BATCH_BYTES,
    plausible,
)
from offdecode.model import PADDING, Chunk

BLOCK_BYTES = 4096  # of most file systems
_SMALL_BYTES = 1 << 16  # batches of so many are tried at borders of sectors too, for file systems of small blocks
_MOST_OFFSETS = 1 << 31  # that lie between two batches of one segment
_NEAREST = 16  # runs that are tried: those whose offsets follow soonest
_LEAST_BUDGET = 256 << 20  # bytes that may run through checksums, in any image

_ZEROS_IN_BATCH = 16  # that it may end with: the number of headers, a coordinator's epoch, an empty text
_PIECE_BYTES = 4 << 20

_START = struct.Struct(">qi")


class Cut(NamedTuple):
    """Where a batch may begin that does not go on. after: the offset before it; run: the run before it, -1 = none."""

    image: int
    position: int
    after: int
    run: int


class Start(NamedTuple):
    """Where a run begins."""

    first_offset: int
    position: int
    run: int


class Whole(NamedTuple):
    """A batch put together: `head` bytes at the cut, the rest at `tail`.

    next_run: the run that begins behind it, -1 where the file ends.
    """

    cut: Cut
    head: int
    tail: int
    frames: Frames
    next_run: int


Read = Callable[[int, int], bytes]  # position, size: fewer bytes at the end


class Continuations:
    """Looks for the rest of the cut batches of one image. budget: bytes that may run through checksums."""

    def __init__(self, read: Read, starts: Iterable[Start], size: int) -> None:
        self._read = read
        self._size = size
        self._by_offset = sorted(starts)
        self._by_place: dict[int, list[Start]] = {}
        for start in self._by_offset:
            self._by_place.setdefault(start.position % SECTOR_BYTES, []).append(start)
        self.budget = _LEAST_BUDGET + size // 4

    def whole(self, ends: Iterable[Cut], lone: Iterable[Cut]) -> Iterator[Whole]:
        """The batches whose rest is found. ends: of runs; lone: where no run ends."""
        left: dict[int, list[tuple[Cut, int]]] = {}  # by what of the last block they would fill
        for cut in (*ends, *lone):
            if self.budget <= 0:
                return
            offset, size = self._begun(cut)
            found = self._before_run(cut, offset, size) if size else self._where_length_is_not_seen(cut)
            if found is not None:
                yield found
            elif size:
                left.setdefault((cut.position + size) % LEAST_BLOCK_BYTES, []).append((cut, size))
        if left:
            yield from self._at_ends_of_files(left)

    def _begun(self, cut: Cut) -> tuple[int, int]:
        """The offset and size of the batch that may begin at a cut; size 0 where none does."""
        seen = self._read(cut.position, HEADER_BYTES)
        together = -cut.position % SECTOR_BYTES or SECTOR_BYTES  # bytes that no border parts
        if len(seen) < LENGTH_END or not _may_begin(seen[:together]):
            return 0, 0
        offset, length = _START.unpack_from(seen)
        in_order = cut.after < offset <= cut.after + _MOST_OFFSETS or (cut.run < 0 <= offset)
        fits = LEGACY_LENGTHS[0] <= length <= min(MAX_BATCH_BYTES, self._size)
        return offset, LENGTH_END + length if in_order and fits else 0

    def _before_run(self, cut: Cut, offset: int, size: int) -> Whole | None:
        """The batch whose rest lies before the start of a run."""
        for start in _following(self._by_place.get((cut.position + size) % SECTOR_BYTES, []), offset):
            found = self._ending_at(cut, size, start)
            if found is not None:
                return found
        return None

    def _ending_at(self, cut: Cut, size: int, start: Start) -> Whole | None:
        """The batch of `size` bytes that begins at a cut, goes on behind a border, and ends at `start`."""
        end = start.position
        least = max(end - size, 0)
        self.budget -= size
        here, there = self._read(cut.position, size), bytes(size - end + least) + self._read(least, end - least)
        step = SECTOR_BYTES if size <= _SMALL_BYTES else BLOCK_BYTES
        first = (cut.position + LENGTH_END + step - 1) // step * step - cut.position
        covered, checksum = CRC_START, 0  # of the bytes at the cut, so far
        for head in range(first, min(size, len(here) + 1), step):
            if head > CRC_START and here[MAGIC_AT] == 2:
                self.budget -= size - covered
                covered, checksum = head, crc32c(here[covered:head], checksum)
                if crc32c(there[head:], checksum) != int.from_bytes(here[CRC_START - 4 : CRC_START]):
                    continue
            if self.budget < 0:
                break
            frames = self._frames(here[:head] + there[head:])
            if frames is not None and _is_sure(frames, head, start):
                return Whole(cut, head, end - size + head, frames, start.run)
        return None

    def _at_ends_of_files(self, left: dict[int, list[tuple[Cut, int]]]) -> Iterator[Whole]:
        """Those whose rest ends where zeros fill a block. left: cuts by what of that block they would fill."""
        fills = sorted(left)
        for first in range(0, self._size, _PIECE_BYTES):
            data = self._read(first, _PIECE_BYTES)
            blocks = np.frombuffer(data[: len(data) // LEAST_BLOCK_BYTES * LEAST_BLOCK_BYTES], np.uint8)
            blocks = blocks.reshape(-1, LEAST_BLOCK_BYTES)
            chosen = np.flatnonzero((blocks[:, -1] == 0) & (blocks[:, :_ZEROS_IN_BATCH].any(axis=1)))
            used = LEAST_BLOCK_BYTES - np.argmax(blocks[chosen, ::-1] != 0, axis=1)
            for block, end in zip(chosen.tolist(), used.tolist(), strict=True):
                low, high = bisect_left(fills, end), bisect_right(fills, end + _ZEROS_IN_BATCH)
                for fill in fills[low:high]:
                    for cut, size in left[fill]:
                        if self.budget <= 0:
                            return
                        end = first + block * LEAST_BLOCK_BYTES + fill
                        found = self._ending_at(cut, size, Start(-1, end, -1))
                        if found is not None:
                            yield found
                            left[fill] = [one for one in left[fill] if one[0] is not cut]

    def _where_length_is_not_seen(self, cut: Cut) -> Whole | None:
        """The batch of which not even the length lies before the border: the rest begins at a border before a run."""
        head = -cut.position % SECTOR_BYTES
        if not 0 < head < LENGTH_END or cut.run < 0:
            return None
        here = self._read(cut.position, head)
        for start in _following(self._by_offset, cut.after):
            least = max(start.position - _SMALL_BYTES, 0)
            before = self._read(least, start.position - least)
            for tail in range(start.position // SECTOR_BYTES * SECTOR_BYTES, least - 1, -SECTOR_BYTES):
                rest = before[tail - least :]
                begin = here + rest[: LENGTH_END - head]
                if len(begin) < LENGTH_END or _START.unpack(begin)[1] + LENGTH_END != head + len(rest):
                    continue
                frames = self._frames(here + rest)
                if frames is not None and _is_sure(frames, head, start):
                    return Whole(cut, head, tail, frames, start.run)
        return None

    def _frames(self, data: bytes) -> Frames | None:
        """The bytes as one batch, where that is what they are."""
        self.budget -= len(data)
        if self.budget < 0 or len(data) < min(HEADER_BYTES, LENGTH_END + LEGACY_LENGTHS[0]):
            return None
        buffer = np.frombuffer(data + bytes(PADDING), np.uint8)
        frames = read_frames(Chunk("", None, 0, buffer, len(data), len(data)))
        whole = len(frames) == 1 and frames.end[0] == len(data) and bool(frames.crc_valid[0])
        return frames if whole and not frames.position[0] else None


def _may_begin(seen: bytes) -> bool:
    """Whether bytes, fewer than a header perhaps, may be the first of a batch."""
    if len(seen) <= MAGIC_AT:
        return True
    if len(seen) < HEADER_BYTES or seen[MAGIC_AT] != 2:
        return seen[MAGIC_AT] <= 2
    buffer = np.frombuffer(seen + bytes(PADDING), np.uint8)
    return plausible(Chunk("", None, 0, buffer, len(seen), len(seen) + MAX_BATCH_BYTES), 0)


def _is_sure(frames: Frames, head: int, start: Start) -> bool:
    """Whether a batch's two parts are of each other: its offset is under no checksum, what the checksum covers is."""
    return head > CRC_START or int(frames.last_offset[0]) + 1 == start.first_offset


def _following(starts: list[Start], offset: int) -> list[Start]:
    """The runs whose offsets follow soonest."""
    at = bisect_right(starts, offset, key=lambda start: start.first_offset)
    return starts[at : at + _NEAREST]
