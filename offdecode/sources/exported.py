"""Files of exported records, compressed or not, read as lines. `-` is standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from offdecode.errors import SourceError
from offdecode.model import path_text
from offdecode.sources.codecs import HEAD_BYTES, Damage, codec_of, iter_decompressed
from offdecode.sources.locations import LocalLocation

_READ_BYTES = 4 << 20
_MAX_LINE_BYTES = 256 << 20  # hex of the largest record that a batch can hold, and more


def exported_bytes(path: Path) -> int:
    """The size of an export; 0 where it is not known before it is read."""
    try:
        return path.stat().st_size if str(path) != "-" else 0
    except OSError:
        return 0


def iter_lines(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Whole lines without their ends, some megabytes at a time, with the byte at which the first one starts.

    Raises SourceError for a file that cannot be read.
    """
    try:
        yield from _whole_lines(_pieces(path), path)
    except Damage as damage:
        raise SourceError(path_text(path), f"{damage.reason}, at byte {damage.position}") from None
    except OSError as error:
        raise SourceError(path_text(path), f"cannot be read: {error.strerror}") from None


def _pieces(path: Path) -> Iterator[bytes]:
    """The text, in pieces."""
    if str(path) == "-" or (path.exists() and not path.is_file()):  # a pipe is read as it comes
        with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as stream:
            while data := stream.read(_READ_BYTES):
                yield data
        return
    with LocalLocation(path).open() as reader:
        codec = codec_of(reader.read(0, HEAD_BYTES))
        if codec is not None:
            yield from iter_decompressed(reader, codec)
            return
        position = 0
        while data := reader.read(position, _READ_BYTES):
            yield data
            position += len(data)


def _whole_lines(pieces: Iterator[bytes], path: Path) -> Iterator[tuple[int, list[bytes]]]:
    position = 0
    rest = b""
    for data in pieces:
        head, end, tail = data.rpartition(b"\n")
        if end:
            yield position, (rest + head).split(b"\n")
            position += len(rest) + len(head) + 1
            rest = tail
        elif len(rest) > _MAX_LINE_BYTES:
            raise SourceError(path_text(path), f"a line of more than {_MAX_LINE_BYTES} bytes: this is not an export")
        else:
            rest += data
    if rest:
        yield position, [rest]
