"""Frames of one log to its completeness map: which offsets and times the evidence holds whole, and which not."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np

from offdecode.log.batches import Frames
from offdecode.log.transactions import Status
from offdecode.model import Vector


class State(StrEnum):
    """What the evidence says about a range of offsets."""

    COMPLETE = "complete"  # every record that was written is here
    COMPACTED = "compacted"  # the log cleaner was here: the latest value of a key, but not every earlier one
    MISSING = "missing"  # no bytes of it are here, and cleaning does not explain that
    DAMAGED = "damaged"  # bytes are here that cannot be read
    UNDECIDED = "undecided"  # cannot be told: cleaned or missing; or the transaction's end is not known
    ABOVE_HIGH_WATERMARK = "above_high_watermark"  # here, but perhaps never committed to the topic


@dataclass(frozen=True, slots=True)
class Span:
    """A range of log offsets, both ends included. last_offset None = without a known end.

    first_timestamp, last_timestamp: the greatest batch times (ms since 1970 UTC) at or before the range and in it;
    None where no batch tells.
    """

    state: State
    first_offset: int
    last_offset: int | None
    first_timestamp: int | None
    last_timestamp: int | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "state": str(self.state)}


@dataclass(frozen=True, slots=True)
class CompletenessMap:
    """The spans of one partition. They tile the log by offset; those that say `above_high_watermark`, or `undecided`
    because of transactions, come behind and lie over the others."""

    log_partition: int | None
    spans: tuple[Span, ...]

    def gaps(self, *, offset: int | None = None, time: int | None = None) -> tuple[Span, ...]:
        """The spans up to a log offset, or to a time in ms since 1970 UTC (both included), that are not complete.

        No span means: all evidence is here. Without either, the whole log is asked about.
        """
        return tuple(
            span
            for span in self.spans
            if span.state is not State.COMPLETE
            and (offset is None or span.first_offset <= offset)
            and (time is None or span.first_timestamp is None or span.first_timestamp <= time)
        )

    def is_complete(self, *, offset: int | None = None, time: int | None = None) -> bool:
        """Whether the evidence up to there is all here."""
        return not self.gaps(offset=offset, time=time)


class CompletenessBuilder:
    """Takes the frames of one log in order.

    start: the first offset that the log should have. cleaner: the first offset that was never cleaned;
    high_watermark: the first that may not have been committed; both None where not known.
    """

    def __init__(
        self, log_partition: int | None, start: int = 0, cleaner: int | None = None, high_watermark: int | None = None
    ) -> None:
        self._partition = log_partition
        self._cleaner = cleaner
        self._high_watermark = high_watermark
        self._next = start
        self._time: int | None = None
        self._broken = False
        self._last_sign = -1  # the last offset that shows cleaning
        self._border_time: int | None = None  # of the last batch that cleaning may have come to
        self._spans: list[Span] = []
        self._open: dict[Status, Span] = {}

    def add(self, frames: Frames, status: Vector) -> None:
        """The next frames, and the status of each."""
        valid = np.flatnonzero(frames.crc_valid)
        breaks = set(np.searchsorted(valid, np.asarray(frames.breaks, np.int64)).tolist())
        base, last = frames.base_offset[valid], frames.last_offset[valid]
        times = np.maximum.accumulate(np.concatenate(([-1 if self._time is None else self._time],
                                                      frames.max_timestamp[valid])))  # fmt: skip
        ends = np.maximum.accumulate(np.concatenate(([self._next - 1], last)))
        signs = np.flatnonzero((frames.count[valid] < last - base + 1) | frames.delete_horizon[valid])
        if len(signs):
            self._last_sign = max(self._last_sign, int(last[signs].max()))
        behind = signs if self._cleaner is None else np.flatnonzero(last < self._cleaner)
        if len(behind):
            self._border_time = _known(int(times[behind[-1] + 1]))
        borders = sorted({0, *np.flatnonzero(base > ends[:-1] + 1).tolist(), len(valid)})
        for start, end in pairwise(borders):
            broken = self._broken or any(start == at for at in breaks)
            self._hole(int(ends[start]) + 1, int(base[start]) - 1, broken, int(times[start]), int(times[start + 1]))
            first, final = max(int(base[start]), int(ends[start]) + 1), int(ends[end])
            if first <= final:
                early, late = _known(int(times[start + 1])), _known(int(times[end]))
                self._add(Span(State.COMPLETE, first, final, early, late, ""))
            self._broken = False
        if len(valid):
            self._broken = len(valid) in breaks
            self._next, self._time = int(ends[-1]) + 1, _known(int(times[-1]))
        else:
            self._broken |= bool(breaks)
        for one in (Status.OPEN, Status.UNKNOWN):
            self._note_undecided(one, frames, np.flatnonzero((status == one) & frames.crc_valid))

    def _note_undecided(self, status: Status, frames: Frames, which: Vector) -> None:
        if not len(which):
            return
        known = self._open.get(status)
        is_open = status is Status.OPEN
        words = "transactions are still open" if is_open else "bytes that may decide transactions are lost"
        first, last = int(frames.base_offset[which].min()), int(frames.last_offset[which].max())
        early, late = int(frames.max_timestamp[which].min()), int(frames.max_timestamp[which].max())
        if known is not None:
            first, last = min(first, known.first_offset), max(last, known.last_offset or 0)
            early, late = min(early, known.first_timestamp or early), max(late, known.last_timestamp or late)
        self._open[status] = Span(State.UNDECIDED, first, last, early, late, f"{words} in this range")

    def _hole(self, first: int, last: int, broken: bool, before: int, after: int) -> None:
        if first > last:
            return
        state, reason = (State.DAMAGED, "bytes that cannot be read") if broken else (State.MISSING, "")
        self._add(Span(state, first, last, _known(before), _known(after), reason))

    def _add(self, span: Span) -> None:
        if self._spans and self._spans[-1].state is span.state and self._spans[-1].reason == span.reason:
            before = self._spans[-1]
            self._spans[-1] = replace(before, last_offset=span.last_offset, last_timestamp=span.last_timestamp)
        else:
            self._spans.append(span)

    def result(self) -> CompletenessMap:
        """The map, when the log is through."""
        built, self._spans = self._spans, []
        cleaned = self._last_sign + 1 if self._cleaner is None else self._cleaner
        sure = self._cleaner is not None
        for span in built:
            self._place(span, cleaned, sure)
        if self._broken:
            self._add(Span(State.DAMAGED, self._next, None, self._time, None, "bytes that cannot be read"))
        if self._high_watermark is not None and self._next > self._high_watermark:
            reason = "not known to be replicated when the checkpoint was written"
            above = Span(
                State.ABOVE_HIGH_WATERMARK, self._high_watermark, self._next - 1, None, self._time, reason
            )
            self._spans.append(above)
        return CompletenessMap(self._partition, (*self._spans, *self._open.values()))

    def _place(self, span: Span, cleaned: int, sure: bool) -> None:
        """Add a span as cleaning explains it: what lies below `cleaned` is compacted."""
        assert span.last_offset is not None
        if span.state is State.DAMAGED:
            self._add(span)
        elif span.first_offset < cleaned:
            last = min(span.last_offset, cleaned - 1)
            reason = "below the cleaner checkpoint" if sure else "batches up to here show cleaning"
            whole = last == span.last_offset
            late = span.last_timestamp if whole else self._border_time
            self._add(replace(span, state=State.COMPACTED, last_offset=last, last_timestamp=late, reason=reason))
            if not whole:
                self._place(replace(span, first_offset=last + 1, first_timestamp=self._border_time), cleaned, sure)
        elif span.state is State.MISSING and not sure and self._last_sign >= 0:
            self._add(replace(span, state=State.UNDECIDED, reason="cleaned or missing: no checkpoint tells"))
        elif span.state is State.MISSING:
            self._add(replace(span, reason="no batch with these offsets is here"))
        else:
            self._add(span)


def _known(time: int) -> int | None:
    return time if time >= 0 else None
