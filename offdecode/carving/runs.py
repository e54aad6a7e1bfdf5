"""Batches of an image to runs: those that follow each other byte by byte, as only batches of one file do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np

from offdecode.log.headers import CRC_START
from offdecode.model import Mask, Vector

SECTOR_BYTES = 512  # no file system begins a file between two sectors
LEAST_BLOCK_BYTES = 1024  # of ext4 at the least


class Whose(IntEnum):
    """Whose a batch is, by itself."""

    FOREIGN = 0  # its keys are not those of the coordinator
    COORDINATOR = 1  # its first record decodes
    MARKER = 2  # a transaction's end, which is the same in every topic
    OPEN = 3  # without records, or of a type that a newer broker may have


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches, one entry of each vector for each.

    image: index of it. position, size: bytes. head, tail: a batch that lies in two places has `head` bytes at
    `position`, the rest at `tail`; else all of them, and -1. code: hash of its first group, -1 where it tells none.
    run: index of its run. digest: SHA-256.
    """

    image: Vector
    position: Vector
    size: Vector
    head: Vector
    tail: Vector
    base_offset: Vector
    last_offset: Vector
    leader_epoch: Vector
    producer_id: Vector
    producer_epoch: Vector
    whose: Vector
    code: Vector
    run: Vector
    digest: np.ndarray

    def __len__(self) -> int:
        return len(self.position)

    def take(self, chosen: Vector) -> Batches:
        return Batches(*(getattr(self, item.name)[chosen] for item in fields(self)))


DIGEST = np.dtype("V32")


def no_batches() -> Batches:
    """None at all."""
    none = np.empty(0, np.int64)
    return Batches(**{item.name: np.empty(0, DIGEST) if item.name == "digest" else none for item in fields(Batches)})


def joined(parts: list[Batches]) -> Batches:
    """All of them, one after the other."""
    every = [no_batches(), *parts]
    return Batches(*(np.concatenate([getattr(part, item.name) for part in every]) for item in fields(Batches)))


class Runs:
    """Runs as lists, an entry a run. counts: of its batches by `Whose`; end: byte behind the last batch.

    A batch's offset is under no checksum. Where a border of blocks lies within the bytes before those that are, the
    bytes before the border may be another file's, which only happens to have a batch's head there. So a run goes no
    further than to such a batch: the next one `follows` it (the index of the run before, -1 where none is). If no run
    lies before, and the next batch does not follow by its offset, the batch is `beheaded`, a run by itself.
    holes: places within a run where offsets lack; first_hole: whether they do behind its first batch.
    """

    def __init__(self) -> None:
        self.image: list[int] = []
        self.start: list[int] = []
        self.end: list[int] = []
        self.first_offset: list[int] = []
        self.last_offset: list[int] = []
        self.counts: list[list[int]] = []
        self.follows: list[int] = []
        self.holes: list[int] = []
        self.first_hole: list[bool] = []
        self.beheaded: set[int] = set()

    def __len__(self) -> int:
        return len(self.image)

    def add(self, batches: Batches) -> Vector:
        """The next batches of an image, in its order: the run of each."""
        if not len(batches):
            return np.empty(0, np.int64)
        image, start = int(batches.image[0]), batches.position
        end, base, last = start + batches.size, batches.base_offset, batches.last_offset
        going_on = bool(self.image) and self.image[-1] == image
        end_before = np.concatenate(([self.end[-1] if going_on else -1], end[:-1]))
        last_before = np.concatenate(([self.last_offset[-1] if going_on else -1], last[:-1]))
        hole = base != last_before + 1
        # Where a file ends with its last block, another may follow without a byte between.
        apart = (start != end_before) | ((start % SECTOR_BYTES == 0) & hole)
        across = start % LEAST_BLOCK_BYTES + CRC_START > LEAST_BLOCK_BYTES
        beheaded = apart & across
        beheaded[:-1] &= (start[1:] != end[:-1]) | hole[1:]
        apart[1:] |= beheaded[:-1]
        new = apart | across
        run = len(self) - 1 + np.cumsum(new)
        begun = np.flatnonzero(new)
        self.beheaded |= set(run[beheaded].tolist())
        self.image += [image] * len(begun)
        self.start += start[begun].tolist()
        self.first_offset += base[begun].tolist()
        self.follows += np.where(apart[begun], -1, run[begun] - 1).tolist()
        second = np.minimum(begun + 1, len(new) - 1)
        self.first_hole += (hole[second] & ~new[second]).tolist()
        self._count(batches, run, hole & ~new)
        return run

    def _count(self, batches: Batches, run: Vector, hole: Mask) -> None:
        """Enter in each run what the batches add to it."""
        more = int(run[-1]) + 1 - len(self.end)
        self.end += [0] * more
        self.last_offset += [0] * more
        self.holes += [0] * more
        self.counts += [[0] * len(Whose) for _ in range(more)]
        oldest = int(run[0])
        finals = np.flatnonzero(np.diff(run, append=-1))
        counts = np.bincount((run - oldest) * len(Whose) + batches.whose, minlength=len(finals) * len(Whose))
        holes = np.bincount(run - oldest, weights=hole).astype(np.int64)
        ends, lasts = (batches.position + batches.size)[finals].tolist(), batches.last_offset[finals].tolist()
        for at, added in enumerate(counts.reshape(-1, len(Whose)).tolist()):
            which = oldest + at
            self.end[which], self.last_offset[which] = ends[at], lasts[at]
            self.holes[which] += int(holes[at])
            self.counts[which] = [one + more for one, more in zip(self.counts[which], added, strict=True)]

    def of_the_topic(self) -> Mask:
        """Which runs are of the offsets topic: most batches that tell are the coordinator's, or those beside it are."""
        counts = np.asarray(self.counts, np.int64).reshape(-1, len(Whose))
        told = (counts[:, Whose.COORDINATOR] > counts[:, Whose.FOREIGN]).tolist()
        silent = (counts[:, Whose.COORDINATOR] + counts[:, Whose.FOREIGN] == 0).tolist()
        pairs = [(before, run) for run, before in enumerate(self.follows) if before >= 0]
        for before, run in pairs:
            told[run] |= silent[run] and told[before]
        for before, run in reversed(pairs):
            told[before] |= silent[before] and told[run]
        found = np.asarray(told, np.bool_)
        found[list(self.beheaded)] = False
        return found

    def of_markers(self) -> Mask:
        """Which runs hold nothing but ends of transactions."""
        counts = np.asarray(self.counts, np.int64).reshape(-1, len(Whose))
        found: Mask = counts[:, Whose.MARKER] == counts.sum(axis=1)
        found[list(self.beheaded)] = False
        return found

    def joints(self) -> Iterator[tuple[int, int, bool]]:
        """Runs that follow each other: the one, the next, and whether offsets lack beside the batch between.

        Where they lack elsewhere in the file too, the log cleaner was there, and it tells nothing.
        """
        first: list[int] = []  # of the runs that follow each other
        for run, before in enumerate(self.follows):
            first.append(run if before < 0 else first[before])
        between = [
            before >= 0 and self.first_offset[run] != self.last_offset[before] + 1
            for run, before in enumerate(self.follows)
        ]
        holes = [0] * len(self)
        for run, start in enumerate(first):
            holes[start] += self.holes[run] + between[run]
        for run, before in enumerate(self.follows):
            if before >= 0:
                here = between[run] + self.first_hole[run]
                yield before, run, bool(here) and holes[first[run]] == here
