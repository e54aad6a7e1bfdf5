"""What is fetched ahead of a live topic: the reader may come as late as it likes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from offdecode.log.headers import entry_with, whole_entries
from offdecode.model import Problem
from offdecode.questions.tail import Tail, TailStep
from offdecode.sources.client_config import Security
from offdecode.sources.kafka_client import EARLIEST, OFFSET_OUT_OF_RANGE, Fetched, TopicLayout
from offdecode.sources.live import LiveTopic
from tests.asking import a_request
from tests.segment_builder import TRANSACTIONAL, Header, batch, commit


class ShortenedLog:
    """A broker with one partition: one batch of 200 offsets, of which the first 150 are gone."""

    FIRST, END = 150, 200

    def __init__(self) -> None:
        self.log = batch([commit("group", offset=number) for number in range(self.END)])

    async def open(self) -> None:
        pass

    close = open

    async def layout(self) -> TopicLayout:
        return TopicLayout({0: 1}, None)

    async def reachable(self, node: int) -> bool:
        return True

    async def offsets(self, node: int, timestamps: Mapping[int, int]) -> dict[int, int]:
        return {number: self.FIRST if asked == EARLIEST else self.END for number, asked in timestamps.items()}

    async def fetch(self, node: int, positions: Mapping[int, int], partition_bytes: int, wait_ms: int) -> object:
        offset = positions[0]
        if offset < self.FIRST:
            return {0: Fetched(OFFSET_OUT_OF_RANGE, -1, b"")}
        await asyncio.sleep(0.01)
        return {0: Fetched(0, self.END, self.log if offset < self.END else b"")}


@dataclass
class Told:
    """What steps have told: problems, and the log offsets of rows."""

    tail: Tail
    problems: list[Problem] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    def take(self, steps: Iterable[TailStep]) -> None:
        for item in steps:
            self.problems += item.step.problems
            for chunk in self.tail.reader.read(item.step):
                self.offsets += chunk.batches["offset_commit"]["log_offset"].to_pylist()


@contextmanager
def following(broker: ShortenedLog, hold_seconds: float) -> Iterator[Told]:
    topic = LiveTopic("nowhere:9092", Security(), "copy", whole_entries, entry_with)
    topic._client = broker  # type: ignore[assignment]
    tail = Tail(topic, a_request(), hold_seconds)
    try:
        yield Told(tail)
    finally:
        tail.close()


def test_a_late_reader_finds_a_gap_where_it_is() -> None:
    """By when it reads, the fetching thread has long met the gap, and would have what comes behind it."""
    with following(ShortenedLog(), hold_seconds=0) as told:
        told.tail.open("earliest", {0: 100}, wait_topic=False)
        time.sleep(0.3)
        told.take(told.tail.catch_up())
        assert told.tail.offsets == {0: 200}
    assert told.offsets == list(range(150, 200))
    assert [(problem.kind, problem.log_offset) for problem in told.problems] == [("offset_out_of_range", 100)]


class HeldBeforeTheGap(ShortenedLog):
    """Ten commits of an open transaction; what came behind them, up to offset 149, is gone when they are read."""

    def __init__(self) -> None:
        self.first = 0
        self.held = batch([commit("group", offset=number) for number in range(10)], Header(0, TRANSACTIONAL, 7, 0))
        self.log = batch([commit("group", offset=number) for number in range(50)], Header(self.FIRST))

    async def offsets(self, node: int, timestamps: Mapping[int, int]) -> dict[int, int]:
        return {number: self.first if asked == EARLIEST else self.END for number, asked in timestamps.items()}

    async def fetch(self, node: int, positions: Mapping[int, int], partition_bytes: int, wait_ms: int) -> object:
        if positions[0] == 0:
            self.first = self.FIRST
            return {0: Fetched(0, self.END, self.held)}
        return await super().fetch(node, positions, partition_bytes, wait_ms)


def test_a_gap_is_no_reason_to_hold_rows_for_ever() -> None:
    """The marker may be in the gap: rows that wait for it leave as open when the hold is over, and reading goes on."""
    with following(HeldBeforeTheGap(), hold_seconds=0.3) as told:
        told.tail.open("earliest", {}, wait_topic=False)
        deadline = time.monotonic() + 20
        while told.tail.offsets.get(0) != 200 and time.monotonic() < deadline:
            told.take(told.tail.sweep())
            told.tail.topic.wait(0.1)
    assert told.offsets == [*range(10), *range(150, 200)]
    assert [problem.kind for problem in told.problems] == ["open_transaction", "offset_out_of_range"]
