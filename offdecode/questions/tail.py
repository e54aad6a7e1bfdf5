"""A live topic to decoded chunks: round by round, each partition as the bounded log that it is at that moment.

A round reads a partition from the first record that has not left yet to its end, so the transaction rules of a file
apply as they are. Rows leave up to the first batch whose transaction is undecided and was first seen less than the
hold ago; what stays is read again in a later round, from the bytes that the source keeps.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from offdecode.errors import SourceError
from offdecode.evidence import Step, StepReader
from offdecode.log.batches import Frames, read_frames
from offdecode.log.headers import entry_with, whole_entries
from offdecode.log.holes import Cleaning
from offdecode.log.transactions import Place, Status, TransactionResolver
from offdecode.logs import looks_like_offsets
from offdecode.model import LARGEST_INT64, Problem, Vector
from offdecode.options import OFFSETS_TOPIC
from offdecode.request import Request, Stats
from offdecode.schemas.placement import partition_for
from offdecode.sources.client_config import Security, read_security
from offdecode.sources.kafka_client import EARLIEST, LATEST, TopicLayout
from offdecode.sources.live import Interrupted, LiveTopic

__all__ = ["Beginning", "Interrupted", "Security", "Tail", "TailStep", "read_security"]

_TOPIC_POLL_SECONDS = 1.0

Beginning = Literal["earliest", "latest"] | int


@dataclass(slots=True)
class _Log:
    """Where a partition stands. position: offset from which no row has left. first: rows before it are not wanted.

    ends: (end of the log, when it was there), for as long as the hold. due: when held rows leave at the latest.
    complete: whether nothing could follow what was read, as far as was known then.
    """

    number: int
    first: int
    position: int
    read_to: int = -1
    due: float | None = None
    complete: bool = False
    ends: deque[tuple[int, float]] = field(default_factory=deque)
    judged: bool | None = None
    told: set[tuple[int, int]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class TailStep:
    """A piece of work of one partition. When its rows are safe, reading can go on at `next_offset`."""

    step: Step
    log_partition: int
    next_offset: int


class Tail:
    """Follows the partitions of an offsets topic. offsets: where to go on, by partition (TailStep.next_offset)."""

    @classmethod
    def of(cls, servers: str, security: Security, request: Request, hold_seconds: float) -> Tail:
        """Follow a topic of the cluster that these servers lead to."""
        topic = LiveTopic(servers, security, request.source.topic_name, whole_entries, entry_with)
        return cls(topic, request, hold_seconds)

    def __init__(self, topic: LiveTopic, request: Request, hold_seconds: float) -> None:
        self.topic = topic
        self.stats = Stats()
        self.ends: dict[int, int] = {}  # the high watermarks at the start
        self._request = request
        self._hold = hold_seconds
        self.reader = StepReader(request, self.stats)
        self._logs: dict[int, _Log] = {}
        self._last = False

    @property
    def offsets(self) -> dict[int, int]:
        return {number: log.position for number, log in sorted(self._logs.items())}

    @property
    def cluster(self) -> str | None:
        return self.topic.cluster

    @property
    def behind(self) -> int:
        """How many offsets lie between what has left and the high watermarks."""
        marks = ((self.topic.high_watermark(number), log.position) for number, log in self._logs.items())
        return sum(max(mark - position, 0) for mark, position in marks)

    @property
    def caught_up(self) -> bool:
        """Whether everything that was there at the start has been read; held rows count as read."""
        return all(log.read_to >= self.ends[number] for number, log in self._logs.items() if number in self.ends)

    def stop(self) -> None:
        """Ask for the end, from a signal handler too."""
        self.topic.stopping = True

    def open(self, beginning: Beginning, saved: dict[int, int], *, wait_topic: bool) -> None:
        """Connect and find out where to begin. saved: offsets of an earlier run, which go before `beginning`."""
        layout = self._layout(wait_topic)
        if layout is None:
            return  # stopped while waiting
        wanted = self._wanted_partitions(layout)
        missing = sorted(wanted - layout.leaders.keys())
        if missing:
            raise SourceError(self.topic.topic, f"has {len(layout.leaders)} partitions, there is no {missing[0]}")
        layout = replace(layout, leaders={number: layout.leaders[number] for number in sorted(wanted)})
        self.ends = self.topic.offsets(layout, LATEST)
        starts = self.topic.offsets(layout, EARLIEST)
        if saved:
            starts |= {number: offset for number, offset in saved.items() if number in starts}
        elif beginning == "latest":
            starts = dict(self.ends)
        elif beginning != "earliest":
            found = self.topic.offsets(layout, beginning)
            starts = {number: self.ends[number] if offset < 0 else offset for number, offset in found.items()}
        self.topic.take_new(wanted.__contains__ if self._narrowed else lambda number: True)
        self.topic.follow(layout, starts, self.ends)
        self._find_logs()

    def _layout(self, wait_topic: bool) -> TopicLayout | None:
        while True:
            layout = self.topic.connect()
            if layout is not None:
                return layout
            if not wait_topic:
                raise SourceError(
                    self.topic.topic, "there is no such topic yet (it comes with the first commit); --wait-topic waits"
                )
            if self.topic.stopping:
                return None
            time.sleep(_TOPIC_POLL_SECONDS)

    @property
    def _narrowed(self) -> bool:
        return bool(self._request.source.log_partitions) or self._one_place

    @property
    def _one_place(self) -> bool:
        """Whether the wanted groups tell which partitions to read. A copy of the topic may have other ones."""
        rows, topic = self._request.rows, self._request.source.topic_name
        return bool(rows.groups) and rows.group_regex is None and topic == OFFSETS_TOPIC

    def _wanted_partitions(self, layout: TopicLayout) -> set[int]:
        if self._request.source.log_partitions:
            return set(self._request.source.log_partitions)
        if self._one_place:
            return {partition_for(group, len(layout.leaders)) for group in self._request.rows.groups}
        return set(layout.leaders)

    def _find_logs(self) -> None:
        for number, start in sorted(self.topic.starts.items()):
            if number not in self._logs:
                self._logs[number] = _Log(number, start, start)
        self.stats.segments = len(self._logs)

    def close(self) -> None:
        self.topic.close()

    def catch_up(self) -> Iterator[TailStep]:
        """Everything up to the high watermarks of the start; what is undecided there leaves as open."""
        for number, log in self._logs.items():
            before = -1
            while before < log.position < self.ends[number]:
                before = log.position
                yield from self._round(log, self.ends[number])

    def sweep(self) -> Iterator[TailStep]:
        """A round of each partition that has news."""
        self._find_logs()
        for number, log in self._logs.items():
            end = self.topic.known_end(number)
            now = time.monotonic()
            complete = end >= self.topic.high_watermark(number)
            # What is no longer kept is not read over and over while a transaction is waited for.
            news = (end > log.read_to or complete > log.complete) and (
                log.due is None or end <= self.topic.kept_until(number)
            )
            if news or (log.due is not None and now >= log.due):
                log.complete = complete
                if complete:
                    log.ends.append((end, now))
                yield from self._round(log, end, hold=self._hold if complete else math.inf)
            else:
                yield from self._jumps(log)

    def last_sweep(self) -> Iterator[TailStep]:
        """After `stop`: what is fetched and held still. Only where all is known up to the end, as open."""
        self._last = True
        for number, log in self._logs.items():
            end = self.topic.kept_until(number)
            yield from self._round(log, end, None if end >= self.topic.high_watermark(number) else math.inf)

    def _round(self, log: _Log, end: int, hold: float | None = None) -> Iterator[TailStep]:
        """What may leave of a partition that is known up to `end`. hold: None = nothing is waited for."""
        log.due = None
        first_offset = log.first if log.position <= log.first else None
        resolver = TransactionResolver(partial(self._frames, log, end), Cleaning(served=LARGEST_INT64))
        for whole, whole_status in resolver:
            if log.judged is None:
                log.judged = looks_like_offsets(whole, whole.chunk.segment)
            kept = len(whole) if hold is None else self._may_leave(log, whole, whole_status, hold)
            frames, status = whole.first(kept), whole_status[:kept]
            if kept or not len(whole):
                problems = frames.problems
                if hold is not None:
                    problems += tuple(self._open_problems(log, frames, status))
                size = frames.next_position - frames.chunk.position
                after = int(frames.last_offset[-1]) + 1 if kept else log.position
                step = Step(problems, size, frames=frames, status=status, first_offset=first_offset)
                yield TailStep(step, log.number, after)
                log.position = max(log.position, after)
                self.topic.release(log.number, log.position)
                if self.topic.stopping and not self._last:
                    raise Interrupted
            if kept < len(whole):
                log.read_to = max(log.read_to, end)
                return
        log.read_to = max(log.read_to, end)
        yield from self._jumps(log)

    def _jumps(self, log: _Log) -> Iterator[TailStep]:
        jump = self.topic.jump(log.number, log.position)
        if jump is not None:
            to, problem = jump
            yield TailStep(Step((problem,)), log.number, to)
            log.first = log.position = log.read_to = to  # a batch may begin before it
            log.ends.clear()

    def _frames(self, log: _Log, end: int, place: Place) -> Iterator[tuple[Place, Frames]]:
        """The partition's batches from an offset on; a Place's position is an offset here."""
        for after, chunk in self.topic.read(log.number, max(place.position, log.position), end):
            frames = read_frames(chunk)
            yield Place(0, after), frames.first(int(np.count_nonzero(frames.base_offset < end)))

    def _may_leave(self, log: _Log, frames: Frames, status: Vector, hold: float) -> int:
        """How many batches may leave: all up to the first undecided one that is still waited for."""
        now = time.monotonic()
        while len(log.ends) > 1 and log.ends[1][1] + hold <= now:
            log.ends.popleft()
        waited_for = log.ends[0][0] if log.ends and log.ends[0][1] + hold <= now else -1
        waiting = np.flatnonzero((status == Status.OPEN) & (frames.last_offset >= waited_for))
        if not waiting.size:
            return len(frames)
        offset = int(frames.last_offset[waiting[0]])
        log.due = next((seen for end, seen in log.ends if end > offset), now) + hold
        return int(waiting[0])

    def _open_problems(self, log: _Log, frames: Frames, status: Vector) -> Iterator[Problem]:
        """A problem for each producer whose rows leave undecided, once until its marker comes."""
        for index in np.flatnonzero((status == Status.OPEN) | frames.control).tolist():
            producer = (int(frames.producer_id[index]), int(frames.producer_epoch[index]))
            if frames.control[index]:
                log.told = {told for told in log.told if told[0] != producer[0]}
            elif producer not in log.told:
                log.told.add(producer)
                yield frames.problem(
                    index,
                    "open_transaction",
                    f"no marker of producer id {producer[0]}, epoch {producer[1]}, came within {self._hold:g} s; "
                    "its rows have left as open",
                )
