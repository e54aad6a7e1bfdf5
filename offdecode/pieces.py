"""A request's logs in pieces that processes on any machine can read, each by itself, and again where one failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from offdecode.errors import SourceError, UsageError
from offdecode.evidence import Evidence, SegmentEvidence, Step, open_evidence
from offdecode.model import Problem
from offdecode.request import Request, Stats
from offdecode.sources.locations import is_live, is_standard_input

MOST_BYTES = 256 << 20


class Cut(Enum):
    """Where an answer may be cut without a change to its rows.

    ROWS: anywhere, as a row tells of one record. LOGS: by log, as a row takes what came before it. NOT: logs tell of
    each other.
    """

    ROWS = "rows"
    LOGS = "logs"
    NOT = "not"


@dataclass(frozen=True, slots=True)
class Piece:
    """What one process reads: a log, or a range of it; of several copies of a log all of them.

    log_partition: None = all logs. part: which of `parts` ranges, about equal in bytes. size: bytes of segments.
    problems: of paths that lead nowhere, which are told with this piece. merged: whether any log, of this piece or not,
    lies in several copies: then all rows say how many.
    """

    log_partition: int | None
    size: int
    part: int = 0
    parts: int = 1
    problems: tuple[Problem, ...] = ()
    merged: bool = False

    def evidence(self, request: Request) -> Evidence:
        """What the request's paths lead to, but only this piece of it."""
        if self.log_partition is None and self.parts == 1:
            return open_evidence(request)
        if self.log_partition is not None:
            source = replace(request.source, log_partitions=(self.log_partition,))
            request = replace(request, source=source)
        return _EvidencePiece(request, self)


class _EvidencePiece(SegmentEvidence):
    """The steps of a piece. Those before it in its log are gone through, but not decoded."""

    def __init__(self, request: Request, piece: Piece) -> None:
        super().__init__(request)
        self.problems = piece.problems
        self.merged = piece.merged
        self._piece = piece

    def steps(self, stats: Stats) -> Iterator[Step]:
        piece, total, done = self._piece, max(self.size, 1), 0
        for step in super().steps(stats):
            part = min(done * piece.parts // total, piece.parts - 1)
            done += step.size
            if part > piece.part:
                return
            if part == piece.part:
                yield step

    def refuse_if_none(self, refused: Sequence[SourceError]) -> None:
        """Other pieces may hold a log: what is none is a problem."""


def pieces_of(request: Request, cut: Cut, most_bytes: int) -> list[Piece]:
    """The pieces of a request, in the order of its rows: of at most so many bytes where the cut allows it.

    Raises UsageError for standard input; SourceError where there are no logs.
    """
    if most_bytes < 1:
        raise UsageError("a piece has at least one byte")
    if any(map(is_standard_input, request.source.paths)):
        raise UsageError("standard input is read once: copy it to a file, of which every process can read its piece")
    if any(map(is_live, request.source.paths)):
        raise UsageError("a running cluster gives something else each time: have `offdecode tail` write its rows first")
    evidence = open_evidence(request)
    if evidence.exported:
        return [Piece(None, evidence.size)]
    if not evidence.logs:
        evidence.refuse_if_none([])
    sizes: dict[int | None, int] = {}
    for log in evidence.logs:
        sizes[log.log_partition] = sizes.get(log.log_partition, 0) + log.size
    if None in sizes or cut is Cut.NOT:  # a log without a number is not found by it
        sizes = {None: evidence.size}
    found: list[Piece] = []
    for log_partition, size in sizes.items():
        parts = -(-size // most_bytes) if cut is Cut.ROWS else 1
        for part in range(max(parts, 1)):
            bytes_of = size * (part + 1) // parts - size * part // parts if parts else 0
            problems = () if found else evidence.problems
            found.append(Piece(log_partition, bytes_of, part, max(parts, 1), problems, evidence.merged))
    return found
