"""Committed offsets beside the logs of the users' partitions: the lag of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from offdecode.evidence import Evidence
from offdecode.filtering import among
from offdecode.model import DecodedChunk, Vector, arrow, rows_of
from offdecode.questions.user_logs import UserLog, UserLogs
from offdecode.schemas.history_rows import MOVEMENT_ROW
from offdecode.schemas.state_rows import LAG_ROW

Row = dict[str, Any]

COMMIT = ("topic", "partition", "offset", "commit_timestamp", "topic_id")  # what is asked of a committed offset
_SUDDEN = frozenset({"rewind", "jump", "reset_like"})


class Beside:
    """What lies in data directories beside the offsets log."""

    def __init__(self, evidence: Evidence) -> None:
        self._logs = UserLogs(evidence.data_directories())
        self._deleted = evidence.cluster.deleted_topics
        self._removed = evidence.cluster.removed_topics

    def rows(self, committed: Sequence[Row], as_of: int | None, *, timed: bool = True) -> list[Row]:
        """The lag rows of committed offsets at a time, None = where the evidence ends. timed: in time, too."""
        for one in committed if timed or as_of is not None else ():
            if (log := self._logs.find(one["topic"], one["partition"])) is not None:
                log.note(one["offset"])
        return [self._row(one, as_of, timed=timed) for one in committed]

    def _row(self, committed: Row, as_of: int | None, *, timed: bool) -> Row:
        log = self._logs.find(committed["topic"], committed["partition"])
        topic_id = committed.pop("topic_id")
        row = {"type": LAG_ROW, **committed, "as_of": as_of, "certainty": "unknown", "signals": []}
        if log is None or log.start is None or log.end is None:
            gone = committed["topic"] in self._deleted
            row["signals"] = ["topic_deleted" if gone else "no_log_of_the_partition"]
            return row
        row["log"] = log.directory.text
        if self._made_anew(row, log, topic_id, as_of):
            row["signals"] = ["topic_made_anew"]
            return row
        offset = committed["offset"]
        row |= _now(log, offset) if as_of is None else _then(log, offset, as_of)
        if timed and "lag" in row:
            row["lag_ms"] = _behind_ms(log, offset, row["log_end"], as_of)
        return row

    def _made_anew(self, row: Row, log: UserLog, topic_id: str | None, as_of: int | None) -> bool:
        """Whether a commit was for another topic of this name: by the topic's id, or as one was deleted since."""
        if topic_id is not None and log.topic_id is not None:
            return topic_id != log.topic_id
        removed, time = self._removed.get(row["topic"], ()), row["commit_timestamp"]
        return time is not None and any(time < one and (as_of is None or one <= as_of) for one in removed)

    @property
    def anything(self) -> bool:
        """Whether there is a log of a user's partition."""
        return bool(self._logs.topics)

    def ends(self, topic: str, partition: int, moments: Iterable[int]) -> list[tuple[int, int, int]]:
        """(moment, at least, at most) where the log of a partition ended at each moment for which it tells."""
        log = self._logs.find(topic, partition)
        if log is None:
            return []
        found = []
        for moment in moments:
            try:
                ends = log.ends_at(moment)
            except OSError:
                break
            if ends is not None:
                found.append((moment, *ends))
        return found

    def with_ranges(self, chunk: DecodedChunk) -> DecodedChunk:
        """Movements; the signals of sudden ones say how they fit the range of the user's partition."""
        batch = chunk.batches.get(MOVEMENT_ROW)
        if batch is None or not self.anything:
            return chunk
        rows = np.flatnonzero(among(batch.column("topic"), self._logs.topics))
        rows = rows[among(batch.column("kind"), _SUDDEN)[rows]]
        more = [(row, found) for row, found in self._ranges(batch, rows) if found]
        if not more:
            return chunk
        signals = batch.column("signals").to_pylist()
        for row, found in more:
            signals[row] += found
        column = pa.array(signals, batch.column("signals").type)
        batch = batch.set_column(batch.schema.get_field_index("signals"), "signals", column)
        return replace(chunk, batches={**chunk.batches, MOVEMENT_ROW: batch})

    def _ranges(self, batch: pa.RecordBatch, rows: Vector) -> Iterator[tuple[int, list[str]]]:
        names = ("topic", "partition", "before", "after", "log_timestamp")
        for row, moved in zip(rows.tolist(), rows_of(batch.take(arrow(rows)), names), strict=True):
            log = self._logs.find(moved["topic"], moved["partition"])
            if log is not None and moved["before"] is not None and moved["after"] is not None:
                yield row, _range_signals(log, moved["before"], moved["after"], moved["log_timestamp"])


def _range_signals(log: UserLog, before: int, after: int, time: int | None) -> list[str]:
    """What the log's range says of a step. It is today's: that its start was there already then is not known."""
    found = []
    if log.start is not None and before < log.start <= after:
        found.append("before_log_start")
    if log.end is not None and before > log.end:
        found.append("beyond_log_end")
    if after == log.start:
        found.append("to_log_start")
    elif after > before and time is not None:
        try:
            ends = log.ends_at(time)
        except OSError:
            ends = None
        # Batches are appended whole: the log ended before the batch of that time, or behind it.
        if ends is not None and (after == ends[0] or (ends[0] < ends[1] and after == ends[1] + 1)):
            found.append("to_log_end")
    return found


def _now(log: UserLog, offset: int) -> Row:
    start, end, high = log.start or 0, log.end or 0, log.high_watermark
    found = _between(offset, end if high is None else min(high, end), end)
    found |= {"log_start": start, "high_watermark": high}
    if offset < start:
        found["signals"].append("before_log_start")
    return found


def _then(log: UserLog, offset: int, time: int) -> Row:
    try:
        ends = log.ends_at(time)
    except OSError:
        return {"signals": ["no_log_of_the_partition"]}
    if ends is None:
        return {"signals": ["before_the_first_record"]}
    # The log may have begun earlier then, but not if it begins with its first offset now.
    return _between(offset, *ends) | {"log_start": None if log.start else 0}


def _between(offset: int, least_end: int, end: int) -> Row:
    lag, most = max(least_end - offset, 0), max(end - offset, 0)
    signals = ["beyond_log_end"] if offset > end else []
    certainty = "exact" if lag == most else "bounded"
    return {"log_end": end, "lag": lag, "lag_most": most, "certainty": certainty, "signals": signals}


def _behind_ms(log: UserLog, offset: int, end: int, as_of: int | None) -> int | None:
    """From what is read next to the last time. end: of the log then."""
    if offset >= end:
        return 0
    try:
        time, last = log.time_of(offset), log.last_timestamp
    except OSError:
        return None
    if time is None or last is None or time < 0:
        return None
    return max((last if as_of is None else min(as_of, last)) - time, 0)
