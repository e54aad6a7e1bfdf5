"""Mutated batches, each under a right checksum, between batches that nobody touched.

One segment holds many: in message format 2 the base offset is not covered by the checksum, so every batch gets a
range of offsets of its own, by which its rows are found again. Nothing here uses offdecode's parsers.
"""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cramjam

from tests.damage import batch_ranges
from tests.segment_builder import with_right_checksum

OFFSETS_EACH = 1 << 20
_HEADER_BYTES = 61
_ATTRIBUTES_AT = 22
_CODEC_MASK = 7
_NOT_TRANSACTIONAL = ~0x30
_LARGEST_SEED_BYTES = 8 << 10
_NUMBERS = (0, 1, -1, 2, 0x7F, 0x80, 0x7FFF, -0x8000, 0x7FFFFFFF, -0x80000000, (1 << 63) - 1, -(1 << 63))

_COMPRESS: tuple[Callable[[bytes], bytes], ...] = (
    bytes,
    lambda data: gzip.compress(data, 1),
    lambda data: bytes(cramjam.snappy.compress_raw(data)),
    lambda data: bytes(cramjam.lz4.compress(data)),
    lambda data: bytes(cramjam.zstd.compress(data)),
)


def seeds(folders: Sequence[Path]) -> list[bytes]:
    """The distinct batches of format 2, neither compressed nor large, of all segments in the folders."""
    found: dict[bytes, bytes] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.log")):
            data = path.read_bytes()
            for start, end in batch_ranges(data):
                batch = data[start:end]
                if batch[16] == 2 and not batch[_ATTRIBUTES_AT] & _CODEC_MASK and len(batch) < _LARGEST_SEED_BYTES:
                    found.setdefault(batch[_HEADER_BYTES:], batch)
    return list(found.values())


def mutated(randomly: random.Random, data: bytes, other: bytes) -> bytes:
    """Bytes that were changed in one to four places."""
    changed = bytearray(data)
    for _ in range(randomly.choice((1, 1, 1, 2, 4))):
        at = randomly.randrange(len(changed) + 1)
        size = randomly.choice((1, 1, 2, 4, 8, randomly.randrange(1, 64)))
        match randomly.randrange(8):
            case 0 | 1 if at < len(changed):
                changed[at] ^= 1 << randomly.randrange(8)
            case 2:
                changed[at : at + size] = randomly.randbytes(size)
            case 3:
                changed[at:at] = randomly.randbytes(size)
            case 4:
                del changed[at : at + size]
            case 5:
                start = randomly.randrange(len(other) + 1)
                changed[at : at + size] = other[start : start + size]
            case 6:
                number = randomly.choice(_NUMBERS) & (1 << 64) - 1
                width = randomly.choice((1, 2, 4, 8))
                changed[at : at + width] = (number & (1 << 8 * width) - 1).to_bytes(width, "big")
            case _:
                changed[at : at + size] = b"\xff" * size
    return bytes(changed)


def _placed(batch: bytes, number: int) -> bytes:
    """The batch at offsets of its own, with the length that it has."""
    return struct.pack(">qi", number * OFFSETS_EACH, len(batch) - 12) + batch[12:]


def plain(batch: bytes) -> bytes:
    """The batch outside of transactions, whose fate would hang on its neighbours."""
    changed = bytearray(batch)
    changed[_ATTRIBUTES_AT] &= _NOT_TRANSACTIONAL
    return with_right_checksum(changed)


def in_records(randomly: random.Random, batch: bytes, other: bytes) -> bytes:
    """Damage to the records of a batch."""
    body = mutated(randomly, batch[_HEADER_BYTES:], other)
    return with_right_checksum(batch[:_HEADER_BYTES] + body)


def in_header(randomly: random.Random, batch: bytes, other: bytes) -> bytes:
    """Damage to what the checksum covers of the header; the length keeps to the bytes that are there."""
    head = mutated(randomly, batch[21:_HEADER_BYTES], other)[: _HEADER_BYTES - 21].ljust(_HEADER_BYTES - 21, b"\0")
    return with_right_checksum(batch[:21] + head + batch[_HEADER_BYTES:])


def in_compressed(randomly: random.Random, batch: bytes, other: bytes) -> bytes:
    """The same records, damaged and then compressed, or compressed and then damaged."""
    codec = randomly.randrange(1, len(_COMPRESS))
    body = batch[_HEADER_BYTES:]
    if randomly.random() < 0.7:
        body = _COMPRESS[codec](mutated(randomly, body, other))
    else:
        body = mutated(randomly, _COMPRESS[codec](body), other)
    changed = bytearray(batch[:_HEADER_BYTES])
    changed[_ATTRIBUTES_AT] = changed[_ATTRIBUTES_AT] & ~_CODEC_MASK | codec
    return with_right_checksum(bytes(changed) + body)


MUTATORS = (in_records, in_records, in_records, in_header, in_compressed)


@dataclass(frozen=True)
class Inputs:
    """A segment of inputs. untouched: the places, in offsets of OFFSETS_EACH, of the batches left as they were."""

    data: bytes
    count: int
    untouched: dict[int, bytes]


def mutated_batches(seed: int, pool: Sequence[bytes], count: int) -> Inputs:
    """`count` mutated batches, an untouched one before every ninth and at both ends."""
    randomly = random.Random(seed)
    parts: list[bytes] = []
    untouched: dict[int, bytes] = {}

    def add_untouched() -> None:
        batch = _placed(plain(randomly.choice(pool)), len(parts))
        untouched[len(parts)] = batch
        parts.append(batch)

    for number in range(count):
        if number % 9 == 0:
            add_untouched()
        mutate = randomly.choice(MUTATORS)
        parts.append(_placed(mutate(randomly, randomly.choice(pool), randomly.choice(pool)), len(parts)))
    add_untouched()
    return Inputs(b"".join(parts), count, untouched)


def mutated_bytes(seed: int, pool: Sequence[bytes], count: int) -> Inputs:
    """`count` batches one after the other, of which every other one is damaged as bytes: lengths and headers too."""
    randomly = random.Random(seed)
    parts = [_placed(plain(randomly.choice(pool)), number) for number in range(2 * count + 1)]
    untouched = dict(enumerate(parts))
    for number in range(1, 2 * count, 2):
        whole = untouched.pop(number)
        covered = whole[21:]
        # Where its end is cut off, the next batch may begin with the very bytes: then that one is the damaged.
        while covered in parts[number] + parts[number + 1] and covered not in parts[number]:
            parts[number] = mutated(randomly, whole, randomly.choice(pool))
    return Inputs(b"".join(parts), count, untouched)
