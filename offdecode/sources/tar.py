"""Tar archives to their members, from a stream or a file: ustar, GNU, pax, and the oldest form.

Only names, kinds and sizes are read here, each from a bounded amount of bytes, whatever a header claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from offdecode.sources.codecs import Damage

BLOCK_BYTES = 512
_MOST_EXTRA_BYTES = 1 << 20  # of a long name, or of the attributes of pax
_LARGEST_SIZE = 1 << 62
_NO_DATA = b"123456"  # links, devices, directories, FIFOs
_KINDS = {b"": "file", b"\0": "file", b"0": "file", b"7": "file", b"1": "hard link", b"2": "link", b"5": "directory"}


class Stream(Protocol):
    """Bytes in order."""

    position: int

    def read(self, size: int) -> bytes:
        """So many bytes, fewer only at the end."""
        ...

    def skip(self, size: int) -> None: ...


@dataclass(frozen=True, slots=True)
class TarMember:
    """A member. kind: file, link, hard link, directory or other. position: byte of the tar at which its data starts.

    target: of a link.
    """

    name: str
    kind: str
    size: int
    position: int
    target: str


@dataclass(slots=True)
class _Extra:
    """What headers before a member's own say of it."""

    name: str | None = None
    target: str | None = None
    size: int | None = None
    sparse: bool = False

    def add(self, kind: bytes, data: bytes) -> None:
        if kind == b"L":
            self.name = _text(data.split(b"\0")[0])
        elif kind == b"K":
            self.target = _text(data.split(b"\0")[0])
        elif kind in (b"x", b"X"):
            fields = _pax_fields(data)
            if b"path" in fields:
                self.name = _text(fields[b"path"])
            if b"linkpath" in fields:
                self.target = _text(fields[b"linkpath"])
            if fields.get(b"size", b"").isdigit():
                self.size = min(int(fields[b"size"][:20]), _LARGEST_SIZE)
            self.sparse |= any(name.startswith(b"GNU.sparse") for name in fields)


def is_tar(head: bytes) -> bool:
    """Whether these first 512 bytes are a tar header."""
    return len(head) >= BLOCK_BYTES and head[0] != 0 and _is_header(head[:BLOCK_BYTES])


@dataclass(slots=True)
class TarMembers:
    """The members in order. Of a member's data the consumer may read what it wants before it asks for the next.

    Bytes that are no header are passed over to the next header, and noted in `damaged`.
    """

    stream: Stream
    damaged: list[Damage] = field(default_factory=list)

    def __iter__(self) -> Iterator[TarMember]:
        extra = _Extra()
        for block in self._headers():
            kind, size = block[156:157], _number(block[124:136]) or 0
            if kind in (b"L", b"K", b"x", b"g", b"X"):
                start = self.stream.position
                if size <= _MOST_EXTRA_BYTES:
                    extra.add(kind, self.stream.read(size))
            else:
                size = size if extra.size is None else extra.size
                size = 0 if kind in _NO_DATA else size
                start = self.stream.position
                word = "other" if extra.sparse else _KINDS.get(kind, "other")
                target = extra.target or _text(block[157:257].split(b"\0")[0])
                yield TarMember(extra.name or _header_name(block), word, size, start, target)
                extra = _Extra()
            self.stream.skip(start + size + -size % BLOCK_BYTES - self.stream.position)

    def _headers(self) -> Iterator[bytes]:
        """Blocks that are headers. Behind the zeros at the end may be anything, another archive too."""
        lost: int | None = None
        ended = False
        while True:
            at = self.stream.position
            block = self.stream.read(BLOCK_BYTES)
            if _is_header(block):
                if lost is not None and not ended:
                    self.damaged.append(Damage(lost, f"{at - lost} bytes are no member of a tar archive"))
                lost, ended = None, False
                yield block
            elif len(block) < BLOCK_BYTES:
                break
            elif block.strip(b"\0"):
                lost = at if lost is None else lost
            elif lost is None:
                ended = True
        if not ended:
            reason = "the tar archive ends here without its end" if lost is None else "from here on is no tar archive"
            self.damaged.append(Damage(at if lost is None else lost, reason))


def _is_header(block: bytes) -> bool:
    """Whether a block's checksum is right: a sum of its bytes, signed in archives of some old systems."""
    if len(block) < BLOCK_BYTES or not block[0] or (wanted := _number(block[148:156])) is None:
        return False
    counted = block[:148] + b" " * 8 + block[156:]
    total = sum(counted)
    return wanted in (total, total - 256 * sum(byte > 127 for byte in counted)) and _number(block[124:136]) is not None


def _number(text: bytes) -> int | None:
    """An octal number, or GNU's form of large ones: 0x80 and big-endian."""
    if text[:1] == b"\x80":
        return min(int.from_bytes(text[1:], "big"), _LARGEST_SIZE)
    digits = text.split(b"\0")[0].strip()
    if not digits:
        return 0
    return int(digits, 8) if all(byte in b"01234567" for byte in digits) else None


def _header_name(block: bytes) -> str:
    name, prefix = block[:100].split(b"\0")[0], block[345:500].split(b"\0")[0]
    if block[257:263] == b"ustar\0" and prefix:
        name = prefix + b"/" + name
    return _text(name)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _pax_fields(data: bytes) -> dict[bytes, bytes]:
    r"""`LENGTH NAME=VALUE\n` each; the length counts all of it."""
    fields: dict[bytes, bytes] = {}
    at = 0
    while (space := data.find(b" ", at, at + 21)) > at and data[at:space].isdigit():
        end = at + int(data[at:space])
        name, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end <= space or not equals:
            break
        fields[name] = value
        at = end
    return fields
