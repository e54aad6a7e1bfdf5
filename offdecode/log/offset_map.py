"""Frames of one log to the map of its offsets: which of them the evidence holds whole, and which not, and why.

This is the one place that judges a hole in a log; what one copy of it lacks beside others is judged where copies are
read. VERDICTS is the table of it, which the reference pages show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from offdecode.log.batches import Frames
from offdecode.log.holes import Cleaning, Passage, Reached, pass_over
from offdecode.log.transactions import Status
from offdecode.model import Coverage, Gaps, Problem, Span, SpanState, Vector

_MOST_WAITING = 1000  # problems of holes that a later sign of cleaning may still explain
_MOST_SPANS = 100_000  # that a later sign of cleaning may still change; memory must not grow with the log


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a hole, or the absence of one, means. problem: whether it is one, of kind missing_offsets."""

    case: str
    state: SpanState
    problem: bool
    reason: str


BELOW_CHECKPOINT = Verdict(
    "the cleaner checkpoint is above it", SpanState.COMPACTED, False,
    "below the cleaner checkpoint: of each key only the latest record is sure to be here",
)  # fmt: skip
SERVED = Verdict(
    "in a log that a running broker serves", SpanState.COMPACTED, False,
    "the log cleaner has removed records: of each key only the latest record is sure to be here",
)  # fmt: skip
BEFORE_SIGN = Verdict(
    "a batch after it shows cleaning, above the checkpoint or without one", SpanState.COMPACTED, False,
    "batches up to here show cleaning: of each key only the latest record is sure to be here",
)  # fmt: skip
WITHIN_CLEANED = Verdict(
    "within a segment of a log with batches that show cleaning (not below the checkpoint)", SpanState.COMPACTED, False,
    BEFORE_SIGN.reason,
)  # fmt: skip
AFTER_SIGN = Verdict(
    "between segments, after the last batch that shows cleaning, above the checkpoint or without one",
    SpanState.UNDECIDED, False, "cleaned or missing: nothing tells how far the log cleaner came",
)  # fmt: skip
ABOVE_CHECKPOINT = Verdict(
    "the cleaner checkpoint is below it, and no batch above the checkpoint shows cleaning", SpanState.MISSING, True,
    "no batch with these offsets is here, and the cleaner checkpoint tells that the log was not cleaned here",
)  # fmt: skip
ACROSS_CHECKPOINT = Verdict(
    "the cleaner checkpoint lies within it", SpanState.MISSING, True,
    "divided at the checkpoint: the part below it is compacted, the rest is missing",
)  # fmt: skip
NOT_CLEANED = Verdict(
    "between segments; no checkpoint, and no batch shows cleaning", SpanState.MISSING, True,
    "no batch with these offsets is here, and nothing shows that the log was cleaned",
)  # fmt: skip
CUT_OUT = Verdict(
    "within a segment; no checkpoint, and no batch shows cleaning", SpanState.MISSING, True,
    "the bytes before and after join: no bytes were lost, whole batches were taken out, and nothing shows that "
    "the log cleaner did it",
)  # fmt: skip
OLD_FORMAT = Verdict(
    "before messages of format 0 or 1; no checkpoint, and no batch shows cleaning", SpanState.UNDECIDED, False,
    "cleaned or missing: messages of format 0 and 1 do not show cleaning",
)  # fmt: skip
BYTES_LOST = Verdict(
    "bytes at it cannot be read (a wrong checksum, a torn batch, other bytes)", SpanState.DAMAGED, True,
    "bytes that cannot be read",
)  # fmt: skip
BYTES_LOST_AT_END = Verdict(
    "bytes after the last batch cannot be read (nothing but zeros is no loss)", SpanState.DAMAGED, False,
    BYTES_LOST.reason,
)  # fmt: skip
RECORDS_LOST = Verdict(
    "a batch with a right checksum has records that cannot be read (a codec refuses its bytes, it is malformed)",
    SpanState.DAMAGED, False, "the batch is here with a right checksum, and records of it cannot be read",
)  # fmt: skip
OUTLIVED = Verdict(
    "compacted, in a log of several copies, behind a record that the log cleaner has removed from one of them",
    SpanState.UNDECIDED, False,
    "compacted, and a copy holds earlier records that another was cleaned of: what deleted their keys may be gone",
)  # fmt: skip
CARVED = Verdict(
    "between segments that were carved out of an image", SpanState.UNDECIDED, False,
    "cleaned, or not found in the image that the segments were carved out of",
)  # fmt: skip
BEFORE_FIRST_SEGMENT = Verdict(
    "from the log's start (the log-start checkpoint, else 0) to the first segment", SpanState.MISSING, False,
    "the segments that held these offsets are not here",
)  # fmt: skip
BEHIND_LAST_BATCH = Verdict(
    "from the last batch to the start of the last segment, which has none; no checkpoint, and no batch shows cleaning",
    SpanState.MISSING, True, NOT_CLEANED.reason,
)  # fmt: skip
BELOW_HIGH_WATERMARK = Verdict(
    "from the last batch to the high watermark (no problem where later segments of the directory are not read)",
    SpanState.MISSING, True, "below the high watermark, and behind all that is here: the end of the log is missing",
)  # fmt: skip
NO_HOLE = Verdict("no hole, and not between places where the cleaner removed records", SpanState.COMPLETE, False, "")

BEFORE_FIRST_BATCH = Verdict(
    "from the start of the first segment to its first batch; no checkpoint, and no batch shows cleaning",
    SpanState.MISSING, False, CUT_OUT.reason,
)  # fmt: skip

VERDICTS = (
    NO_HOLE, BELOW_CHECKPOINT, SERVED, BEFORE_SIGN, WITHIN_CLEANED, AFTER_SIGN, ABOVE_CHECKPOINT, ACROSS_CHECKPOINT,
    NOT_CLEANED, CUT_OUT, OLD_FORMAT, BYTES_LOST, BYTES_LOST_AT_END, RECORDS_LOST, OUTLIVED, CARVED,
    BEFORE_FIRST_SEGMENT, BEFORE_FIRST_BATCH, BEHIND_LAST_BATCH, BELOW_HIGH_WATERMARK,
)  # fmt: skip


class End(NamedTuple):
    """What a copy of a log tells of its end; None = nothing.

    last_named: the offset at which the last segment starts by its name. high_watermark: the first offset that may not
    have been committed.
    """

    last_named: int | None
    high_watermark: int | None


@dataclass(frozen=True, slots=True)
class Marks:
    """What names and checkpoints tell of a log's ends; None = nothing.

    named_offset: the offset at which the first segment starts by its name. log_start: the first offset that the log
    should have. ends: one of each copy. carved: the segments are from an image. to_the_end: whether there is no later
    segment beside them that is not read.
    """

    named_offset: int | None = None
    log_start: int | None = None
    ends: tuple[End, ...] = ()
    carved: bool = False
    to_the_end: bool = True


class OffsetMap:
    """Takes the frames of one log in order. What it knows so far can be asked at any time."""

    def __init__(self, log_partition: int | None, cleaning: Cleaning, marks: Marks) -> None:
        self._partition = log_partition
        self.cleaning = cleaning
        self._start = marks.log_start or 0
        self._named = marks.named_offset
        self._ends = marks.ends
        self._to_the_end = marks.to_the_end
        self._lost = CARVED if marks.carved else BYTES_LOST
        self._outlived: int | None = None  # the first offset that a copy has been cleaned of, and another not
        self._astray = 0  # a bit for each copy with a branch that did not stand: that is what its end is of
        self._reached = Reached()
        self._begun = self._any_batch = False
        self._time: int | None = None
        self._spans: list[Span] = []
        self._settled = 0  # spans that no later frames change
        self._cleaned_to = 0  # the offset after the last place where the cleaner removed something
        self._undecided: dict[Status, Span] = {}
        self._waiting: list[Problem] = []
        self._more = 0
        self.first_gap: int | None = None  # the first offset so far that is not here, or where records are gone
        self._losses = np.empty(0, np.int64)
        self._signs = False  # whether a batch so far shows cleaning that checkpoints do not tell of

    def add(self, frames: Frames, status: Vector) -> tuple[Problem, ...]:
        """The next frames, and the status of each: the problems of their offsets.

        Those of holes that later frames may explain come with `finish`.
        """
        if not self._begun:
            self._begin(frames)
        passage = pass_over(frames, self._reached)
        self.cleaning.add(passage)
        gone = None if frames.origin is None else frames.origin.first_gone
        if self._outlived is None and gone is not None:
            self._outlived = int(frames.base_offset[gone])
        if frames.lost is not None and frames.lost.origin is not None:
            self._astray |= int(np.bitwise_or.reduce(frames.lost.origin.copies))
        problems: list[Problem] = []
        if len(passage.valid):
            if self._reached.last_offset is None:
                self._lack_start(int(passage.base[0]), int(frames.max_timestamp[passage.valid[0]]))
            self._note_gaps(passage)
            self._settle(self._cleaned_in(passage))
            problems += self._add_runs(frames, passage)
            self._any_batch = True
        self._reached = passage.after
        for one in (Status.OPEN, Status.UNKNOWN):
            self._note_undecided(one, frames, np.flatnonzero((status == one) & frames.crc_valid))
        return tuple(problems)

    @property
    def gaps(self) -> Gaps:
        """What is not here, as far as this was read."""
        return Gaps(self.first_gap, self._losses)

    def finish(self) -> tuple[Problem, ...]:
        """The problems that no later frame explained, when the log is through."""
        found = [] if self.cleaning.shown else [*self._waiting]
        if self._more and not self.cleaning.shown:
            more = f"{self._more} more holes in the offsets, which nothing shows to be the log cleaner's"
            found.append(Problem("missing_offsets", self._reached.segment or "", more))
        if self._to_the_end:
            found += [
                Problem("missing_offsets", self._reached.segment or "", f"offsets {span.first_offset} to "
                        f"{span.last_offset} are missing: {span.reason}", self._partition, log_offset=span.first_offset)
                for verdict, span in self._behind() if verdict.problem
            ]  # fmt: skip
        return tuple(found)

    @property
    def coverage(self) -> Coverage:
        """What was found so far."""
        spans = self._spans[: self._settled]
        for span in self._spans[self._settled :]:
            if self.cleaning.shown and span.state is SpanState.MISSING and span.first_offset >= self._cleaned_to:
                span = replace(span, state=AFTER_SIGN.state, reason=AFTER_SIGN.reason)
            _append(spans, span)
        if self._outlived is not None:
            spans = list(_doubted(spans, self._outlived))
        end, over = self._end, tuple(self._undecided.values())
        if self._reached.broken:
            spans.append(Span(SpanState.DAMAGED, end, None, self._time, None, BYTES_LOST_AT_END.reason))
        for _, span in self._behind():
            _append(spans, span)
        high_watermark = self._told().high_watermark
        if high_watermark is not None and end > high_watermark:
            reason = "not known to be replicated when the checkpoint was written"
            state = SpanState.ABOVE_HIGH_WATERMARK
            over = (Span(state, high_watermark, end - 1, None, self._time, reason), *over)
        return Coverage(self._partition, self._reached.last_offset, tuple(spans), over)

    @property
    def _end(self) -> int:
        """The offset after the last one that was read."""
        last = self._reached.last_offset
        return self._start if last is None else last + 1

    def _told(self) -> End:
        """The furthest that the copies whose history stood tell of the end."""
        stood = [end for copy, end in enumerate(self._ends) if not self._astray >> copy & 1]
        return End(_furthest(end.last_named for end in stood), _furthest(end.high_watermark for end in stood))

    def _behind(self) -> Iterator[tuple[Verdict, Span]]:
        """What the log had behind the last batch, by the names of segments and the high watermark."""
        if self._reached.broken:
            return
        end, told = self._end, self._told()
        border = self.cleaning.checkpoint or 0
        unsure = AFTER_SIGN if self.cleaning.shown else BEHIND_LAST_BATCH
        marks = (
            (None if self._begun else self._named, BEFORE_FIRST_SEGMENT),
            (told.last_named, BELOW_CHECKPOINT if border > end else unsure),
            (told.high_watermark, SERVED if self.cleaning.served > end else BELOW_HIGH_WATERMARK),
        )
        for mark, verdict in marks:
            if mark is not None and mark > end:
                yield verdict, Span(verdict.state, end, mark - 1, self._time, None, verdict.reason)
                end = mark

    def _begin(self, frames: Frames) -> None:
        """Where the first segment's name tells its offset, the log starts there."""
        self._begun = True
        if self._named is None:
            return
        self._lack_start(self._named, int(frames.max_timestamp[0]) if len(frames) else -1)
        self._reached = Reached(max(self._start, self._named) - 1, frames.chunk.segment)

    def _lack_start(self, first: int, time: int) -> None:
        if self._start < first:
            verdict = BEFORE_FIRST_SEGMENT
            self._add(Span(verdict.state, self._start, first - 1, None, _known(time), verdict.reason))
            self.first_gap, self._settled = self._start, len(self._spans)

    def _note_gaps(self, passage: Passage) -> None:
        places = [passage.before[passage.hole[:1]] + 1, passage.base[np.flatnonzero(passage.cleaned)[:1]]]
        self.first_gap = min(np.concatenate(places).tolist() + ([] if self.first_gap is None else [self.first_gap]),
                             default=None)  # fmt: skip
        shown = passage.cleaned & (passage.base >= self.cleaning.told)
        signs = np.cumsum(np.concatenate(([self._signs], shown)))
        cleaners = (passage.base[passage.hole] <= self.cleaning.told) | (signs[passage.hole] > 0)
        lost = passage.hole[passage.broken | ~cleaners]
        if len(lost):
            self._losses = np.concatenate((self._losses, passage.before[lost] + 1))
        self._signs = bool(signs[-1])

    def _cleaned_in(self, passage: Passage) -> int:
        """The offset after the last place in the passage where the cleaner removed something; 0 if nowhere."""
        border = self.cleaning.border
        holes = passage.hole[~passage.broken]
        ends = np.minimum(passage.base[holes], border)[passage.before[holes] + 1 < border]
        return int(max(ends.max(initial=0), (passage.last[passage.cleaned] + 1).max(initial=0)))

    def _settle(self, cleaned_to: int) -> None:
        """What lies between places where the cleaner removed something is compacted."""
        if cleaned_to <= self._cleaned_to:
            return
        self._cleaned_to = cleaned_to
        spans, opened = self._spans[: self._settled], self._spans[self._settled :]
        for span in opened:
            whole = span.state is SpanState.COMPLETE and (span.last_offset or 0) < (self.first_gap or 0)
            kept = whole or span.reason == self._lost.reason or span.first_offset >= cleaned_to
            _append(spans, span if kept else self._compacted(span))
        self._spans, self._settled = spans, len(spans)
        self._waiting = [problem for problem in self._waiting if (problem.log_offset or 0) >= cleaned_to]
        if self.cleaning.shown:
            self._more = 0

    def _compacted(self, span: Span) -> Span:
        below = self.cleaning.checkpoint is not None and span.first_offset < self.cleaning.checkpoint
        verdict = BELOW_CHECKPOINT if below else SERVED if span.first_offset < self.cleaning.served else BEFORE_SIGN
        return replace(span, state=verdict.state, reason=verdict.reason)

    def _add_runs(self, frames: Frames, passage: Passage) -> Iterator[Problem]:
        """Add the batches, and the holes that are not the cleaner's work; their problems."""
        times = np.maximum.accumulate(np.concatenate((
            [-1 if self._time is None else self._time], frames.max_timestamp[passage.valid]
        )))  # fmt: skip
        counts = passage.broken | (passage.base[passage.hole] > self.cleaning.border)
        holes = dict(zip(passage.hole[counts].tolist(), np.flatnonzero(counts).tolist(), strict=True))
        for start, end in pairwise(sorted({0, *holes, len(passage.valid)})):
            first = int(passage.before[start]) + 1
            if start in holes:
                last = int(passage.base[start]) - 1
                span = Span(SpanState.COMPLETE, first, last, _known(times[start]), _known(times[start + 1]), "")
                yield from self._add_hole(frames, passage, holes[start], span)
                first = last + 1
            self._add_run(passage, times, first, (start, end))
        self._time = _known(times[-1])

    def _add_run(self, passage: Passage, times: Vector, first: int, run: tuple[int, int]) -> None:
        """Add batches and the cleaner's holes between them: compacted from the first gap to where it cleaned."""
        start, end = run
        final = int(passage.before[end])
        borders = {first, final + 1}
        borders |= {at for at in (self.first_gap, self._cleaned_to) if at is not None and first < at <= final}
        for one, after in pairwise(sorted(borders)):
            # The batches of this part: from the first that reaches `one` to the last that ends before `after`.
            low, high = (start + np.searchsorted(passage.before[start + 1 : end + 1], (one, after))).tolist()
            early = times[low + 1 if passage.base[low] <= one else low]
            late = times[high + 1 if passage.before[high] < after - 1 else high]
            span = Span(SpanState.COMPLETE, one, after - 1, _known(early), _known(late), "")
            cleaned = self.first_gap is not None and self.first_gap <= one < self._cleaned_to
            self._add(self._compacted(span) if cleaned else span)

    def _add_hole(self, frames: Frames, passage: Passage, which: int, span: Span) -> Iterator[Problem]:
        """Add a hole at which bytes were lost, or that ends above the border."""
        index = int(passage.valid[passage.hole[which]])
        at_start = passage.hole[which] == 0 and not self._any_batch
        if passage.broken[which]:
            self._add(replace(span, state=self._lost.state, reason=self._lost.reason))
            if self._lost.problem and not at_start:
                yield _problem(frames, index, span, ": bytes were lost here")
            return
        border = self.cleaning.border
        if span.first_offset < border:
            self._add(self._compacted(replace(span, last_offset=border - 1)))
            span = replace(span, first_offset=border)
        joined = bool(passage.joined[which])
        verdict = self._verdict(joined=joined, old_format=bool(frames.magic[index] < 2))
        self._add(replace(span, state=verdict.state, reason=verdict.reason))
        if not verdict.problem or at_start:
            return
        if len(self._waiting) < _MOST_WAITING:
            note = ", though the bytes before and after them join" if joined else ""
            self._waiting.append(_problem(frames, index, span, note))
        else:
            self._more += 1

    def _verdict(self, *, joined: bool, old_format: bool) -> Verdict:
        """What a hole above the border is, as long as no later batch shows cleaning."""
        if self.cleaning.shown:
            return AFTER_SIGN
        if self.cleaning.checkpoint is not None:
            return ABOVE_CHECKPOINT
        if old_format:
            return OLD_FORMAT
        return CUT_OUT if joined else NOT_CLEANED

    def _add(self, span: Span) -> None:
        if len(self._spans) - self._settled > _MOST_SPANS:
            span = replace(span, state=SpanState.UNDECIDED, reason="more holes than are listed")
        _append(self._spans, span, self._settled)

    def _note_undecided(self, status: Status, frames: Frames, which: Vector) -> None:
        if not len(which):
            return
        known = self._undecided.get(status)
        is_open = status is Status.OPEN
        words = "transactions are still open" if is_open else "bytes that may decide transactions are lost"
        first, last = int(frames.base_offset[which].min()), int(frames.last_offset[which].max())
        early, late = int(frames.max_timestamp[which].min()), int(frames.max_timestamp[which].max())
        if known is not None:
            first, last = min(first, known.first_offset), max(last, known.last_offset or 0)
            early, late = min(early, known.first_timestamp or early), max(late, known.last_timestamp or late)
        self._undecided[status] = Span(SpanState.UNDECIDED, first, last, early, late, f"{words} in this range")


def _doubted(spans: list[Span], outlived: int) -> Iterator[Span]:
    """The spans; what is compacted from an offset on is doubtful."""
    for span in spans:
        last = span.last_offset
        if span.state is not SpanState.COMPACTED or last is None or last < outlived:
            yield span
            continue
        if span.first_offset < outlived:
            yield replace(span, last_offset=outlived - 1)
        first = max(span.first_offset, outlived)
        yield replace(span, first_offset=first, state=OUTLIVED.state, reason=OUTLIVED.reason)


def _append(spans: list[Span], span: Span, start: int = 0) -> None:
    """Add a span, or make the last one longer where it says the same. Spans before `start` are left alone."""
    if len(spans) > start and spans[-1].state is span.state and spans[-1].reason == span.reason:
        spans[-1] = replace(spans[-1], last_offset=span.last_offset, last_timestamp=span.last_timestamp)
    else:
        spans.append(span)


def _problem(frames: Frames, index: int, span: Span, note: str) -> Problem:
    message = f"offsets {span.first_offset} to {span.last_offset} are missing{note}"
    return frames.problem(index, "missing_offsets", message, span.first_offset)


def _furthest(marks: Iterable[int | None]) -> int | None:
    return max((mark for mark in marks if mark is not None), default=None)


def _known(time: int | np.int64) -> int | None:
    return int(time) if time >= 0 else None
