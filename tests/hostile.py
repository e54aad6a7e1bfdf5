"""Segments made to hurt their reader: each claims, nests or repeats what costs a careless one time or memory."""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from collections.abc import Callable

import cramjam
import crc32c

from tests.messages import GZIP, message, wrapper
from tests.segment_builder import BASE_TIME_MS, Header, Pair, batch, commit, log, record, text, varint

SNAPPY, LZ4, ZSTD = 2, 3, 4
LARGEST_INT32 = (1 << 31) - 1
_MIB = 1 << 20

COMPRESS: dict[int, Callable[[bytes], bytes]] = {
    GZIP: lambda data: gzip.compress(data, 9),
    SNAPPY: lambda data: bytes(cramjam.snappy.compress_raw(data)),
    LZ4: lambda data: bytes(cramjam.lz4.compress(data)),
    ZSTD: lambda data: bytes(cramjam.zstd.compress(data)),
}


def raw_batch(payload: bytes, count: int, offset: int = 1, attributes: int = 0) -> bytes:
    """A batch with any payload and any number of records claimed, under a right checksum."""
    times = (BASE_TIME_MS, BASE_TIME_MS)
    covered = struct.pack(">hiqqqhii", attributes, max(count - 1, 0), *times, -1, -1, -1, count) + payload
    return struct.pack(">qiibI", offset, 9 + len(covered), 0, 2, crc32c.crc32c(covered)) + covered


def bomb(codec: int, size: int) -> bytes:
    """A batch of zeros that grows to `size` bytes."""
    return raw_batch(COMPRESS[codec](bytes(size)), 1, attributes=codec)


def value(head: bytes, rest: bytes, key_type: int = 2) -> list[Pair]:
    """A record of a group whose value goes on with bytes that claim what is not there."""
    return [(struct.pack(">h", key_type) + text("g"), head + rest)]


def members(count: int, rest: bytes = b"") -> list[Pair]:
    """Group metadata of version 3 that claims so many members."""
    head = struct.pack(">h", 3) + text("consumer") + struct.pack(">i", 1) + text("range") + text("m")
    return value(head + struct.pack(">qi", BASE_TIME_MS, count), rest)


def junk_between_messages(size: int) -> bytes:
    """Tombstones in format 0, bytes that are no message between them."""
    small = message(0, 0, struct.pack(">h", 2) + text("g"), None)
    randomly = random.Random(5)
    return b"".join(small + randomly.randbytes(3) for _ in range(size // (len(small) + 3)))


def nested_wrappers(depth: int) -> bytes:
    inner = message(0, 0, b"key", b"value")
    for _ in range(depth):
        inner = wrapper(0, 0, inner)
    return inner


def _many_plausible_headers() -> bytes:
    """Every 61 bytes a header that claims a large batch: each one's checksum would run over all that follows."""
    head = struct.pack(">qiibIhiqqqhii", 5, 3 * _MIB, 0, 2, 1, 0, 0, BASE_TIME_MS, BASE_TIME_MS, -1, -1, -1, 1)
    return head * (4 * _MIB // len(head))


def claims_of_all_that_is_left(size: int) -> bytes:
    """Messages in format 0, and behind each a header whose length runs to the end of all of them."""
    good = message(0, 0, struct.pack(">h", 2) + text("g"), None)
    out = bytearray()
    while len(out) < size:
        out += good
        out += struct.pack(">qiIbb", 0, max(size - len(out) - 12, 14), 1, 0, 0) + bytes(8)
    return bytes(out)


def batches_behind_claims(count: int) -> bytes:
    """Good batches, between them headers that claim as much as a search may spend on what it has passed."""
    randomly = random.Random(6)

    def claim(length: int) -> bytes:
        times = (BASE_TIME_MS, BASE_TIME_MS)
        return struct.pack(">qiibIhiqqqhii", 5, length, 0, 2, 1, 0, 0, *times, -1, -1, -1, 1)

    parts = [claim(length) for length in (400_000, 100_000, 20_000, 5_000) for _ in range(40)]
    for number in range(count):
        parts += [claim(randomly.randrange(1700, 2500)), claim(randomly.randrange(1700, 2500))]
        parts.append(batch([commit(f"between-{number}")], Header(10 + number)))
    return b"".join(parts)


def many_small(record_bytes: bytes, codec: int = SNAPPY) -> bytes:
    """A batch of equal records, compressed about twenty times."""
    count = (12 * _MIB) // len(record_bytes)
    return raw_batch(COMPRESS[codec](record_bytes * count), count, offset=2, attributes=codec)


def many_uncompressed(record_bytes: bytes, each: int) -> bytes:
    """2 MiB of equal records, `each` in a batch."""
    batches = 2 * _MIB // len(record_bytes) // each
    return b"".join(raw_batch(record_bytes * each, each, offset=2 + number * each) for number in range(batches))


_UNENDING = b"\xff" * 64
_UNKNOWN_TYPE = record(0, b"\0\x63", None)
_EMPTY = record(0, b"", b"")
_COMPACT = b"\x00\x00"  # version 0 of a flexible value

CASES: dict[str, Callable[[], bytes]] = {
    "bomb beyond the limit, gzip": lambda: bomb(GZIP, 1 << 30),
    "bomb beyond the limit, zstd": lambda: bomb(ZSTD, 1 << 30),
    "bomb below the limit, gzip": lambda: bomb(GZIP, 60 * _MIB),
    "bomb below the limit, snappy": lambda: bomb(SNAPPY, 60 * _MIB),
    "bomb below the limit, lz4": lambda: bomb(LZ4, 60 * _MIB),
    "bomb below the limit, zstd": lambda: bomb(ZSTD, 60 * _MIB),
    "30 bombs below the limit": lambda: bomb(GZIP, 63 * _MIB) * 30,
    "small records that grow a thousandfold": lambda: raw_batch(
        COMPRESS[ZSTD](record(0, b"", b"") * (60 * _MIB // 7)), 60 * _MIB // 7, attributes=ZSTD
    ),
    "very many tombstones, compressed": lambda: many_small(record(0, struct.pack(">h", 2) + text("g"), None)),
    "very many records of an unknown type, compressed": lambda: many_small(_UNKNOWN_TYPE),
    "hundreds of thousands of empty records": lambda: many_uncompressed(_EMPTY, 250_000),
    "records of an unknown type, uncompressed": lambda: many_uncompressed(_UNKNOWN_TYPE, 1000),
    "a snappy length of 2 GB": lambda: raw_batch(b"\xff\xff\xff\xff\x07" + b"\0" * 30, 1, attributes=SNAPPY),
    "2^31 records": lambda: raw_batch(record(0, *commit("lost")), LARGEST_INT32),
    "minus one record": lambda: raw_batch(record(0, *commit("lost")), -1),
    "a length of 2^31": lambda: struct.pack(">qiib", 1, LARGEST_INT32, 0, 2) + bytes(100),
    "a negative length": lambda: struct.pack(">qiib", 1, -5, 0, 2) + bytes(100),
    "varints without end": lambda: raw_batch(_UNENDING, 3),
    "a record of 2 GB": lambda: raw_batch(varint(LARGEST_INT32) + bytes(60), 1),
    "a key of 2 GB": lambda: raw_batch(varint(70) + b"\0\0\0" + varint(LARGEST_INT32) + bytes(66), 1),
    "2^31 headers": lambda: raw_batch(varint(12) + b"\0\0\0\1\1" + varint(LARGEST_INT32) + bytes(5), 1),
    "2^31 members": lambda: batch(members(LARGEST_INT32), Header(1)),
    "2^31 members and some": lambda: batch(members(LARGEST_INT32, bytes(200)), Header(1)),
    "minus 2^31 members": lambda: batch(members(-(1 << 31)), Header(1)),
    "a text of 32 KB in nothing": lambda: batch(value(b"\0\3", b"\x7f\xff"), Header(1)),
    "compact counts without end": lambda: batch(
        [pair for key_type in (5, 7, 8, 12, 13, 19, 21, 23) for pair in value(_COMPACT, _UNENDING, key_type)], Header(1)
    ),
    "2^32 compact elements": lambda: batch(
        [pair for key_type in (5, 7, 8, 19, 23) for pair in value(_COMPACT, b"\xff\xff\xff\xff\x0f" * 9, key_type)],
        Header(1),
    ),
    "nested wrappers": lambda: nested_wrappers(20),
    "a wrapper around a bomb": lambda: wrapper(1, 3, message(1, 0, b"k", bytes(1 << 27))),
    "50,000 copies of an empty batch": lambda: raw_batch(b"", 0) * 50_000,
    "50,000 empty batches": lambda: b"".join(raw_batch(b"", 0, offset) for offset in range(1, 50_001)),
    "junk between messages": lambda: junk_between_messages(4 * _MIB),
    "claims of all that is left": lambda: claims_of_all_that_is_left(6 * _MIB),
    "plausible headers": _many_plausible_headers,
    "zeros": lambda: bytes(64 * _MIB),
    "checksums of nothing": lambda: (struct.pack(">qiI", 0, 14, zlib.crc32(b"")) + bytes(10)) * 50_000,
}

FIRST, LAST = log([[commit("first")]]), batch([commit("last")], Header(1 << 40))


def segment(name: str) -> bytes:
    """The case between two batches that must be found."""
    return FIRST + CASES[name]() + LAST
