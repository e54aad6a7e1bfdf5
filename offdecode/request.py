"""What a run is asked for, and what it has met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from offdecode.engines.selection import KeyFilter, Selection
from offdecode.errors import UsageError, near
from offdecode.filtering import Name, group_bytes, key_tests
from offdecode.log.batches import Frames
from offdecode.log.compression import CODECS
from offdecode.model import DecodedChunk, Problem
from offdecode.options import ALL_ROWS, DEFAULT_READING, Columns, Filter, Reading, Source
from offdecode.schemas.rows import DEFAULT_OPTIONS, RowOptions, row_type_names

Report = Callable[[Problem], None]
Meter = Callable[[int, int], None]  # called with the bytes and the rows that were read since the last call


def unmetered(read: int, rows: int) -> None:
    """Nobody looks on."""


@dataclass(frozen=True, slots=True)
class Request:
    """Which log is read, which rows are wanted of it, and what they say.

    user_logs: whether the logs of users' partitions beside it are asked about.
    """

    source: Source
    rows: Filter = ALL_ROWS
    columns: RowOptions = DEFAULT_OPTIONS
    reading: Reading = DEFAULT_READING
    user_logs: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError where limits are the wrong way round, so that nothing could be between them."""
        rows = self.rows
        if rows.since is not None and rows.until is not None and rows.since > rows.until:
            raise UsageError("since is later than until: no time is between them")
        if rows.first_offset is not None and rows.last_offset is not None and rows.first_offset > rows.last_offset:
            raise UsageError("the first offset is greater than the last one: none is between them")

    def selection(self) -> Selection:
        """What the engines are told of it."""
        rows = self.rows
        keys = KeyFilter(key_tests(rows), group_bytes(rows))
        return Selection(rows.row_types or None, keys, self.columns, rows.since, rows.until)


def row_request(source: Source, rows: Filter, columns: Columns, reading: Reading) -> Request:
    """A request for rows of the log. Raises UsageError for a row type that does not exist."""
    types = tuple(checked_row_type(name) for name in rows.row_types)
    shown = RowOptions(
        columns.with_batch,
        crc_valid=columns.include_bad_crc,
        raw=columns.raw,
        with_generation=columns.with_generation,
        with_transactional_id=columns.with_transactional_id,
    )
    return Request(source, replace(rows, row_types=types), shown, reading)


def checked_row_type(name: str, among: Sequence[str] = row_type_names()) -> str:
    """The name of a row type; UsageError where there is none of that name."""
    if name not in among:
        found = near(name, among)
        hint = f" did you mean {found}?" if found else ""
        raise UsageError(f"there is no row type {name!r};{hint} the row types are {', '.join(among)}")
    return name


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
    met: set[Name] = field(default_factory=set)  # of the names that were asked for
    answered: bool = False  # whether a question had a row for its answer
    first_time: int | None = None  # of the batches, by their headers, in milliseconds
    last_time: int | None = None

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
        self.met |= other.met
        self._add_times(other.first_time, other.last_time)

    def add_chunk(self, chunk: DecodedChunk) -> None:
        self.rows += chunk.row_count
        for name, batch in chunk.coded.items():
            for entry in batch.column("value_version").value_counts().to_pylist():
                self.by_version[name, entry["values"]] += entry["counts"]

    def _add_times(self, first: int | None, last: int | None) -> None:
        if first is not None and last is not None:
            self.first_time = first if self.first_time is None else min(first, self.first_time)
            self.last_time = last if self.last_time is None else max(last, self.last_time)

    def add_frames(self, frames: Frames) -> None:
        self.batches += len(frames)
        timed = frames.crc_valid & (frames.base_timestamp >= 0)
        if timed.any():
            self._add_times(int(frames.base_timestamp[timed].min()), int(frames.max_timestamp[timed].max()))
        for codec, count in enumerate(np.bincount(frames.codec).tolist()):
            if count:
                self.by_codec[CODECS[codec] if codec < len(CODECS) else str(codec)] += count
