"""Batches to logs: which partition of the offsets topic each is of, and the order in its log.

What a group hashes to gives the partition. Batches that hold the same offsets and are not equal (as an earlier and a
cleaned version of a segment) go to different copies of the log.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from offdecode.carving.runs import Batches, Runs, Whose
from offdecode.model import Mask, Vector
from offdecode.schemas.placement import DEFAULT_PARTITIONS
from offdecode.sources.segments import MOST_COPIES

_MOST_PARTITIONS = 1 << 16


class Known(StrEnum):
    """How the number of the topic's partitions is known."""

    GIVEN = "given"
    INFERRED = "inferred"
    ASSUMED = "assumed"


class Reason(StrEnum):
    """Why a batch is in no log."""

    WHOSE_MARKER = "it ends a transaction, and nothing tells of which partition"
    TOO_MANY = f"its offsets lie in {MOST_COPIES} other versions"
    NO_GROUP = "no batch beside it tells its partition"
    ODD = "what was put together is of another partition than what lies before it"
    NO_OFFSET = "its offset, which is under no checksum, does not fit what lies beside it"


@dataclass(frozen=True, slots=True)
class File:
    """A segment: batches, by their indices, in their order."""

    partition: int
    copy: int
    chosen: Vector


@dataclass(frozen=True, slots=True)
class Placed:
    """Where batches go. piece: equal for those that are known to be of one file. left: Reason by index.

    same_as: the index of the equal batch that stands for each, -1 = none.
    elsewhere: batches whose group hashes to another partition than most of their piece.
    """

    partitions: int
    known: Known
    files: tuple[File, ...]
    piece: Vector
    same_as: Vector
    left: dict[int, Reason]
    elsewhere: int


def place(batches: Batches, runs: Runs, links: Iterable[tuple[int, int]], partitions: int | None) -> Placed:
    """Place batches. links: more runs that are of one file; partitions: of the topic, where that is known."""
    known = Known.GIVEN
    if partitions is None:
        partitions, known = partitions_of(batches.code, batches.run)
    piece, doubtful = _pieces(batches, runs, links, partitions)
    partition = np.where(doubtful, -1, _by_piece(np.where(doubtful, -1, batches.code), piece, partitions))
    _place_markers(batches, partition, doubtful)
    left = {index: _reason(batches, doubtful, index) for index in np.flatnonzero(partition < 0).tolist()}
    odd = (partition >= 0) & (batches.code >= 0) & (batches.code % partitions != partition)
    wrong = odd & (batches.tail >= 0)
    left |= dict.fromkeys(np.flatnonzero(wrong).tolist(), Reason.ODD)
    partition[wrong] = -1
    same_as = _equal_ones(batches, piece, partition)
    files: list[File] = []
    for one in np.unique(partition[partition >= 0]).tolist():
        mine = np.flatnonzero((partition == one) & (same_as < 0))
        copies = _copies(batches, piece, mine)
        for number, chosen in enumerate(copies[:MOST_COPIES], 1):
            files += [File(one, number, part) for part in _files(batches, piece, chosen)]
        left |= {index: Reason.TOO_MANY for chosen in copies[MOST_COPIES:] for index in chosen.tolist()}
    return Placed(partitions, known, tuple(files), piece, same_as, left, int(np.count_nonzero(odd & ~wrong)))


def _reason(batches: Batches, doubtful: Mask, index: int) -> Reason:
    if doubtful[index]:
        return Reason.NO_OFFSET
    return Reason.WHOSE_MARKER if batches.whose[index] == Whose.MARKER else Reason.NO_GROUP


def _pieces(batches: Batches, runs: Runs, links: Iterable[tuple[int, int]], partitions: int) -> tuple[Vector, Mask]:
    """Which batches are known to be of one file, and those whose offset may be another's."""
    of_run = np.full(len(runs), -1, np.int64)
    of_run[batches.run] = _by_piece(batches.code, batches.run, partitions)
    together, begun = [*links], set(runs.beheaded)
    for before, run, lacking in runs.joints():
        if lacking or (of_run[before] >= 0 <= of_run[run] and of_run[before] != of_run[run]):
            begun.add(run)
        else:
            together.append((before, run))
    starts = np.full(len(runs), -1, np.int64)
    starts[list(begun)] = np.asarray(runs.start, np.int64)[list(begun)]
    return pieces_of(len(runs), together)[batches.run], batches.position == starts[batches.run]


def partitions_of(code: Vector, piece: Vector) -> tuple[int, Known]:
    """The number of partitions that explains which groups lie together.

    Groups of one partition leave the same rest, so the number divides the differences of their hashes.
    """
    told = code >= 0
    code, piece = code[told], piece[told]
    if not len(code):
        return DEFAULT_PARTITIONS, Known.ASSUMED
    order = np.argsort(piece, kind="stable")
    code, piece = code[order], piece[order]
    first = np.flatnonzero(np.diff(piece, prepend=piece[0] - 1))
    count = np.diff(first, append=len(piece))
    divisors = np.gcd.reduceat(np.abs(code - np.repeat(code[first], count)), first)
    divisors, weights = divisors[divisors > 0], count[divisors > 0]
    if not len(divisors):
        return DEFAULT_PARTITIONS, Known.ASSUMED
    every = int(np.gcd.reduce(divisors))
    if every % DEFAULT_PARTITIONS == 0:
        return DEFAULT_PARTITIONS, Known.INFERRED
    candidates = {every, DEFAULT_PARTITIONS, *divisors[np.argsort(-weights)[:100]].tolist()}

    def explained(number: int) -> tuple[int, bool, int]:
        return int(weights[divisors % number == 0].sum()), number == DEFAULT_PARTITIONS, number

    return max((number for number in candidates if 1 <= number <= _MOST_PARTITIONS), key=explained), Known.INFERRED


def _by_piece(code: Vector, piece: Vector, partitions: int) -> Vector:
    """The partition of each batch: that of most batches of its piece; -1 where none tells."""
    told = code >= 0
    pairs, counts = np.unique(np.stack((piece[told], code[told] % partitions)), axis=1, return_counts=True)
    order = np.lexsort((-counts, pairs[0]))
    pieces, first = np.unique(pairs[0][order], return_index=True)
    best = pairs[1][order][first]
    if not len(pieces):
        return np.full(len(piece), -1, np.int64)
    at = np.minimum(np.searchsorted(pieces, piece), len(pieces) - 1)
    return np.where(pieces[at] == piece, best[at], -1)


def _place_markers(batches: Batches, partition: Vector, doubtful: Mask) -> None:
    """Give a marker that lies alone the one partition where it fits: beside a known batch, its producer's before it."""
    alone = np.flatnonzero((partition < 0) & (batches.whose == Whose.MARKER) & ~doubtful)
    if not len(alone):
        return
    placed = np.flatnonzero(partition >= 0)
    ends = _Sets(batches.last_offset[placed] + 1, partition[placed])
    begins = _Sets(batches.base_offset[placed], partition[placed])
    producers: dict[tuple[int, int], dict[int, int]] = {}  # to partitions, to the first offset there
    for index in placed[batches.producer_id[placed] >= 0].tolist():
        name = int(batches.producer_id[index]), int(batches.producer_epoch[index])
        first = producers.setdefault(name, {})
        offset, where = int(batches.base_offset[index]), int(partition[index])
        first[where] = min(first.get(where, offset), offset)
    for index in alone.tolist():
        name = int(batches.producer_id[index]), int(batches.producer_epoch[index])
        base, behind = int(batches.base_offset[index]), int(batches.last_offset[index]) + 1
        beside = ends.of(base) | begins.of(behind)
        fitting = [where for where, first in producers.get(name, {}).items() if first < base and where in beside]
        if len(fitting) == 1:
            partition[index] = fitting[0]


class _Sets:
    """{offset: partitions}."""

    def __init__(self, offsets: Vector, partitions: Vector) -> None:
        order = np.argsort(offsets, kind="stable")
        self._offsets, self._partitions = offsets[order], partitions[order]

    def of(self, offset: int) -> set[int]:
        low, high = np.searchsorted(self._offsets, (offset, offset + 1)).tolist()
        return set(self._partitions[low:high].tolist())


def _equal_ones(batches: Batches, piece: Vector, partition: Vector) -> Vector:
    """For each batch that is equal to one of a larger piece, that one; -1 for the others."""
    size = np.bincount(piece, minlength=1)[piece] if len(piece) else piece
    order = np.lexsort((batches.position, batches.image, -size, batches.base_offset, partition))
    words = np.ascontiguousarray(batches.digest).view("<u8").reshape(-1, 4)[:, 0]
    order = order[np.argsort(words[order], kind="stable")]
    digest, where = batches.digest[order], partition[order]
    again = np.zeros(len(order), np.bool_)
    again[1:] = (digest[1:] == digest[:-1]) & (where[1:] == where[:-1])
    first = order[np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))] if len(order) else order
    same_as = np.full(len(order), -1, np.int64)
    same_as[order[again]] = first[again]
    same_as[partition < 0] = -1
    return same_as


def _copies(batches: Batches, piece: Vector, mine: Vector) -> list[Vector]:
    """The batches of one partition as few logs in which offsets rise; a piece stays together where it can."""
    base, last, epoch = batches.base_offset, batches.last_offset, batches.leader_epoch
    order = mine[np.lexsort((batches.position[mine], base[mine], piece[mine]))]
    units = np.split(order, np.flatnonzero(np.diff(piece[order])) + 1) if len(order) else []
    waiting = [(int(base[unit[0]]), number, unit) for number, unit in enumerate(units)]
    heapq.heapify(waiting)
    copies: list[list[Vector]] = []
    reached: list[tuple[int, int]] = []  # the last offset and the greatest leader epoch of each
    number = len(units)
    while waiting:
        _, _, unit = heapq.heappop(waiting)
        rising = _rising(base[unit], last[unit])
        fits, rest = unit[rising], unit[~rising]
        first, lowest = int(base[fits[0]]), int(epoch[fits[0]])
        which = next(
            (at for at, (offset, before) in enumerate(reached) if offset < first and (lowest < 0 or before <= lowest)),
            len(copies),
        )
        if which == len(copies):
            copies.append([])
            reached.append((-1, -1))
        copies[which].append(fits)
        reached[which] = int(last[fits[-1]]), max(reached[which][1], int(epoch[fits].max()))
        if len(rest):
            heapq.heappush(waiting, (int(base[rest[0]]), number, rest))
            number += 1
    return [np.concatenate(chosen) for chosen in copies]


def _rising(base: Vector, last: Vector) -> Mask:
    """Which batches, one after the other, begin behind all before them that do."""
    if np.all(base[1:] > last[:-1]):
        return np.ones(len(base), np.bool_)
    kept = np.zeros(len(base), np.bool_)
    reached = -1
    for index, (first, final) in enumerate(zip(base.tolist(), last.tolist(), strict=True)):
        if first > reached:
            kept[index], reached = True, final
    return kept


def _files(batches: Batches, piece: Vector, chosen: Vector) -> Iterator[Vector]:
    """A copy's batches, parted where offsets lack and the batches did not lie together."""
    base, last = batches.base_offset[chosen], batches.last_offset[chosen]
    head, tail = batches.head[chosen], batches.tail[chosen]
    end = np.where(tail < 0, batches.position[chosen] + head, tail + batches.size[chosen] - head)
    beside = (batches.image[chosen][1:] == batches.image[chosen][:-1]) & (batches.position[chosen][1:] == end[:-1])
    apart = (base[1:] != last[:-1] + 1) & ~beside
    yield from np.split(chosen, np.flatnonzero(apart) + 1)


def pieces_of(runs: int, links: Iterable[tuple[int, int]]) -> Vector:
    """Runs that are linked, as one piece: the piece of each run."""
    parent = list(range(runs))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    for one, other in links:
        parent[root(other)] = root(one)
    return np.asarray([root(run) for run in range(runs)], np.int64)
