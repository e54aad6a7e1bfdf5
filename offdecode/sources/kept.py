"""What is kept of one partition of a live topic: fetched bytes by offset, until they are released."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from offdecode.model import Problem

# Byte at which the batch starts that holds an offset or, where cleaning has taken that one, the next.
Seek = Callable[[memoryview, int], int]


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole batches, as one answer brought them. start: offset that was asked for; next: offset behind them."""

    start: int
    next: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class Jump:
    """Reading goes on at `to`: what lay from `at` on is gone."""

    at: int
    to: int
    problem: Problem


@dataclass(slots=True)
class Partition:
    """A partition that is read. position: offset to fetch next; start: where reading began; leader: -1 = none."""

    number: int
    position: int
    start: int
    high_watermark: int = 0
    leader: int = -1
    pieces: deque[Piece] = field(default_factory=deque)
    kept_bytes: int = 0
    jump: Jump | None = None

    @property
    def kept_until(self) -> int | None:
        """The offset behind what is kept; None where that is nothing."""
        return self.pieces[-1].next if self.pieces else None

    def keep(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.kept_bytes += len(piece.data)
        self.position = piece.next

    def release(self, offset: int) -> None:
        """Keep nothing before `offset`, and do not fetch it either."""
        while self.pieces and self.pieces[0].next <= offset:
            self.kept_bytes -= len(self.pieces.popleft().data)
        if self.position < offset and self.jump is None:
            self.position = offset

    def kept_from(self, offset: int, most_bytes: int, seek: Seek) -> tuple[int, list[memoryview]]:
        """Kept bytes from `offset` on, about `most_bytes` of them, and the offset behind them."""
        taken: list[memoryview] = []
        size = 0
        for piece in self.pieces:
            if piece.next <= offset and not taken:
                continue
            if taken and size + len(piece.data) > most_bytes:
                break
            first = seek(piece.data, offset) if piece.start < offset and not taken else 0
            taken.append(piece.data[first:])
            size, offset = size + len(taken[-1]), piece.next
        return offset, taken
