"""Frames of one segment to its inventory: what a manifest says of the file, its bytes' checksum among it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from offdecode.log.batches import Frames
from offdecode.log.compression import CODECS
from offdecode.model import Chunk, Problem

_TAILS = {"zero_tail": "zeros", "torn_batch": "torn_batch", "garbage_tail": "garbage"}


@dataclass(frozen=True, slots=True)
class Inventory:
    """What one segment file holds.

    size: bytes of the file, as far as it was read; sha256: over exactly these, None where some could not be read.
    Times: milliseconds since 1970 UTC, of the batches with a right checksum. batches_by_*: those with a right
    checksum. tail: "clean", "zeros", "torn_batch" or "garbage".
    problems: all of them by kind.
    """

    path: str
    size: int
    sha256: str | None
    first_offset: int | None
    last_offset: int | None
    first_timestamp: int | None
    last_timestamp: int | None
    batches: int
    crc_failures: int
    batches_by_magic: dict[str, int]
    batches_by_codec: dict[str, int]
    records_by_type: dict[str, int]
    records_by_magic: dict[str, int]
    records_by_codec: dict[str, int]
    gaps: int
    gap_bytes: int
    tail: str
    tail_bytes: int
    problems: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class ChunksChecksum:
    """SHA-256 of a file's chunks in order, which may overlap by the bytes of an unfinished batch.

    size: how many bytes have come.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size = 0

    def add(self, chunk: Chunk) -> int:
        """The next chunk; how many of its bytes had not come before."""
        before, self.size = self.size, max(self.size, chunk.position + chunk.size)
        self._sha256.update(chunk.buffer[before - chunk.position : chunk.size].data)
        return self.size - before

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


class InventoryBuilder:
    """Takes the frames of one segment in order, and what their records became."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._checksum = ChunksChecksum()
        self._batches = 0
        self._crc_failures = 0
        self._first_offset: int | None = None
        self._last_offset: int | None = None
        self._first_timestamp: int | None = None
        self._last_timestamp: int | None = None
        self._batches_by: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._records_by: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._types: Counter[str] = Counter()
        self._problems: Counter[str] = Counter()
        self._gaps = self._gap_bytes = 0
        self._tail, self._tail_bytes = "clean", 0

    def add(self, frames: Frames) -> None:
        """The next chunk's frames."""
        self._checksum.add(frames.chunk)
        valid = np.flatnonzero(frames.crc_valid)
        self._batches += len(frames)
        self._crc_failures += len(frames) - len(valid)
        if not len(valid):
            return
        for counter, names in zip(self._batches_by, self._kinds(frames), strict=True):
            counter.update(names[index] for index in valid.tolist())
        base, last, times = frames.base_offset[valid], frames.last_offset[valid], frames.max_timestamp[valid]
        self._first_offset = _least(self._first_offset, int(base.min()))
        self._last_offset = _most(self._last_offset, int(last.max()))
        plain = (frames.base_timestamp[valid] >= 0) & ~frames.delete_horizon[valid]
        times = times[times >= 0]
        early = np.concatenate((times, frames.base_timestamp[valid][plain]))
        if len(early):
            self._first_timestamp = _least(self._first_timestamp, int(early.min()))
            self._last_timestamp = _most(self._last_timestamp, int(early.max()))

    @staticmethod
    def _kinds(frames: Frames) -> tuple[list[str], list[str]]:
        codecs = [CODECS[codec] if codec < len(CODECS) else str(codec) for codec in frames.codec.tolist()]
        return [str(magic) for magic in frames.magic.tolist()], codecs

    def add_records(self, frames: Frames, frame: np.ndarray) -> None:
        """Records that were found, by the index of each one's batch."""
        counts = np.bincount(frame, minlength=len(frames)).tolist()
        for counter, names in zip(self._records_by, self._kinds(frames), strict=True):
            for name, count in zip(names, counts, strict=True):
                counter[name] += count

    def add_rows(self, row_type: str, count: int) -> None:
        self._types[row_type] += count

    def add_problem(self, problem: Problem) -> None:
        self._problems[problem.kind] += 1
        if problem.kind in _TAILS:
            self._tail, self._tail_bytes = _TAILS[problem.kind], problem.length or 0
        elif problem.kind == "damaged_bytes":
            self._gaps += 1
            self._gap_bytes += problem.length or 0

    def result(self) -> Inventory:
        """The inventory, when the segment is through."""
        batches_by, records_by = map(_plain, self._batches_by), map(_plain, self._records_by)
        batches_by_magic, batches_by_codec = batches_by
        records_by_magic, records_by_codec = records_by
        return Inventory(
            self._path, self._checksum.size, None if self._problems["unreadable"] else self._checksum.sha256,
            self._first_offset, self._last_offset, self._first_timestamp, self._last_timestamp,
            self._batches, self._crc_failures, batches_by_magic, batches_by_codec,
            _plain(self._types), records_by_magic, records_by_codec,
            self._gaps, self._gap_bytes, self._tail, self._tail_bytes, _plain(self._problems),
        )  # fmt: skip


def _plain(counter: Counter[str]) -> dict[str, int]:
    return {name: count for name, count in sorted(counter.items()) if count}


def _least(known: int | None, value: int) -> int:
    return value if known is None else min(known, value)


def _most(known: int | None, value: int) -> int:
    return value if known is None else max(known, value)
