"""A live topic to chunks: a thread that fetches ahead, and what it has fetched, by partition and offset.

Bytes are those of the log, control batches included, in chunks like a segment's. Each partition's bytes are kept
until they are released, up to a limit; what lies beyond is fetched when it is asked for, and not kept.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import wait
from typing import Any, TypeVar

import numpy as np

from offdecode.errors import SourceError
from offdecode.model import PADDING, Chunk, Problem
from offdecode.sources.client_config import Security
from offdecode.sources.kafka_client import (
    CONNECTION_ERRORS,
    EARLIEST,
    LATEST,
    OFFSET_OUT_OF_RANGE,
    TOPIC_AUTHORIZATION_FAILED,
    ClusterTopic,
    Fetched,
    KafkaClient,
    TopicLayout,
)
from offdecode.sources.kept import Jump, Partition, Piece, Seek

T = TypeVar("T")

CHUNK_BYTES = 4 << 20  # small enough for vectors to stay in cache
_AHEAD_BYTES = 16 << 20  # kept of one partition
_ALL_AHEAD_BYTES = 96 << 20  # kept of all, beyond what each needs to go on
_WAIT_MS = 500  # how long a broker waits for new records
_LINGER_SECONDS = 0.1  # between small answers, so that chunks are not tiny
_SMALL_BYTES = 64 << 10
_LAYOUT_SECONDS = 10.0
_RETRY_SECONDS = 0.25
_LEADER_SECONDS = 20.0
_POLL_SECONDS = 0.2  # a signal is seen at least so often


class Interrupted(Exception):
    """The reader was told to stop while it waited."""


# Fetched bytes to how many of them are whole batches, and the offset behind these.
Measure = Callable[[bytes], tuple[int, int]]


class LiveTopic:
    """The topic as it grows. Its methods are for one thread; fetching goes on in another.

    patience_seconds: reading ends with a SourceError where nothing came for so long; None = it waits for brokers.
    """

    def __init__(
        self, servers: str, security: Security, topic: str, measure: Measure, seek: Seek,
        patience_seconds: float | None = None,
    ) -> None:  # fmt: skip
        self.topic = topic
        self.cluster: str | None = None
        self.stopping = False
        self._patience = patience_seconds
        self._client = KafkaClient(servers, security, topic)
        self._measure = measure
        self._seek = seek
        self._partitions: dict[int, Partition] = {}
        self._wanted: Callable[[int], bool] = lambda number: True
        self._changed = threading.Condition()
        self._notes: list[str] = []
        self._troubled: set[int] = set()
        self._failure: SourceError | None = None
        self._fetchers: dict[int, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fetch", daemon=True)
        self._wake: asyncio.Event | None = None

    # --- for the reading thread

    def connect(self) -> TopicLayout | None:
        """Connect; the topic's layout, or None where it is not there yet."""
        if not self._thread.is_alive():
            self._thread.start()
            self._run(self._client.open())
        return self._run(self._client.layout())

    def topics(self) -> dict[str, ClusterTopic]:
        """All topics of the cluster that the user may see, by name; none where it does not say."""
        return self._run(self._client.topics())

    def offsets(self, layout: TopicLayout, timestamp: int) -> dict[int, int]:
        """Each partition's first offset at or after a timestamp (ms, EARLIEST or LATEST); -1 = none so late."""
        return self._run(self._offsets(layout.leaders, timestamp))

    def follow(self, layout: TopicLayout, starts: dict[int, int], ends: dict[int, int]) -> None:
        """Fetch the partitions of `starts` from there on. ends: their high watermarks."""
        self.cluster = layout.cluster
        for number, start in starts.items():
            leader = layout.leaders[number]
            self._partitions[number] = Partition(number, start, start, ends[number], leader)
        self._loop.call_soon_threadsafe(self._start)

    def take_new(self, wanted: Callable[[int], bool]) -> None:
        """Fetch partitions that are added later too, those that are wanted, from their first offset on."""
        self._wanted = wanted

    @property
    def starts(self) -> dict[int, int]:
        """The offset at which each partition was begun."""
        with self._changed:
            return {number: partition.start for number, partition in self._partitions.items()}

    def high_watermark(self, number: int) -> int:
        """The end of what can be read now: where something is gone from the broker, that comes first."""
        with self._changed:
            partition = self._partitions[number]
            return partition.high_watermark if partition.jump is None else partition.jump.at

    def wait(self, seconds: float) -> None:
        """Wait until something was fetched, or for so long."""
        self._raise_failure()
        if not self.stopping:
            with self._changed:
                self._changed.wait(min(seconds, _POLL_SECONDS))

    def notes(self) -> list[str]:
        """What has happened to connections since the last call, in words."""
        with self._changed:
            notes, self._notes = self._notes, []
        return notes

    def jump(self, number: int, offset: int) -> tuple[int, Problem] | None:
        """Where to go on when everything before `offset` is read, if what comes there is gone from the broker."""
        with self._changed:
            partition = self._partitions[number]
            jump = partition.jump
            if jump is None or offset < jump.at:
                return None
            partition.jump = None
        self._loop.call_soon_threadsafe(self._notify_fetchers)
        return jump.to, jump.problem

    def kept_until(self, number: int) -> int:
        """End offset of the buffered data, 0 if the buffer is empty."""
        with self._changed:
            return self._partitions[number].kept_until or 0

    def known_end(self, number: int) -> int:
        """Up to where it makes sense to read now: what is kept, or everything there is if no more can be kept."""
        with self._changed:
            partition = self._partitions[number]
            kept = partition.kept_until
            if not self._has_room(partition):
                return partition.high_watermark
            return partition.position if kept is None else kept

    def read(self, number: int, offset: int, end: int) -> Iterator[tuple[int, Chunk]]:
        """The log's bytes from `offset` on, in chunks with the offset behind each, until `end` is reached.

        Whole batches only; the first and the last may reach over the limits. Raises Interrupted when stopped.
        """
        position = 0
        while offset < end:
            found = self._kept(number, offset)
            if found is None:
                jump = self._partitions[number].jump
                if jump is not None and offset >= jump.at:
                    return
                found = self._beyond(number, offset)
            offset, data = found
            yield offset, self._chunk(number, position, data)
            position += sum(map(len, data))

    def release(self, number: int, offset: int) -> None:
        """Keep nothing before `offset`."""
        with self._changed:
            self._partitions[number].release(offset)
        self._loop.call_soon_threadsafe(self._notify_fetchers)

    def close(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        while not wait([future], _POLL_SECONDS).done:
            if self.stopping:
                future.cancel()
                raise Interrupted
        return future.result()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _go_on(self, number: int, begun: float) -> None:
        """Raise what ends the reading of a partition. begun: when it began to wait."""
        self._raise_failure()
        if self.stopping:
            raise Interrupted
        if self._patience is not None and time.monotonic() - begun > self._patience:
            raise SourceError(f"{self.topic}-{number}", f"no broker has given any more of it for {self._patience:g} s")

    def _kept(self, number: int, offset: int) -> tuple[int, list[memoryview]] | None:
        """Kept bytes from `offset` on, up to a chunk's worth. Waits while they are on their way."""
        partition = self._partitions[number]
        begun = time.monotonic()
        with self._changed:
            while True:
                after, taken = partition.kept_from(offset, CHUNK_BYTES, self._seek)
                if taken:
                    return after, taken
                if partition.position != offset or not self._has_room(partition):
                    return None
                self._go_on(number, begun)
                self._changed.wait(_POLL_SECONDS)

    def _beyond(self, number: int, offset: int) -> tuple[int, list[memoryview]]:
        """Fetch bytes beyond the read-ahead buffer; they are not cached."""
        partition = self._partitions[number]
        begun = time.monotonic()
        while True:
            self._go_on(number, begun)
            try:
                answer = self._run(self._client.fetch(partition.leader, {number: offset}, CHUNK_BYTES, _WAIT_MS))
            except CONNECTION_ERRORS:
                time.sleep(_RETRY_SECONDS)  # the fetching thread tells about it, and finds the new leader
                continue
            fetched = answer[number]
            if not fetched.error and fetched.data:
                size, after = self._measured(fetched.data, offset)
                return after, [memoryview(fetched.data)[:size]]
            if fetched.error:
                time.sleep(_RETRY_SECONDS)

    def _measured(self, data: bytes, offset: int) -> tuple[int, int]:
        size, after = self._measure(data)
        # Kafka gives at least one whole batch; where the first one's header is broken, all is shown and passed over.
        return (size, max(after, offset + 1)) if size else (len(data), offset + 1)

    def _chunk(self, number: int, position: int, data: list[memoryview]) -> Chunk:
        size = sum(map(len, data))
        buffer = np.zeros(size + PADDING, np.uint8)
        at = 0
        for part in data:
            buffer.data[at : at + len(part)] = part
            at += len(part)
        return Chunk(f"{self.topic}-{number}", number, position, buffer, size, position + size)

    # --- in the fetching thread

    def _start(self) -> None:
        self._wake = asyncio.Event()
        self._fetchers[-1] = self._loop.create_task(self._watch())

    async def _end(self) -> None:
        for task in self._fetchers.values():
            task.cancel()
        await asyncio.gather(*self._fetchers.values(), return_exceptions=True)
        await self._client.close()

    def _notify_fetchers(self) -> None:
        if self._wake is not None:
            self._wake.set()

    async def _offsets(self, leaders: dict[int, int], timestamp: int) -> dict[int, int]:
        """Waits a while for partitions that have no leader yet: a topic was just made, or a broker goes down."""
        found: dict[int, int] = {}
        deadline = self._loop.time() + _LEADER_SECONDS
        while True:
            for node in sorted({leaders[number] for number in leaders.keys() - found.keys()} - {-1}):
                if not await self._client.reachable(node):
                    raise SourceError(
                        self._client.address(node),
                        "leads partitions of the topic, and cannot be reached from here; check advertised.listeners",
                    )
                wanted = {number: timestamp for number, leader in leaders.items() if leader == node}
                try:
                    found |= await self._client.offsets(node, wanted)
                except CONNECTION_ERRORS as error:
                    raise SourceError(self._client.address(node), f"does not tell its offsets: {error}") from None
            missing = sorted(leaders.keys() - found.keys())
            if not missing:
                return found
            if self._loop.time() > deadline:
                raise SourceError(f"{self.topic}-{missing[0]}", "has no leader; try again when all brokers are up")
            await asyncio.sleep(_RETRY_SECONDS)
            layout = await self._client.layout()
            leaders = {number: layout.leaders.get(number, -1) if layout else -1 for number in leaders}

    async def _watch(self) -> None:
        """Keep a fetcher for every broker that leads something, and look for changes of the layout."""
        while True:
            for node in {partition.leader for partition in self._partitions.values()} - {-1}:
                task = self._fetchers.get(node)
                if task is None or task.done():
                    self._fetchers[node] = self._loop.create_task(self._fetch_from(node))
            troubled = bool(self._troubled) or any(p.leader < 0 for p in self._partitions.values())
            await asyncio.sleep(_RETRY_SECONDS if troubled else _LAYOUT_SECONDS)
            await self._refresh()

    async def _refresh(self) -> None:
        try:
            layout = await self._client.layout()
        except SourceError as error:
            self._fail(error)
            return
        except CONNECTION_ERRORS:
            return  # a fetcher tells about it
        for number, leader in (layout.leaders if layout else {}).items():
            partition = self._partitions.get(number)
            if partition is not None:
                partition.leader = leader
            elif self._wanted(number):
                with self._changed:
                    self._partitions[number] = Partition(number, 0, 0, 0, leader)
                self._note(f"partition {number} was added to {self.topic}; it is read from its beginning")

    async def _fetch_from(self, node: int) -> None:
        """Fetch what this broker leads, for as long as it leads something."""
        assert self._wake is not None
        while any(partition.leader == node for partition in self._partitions.values()):
            self._wake.clear()
            wanted = {p.number: p.position for p in self._partitions.values() if p.leader == node and self._fetched(p)}
            if not wanted:
                await self._wake.wait()
                continue
            try:
                answer = await self._client.fetch(node, wanted, CHUNK_BYTES, _WAIT_MS)
            except NotImplementedError:
                self._fail(SourceError(self._client.address(node), "the broker is too old: reading needs Kafka 0.11"))
                return
            except CONNECTION_ERRORS:
                self._lost(node)
                await self._refresh()
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            size = 0
            troubled = False
            for number, fetched in answer.items():
                size += len(fetched.data)
                troubled |= await self._take(node, number, wanted[number], fetched)
            if troubled:
                self._troubled.add(node)
                await self._refresh()
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._found(node)
            if 0 < size < _SMALL_BYTES:
                await asyncio.sleep(_LINGER_SECONDS)

    async def _take(self, node: int, number: int, offset: int, fetched: Fetched) -> bool:
        """Keep what was fetched; whether the broker refused it for a reason that should pass."""
        partition = self._partitions[number]
        if fetched.error == OFFSET_OUT_OF_RANGE:
            await self._jump(node, partition, offset)
            return False
        if fetched.error == TOPIC_AUTHORIZATION_FAILED:
            self._fail(self._client.forbidden())
            return False
        if fetched.error:
            return True
        if not fetched.data:
            partition.high_watermark = fetched.high_watermark
            return False
        size, after = self._measured(fetched.data, offset)
        with self._changed:
            partition.high_watermark = max(fetched.high_watermark, after)
            if partition.position == offset:
                partition.keep(Piece(offset, after, memoryview(fetched.data)[:size]))
            self._changed.notify_all()
        return False

    async def _jump(self, node: int, partition: Partition, at: int) -> None:
        try:
            first = (await self._client.offsets(node, {partition.number: EARLIEST}))[partition.number]
            last = (await self._client.offsets(node, {partition.number: LATEST}))[partition.number]
        except (*CONNECTION_ERRORS, KeyError):
            return
        if first <= at <= last:
            return
        if at < first:
            to, why = first, f"offsets {at} to {first - 1} are gone from the broker: deleted before they were read"
        else:
            to = last
            why = (f"the log ends at offset {last}, {at} was to come: it was cut back (unclean leader election) or "
                   f"the topic was made anew; reading goes on at {last}")  # fmt: skip
        source = f"{self.topic}-{partition.number}"
        problem = Problem("offset_out_of_range", source, why, partition.number, log_offset=at)
        with self._changed:
            partition.jump = Jump(at, to, problem)
            partition.position, partition.high_watermark = to, last
            self._changed.notify_all()

    def _fetched(self, partition: Partition) -> bool:
        # What lies behind a jump is no continuation of what is kept: it comes when the reader has jumped.
        return partition.jump is None and self._has_room(partition)

    def _has_room(self, partition: Partition) -> bool:
        if not partition.pieces:
            return True
        of_all = sum(other.kept_bytes for other in self._partitions.values())
        return partition.kept_bytes < _AHEAD_BYTES and of_all < _ALL_AHEAD_BYTES

    def _fail(self, error: SourceError) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def _note(self, text: str) -> None:
        with self._changed:
            self._notes.append(text)
            self._changed.notify_all()

    def _lost(self, node: int) -> None:
        if node not in self._troubled:
            self._troubled.add(node)
            self._note(f"{self._client.address(node)} does not answer; going on when it, or another leader, is there")

    def _found(self, node: int) -> None:
        if node in self._troubled:
            self._troubled.discard(node)
            self._note(f"{self._client.address(node)} answers again")
