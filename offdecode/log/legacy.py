"""Messages of formats 0 and 1 to records: where each key and value lies, single or out of a wrapper.

A wrapper's value holds compressed messages (org.apache.kafka.common.record.AbstractLegacyRecordBatch). In format 0
their offsets are absolute; in format 1 they count from anywhere, and the wrapper has the last one's absolute offset.
The cleaner leaves holes among them. The inner format may be another than the wrapper's, and then decides whether
there is a timestamp; the wrapper's format decides what the offsets mean.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offdecode.byte_vectors import Buffer, big_endian
from offdecode.errors import LengthError, OffdecodeError
from offdecode.log.compression import decompress
from offdecode.log.doubtful import MOST_PROBLEMS
from offdecode.log.headers import (
    LEGACY_HEADER_BYTES,
    LEGACY_LENGTHS,
    LENGTH_END,
    MAGIC_AT,
    MAGIC_END,
    Walk,
    hop_legacy,
    legacy_checksums_right,
    legacy_headers,
)
from offdecode.model import Mask, Vector

_CODEC_MASK = 0x07
_INT32, _INT64 = struct.Struct(">i"), struct.Struct(">q")


@dataclass(frozen=True, slots=True)
class Outer:
    """The entries in the log that the messages come from, as vectors. offset: the header's."""

    compressed: Mask
    magic: Vector
    offset: Vector
    timestamp: Vector
    log_append_time: Mask


@dataclass(frozen=True, slots=True)
class Lost:
    """What could not be read out of the entry `owner`, in the words of a problem."""

    owner: int
    kind: str
    message: str
    log_offset: int | None = None


@dataclass(frozen=True, slots=True)
class Messages:
    """The messages of some entries in their order. owner: the index of each one's entry."""

    owner: Vector
    log_offset: Vector
    log_timestamp: Vector
    has_timestamp: Mask
    key_position: Vector
    key_length: Vector
    value_position: Vector
    value_length: Vector
    lost: tuple[Lost, ...]


def unwrap(data: memoryview, start: int, end: int) -> bytes:
    """The messages in the wrapper at start:end of `data`, decompressed.

    Raises LengthError where the key or value does not fit the wrapper, otherwise what `decompress` raises.
    """
    magic, attributes = data[start + MAGIC_AT], data[start + MAGIC_END]
    value = start + LENGTH_END + LEGACY_LENGTHS[magic]
    (key_length,) = _INT32.unpack_from(data, value - 8)
    value += max(key_length, 0)
    if not (key_length >= -1 and value <= end):
        raise LengthError(f"the wrapper's key has {key_length} bytes, more than the wrapper")
    (length,) = _INT32.unpack_from(data, value - 4)
    if length != end - value:
        raise LengthError(f"the wrapper's value has {length} bytes, {end - value} are left")
    return decompress(attributes & _CODEC_MASK, bytes(data[value:end]), magic=magic)


def wrapper_range(data: memoryview, start: int, end: int) -> tuple[int, int] | None:
    """The first offset in the wrapper at start:end and the number of its messages; None if it cannot be read."""
    try:
        body = unwrap(data, start, end)
    except OffdecodeError:  # reported where its records are wanted
        return None
    walked = _walk_messages(memoryview(body), 0, len(body))
    if not walked.starts:
        return None
    (offset,) = _INT64.unpack_from(data, start)
    (first,) = _INT64.unpack_from(body, walked.starts[0])
    (last,) = _INT64.unpack_from(body, walked.starts[-1])
    if data[start + MAGIC_AT] == 1 and offset != 0:
        if last > offset:
            return None
        first = (first + offset - last + (1 << 63)) % (1 << 64) - (1 << 63)
    return first, len(walked.starts)


def _walk_messages(data: memoryview, start: int, end: int) -> Walk:
    walked = Walk(start)
    hop_legacy(walked, data, end - LEGACY_HEADER_BYTES, end)
    return walked


def read_messages(buffer: Buffer, start: Vector, end: Vector, outer: Outer) -> Messages:
    """All messages of the entries: at start:end of `buffer` lies an entry itself, or what a wrapper holds."""
    lost: list[Lost] = []
    position, owner = _find_messages(buffer, start, end, outer, lost)
    found = legacy_headers(buffer, position)
    inner_magic = found["magic"].astype(np.int64)
    inner_offset = found["base_offset"].astype(np.int64)
    key_position, key_length, value_position, value_length, bad_fields = _read_fields(
        buffer, position, position + LENGTH_END + found["length"]
    )
    bad_checksum = np.zeros(len(position), np.bool_)
    wrapped = np.flatnonzero(outer.compressed[owner])
    bad_checksum[wrapped] = ~legacy_checksums_right(buffer, position[wrapped])
    nested = outer.compressed[owner] & (found["attributes"] & _CODEC_MASK != 0) & ~bad_checksum
    shift, refused = _shift(outer, owner, inner_offset)
    for entry in np.flatnonzero(refused).tolist():
        message = "its last message has a higher offset than the wrapper; the batch's records are lost"
        lost.append(Lost(entry, "bad_batch", message))
    for entry in np.unique(owner[nested & ~refused[owner]]).tolist():
        lost.append(Lost(entry, "bad_batch", "compressed messages inside a wrapper; the batch's records are lost"))
        refused[entry] = True
    log_offset = inner_offset + shift[owner]
    bad = (bad_fields | bad_checksum) & ~refused[owner]
    if bad.any():
        lost += _bad_messages(np.flatnonzero(bad), owner, log_offset, bad_checksum)
    append_time = outer.log_append_time[owner] & outer.compressed[owner]
    timestamp = np.where(append_time, outer.timestamp[owner], found["timestamp"])
    has_timestamp = inner_magic == 1
    keep = slice(None) if not (bad.any() or refused.any()) else np.flatnonzero(~bad & ~refused[owner])
    return Messages(
        owner=owner[keep],
        log_offset=log_offset[keep],
        log_timestamp=np.where(has_timestamp, timestamp, -1)[keep],
        has_timestamp=has_timestamp[keep],
        key_position=key_position[keep],
        key_length=key_length[keep],
        value_position=value_position[keep],
        value_length=value_length[keep],
        lost=tuple(sorted(lost, key=lambda one: one.owner)),
    )


def _find_messages(buffer: Buffer, start: Vector, end: Vector, outer: Outer, lost: list[Lost]) -> tuple[Vector, Vector]:
    """The position of every message and the entry that it belongs to."""
    if not outer.compressed.any():
        return start, np.arange(len(start))
    positions: list[int] = []
    counts: list[int] = []
    for index, (at, limit, compressed) in enumerate(
        zip(start.tolist(), end.tolist(), outer.compressed.tolist(), strict=True)
    ):
        if not compressed:
            positions.append(at)
            counts.append(1)
            continue
        walked = _walk_messages(buffer.data, at, limit)
        positions += walked.starts
        counts.append(len(walked.starts))
        if not walked.starts:
            lost.append(Lost(index, "bad_batch", f"the wrapper holds no message, but {limit - at} bytes"))
        elif walked.stop < limit:
            message = f"{limit - walked.stop} bytes are left after the wrapper's {len(walked.starts)} messages"
            lost.append(Lost(index, "bad_batch", message))
    return np.asarray(positions, np.int64), np.repeat(np.arange(len(start)), counts)


def _shift(outer: Outer, owner: Vector, inner_offset: Vector) -> tuple[Vector, Mask]:
    """What to add to the inner offsets of each entry, and which entries contradict themselves.

    Wrappers of format 1 that an old librdkafka has sent have offset 0: there the inner offsets stand as they are.
    """
    shift, refused = np.zeros(len(outer.offset), np.int64), np.zeros(len(outer.offset), np.bool_)
    relative = outer.compressed & (outer.magic == 1) & (outer.offset != 0)
    last = np.flatnonzero(np.append(owner[1:] != owner[:-1], True)) if len(owner) else owner
    last = last[relative[owner[last]]]
    entry = owner[last]
    shift[entry] = outer.offset[entry] - inner_offset[last]
    refused[entry] = inner_offset[last] > outer.offset[entry]
    return shift, refused


def _bad_messages(bad: Vector, owner: Vector, log_offset: Vector, bad_checksum: Mask) -> Sequence[Lost]:
    lost: list[Lost] = []
    entries, first, count = np.unique(owner[bad], return_index=True, return_counts=True)
    for entry, start, many in zip(entries.tolist(), first.tolist(), count.tolist(), strict=True):
        for index in bad[start : start + min(many, MOST_PROBLEMS)].tolist():
            reason = "checksum is wrong" if bad_checksum[index] else "key and value do not fill it"
            message = f"the message's {reason}; the record is lost"
            lost.append(Lost(entry, "bad_record", message, int(log_offset[index])))
        if many > MOST_PROBLEMS:
            lost.append(Lost(entry, "bad_record", f"{many - MOST_PROBLEMS} more records of the batch are lost"))
    return lost


def _read_fields(buffer: Buffer, position: Vector, end: Vector) -> tuple[Vector, Vector, Vector, Vector, Mask]:
    """Position and length of key and value of the messages at position:end; which do not fill their message."""
    least = np.asarray(LEGACY_LENGTHS)[legacy_headers(buffer, position)["magic"]]
    key_position = position + LENGTH_END + least - 4
    key_length = big_endian(buffer, np.int32, key_position - 4).astype(np.int64)
    bad = (key_length < -1) | (key_length > end - key_position - 4)
    value_position = key_position + np.where(bad, 0, np.maximum(key_length, 0)) + 4
    value_length = big_endian(buffer, np.int32, value_position - 4).astype(np.int64)
    bad |= (value_length < -1) | (value_position + np.maximum(value_length, 0) != end)
    return key_position, key_length, value_position, value_length, bad
