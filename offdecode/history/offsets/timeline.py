"""The rows of one log to the committed offsets at many moments, for the multiples of a step.

By the new coordinator's rules: of the records that have taken effect by then the last in the log counts, a
transactional one from its marker on. So of each key and step one record is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.offsets.ends import ends_of, places_by_type
from offdecode.history.offsets.keys import KeyCodes
from offdecode.history.offsets.moment import AsOf, Cut
from offdecode.model import ABSENT, DecodedChunk, Vector
from offdecode.schemas.registry import DEFAULT_ROW_TYPE
from offdecode.schemas.rows import MARKER_ROW

Row = dict[str, Any]

_COMMITTED = "committed"
_EVENT = np.dtype([
    ("key", "i8"), ("time", "i8"), ("place", "i8"), ("producer", "i8"), ("offset", "i8"), ("committed", "i8"),
    ("topic_id", "i4"), ("group", "i4"), ("topic", "i4"), ("partition", "i4"),
])  # fmt: skip


class Timeline:
    """Takes the chunks of one log in order; then `at` is asked for rising moments. step: milliseconds."""

    def __init__(self, step: int, log_partition: int | None) -> None:
        self._step = step
        self._partition = log_partition
        self._codes = KeyCodes()
        self._topic_ids: dict[str | None, int] = {None: 0}
        self._cut = Cut(AsOf())
        self._waiting = np.empty(0, _EVENT)
        self._held: list[np.ndarray] = []
        self._places = 0
        self._sorted: np.ndarray | None = None
        self._names: list[str] = []
        self._next = 0
        self._live: dict[int, np.void] = {}
        self.first: int | None = None  # the first moment that has an offset, in steps
        self.last: int | None = None  # the latest time of a record, in milliseconds

    def add(self, chunk: DecodedChunk) -> None:
        if not chunk.row_count:
            return
        first = self._places
        self._places += chunk.row_count
        places = places_by_type(chunk, first)
        times = self._cut.times(chunk)
        self.last = max(int(times.max()), ABSENT if self.last is None else self.last)
        own = np.empty(0, _EVENT)
        if DEFAULT_ROW_TYPE in chunk.batches:
            own = self._events(chunk.batches[DEFAULT_ROW_TYPE], places[DEFAULT_ROW_TYPE], times, first)
        waits = own["producer"] >= 0
        waiting = np.concatenate((self._waiting, own[waits]))
        ends = ends_of(chunk, places, first)
        marker = ends.following(waiting["producer"], waiting["place"])
        decided = marker >= 0
        done = waiting[decided]
        if len(done):
            when = times[places[MARKER_ROW][marker[decided]] - first]
            done["time"] = np.maximum(done["time"], when)
        self._waiting = waiting[~decided]
        self._hold(np.concatenate((own[~waits], done)))

    def _events(self, batch: pa.RecordBatch, place: Vector, times: Vector, first: int) -> np.ndarray:
        """The commits and tombstones that take effect: plain ones, and those of committed transactions."""
        found = np.empty(len(batch), _EVENT)
        names = {name: self._codes.names.encode(batch.column(name)).to_numpy() for name in ("group", "topic")}
        partition = batch.column("partition").to_numpy()
        found["key"] = self._codes.keys(names["group"], names["topic"], partition)
        found["group"], found["topic"], found["partition"] = names["group"], names["topic"], partition
        found["time"], found["place"] = times[place - first], place
        transaction = batch.column("transaction").cast(pa.string())
        plain = ~np.asarray(transaction.is_valid())
        found["producer"] = np.where(plain, -1, batch.column("producer_id").to_numpy())
        found["offset"] = np.asarray(batch.column("offset").fill_null(ABSENT))
        found["committed"] = np.asarray(batch.column("commit_timestamp").cast(pa.int64()).fill_null(ABSENT))
        ids = batch.column("topic_id").cast(pa.string()).dictionary_encode()
        numbers = [self._topic_ids.setdefault(one, len(self._topic_ids)) for one in ids.dictionary.to_pylist()]
        found["topic_id"] = np.asarray([*numbers, 0], np.int32)[ids.indices.fill_null(len(numbers)).to_numpy()]
        committed = pc.equal(transaction, _COMMITTED).fill_null(False)
        effective: np.ndarray = found[plain | committed.to_numpy(zero_copy_only=False)]
        return effective

    def _hold(self, events: np.ndarray) -> None:
        """Keep of each key and step the last record in the log. From here on, time is in steps."""
        if not len(events):
            return
        known = events["time"] != ABSENT
        events["time"][known] = -(-events["time"][known] // self._step)
        order = np.lexsort((events["place"], events["time"], events["key"]))
        events = events[order]
        last = np.ones(len(events), np.bool_)
        last[:-1] = (events["key"][1:] != events["key"][:-1]) | (events["time"][1:] != events["time"][:-1])
        self._held.append(events[last])
        if known.any():
            first = int(events["time"][events["time"] != ABSENT].min())
            self.first = first if self.first is None else min(self.first, first)

    def at(self, moment: int) -> Iterator[Row]:
        """The committed offsets at a moment, in steps, which is not before the one that was asked for last."""
        if self._sorted is None:
            events = np.concatenate(self._held) if self._held else np.empty(0, _EVENT)
            self._sorted = events[np.lexsort((events["place"], events["time"]))]
            self._held = []
            self._names = self._codes.names.all().to_pylist()
        end = int(np.searchsorted(self._sorted["time"], moment, side="right"))
        for event in self._sorted[self._next : end]:
            known = self._live.get(int(event["key"]))
            if known is None or known["place"] < event["place"]:
                self._live[int(event["key"])] = event
        self._next = end
        ids = list(self._topic_ids)
        for event in self._live.values():
            offset, committed = int(event["offset"]), int(event["committed"])
            if offset != ABSENT:
                yield {
                    "group": self._names[event["group"]],
                    "topic": self._names[event["topic"]],
                    "partition": int(event["partition"]),
                    "log_partition": self._partition,
                    "offset": offset,
                    "commit_timestamp": None if committed == ABSENT else committed,
                    "topic_id": ids[int(event["topic_id"])],
                }
