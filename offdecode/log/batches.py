"""Segment bytes to batch headers: frames, their checksums, and the gaps between them.

Message format 2: a header of 61 bytes (org.apache.kafka.common.record.DefaultRecordBatch), CRC-32C from the
attributes to the batch's end; the leader epoch is not covered. Bytes that are no batch are passed over to the
next plausible header whose checksum is right, and reported.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from offdecode.log.checksum import crc32c, crc32c_each
from offdecode.model import Chunk, Mask, Problem, Vector

HEADER_BYTES = 61
LENGTH_END = 12  # a batch's length counts from here
CRC_START = 21
MAX_BATCH_BYTES = 64 << 20  # no broker takes a batch near this size; a larger claim is damage
HEADER = np.dtype([
    ("base_offset", ">i8"), ("length", ">i4"), ("leader_epoch", ">i4"), ("magic", "i1"), ("crc", ">u4"),
    ("attributes", ">i2"), ("last_offset_delta", ">i4"), ("base_timestamp", ">i8"), ("max_timestamp", ">i8"),
    ("producer_id", ">i8"), ("producer_epoch", ">i2"), ("base_sequence", ">i4"), ("count", ">i4"),
])  # fmt: skip
_LENGTH_AND_MAGIC = struct.Struct(">i4xb")

CODEC_MASK = 0x07
TIMESTAMP_TYPE_BIT = 0x08
TRANSACTIONAL_BIT = 0x10
CONTROL_BIT = 0x20
DELETE_HORIZON_BIT = 0x40


@dataclass(frozen=True, slots=True)
class Frames:
    """The batches that lie whole in a chunk, as vectors of one entry a batch, in file order.

    position, end: bytes of the chunk. breaks: for every place where bytes were lost, the index of the batch
    after it. next_position: byte of the segment at which the next chunk starts.
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

    def __len__(self) -> int:
        return len(self.position)

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

    def _bit(self, bit: int) -> Mask:
        mask: Mask = np.not_equal(self.attributes & bit, 0)
        return mask

    def problem(self, index: int, kind: str, message: str, log_offset: int | None = None) -> Problem:
        """A problem that concerns the whole batch `index`."""
        return Problem(
            kind,
            self.chunk.segment,
            message,
            log_partition=self.chunk.log_partition,
            position=self.chunk.position + int(self.position[index]),
            length=int(self.end[index] - self.position[index]),
            log_offset=int(self.base_offset[index]) if log_offset is None else log_offset,
        )


ReadChunk = Callable[[int, int], Chunk]


def iter_frames(read_chunk: ReadChunk, chunk_bytes: int, position: int = 0) -> Iterator[Frames]:
    """All frames of a segment from `position` on, chunk by chunk.

    read_chunk(position, size) gives at most `size` bytes of the segment. A batch that is larger than a chunk
    is read by itself. Always yields at least once, so that an empty segment is seen.
    """
    gap: _Gap | None = None
    size = chunk_bytes
    while True:
        chunk = read_chunk(position, size)
        frames, gap = _read_chunk_frames(chunk, gap)
        if frames.next_position == position and not chunk.final:
            size = min(size * 4, MAX_BATCH_BYTES + chunk_bytes)
            continue
        yield frames
        size = chunk_bytes
        position = frames.next_position
        if chunk.final:
            return


@dataclass(slots=True)
class _Gap:
    """Bytes that are no batch, from `start` (in the segment) on; more of them may follow in the next chunk."""

    start: int
    head: bytes
    zero: bool = True
    text: bool = True
    offset: int | None = None
    torn: bool = False

    def add(self, data: np.ndarray) -> None:
        self.zero = self.zero and not data.any()
        printable = (data >= 0x20) & (data < 0x7F)
        self.text = self.text and bool(np.all(printable | np.isin(data, (0x09, 0x0A, 0x0D))))

    def looks_like(self) -> str:
        if self.zero:
            return "zeros"
        if self.text:
            return "text"
        return "a torn batch" if self.torn else "garbage"


@dataclass(slots=True)
class _Found:
    """What the walk over one chunk has found so far."""

    starts: list[int] = field(default_factory=list)
    valid: list[bool] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)


def _read_chunk_frames(chunk: Chunk, gap: _Gap | None) -> tuple[Frames, _Gap | None]:
    found = _Found()
    at = 0
    size = chunk.size
    if gap is not None:
        at, gap = _continue_gap(chunk, found, gap, 0)
    while gap is None and at < size:
        starts, stop = _walk(chunk, at)
        good = _count_valid(chunk, starts)
        found.starts += starts[:good]
        found.valid += [True] * good
        if good == len(starts):
            at = stop
            if at == size or (not chunk.final and _may_go_on(chunk, at)):
                break
        else:
            at = starts[good]
        at, gap = _pass_damage(chunk, found, at)
    if gap is not None and chunk.final:
        found.problems.append(_gap_problem(chunk, gap, chunk.segment_size, tail=True))
        if not (gap.zero or gap.torn):
            found.breaks.append(len(found.starts))
        gap = None
    return _frames(chunk, found, chunk.position + at), gap


def _walk(chunk: Chunk, at: int) -> tuple[list[int], int]:
    """Hop over batch lengths from `at`: the starts of whole frames, and where the walk stopped."""
    unpack = _LENGTH_AND_MAGIC.unpack_from
    data = chunk.buffer.data
    last = chunk.size - HEADER_BYTES
    size = chunk.size
    starts: list[int] = []
    append = starts.append
    while at <= last:
        length, magic = unpack(data, at + 8)
        end = at + LENGTH_END + length
        if magic != 2 or length < HEADER_BYTES - LENGTH_END or end > size:
            break
        append(at)
        at = end
    return starts, at


def _headers(chunk: Chunk, starts: list[int] | Vector) -> np.ndarray:
    count = max(len(chunk.buffer) - HEADER_BYTES + 1, 0)
    view = np.ndarray(shape=(count,), dtype=HEADER, buffer=chunk.buffer, strides=(1,))
    return view[np.asarray(starts, np.int64)]


def _count_valid(chunk: Chunk, starts: list[int]) -> int:
    """How many of the frames from the first on have a right checksum."""
    if not starts:
        return 0
    headers = _headers(chunk, starts)
    ends = (np.asarray(starts, np.int64) + LENGTH_END + headers["length"]).tolist()
    actual = crc32c_each(chunk.buffer.data, [start + CRC_START for start in starts], ends)
    wrong = np.flatnonzero(actual != headers["crc"])
    return int(wrong[0]) if wrong.size else len(starts)


def _may_go_on(chunk: Chunk, at: int) -> bool:
    """Whether the bytes from `at` to the chunk's end may be the beginning of a batch of the next chunk."""
    if chunk.size - at < HEADER_BYTES:
        return True
    return _plausible(chunk, at)


def _plausible(chunk: Chunk, at: int) -> bool:
    """Whether the header at `at` could be a batch's that lies within the segment."""
    if chunk.size - at < HEADER_BYTES:
        return False
    header = _headers(chunk, [at])[0]
    length = int(header["length"])
    left = chunk.segment_size - chunk.position - at - LENGTH_END
    return (
        header["magic"] == 2
        and HEADER_BYTES - LENGTH_END <= length <= min(MAX_BATCH_BYTES, left)
        and header["base_offset"] >= 0
        and header["last_offset_delta"] >= 0
        and header["count"] >= 0
        and 0 <= header["attributes"] < 0x80
    )


def _pass_damage(chunk: Chunk, found: _Found, at: int) -> tuple[int, _Gap | None]:
    """Get past a place that is no valid batch: over one batch with a wrong checksum, or over a gap."""
    if _plausible(chunk, at):
        length = int(_headers(chunk, [at])["length"][0])
        end = at + LENGTH_END + length
        if end <= chunk.size and _follows(chunk, end):
            found.breaks.append(len(found.starts))
            found.starts.append(at)
            found.valid.append(False)
            return end, None
    gap = _Gap(chunk.position + at, chunk.buffer[at : min(at + HEADER_BYTES, chunk.size)].tobytes())
    if chunk.size - at >= HEADER_BYTES:
        header = _headers(chunk, [at])[0]
        if header["magic"] == 2 and header["base_offset"] >= 0 and header["length"] > 0:
            gap.offset = int(header["base_offset"])
            gap.torn = chunk.position + at + LENGTH_END + int(header["length"]) > chunk.segment_size
    elif chunk.final:
        gap.torn = True
    return _continue_gap(chunk, found, gap, at)


def _follows(chunk: Chunk, end: int) -> bool:
    """Whether a batch may well end at `end`: the segment ends there, or another header stands there."""
    if chunk.position + end == chunk.segment_size:
        return True
    if chunk.size - end < HEADER_BYTES:  # too near the chunk's border to see
        return True
    return _plausible(chunk, end) or not chunk.buffer[end : end + HEADER_BYTES].any()


def _continue_gap(chunk: Chunk, found: _Found, gap: _Gap, at: int) -> tuple[int, _Gap | None]:
    """Look for the next valid batch; give where it starts, or the chunk's end and the gap that goes on."""
    for candidate in _candidates(chunk, at if chunk.position + at > gap.start else at + 1):
        end = candidate + LENGTH_END + int(_headers(chunk, [candidate])["length"][0])
        if end > chunk.size:
            if chunk.position + end > chunk.segment_size:
                continue
            gap.add(chunk.buffer[at:candidate])
            return candidate, gap  # not whole in this chunk: the next one starts here
        header = _headers(chunk, [candidate])[0]
        if crc32c(chunk.buffer.data[candidate + CRC_START : end]) == header["crc"]:
            gap.add(chunk.buffer[at:candidate])
            found.problems.append(_gap_problem(chunk, gap, chunk.position + candidate, tail=False))
            found.breaks.append(len(found.starts))
            return candidate, None
    keep = 0 if chunk.final else min(HEADER_BYTES - 1, chunk.size - at)
    gap.add(chunk.buffer[at : chunk.size - keep])
    return chunk.size - keep, gap


def _candidates(chunk: Chunk, at: int) -> Vector:
    """Positions from `at` on whose bytes are a plausible header, by vectors over the whole chunk."""
    last = chunk.size - HEADER_BYTES
    if at > last:
        return np.empty(0, np.int64)
    positions = np.flatnonzero(chunk.buffer[at + 16 : last + 17] == 2) + at
    headers = _headers(chunk, positions)
    left = chunk.segment_size - chunk.position - LENGTH_END
    length = headers["length"].astype(np.int64)
    plausible = (
        (length >= HEADER_BYTES - LENGTH_END)
        & (length <= MAX_BATCH_BYTES)
        & (length <= left - positions)
        & (headers["base_offset"] >= 0)
        & (headers["last_offset_delta"] >= 0)
        & (headers["count"] >= 0)
        & (headers["attributes"] >= 0)
        & (headers["attributes"] < 0x80)
    )
    return positions[plausible]


def _gap_problem(chunk: Chunk, gap: _Gap, end: int, *, tail: bool) -> Problem:
    length = end - gap.start
    if not tail:
        kind, message = "damaged_bytes", f"{length} bytes are no batch; they look like {gap.looks_like()}"
    elif gap.zero:
        kind = "zero_tail"
        message = f"{length} zero bytes after the last batch (a preallocated file, or a crash)"
    elif gap.torn:
        kind = "torn_batch"
        message = f"the last batch is cut off: {length} bytes of it are there"
    else:
        kind = "garbage_tail"
        message = f"{length} bytes after the last batch are no batch; they look like {gap.looks_like()}"
    return Problem(
        kind, chunk.segment, message, chunk.log_partition, position=gap.start, length=length, log_offset=gap.offset
    )


def _frames(chunk: Chunk, found: _Found, next_position: int) -> Frames:
    headers = _headers(chunk, found.starts)
    position = np.asarray(found.starts, np.int64)

    def column(name: str) -> Vector:
        return headers[name].astype(np.int64)

    base_offset = column("base_offset")
    frames = Frames(
        chunk=chunk,
        position=position,
        end=position + LENGTH_END + column("length"),
        base_offset=base_offset,
        last_offset=base_offset + column("last_offset_delta"),
        leader_epoch=column("leader_epoch"),
        magic=column("magic"),
        attributes=column("attributes"),
        base_timestamp=column("base_timestamp"),
        max_timestamp=column("max_timestamp"),
        producer_id=column("producer_id"),
        producer_epoch=column("producer_epoch"),
        base_sequence=column("base_sequence"),
        count=column("count"),
        crc_valid=np.asarray(found.valid, np.bool_),
        next_position=next_position,
        breaks=tuple(found.breaks),
    )
    wrong = [
        frames.problem(int(index), "bad_crc", "the batch's checksum is wrong; its records are left out")
        for index in np.flatnonzero(~frames.crc_valid)
    ]
    return replace(frames, problems=tuple(sorted((*found.problems, *wrong), key=lambda p: p.position or 0)))
