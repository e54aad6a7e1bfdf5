"""Batches with a right checksum whose records cannot all be read: what that says about the offsets of their log."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from offdecode.log.offset_map import RECORDS_LOST
from offdecode.log.records import Records
from offdecode.model import LARGEST_INT64, Coverage, Gaps, Span, SpanState

_NOT_HERE = (SpanState.MISSING, SpanState.DAMAGED)


class LostRecords:
    """Is told of the records of one log in order: it does not show before they are decoded that some cannot be read."""

    def __init__(self) -> None:
        self._lost: dict[int, Span] = {}  # by first offset

    def note(self, records: Records) -> None:
        """The next records, and the problems with their batches."""
        if not records.problems:
            return
        frames = records.frames
        batch = {first: index for index, first in enumerate(frames.base_offset.tolist())}
        for first in {problem.log_offset for problem in records.problems} - {None}:
            assert first is not None
            index = batch.get(first)  # None: a message within a wrapper
            last = first if index is None else max(first, int(frames.last_offset[index]))
            time = -1 if index is None else int(frames.max_timestamp[index])
            self._lost[first] = _lost(first, last, time)

    def gaps(self, gaps: Gaps) -> Gaps:
        """What the log lacks, with these records."""
        if not self._lost:
            return gaps
        first = min(self._lost) if gaps.first is None else min(gaps.first, *self._lost)
        return Gaps(first, np.union1d(gaps.lost, np.fromiter(self._lost, np.int64)))

    def coverage(self, coverage: Coverage) -> Coverage:
        """What the evidence holds of the log, without these records."""
        if not self._lost:
            return coverage
        lost = list(_joined(self._lost[first] for first in sorted(self._lost)))
        ends = [_last(span) for span in lost]
        spans = tuple(part for span in coverage.spans for part in _without(span, lost, ends))
        return replace(coverage, spans=spans)


def _lost(first: int, last: int, time: int) -> Span:
    known = None if time < 0 else time
    return Span(RECORDS_LOST.state, first, last, known, known, RECORDS_LOST.reason)


def _last(span: Span) -> int:
    return LARGEST_INT64 if span.last_offset is None else span.last_offset


def _joined(spans: Iterator[Span]) -> Iterator[Span]:
    """The same offsets in spans that do not touch. spans: by their first offsets."""
    before = next(spans)
    for span in spans:
        if span.first_offset > _last(before) + 1:
            yield before
            before = span
        elif _last(span) > _last(before):
            before = replace(before, last_offset=span.last_offset, last_timestamp=span.last_timestamp)
    yield before


def _without(span: Span, lost: Sequence[Span], ends: Sequence[int]) -> Iterator[Span]:
    """A span as it is before, within and behind ranges whose records are lost. ends: their last offsets."""
    at = len(lost) if span.state in _NOT_HERE else bisect_left(ends, span.first_offset)
    while at < len(lost) and lost[at].first_offset <= _last(span):
        first, last = max(lost[at].first_offset, span.first_offset), min(ends[at], _last(span))
        if first > span.first_offset:
            yield replace(span, last_offset=first - 1)
        yield replace(lost[at], first_offset=first, last_offset=last)
        if last == _last(span):
            return
        span = replace(span, first_offset=last + 1)
        at += 1
    yield span
