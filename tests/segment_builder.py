"""Builds segments of message format 2, and what is damaged or foreign in them, without offdecode's own code.

References: org.apache.kafka.common.record.DefaultRecordBatch and DefaultRecord; the CRC-32C is checked by the
logs of real brokers in fixtures/, which the same reader takes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import crc32c

Pair = tuple[bytes | None, bytes | None]

BASE_TIME_MS = 1_700_000_000_000
TRANSACTIONAL, CONTROL = 0x10, 0x20


def varint(number: int) -> bytes:
    """Kafka's zigzag varint."""
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes((*out, rest))


def sized(data: bytes | None) -> bytes:
    """A length as varint, then the bytes; -1 for null."""
    return varint(-1) if data is None else varint(len(data)) + data


def text(value: str) -> bytes:
    """A string behind its length in two bytes."""
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def record(delta: int, key: bytes | None, value: bytes | None, time_delta: int | None = None) -> bytes:
    """One record of a batch. delta: its offset within the batch, and its milliseconds after the first if not given."""
    body = b"\0" + varint(delta if time_delta is None else time_delta) + varint(delta) + sized(key) + sized(value)
    body += varint(0)
    return varint(len(body)) + body


@dataclass(frozen=True)
class Header:
    """What a batch's header says beside what follows from its records. Offsets start at `base_offset`."""

    base_offset: int = 0
    attributes: int = 0
    producer_id: int = -1
    producer_epoch: int = -1
    timestamp: int = BASE_TIME_MS


def batch(records: Sequence[Pair], header: Header | None = None) -> bytes:
    """One whole batch with a right checksum."""
    head = header or Header()
    count = len(records)
    body = b"".join(record(index, key, value) for index, (key, value) in enumerate(records))
    return batch_around(body, head, count, count - 1, head.timestamp + count - 1)


def batch_around(body: bytes, head: Header, count: int, last_delta: int, last_timestamp: int) -> bytes:
    """A batch with a right checksum around its records' bytes, compressed or not."""
    times = (head.timestamp, last_timestamp)
    producer = (head.producer_id, head.producer_epoch, -1, count)
    covered = struct.pack(">hiqqqhii", head.attributes, last_delta, *times, *producer) + body
    start = struct.pack(">qiibI", head.base_offset, 9 + len(covered), 0, 2, crc32c.crc32c(covered))
    return start + covered


def in_epoch(data: bytes, epoch: int) -> bytes:
    """A batch with this leader epoch, which the checksum does not cover."""
    return data[:12] + struct.pack(">i", epoch) + data[16:]


def with_right_checksum(changed: bytes | bytearray) -> bytes:
    """A batch whose bytes were changed, under a checksum that fits them."""
    return bytes(changed[:17]) + struct.pack(">I", crc32c.crc32c(bytes(changed[21:]))) + bytes(changed[21:])


def refused_by_its_codec(records: Sequence[Pair], header: Header) -> bytes:
    """A batch with a right checksum that says it is gzip, and is not."""
    data = bytearray(batch(records, header))
    data[22] |= 1
    return with_right_checksum(data)


def log(batches: Sequence[Sequence[Pair]]) -> bytes:
    """Batches one after the other, offsets from 0 on."""
    out, offset = b"", 0
    for records in batches:
        out += batch(records, Header(base_offset=offset))
        offset += len(records)
    return out


def marker(base_offset: int, producer_id: int, *, commit: bool) -> bytes:
    """A control batch that ends a producer's transaction."""
    key = struct.pack(">hh", 0, int(commit))
    value = struct.pack(">hi", 0, 0)
    return batch([(key, value)], Header(base_offset, TRANSACTIONAL | CONTROL, producer_id, 0))


def commit(group: str, topic: str = "orders", partition: int = 0, offset: int = 7) -> Pair:
    """An offset commit of value version 3."""
    key = struct.pack(">h", 1) + text(group) + text(topic) + struct.pack(">i", partition)
    value = struct.pack(">hqi", 3, offset, -1) + text("") + struct.pack(">q", BASE_TIME_MS)
    return key, value


def redpanda_batch(payload: bytes = b"data") -> bytes:
    """A batch of Redpanda: little-endian, the header under a CRC-32C of its own (model::record_batch_header)."""
    fields = struct.pack("<iqbIhiqqqhii", 61 + len(payload), 0, 1, 0, 0, 0, 0, 0, -1, -1, -1, 1)
    return struct.pack("<I", crc32c.crc32c(fields)) + fields + payload
