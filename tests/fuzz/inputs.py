"""Mutated batches and messages, each under a right checksum, between such that nobody touched.

One segment holds many: the offset at a batch's or message's beginning is not covered by the checksum, so each gets a
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

from tests import messages
from tests.damage import batch_ranges
from tests.segment_builder import with_right_checksum

OFFSETS_EACH = 1 << 20
_HEADER_BYTES = 61
_MAGIC_AT = 16
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


@dataclass(frozen=True)
class Pool:
    """What is mutated: batches of format 2, and messages of format 0 and 1, none compressed or large."""

    batches: list[bytes]
    messages: list[bytes]


def seeds(folders: Sequence[Path]) -> Pool:
    """The distinct batches and messages of all segments in the folders."""
    batches: dict[bytes, bytes] = {}
    single: dict[bytes, bytes] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.log")):
            data = path.read_bytes()
            for start, end in batch_ranges(data):
                found = data[start:end]
                if len(found) >= _LARGEST_SEED_BYTES:
                    continue
                if found[_MAGIC_AT] < 2:
                    if not found[_MAGIC_AT + 1] & _CODEC_MASK:
                        single.setdefault(found[_MAGIC_AT:], found)
                elif not found[_ATTRIBUTES_AT] & _CODEC_MASK:
                    batches.setdefault(found[_HEADER_BYTES:], found)
    return Pool(list(batches.values()), list(single.values()))


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


_OLD_CODECS = (messages.GZIP, messages.SNAPPY, messages.LZ4)
MUTATORS = (in_records, in_records, in_records, in_header, in_compressed)


@dataclass(frozen=True)
class Inputs:
    """A segment of inputs. untouched: the places, in offsets of OFFSETS_EACH, of the batches left as they were."""

    data: bytes
    count: int
    untouched: dict[int, bytes]


def _among_untouched(
    randomly: random.Random, count: int, good: Callable[[int], bytes], bad: Callable[[int], bytes]
) -> Inputs:
    """`count` of the bad ones, a good one before every ninth and at both ends; both get the place they come to."""
    parts: list[bytes] = []
    untouched: dict[int, bytes] = {}

    def add_untouched() -> None:
        untouched[len(parts)] = good(len(parts))
        parts.append(untouched[len(parts)])

    for number in range(count):
        if number % 9 == 0:
            add_untouched()
        parts.append(bad(len(parts)))
    add_untouched()
    return Inputs(b"".join(parts), count, untouched)


def mutated_batches(seed: int, pool: Pool, count: int) -> Inputs:
    """Batches of format 2 whose header, records or compressed bytes are damaged."""
    randomly = random.Random(seed)
    batches = pool.batches

    def bad(place: int) -> bytes:
        mutate = randomly.choice(MUTATORS)
        return _placed(mutate(randomly, randomly.choice(batches), randomly.choice(batches)), place)

    return _among_untouched(randomly, count, lambda place: _placed(plain(randomly.choice(batches)), place), bad)


def mutated_messages(seed: int, pool: Pool, count: int) -> Inputs:
    """Messages of format 0 and 1 that are damaged, alone, in wrappers, and wrappers that are."""
    randomly = random.Random(seed)
    found = pool.messages

    def some(offset: int, damaged: float) -> bytes:
        """A few messages, at offsets from `offset` on."""
        parts = []
        for number in range(randomly.randrange(1, 6)):
            body = randomly.choice(found)[_MAGIC_AT:]
            if randomly.random() < damaged:
                body = mutated(randomly, body, randomly.choice(found))
            parts.append(messages.entry(offset + number, body))
        return b"".join(parts)

    def good(place: int) -> bytes:
        offset = place * OFFSETS_EACH
        if randomly.random() < 0.5:
            return messages.entry(offset, randomly.choice(found)[_MAGIC_AT:])
        return messages.wrapper(1, offset, _of_format_1(randomly.choice(found)), randomly.choice(_OLD_CODECS))

    def bad(place: int) -> bytes:
        offset, magic = place * OFFSETS_EACH, randomly.randrange(2)
        codec = randomly.choice(_OLD_CODECS)
        match randomly.randrange(5):
            case 0 | 1:
                return messages.entry(offset, mutated(randomly, randomly.choice(found)[_MAGIC_AT:], found[0]))
            case 2:
                return messages.wrapper(magic, offset + 9, some(0 if magic else offset, 0.7), codec)
            case 3:
                inner = messages.wrapper(magic, offset, some(0, 0.3), codec)
                return messages.wrapper(randomly.randrange(2), offset + 9, inner, randomly.choice(_OLD_CODECS))
            case _:
                whole = messages.wrapper(magic, offset + 9, some(0 if magic else offset, 0.1), codec)
                return messages.entry(offset + 9, mutated(randomly, whole[_MAGIC_AT:], found[0]))

    return _among_untouched(randomly, count, good, bad)


def _of_format_1(message: bytes) -> bytes:
    """The same key and value in format 1, at the relative offset 0."""
    body = message[_MAGIC_AT:]
    rest = body[2:] if body[0] == 0 else body[10:]
    return messages.entry(0, b"\1\0" + bytes(8) + rest)


def mutated_bytes(seed: int, pool: Pool, count: int) -> Inputs:
    """`count` batches one after the other, of which every other one is damaged as bytes: lengths and headers too."""
    randomly = random.Random(seed)
    parts = [_placed(plain(randomly.choice(pool.batches)), number) for number in range(2 * count + 1)]
    untouched = dict(enumerate(parts))
    for number in range(1, 2 * count, 2):
        whole = untouched.pop(number)
        covered = whole[21:]
        # Where its end is cut off, the next batch may begin with the very bytes: then that one is the damaged.
        while covered in parts[number] + parts[number + 1] and covered not in parts[number]:
            parts[number] = mutated(randomly, whole, randomly.choice(pool.batches))
    return Inputs(b"".join(parts), count, untouched)
