"""transactions: each transaction in the log, decided when and how, or open since when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from offdecode.by_log import ByLog, LogAnswer, answered, latest
from offdecode.cluster import Cluster
from offdecode.filtering import keep, pushed
from offdecode.history.offsets.transactions import DECIDED, ROW_OPTIONS, ROW_TYPES, Row, TransactionReplay
from offdecode.model import DecodedChunk
from offdecode.options import GROUPS, TIMES, TransactionOptions
from offdecode.questions.rows import chunk_of
from offdecode.run import LogRows, Run

_MOST_ROWS = 1 << 14  # in a chunk


def transactions(run: Run, asked: TransactionOptions) -> Iterator[DecodedChunk]:
    """The transactions of the request's groups: the decided ones log by log, then the others.

    The request's since and until choose by the time of the first record, or of the marker without any.
    """
    return answered(run, transactions_by_log(run, asked))


def transactions_by_log(run: Run, asked: TransactionOptions) -> ByLog:
    """The same."""
    read = replace(pushed(run.request.rows, GROUPS), row_types=ROW_TYPES)
    return ByLog(read, lambda log, names: _Transactions(run, asked), columns=ROW_OPTIONS, gather=latest)


class _Transactions(LogAnswer):
    def __init__(self, run: Run, asked: TransactionOptions) -> None:
        rows = run.request.rows
        self._cluster = run.evidence.cluster
        self._topic = run.request.source.topic_name
        self._asked = asked
        self._times = pushed(rows, TIMES)
        self._replay = TransactionReplay(bare_markers=not (rows.groups or rows.group_regex is not None))

    def take(self, rows: LogRows) -> Iterator[DecodedChunk]:
        return self._chosen(self._replay.add(rows.chunk))

    def told(self) -> int | None:
        return self._replay.latest

    def rest(self, told: int | None) -> Iterator[DecodedChunk]:
        if self.coverage is not None:
            yield from self._chosen(self._replay.finish(self.coverage, self._topic, now=told))

    def _chosen(self, rows: Iterator[Row]) -> Iterator[DecodedChunk]:
        wanted = (_named(row, self._cluster) for row in rows if _is_asked(row["status"], self._asked))
        while some := list(islice(wanted, _MOST_ROWS)):
            for chunk in chunk_of(some):
                found = keep(self._times, chunk, times=("first_timestamp", "marker_timestamp"))
                if found.row_count:
                    yield found


def _is_asked(status: str, asked: TransactionOptions) -> bool:
    return not (asked.only_open and status in DECIDED) and (not asked.statuses or status in asked.statuses)


def _named(row: Row, cluster: Cluster) -> Row:
    """The row with what the transaction coordinator's log tells of its producer."""
    producer = cluster.producers.get(row["producer_id"])
    if producer is None:
        return row
    row |= {"transactional_id": producer.transactional_id, "transaction_timeout_ms": producer.timeout_ms}
    if row["status"] not in DECIDED:
        row["coordinator_state"] = producer.state
    return row
