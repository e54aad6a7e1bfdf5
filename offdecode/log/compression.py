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

# Brokers accept about 1 MB of compressed batch by default and write segments of 100 MB.
MAX_DECOMPRESSED_BYTES = 64 << 20

# xerial's SnappyOutputStream: magic, two int32 version fields, then blocks of (int32 length, raw snappy).
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16


def decompress(codec: int, data: bytes, limit: int = MAX_DECOMPRESSED_BYTES) -> bytes:
    """The record bytes of a batch.

    Raises UnknownCodecError, or DecompressionError where the codec refuses the bytes or they exceed `limit`.
    """
    if codec == 0:
        return data
    reader = _READERS.get(codec)
    if reader is None:
        raise UnknownCodecError(codec)
    return reader(data, limit)


def _too_large(codec: str, limit: int) -> DecompressionError:
    return DecompressionError(f"{codec}: decompresses to more than {limit} bytes")


def _gzip(data: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while data:  # members may follow each other
        decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            part = decoder.decompress(data, limit - size + 1)
        except zlib.error as error:
            raise DecompressionError(f"gzip: {error}") from None
        size += len(part)
        if size > limit:
            raise _too_large("gzip", limit)
        if not decoder.eof:
            raise DecompressionError("gzip: the stream ends early")
        parts.append(part)
        data = decoder.unused_data
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
        size = min(max(len(data) * 8, 1 << 16), limit)
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


_READERS: dict[int, Callable[[bytes, int], bytes]] = {
    1: _gzip,
    2: _snappy,
    3: _bounded("lz4", cramjam.lz4.decompress_into),
    4: _bounded("zstd", cramjam.zstd.decompress_into),
}
