"""Files and streams of exported records, compressed or not, read as lines. `-` is standard input, URLs are fetched."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import cast

from offdecode.errors import SourceError
from offdecode.model import path_text
from offdecode.options import OFFSETS_TOPIC
from offdecode.sources.codecs import HEAD_BYTES, Damage, codec_of, iter_decompressed
from offdecode.sources.containers import Containers
from offdecode.sources.locations import LocalLocation, Location, is_standard_input, is_url, local_path
from offdecode.sources.readers import Reader
from offdecode.sources.spool import Spool, SpoolReader

_READ_BYTES = 4 << 20
_HEAD_BYTES = 4096
_MAX_LINE_BYTES = 256 << 20  # hex of the largest record that a batch can hold, and more


def head_of(path: Path) -> bytes:
    """What a local file or standard input begins with, decompressed, in UTF-8.

    Nothing where there is no such file, or none that can be read. What standard input has told it tells again.
    """
    try:
        if is_standard_input(path):
            return b"" if sys.stdin is None else _head_of_stream(cast(BufferedReader, sys.stdin.buffer))
        local = local_path(path)
        if local is None or not local.is_file():
            return b""
        with LocalLocation(local).open() as reader:
            return _head(reader.read(0, _HEAD_BYTES), lambda: reader)
    except (OSError, Damage):
        return b""


def _head_of_stream(stream: BufferedReader) -> bytes:
    """The stream is not moved."""
    head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]

    def spooled() -> Reader:
        spool = Spool()
        spool.write(head, "-")
        return SpoolReader(spool, 0, spool.end)

    return _head(head, spooled)


def _head(head: bytes, reader: Callable[[], Reader]) -> bytes:
    codec = codec_of(head[:HEAD_BYTES])
    if codec is not None:
        head = next(iter_decompressed(reader(), codec), b"")[:_HEAD_BYTES]
    return next(_utf8(iter((head,))), b"")


def _utf8(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Text in UTF-8 without a mark of byte order: what Windows' shells write to a file has one, and may be UTF-16."""
    first = next(pieces, b"")
    if first.startswith(codecs.BOM_UTF8):
        first = first[len(codecs.BOM_UTF8) :]
    elif first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        decoder = codecs.getincrementaldecoder("utf-16")("replace")
        for piece in chain((first,), pieces):
            yield decoder.decode(piece).encode("utf-8")
        return
    yield from chain((first,), pieces)


def exported_bytes(path: Path) -> int:
    """The size of an export; 0 where it is not known before it is read."""
    local = local_path(path)
    try:
        return 0 if local is None else local.stat().st_size
    except OSError:
        return 0


def iter_lines(path: Path, seam: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Whole lines without their ends, some megabytes at a time, with the byte at which the first one starts.

    seam: where a long line may be cut, behind its first byte. Raises SourceError for a file that cannot be read.
    """
    try:
        yield from _whole_lines(_utf8(_pieces(path)), path, seam)
    except Damage as damage:
        raise SourceError(export_name(path), f"{damage.reason}, at byte {damage.position}") from None
    except OSError as error:
        raise SourceError(export_name(path), f"cannot be read: {error.strerror}") from None


def export_name(path: Path) -> str:
    """What rows and problems call an export: a URL without what may be secret in it."""
    return _location(path).text if is_url(path) else path_text(path)


def _location(path: Path) -> Location:
    return Containers(OFFSETS_TOPIC).location(path)


def can_reread(path: Path) -> bool:
    """Whether the export can be read a second time: what a pipe gave is gone."""
    return path.is_file() or is_url(path)


def _pieces(path: Path) -> Iterator[bytes]:
    """The text, in pieces."""
    if is_standard_input(path) or (path.exists() and not path.is_file()):
        with nullcontext(sys.stdin.buffer) if is_standard_input(path) else path.open("rb") as stream:
            yield from _streamed(cast(BufferedReader, stream), path)
        return
    with _location(path).open() as reader:
        codec = codec_of(reader.read(0, HEAD_BYTES))
        if codec is not None:
            yield from iter_decompressed(reader, codec)
            return
        position = 0
        while data := reader.read(position, _READ_BYTES):
            yield data
            position += len(data)


def _streamed(stream: BufferedReader, path: Path) -> Iterator[bytes]:
    """A pipe's text as it comes; where it is compressed, behind its end, for damage is looked at twice."""
    codec = codec_of(stream.peek(HEAD_BYTES))
    if codec is None:
        while data := stream.read(_READ_BYTES):
            yield data
        return
    spool = Spool()
    while data := stream.read(_READ_BYTES):
        spool.write(data, export_name(path))
    yield from iter_decompressed(SpoolReader(spool, 0, spool.end), codec)


def _whole_lines(pieces: Iterator[bytes], path: Path, seam: bytes) -> Iterator[tuple[int, list[bytes]]]:
    position = 0
    rest = b""
    for data in pieces:
        head, end, tail = data.rpartition(b"\n")
        if end:
            yield position, (rest + head).split(b"\n")
            position += len(rest) + len(head) + 1
            rest = tail
        elif (cut := (rest := rest + data).rfind(seam) + 1) > 0:  # objects without newlines between them
            yield position, [rest[:cut]]
            position += cut
            rest = rest[cut:]
        elif len(rest) > _MAX_LINE_BYTES:
            raise SourceError(export_name(path), f"a line of more than {_MAX_LINE_BYTES} bytes: this is not an export")
    if rest:
        yield position, [rest]
