"""Bytes to the headers of message formats 0, 1 and 2: layouts, the hop from one to the next, checksums.

Offset, length and magic stand at the same bytes in every format (Kafka's Records.HEADER_SIZE_UP_TO_MAGIC), and
the format may go up and down inside a partition. Format 2: a batch with a header of 61 bytes
(org.apache.kafka.common.record.DefaultRecordBatch), CRC-32C from the attributes to the batch's end; the leader
epoch is not covered. Formats 0 and 1: one message an entry (LegacyRecord; format 1 has a timestamp), or a message
whose value holds compressed ones (a wrapper); zlib's CRC-32 from the magic to the end.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from dataclasses import dataclass, field

import numpy as np

from offdecode.byte_vectors import Buffer, big_endian, unaligned
from offdecode.log.checksum import crc32, crc32_each, crc32c, crc32c_each
from offdecode.model import Chunk, Mask, Vector

LENGTH_END = 12  # a batch's length counts from here
MAX_BATCH_BYTES = 64 << 20  # no broker takes a batch near this size; a larger claim is damage
MAGIC_AT = 16
MAGIC_END = 17

HEADER_BYTES = 61
CRC_START = 21
HEADER = np.dtype([
    ("base_offset", ">i8"), ("length", ">i4"), ("leader_epoch", ">i4"), ("magic", "i1"), ("crc", ">u4"),
    ("attributes", ">i2"), ("last_offset_delta", ">i4"), ("base_timestamp", ">i8"), ("max_timestamp", ">i8"),
    ("producer_id", ">i8"), ("producer_epoch", ">i2"), ("base_sequence", ">i4"), ("count", ">i4"),
])  # fmt: skip

# Format 0 has no timestamp: the key's length stands in its place. An entry is never shorter than this header.
LEGACY_HEADER_BYTES = 26
LEGACY_CRC_START = 16
LEGACY_LENGTHS = (14, 22)  # the least length in format 0 and 1 (LegacyRecord.RECORD_OVERHEAD_V0 and _V1)
LEGACY_ATTRIBUTES = (0x07, 0x0F)  # the bits that format 0 and 1 define: codec; timestamp type
LEGACY_HEADER = np.dtype([
    ("base_offset", ">i8"), ("length", ">i4"), ("crc", ">u4"), ("magic", "i1"), ("attributes", "i1"),
    ("timestamp", ">i8"),
])  # fmt: skip

_FEW = 8  # entries that cost less one by one than by vectors

_LENGTH_AND_MAGIC = struct.Struct(">i4xb")
_START = struct.Struct(">qi4xb")
_UINT32 = struct.Struct(">I")
_LAST_OFFSET_DELTA = struct.Struct(">23xi")


def headers(buffer: Buffer, starts: list[int] | Vector) -> np.ndarray:
    """The format 2 headers at `starts`."""
    return _gather(buffer, starts, HEADER)


def legacy_headers(buffer: Buffer, starts: list[int] | Vector) -> np.ndarray:
    """The format 0 and 1 headers at `starts`."""
    return _gather(buffer, starts, LEGACY_HEADER)


def _gather(buffer: Buffer, starts: list[int] | Vector, header: np.dtype[np.void]) -> np.ndarray:
    # As plain bytes: numpy copies a structure field by field, which takes twenty times as long.
    return unaligned(buffer, np.dtype((np.void, header.itemsize)))[np.asarray(starts, np.int64)].view(header)


@dataclass(slots=True)
class Walk:
    """Entries that follow each other by their lengths. stop: where the next would start, or the last one ended.

    legacy: whether any of them is of format 0 or 1.
    """

    stop: int
    starts: list[int] = field(default_factory=list)
    legacy: bool = False


def walk(chunk: Chunk, at: int, until: int) -> Walk:
    """Hop over lengths from `at` on, as long as whole entries of a known format start there, and at most to `until`."""
    walked = Walk(at)
    data = chunk.buffer.data
    while True:
        _hop(walked, data, min(chunk.size - HEADER_BYTES, until), chunk.size)
        before = walked.stop
        hop_legacy(walked, data, min(chunk.size - LEGACY_HEADER_BYTES, until), chunk.size)
        if walked.stop == before:
            return walked
        walked.legacy = True


def whole_entries(data: bytes | memoryview) -> tuple[int, int]:
    """How many bytes the whole entries from byte 0 on take, and the offset behind the last one (-1: there is none)."""
    walked = _walk_all(data)
    return walked.stop, _last_offset(data, walked.starts[-1]) + 1 if walked.starts else -1


def entry_with(data: bytes | memoryview, offset: int) -> int:
    """The byte at which the entry starts that holds `offset` or, where cleaning has taken that one, the next."""
    walked = _walk_all(data)
    index = bisect_left(walked.starts, offset, key=lambda at: _last_offset(data, at))
    return walked.starts[index] if index < len(walked.starts) else walked.stop


def _walk_all(data: bytes | memoryview) -> Walk:
    walked = Walk(0)
    view, before = memoryview(data), -1
    while walked.stop != before:
        before = walked.stop
        _hop(walked, view, len(view) - HEADER_BYTES, len(view))
        hop_legacy(walked, view, len(view) - LEGACY_HEADER_BYTES, len(view))
    return walked


def _last_offset(data: bytes | memoryview, at: int) -> int:
    offset, _, magic = _START.unpack_from(data, at)
    return int(offset + _LAST_OFFSET_DELTA.unpack_from(data, at)[0] if magic == 2 else offset)


def _hop(walked: Walk, data: memoryview, last: int, size: int) -> None:
    unpack = _LENGTH_AND_MAGIC.unpack_from
    append = walked.starts.append
    at = walked.stop
    while at <= last:
        length, magic = unpack(data, at + 8)
        end = at + LENGTH_END + length
        if magic != 2 or length < HEADER_BYTES - LENGTH_END or end > size:
            break
        append(at)
        at = end
    walked.stop = at


def hop_legacy(walked: Walk, data: memoryview, last: int, size: int) -> None:
    """Go on over entries of format 0 and 1 that start at `last` or before and end at `size` or before."""
    unpack = _LENGTH_AND_MAGIC.unpack_from
    append = walked.starts.append
    at = walked.stop
    while at <= last:
        length, magic = unpack(data, at + 8)
        end = at + LENGTH_END + length
        if not 0 <= magic <= 1 or length < LEGACY_LENGTHS[magic] or end > size:
            break
        append(at)
        at = end
    walked.stop = at


def checksums_right(chunk: Chunk, position: Vector, *, some_legacy: bool) -> Mask:
    """Which of the entries at `position` have a right checksum."""
    if not len(position):
        return np.zeros(0, np.bool_)
    if len(position) <= _FEW:
        return np.array([checksum_right(chunk, at) for at in position.tolist()], np.bool_)
    if not some_legacy:
        return _right(chunk, position)
    legacy = chunk.buffer[position + MAGIC_AT] < 2
    if legacy.all():
        return legacy_checksums_right(chunk.buffer, position)
    right = np.empty(len(position), np.bool_)
    right[~legacy] = _right(chunk, position[~legacy])
    right[legacy] = legacy_checksums_right(chunk.buffer, position[legacy])
    return right


def _right(chunk: Chunk, position: Vector) -> Mask:
    # Two fields through views of their own: gathering whole headers for them costs five times as much.
    end = position + LENGTH_END + big_endian(chunk.buffer, np.int32, position + 8)
    stored = big_endian(chunk.buffer, np.uint32, position + CRC_START - 4)
    actual = crc32c_each(chunk.buffer.data, (position + CRC_START).tolist(), end.tolist())
    return np.asarray(actual == stored)


def legacy_checksums_right(buffer: Buffer, position: Vector) -> Mask:
    """Which of the format 0 and 1 entries at `position`, whole in `buffer`, have a right checksum."""
    found = legacy_headers(buffer, position)
    ends = (position + LENGTH_END + found["length"]).tolist()
    return np.asarray(crc32_each(buffer.data, (position + LEGACY_CRC_START).tolist(), ends) == found["crc"])


def checksum_right(chunk: Chunk, at: int) -> bool:
    """Whether the entry at `at`, whole in the chunk, has a right checksum."""
    data, end = chunk.buffer.data, entry_end(chunk, at)
    if data[at + MAGIC_AT] == 2:
        actual, stored = crc32c(data[at + CRC_START : end]), CRC_START - 4
    else:
        actual, stored = crc32(data[at + LEGACY_CRC_START : end]), LEGACY_CRC_START - 4
    return bool(actual == _UINT32.unpack_from(data, at + stored)[0])


def entry_end(chunk: Chunk, at: int) -> int:
    """Where the entry at `at` ends by its length, which may be beyond the chunk."""
    length: int = _LENGTH_AND_MAGIC.unpack_from(chunk.buffer.data, at + 8)[0]
    return at + LENGTH_END + length


def read_start(chunk: Chunk, at: int) -> tuple[int, int, int]:
    """Offset, length and magic of the header at `at`, of which MAGIC_END bytes must be there."""
    offset, length, magic = _START.unpack_from(chunk.buffer.data, at)
    return offset, length, magic


def plausible(chunk: Chunk, at: int) -> bool:
    """Whether the header at `at` lies in the chunk and could be an entry's that lies within the segment."""
    if chunk.size - at < LEGACY_HEADER_BYTES:
        return False
    offset, length, magic = read_start(chunk, at)
    left = chunk.segment_size - chunk.position - at - LENGTH_END
    if offset < 0 or length > min(MAX_BATCH_BYTES, left):
        return False
    if 0 <= magic <= 1:
        attributes = chunk.buffer.data[at + MAGIC_END]
        return length >= LEGACY_LENGTHS[magic] and not attributes & ~LEGACY_ATTRIBUTES[magic]
    if magic != 2 or chunk.size - at < HEADER_BYTES or length < HEADER_BYTES - LENGTH_END:
        return False
    header = headers(chunk.buffer, [at])[0]
    return bool(header["last_offset_delta"] >= 0 and header["count"] >= 0 and 0 <= header["attributes"] < 0x80)


def plausible_positions(chunk: Chunk, start: int, end: int) -> Vector:
    """All positions from `start` to before `end` at which an entry may start, by vectors.

    As there are many zeros in a log, an entry of format 0 or 1 must also have the key and value that fill it.
    """
    if not chunk.buffer[start + 8 : end + MAGIC_END].any():  # zeros are no header, and there may be gigabytes of them
        return np.empty(0, np.int64)
    found = (_plausible_batches(chunk, start, end), _plausible_messages(chunk, start, end))
    return np.sort(np.concatenate(found)).astype(np.int64)


def _plausible_batches(chunk: Chunk, start: int, end: int) -> Vector:
    end = min(end, chunk.size - HEADER_BYTES + 1)
    positions = np.flatnonzero(chunk.buffer[start + MAGIC_AT : max(end, start) + MAGIC_AT] == 2) + start
    found = headers(chunk.buffer, positions)
    length = found["length"].astype(np.int64)
    good = (
        (length >= HEADER_BYTES - LENGTH_END)
        & (length <= MAX_BATCH_BYTES)
        & (length <= chunk.segment_size - chunk.position - LENGTH_END - positions)
        & (found["base_offset"] >= 0)
        & (found["last_offset_delta"] >= 0)
        & (found["count"] >= 0)
        & (found["attributes"] >= 0)
        & (found["attributes"] < 0x80)
    )
    return positions[good]


def _plausible_messages(chunk: Chunk, start: int, end: int) -> Vector:
    buffer = chunk.buffer
    end = min(end, chunk.size - LEGACY_HEADER_BYTES + 1)
    positions = np.flatnonzero(buffer[start + MAGIC_AT : max(end, start) + MAGIC_AT] < 2) + start
    length = big_endian(buffer, np.int32, positions + 8).astype(np.int64)
    good = (
        (length >= LEGACY_LENGTHS[0])
        & (length <= MAX_BATCH_BYTES)
        & (length <= chunk.segment_size - chunk.position - LENGTH_END - positions)
        & (buffer[positions] < 0x80)  # the offset's sign
    )
    positions, length = positions[good], length[good]
    magic = buffer[positions + MAGIC_AT].astype(np.int64)
    attributes = buffer[positions + MAGIC_END].astype(np.int64)
    least = np.asarray(LEGACY_LENGTHS)[magic]
    key_length = big_endian(buffer, np.int32, positions + LENGTH_END + least - 8).astype(np.int64)
    value_at = positions + LENGTH_END + least - 4 + np.maximum(key_length, 0)
    unseen = value_at + 4 > chunk.size
    value_length = big_endian(buffer, np.int32, np.where(unseen, 0, value_at)).astype(np.int64)
    fills = least + np.maximum(key_length, 0) + np.maximum(value_length, 0) == length
    good = (
        (attributes & ~np.asarray(LEGACY_ATTRIBUTES)[magic] == 0)
        & (key_length >= -1)
        & (key_length <= length - least)
        & (unseen | ((value_length >= -1) & fills))
    )
    return np.asarray(positions[good], np.int64)
