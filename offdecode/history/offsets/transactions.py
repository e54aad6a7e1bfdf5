"""Transactional commits and markers to transactions: what each held, when and how it was decided, or since when not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.offsets.commits import UNKNOWN
from offdecode.history.offsets.ends import ends_of, places_by_type
from offdecode.history.spans import difference
from offdecode.model import Coverage, DecodedChunk, arrow, distinct, plain_values, rows_of
from offdecode.schemas import offset_commit
from offdecode.schemas.rows import MARKER_ROW, RowOptions
from offdecode.schemas.state_rows import TRANSACTION_ROW

Row = dict[str, Any]

# What chunks must hold: these row types, and the producer's epoch, which stands in the batch.
ROW_TYPES = (offset_commit.ROW_TYPE, MARKER_ROW)
ROW_OPTIONS = RowOptions(with_batch=True)

OPEN = "open"
_STATUS = {"commit": "committed", "abort": "aborted"}
DECIDED = frozenset(_STATUS.values())
_MARKER_COLUMNS = (
    "log_partition", "log_offset", "log_timestamp", "producer_id", "producer_epoch", "marker", "coordinator_epoch",
)  # fmt: skip


@dataclass(slots=True)
class _Transaction:
    """The records of one producer since its last marker. producer_epoch: of the last one."""

    log_partition: int | None
    producer_id: int
    first_offset: int
    first_timestamp: int | None
    producer_epoch: int | None
    last_offset: int
    commits: int
    groups: list[str]  # each once
    lost: bool  # whether bytes are missing that may hold its end


class TransactionReplay:
    """Takes the chunks of one log in order and gives a row for each transaction as it ends.

    bare_markers: whether a marker without records counts too; where rows are filtered out it says nothing.
    """

    def __init__(self, *, bare_markers: bool) -> None:
        self._bare_markers = bare_markers
        self._open: dict[int, _Transaction] = {}
        self.latest: int | None = None  # the latest time of a record

    def add(self, chunk: DecodedChunk) -> Iterator[Row]:
        """Take the next chunk; yields the transactions that it decides, in the order of their markers."""
        self._note_time(chunk)
        by_marker = _pieces_by_marker(chunk)
        markers = chunk.batches.get(MARKER_ROW)
        for index, marker in enumerate(() if markers is None else rows_of(markers, _MARKER_COLUMNS)):
            for piece in by_marker.get(index, ()):
                self._take(piece)
            transaction = self._open.pop(marker["producer_id"], None)
            if transaction is not None or self._bare_markers:
                yield _row(transaction, marker)
        for piece in by_marker.get(-1, ()):
            self._take(piece)

    def finish(self, coverage: Coverage, topic: str, now: int | None) -> Iterator[Row]:
        """The transactions that no marker has ended, by their first record.

        topic: name of the offsets topic; now: time up to which they are open, in milliseconds.
        """
        for transaction in sorted(self._open.values(), key=lambda item: item.first_offset):
            row = _row(transaction, None)
            row["duration_ms"] = difference(now, row["first_timestamp"])
            if row["status"] == OPEN:
                end = row["last_offset"] if coverage.last_offset is None else coverage.last_offset
                row["held_back_records"] = difference(end + 1, row["first_offset"])
                row["abort_command"] = _abort_command(topic, row["log_partition"], row["first_offset"])
            yield row

    def _take(self, piece: _Transaction) -> None:
        """Add records to their producer's open transaction."""
        known = self._open.setdefault(piece.producer_id, piece)
        if known is not piece:
            known.producer_epoch, known.last_offset = piece.producer_epoch, piece.last_offset
            known.commits += piece.commits
            if piece.groups != known.groups:
                known.groups = sorted({*known.groups, *piece.groups})
            known.lost |= piece.lost

    def _note_time(self, chunk: DecodedChunk) -> None:
        for batch in chunk.coded.values():
            latest = pc.max(batch.column("log_timestamp").cast(pa.int64())).as_py()
            if latest is not None and (self.latest is None or latest > self.latest):
                self.latest = latest


def _pieces_by_marker(chunk: DecodedChunk) -> dict[int, list[_Transaction]]:
    """What each producer commits before its next marker, by that marker's number; -1 = none in the chunk."""
    batch = chunk.batches.get(offset_commit.ROW_TYPE)
    if batch is None:
        return {}
    places = places_by_type(chunk, 0)
    transactional = np.flatnonzero(batch.column("transaction").is_valid().to_numpy(zero_copy_only=False))
    if not len(transactional):
        return {}
    batch, place = batch.take(arrow(transactional)), places[offset_commit.ROW_TYPE][transactional]
    producer = batch.column("producer_id").to_numpy()
    marker = ends_of(chunk, places, 0).following(producer, place)
    order = np.lexsort((place, producer, marker))
    new = (np.diff(marker[order]) != 0) | (np.diff(producer[order]) != 0)
    first = np.concatenate(([0], np.flatnonzero(new) + 1))
    last = np.append(first[1:], len(order)) - 1
    group = batch.column("group")
    piece = np.repeat(np.arange(len(first)), last - first + 1)
    names = group.dictionary.to_pylist()
    width = len(names)
    groups: list[list[str]] = [[] for _ in first]
    for code in distinct(piece * width + group.indices.to_numpy()[order]).tolist():
        groups[code // width].append(names[code % width])
    lost = pc.equal(batch.column("transaction").cast(pa.string()), UNKNOWN).to_numpy(zero_copy_only=False)[order]
    of_first = batch.select(_FIRST).take(arrow(order[first]))
    of_last = batch.select(_LAST).take(arrow(order[last]))
    found: dict[int, list[_Transaction]] = {}
    for number, *parts in zip(
        marker[order[first]].tolist(),
        *(plain_values(column) for column in (*of_first.columns, *of_last.columns)),
        (last - first + 1).tolist(),
        groups,
        np.logical_or.reduceat(lost, first).tolist(),
        strict=True,
    ):
        found.setdefault(number, []).append(_Transaction(*parts))
    return found


_FIRST = ("log_partition", "producer_id", "log_offset", "log_timestamp")
_LAST = ("producer_epoch", "log_offset")


def _row(transaction: _Transaction | None, marker: Row | None) -> Row:
    row: Row = {"type": TRANSACTION_ROW, "commits": 0, "groups": [], "status": OPEN}
    if marker is not None:
        row |= {
            "log_partition": marker["log_partition"],
            "producer_id": marker["producer_id"],
            "status": _STATUS[marker["marker"]],
            "marker_offset": marker["log_offset"],
            "marker_timestamp": marker["log_timestamp"],
            "marker_epoch": marker["producer_epoch"],
            "coordinator_epoch": marker["coordinator_epoch"],
        }
    if transaction is not None:
        row |= {
            "log_partition": transaction.log_partition,
            "producer_id": transaction.producer_id,
            "producer_epoch": transaction.producer_epoch,
            "first_offset": transaction.first_offset,
            "last_offset": transaction.last_offset,
            "first_timestamp": transaction.first_timestamp,
            "commits": transaction.commits,
            "groups": sorted(transaction.groups),
            "duration_ms": difference(row.get("marker_timestamp"), transaction.first_timestamp),
        }
        if transaction.lost:
            row["status"] = UNKNOWN
    return row


def _abort_command(topic: str, log_partition: int | None, first_offset: int) -> str | None:
    """What ends a transaction whose producer is gone (KIP-664). The broker's address is not in the log."""
    if log_partition is None:
        return None
    place = f"--topic {topic} --partition {log_partition} --start-offset {first_offset}"
    return f"kafka-transactions.sh --bootstrap-server HOST:PORT abort {place}"
