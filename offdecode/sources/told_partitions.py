"""Where users' partitions start and end, and when a record of theirs was written, as the brokers of a cluster tell it.

ListOffsets is asked, of all partitions that a broker leads at once where that can be: no record is fetched.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import zip_longest
from typing import Any, TypeVar

from offdecode.errors import SourceError
from offdecode.model import LARGEST_INT64
from offdecode.sources.client_config import Security
from offdecode.sources.kafka_client import CONNECTION_ERRORS, EARLIEST, LATEST, ClusterTopic, Found, KafkaClient
from offdecode.sources.locations import ToldPartition

T = TypeVar("T")
Partition = tuple[str, int]  # topic, partition

_MOST_KEPT = 1 << 16  # answers
_NOBODY = -1  # leads a partition
_SLOW_SECONDS = 5  # who fails so late has not answered at all, and is not waited for again
_NONE = Found(-1, -1)


class ToldTopics:
    """The users' topics of a cluster. A connection is made when there is something to ask, and kept.

    Partitions of which nobody tells are left out of every answer.
    """

    def __init__(self, servers: str, security: Security, topics: Mapping[str, ClusterTopic]) -> None:
        self._leaders = _leaders(topics)
        self._client = KafkaClient(servers, security, "")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connected = False
        self._dead: set[int] = set()  # brokers that do not answer
        self._silent: set[Partition] = set()  # of which nobody tells anything
        self._noted: set[Partition] = set()
        self._asked_for: set[tuple[Partition, int]] = set()  # times of offsets
        self._times: dict[tuple[Partition, int], int | None] = {}
        self._moment: tuple[int, dict[Partition, Found]] = (-1, {})

    def partition(self, topic: str, number: int) -> ToldPartition:
        """Raises OSError where no broker tells where it starts and ends."""
        start, end = self._starts.get((topic, number)), self._ends.get((topic, number))
        if start is None or end is None:
            raise OSError(errno.EIO, "no broker tells where the partition starts and ends")
        return _Told(self, (topic, number), start.offset, end.offset)

    @cached_property
    def _starts(self) -> dict[Partition, Found]:
        return self.first_records(dict.fromkeys(self._leaders, EARLIEST))

    @cached_property
    def _ends(self) -> dict[Partition, Found]:
        return self.first_records(dict.fromkeys(self._leaders, LATEST))

    def first_records(self, times: Mapping[Partition, int]) -> dict[Partition, Found]:
        """The first record of each partition at or after a time."""
        found = self._ask({one: moment for one, moment in times.items() if one not in self._silent})
        missing = times.keys() - found.keys() - self._silent
        if missing:  # another broker may lead them by now
            self._leaders |= _leaders(self._run(self._client.topics(), {}))
            found |= self._ask({one: times[one] for one in missing})
            self._silent |= missing - found.keys()
            self._silent |= {one for one, leader in self._leaders.items() if leader in self._dead}
        return found

    def first_after(self, partition: Partition, time: int) -> Found:
        """Its first record after a time; what is noted is asked at once. OSError where nobody tells."""
        after = min(max(time, -1), LARGEST_INT64 - 1) + 1  # below 0 are ListOffsets' special times
        if self._moment[0] != after:
            self._moment = after, {}
        found = self._moment[1]
        if partition not in found:
            found |= self.first_records(dict.fromkeys({partition, *self._noted} - found.keys(), after))
        if partition not in found:
            raise OSError(errno.EIO, "no broker tells of the partition")
        return found[partition]

    def _ask(self, times: Mapping[Partition, int]) -> dict[Partition, Found]:
        by_leader: dict[int, dict[Partition, int]] = defaultdict(dict)
        for partition, moment in times.items():
            by_leader[self._leaders[partition]][partition] = moment
        for node in (_NOBODY, *self._dead):
            by_leader.pop(node, None)
        if not by_leader:
            return {}
        answers = self._run(_first_records(self._client, by_leader), [])
        self._dead |= {node for node, found in zip(by_leader, answers, strict=False) if found is None}
        return {partition: one for found in answers if found is not None for partition, one in found.items()}

    def setting(self, name: str) -> str | None:
        """What all brokers have for a setting; None where they differ, or do not tell."""
        found = self._run(self._client.settings(name), set())
        return found.pop() if len(found) == 1 else None

    def note(self, partition: Partition, offset: int) -> None:
        """It is going to be asked about, about the time of an offset, too: then all is found out together."""
        self._noted.add(partition)
        self._asked_for.add((partition, offset))

    def time_of(self, partition: Partition, offset: int) -> int | None:
        wanted = partition, offset
        if wanted not in self._times:
            if len(self._times) > _MOST_KEPT:
                self._times.clear()
            self._times |= self._find_times({*self._asked_for, wanted} - self._times.keys())
            self._asked_for.clear()
        return self._times[wanted]

    def _find_times(self, wanted: Iterable[tuple[Partition, int]]) -> dict[tuple[Partition, int], int | None]:
        """By halving: a record that is later than a time stands behind those that are not."""
        found: dict[tuple[Partition, int], int | None] = dict.fromkeys(wanted)
        partitions = {partition for partition, _ in found}
        first = self.first_records(dict.fromkeys(partitions, 0))
        # Most clocks are right; where one is not, its records are far ahead.
        now = time.time_ns() // 1_000_000
        ahead = self.first_records(dict.fromkeys(partitions, now))
        spans = {
            one: [first[one[0]].timestamp, now if ahead.get(one[0], _NONE).offset < 0 else LARGEST_INT64]
            for one in found if first.get(one[0], _NONE).offset >= 0
        }  # fmt: skip
        while spans:
            for turn in _one_of_each(spans):
                middles = {one: sum(spans[one]) // 2 for one in turn}
                answers = self.first_records({partition: middle for (partition, _), middle in middles.items()})
                for one, middle in middles.items():
                    answer, span, offset = answers.get(one[0]), spans[one], one[1]
                    if answer is None:
                        del spans[one]
                        continue
                    if 0 <= answer.offset <= offset:
                        span[0] = max(middle, answer.timestamp)
                    else:
                        span[1] = middle
                    if answer.offset == offset or span[1] - span[0] <= 1:
                        found[one] = span[0]
                        del spans[one]
        return found

    def _run(self, work: Coroutine[Any, Any, T], nothing: T) -> T:
        """What is answered. In a thread: who asks may have an event loop of its own."""
        if self._loop is None:
            self._loop = loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="ask", daemon=True)
            thread.start()
            weakref.finalize(self, _end, self._client, loop, thread, os.getpid())
            self._connected = asyncio.run_coroutine_threadsafe(_open(self._client), loop).result()
        if not self._connected:
            work.close()
            return nothing
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _leaders(topics: Mapping[str, ClusterTopic]) -> dict[Partition, int]:
    return {(name, number): leader for name, topic in topics.items() for number, leader in topic.leaders.items()}


def _one_of_each(wanted: Iterable[tuple[Partition, int]]) -> Iterator[list[tuple[Partition, int]]]:
    """What is wanted, in turns: a request may name a partition once."""
    by_partition: dict[Partition, list[tuple[Partition, int]]] = defaultdict(list)
    for one in wanted:
        by_partition[one[0]].append(one)
    for turn in list(zip_longest(*by_partition.values())):
        yield [one for one in turn if one is not None]


async def _open(client: KafkaClient) -> bool:
    try:
        await client.open()
    except SourceError:  # it answered a moment ago: what it does not tell now is not known
        return False
    return True


async def _first_records(
    client: KafkaClient, by_leader: Mapping[int, Mapping[Partition, int]]
) -> list[dict[Partition, Found] | None]:
    """What each broker tells; None of one that does not answer."""

    async def ask(node: int, times: Mapping[Partition, int]) -> dict[Partition, Found] | None:
        begun = time.monotonic()
        try:
            if await client.reachable(node):
                return await client.first_records(node, times)
        except CONNECTION_ERRORS:
            pass
        return {} if time.monotonic() - begun < _SLOW_SECONDS else None

    return list(await asyncio.gather(*(ask(node, times) for node, times in by_leader.items())))


def _end(client: KafkaClient, loop: asyncio.AbstractEventLoop, thread: threading.Thread, process: int) -> None:
    if os.getpid() != process:  # a fork: the thread is not here
        return
    closing = asyncio.run_coroutine_threadsafe(client.close(), loop)
    closing.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
    if threading.current_thread() is not thread:  # which else would wait for itself
        thread.join()
        loop.close()


class _Told(ToldPartition):
    def __init__(self, topics: ToldTopics, partition: Partition, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self._topics = topics
        self._partition = partition

    def first_offset_after(self, time: int) -> int:
        found = self._topics.first_after(self._partition, time)
        return found.offset if 0 <= found.offset < self.end else self.end

    def note(self, offset: int) -> None:
        self._topics.note(self._partition, self._within(offset))

    def time_of(self, offset: int) -> int | None:
        return self._topics.time_of(self._partition, self._within(offset))

    def _within(self, offset: int) -> int:
        return min(max(offset, self.start), self.end - 1)
