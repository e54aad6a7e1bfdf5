"""Zip archives to their members, by the directory at the end; without one, by the headers before the members.

APPNOTE.TXT 6.3.10 of PKWARE. Stored and compressed members, zip64. Whatever counts and sizes claim, a bounded
amount of bytes is read at once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from offdecode.sources.codecs import Codec, Damage
from offdecode.sources.readers import Reader

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s5HL2L2H")
_MOST_COMMENT_BYTES = 1 << 16
_READ_BYTES = 1 << 20
_MOST_ENTRY_BYTES = 3 * (1 << 16)
_ENCRYPTED, _SIZE_BEHIND, _UTF8 = 1, 8, 1 << 11
STORED = 0
CODECS: dict[int, Codec] = {8: "deflate", 12: "bzip2", 93: "zstd", 95: "xz"}
_UNKNOWN = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A member. size: of its content, stored_size: of its data in the archive; None where only reading it tells.

    position: byte of the archive at which its header starts.
    """

    name: str
    method: int
    encrypted: bool
    checksum: int | None
    size: int | None
    stored_size: int | None
    position: int
    link: bool = False


def is_zip(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a zip archive: with a member, empty, or split into parts."""
    return head[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


def iter_members(reader: Reader) -> Iterator[ZipMember]:
    """The members in the order of the directory. Raises Damage where it is damaged, or not there."""
    count, start, size, shift = _directory(reader)
    buffer, buffer_at, at, end = b"", start, start, start + size
    for _ in range(count):
        begin = at - buffer_at
        if len(buffer) - begin < _MOST_ENTRY_BYTES and buffer_at + len(buffer) < end:
            buffer, buffer_at, begin = reader.read(at, min(_READ_BYTES, end - at)), at, 0
        if len(buffer) - begin < _ENTRY.size or buffer[begin : begin + 4] != b"PK\x01\x02":
            raise Damage(at, "the zip archive's directory is damaged")
        (_, _, system, _, _, flags, method, _, _, checksum, stored, content, name_length, extra_length, comment_length,
         _, _, attributes, offset) = _ENTRY.unpack_from(buffer, begin)  # fmt: skip
        name_end = begin + _ENTRY.size + name_length
        name, extra = buffer[begin + _ENTRY.size : name_end], buffer[name_end : name_end + extra_length]
        content, stored, offset = _large(extra, content, stored, offset)
        link = system == 3 and (attributes >> 16) & 0o170000 == 0o120000
        encrypted = bool(flags & _ENCRYPTED)
        yield ZipMember(_text(name, flags), method, encrypted, checksum, content, stored, offset + shift, link)
        at = buffer_at + name_end + extra_length + comment_length


def iter_by_headers(reader: Reader) -> Iterator[ZipMember]:
    """The members of an archive without its directory, as far as their headers tell where the next one is.

    Of a member whose size stands behind it, the consumer must find the end: it sends the byte behind its data.
    """
    at = 0
    while len(head := reader.read(at, _LOCAL.size)) == _LOCAL.size and head[:4] == b"PK\x03\x04":
        _, _, flags, method, _, _, checksum, stored, content, name_length, extra_length = _LOCAL.unpack(head)
        name = reader.read(at + _LOCAL.size, name_length)
        extra = reader.read(at + _LOCAL.size + name_length, extra_length)
        content, stored, _ = _large(extra, content, stored, 0)
        behind = bool(flags & _SIZE_BEHIND)
        yield ZipMember(
            _text(name, flags), method, bool(flags & _ENCRYPTED), None if behind else checksum,
            None if behind else content, None if behind else stored, at,
        )  # fmt: skip
        data = at + _LOCAL.size + name_length + extra_length
        at = _next_header(reader, data) if behind else data + stored
        if at >= reader.size:
            return


def data_position(reader: Reader, member: ZipMember) -> int:
    """The byte at which a member's data starts. Raises Damage where its header is not there."""
    head = reader.read(member.position, _LOCAL.size)
    if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
        raise Damage(member.position, "there is no header of a member here")
    *_, name_length, extra_length = _LOCAL.unpack(head)
    return member.position + _LOCAL.size + int(name_length) + int(extra_length)


def _directory(reader: Reader) -> tuple[int, int, int, int]:
    """Entries, start and size of the directory, and how many bytes stand before the archive."""
    tail_at = max(reader.size - _END.size - _MOST_COMMENT_BYTES, 0)
    tail = reader.read(tail_at, _END.size + _MOST_COMMENT_BYTES)
    found = tail.rfind(b"PK\x05\x06", 0, len(tail) - _END.size + 4)
    if found < 0:
        raise Damage(reader.size, "the zip archive's directory is not at its end")
    end_at = tail_at + found
    _, _, _, _, count, size, offset, _ = _END.unpack_from(tail, found)
    locator = reader.read(max(end_at - _LOCATOR64.size, 0), _LOCATOR64.size)
    if len(locator) == _LOCATOR64.size and locator[:4] == b"PK\x06\x07":
        at = end_at - _LOCATOR64.size - _END64.size
        large = reader.read(max(at, 0), _END64.size)
        if len(large) < _END64.size or large[:4] != b"PK\x06\x06":
            at = _LOCATOR64.unpack(locator)[2]
            large = reader.read(min(at, reader.size), _END64.size)
        if len(large) < _END64.size or large[:4] != b"PK\x06\x06":
            raise Damage(end_at, "the zip archive's directory is damaged")
        *_, count, size, offset = _END64.unpack(large)
        end_at = at
    start = end_at - size
    if start < 0 or offset > start:
        raise Damage(end_at, "the zip archive's directory is damaged")
    return count, start, size, start - offset


def _large(extra: bytes, content: int, stored: int, offset: int) -> tuple[int, int, int]:
    """The three with the values of zip64, which stand in this order where the field is full."""
    values = [content, stored, offset]
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            data = extra[at + 4 : at + 4 + length]
            for index, value in enumerate(values):
                if value == _UNKNOWN and len(data) >= 8:
                    values[index] = int.from_bytes(data[:8], "little")
                    data = data[8:]
        at += 4 + length
    return values[0], values[1], values[2]


def _next_header(reader: Reader, at: int) -> int:
    """Where the next member's header, or the directory, starts; the end of the file where there is none."""
    while data := reader.read(at, _READ_BYTES):
        found = [place for place in map(data.find, (b"PK\x03\x04", b"PK\x01\x02")) if place >= 0]
        if found:
            return at + min(found)
        at += max(len(data) - 3, 1)
    return reader.size


def _text(name: bytes, flags: int) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("utf-8", "surrogateescape") if flags & _UTF8 else name.decode("cp437")
