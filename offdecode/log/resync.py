"""Damaged bytes to the next batch that can be trusted, and to the gaps between: what was lost, and what it looks like.

A batch can be trusted where a plausible header stands and the checksum is right. Every search has a budget of
bytes that it may run through checksums, so that hostile bytes, where every position claims to be a large batch,
cost no more than a fixed multiple of their size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from offdecode.log.headers import (
    HEADER_BYTES,
    LENGTH_END,
    MAGIC_END,
    checksum_right,
    entry_end,
    plausible,
    plausible_positions,
    read_start,
)
from offdecode.model import Chunk, Problem

_BLOCK_BYTES = 1 << 16  # positions are tested by vectors of this size
_BUDGET = 8  # checksums may run over so many times a chunk's size, and as much again on the way through it
_SMALL_BYTES = 4096  # no more than the search costs anyway: no budget keeps a batch of so many from being found

_LARGE_CHUNK_BYTES = 1 << 20

_IS_TEXT = np.zeros(256, np.bool_)
_IS_TEXT[0x20:0x7F] = True
_IS_TEXT[[0x09, 0x0A, 0x0D]] = True


@dataclass(slots=True)
class Gap:
    """Bytes that are no batch, from `start` (in the segment) on; more of them may follow in the next chunk.

    offset: the log offset that stands there, if it may be a batch's. torn: whether that batch is cut off by the
    segment's end.
    """

    start: int
    zero: bool = True
    text: bool = True
    offset: int | None = None
    torn: bool = False

    @property
    def harmless(self) -> bool:
        """Whether no batch was lost, if the segment ends with the gap."""
        return self.zero or (self.torn and not self.text)

    def add(self, data: np.ndarray) -> None:
        for start in range(0, len(data), _BLOCK_BYTES):
            if not (self.zero or self.text):
                break
            block = data[start : start + _BLOCK_BYTES]
            self.zero = self.zero and not block.any()
            self.text = self.text and bool(_IS_TEXT[block].all())

    def looks_like(self) -> str:
        if self.zero:
            return "zeros"
        if self.text:
            return "text"
        return "a torn batch" if self.torn else "garbage"

    def problem(self, chunk: Chunk, end: int, *, tail: bool) -> Problem:
        """The gap as a problem. end: byte of the segment; tail: whether nothing follows it."""
        length = end - self.start
        if not tail:
            kind, message = "damaged_bytes", f"{length} bytes are no batch; they look like {self.looks_like()}"
        elif self.zero:
            kind = "zero_tail"
            message = f"{length} zero bytes after the last batch (a preallocated file, or a crash)"
        elif self.torn and not self.text:
            kind = "torn_batch"
            message = f"the last batch is cut off: {length} bytes of it are there"
        else:
            kind = "garbage_tail"
            message = f"{length} bytes after the last batch are no batch; they look like {self.looks_like()}"
        return Problem(
            kind,
            chunk.segment,
            message,
            chunk.log_partition,
            position=self.start,
            length=length,
            log_offset=self.offset,
        )


def open_gap(chunk: Chunk, at: int) -> Gap:
    """A gap that starts at `at`, without any bytes yet."""
    gap = Gap(chunk.position + at)
    if chunk.size - at < MAGIC_END:
        gap.torn = chunk.final
        return gap
    offset, length, magic = read_start(chunk, at)
    if 0 <= magic <= 2 and offset >= 0 and length > 0:
        gap.offset = offset
        gap.torn = chunk.position + at + LENGTH_END + length > chunk.segment_size
    return gap


class BadBatch(Enum):
    """What the bytes say about a batch whose checksum is wrong."""

    ALONE = "it ends where its length says"
    WRONG_LENGTH = "it does not, or it is no batch"
    UNSEEN = "not to be told from this chunk, but from one that starts with it"


class Resync:
    """Finds the batches of one chunk whose place is not known."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self._spent = 0
        self._block = -1
        self._positions: list[int] = []

    def go_on(self, gap: Gap, at: int) -> tuple[int, bool]:
        """Look from `at` on for the end of `gap`: where reading goes on, and whether a trusted batch starts there.

        If not, the gap goes on in the next chunk, which starts there.
        """
        chunk = self._chunk
        # The last bytes of a chunk may be a part of a header: the next chunk starts with them.
        end = chunk.size if chunk.final else max(at, chunk.size - HEADER_BYTES + 1)
        for candidate in self._candidates(at + (chunk.position + at == gap.start), end):
            whole = entry_end(chunk, candidate) <= chunk.size
            if not whole or self.right(candidate):
                gap.add(chunk.buffer[at:candidate])
                return candidate, whole
        gap.add(chunk.buffer[at:end])
        return end, False

    def judge(self, at: int) -> BadBatch:
        """Whether the batch at `at`, whose checksum is wrong, has damage in it alone.

        It has where another batch follows and none starts inside: a wrong length must not swallow good batches.
        """
        chunk = self._chunk
        if not plausible(chunk, at):
            return BadBatch.WRONG_LENGTH
        end = entry_end(chunk, at)
        # To look again from here is worth it in a small chunk; a large one must get on by half its size.
        may_wait = not chunk.final and at > (chunk.size // 2 if chunk.size >= _LARGE_CHUNK_BYTES else -1)
        if chunk.size - end < HEADER_BYTES:  # too near the chunk's border to see what follows
            if may_wait:
                return BadBatch.UNSEEN
        elif not plausible(chunk, end) and chunk.buffer[end : end + HEADER_BYTES].any():
            return BadBatch.WRONG_LENGTH
        for candidate in self._candidates(at + 1, end):
            if entry_end(chunk, candidate) > chunk.size:
                if may_wait:
                    return BadBatch.UNSEEN
            elif self.right(candidate):
                return BadBatch.WRONG_LENGTH
        return BadBatch.ALONE

    def right(self, candidate: int) -> bool:
        """Whether the entry, whole in the chunk, has a right checksum; false where the budget is spent."""
        cost = entry_end(self._chunk, candidate) - candidate
        if cost > _SMALL_BYTES:
            if self._spent + cost > _BUDGET * (self._chunk.size + candidate):
                return False
            self._spent += cost
        return checksum_right(self._chunk, candidate)

    def _candidates(self, at: int, end: int) -> Iterator[int]:
        """Positions from `at` to before `end` whose bytes are a plausible header."""
        while at < end:
            block, behind = at // _BLOCK_BYTES, (at // _BLOCK_BYTES + 1) * _BLOCK_BYTES
            if block != self._block:
                start = block * _BLOCK_BYTES
                self._positions = plausible_positions(self._chunk, start, min(behind, self._chunk.size)).tolist()
                self._block = block
            positions = self._positions
            for index in range(bisect_left(positions, at), len(positions)):
                if positions[index] >= end:
                    return
                yield positions[index]
            at = behind
