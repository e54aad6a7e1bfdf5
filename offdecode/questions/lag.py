"""lag: how far behind the ends of the users' partitions the committed offsets are, by what lies beside the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from offdecode.model import DecodedChunk, rows_of
from offdecode.options import StateOptions, TopicIds
from offdecode.questions.rows import chunk_of
from offdecode.questions.state import state
from offdecode.questions.user_logs import UserLog, UserLogs
from offdecode.run import Run
from offdecode.schemas.state_rows import COMMITTED_ROW, LAG_ROW
from offdecode.sources.leftovers import deleted_topics

Row = dict[str, Any]

_COMMITTED = ("group", "topic", "partition", "log_partition", "offset", "commit_timestamp")


def lag(run: Run) -> Iterator[DecodedChunk]:
    """A row for each committed offset where the log ends, beside what the user's partition holds then."""
    directories = run.evidence.data_directories()
    logs, deleted = UserLogs(directories), deleted_topics(directories)
    for chunk in state(run, StateOptions(types=(COMMITTED_ROW,)), TopicIds()):
        if COMMITTED_ROW in chunk.batches:
            rows = rows_of(chunk.batches[COMMITTED_ROW], _COMMITTED)
            yield from chunk_of([_row(row, logs.find(row["topic"], row["partition"]), deleted) for row in rows])


def _row(committed: Row, log: UserLog | None, deleted: frozenset[str]) -> Row:
    row = {"type": LAG_ROW, **committed, "signals": []}
    if log is None or log.start is None or log.end is None:
        row["signals"] = ["topic_directory_deleted" if committed["topic"] in deleted else "no_log_of_the_partition"]
        return row
    offset, high = committed["offset"], log.checkpoints.high_watermark
    end = log.end if high is None else min(high, log.end)
    row |= {
        "log_start": log.start, "log_end": log.end, "high_watermark": high, "log": log.directory.text,
        "lag": max(end - offset, 0), "lag_ms": _behind_ms(log, offset, end),
    }  # fmt: skip
    if offset < log.start:
        row["signals"].append("before_log_start")
    if offset > log.end:
        row["signals"].append("beyond_log_end")
    return row


def _behind_ms(log: UserLog, offset: int, end: int) -> int | None:
    """From the batch that is read next to the log's last one, by their latest timestamps."""
    if offset >= end:
        return 0
    try:
        batch = log.batch_of(offset)
    except OSError:
        return None
    if batch is None or batch.max_timestamp is None or log.last_timestamp is None or batch.max_timestamp < 0:
        return None
    return max(log.last_timestamp - batch.max_timestamp, 0)
