"""Compressed files to their content, piece by piece: gzip, Zstandard, LZ4 frames, xz, bzip2, and a zip's deflate.

What stands before damage is given: the bytes around it are gone over a second time, one by one.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

from offdecode.sources.readers import Reader

Codec = Literal["gzip", "zstd", "lz4", "xz", "bzip2", "deflate"]

HEAD_BYTES = 512  # tell what a file is: the magic of a tar stands at 257
# No segment begins like this: its first eight bytes are an offset, which would be beyond 2^58 or negative.
_MAGIC: tuple[tuple[Codec, re.Pattern[bytes]], ...] = (
    ("gzip", re.compile(rb"\x1f\x8b\x08[\x00-\x1f]", re.S)),
    ("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.S)),
    ("lz4", re.compile(rb"\x04\x22\x4d\x18", re.S)),
    ("xz", re.compile(rb"\xfd7zXZ\x00", re.S)),
    ("bzip2", re.compile(rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90)", re.S)),
)
_READ_BYTES = 1 << 16
_PIECE_BYTES = 1 << 20  # of output at most: a bomb's output comes in pieces too
_SMALL_PIECE_BYTES = 256
_MOST_MEMORY = 128 << 20  # that xz may ask for; `xz -9` needs 65 MiB
_GZIP_WINDOW = 31


class Damage(Exception):
    """What was read breaks its format at a byte of the compressed file or archive."""

    def __init__(self, position: int, reason: str) -> None:
        self.position = position
        self.reason = reason
        super().__init__(reason)


def codec_of(head: bytes) -> Codec | None:
    """The codec of a file that starts with these bytes, or None."""
    return next((codec for codec, magic in _MAGIC if magic.match(head)), None)


def iter_decompressed(reader: Reader, codec: Codec) -> Iterator[bytes]:
    """The content, in pieces of at most a megabyte. Raises Damage behind all that can be had."""
    given = 0
    source = _Source(reader)
    try:
        for piece in _pieces(source, codec):
            yield piece
            given += len(piece)
        return
    except _ERRORS:
        pass
    source = _Source(reader, max(source.position - _READ_BYTES, 0))
    at = 0
    try:
        for piece in _pieces(source, codec, given):
            if at + len(piece) > given:
                yield piece[max(given - at, 0) :]
            at += len(piece)
    except _ERRORS as error:
        reason = str(error).rstrip(".") or "the data is damaged"
        raise Damage(source.position, f"its {codec} data is damaged or cut short: {reason}") from None


class _Source:
    """Compressed bytes in order; from `slow_from` on one by one, so that what fails is known to the byte."""

    closed = False  # as pyarrow asks of a file

    def __init__(self, reader: Reader, slow_from: int | None = None) -> None:
        self._reader = reader
        self._slow_from = slow_from
        self.position = 0

    def read(self, size: int = _READ_BYTES) -> bytes:
        size = min(size, _READ_BYTES)
        if self._slow_from is not None:
            size = min(size, max(self._slow_from - self.position, 1))
        data = self._reader.read(self.position, size)
        self.position += len(data)
        return data

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        pass


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Zlib:
    """zlib's decompressor with the attributes of those of bz2 and lzma."""

    def __init__(self, window: int) -> None:
        self._zlib = zlib.decompressobj(window)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


class _Bad(Exception):
    """A member ends in the middle, or is followed by what is none."""


_ERRORS = (_Bad, zlib.error, lzma.LZMAError, EOFError, OSError)
_NEW: dict[str, Callable[[], _Decompressor]] = {
    "gzip": lambda: _Zlib(_GZIP_WINDOW),
    "deflate": lambda: _Zlib(-zlib.MAX_WBITS),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _MOST_MEMORY),
}


def _pieces(source: _Source, codec: Codec, slow_after: int | None = None) -> Iterator[bytes]:
    new = _NEW.get(codec)
    return _pulled(source, codec, slow_after) if new is None else _fed(source, codec, new)


def _fed(source: _Source, codec: Codec, new: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """The content of all members, one behind the other, with zeros between and behind them."""
    data = source.read()
    while data:
        one = new()
        while not one.eof:
            if one.needs_input and not data and not (data := source.read()):
                raise _Bad("it ends in the middle")
            piece = one.decompress(data, _PIECE_BYTES)
            data = b""
            if piece:
                yield piece
        data = one.unused_data
        if codec == "deflate":
            return
        while not (data := data.lstrip(b"\0")):
            if not (data := source.read()):
                return
        while len(data) < 16 and (more := source.read()):
            data += more
        if codec_of(data) != codec:
            raise _Bad("bytes that are no compressed data follow it")


def _pulled(source: _Source, codec: Codec, slow_after: int | None) -> Iterator[bytes]:
    """The same for the codecs that pyarrow reads."""
    import pyarrow as pa

    at = 0
    with pa.CompressedInputStream(pa.PythonFile(source, "r"), codec) as stream:
        while True:
            if slow_after is None:
                size = _READ_BYTES
            else:
                size = min(_READ_BYTES, slow_after - at) if at < slow_after else _SMALL_PIECE_BYTES
            piece = stream.read(size)
            if not piece:
                return
            at += len(piece)
            yield piece
