"""The offsets topic of a running cluster as a data directory: `kafka://HOST:PORT[,HOST:PORT...]`.

Each partition is a directory with one segment: all batches from the start of its log to the high watermark of that
moment, as brokers hand them out. They are fetched once, into a spool, so every question can go over them again.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from offdecode.errors import SourceError
from offdecode.options import OFFSETS_TOPIC
from offdecode.sources.checkpoints import CHECKPOINT_FILES
from offdecode.sources.client_config import Security, are_servers, read_security
from offdecode.sources.kept import Seek
from offdecode.sources.locations import LIVE_URL, Location, live_text
from offdecode.sources.names import SEGMENT_SUFFIX
from offdecode.sources.readers import Reader
from offdecode.sources.spool import Spool, SpoolReader

if TYPE_CHECKING:  # aiokafka is an extra
    from offdecode.sources.kafka_client import TopicLayout
    from offdecode.sources.live import LiveTopic, Measure

_URL = re.compile(rf"{LIVE_URL}(?P<servers>[^/?]+)/?(?:\?command-config=(?P<config>.+))?", re.DOTALL)
_PATIENCE_SECONDS = 60  # without a byte from a broker


def live_directory(url: str, topic: str, measure: Measure, seek: Seek) -> Location:
    """What a URL names; nothing is asked of the cluster yet. measure, seek: as of LiveTopic.

    Raises UsageError for a file of properties that cannot be used, SourceError for another URL.
    """
    match = _URL.fullmatch(url)
    if match is None or not are_servers(match["servers"]):
        reason = "a running cluster is kafka://HOST:PORT[,HOST:PORT...], and ?command-config=FILE where it wants a user"
        raise SourceError(live_text(url), f"{reason}; --topic-name names the topic")
    security = Security() if match["config"] is None else read_security(Path(match["config"]))
    return _LiveLocation(_Snapshot(match["servers"], security, topic, measure, seek))


class _Snapshot:
    """The topic as it was when it was first asked for. Partitions are fetched together, when one of them is opened."""

    def __init__(self, servers: str, security: Security, topic: str, measure: Measure, seek: Seek) -> None:
        self.text = f"kafka://{servers}"
        self.topic = topic
        self._servers = servers
        self._security = security
        self._measure = measure
        self._seek = seek
        self._partitions: dict[str, int] = {}  # by directory
        self._starts: dict[int, int] = {}
        self._ends: dict[int, int] = {}  # of those that have a leader
        self._asked: set[int] = set()
        self._spool = Spool()
        self._found: dict[int, _CopiedReader] = {}

    def directories(self) -> list[str]:
        if not self._partitions:
            from offdecode.sources.kafka_client import EARLIEST, LATEST

            with self._connected() as (live, layout):
                led = replace(layout, leaders={number: node for number, node in layout.leaders.items() if node >= 0})
                self._ends = live.offsets(led, LATEST) if led.leaders else {}
                self._starts = live.offsets(led, EARLIEST) if led.leaders else {}
                self._partitions = {f"{self.topic}-{number}": number for number in layout.leaders}
        return sorted(self._partitions)

    def segment_name(self, directory: str) -> str:
        """The one segment of a partition, which is going to be asked for. Raises OSError where nobody has it."""
        number = self._partitions[directory]
        if number not in self._ends:
            raise OSError(errno.EIO, "no broker leads the partition at the moment")
        self._asked.add(number)
        return f"{self._starts[number]:020}{SEGMENT_SUFFIX}"

    def open(self, directory: str) -> Reader:
        number = self._partitions[directory]
        if number not in self._found:
            self._fetch(sorted({number, *self._asked} - self._found.keys()))
        return self._found[number]

    def checkpoint(self, name: str) -> bytes | None:
        """A checkpoint file, as the broker would write it now; None for one of which it tells nothing."""
        self.directories()
        told = {"high_watermark": self._ends, "log_start": self._starts}
        offsets = {CHECKPOINT_FILES[mark]: found for mark, found in told.items()}.get(name)
        if offsets is None:
            return None
        lines = [f"{self.topic} {number} {offset}" for number, offset in offsets.items()]
        return "\n".join(("0", str(len(lines)), *lines, "")).encode()

    @contextmanager
    def _connected(self) -> Iterator[tuple[LiveTopic, TopicLayout]]:
        from offdecode.sources.live import LiveTopic

        live = LiveTopic(self._servers, self._security, self.topic, self._measure, self._seek, _PATIENCE_SECONDS)
        try:
            layout = live.connect()
            if layout is None:
                yet = " yet (it comes with the first commit)" if self.topic == OFFSETS_TOPIC else ""
                raise SourceError(self.text, f"there is no topic {self.topic}{yet}")
            yield live, layout
        finally:
            live.close()

    def _fetch(self, numbers: list[int]) -> None:
        with self._connected() as (live, layout):
            live.take_new(lambda number: False)
            live.follow(layout, {number: self._starts[number] for number in numbers}, self._ends)
            for number in numbers:
                self._found[number] = self._copied(live, number)

    def _copied(self, live: LiveTopic, number: int) -> _CopiedReader:
        begun, offset, end = self._spool.end, self._starts[number], self._ends[number]
        notes: list[str] = []
        while offset < end:
            for after, chunk in live.read(number, offset, end):
                data = chunk.buffer.data[: chunk.size]
                # What has been written since then is there too.
                self._spool.write(bytes(data if after <= end else data[: self._seek(data, end)]), self.text)
                offset = after
                live.release(number, offset)
            jump = live.jump(number, offset) if offset < end else None
            if jump is None:
                break
            to, problem = jump
            if to <= offset:  # the log was cut back: there is nothing more of this one
                notes.append(f"the log was cut back to offset {to} while it was read up to {offset}")
                self._ends[number] = offset
                break
            notes.append(problem.message)
            offset = to
        return _CopiedReader(self._spool, begun, self._spool.end - begun, "; ".join(notes) or None)


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

    def __init__(self, snapshot: _Snapshot, *parts: str) -> None:
        self._snapshot = snapshot
        self._parts = parts

    @property
    def name(self) -> str:
        return self._parts[-1] if self._parts else self._snapshot.text

    @property
    def text(self) -> str:
        return "/".join((self._snapshot.text, *self._parts))

    @property
    def parent(self) -> Location:
        return _LiveLocation(self._snapshot, *self._parts[:-1])

    @property
    def key(self) -> str:
        return self.text

    @property
    def version(self) -> object:
        return id(self._snapshot)

    def exists(self) -> bool:
        return self.is_directory() or self.is_file()

    def is_file(self) -> bool:
        return len(self._parts) == 2 and self.parent.is_directory() and [self.name] == self.parent.names()

    def is_directory(self) -> bool:
        return not self._parts or (len(self._parts) == 1 and self.name in self._snapshot.directories())

    def child(self, name: str) -> Location:
        return _LiveLocation(self._snapshot, *self._parts, name)

    def names(self) -> list[str]:
        if not self._parts:
            return self._snapshot.directories()
        if not self.is_directory():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return [self._snapshot.segment_name(self.name)]

    def open(self) -> Reader:
        if not self.is_file():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self._snapshot.open(self.parent.name)

    def side_file(self, name: str, most_bytes: int) -> bytes | None:
        return None if self._parts else self._snapshot.checkpoint(name)
