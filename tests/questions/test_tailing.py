"""A log that grows in any steps gives the rows of the whole log: rounds against the reading of segments."""

from __future__ import annotations

import io
import random
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from offdecode.log.headers import entry_with, whole_entries
from offdecode.model import PADDING, Chunk, Problem
from offdecode.questions.tail import Tail, TailStep
from offdecode.request import Request
from offdecode.sinks.jsonl import JsonLinesSink
from offdecode.sources.kafka_client import TopicLayout
from tests.asking import a_request, decode
from tests.truth import LogSet, log_sets, set_id


class GrowingTopic:
    """A topic that holds one segment's batches, of which more and more are there; what is fetched is cut at random."""

    cluster = None
    stopping = False

    def __init__(self, log: bytes, partition: int, randomly: random.Random) -> None:
        self.topic = "__consumer_offsets"
        self.partition = partition
        self.log = log
        self.randomly = randomly
        self.starts_at, self.ends_at, self.after = entries(log)
        self.count = 0
        self.released = 0

    def connect(self) -> TopicLayout:
        return TopicLayout({self.partition: 1}, None)

    def offsets(self, layout: TopicLayout, timestamp: int) -> dict[int, int]:
        return {self.partition: 0}

    def follow(self, layout: TopicLayout, starts: dict[int, int], ends: dict[int, int]) -> None:
        pass

    def take_new(self, wanted: Any) -> None:
        pass

    @property
    def starts(self) -> dict[int, int]:
        return {self.partition: 0}

    def known_end(self, number: int) -> int:
        return self.after[self.count - 1] if self.count else 0

    high_watermark = kept_until = known_end

    def jump(self, number: int, offset: int) -> None:
        return None

    def release(self, number: int, offset: int) -> None:
        self.released = offset

    def read(self, number: int, offset: int, end: int) -> Iterator[tuple[int, Chunk]]:
        assert offset >= self.released
        while offset < end:
            first = bisect_right(self.after, offset)
            last = min(first + self.randomly.randrange(1, 40), self.count)
            data = self.log[self.starts_at[first] : self.ends_at[last - 1]]
            buffer = np.frombuffer(data + bytes(PADDING), np.uint8)
            offset = self.after[last - 1]
            yield offset, Chunk("topic", number, 0, buffer, len(data), len(data))


def entries(log: bytes) -> tuple[list[int], list[int], list[int]]:
    """Start, end and next offset of each batch of a log without damage, one after the other."""
    starts, ends, after = [], [], []
    at = 0
    while at < len(log):
        end = at + 12 + int.from_bytes(log[at + 8 : at + 12], "big")
        size, offset = whole_entries(log[at:end])
        assert size == end - at
        starts.append(at)
        ends.append(end)
        after.append(offset)
        at = end
    return starts, ends, after


def lines_of(chunks: Any, request: Request) -> list[bytes]:
    stream = io.BytesIO()
    sink = JsonLinesSink(stream, request.columns)
    for chunk in chunks:
        sink.write(chunk)
    return stream.getvalue().split(b"\n")[:-1]


CLEAN = [log_set for log_set in log_sets() if "compacted" not in log_set.folder.name]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("log_set", CLEAN, ids=set_id)
def test_any_growth_gives_the_rows_of_the_log(log_set: LogSet, seed: int) -> None:
    randomly = random.Random(f"{log_set.folder.name} {seed}")
    for directory in sorted({path.parent for path in log_set.log.rglob("*.log")}):
        log = b"".join(path.read_bytes() for path in sorted(directory.glob("*.log")))
        topic = GrowingTopic(log, int(directory.name.rpartition("-")[2]), randomly)
        request = a_request(directory)
        problems: list[Problem] = []
        tail = Tail(topic, request, hold_seconds=3600)  # type: ignore[arg-type]
        tail.open("earliest", {}, wait_topic=False)
        steps = follow(tail, topic, randomly, problems)
        assert lines_of(steps, request) == lines_of(decode(request, problems.append), request)
        assert not problems


def follow(tail: Tail, topic: GrowingTopic, randomly: random.Random, problems: list[Problem]) -> Iterator[Any]:
    def chunks(steps: Iterator[TailStep]) -> Iterator[Any]:
        for item in steps:
            problems.extend(item.step.problems)
            yield from tail.reader.read(item.step)

    while topic.count < len(topic.after):
        topic.count = min(topic.count + randomly.randrange(1, 60), len(topic.after))
        yield from chunks(tail.sweep())
    yield from chunks(tail.last_sweep())


@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_entries_are_found_by_offset(log_set: LogSet) -> None:
    path = max(log_set.log.rglob("*.log"), key=lambda path: path.stat().st_size)
    log = path.read_bytes()
    starts, ends, after = entries(log)
    cut = random.Random(log_set.folder.name).randrange(len(starts))
    assert whole_entries(log[: ends[cut] - 1]) == ((starts[cut], after[cut - 1]) if cut else (0, -1))
    for offset in {0, after[cut] - 1, after[cut], after[-1] - 1}:
        index = bisect_right(after, offset)
        assert entry_with(log, offset) == (starts[index] if index < len(starts) else len(log))
