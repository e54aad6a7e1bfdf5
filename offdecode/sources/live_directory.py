"""A running cluster as a data directory: `kafka://HOST:PORT[,HOST:PORT...]`.

Each partition of the offsets topic is a directory with one segment: all batches from the start of its log to the high
watermark of that moment, as brokers hand them out. They are fetched once, into a spool, so every question can go over
them again. So is the transaction coordinator's topic, where it is asked for. Of users' topics nothing is fetched:
their directories tell the topic's id, and what brokers say of the partition.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from offdecode.errors import SourceError
from offdecode.options import OFFSETS_TOPIC
from offdecode.sources.checkpoints import CHECKPOINT_FILES
from offdecode.sources.client_config import Security, are_servers, read_security
from offdecode.sources.kept import Seek
from offdecode.sources.locations import LIVE_URL, Complain, Location, ToldPartition, live_text
from offdecode.sources.names import PARTITION_METADATA, SEGMENT_SUFFIX
from offdecode.sources.readers import Reader
from offdecode.sources.spool import Spool, SpoolReader

if TYPE_CHECKING:  # aiokafka is an extra
    from offdecode.sources.kafka_client import ClusterTopic, TopicLayout
    from offdecode.sources.live import LiveTopic, Measure
    from offdecode.sources.told_partitions import ToldTopics

Partition = tuple[str, int]  # topic, partition

_URL = re.compile(rf"{LIVE_URL}(?P<servers>[^/?]+)/?(?:\?command-config=(?P<config>.+))?", re.DOTALL | re.I)
_PATIENCE_SECONDS = 60  # without a byte from a broker


class _Ranges(NamedTuple):
    """Where the partitions that have a leader start, and their high watermarks."""

    starts: dict[int, int]
    ends: dict[int, int]


def live_directory(url: str, topic: str, measure: Measure, seek: Seek) -> Location:
    """What a URL names; nothing is asked of the cluster yet. measure, seek: as of LiveTopic.

    Raises UsageError for a file of properties that cannot be used, SourceError for another URL.
    """
    match = _URL.fullmatch(url)
    if match is None or not are_servers(match["servers"]):
        reason = "a running cluster is kafka://HOST:PORT[,HOST:PORT...], and ?command-config=FILE where it wants a user"
        raise SourceError(live_text(url), f"{reason}; --topic-name names the topic")
    security = Security() if match["config"] is None else read_security(Path(match["config"]))
    return _LiveLocation(_Cluster(_Access(match["servers"], security, measure, seek, Spool()), topic))


@dataclass(frozen=True, slots=True)
class _Access:
    """How a cluster is reached, and by what name it is told. spool: for what is fetched."""

    servers: str
    security: Security
    measure: Measure
    seek: Seek
    spool: Spool

    @property
    def text(self) -> str:
        return f"kafka://{self.servers}"

    def live(self, topic: str) -> LiveTopic:
        from offdecode.sources.live import LiveTopic

        return LiveTopic(self.servers, self.security, topic, self.measure, self.seek, _PATIENCE_SECONDS)


class _Cluster:
    """Its topics, as they were when they were first asked for. main: the one that is asked about."""

    def __init__(self, access: _Access, main: str) -> None:
        self.text = access.text
        self.main = main
        self._access = access
        self._copies: dict[str, _Copy] = {}

    def copy(self, topic: str) -> _Copy:
        if topic not in self._copies:
            self._copies[topic] = _Copy(self._access, topic)
        return self._copies[topic]

    @cached_property
    def topics(self) -> dict[str, ClusterTopic]:
        """All that the user may see. Raises SourceError where the main one is not there."""
        from offdecode.sources.kafka_client import ClusterTopic

        copy = self.copy(self.main)
        with copy.connected() as (live, layout):
            copy.begin(live, layout)
            return {self.main: ClusterTopic(None, layout.leaders), **live.topics()}

    @cached_property
    def directories(self) -> dict[str, Partition]:
        return {f"{name}-{number}": (name, number) for name, topic in self.topics.items() for number in topic.leaders}

    @cached_property
    def told(self) -> ToldTopics:
        from offdecode.sources.told_partitions import ToldTopics

        return ToldTopics(self._access.servers, self._access.security, self.topics)

    def checkpoint(self, name: str) -> bytes | None:
        """A checkpoint file, as the broker would write it now; None for one of which it tells nothing."""
        starts, ends = self.copy(self.main).ranges
        told = {CHECKPOINT_FILES["high_watermark"]: ends, CHECKPOINT_FILES["log_start"]: starts}
        if name not in told:
            return None
        lines = [f"{self.main} {number} {offset}" for number, offset in told[name].items()]
        return "\n".join(("0", str(len(lines)), *lines, "")).encode()


class _Copy:
    """What a topic holds. Partitions are fetched together, when one of them is opened."""

    def __init__(self, access: _Access, topic: str) -> None:
        self._access = access
        self._topic = topic
        self._ranges: _Ranges | None = None
        self._asked: set[int] = set()
        self._found: dict[int, _CopiedReader] = {}

    @property
    def ranges(self) -> _Ranges:
        if self._ranges is not None:
            return self._ranges
        with self.connected() as (live, layout):
            return self.begin(live, layout)

    def begin(self, live: LiveTopic, layout: TopicLayout) -> _Ranges:
        """Find out once what there is to be had."""
        from offdecode.sources.kafka_client import EARLIEST, LATEST

        if self._ranges is not None:
            return self._ranges
        led = replace(layout, leaders={number: node for number, node in layout.leaders.items() if node >= 0})
        ends = live.offsets(led, LATEST) if led.leaders else {}
        self._ranges = found = _Ranges(live.offsets(led, EARLIEST) if led.leaders else {}, ends)
        return found

    def segment_name(self, number: int) -> str:
        """The one segment of a partition, which is going to be asked for. Raises OSError where nobody has it."""
        starts, ends = self.ranges
        if number not in ends:
            raise OSError(errno.EIO, "no broker leads the partition at the moment")
        self._asked.add(number)
        return f"{starts[number]:020}{SEGMENT_SUFFIX}"

    def open(self, number: int) -> Reader:
        if number not in self._found:
            self._fetch(sorted({number, *self._asked} - self._found.keys()))
        return self._found[number]

    @contextmanager
    def connected(self) -> Iterator[tuple[LiveTopic, TopicLayout]]:
        live = self._access.live(self._topic)
        try:
            layout = live.connect()
            if layout is None:
                yet = " yet (it comes with the first commit)" if self._topic == OFFSETS_TOPIC else ""
                raise SourceError(self._access.text, f"there is no topic {self._topic}{yet}")
            yield live, layout
        finally:
            live.close()

    def _fetch(self, numbers: list[int]) -> None:
        starts, ends = self.ranges
        with self.connected() as (live, layout):
            live.take_new(lambda number: False)
            live.follow(layout, {number: starts[number] for number in numbers}, ends)
            for number in numbers:
                self._found[number] = self._copied(live, number)

    def _copied(self, live: LiveTopic, number: int) -> _CopiedReader:
        spool, seek = self._access.spool, self._access.seek
        begun, offset, end = spool.end, self.ranges.starts[number], self.ranges.ends[number]
        notes: list[str] = []
        while offset < end:
            for after, chunk in live.read(number, offset, end):
                data = chunk.buffer.data[: chunk.size]
                # What has been written since then is there too.
                spool.write(bytes(data if after <= end else data[: seek(data, end)]), self._access.text)
                offset = after
                live.release(number, offset)
            jump = live.jump(number, offset) if offset < end else None
            if jump is None:
                break
            to, problem = jump
            if to <= offset:  # the log was cut back: there is nothing more of this one
                notes.append(f"the log was cut back to offset {to} while it was read up to {offset}")
                self.ranges.ends[number] = offset
                break
            notes.append(problem.message)
            offset = to
        return _CopiedReader(spool, begun, spool.end - begun, "; ".join(notes) or None)


class _CopiedReader(SpoolReader):
    """A partition's bytes in the spool. note: what became of the rest, where that could not be had."""

    def __init__(self, spool: Spool, start: int, size: int, note: str | None) -> None:
        super().__init__(spool, start, size)
        self._note = note

    def changed(self, size: int) -> str | None:
        return self._note


class _LiveLocation(Location):
    """The cluster as a data directory, a partition's directory in it, or the segment there."""

    served = True

    def __init__(self, cluster: _Cluster, *parts: str) -> None:
        self._cluster = cluster
        self._parts = parts

    @property
    def name(self) -> str:
        return self._parts[-1] if self._parts else self._cluster.text

    @property
    def text(self) -> str:
        return "/".join((self._cluster.text, *self._parts))

    @property
    def parent(self) -> Location:
        return _LiveLocation(self._cluster, *self._parts[:-1])

    @property
    def key(self) -> str:
        return self.text

    @property
    def version(self) -> object:
        return id(self._cluster)

    @property
    def _partition(self) -> Partition | None:
        return self._cluster.directories.get(self._parts[0]) if self._parts else None

    def exists(self) -> bool:
        return self.is_directory() or self.is_file()

    def is_file(self) -> bool:
        return len(self._parts) == 2 and self._partition is not None and [self.name] == self.parent.names()

    def is_directory(self) -> bool:
        return not self._parts or (len(self._parts) == 1 and self._partition is not None)

    def child(self, name: str) -> Location:
        return _LiveLocation(self._cluster, *self._parts, name)

    def names(self) -> list[str]:
        if not self._parts:
            return sorted(self._cluster.directories)
        if len(self._parts) > 1 or self._partition is None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        topic, number = self._partition
        with self._refusals(topic):
            return [self._cluster.copy(topic).segment_name(number)]

    def directories(self, pattern: re.Pattern[str], complain: Complain) -> Iterator[Location]:
        """Those of a cluster: none of its partitions has more in it."""
        yield from (self.child(name) for name in (() if self._parts else self.names()) if pattern.fullmatch(name))

    def open(self) -> Reader:
        if not self.is_file() or self._partition is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        topic, number = self._partition
        with self._refusals(topic):
            return self._cluster.copy(topic).open(number)

    def told(self) -> ToldPartition | None:
        return None if self._partition is None else self._cluster.told.partition(*self._partition)

    def setting(self, name: str) -> str | None:
        return self._cluster.told.setting(name)

    def side_file(self, name: str, most_bytes: int) -> bytes | None:
        if self._partition is None:
            return None if self._parts else self._cluster.checkpoint(name)
        topic_id = self._cluster.topics[self._partition[0]].topic_id
        if name != PARTITION_METADATA or topic_id is None:
            return None
        return f"version: 0\ntopic_id: {topic_id}\n".encode()

    @contextmanager
    def _refusals(self, topic: str) -> Iterator[None]:
        """Only what becomes of the topic that is asked about ends everything."""
        try:
            yield
        except SourceError as error:
            if topic == self._cluster.main:
                raise
            raise OSError(errno.EACCES, error.reason) from None
