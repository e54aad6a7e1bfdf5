"""Segment bytes to batch headers: frames, their checksums, and the problems of the bytes between them.

A frame is what stands in the log under one checksum: a batch of message format 2, or a message of format 0 or 1,
which may be a wrapper: then its value holds compressed messages. Bytes that are no batch are passed over to the
next plausible header whose checksum is right, and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from offdecode.log.headers import (
    HEADER_BYTES,
    LEGACY_ATTRIBUTES,
    LENGTH_END,
    MAGIC_AT,
    MAX_BATCH_BYTES,
    checksums_right,
    headers,
    legacy_headers,
    plausible,
    walk,
)
from offdecode.log.legacy import wrapper_range
from offdecode.log.resync import BadBatch, Gap, Resync, open_gap
from offdecode.model import PADDING, Chunk, Mask, Problem, Vector

_FIRST_WINDOW = 4096  # after damage the walk feels its way, so that much damage does not cost many long walks
_LARGE_TAIL_BYTES = 1 << 20
_LARGE_RECORD_BYTES = 256, 1 << 16  # on average
_MOST_GAPS = 1 << 14  # in a chunk: each is a problem or two, which must not take more memory than the chunk

CODEC_MASK = 0x07
TIMESTAMP_TYPE_BIT = 0x08
TRANSACTIONAL_BIT = 0x10
CONTROL_BIT = 0x20
DELETE_HORIZON_BIT = 0x40


@dataclass(frozen=True, slots=True)
class Origin:
    """Where batches of a log that lies in several copies come from; vectors of one entry a batch.

    directories: of the copies, brokers: their ids where known. segments: files, segment: the index of each batch's
    among them, position: byte of it. held_in: the segment by component and copy, -1 = not there.
    copies: a bit for each copy that holds just these bytes. component: equal for batches that hold the same offsets.
    size: bytes of all copies that were gone over for it. lost: the batches are of a branch of the log that did not
    stand. going_on: a bit for each copy that has undamaged what lies before and behind the batch, be it there or not.
    """

    directories: tuple[str, ...]
    segments: tuple[str, ...]
    segment: Vector
    position: Vector
    copies: Vector
    component: Vector
    size: int
    brokers: tuple[int | None, ...]
    held_in: npt.NDArray[np.int32]
    going_on: Vector
    lost: bool = False

    @property
    def first_gone(self) -> int | None:
        """The index of the first batch that a copy lacks, or has cleaned, though it goes on behind it."""
        gone = np.flatnonzero(self.going_on & ~self.copies)
        return int(gone[0]) if len(gone) else None

    @property
    def mixed(self) -> bool:
        """Whether there are batches that hold the same offsets."""
        return bool(np.any(self.component[1:] == self.component[:-1]))


@dataclass(frozen=True, slots=True)
class Frames:
    """The batches that lie whole in a chunk, as vectors of one entry a batch, in file order.

    position, end: bytes of the chunk. breaks: for every place where bytes were lost, the index of the batch
    after it. next_position: byte of the segment at which the next chunk starts. origin: where the batches are from,
    where that is not the chunk's segment alone. whole: all batches that these stand for, where there are more: each
    component is one here. lost: batches of a branch of the log that did not stand. untold: for what stands for a
    batch in an export, the columns of its records' rows that are not told; () = all are.
    """

    chunk: Chunk
    position: Vector
    end: Vector
    base_offset: Vector
    last_offset: Vector
    leader_epoch: Vector
    magic: Vector
    attributes: Vector
    base_timestamp: Vector
    max_timestamp: Vector
    producer_id: Vector
    producer_epoch: Vector
    base_sequence: Vector
    count: Vector
    crc_valid: Mask
    next_position: int
    problems: tuple[Problem, ...] = ()
    breaks: tuple[int, ...] = ()
    origin: Origin | None = None
    whole: Frames | None = None
    lost: Frames | None = None
    untold: tuple[frozenset[str], ...] = ()

    def __len__(self) -> int:
        return len(self.position)

    @property
    def exported(self) -> bool:
        """Whether these only stand for batches: the records come from an export."""
        return bool(self.untold)

    @property
    def size(self) -> int:
        """Bytes of evidence that were gone over for these batches."""
        if self.origin is not None:
            return self.origin.size
        return self.chunk.size if self.chunk.final else self.next_position - self.chunk.position

    @property
    def codec(self) -> Vector:
        return self.attributes & CODEC_MASK

    @property
    def log_append_time(self) -> Mask:
        return self._bit(TIMESTAMP_TYPE_BIT)

    @property
    def transactional(self) -> Mask:
        return self._bit(TRANSACTIONAL_BIT)

    @property
    def control(self) -> Mask:
        return self._bit(CONTROL_BIT)

    @property
    def delete_horizon(self) -> Mask:
        return self._bit(DELETE_HORIZON_BIT)

    @property
    def shows_cleaning(self) -> Mask:
        """Which batches the log cleaner has written: fewer records than offsets, or a delete horizon."""
        fewer: Mask = self.count < self.last_offset - self.base_offset + 1
        return fewer | self.delete_horizon

    def _bit(self, bit: int) -> Mask:
        mask: Mask = np.not_equal(self.attributes & bit, 0)
        return mask

    def first(self, count: int) -> Frames:
        """Only the first `count` batches, and the problems before the next one."""
        if count == len(self):
            return self
        end = self.chunk.position + int(self.position[count])
        values = {name: getattr(self, name) for name in self.__slots__}
        vectors = {name: value[:count] for name, value in values.items() if isinstance(value, np.ndarray)}
        return replace(
            self,
            **vectors,  # type: ignore[arg-type]
            next_position=end,
            problems=tuple(problem for problem in self.problems if (problem.position or 0) < end),
            breaks=tuple(at for at in self.breaks if at < count),
        )

    def without_tail(self) -> Frames:
        """Without the bytes behind the last batch, where they are many: reading the batches does not need them."""
        end = int(self.end[-1]) if len(self) else 0
        return self if self.chunk.size - end <= _LARGE_TAIL_BYTES else replace(self, chunk=_up_to(self.chunk, end))

    def place(self, index: int) -> tuple[str, int]:
        """The file that holds a batch, and the byte of it at which the batch starts."""
        if self.origin is None:
            return self.chunk.segment, self.chunk.position + int(self.position[index])
        return self.origin.segments[self.origin.segment[index]], int(self.origin.position[index])

    def problem(self, index: int, kind: str, message: str, log_offset: int | None = None) -> Problem:
        """A problem that concerns the whole batch `index`."""
        segment, position = self.place(index)
        return Problem(
            kind,
            segment,
            message,
            log_partition=self.chunk.log_partition,
            position=position,
            length=int(self.end[index] - self.position[index]),
            log_offset=int(self.base_offset[index]) if log_offset is None else log_offset,
        )


ReadChunk = Callable[[int, int], Chunk]


def iter_frames(read_chunk: ReadChunk, chunk_bytes: int, position: int = 0) -> Iterator[Frames]:
    """All frames of a segment from `position` on, chunk by chunk.

    read_chunk(position, size) gives at most `size` bytes of the segment. A batch that is larger than a chunk
    is read by itself. Behind many generations chunks are twice as large. Always yields at least once, so that an empty
    segment is seen.
    """
    gap: Gap | None = None
    size = chunk_bytes
    while True:
        chunk = read_chunk(position, size)
        frames, gap = _read_chunk_frames(chunk, gap)
        if frames.next_position == position and not chunk.final:
            size = min(size * 4, MAX_BATCH_BYTES + max(chunk_bytes, HEADER_BYTES))
            continue
        yield frames
        size = chunk_bytes * (2 if _are_generations(frames, frames.next_position - position) else 1)
        position = frames.next_position
        if frames.chunk.final:
            return


def _are_generations(frames: Frames, size: int) -> bool:
    """Whether many records seem to list members: most list those of others, and equal ones are decoded once a chunk.

    Very large records are enough for a chunk without others.
    """
    return _LARGE_RECORD_BYTES[0] < size / max(int(frames.count.sum()), 1) < _LARGE_RECORD_BYTES[1]


def read_frames(chunk: Chunk) -> Frames:
    """The frames of a chunk by itself."""
    return _read_chunk_frames(chunk, None)[0]


@dataclass(slots=True)
class _Found:
    """What the walks over one chunk have found so far."""

    count: int = 0
    position: list[Vector] = field(default_factory=lambda: [np.empty(0, np.int64)])
    valid: list[Mask] = field(default_factory=lambda: [np.empty(0, np.bool_)])
    legacy: bool = False
    problems: list[Problem] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)


def _read_chunk_frames(chunk: Chunk, gap: Gap | None) -> tuple[Frames, Gap | None]:
    found = _Found()
    resync = Resync(chunk)
    at = 0
    window = chunk.size
    while at < chunk.size:
        if gap is not None:
            at, trusted = resync.go_on(gap, at)
            if not trusted:
                break
            found.problems.append(gap.problem(chunk, chunk.position + at, tail=False))
            found.breaks.append(found.count)
            gap = None
            if len(found.problems) == _MOST_GAPS:
                chunk = _up_to(chunk, at)
                break
            window = _FIRST_WINDOW
        until = at + window
        at, stopped_by = _take_frames(chunk, resync, found, at, until)
        if stopped_by is BadBatch.UNSEEN:
            break
        if stopped_by is BadBatch.WRONG_LENGTH or at <= until:
            if stopped_by is None and not chunk.final and _may_go_on(chunk, at):
                break
            gap = open_gap(chunk, at) if at < chunk.size else None
        window *= 2
    if gap is not None and chunk.final:
        found.problems.append(gap.problem(chunk, chunk.segment_size, tail=True))
        if not gap.harmless:
            found.breaks.append(found.count)
        gap = None
    return _frames(chunk, found, chunk.position + at), gap


def _up_to(chunk: Chunk, end: int) -> Chunk:
    """The chunk's bytes before `end`."""
    buffer = np.concatenate((chunk.buffer[:end], np.zeros(PADDING, np.uint8)))
    return replace(chunk, buffer=buffer, size=end)


def _take_frames(chunk: Chunk, resync: Resync, found: _Found, at: int, until: int) -> tuple[int, BadBatch | None]:
    """Add the frames from `at` on; give where they end, and what ended them if it was a bad batch."""
    walked = walk(chunk, at, until)
    position = np.asarray(walked.starts, np.int64)
    if walked.stop > until:  # a length after damage, which may claim all that is left, time and again
        valid = checksums_right(chunk, position[:-1], some_legacy=walked.legacy)
        valid = np.append(valid, resync.right(walked.starts[-1]))
    else:
        valid = checksums_right(chunk, position, some_legacy=walked.legacy)
    count, stopped_by = len(position), None
    for index in np.flatnonzero(~valid).tolist():
        verdict = resync.judge(walked.starts[index])
        if verdict is not BadBatch.ALONE:
            count, walked.stop, stopped_by = index, walked.starts[index], verdict
            break
        found.breaks.append(found.count + index)
    found.count += count
    found.position.append(position[:count])
    found.valid.append(valid[:count])
    found.legacy |= walked.legacy
    return walked.stop, stopped_by


def _may_go_on(chunk: Chunk, at: int) -> bool:
    """Whether the bytes from `at` to the chunk's end may be the beginning of a batch of the next chunk."""
    return chunk.size - at < HEADER_BYTES or plausible(chunk, at)


def _frames(chunk: Chunk, found: _Found, next_position: int) -> Frames:
    position, valid = np.concatenate(found.position), np.concatenate(found.valid)
    legacy = chunk.buffer[position + MAGIC_AT] < 2 if found.legacy else np.zeros(0, np.bool_)
    if not legacy.any():
        columns: dict[str, Any] = _batch_columns(chunk, position)
    else:
        batches = _batch_columns(chunk, position[~legacy])
        messages = _message_columns(chunk, position[legacy], valid[legacy])
        columns = {name: np.empty(len(position), np.int64) for name in batches}
        for name, column in columns.items():
            column[~legacy], column[legacy] = batches[name], messages[name]
    length = columns.pop("length")
    frames = Frames(
        chunk=chunk,
        position=position,
        end=position + LENGTH_END + length,
        crc_valid=valid,
        next_position=next_position,
        breaks=tuple(found.breaks),
        **columns,
    )
    wrong = [
        frames.problem(int(index), "bad_crc", "the batch's checksum is wrong")
        for index in np.flatnonzero(~frames.crc_valid)
    ]
    return replace(frames, problems=tuple(sorted((*found.problems, *wrong), key=lambda p: p.position or 0)))


def _batch_columns(chunk: Chunk, position: Vector) -> dict[str, Vector]:
    """The header fields of format 2, by the names of Frames, and `length`."""
    found = headers(chunk.buffer, position)
    names = (
        "base_offset", "length", "leader_epoch", "magic", "attributes", "base_timestamp", "max_timestamp",
        "producer_id", "producer_epoch", "base_sequence", "count",
    )  # fmt: skip
    columns = {name: found[name].astype(np.int64) for name in names}
    columns["last_offset"] = columns["base_offset"] + found["last_offset_delta"]
    return columns


def _message_columns(chunk: Chunk, position: Vector, valid: Mask) -> dict[str, Vector]:
    """The same columns for formats 0 and 1.

    The header's offset is the last one (AbstractLegacyRecordBatch.lastOffset). A wrapper's first offset and its
    count are known only from what it holds; a wrapper that cannot be read counts as the one message that it is.
    """
    found = legacy_headers(chunk.buffer, position)
    magic = found["magic"].astype(np.int64)
    offset = found["base_offset"].astype(np.int64)
    attributes = found["attributes"] & np.asarray(LEGACY_ATTRIBUTES)[magic]
    timestamp = np.where(magic == 0, -1, found["timestamp"]).astype(np.int64)
    length = found["length"].astype(np.int64)
    base_offset, count = offset.copy(), np.ones(len(position), np.int64)
    for index in np.flatnonzero((attributes & CODEC_MASK != 0) & valid).tolist():
        start = int(position[index])
        inner = wrapper_range(chunk.buffer.data, start, start + LENGTH_END + int(length[index]))
        if inner is not None:
            base_offset[index], count[index] = inner
    none = np.full(len(position), -1, np.int64)
    return {
        "base_offset": base_offset, "last_offset": offset, "length": length, "leader_epoch": none, "magic": magic,
        "attributes": attributes, "base_timestamp": timestamp, "max_timestamp": timestamp, "producer_id": none,
        "producer_epoch": none, "base_sequence": none, "count": count,
    }  # fmt: skip
