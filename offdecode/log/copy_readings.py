"""Copies of a log as they are read: what of each is loaded, and what of that can be merged by now."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from offdecode.log.batches import Frames
from offdecode.log.holes import in_place
from offdecode.log.transactions import FramesFrom, Place
from offdecode.model import LARGEST_INT64, Mask, Problem, Vector

_MOST_BEHIND = 16  # of nothing but batches that are there already, say


@dataclass(frozen=True)
class Copy:
    """One copy of a log.

    directory: where it lies; end: its last offset. cleaner: the offset up to which the log cleaner is known to have
    come there. None = not known: broker, whose it is; start, its first offset.
    """

    directory: str
    frames_from: FramesFrom
    end: int
    cleaner: int = 0
    broker: int | None = None
    start: int | None = None

    @cached_property
    def shows_cleaning(self) -> bool:
        """Whether the log cleaner has come further than is known, by any batch: what reads all of it, at most."""
        for _, frames in self.frames_from(Place(0, 0)):
            good = in_place(frames, np.flatnonzero(frames.crc_valid))
            if (frames.shows_cleaning[good] & (frames.base_offset[good] >= self.cleaner)).any():
                return True
        return False


@dataclass(frozen=True, slots=True)
class CopyPlace:
    """Where reading of a copy goes on: a place, batches to pass over there, the greatest offset before it."""

    place: Place = Place(0, 0)  # noqa: RUF009 - frozen
    used: int = 0
    reached: int = -1


@dataclass(slots=True)
class Piece:
    """A chunk of a copy that is not used up. straight: batches whose offsets are above all before them in the copy.

    reached: the greatest offset up to each batch. start: where it was read from.
    """

    frames: Frames
    start: CopyPlace
    straight: Mask
    reached: Vector
    used: int = 0


class Reading:
    """How far a copy has been read, and what of it is not used yet."""

    def __init__(self, copy: Copy, start: CopyPlace) -> None:
        self.pieces: deque[Piece] = deque()
        self.ended = False
        self.template: Frames | None = None
        self._place = start.place
        self._stream = copy.frames_from(start.place)
        self.loaded = start.reached
        self.start = copy.start
        self.forked = LARGEST_INT64  # the first offset of its own branch, if that did not stand
        self._skip = start.used
        self._broken = False
        self.lost: list[tuple[int, int]] = []  # ranges of offsets at which bytes were lost
        self.unexplained: list[tuple[int, int]] = []  # that are not here, and nothing shows that the cleaner did it
        self.copy = copy
        self.problems: list[Problem] = []
        self.size = 0

    def load(self) -> None:
        """Read the next chunk; a copy whose bytes were lost at its end has lost the offset behind it."""
        found = next(self._stream, None)
        if found is None:
            self.ended = True
            if self._broken:
                self.lost.append((self.loaded + 1, self.loaded + 1))
            return
        after, frames = found
        good = in_place(frames, np.flatnonzero(frames.crc_valid))
        if self.start is None and len(good):
            self.start = int(frames.base_offset[good[0]])
        straight = np.zeros(len(frames), np.bool_)
        lasts = np.full(len(frames), -1, np.int64)
        lasts[good] = frames.last_offset[good]
        reached = np.maximum.accumulate(np.concatenate(([self.loaded], lasts)))
        straight[good] = frames.base_offset[good] > reached[:-1][good]
        self._note_lost(frames, straight, reached)
        self._note_unexplained(frames, np.flatnonzero(straight), reached)
        piece = Piece(frames, CopyPlace(self._place, 0, self.loaded), straight, reached[1:], self._skip)
        if not piece.used:
            self.problems += frames.problems
            self.size += frames.size
        self._skip = 0
        self.pieces.append(piece)
        self.template = frames
        self._place = after
        self.loaded = int(reached[-1])

    def _note_lost(self, frames: Frames, straight: Mask, reached: Vector) -> None:
        places = [0, *frames.breaks] if self._broken else list(frames.breaks)
        self._broken = False
        for at in places:
            following = np.flatnonzero(straight[at:])
            if len(following):
                index = at + int(following[0])
                self.lost.append((int(reached[index]) + 1, int(frames.base_offset[index]) - 1))
            else:
                self._broken = True

    def _note_unexplained(self, frames: Frames, good: Vector, reached: Vector) -> None:
        before, base = reached[good], frames.base_offset[good]
        hole = (base > before + 1) & (before >= 0) & (base > self.copy.cleaner)
        if hole.any() and not self.copy.shows_cleaning:
            self.unexplained += zip((before[hole] + 1).tolist(), (base[hole] - 1).tolist(), strict=True)

    @property
    def limit(self) -> int:
        """The offset up to which everything of this copy is loaded."""
        return LARGEST_INT64 if self.ended else self.loaded

    def next_epoch(self) -> int | None:
        """The leader epoch of the first batch that is not used; None where none is loaded."""
        for piece in self.pieces:
            rest = np.flatnonzero(piece.straight[piece.used :])
            if len(rest):
                return int(piece.frames.leader_epoch[piece.used + int(rest[0])])
        return None

    def load_behind(self) -> None:
        """Load on until the leader epoch behind what is used is known, or there is none: none in so many chunks."""
        for _ in range(_MOST_BEHIND):
            if self.ended or self.next_epoch() is not None:
                return
            self.load()

    def across(self, bound: int) -> int:
        """The bound, lowered so that no batch lies across it."""
        for piece in self.pieces:
            frames = piece.frames
            split = piece.straight & (frames.base_offset <= bound) & (frames.last_offset > bound)
            if split.any():
                return int(frames.base_offset[split].min()) - 1
        return bound

    def take(self, bound: int) -> Iterator[tuple[Piece, Vector]]:
        """What is loaded up to an offset and not used yet: indices of batches of a piece."""
        while self.pieces:
            piece = self.pieces[0]
            until = max(int(np.searchsorted(piece.reached, bound, side="right")), piece.used)
            if until > piece.used:
                yield piece, np.arange(piece.used, until)
                piece.used = until
            if until < len(piece.frames):
                return
            self.pieces.popleft()

    @property
    def resume(self) -> CopyPlace:
        if self.pieces:
            return replace(self.pieces[0].start, used=self.pieces[0].used)
        return CopyPlace(self._place, 0, self.loaded)


class Taken(NamedTuple):
    """Batches of a copy for a window: their indices in the piece."""

    copy: int
    piece: Piece
    which: Vector


def window_of(readings: Sequence[Reading]) -> list[Taken]:
    """What can be merged: everything up to an offset that all copies are loaded to, and that no batch lies across."""
    bound = min(reading.limit for reading in readings)
    while True:
        lower = min(reading.across(bound) for reading in readings)
        if lower == bound:
            break
        bound = lower
    return [Taken(index, *one) for index, reading in enumerate(readings) for one in reading.take(bound)]
