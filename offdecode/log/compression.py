"""Compressed batches to record bytes, for each codec that Kafka defines, within a size limit.

The limit is a limit on memory: a batch that grows beyond it is refused, whatever its header claims.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import cramjam

from offdecode.errors import DecompressionError, UnknownCodecError

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")  # by CompressionType id

_LZ4, _ZSTD = 3, 4

# Brokers accept about 1 MB of compressed batch by default and write segments of 100 MB.
MAX_DECOMPRESSED_BYTES = 64 << 20
# Commits of one group alone shrink to a fiftieth. What grows beyond this is made to grow.
MOST_GROWTH = 200
ALWAYS_ALLOWED_BYTES = 4 << 20

# xerial's SnappyOutputStream: magic, two int32 version fields, then blocks of (int32 length, raw snappy).
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16

_GZIP_FIRST_PIECE = 1024


def decompress(codec: int, data: bytes, limit: int = MAX_DECOMPRESSED_BYTES, *, magic: int = 2) -> bytes:
    """The record bytes of a batch of message format `magic`.

    Raises UnknownCodecError, or DecompressionError where the codec refuses the bytes, or they exceed `limit` or are
    MOST_GROWTH times as many (but for ALWAYS_ALLOWED_BYTES).
    """
    if codec == 0:
        return data
    reader = _READERS.get(codec)
    if reader is None:
        raise UnknownCodecError(codec)
    if magic < 2 and codec == _ZSTD:
        raise DecompressionError(f"zstd: message format {magic} does not have it")
    if magic == 0 and codec == _LZ4:
        data = _with_lz4_checksum(data)
    return reader(data, min(limit, max(MOST_GROWTH * len(data), ALWAYS_ALLOWED_BYTES)))


def _too_large(codec: str, limit: int) -> DecompressionError:
    return DecompressionError(f"{codec}: decompresses to more than {limit} bytes")


def _gzip(data: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    size = at = 0
    while at < len(data):  # members may follow each other
        decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
        # Fed in growing pieces, as zlib copies what it leaves over: a million tiny members must not cost a copy each.
        piece = _GZIP_FIRST_PIECE
        while not decoder.eof:
            if at >= len(data):
                raise DecompressionError("gzip: the stream ends early")
            fed = data[at : at + piece]
            try:
                part = decoder.decompress(fed, limit - size + 1)
            except zlib.error as error:
                raise DecompressionError(f"gzip: {error}") from None
            size += len(part)
            if size > limit:
                raise _too_large("gzip", limit)
            parts.append(part)
            at += len(fed) - len(decoder.unused_data)
            piece *= 4
    return b"".join(parts)


def _snappy(data: bytes, limit: int) -> bytes:
    if not data.startswith(_XERIAL_MAGIC):
        return _snappy_block(data, limit)
    parts: list[bytes] = []
    size = 0
    at = _XERIAL_HEADER_BYTES
    while at + 4 <= len(data):
        (length,) = struct.unpack_from(">i", data, at)
        at += 4
        if not 0 <= length <= len(data) - at:
            raise DecompressionError(f"snappy: block of {length} bytes, {len(data) - at} are left")
        part = _snappy_block(data[at : at + length], limit - size)
        size += len(part)
        parts.append(part)
        at += length
    if at != len(data):
        raise DecompressionError("snappy: the stream ends inside a block's length")
    return b"".join(parts)


def _snappy_block(data: bytes, limit: int) -> bytes:
    try:
        if cramjam.snappy.decompress_raw_len(data) > limit:
            raise _too_large("snappy", limit)
        return bytes(cramjam.snappy.decompress_raw(data))
    except cramjam.DecompressionError as error:
        raise DecompressionError(f"snappy: {error}") from None


def _bounded(name: str, decompress_into: Callable[[bytes, bytearray], int]) -> Callable[[bytes, int], bytes]:
    """A reader for a codec that decompresses into a buffer: the buffer grows to the limit, never beyond."""

    def read(data: bytes, limit: int) -> bytes:
        size = min(max(len(data) * 8, 1 << 12), limit)
        while True:
            buffer = bytearray(size)
            try:
                return bytes(memoryview(buffer)[: decompress_into(data, buffer)])
            except cramjam.DecompressionError as error:
                if "write whole buffer" not in str(error):  # else: the buffer is full
                    raise DecompressionError(f"{name}: {error}") from None
            if size >= limit:
                raise _too_large(name, limit)
            size = min(size * 8, limit)

    return read


# The LZ4 frame's header: magic, flags, block size, content size (if flag bit 3), checksum of what follows the magic.
_LZ4_MAGIC = b"\x04\x22\x4d\x18"
_LZ4_CONTENT_SIZE_FLAG = 0x08


def _with_lz4_checksum(data: bytes) -> bytes:
    """An LZ4 frame with the right header checksum.

    Clients of message format 0 computed it over the wrong bytes, the magic included (KAFKA-3160). Like Kafka's
    reader, this ignores what stands there; the message's own checksum covers it.
    """
    if len(data) < 7 or not data.startswith(_LZ4_MAGIC):
        return data
    at = 14 if data[4] & _LZ4_CONTENT_SIZE_FLAG else 6
    if at >= len(data):
        return data
    return data[:at] + bytes([_xxh32_short(data[4:at]) >> 8 & 0xFF]) + data[at + 1 :]


def _xxh32_short(data: bytes) -> int:
    """xxHash32 with seed 0 of less than 16 bytes (xxHash's specification, "XXH32 algorithm description")."""
    prime_1, prime_2, prime_3, prime_4, prime_5 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1

    def rotated(value: int, by: int) -> int:
        value &= 0xFFFFFFFF
        return value << by | value >> 32 - by

    state = prime_5 + len(data)
    whole = len(data) // 4 * 4
    for (lane,) in struct.iter_unpack("<I", data[:whole]):
        state = rotated(state + lane * prime_3, 17) * prime_4
    for byte in data[whole:]:
        state = rotated(state + byte * prime_5, 11) * prime_1
    state &= 0xFFFFFFFF
    state = (state ^ state >> 15) * prime_2 & 0xFFFFFFFF
    state = (state ^ state >> 13) * prime_3 & 0xFFFFFFFF
    return state ^ state >> 16


_READERS: dict[int, Callable[[bytes, int], bytes]] = {
    1: _gzip,
    2: _snappy,
    _LZ4: _bounded("lz4", cramjam.lz4.decompress_into),
    _ZSTD: _bounded("zstd", cramjam.zstd.decompress_into),
}
