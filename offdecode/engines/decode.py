"""Records to rows: chooses the engine, adds the columns that every row has, and puts the rows in log order."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.engines.arrow_columns import ArrowColumns
from offdecode.engines.column_rows import ColumnEngine
from offdecode.engines.parts import TypeRows, merge_parts
from offdecode.engines.reference_rows import ReferenceEngine
from offdecode.engines.selection import Selection
from offdecode.engines.untold import without_untold
from offdecode.log.batches import Frames
from offdecode.log.compression import CODECS
from offdecode.log.records import Records
from offdecode.log.sizes import shares
from offdecode.model import (
    CodedBatches,
    DecodedChunk,
    Kind,
    Mask,
    Problem,
    Vector,
    arrow,
    category,
    constant_category,
    is_coded,
    plain_batch,
)
from offdecode.schemas.rows import (
    MARKER_ROW,
    MARKERS,
    RECORD_BYTES,
    TRANSACTION_STATES,
    UNDECODABLE_ROW,
    UNKNOWN_ROW,
    row_type,
)

Engine = Literal["auto", "reference"]

_TIMESTAMP_TYPES = ("CreateTime", "LogAppendTime")
_MARKER_VALUE_BYTES = 6
COMMIT_TIMESTAMP = "commit_timestamp"
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


class Decoder:
    """Decodes the records of chunks into the wanted rows."""

    def __init__(self, selection: Selection, engine: Engine = "auto") -> None:
        self.selection = selection
        self.fallbacks = 0  # records that the column engine left to the reference
        self._reference = ReferenceEngine(selection)
        self._columns = ColumnEngine(selection) if engine == "auto" else None

    def decode(self, records: Records, status: Vector, wanted: Mask) -> DecodedChunk:
        """The rows of the `wanted` records. `status` is the transaction status of each frame."""
        control = records.frames.control[records.frame]
        parts = self._data_parts(records, np.flatnonzero(wanted & ~control))
        parts = merge_parts([*parts, *_marker_parts(records, np.flatnonzero(wanted & control))])
        problems = [problem for part in parts for problem in _undecodable_problems(records, part)]
        parts = [self._within_times(part, records) for part in parts if self.selection.wants(part.row_type)]
        parts = [part for part in parts if len(part.rows)]
        rows = np.concatenate([np.empty(0, np.int64), *(part.rows for part in parts)])
        sizes = np.add(*shares(records)) if self.selection.options.sizes else None
        batches = {part.row_type: self._batch(part, records, status, sizes) for part in parts}
        return DecodedChunk(CodedBatches(batches), np.argsort(rows, kind="stable"), (*records.problems, *problems))

    def _data_parts(self, records: Records, indices: Vector) -> list[TypeRows]:
        if self._columns is None:
            return self._reference.decode(records, indices)
        parts, left = self._columns.decode(records, indices)
        self.fallbacks += len(left)
        return [*parts, *self._reference.decode(records, left)]

    def _within_times(self, part: TypeRows, records: Records) -> TypeRows:
        """Without the rows that have no timestamp and whose commit timestamp lies outside the wanted times."""
        since, until = self.selection.since, self.selection.until
        unstamped = ~records.has_timestamp[part.rows]
        if (since is None and until is None) or COMMIT_TIMESTAMP not in part.columns or not unstamped.any():
            return part
        committed = part.columns[COMMIT_TIMESTAMP].cast(pa.int64())
        keep = arrow(~unstamped)
        inside = pc.and_(
            pc.greater_equal(committed, _INT64_MIN if since is None else min(max(since, _INT64_MIN), _INT64_MAX)),
            pc.less_equal(committed, _INT64_MAX if until is None else min(max(until, _INT64_MIN), _INT64_MAX)),
        )
        keep = pc.or_(keep, inside.fill_null(True))
        rows = part.rows[keep.to_numpy(zero_copy_only=False)]
        return TypeRows(part.row_type, rows, {name: column.filter(keep) for name, column in part.columns.items()})

    def _batch(self, part: TypeRows, records: Records, status: Vector, sizes: Vector | None) -> pa.RecordBatch:
        columns = _common_columns(part, records, status)
        options = self.selection.options
        if options.with_batch or options.crc_valid:
            columns.update(_batch_columns(records, part.rows))
        if options.copies:
            columns.update(_copy_columns(records, part.rows, where=options.with_batch))
        if options.raw:
            columns.update(raw_columns(records, part.rows))
        if sizes is not None:
            columns[RECORD_BYTES.name] = arrow(sizes[part.rows])
        columns.update(part.columns)
        schema = row_type(part.row_type, options).arrow_schema
        count = len(part.rows)
        arrays = [columns[item.name] if item.name in columns else pa.nulls(count, item.type) for item in schema]
        for index, array in enumerate(arrays):
            if is_coded(array.type):
                schema = schema.set(index, schema.field(index).with_type(array.type))
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return without_untold(plain_batch(batch), records, part.rows) if records.frames.exported else batch


def _common_columns(part: TypeRows, records: Records, status: Vector) -> dict[str, pa.Array]:
    rows = part.rows
    frames = records.frames
    frame = records.frame[rows]
    count = len(rows)
    partition = frames.chunk.log_partition
    state = status[frame]
    columns = {
        "type": constant_category(part.row_type, count),
        "log_partition": pa.nulls(count, pa.int32())
        if partition is None
        else arrow(np.full(count, partition, np.int32)),
        "log_offset": _where(records.log_offset[rows], records.has_offset, rows),
        "log_timestamp": _where(records.log_timestamp[rows], records.has_timestamp, rows).cast(Kind.TIMESTAMP.arrow),
        "producer_id": arrow(frames.producer_id[frame]),
        "transaction": category(state, TRANSACTION_STATES, state < 0),
        "tombstone": arrow(records.value_length[rows] < 0),
    }
    if records.headers:
        columns["headers"] = _header_column(records, rows)
    return columns


def _where(values: Vector, known: Mask | None, rows: Vector) -> pa.Array:
    """The values; null in rows for which they are not known."""
    if known is None or known[rows].all():
        return arrow(values)
    return arrow(values, null=~known[rows])


def _header_column(records: Records, rows: Vector) -> pa.Array:
    kind = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
    values = []
    for index in rows.tolist():
        found = records.headers.get(index)
        values.append(found and [{"key": key, "value": None if value is None else value.hex()} for key, value in found])
    return pa.array(values, kind)


def _batch_columns(records: Records, rows: Vector) -> dict[str, pa.Array]:
    frames: Frames = records.frames
    frame = records.frame[rows]
    magic = frames.magic[frame]
    if frames.exported:
        epoch = frames.producer_epoch[frame].astype(np.int32)
        return {
            "segment": constant_category(frames.chunk.segment, len(rows)),
            "producer_epoch": arrow(epoch, null=frames.producer_id[frame] < 0),
        }
    times = frames.log_append_time[frame].astype(np.int64)
    origin = frames.origin
    return {
        "segment": constant_category(frames.chunk.segment, len(rows))
        if origin is None
        else category(origin.segment[frame], origin.segments),
        "batch_position": arrow(
            frames.chunk.position + frames.position[frame] if origin is None else origin.position[frame]
        ),
        "batch_base_offset": arrow(frames.base_offset[frame]),
        "batch_last_offset": arrow(frames.last_offset[frame]),
        "magic": arrow(magic.astype(np.int32)),
        "codec": category(np.minimum(frames.codec[frame], len(CODECS) - 1), CODECS),
        "timestamp_type": category(times, _TIMESTAMP_TYPES, magic == 0),
        "producer_epoch": arrow(frames.producer_epoch[frame].astype(np.int32)),
        "base_sequence": arrow(frames.base_sequence[frame].astype(np.int32)),
        "log_leader_epoch": arrow(frames.leader_epoch[frame].astype(np.int32)),
        "crc_valid": arrow(frames.crc_valid[frame]),
    }


def _copy_columns(records: Records, rows: Vector, *, where: bool) -> dict[str, pa.Array]:
    """where: whether it is told which copies they are."""
    origin = records.frames.origin
    if origin is None:
        return {}
    frame = records.frame[rows]
    masks = (origin.copies[records.frame] if records.copies is None else records.copies)[rows]
    count = sum((masks >> copy) & 1 for copy in range(len(origin.directories)))
    columns = {
        "copies": arrow(np.asarray(count, np.int32)),
        "lost_branch": arrow(np.ones(len(rows), np.bool_), null=np.full(len(rows), not origin.lost)),
        "gone_elsewhere": arrow(np.ones(len(rows), np.bool_), null=origin.going_on[frame] & ~masks == 0),
    }
    if not where:
        return columns
    held_in = origin.held_in[origin.component[frame]]
    new = np.ones(len(rows), np.bool_)  # the rows that are not held as the one before
    new[1:] = (masks[1:] != masks[:-1]) | (held_in[1:] != held_in[:-1]).any(axis=1)
    kinds, kind = np.column_stack((masks, held_in))[new], np.cumsum(new) - 1
    bits = [[bit for bit in range(len(origin.directories)) if mask >> bit & 1] for mask, *_ in kinds.tolist()]
    named = {
        "copy_directories": [[origin.directories[bit] for bit in held] for held in bits],
        "copy_brokers": [[origin.brokers[bit] for bit in held] for held in bits],
        "copy_segments": [
            [origin.segments[segments[bit]] for bit in held]
            for held, (_, *segments) in zip(bits, kinds.tolist(), strict=True)
        ],
    }
    for name, lists in named.items():
        kind_of_one = pa.int32() if name == "copy_brokers" else pa.string()
        columns[name] = pa.array(lists, pa.list_(kind_of_one)).take(arrow(kind))
    return columns


def raw_columns(records: Records, rows: Vector) -> dict[str, pa.Array]:
    """Keys and values in hex."""
    arrow = ArrowColumns(records.buffer)
    return {
        "key_hex": arrow.hex(records.key_position[rows], records.key_length[rows]),
        "value_hex": arrow.hex(records.value_position[rows], records.value_length[rows]),
    }


def _undecodable_problems(records: Records, part: TypeRows) -> list[Problem]:
    if part.row_type != UNDECODABLE_ROW:
        return []
    frames = records.frames
    found = []
    for index, reason in zip(part.rows.tolist(), part.columns["reason"].to_pylist(), strict=True):
        offset = int(records.log_offset[index])
        problem = frames.problem(int(records.frame[index]), "undecodable_record", reason, offset)
        if frames.exported:
            known = records.has_offset is None or records.has_offset[index]
            problem = replace(problem, position=None, length=None, log_offset=offset if known else None)
        found.append(problem)
    return found


def _marker_parts(records: Records, rows: Vector) -> list[TypeRows]:
    """Control records: markers; control types that are no marker are unknown, cut ones undecodable."""
    if not len(rows):
        return []
    markers: list[tuple[int, int, int]] = []
    unknown: list[tuple[int, str]] = []
    broken: list[tuple[int, str, int]] = []
    for index in rows.tolist():
        key, value = records.key(index) or b"", records.value(index) or b""
        if len(key) < 4:
            broken.append((index, "control key: needs 4 bytes for version and type", 0))
            continue
        control_type = int.from_bytes(key[2:4], "big", signed=True)
        if not 0 <= control_type < len(MARKERS):
            unknown.append((index, f"unknown control record type {control_type}"))
        elif len(value) < _MARKER_VALUE_BYTES:
            broken.append((index, "control value: needs 6 bytes for version and coordinator epoch", 0))
        else:
            markers.append((index, control_type, int.from_bytes(value[2:6], "big", signed=True)))
    parts = []
    if markers:
        at, types, epochs = np.asarray(markers, np.int64).T
        epoch = records.frames.producer_epoch[records.frame[at]]
        parts.append(
            TypeRows(
                MARKER_ROW,
                at,
                {
                    "producer_epoch": arrow(epoch.astype(np.int32)),
                    "marker": category(types, MARKERS),
                    "coordinator_epoch": arrow(epochs.astype(np.int32)),
                },
            )
        )
    for row_name, found in ((UNKNOWN_ROW, unknown), (UNDECODABLE_ROW, broken)):
        if found:
            at = np.asarray([item[0] for item in found], np.int64)
            columns = raw_columns(records, at)
            columns["reason"] = pa.array([item[1] for item in found])
            if row_name == UNDECODABLE_ROW:
                columns["position"] = pa.array([0] * len(found), pa.int64())
            parts.append(TypeRows(row_name, at, columns))
    return parts
