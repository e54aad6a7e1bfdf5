"""Files and directories to segments, and segments to chunks.

Files are read with plain reads, never mapped: a file that is cut short under a mapping kills the process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from offdecode.errors import SourceError
from offdecode.model import LARGEST_INT32, PADDING, Chunk, Problem, path_text
from offdecode.options import OFFSETS_TOPIC
from offdecode.sources.checkpoints import (
    CHECKPOINT_FILES,
    Checkpoints,
    high_watermarks,
    leader_epochs,
    read_checkpoints,
)
from offdecode.sources.codecs import HEAD_BYTES, codec_of
from offdecode.sources.containers import Containers, Live
from offdecode.sources.locations import Location, is_standard_input, listed, local_path
from offdecode.sources.names import (
    CARVED_NOTE,
    LEFTOVER_SEGMENT,
    PARTITION_DIRECTORY,
    SEGMENT_NAME,
    SEGMENT_SUFFIX,
    SNAPSHOT_SUFFIX,
    is_packed,
    named_offset,
    partition_directory,
    partition_pattern,
)
from offdecode.sources.readers import Reader
from offdecode.sources.unreadable import PatientReader

_MOST_ARCHIVES = 1000
MOST_COPIES = 62  # that are read as one log: a bit each
_BEGIN_BYTES = 21  # of a batch, up to its checksum
_ANY = re.compile("(?s).*")
_NUMBERED = re.compile(r"(?s)\d{20}\.log.*")


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file. `size` is what it held when it was found: a live file may grow meanwhile.

    base_offset: of its first batch; named_offset: that in its name, which cleaning leaves as it is. begins: the bytes
    of its first batch up to the checksum.
    """

    location: Location
    size: int
    base_offset: int
    named_offset: int | None = None
    begins: bytes = b""

    @property
    def name(self) -> str:
        return self.location.text


@dataclass(frozen=True, slots=True)
class PartitionLog:
    """The segments of one partition of the offsets topic, in the order of the log.

    carved: they were carved out of an image: nothing is known of what lay between them.
    """

    log_partition: int | None
    segments: tuple[Segment, ...]
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    carved: bool = False

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.segments)

    @property
    def served(self) -> bool:
        """Whether a running broker gives it."""
        return all(segment.location.served for segment in self.segments)

    @property
    def directory(self) -> Location:
        """The directory of its first segment."""
        return self.segments[0].location.parent

    @property
    def leader_epochs(self) -> tuple[tuple[int, int], ...]:
        """What its directory tells of its leader epochs, which is not of segments that are left over there."""
        left_over = any(LEFTOVER_SEGMENT.fullmatch(segment.location.name) for segment in self.segments)
        return () if left_over else leader_epochs(self.directory)


@dataclass(frozen=True, slots=True)
class Found:
    """What the paths lead to: logs by partition number, and what could not be used.

    passed_over: archives and images of disks in directories, which are looked into where a path names them.
    """

    logs: tuple[PartitionLog, ...]
    problems: tuple[Problem, ...]
    passed_over: tuple[Problem, ...]


@dataclass(slots=True)
class _Search:
    topic: str
    as_partition: int | None
    containers: Containers
    wanted: frozenset[int] = frozenset()  # partitions; none = all
    others: set[int] = field(default_factory=set)  # partitions whose directories were passed by
    files: dict[tuple[str, int | None], dict[str, Location]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    passed_over: list[Location] = field(default_factory=list)
    met: int = 0  # segments, those that were met before too
    nested: int = 0  # archives in archives

    def add(self, file: Location) -> None:
        self.met += 1
        directory = file.parent
        partition = partition_of(directory, self.topic)
        place = directory.key
        if partition is None:
            partition = self.as_partition
            place = "" if partition is not None else place
        if match := LEFTOVER_SEGMENT.fullmatch(file.name):  # a copy of what is in the log, or was
            place = f"{place}.{match['why']}"
        self.files.setdefault((place, partition), {})[file.identity] = file

    def problem(self, kind: str, place: Location, message: str) -> None:
        self.problems.append(Problem(kind, place.text, message))

    def unreadable(self, place: Location, error: OSError) -> None:
        self.problem("unreadable", place, f"cannot be read: {error.strerror}")


def partition_of(directory: Location, topic: str) -> int | None:
    """The partition number in a directory's name, `<topic>-<partition>` and what is left over of one, or None."""
    match = partition_directory(directory.name, topic)
    return int(match["partition"]) if match and int(match["partition"]) <= LARGEST_INT32 else None


def find_logs(
    paths: Sequence[Path],
    topic: str = OFFSETS_TOPIC,
    as_log_partition: int | None = None,
    log_partitions: Sequence[int] = (),
    live: Live | None = None,
    *,
    user_logs: bool = False,
) -> Found:
    """All logs that the paths lead to: segment files, partition directories, data directories, running clusters.

    A directory that holds no segment itself is searched, at any depth, for directories `<topic>-<partition>`. live:
    opens a cluster. user_logs: as of Archive. Raises SourceError for a path that does not exist or leads to no log.
    """
    search = _Search(topic, as_log_partition, Containers(topic, live, user_logs=user_logs), frozenset(log_partitions))
    for path in paths:
        _add_place(search, search.containers.location(path))
    missing = set(log_partitions) - {partition for _, partition in search.files}
    if missing:
        found = search.others.union(partition for _, partition in search.files if partition is not None)
        there = ", ".join(map(str, sorted(found)))
        raise SourceError(
            ", ".join(map(path_text, paths)),
            f"there is no log of partition {', '.join(map(str, sorted(missing)))}; there are: {there or 'none'}",
        )
    named = {search.containers.location(path).key for path in paths if not is_standard_input(path)}
    passed_over = {one.key: one for one in search.passed_over if one.key not in named}.values()
    note = "is not looked into: name it as a PATH"
    return Found(
        tuple(in_order(_logs(search))), tuple(search.problems),
        tuple(Problem("passed_over", one.text, note) for one in passed_over),
    )  # fmt: skip


def logs_of_topic(directories: Iterable[Location], topic: str) -> list[PartitionLog]:
    """The logs of a topic that lie right in data directories. What cannot be read is passed over."""
    search = _Search(topic, None, Containers(topic))
    pattern = partition_pattern(topic)
    for directory in directories:
        for name in listed(directory):
            if pattern.fullmatch(name):
                _add_segments(search, directory.child(name))
    return in_order(_logs(search))


def snapshots_of(log: PartitionLog) -> Iterator[PartitionLog]:
    """The snapshots of a log of KRaft controllers, the oldest first, each as a log of one segment."""
    for name in listed(log.directory):
        if name.endswith(SNAPSHOT_SUFFIX):
            place = log.directory.child(name)
            try:
                with place.open() as reader:
                    yield PartitionLog(log.log_partition, (Segment(place, reader.size, 0),))
            except OSError:
                continue


def _logs(search: _Search) -> Iterator[PartitionLog]:
    """The logs whose files were found."""
    for (_, partition), files in search.files.items():
        if search.wanted and partition not in search.wanted:
            continue
        segments = sorted(_segments(search, files.values()), key=lambda item: (item.base_offset, item.name))
        if segments:
            directory = segments[0].location.parent
            carved = partition_of(directory, search.topic) is not None and CARVED_NOTE in listed(directory)
            yield PartitionLog(partition, tuple(segments), _checkpoints(directory, partition), carved)


def in_order(logs: Iterable[PartitionLog]) -> list[PartitionLog]:
    """Logs by partition number, those without one last."""
    return sorted(logs, key=lambda log: (log.log_partition is None, log.log_partition or 0, log.segments[0].name))


def data_directories(logs: Iterable[PartitionLog]) -> list[Location]:
    """The directories in which the partitions of logs lie, each once."""
    return list({data.key: data for data in (log.directory.parent for log in logs)}.values())


def missing_partitions(logs: Sequence[PartitionLog], paths: Iterable[Path], topic: str) -> Iterator[Problem]:
    """A problem for each partition that a data directory's broker had records of, and that no log is of.

    Of directories that the paths lead to as a whole: who names a partition does not ask for the others.
    """
    there = {log.log_partition for log in logs}
    places = {path if (local := local_path(path)) is None else local.absolute() for path in paths}
    above = {parent for place in places for parent in place.parents}
    for directory in data_directories(logs):
        here = Path(directory.key)
        if here in above and places.isdisjoint((here, *here.parents)):
            continue
        for number, mark in sorted(high_watermarks(directory, topic).items()):
            if mark and number not in there:
                there.add(number)
                told = f"{CHECKPOINT_FILES['high_watermark']} names partition {number}, high watermark {mark}"
                yield Problem("missing_partition", directory.text, f"{told}: its log is not here", number)


def copies_together(logs: Iterable[PartitionLog]) -> list[tuple[PartitionLog, ...]]:
    """Logs of one partition together. Of those without a number nobody knows whether they are copies.

    Raises SourceError for more copies than can be told apart.
    """
    found: dict[int | str, list[PartitionLog]] = {}
    for log in logs:
        own = log.segments[0].name
        found.setdefault(own if log.log_partition is None else log.log_partition, []).append(log)
    for copies in found.values():
        if len(copies) > MOST_COPIES:
            partition, count = copies[0].log_partition, len(copies)
            message = f"partition {partition} lies in {count} copies; at most {MOST_COPIES} are read as one log"
            raise SourceError(copies[-1].directory.text, f"{message}: give fewer, or --copies-apart")
    return [tuple(copies) for copies in found.values()]


def copies_apart(logs: Iterable[PartitionLog]) -> Iterator[Problem]:
    """A problem for each log whose partition has one already."""
    first: dict[int, str] = {}
    for log in logs:
        place = log.directory.text
        if log.log_partition is None:
            continue
        if (known := first.setdefault(log.log_partition, place)) != place:
            message = (
                f"partition {log.log_partition} is in {known} too: the records of both are told, each log by itself"
            )
            yield Problem("partition_copies", place, message, log.log_partition)


def loose_copies(logs: Iterable[PartitionLog]) -> Iterator[Problem]:
    """A problem for each segment in no partition's directory that begins like one of another log."""
    known: dict[bytes, tuple[PartitionLog, Segment]] = {}
    for log in logs:  # those without a number come last
        for segment in log.segments:
            if int.from_bytes(segment.begins[8:12], "big", signed=True) <= 0:
                continue  # no batch: zeros, perhaps
            other, first = known.setdefault(segment.begins, (log, segment))
            if other is log or log.log_partition is not None or len(segment.begins) < _BEGIN_BYTES:
                continue
            message = (
                f"begins with the batch that {first.name} begins with: it seems to be a copy, and is read by itself: "
                "records come twice (copies in directories TOPIC-N are put together)"
            )
            yield Problem("loose_copy", segment.name, message)


def _add_place(search: _Search, place: Location) -> None:
    if not place.exists():
        raise SourceError(place.text, "there is no such file or directory")
    before, told = search.met, len(search.problems)
    if place.is_directory():
        _add_directory(search, place)
        packed = _packed(place)
        search.passed_over += packed
        if search.met == before and not search.problems:
            hint = f"; name as a PATH what is packed there: {', '.join(one.name for one in packed)}" if packed else ""
            nothing = _nothing_found(search.topic) + hint
            raise SourceError(place.text, nothing if listed(place) else "the directory is empty")
    elif place.is_file():
        archive = search.containers.archive(place)
        if archive is None:
            search.add(place)
        else:
            (_add_archive if archive.flat else _add_partitions)(search, archive.root)
            search.problems += archive.problems
            if search.met == before and len(search.problems) == told:
                hint = "" if archive.flat else "; offdecode carve looks through its bytes for batches"
                raise SourceError(place.text, _nothing_found(search.topic) + hint)
    else:
        raise SourceError(place.text, "is neither a file nor a directory")


def _packed(directory: Location) -> list[Location]:
    """Archives and images of disks in a directory, by their names."""
    return [one for one in map(directory.child, filter(is_packed, listed(directory))) if one.is_file()]


def _with_all_below(directory: Location) -> Iterator[Location]:
    yield directory
    for name in directory.names():
        if (inside := directory.child(name)).is_directory():
            yield from _with_all_below(inside)


def _nothing_found(topic: str) -> str:
    return (
        f"no segment (*{SEGMENT_SUFFIX}) and no directory {topic}-<partition> is in it; "
        "--topic-name names a copy of the topic"
    )


def _add_directory(search: _Search, directory: Location) -> None:
    if _add_segments(search, directory):
        return
    before = search.met
    _add_partitions(search, directory)
    if search.met == before:
        inside = directory.directories(_ANY, lambda *_: None)  # what cannot be read is told already
        for one in _with_segments(_other_than_partitions(search, inside)):
            _add_segments(search, one)


def _add_partitions(search: _Search, root: Location) -> None:
    """Partitions' directories at any depth."""
    for found in root.directories(partition_pattern(search.topic), search.unreadable):
        partition = partition_of(found, search.topic)
        if search.wanted and partition is not None and partition not in search.wanted:
            search.others.add(partition)
            search.met += 1
        else:
            _add_segments(search, found)


def _add_archive(search: _Search, root: Location) -> None:
    """Partitions' directories at any depth; where there is none, whatever holds files named like segments."""
    before = search.met
    _add_partitions(search, root)
    holders = list(_with_all_below(root))
    for directory in holders:
        for name in directory.names():
            if is_packed(name):
                _add_nested(search, directory.child(name))
    if search.met > before:
        return
    # Partitions of other topics, and deleted ones, are none; the archive itself may be named like one.
    holders = [root, *_other_than_partitions(search, holders[1:])]
    for one in _with_segments(holders) or holders:
        _add_segments(search, one)


def _other_than_partitions(search: _Search, directories: Iterable[Location]) -> Iterator[Location]:
    return (one for one in directories if not partition_directory(one.name, search.topic))


def _with_segments(directories: Iterable[Location]) -> list[Location]:
    """Those that hold files named like segments."""
    return [one for one in directories if any(map(_NUMBERED.fullmatch, listed(one)))]


def _add_nested(search: _Search, file: Location) -> None:
    """What is in an archive or on a disk whose image lies in an archive."""
    search.nested += 1
    if search.nested > _MOST_ARCHIVES:
        if search.nested == _MOST_ARCHIVES + 1:
            search.problem("unused_member", file, f"there are more than {_MOST_ARCHIVES} archives in archives")
        return
    try:
        archive = search.containers.opened(file) if file.is_file() else None
    except SourceError as refused:
        search.problem("unused_member", file, refused.reason)
        return
    except OSError as error:
        search.unreadable(file, error)
        return
    if archive is not None:
        (_add_archive if archive.flat else _add_partitions)(search, archive.root)
        search.problems += archive.problems


def _add_segments(search: _Search, directory: Location) -> bool:
    try:
        names = directory.names()
    except OSError as error:
        search.unreadable(directory, error)
        return False
    found = False
    for name in names:
        if not SEGMENT_NAME.fullmatch(name):
            continue
        if not name.endswith(SEGMENT_SUFFIX) and name.rpartition(".")[0] in names:
            continue
        file = directory.child(name)
        try:
            usable = file.is_file()
        except OSError as error:
            search.unreadable(file, error)
            continue
        if usable:
            search.add(file)
            found = True
        else:
            search.problem("unreadable", file, "is not a regular file")
    return found


def _segments(search: _Search, files: Iterable[Location]) -> Iterator[Segment]:
    for file in files:
        try:
            with file.open() as reader:
                head = _head(reader)
                size = reader.size
            codec = codec_of(head)
            if codec is not None:
                file, problems = search.containers.unpacked(file, codec)
                search.problems += problems
                with file.open() as reader:
                    head = reader.read(0, _BEGIN_BYTES)
                    size = reader.size
        except OSError as error:
            search.unreadable(file, error)
            continue
        named = named_offset(file.name)
        base = int.from_bytes(head[:8], "big", signed=True) if len(head) >= 8 else named or 0
        yield Segment(file, size, base, named, head[:_BEGIN_BYTES])


def _head(reader: Reader) -> bytes:
    """The first bytes; none where they cannot be read, for those behind them may be."""
    try:
        return reader.read(0, HEAD_BYTES)
    except OSError:
        return b""


def _checkpoints(directory: Location, partition: int | None) -> Checkpoints:
    match = PARTITION_DIRECTORY.fullmatch(directory.name)
    if match is None or match["leftover"] or partition is None:
        return Checkpoints()
    return read_checkpoints(directory.parent, match["topic"], partition)


def open_segment(segment: Segment) -> Reader:
    """Open a segment for reading."""
    return segment.location.open()


def read_chunk(reader: PatientReader, segment: Segment, log_partition: int | None, position: int, size: int) -> Chunk:
    """Bytes of a segment from `position` on, up to `size` of them; fewer only at the segment's end."""
    wanted = max(min(size, segment.size - position), 0)
    buffer = np.empty(wanted + PADDING, np.uint8)
    filled = reader.read_into(buffer.data[:wanted], position)
    buffer[filled:] = 0
    if filled < wanted:  # the file was cut short meanwhile
        buffer = buffer[: filled + PADDING].copy()
        return Chunk(segment.name, log_partition, position, buffer, filled, position + filled)
    return Chunk(segment.name, log_partition, position, buffer, wanted, segment.size)
