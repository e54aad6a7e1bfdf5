"""transactions: each transaction in the log, decided when and how, or open since when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from offdecode.cluster import Cluster
from offdecode.evidence import LogId
from offdecode.filtering import keep, pushed
from offdecode.history.offsets.transactions import DECIDED, ROW_OPTIONS, ROW_TYPES, Row, TransactionReplay
from offdecode.model import Coverage, DecodedChunk
from offdecode.options import GROUPS, TIMES, TransactionOptions
from offdecode.questions.rows import chunk_of
from offdecode.run import LogRows, Run


def transactions(run: Run, asked: TransactionOptions) -> Iterator[DecodedChunk]:
    """The transactions of the request's groups: the decided ones log by log, then the others.

    The request's since and until choose by the time of the first record, or of the marker without any.
    """
    request = run.request
    times = pushed(request.rows, TIMES)
    filtered = bool(request.rows.groups or request.rows.group_regex is not None)
    logs: dict[LogId, TransactionReplay] = {}
    ends: dict[LogId, Coverage] = {}

    def chosen(rows: Iterator[Row]) -> Iterator[DecodedChunk]:
        wanted = [row for row in rows if _is_asked(row["status"], asked)]
        for chunk in chunk_of([_named(row, run.evidence.cluster) for row in wanted]):
            found = keep(times, chunk, times=("first_timestamp", "marker_timestamp"))
            if found.row_count:
                yield found

    read = replace(pushed(request.rows, GROUPS), row_types=ROW_TYPES)
    for item in run.rows_by_log(read, ROW_OPTIONS):
        if item.log not in logs:
            logs[item.log] = TransactionReplay(bare_markers=not filtered)
        if isinstance(item, LogRows):
            yield from chosen(logs[item.log].add(item.chunk))
        else:
            ends[item.log] = item.coverage
    now = max((held.latest for held in logs.values() if held.latest is not None), default=None)
    for log, coverage in ends.items():  # what is no offsets log has none
        yield from chosen(logs[log].finish(coverage, request.source.topic_name, now))


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
