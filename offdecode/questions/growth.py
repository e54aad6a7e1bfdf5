"""growth: where the bytes of the offsets topic are, and what keeps the log cleaner from removing them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa

from offdecode.by_log import ByLog, LogAnswer
from offdecode.engines.record_keys import NOBODY, ROW_TYPES, Names, RecordKeys, committed_offsets
from offdecode.evidence import LogId, Step
from offdecode.filtering import Name, key_tests, names_in
from offdecode.history.growth import HOUR_MS, OF_KEY, Cells, Growth, Part, SizedRecords
from offdecode.log.headers import HEADER_BYTES
from offdecode.log.records import Records, iter_records
from offdecode.log.sizes import shares
from offdecode.log.transactions import Status
from offdecode.model import (
    ABSENT,
    Coverage,
    DecodedChunk,
    Mask,
    Vector,
    arrow,
    category,
    constant_category,
    distinct,
    repeated,
    stable_order,
    typed,
)
from offdecode.options import ALL_ROWS, Filter, GrowthOptions, Reading, Source
from offdecode.questions.compaction import OpenTransaction, compaction, start_of, why
from offdecode.questions.rows import chunk_of
from offdecode.request import Request
from offdecode.run import Run
from offdecode.schemas.growth_rows import COMPACTION_ROW, GROWTH_ROW, PARTS
from offdecode.schemas.rows import MARKER_ROW, row_type
from offdecode.sources.segments import PartitionLog, Segment

_MOST_ROWS = 1 << 14  # in a chunk
_EXPECTED = frozenset({"partition_copies"})  # that is what is asked for
_PART_OF_STATUS = {
    Status.ABORTED: Part.ABORTED,
    Status.OPEN: Part.UNDECIDED,
    Status.UNKNOWN: Part.UNDECIDED,
}


def growth_request(source: Source, rows: Filter, reading: Reading) -> Request:
    """The request of logs each by itself, for each has a disk and a log cleaner of its own."""
    return Request(replace(source, copies_apart=True), rows, reading=reading)


def growth(run: Run, asked: GrowthOptions) -> Iterator[DecodedChunk]:
    """For each log a row of its compaction, then those of its growth, the most bytes first."""
    logs = {log.segments[0].name: log for log in run.evidence.logs}
    held: dict[LogId, _LogGrowth] = {}
    for step in run.evidence.steps(run.stats):
        for problem in step.problems:
            if problem.kind not in _EXPECTED:
                run.report(problem)
        run.meter(step.size, 0)
        if step.log is None:
            continue
        if step.log not in held:
            held[step.log] = _LogGrowth(logs.get(step.log.source), asked.dimensions, run.request.rows)
        found = held[step.log]
        for records, status in _records(run, step):
            for problem in records.problems:
                run.report(problem)
            found.add(records, status)
        if step.coverage is not None:
            run.stats.met |= found.lines.met
            for chunk in held.pop(step.log).chunks(step.log.partition, step.coverage, run):
                run.stats.rows += chunk.row_count
                yield chunk


def growth_by_log(run: Run, asked: GrowthOptions) -> ByLog:
    """The same, of each log by itself."""
    alone = partial(growth, asked=asked)
    return ByLog(ALL_ROWS, lambda log, names: LogAnswer(), alone=alone, expected=_EXPECTED)


def _records(run: Run, step: Step) -> Iterator[tuple[Records, Vector]]:
    """The records of a step, and the status of their batches."""
    run.stats.bytes_read += step.size
    for records in step.records:
        yield records, step.status
    if step.frames is not None:
        run.stats.add_frames(step.frames)
        for records in iter_records(step.frames, step.frames.crc_valid):
            yield records, step.status


class _Lines:
    """What records are summed up by: a number for each line that there will be. Line 0 is what nobody asked for."""

    def __init__(self, dimensions: tuple[str, ...], rows: Filter) -> None:
        self.dimensions = dimensions
        self.keys = RecordKeys()
        self.met: set[Name] = set()
        self._rows = rows
        self._named = names_in(rows)
        self._cells = Cells(len(dimensions))
        self._hours: dict[int, int] = {}
        self._passing = {"group": _Passing(rows, "group"), "topic": _Passing(rows, "topic")}

    def keys_and_cells(self, records: Records, control: Mask) -> tuple[Vector, Vector]:
        """The number of the key of each record, -1 for control records, and the line that counts it."""
        rows = np.flatnonzero(~control)
        key = np.full(len(records), -1, np.int64)
        key[rows] = self.keys.numbers(records, rows)
        subjects = self.keys.subjects
        parts = {"type": np.full(len(records), ROW_TYPES.index(MARKER_ROW)), "group": np.full(len(records), NOBODY)}
        parts["topic"] = parts["group"].copy()
        for name, column in zip(("type", "group", "topic"), subjects, strict=True):
            parts[name][rows] = column[key[rows]]
        if "hour" in self.dimensions:
            parts["hour"] = self._hours_of(records)
        cell = 1 + self._cells.numbers([parts[name] for name in self.dimensions])
        if self._rows != ALL_ROWS:
            self._note_met(parts)
            cell[~self._wanted(parts)] = 0
        return key, cell

    def _hours_of(self, records: Records) -> Vector:
        hour = np.where(records.has_timestamp, records.log_timestamp // HOUR_MS, ABSENT)
        hours = distinct(hour)
        numbers = [self._hours.setdefault(one, len(self._hours)) for one in hours.tolist()]
        return np.asarray(numbers, np.int64)[np.searchsorted(hours, hour)]

    def _wanted(self, parts: dict[str, Vector]) -> Mask:
        names = {"group": self.keys.groups, "topic": self.keys.topics}
        stays = np.ones(len(parts["group"]), np.bool_)
        for name, passing in self._passing.items():
            stays &= passing.of(names[name])[parts[name]]
        return stays

    def _note_met(self, parts: dict[str, Vector]) -> None:
        if self._named <= self.met:
            return
        for what, names in (("group", self.keys.groups), ("topic", self.keys.topics)):
            there = names.texts(distinct(parts[what])).to_pylist()
            self.met |= {(what, name) for name in there if name is not None} & self._named

    def columns(self, lines: Vector) -> dict[str, pa.Array]:
        """What lines are of, as columns of rows. Line 0 is not asked for."""
        found: dict[str, pa.Array] = {}
        for name, numbers in zip(self.dimensions, self._cells.parts(), strict=True):
            part = numbers[lines - 1]
            if name == "hour":
                hour = np.fromiter(self._hours, np.int64, len(self._hours))[part]
                found[name] = arrow(hour * HOUR_MS, null=hour == ABSENT).cast(pa.timestamp("ms", "UTC"))
                continue
            if name == "type":
                found["row_type"] = category(part, ROW_TYPES)
            else:
                names = self.keys.groups if name == "group" else self.keys.topics
                found[name] = names.texts(part)
        return found


class _Passing:
    """Which names a filter lets pass, each asked once."""

    def __init__(self, rows: Filter, name: str) -> None:
        self._test = key_tests(rows).get(name)
        self._passes = np.empty(0, np.bool_)

    def of(self, names: Names) -> Mask:
        """For each number of a name whether it passes."""
        if len(self._passes) < len(names):
            new = names.texts(np.arange(len(self._passes), len(names))).to_pylist()
            more = [self._test is None or (name is not None and self._test(name)) for name in new]
            self._passes = np.concatenate((self._passes, np.asarray(more, np.bool_)))
        return self._passes


class _LogGrowth:
    """One log. log: its segments, None where there are none."""

    def __init__(self, log: PartitionLog | None, dimensions: tuple[str, ...], rows: Filter) -> None:
        self._log = log
        self.lines = _Lines(dimensions, rows)
        self._growth = Growth(HEADER_BYTES)
        self._open: OpenTransaction | None = None
        self._batches = 0
        self._frames: object = None
        self._before = deque(() if log is None else log.segments)  # segments that have not begun
        self._coming = {segment.name for segment in self._before}
        self._limit: Segment | None = None  # which the cleaner does not enter

    def add(self, records: Records, status: Vector) -> None:
        frames = records.frames
        if self._frames is not frames:
            self._frames = frames
            self._begin(frames.chunk.segment)
            self._batches += len(frames)
        if not len(records):
            return
        self._growth.add(self._sized(records, status[records.frame]), len(self.lines.keys))
        if self._open is None and (status == Status.OPEN).any():
            for at in np.flatnonzero(status[records.frame] == Status.OPEN)[:1].tolist():
                time = int(records.log_timestamp[at]) if records.has_timestamp[at] else ABSENT
                producer = int(frames.producer_id[records.frame[at]])
                self._open = OpenTransaction(int(records.log_offset[at]), time, producer)

    def _begin(self, name: str) -> None:
        """Take note of what is kept before a segment, as long as the cleaner could come there."""
        while name in self._coming:
            segment = self._before.popleft()
            self._coming.discard(segment.name)
            mark = self._log.checkpoints.high_watermark if self._log else None
            if self._open is None and (mark is None or start_of(segment) <= mark):
                self._growth.mark()
                self._limit = segment

    def _sized(self, records: Records, status: Vector) -> SizedRecords:
        frames, frame = records.frames, records.frame
        control = frames.control[frame]
        key, cell = self.lines.keys_and_cells(records, control)
        part = np.full(len(records), OF_KEY, np.int64)
        for one, meaning in _PART_OF_STATUS.items():
            part[status == one] = meaning
        part[records.key_length < 0] = Part.SUPERSEDED  # the cleaner keeps nothing without a key
        part[control] = Part.MARKER
        body, head = shares(records)
        whole = frames.magic[frame] == 2
        return SizedRecords(
            cell=cell,
            key=key,
            part=part,
            tombstone=records.value_length < 0,
            said=np.where(control, ABSENT, committed_offsets(records, ABSENT)),
            body=body,
            head=head,
            batch=np.where(whole, self._batches - len(frames) + frame, -1),
            time=np.where(records.has_timestamp, records.log_timestamp, ABSENT),
            horizon=np.where(whole & frames.delete_horizon[frame], frames.base_timestamp[frame], ABSENT),
        )

    def chunks(self, partition: int | None, coverage: Coverage, run: Run) -> Iterator[DecodedChunk]:
        """The rows, when the log is through."""
        where = "" if self._log is None else self._log.directory.text
        kept, below = self._growth.kept, self._growth.kept_below
        tally = self._growth.tally()
        records, sizes = tally.total
        if self._log is not None and not self._log.served:  # a broker does not tell where its segments are
            row = compaction(self._log, coverage, self._open, self._limit)
            row |= {
                "type": COMPACTION_ROW, "records": int(records.sum()), "kept_records": below.records,
                "kept_bytes": below.bytes, "left_bytes": below.bytes + row["uncleanable_bytes"],
                "least_records": kept.records, "least_bytes": kept.bytes,
                "why": why(row, run.request.source.topic_name, run.evidence.cluster),
            }  # fmt: skip
            yield from chunk_of([row])
        counts = {"records": records, "bytes": sizes}
        for part, name in zip(Part, PARTS, strict=True):
            counts[f"{name}_records"], counts[f"{name}_bytes"] = tally.of(part)
        lines = 1 + np.flatnonzero(records[1:])
        lines = lines[stable_order(-sizes[lines])]
        for first in range(0, len(lines), _MOST_ROWS):
            some = lines[first : first + _MOST_ROWS]
            columns = {
                **self.lines.columns(some),
                **{name: values[some] for name, values in counts.items()},
                "type": constant_category(GROWTH_ROW, len(some)),
                "log": constant_category(where, len(some)),
                "log_partition": repeated(partition, pa.int32(), len(some)),
            }
            schema = row_type(GROWTH_ROW).arrow_schema
            arrays = [
                typed(columns[item.name], item.type) if item.name in columns else pa.nulls(len(some), item.type)
                for item in schema
            ]
            batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
            yield DecodedChunk({GROWTH_ROW: batch}, np.arange(len(batch)))
