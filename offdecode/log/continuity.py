"""Frames of one log to the problems of its offsets: those that go missing, those that jump back, copies of batches.

Nothing is merged or dropped for it: every batch with a right checksum gives its rows, in file order.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from offdecode.byte_vectors import big_endian
from offdecode.log.batches import Frames
from offdecode.log.headers import CRC_START, LEGACY_CRC_START
from offdecode.model import Mask, Problem, Vector

_REMEMBERED = 1 << 18  # batches that a copy is looked for among; memory must not grow with the log
_MOST_WAITING = 1000  # holes that a later sign of cleaning may still explain


class Continuity:
    """Takes the frames of a log in order and gives the problems of their offsets.

    A hole may be the log cleaner's work below `checkpoint`, the first offset that was never cleaned; where that is
    not known, in a log with any batch that shows cleaning, and among messages of format 0 and 1, which show nothing.
    Other holes are problems: kind missing_offsets.
    """

    def __init__(self, checkpoint: int | None = None) -> None:
        self._checkpoint = checkpoint
        self._last = -1
        self._segment: str | None = None
        self._broken = False
        self._cleaned = False
        self._waiting: list[Problem] = []
        self._more = 0
        self._seen: deque[tuple[Vector, Vector]] = deque()  # offsets and checksums of earlier batches
        self._remembered = 0

    def add(self, frames: Frames) -> tuple[Problem, ...]:
        """The problems of these frames. Those that later frames may explain come with `finish`."""
        first = self._segment is not None and self._segment != frames.chunk.segment
        self._segment = frames.chunk.segment
        valid = np.flatnonzero(frames.crc_valid)
        if not len(valid):
            self._broken |= bool(frames.breaks)
            return ()
        base, last = frames.base_offset[valid], frames.last_offset[valid]
        before = np.concatenate(([self._last], last[:-1]))
        breaks = np.searchsorted(valid, np.asarray(frames.breaks, np.int64))
        broken = np.zeros(len(valid) + 1, np.bool_)
        broken[0] = self._broken
        broken[breaks] = True
        signs = np.flatnonzero((frames.count[valid] < last - base + 1) | frames.delete_horizon[valid])
        if len(signs):
            self._cleaned, self._waiting, self._more = True, [], 0
        found: list[Problem] = []
        crc = self._checksums(frames, valid)
        odd = np.flatnonzero((base != before + 1) & (before >= 0))
        copies = self._copies(base, crc) if (base[odd] <= before[odd]).any() else np.zeros(len(base), np.bool_)
        for at in odd.tolist():
            problem = self._judge(frames, int(valid[at]), int(before[at]), bool(broken[at]), first and at == 0)
            if problem is None:
                continue
            if problem.kind != "missing_offsets" and copies[at]:
                problem = self._copy(problem, frames, int(valid[at]))
            if problem.kind != "missing_offsets" or broken[at] or self._checkpoint is not None:
                found.append(problem)
            elif not self._cleaned and frames.magic[valid[at]] == 2:
                self._wait(problem)
        self._remember(base, crc)
        self._last = int(last[-1])
        self._broken = bool(broken[-1])
        return tuple(found)

    def finish(self) -> tuple[Problem, ...]:
        """The problems that no later frame explained, when the log is through."""
        if self._more:
            more = f"{self._more} more holes in the offsets, which nothing shows to be the log cleaner's"
            self._wait(Problem("missing_offsets", self._segment or "", more))
        return tuple(self._waiting)

    def _wait(self, problem: Problem) -> None:
        if len(self._waiting) <= _MOST_WAITING:
            self._waiting.append(problem)
        else:
            self._more += 1

    def _judge(self, frames: Frames, index: int, before: int, broken: bool, first: bool) -> Problem | None:
        base, last = int(frames.base_offset[index]), int(frames.last_offset[index])
        if base <= before:
            where = "the segment starts" if first else "the offsets jump back"
            message = f"{where} at {base}, where {before + 1} would follow; offsets {base} to "
            message += f"{min(before, max(last, base))} may stand in the log twice"
            return frames.problem(index, "overlapping_segment" if first else "offsets_jump_back", message)
        if not broken and self._checkpoint is not None and base <= self._checkpoint:
            return None
        message = f"offsets {before + 1} to {base - 1} are missing" + (": bytes were lost here" if broken else "")
        return frames.problem(index, "missing_offsets", message, before + 1)

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

    @staticmethod
    def _copy(problem: Problem, frames: Frames, index: int) -> Problem:
        message = f"the batch at offset {problem.log_offset} is a copy of one before it; both are kept"
        return frames.problem(index, "duplicate_batch", message)

    @staticmethod
    def _checksums(frames: Frames, valid: Vector) -> Vector:
        position = frames.position[valid]
        at = position + np.where(frames.magic[valid] == 2, CRC_START, LEGACY_CRC_START) - 4
        return big_endian(frames.chunk.buffer, np.uint32, at).astype(np.int64)
