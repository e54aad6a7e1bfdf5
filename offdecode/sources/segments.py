"""Files and directories to segments, and segments to chunks: the only place that reads evidence.

Files are read with plain reads, never mapped: a file that is cut short under a mapping kills the process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from offdecode.errors import SourceError
from offdecode.model import LARGEST_INT32, LARGEST_INT64, PADDING, Chunk, Problem, path_text
from offdecode.options import OFFSETS_TOPIC
from offdecode.sources.checkpoints import Checkpoints, read_checkpoints
from offdecode.sources.opening import open_evidence

_SUFFIX = ".log"
_PARTITION_DIRECTORY = re.compile(r"(?P<topic>.+)-(?P<partition>\d{1,10})")


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file. `size` is what it held when it was found: a live file may grow meanwhile.

    base_offset: of its first batch; named_offset: that in its name, which cleaning leaves as it is.
    """

    path: Path
    size: int
    base_offset: int
    named_offset: int | None = None

    @property
    def name(self) -> str:
        return path_text(self.path)


@dataclass(frozen=True, slots=True)
class PartitionLog:
    """The segments of one partition of the offsets topic, in the order of the log."""

    log_partition: int | None
    segments: tuple[Segment, ...]
    checkpoints: Checkpoints = field(default_factory=Checkpoints)

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Found:
    """What the paths lead to: logs by partition number, and what could not be used."""

    logs: tuple[PartitionLog, ...]
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class _Search:
    topic: str
    as_partition: int | None
    files: dict[tuple[str, int | None], dict[str, Path]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    met: int = 0  # segments, those that were met before too

    def add(self, path: Path) -> None:
        self.met += 1
        partition = partition_of(path.parent)
        place = str(path.parent.absolute())
        if partition is None:
            partition = self.as_partition
            place = "" if partition is not None else place
        self.files.setdefault((place, partition), {})[os.path.realpath(path)] = path

    def problem(self, kind: str, path: Path, message: str) -> None:
        self.problems.append(Problem(kind, path_text(path), message))


def partition_of(directory: Path) -> int | None:
    """The partition number in a directory's name `<topic>-<partition>`, or None."""
    match = _PARTITION_DIRECTORY.fullmatch(directory.absolute().name)
    return int(match["partition"]) if match and int(match["partition"]) <= LARGEST_INT32 else None


def find_logs(
    paths: Sequence[Path],
    topic: str = OFFSETS_TOPIC,
    as_log_partition: int | None = None,
    log_partitions: Sequence[int] = (),
) -> Found:
    """All logs that the paths lead to: segment files, partition directories, data directories.

    A directory that holds no segment itself is searched, at any depth, for directories `<topic>-<partition>`.
    Raises SourceError for a path that does not exist or leads to no log.
    """
    search = _Search(topic, as_log_partition)
    for path in paths:
        if not path.exists():
            raise SourceError(path_text(path), "there is no such file or directory")
        before = search.met
        if path.is_dir():
            _add_directory(search, path)
            if search.met == before and not search.problems:
                raise SourceError(path_text(path), _nothing_found(path, topic))
        elif path.is_file():
            search.add(path)
        else:
            raise SourceError(path_text(path), "is neither a file nor a directory")
    missing = set(log_partitions) - {partition for _, partition in search.files}
    if missing:
        there = ", ".join(map(str, sorted({partition for _, partition in search.files if partition is not None})))
        raise SourceError(
            ", ".join(map(path_text, paths)),
            f"there is no log of partition {', '.join(map(str, sorted(missing)))}; there are: {there or 'none'}",
        )
    logs: list[PartitionLog] = []
    for (_, partition), files in search.files.items():
        if log_partitions and partition not in log_partitions:
            continue
        segments = sorted(_segments(search, files.values()), key=lambda item: (item.base_offset, item.name))
        if segments:
            logs.append(PartitionLog(partition, tuple(segments), _checkpoints(segments[0].path, partition)))
    logs.sort(key=lambda log: (log.log_partition is None, log.log_partition or 0, log.segments[0].name))
    return Found(tuple(logs), tuple(search.problems))


def _nothing_found(path: Path, topic: str) -> str:
    if not any(path.iterdir()):
        return "the directory is empty"
    return (
        f"no segment (*{_SUFFIX}) and no directory {topic}-<partition> is in it; "
        "--topic-name names a copy of the topic"
    )


def _add_directory(search: _Search, directory: Path) -> None:
    if _add_segments(search, directory):
        return
    pattern = re.compile(re.escape(search.topic) + r"-\d{1,10}")

    def complain(error: OSError) -> None:
        search.problem("unreadable", Path(error.filename or directory), f"cannot be read: {error.strerror}")

    for place, names, _ in os.walk(directory, onerror=complain):
        for name in sorted(names):
            if pattern.fullmatch(name):
                _add_segments(search, Path(place, name))
        names[:] = [name for name in names if not pattern.fullmatch(name)]


def _add_segments(search: _Search, directory: Path) -> bool:
    try:
        entries = sorted(directory.iterdir())
    except OSError as error:
        search.problem("unreadable", directory, f"cannot be read: {error.strerror}")
        return False
    found = False
    for path in entries:
        if not path.name.endswith(_SUFFIX):
            continue
        try:
            usable, reason = path.is_file(), "is not a regular file"
        except OSError as error:
            usable, reason = False, f"cannot be read: {error.strerror}"
        if usable:
            search.add(path)
            found = True
        else:
            search.problem("unreadable", path, reason)
    return found


def _segments(search: _Search, paths: Iterable[Path]) -> Iterator[Segment]:
    for path in paths:
        try:
            with open_segment(path) as reader:
                head = reader.read(0, 8)
                size = reader.size
        except OSError as error:
            search.problem("unreadable", path, f"cannot be read: {error.strerror}")
            continue
        stem = path.name.split(".")[0]
        named = int(stem) if re.fullmatch("[0-9]{1,20}", stem) and int(stem) <= LARGEST_INT64 else None
        base = int.from_bytes(head, "big", signed=True) if len(head) == 8 else named or 0
        yield Segment(path, size, base, named)


def _checkpoints(segment: Path, partition: int | None) -> Checkpoints:
    directory = segment.absolute().parent
    match = _PARTITION_DIRECTORY.fullmatch(directory.name)
    if match is None or partition is None:
        return Checkpoints()
    return read_checkpoints(directory.parent, match["topic"], partition)


class SegmentReader:
    """An open segment file, read by position."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def __enter__(self) -> SegmentReader:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self.descriptor)

    def read(self, position: int, size: int) -> bytes:
        """Up to `size` bytes from `position`."""
        return os.pread(self.descriptor, size, position)

    def changed(self, segment: Segment) -> str | None:
        """What has become of the file since it was found, if it is another size now or not there any more."""
        size = os.fstat(self.descriptor).st_size
        if size != segment.size:
            verb = "grew" if size > segment.size else "was cut"
            return f"the file {verb} from {segment.size} to {size} bytes while it was read"
        if not segment.path.exists():
            return "the file was deleted or renamed while it was read; it was read to its end"
        return None


def open_segment(path: Path) -> SegmentReader:
    """Open a segment file for reading."""
    return SegmentReader(path, open_evidence(path))


def read_chunk(
    reader: SegmentReader, segment: Segment, log_partition: int | None, position: int, size: int
) -> Chunk:
    """Bytes of a segment from `position` on, up to `size` of them; fewer only at the segment's end."""
    wanted = max(min(size, segment.size - position), 0)
    buffer = np.empty(wanted + PADDING, np.uint8)
    filled = 0
    while filled < wanted:
        got = os.preadv(reader.descriptor, [buffer.data[filled:wanted]], position + filled)
        if not got:
            break
        filled += got
    buffer[filled:] = 0
    if filled < wanted:  # the file was cut short meanwhile
        buffer = buffer[: filled + PADDING].copy()
        return Chunk(segment.name, log_partition, position, buffer, filled, position + filled)
    return Chunk(segment.name, log_partition, position, buffer, wanted, segment.size)
