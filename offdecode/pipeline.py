"""The one place where the stages meet: paths to logs, logs to frames, frames to records, records to rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from offdecode.engines.decode import Decoder, Engine
from offdecode.engines.reference_rows import sample_looks_like_offsets
from offdecode.engines.selection import KeyFilter, Selection
from offdecode.errors import OffdecodeError, SourceError
from offdecode.log.batches import Frames, iter_frames, read_frames
from offdecode.log.compression import CODECS
from offdecode.log.exported import iter_exported
from offdecode.log.foreign import redpanda_header
from offdecode.log.holes import Cleaning
from offdecode.log.offset_map import OffsetMap
from offdecode.log.records import Records, iter_records
from offdecode.log.repeats import Repeats
from offdecode.log.transactions import Place, Status, TransactionResolver
from offdecode.model import PADDING, Chunk, DecodedChunk, Mask, Problem, Vector, path_text
from offdecode.schemas.rows import DEFAULT_OPTIONS, RowOptions
from offdecode.sources.exported import exported_bytes, iter_lines
from offdecode.sources.segments import OFFSETS_TOPIC, Found, PartitionLog, Segment, find_logs, open_segment, read_chunk
from offdecode.sources.topic_ids import data_directory_names, named_in_file

CHUNK_BYTES = 4 << 20  # small enough for the vectors to stay in cache
_SMALL_LOGS = 4  # chunks; of less, chunks are a quarter: compressed, it may be a million records all the same
_NOT_OFFSETS = "this does not look like an offsets log"

InputFormat = Literal["segments", "records-jsonl"]
Report = Callable[[Problem], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be decoded, and which rows of it.

    groups, topics, partitions: a row passes where its key's field is one of them; group_regex: where it is
    found in the group id. Markers pass all of these. since, until: milliseconds since 1970 UTC, both
    included; first_offset, last_offset: log offsets, both included. row_types: None = all.
    """

    paths: tuple[Path, ...]
    input_format: InputFormat = "segments"
    topic_name: str = OFFSETS_TOPIC
    as_log_partition: int | None = None
    log_partitions: tuple[int, ...] = ()
    row_types: tuple[str, ...] | None = None
    groups: tuple[str, ...] = ()
    group_regex: str | None = None
    topics: tuple[str, ...] = ()
    partitions: tuple[int, ...] = ()
    since: int | None = None
    until: int | None = None
    first_offset: int | None = None
    last_offset: int | None = None
    include_bad_crc: bool = False
    engine: Engine = "auto"
    options: RowOptions = DEFAULT_OPTIONS

    def selection(self) -> Selection:
        tests: dict[str, Callable[[object], bool]] = {}
        if self.groups or self.group_regex is not None:
            groups = frozenset(self.groups)
            pattern = None if self.group_regex is None else re.compile(self.group_regex)
            tests["group"] = lambda group: group in groups or bool(pattern and pattern.search(str(group)))
        if self.topics:
            tests["topic"] = frozenset(self.topics).__contains__
        if self.partitions:
            tests["partition"] = frozenset(self.partitions).__contains__
        return Selection(self.row_types, KeyFilter(tests), self.options, self.since, self.until)


@dataclass(slots=True)
class Stats:
    """What a run has met."""

    segments: int = 0
    total_bytes: int = 0
    bytes_read: int = 0
    batches: int = 0
    rows: int = 0
    problems: int = 0
    fallbacks: int = 0
    by_codec: Counter[str] = field(default_factory=Counter)
    by_version: Counter[tuple[str, int | None]] = field(default_factory=Counter)

    def add(self, other: Stats) -> None:
        """Add what another process has met."""
        self.segments += other.segments
        self.total_bytes += other.total_bytes
        self.bytes_read += other.bytes_read
        self.batches += other.batches
        self.rows += other.rows
        self.problems += other.problems
        self.fallbacks += other.fallbacks
        self.by_codec.update(other.by_codec)
        self.by_version.update(other.by_version)

    def add_chunk(self, chunk: DecodedChunk) -> None:
        self.rows += chunk.row_count
        for name, batch in chunk:
            for entry in batch.column("value_version").value_counts().to_pylist():
                self.by_version[name, entry["values"]] += entry["counts"]

    def add_frames(self, frames: Frames) -> None:
        self.batches += len(frames)
        for codec, count in enumerate(np.bincount(frames.codec).tolist()):
            if count:
                self.by_codec[CODECS[codec] if codec < len(CODECS) else str(codec)] += count


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of work in its place in the output: problems to report, then what a StepReader reads rows from.

    size: bytes of evidence. offsets: the map of the log as far as it was read, the same object for all steps of a
    log; None where there is no log. frames, status: batches of the log, and the transaction status of each.
    records: what stands there instead where the input has no batches. first_offset: a batch may begin before what
    was asked for; its records before this offset are left out.
    """

    problems: tuple[Problem, ...]
    size: int = 0
    offsets: OffsetMap | None = None
    frames: Frames | None = None
    status: Vector = field(default_factory=lambda: np.empty(0, np.int64))
    records: tuple[Records, ...] = ()
    first_offset: int | None = None


class StepReader:
    """Reads the rows of steps. Any step may be left out or be another process's. stats: what was met is added."""

    def __init__(self, request: Request, stats: Stats) -> None:
        self._request = request
        self._stats = stats
        self._decoder = Decoder(request.selection(), request.engine)

    def read(self, step: Step) -> Iterator[DecodedChunk]:
        stats, frames = self._stats, step.frames
        stats.bytes_read += step.size
        for records in step.records:
            yield self._rows(records, np.full(1, Status.NONE, np.int64), None)
        if frames is not None:
            stats.add_frames(frames)
            for records in iter_records(frames, frames.crc_valid | self._request.include_bad_crc):
                yield self._rows(records, step.status, step.first_offset)

    def _rows(self, records: Records, status: Vector, first_offset: int | None) -> DecodedChunk:
        wanted = _wanted(records, self._request)
        if first_offset is not None:
            wanted &= records.log_offset >= first_offset
        chunk = self._decoder.decode(records, status, wanted)
        self._stats.add_chunk(chunk)
        self._stats.fallbacks = self._decoder.fallbacks
        return chunk


def decode(request: Request, report: Report, stats: Stats | None = None) -> Iterator[DecodedChunk]:
    """The decoded chunks of all logs of the request, partitions by number, each in the order of its log.

    Raises SourceError where the paths lead to nothing that is an offsets log.
    """
    stats = Stats() if stats is None else stats
    reader = StepReader(request, stats)
    for step in iter_steps(request, stats):
        for problem in step.problems:
            report(problem)
        for chunk in reader.read(step):
            for problem in chunk.problems:
                report(problem)
            yield chunk


def chunk_bytes(size: int) -> int:
    """How much of evidence of this size is read at once: enough pieces for several processes to share."""
    return CHUNK_BYTES if size >= _SMALL_LOGS * CHUNK_BYTES else CHUNK_BYTES // 4


def evidence_bytes(request: Request) -> int:
    """How many bytes of segments the request's paths lead to."""
    if request.input_format == "records-jsonl":
        return sum(exported_bytes(path) for path in request.paths)
    return sum(log.size for log in find(request).logs)


def find(request: Request) -> Found:
    return find_logs(request.paths, request.topic_name, request.as_log_partition, request.log_partitions)


def topic_names(request: Request, file: Path | None) -> dict[str, str]:
    """{topic id: name} as the data directories of the request's logs and the file tell them."""
    names = {} if request.input_format == "records-jsonl" else data_directory_names(find(request).logs)
    return names if file is None else {**names, **named_in_file(file)}


def iter_steps(request: Request, stats: Stats) -> Iterator[Step]:
    """The steps of a request, in order. stats: the number and size of the segments are put in."""
    if request.input_format == "records-jsonl":
        yield from _exported_steps(request)
        return
    found = find(request)
    yield Step(found.problems)
    stats.segments = sum(len(log.segments) for log in found.logs)
    stats.total_bytes = sum(log.size for log in found.logs)
    refused: list[SourceError] = []
    for log in found.logs:
        try:
            yield from _log_steps(log, chunk_bytes(stats.total_bytes))
        except SourceError as error:
            refused.append(error)
    if refused and len(refused) == len(found.logs):
        raise refused[0]
    yield Step(tuple(Problem("not_an_offsets_log", refusal.source, refusal.reason) for refusal in refused))
    if not found.logs and found.problems:
        problem = found.problems[0]
        raise SourceError(problem.source, problem.message)


def _exported_steps(request: Request) -> Iterator[Step]:
    for path in request.paths:
        judged: bool | None = None
        for position, lines in iter_lines(path):
            size = sum(map(len, lines)) + len(lines)
            for records in iter_exported(path_text(path), position, lines):
                if request.log_partitions and records.frames.chunk.log_partition not in request.log_partitions:
                    continue
                judged = sample_looks_like_offsets(records) if judged is None else judged
                if judged is False:
                    raise SourceError(path_text(path), f"{_NOT_OFFSETS}: its keys are no coordinator's")
                yield Step((), size, records=(records,))
                size = 0
            yield Step((), size)


def _log_steps(log: PartitionLog, chunk_size: int) -> Iterator[Step]:
    offsets = offset_map(log)
    for frames, status in iter_log(log, offsets, chunk_size):
        chunk = frames.chunk
        size = chunk.size if chunk.final else frames.next_position - chunk.position
        yield Step(frames.problems, size, offsets, frames, status)


def offset_map(log: PartitionLog) -> OffsetMap:
    """A map of the log's offsets in which nothing is entered yet."""
    marks = log.checkpoints
    return OffsetMap(
        log.log_partition, Cleaning(marks.cleaner), named_offset=log.segments[0].named_offset,
        log_start=marks.log_start, high_watermark=marks.high_watermark,
    )  # fmt: skip


def iter_log(
    log: PartitionLog, offsets: OffsetMap, chunk_size: int | None = None
) -> Iterator[tuple[Frames, Vector]]:
    """The frames of a log in order, with all problems that show before decoding, and the status of each batch.

    They are entered in the map of the log's offsets. Raises SourceError where the log is not one of the offsets topic.
    """
    _refuse_foreign(log)
    judged: bool | None = None
    batches = lost = 0
    repeats = Repeats()
    frames_from = partial(_frames_from, log, chunk_size or CHUNK_BYTES)
    for frames, status in TransactionResolver(frames_from, offsets.cleaning):
        lost += sum(problem.kind in ("garbage_tail", "damaged_bytes") for problem in frames.problems)
        batches += len(frames)
        if judged is None:
            judged = looks_like_offsets(frames, _place(log))
        found = sorted((*repeats.add(frames), *offsets.add(frames, status)), key=lambda one: one.position or 0)
        yield replace(frames, problems=(*frames.problems, *found)), status
    if lost and not batches:
        raise SourceError(_place(log), f"{_NOT_OFFSETS}: there is no batch in it")
    if late := offsets.finish():
        yield replace(_no_frames(log.segments[-1], log.log_partition), problems=late), np.empty(0, np.int64)


def looks_like_offsets(frames: Frames, source: str) -> bool | None:
    """Whether the first records are those of an offsets topic; None where there are none. SourceError if not."""
    judged = sample_looks_like_offsets(next(iter_records(frames, frames.crc_valid)))
    if judged is False:
        raise SourceError(source, f"{_NOT_OFFSETS}: its keys are no coordinator's")
    return judged


def _place(log: PartitionLog) -> str:
    return log.segments[0].name


def _refuse_foreign(log: PartitionLog) -> None:
    for segment in log.segments:
        try:
            with open_segment(segment.path) as reader:
                head = reader.read(0, 61)
        except OSError:
            continue  # reported where it is read
        if redpanda_header(head):
            raise SourceError(
                segment.name, "this is a Redpanda segment, whose batches differ from Kafka's; offdecode reads Kafka's"
            )


def _frames_from(log: PartitionLog, chunk_size: int, place: Place) -> Iterator[tuple[Place, Frames]]:
    """The frames of a log from a place on, chunk by chunk, with the place behind each."""
    position = place.position
    for index in range(place.segment, len(log.segments)):
        segment = log.segments[index]
        try:
            with open_segment(segment.path) as reader:
                read = partial(read_chunk, reader, segment, log.log_partition)
                for frames in iter_frames(read, chunk_size, position):
                    last = frames.chunk.final
                    if last and (changed := reader.changed(segment)) is not None:
                        problem = Problem("changed_while_read", segment.name, changed, log.log_partition)
                        frames = replace(frames, problems=(*frames.problems, problem))
                    yield (Place(index + 1, 0) if last else Place(index, frames.next_position)), frames
        except OSError as error:
            yield Place(index + 1, 0), _unreadable(segment, log.log_partition, error)
        position = 0


def _unreadable(segment: Segment, log_partition: int | None, error: OSError) -> Frames:
    """No frames, and the problem that says why: bytes are missing here."""
    problem = Problem("unreadable", segment.name, f"cannot be read: {error.strerror}", log_partition)
    return replace(_no_frames(segment, log_partition), problems=(problem,), breaks=(0,))


def _no_frames(segment: Segment, log_partition: int | None) -> Frames:
    empty = Chunk(segment.name, log_partition, 0, np.zeros(PADDING, np.uint8), 0, 0)
    return read_frames(empty)


def _wanted(records: Records, request: Request) -> Mask:
    """Which records the offset and time limits let through; those without a timestamp are judged later."""
    wanted = np.ones(len(records), np.bool_)
    if request.first_offset is not None:
        wanted &= records.log_offset >= request.first_offset
    if request.last_offset is not None:
        wanted &= records.log_offset <= request.last_offset
    if request.since is not None:
        wanted &= ~records.has_timestamp | (records.log_timestamp >= request.since)
    if request.until is not None:
        wanted &= ~records.has_timestamp | (records.log_timestamp <= request.until)
    return wanted


class StrictStop(OffdecodeError):
    """The first problem, where none is accepted."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(f"stopped at the first problem (--strict): {problem.source}: {problem.message}")
