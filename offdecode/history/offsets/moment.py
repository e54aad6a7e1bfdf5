"""A log cut at a moment: the rows that had been written by then.

A row counts by its own time, not by its place, because times in the log are not in order and one wrong clock
must not hide what follows. Message format 0 has no times: there a commit counts by its commit timestamp, any
other record by the last time before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from offdecode.model import ABSENT, DecodedChunk, Vector


@dataclass(frozen=True, slots=True)
class AsOf:
    """The moment asked for, end included: a time in milliseconds, or a log offset. Neither = where the log ends."""

    time: int | None = None
    log_offset: int | None = None


class Cut:
    """Cuts the chunks of one log. Take them in log order."""

    def __init__(self, as_of: AsOf) -> None:
        self._as_of = as_of
        self._time = ABSENT  # of the last row that has one
        self.latest: int | None = None  # the latest time of a row within
        self.last_offset: int | None = None  # the last row within
        self.left_out = 0
        self.untimed = 0  # rows that were placed by the time before them

    def cut(self, chunk: DecodedChunk) -> DecodedChunk:
        """The rows of the chunk that belong to the moment."""
        if not chunk.row_count:
            return chunk
        times, offsets = self.times(chunk), _in_order(chunk, "log_offset")
        within = np.ones(len(times), np.bool_)
        if self._as_of.time is not None:
            within = times <= self._as_of.time
        elif self._as_of.log_offset is not None:
            within = offsets <= self._as_of.log_offset
        if within.any():
            latest = int(times[within].max())
            if latest != ABSENT:
                self.latest = latest if self.latest is None else max(latest, self.latest)
            self.last_offset = max(int(offsets[within].max()), -1 if self.last_offset is None else self.last_offset)
        self.left_out += int((~within).sum())
        kept = np.empty(len(within), np.bool_)
        kept[chunk.order] = within
        return chunk.where(kept)

    def times(self, chunk: DecodedChunk) -> Vector:
        """When the rows of the next chunk were written, in log order."""
        times = _in_order(chunk, "log_timestamp")
        unknown = times == ABSENT
        if unknown.any():
            committed = _in_order(chunk, "commit_timestamp")
            times = np.where(unknown, committed, times)
            unknown = times == ABSENT
            self.untimed += int(unknown.sum())
            known_at = np.maximum.accumulate(np.where(unknown, -1, np.arange(len(times))))
            times = np.where(known_at >= 0, times[known_at], self._time)
        self._time = int(times[-1])
        return times


def _in_order(chunk: DecodedChunk, name: str) -> Vector:
    """A column of the chunk's rows, in log order; ABSENT where it is null or the row has none."""
    found = [
        batch.column(name).cast(pa.int64()).fill_null(ABSENT).to_numpy()
        if name in batch.schema.names else np.full(len(batch), ABSENT)
        for batch in chunk.coded.values()
    ]  # fmt: skip
    return np.asarray(np.concatenate(found)[chunk.order])
