"""Seeded damage to a segment, with what every byte of the result was before: nothing here uses offdecode's parsers.

A damaged segment is a list of pieces: consecutive bytes of an undamaged file, or foreign bytes. A batch that lies
whole in one piece was not touched.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PAGE_BYTES = 4096
_MOST_OVERWRITTEN_BYTES = 64 << 10


@dataclass(frozen=True)
class Piece:
    """`data` came from byte `start` of file number `file`; file None = foreign bytes."""

    data: bytes
    file: int | None = None
    start: int = 0

    def split(self, at: int) -> tuple[Piece, Piece]:
        return Piece(self.data[:at], self.file, self.start), Piece(self.data[at:], self.file, self.start + at)


Pieces = list[Piece]


def batch_ranges(data: bytes) -> list[tuple[int, int]]:
    """Start and end of the batches of an undamaged segment: offset and length stand alike in every format."""
    found, at = [], 0
    while at < len(data):
        end = at + 12 + struct.unpack_from(">i", data, at + 8)[0]
        found.append((at, end))
        at = end
    return found


def joined(pieces: Pieces) -> bytes:
    return b"".join(piece.data for piece in pieces)


def untouched(pieces: Pieces, ranges: list[list[tuple[int, int]]]) -> Iterator[tuple[int, int, int]]:
    """Position in the damaged segment, file, and position there, of every batch that lies whole in a piece."""
    at = 0
    for piece in pieces:
        if piece.file is not None:
            for start, end in ranges[piece.file]:
                if piece.start <= start and end <= piece.start + len(piece.data):
                    yield at + start - piece.start, piece.file, start
        at += len(piece.data)


def cut_at(pieces: Pieces, at: int) -> tuple[Pieces, Pieces]:
    """The pieces before and behind byte `at`."""
    before: Pieces = []
    for index, piece in enumerate(pieces):
        if at < len(piece.data):
            head, tail = piece.split(at)
            return [*before, *([head] if head.data else [])], [tail, *pieces[index + 1 :]]
        before.append(piece)
        at -= len(piece.data)
    return before, []


def replaced(pieces: Pieces, start: int, end: int, data: bytes) -> Pieces:
    before, rest = cut_at(pieces, start)
    return [*before, Piece(data), *cut_at(rest, end - start)[1]]


def _size(pieces: Pieces) -> int:
    return sum(len(piece.data) for piece in pieces)


def flip_bits(rng: random.Random, pieces: Pieces, other: Pieces) -> Pieces:
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(_size(pieces))
        byte = joined(pieces)[at] ^ 1 << rng.randrange(8)
        pieces = replaced(pieces, at, at + 1, bytes([byte]))
    return pieces


def overwrite(rng: random.Random, pieces: Pieces, other: Pieces) -> Pieces:
    size = int(_MOST_OVERWRITTEN_BYTES ** rng.random())
    start = rng.randrange(_size(pieces))
    end = min(start + size, _size(pieces))
    return replaced(pieces, start, end, rng.randbytes(end - start))


def cut(rng: random.Random, pieces: Pieces, other: Pieces) -> Pieces:
    return cut_at(pieces, rng.randrange(_size(pieces)))[0]


def insert(rng: random.Random, pieces: Pieces, other: Pieces) -> Pieces:
    at = rng.randrange(_size(pieces))
    return replaced(pieces, at, at, rng.randbytes(int(_MOST_OVERWRITTEN_BYTES ** rng.random())))


def zero_pages(rng: random.Random, pieces: Pieces, other: Pieces) -> Pieces:
    pages = -(-_size(pieces) // PAGE_BYTES)
    first = rng.randrange(pages)
    end = min((first + rng.randint(1, 4)) * PAGE_BYTES, _size(pieces))
    return replaced(pieces, first * PAGE_BYTES, end, bytes(end - first * PAGE_BYTES))


def swap_blocks(rng: random.Random, pieces: Pieces, other: Pieces) -> Pieces:
    a, b, c = sorted(rng.randrange(_size(pieces) + 1) for _ in range(3))
    head, rest = cut_at(pieces, a)
    one, rest = cut_at(rest, b - a)
    two, tail = cut_at(rest, c - b)
    return [*head, *two, *one, *tail]


def join_files(rng: random.Random, pieces: Pieces, other: Pieces) -> Pieces:
    """A part of one file, and another behind it."""
    return [*cut_at(pieces, rng.randrange(_size(pieces)))[0], *cut_at(other, rng.randrange(_size(other)))[1]]


DAMAGES: tuple[Callable[[random.Random, Pieces, Pieces], Pieces], ...] = (
    flip_bits, overwrite, cut, insert, zero_pages, swap_blocks, join_files,
)  # fmt: skip


def damaged(seed: int, file: int, files: list[bytes]) -> tuple[str, Pieces]:
    """The name of a damage and the damaged pieces of a file, by a seed."""
    rng = random.Random(seed)
    other = rng.randrange(len(files))
    damage = DAMAGES[seed % len(DAMAGES)]
    pieces = damage(rng, [Piece(files[file], file)], [Piece(files[other], other)])
    return damage.__name__, [piece for piece in pieces if piece.data]
