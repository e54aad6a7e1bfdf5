"""Where users' partitions start and end, and when a record of theirs was written, as the brokers of a cluster tell it.

ListOffsets is asked, of all partitions that a broker leads at once where that can be: no record is fetched.
"""

from __future__ import annotations

import asyncio
import errno
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import zip_longest
from typing import Any, TypeVar

from offdecode.errors import SourceError
from offdecode.sources.client_config import Security
from offdecode.sources.kafka_client import CONNECTION_ERRORS, EARLIEST, LATEST, ClusterTopic, Found, KafkaClient
from offdecode.sources.locations import ToldPartition

T = TypeVar("T")
Partition = tuple[str, int]  # topic, partition

_DAY_MS = 86_400_000  # by which a producer's clock may be ahead
_MOST_KEPT = 1 << 16  # answers
_NOBODY = -1  # leads a partition
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
        self._silent: set[Partition] = set()  # of which nobody tells anything
        self._asked_for: set[tuple[Partition, int]] = set()  # times of offsets
        self._times: dict[tuple[Partition, int], int | None] = {}

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
            self._leaders |= _leaders(self._run(_topics(self._client), {}))
            found |= self._ask({one: times[one] for one in missing})
            self._silent |= missing - found.keys()
        return found

    def _ask(self, times: Mapping[Partition, int]) -> dict[Partition, Found]:
        by_leader: dict[int, dict[Partition, int]] = defaultdict(dict)
        for partition, moment in times.items():
            by_leader[self._leaders[partition]][partition] = moment
        by_leader.pop(_NOBODY, None)
        return self._run(_first_records(self._client, by_leader), {}) if by_leader else {}

    def setting(self, name: str) -> str | None:
        """What all brokers have for a setting; None where they differ, or do not tell."""
        found = self._run(_settings(self._client, name), set())
        return found.pop() if len(found) == 1 else None

    def note(self, partition: Partition, offset: int) -> None:
        """The time of an offset is going to be asked for: then that of all is found out together."""
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
        first = self.first_records(dict.fromkeys((partition for partition, _ in found), 0))
        latest = time.time_ns() // 1_000_000 + _DAY_MS
        spans = {one: [first[one[0]].timestamp, latest] for one in found if first.get(one[0], _NONE).offset >= 0}
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
            weakref.finalize(self, _end, self._client, loop, thread)
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


async def _topics(client: KafkaClient) -> dict[str, ClusterTopic]:
    try:
        return await client.topics()
    except CONNECTION_ERRORS:
        return {}


async def _settings(client: KafkaClient, name: str) -> set[str | None]:
    try:
        return await client.settings(name)
    except CONNECTION_ERRORS:
        return set()


async def _first_records(
    client: KafkaClient, by_leader: Mapping[int, Mapping[Partition, int]]
) -> dict[Partition, Found]:
    async def ask(node: int, times: Mapping[Partition, int]) -> dict[Partition, Found]:
        try:
            return await client.first_records(node, times) if await client.reachable(node) else {}
        except CONNECTION_ERRORS:
            return {}

    answers = await asyncio.gather(*(ask(node, times) for node, times in by_leader.items()))
    return {partition: found for answer in answers for partition, found in answer.items()}


def _end(client: KafkaClient, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    asyncio.run_coroutine_threadsafe(client.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class _Told(ToldPartition):
    def __init__(self, topics: ToldTopics, partition: Partition, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self._topics = topics
        self._partition = partition
        self._after: dict[int, int | None] = {}

    def first_offset_after(self, time: int) -> int | None:
        if time not in self._after:
            if len(self._after) > _MOST_KEPT:
                self._after.clear()
            found = self._topics.first_records({self._partition: time + 1}).get(self._partition)
            beyond = found is not None and not 0 <= found.offset < self.end
            self._after[time] = None if found is None else self.end if beyond else found.offset
        return self._after[time]

    def note(self, offset: int) -> None:
        self._topics.note(self._partition, self._within(offset))

    def time_of(self, offset: int) -> int | None:
        return self._topics.time_of(self._partition, self._within(offset))

    def _within(self, offset: int) -> int:
        return min(max(offset, self.start), self.end - 1)
