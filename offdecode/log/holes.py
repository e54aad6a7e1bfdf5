"""Frames of one log to the holes between their offsets, and to what shows that the log cleaner was there.

The cleaner (org.apache.kafka.storage.internals.log.Cleaner) goes from the log's start up to a segment's start,
which it writes to its checkpoint. It keeps the offsets of what it leaves: a batch with fewer records than offsets,
or with a delete horizon, was written by it. A broker never writes a hole within a segment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offdecode.log.batches import Frames
from offdecode.model import Mask, Vector

_MOST_OFFSETS = 1 << 31  # that a segment spans (LogSegment.canConvertToRelativeOffset)


@dataclass(frozen=True, slots=True)
class Reached:
    """How far the frames before have come. last_offset: the greatest one, None before the first batch.

    segment: of the last batch. broken: bytes were lost after it.
    """

    last_offset: int | None = None
    segment: str | None = None
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """The batches of some frames that have a right checksum and a possible offset, and the holes before them.

    The vectors have one entry a batch. valid: their indices in the frames. before: the greatest offset before each;
    one entry more, for the end. cleaned: the batch shows that the cleaner wrote it. hole: indices, into these vectors,
    of the batches that follow a hole. For each hole, joined: the batch before it is in the same segment, and no bytes
    were lost between them; broken: bytes were lost there.
    """

    valid: Vector
    base: Vector
    last: Vector
    before: Vector
    hole: Vector
    joined: Mask
    broken: Mask
    cleaned: Mask
    after: Reached


def pass_over(frames: Frames, reached: Reached) -> Passage:
    """What the frames show. reached: what the frames before them came to."""
    valid = in_place(frames, np.flatnonzero(frames.crc_valid))
    base, last = frames.base_offset[valid], frames.last_offset[valid]
    known = reached.last_offset
    if known is None and len(valid):
        known = int(base[0]) - 1
    before = np.maximum.accumulate(np.concatenate(([-1 if known is None else known], last)))
    broken = np.zeros(len(valid) + 1, np.bool_)
    broken[np.searchsorted(valid, np.asarray(frames.breaks, np.int64))] = True
    broken[0] |= reached.broken
    hole = np.flatnonzero(base > before[:-1] + 1)
    segment = frames.place(int(valid[-1]))[0] if len(valid) else reached.segment
    return Passage(
        valid=valid,
        base=base,
        last=last,
        before=before,
        hole=hole,
        joined=~broken[hole] & _same_segment(frames, valid, hole, reached),
        broken=broken[hole],
        cleaned=frames.shows_cleaning[valid],
        after=Reached(int(before[-1]) if known is not None else None, segment, bool(broken[-1])),
    )


def _same_segment(frames: Frames, valid: Vector, hole: Vector, reached: Reached) -> Mask:
    """Whether the batches after holes lie in the segments of the batches before them."""
    if not len(hole):
        return np.zeros(0, np.bool_)
    same = hole > 0
    if frames.origin is not None:
        segment = frames.origin.segment[valid]
        same &= segment[hole] == segment[hole - 1]
    same[hole == 0] = reached.segment == frames.place(int(valid[0]))[0]
    return same


def in_place(frames: Frames, valid: Vector) -> Vector:
    """Without batches of an impossible offset, which the checksum does not cover: far beyond those on both sides."""
    base = frames.base_offset[valid]
    ahead = np.diff(base) > _MOST_OFFSETS
    if not ahead.any():
        return valid
    wild = np.concatenate(([False], ahead)) & np.concatenate((base[1:] < base[:-1], [False]))
    return valid[~wild]


class Cleaning:
    """How far the log cleaner is known to have come. It takes what frames show, in any order and more than once.

    checkpoint: the first offset that was never cleaned, where the data directory tells. Signs of cleaning beyond it
    show that it is older than the segments. served: the offset before which a running broker serves the log, which
    lacks nothing but what its cleaner has removed. border: below it, holes are the cleaner's work; told: the border
    by these two alone. shown: whether there are signs at or above the checkpoint, or any where there is none.
    """

    def __init__(self, checkpoint: int | None = None, served: int = 0) -> None:
        self.checkpoint = checkpoint
        self.served = served
        self.border = self.told = max(checkpoint or 0, served)
        self.shown = False

    def add(self, passage: Passage) -> None:
        signs = passage.last[passage.cleaned & (passage.base >= self.told)]
        if len(signs):
            self.shown = True
            self.border = max(self.border, int(signs.max()) + 1)
        if self.shown and passage.joined.any():
            # In a log that was cleaned, batches that are gone from within a segment are the cleaner's work too.
            self.border = max(self.border, int(passage.base[passage.hole[passage.joined]].max()))
