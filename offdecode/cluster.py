"""What the cluster's own topics tell, where they lie beside the offsets log: names of topics and producers, settings.

What cannot be read there tells nothing: it is no part of the log that is asked about.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from offdecode.byte_vectors import big_endian
from offdecode.engines.layout_rows import Row, layout_rows
from offdecode.log.records import Records, iter_records
from offdecode.log.transactions import Place
from offdecode.logs import frames_from
from offdecode.model import distinct
from offdecode.schemas import cluster_metadata, transaction_log
from offdecode.sources.leftovers import deleted_topics
from offdecode.sources.locations import Location
from offdecode.sources.segments import PartitionLog, logs_of_topic, snapshots_of

_CHUNK_BYTES = 4 << 20
_RETENTION = "offsets.retention.minutes"
_NONE = -1  # the producer id of none


@dataclass(frozen=True, slots=True)
class Producer:
    """Who is behind a producer id. state: None where the coordinator has given the id up for another.

    updated_ms: when the coordinator wrote that, in milliseconds since 1970 UTC.
    """

    transactional_id: str
    timeout_ms: int
    updated_ms: int
    state: str | None = None


class Cluster:
    """What is beside logs in data directories. Each topic is read once, when it is asked for."""

    def __init__(self, directories: Iterable[Location]) -> None:
        self._directories = list(directories)

    @cached_property
    def producers(self) -> dict[int, Producer]:
        """{producer id: who it is}, by the transaction coordinator's log."""
        found: dict[int, Producer] = {}
        for log in logs_of_topic(self._directories, transaction_log.TOPIC):
            for records in _records(log):
                for producer_id, producer in _producers(records):
                    known = found.get(producer_id)
                    if known is None or producer.updated_ms >= known.updated_ms:  # a copy may be older
                        found[producer_id] = producer
        return found

    @property
    def topic_names(self) -> dict[str, str]:
        """{topic id: name} of all topics that the controllers' log names, deleted ones too."""
        return dict(self._metadata.names)

    @property
    def removed_topics(self) -> dict[str, list[int]]:
        """{name: when a topic of that name was deleted, in milliseconds}, by the controllers' log."""
        return self._metadata.removed

    @cached_property
    def deleted_directories(self) -> frozenset[str]:
        """Topics of which there are deleted partitions, and no other."""
        return deleted_topics(self._directories)

    @property
    def deleted_topics(self) -> frozenset[str]:
        """Topics that are deleted where the evidence ends: by the controllers' log, or the partitions' directories."""
        return self.deleted_directories | (self._metadata.removed.keys() - self._metadata.there)

    def setting(self, topic: str, of_topic: str, of_broker: str) -> str | None:
        """The value of a topic's setting, else of the setting of all brokers that stands for it; None = not set."""
        settings = self._metadata.settings
        found = settings.get((cluster_metadata.TOPIC_SETTING, topic, of_topic))
        return settings.get((cluster_metadata.BROKER_SETTING, "", of_broker)) if found is None else found

    @cached_property
    def retention_ms(self) -> int | None:
        """For how long all brokers are set to keep offsets; None = not told here, but perhaps in their own files."""
        found = [self._metadata.settings.get((cluster_metadata.BROKER_SETTING, "", _RETENTION))]
        found += [directory.setting(_RETENTION) for directory in self._directories]
        minutes = next((one for one in found if one is not None), "")
        return int(minutes) * 60_000 if re.fullmatch(r"\d{1,10}", minutes) else None

    @cached_property
    def _metadata(self) -> _Metadata:
        found = _Metadata()
        logs = logs_of_topic(self._directories, cluster_metadata.TOPIC)
        for log in sorted(logs, key=lambda log: (log.segments[-1].base_offset, log.segments[-1].size)):
            for part in (*snapshots_of(log), log):
                for records in _records(part):
                    found.take(records, live=part is log)
        return found


class _Metadata:
    """Takes the records of the controllers' log: its snapshots first, the oldest before the others.

    Of several copies the one that reaches farthest comes last, and its settings hold.
    """

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.removed: dict[str, list[int]] = defaultdict(list)
        self.settings: dict[tuple[int, str, str], str | None] = {}
        self._gone: set[str] = set()

    @property
    def there(self) -> set[str]:
        """Names of topics that there are in the end."""
        return {name for topic_id, name in self.names.items() if topic_id not in self._gone}

    def take(self, records: Records, *, live: bool) -> None:
        for row in _metadata_rows(records):
            if "resource_type" in row:
                self.settings[row["resource_type"], row["resource_name"], row["name"]] = row["value"]
            elif "name" in row:
                self.names[row["topic_id"]] = row["name"]
            elif live and row["topic_id"] in self.names:
                times = self.removed[self.names[row["topic_id"]]]
                if row["topic_id"] not in self._gone:
                    times.append(row["log_timestamp"])
                self._gone.add(row["topic_id"])


def _records(log: PartitionLog) -> Iterator[Records]:
    for _, frames in frames_from(log, _CHUNK_BYTES, Place(0, 0)):
        yield from iter_records(frames, frames.crc_valid & ~frames.control)


def _producers(records: Records) -> Iterator[tuple[int, Producer]]:
    """The producer ids that records of the transaction coordinator name, in their order."""
    for row in _transaction_rows(records):
        told = row["transactional_id"], row["transaction_timeout_ms"], row["transaction_last_update_timestamp_ms"]
        for other in ("previous_producer_id", "next_producer_id"):
            if row.get(other) not in (None, _NONE, row["producer_id"]):
                yield row[other], Producer(*told)
        status = row["transaction_status"]
        known = 0 <= status < len(transaction_log.STATES)
        yield row["producer_id"], Producer(*told, transaction_log.STATES[status] if known else str(status))


def _transaction_rows(records: Records) -> Iterator[Row]:
    """The transactional ids and their values, in log order; tombstones are passed over."""
    rows = np.flatnonzero((records.key_length >= 2) & (records.value_length >= 2))
    rows = rows[big_endian(records.buffer, "i2", records.key_position[rows]) == 0]
    version = big_endian(records.buffer, "i2", records.value_position[rows]).astype(np.int64)
    key, value = records.key_position[rows], records.value_position[rows]
    key_end, value_end = key + records.key_length[rows], value + records.value_length[rows]
    names = dict(layout_rows(records.buffer, transaction_log.KEY, 0, key + 2, key_end))
    found: dict[int, Row] = {}
    for one in distinct(version).tolist():
        if transaction_log.VALUE.layout_version(one) is None:
            continue
        mine = np.flatnonzero(version == one)
        for number, row in layout_rows(records.buffer, transaction_log.VALUE, one, value[mine] + 2, value_end[mine]):
            at = int(mine[number])
            if at in names:
                found[at] = {**names[at], **row}
    yield from (found[at] for at in sorted(found))


def _metadata_rows(records: Records) -> Iterator[Row]:
    """The records that are known, in log order."""
    rows = np.flatnonzero(records.value_length > 3)
    at = records.value_position[rows]
    frame, kind, version = (records.buffer[at + byte] for byte in range(3))
    found: dict[int, Row] = {}
    for key, layout in cluster_metadata.RECORDS.items():
        mine = np.flatnonzero((frame == cluster_metadata.FRAME_VERSION) & (kind == key) & (version == 0))
        end = at[mine] + records.value_length[rows[mine]]
        for number, row in layout_rows(records.buffer, layout, 0, at[mine] + 3, end):
            place = int(rows[mine[number]])
            found[place] = {**row, "log_timestamp": int(records.log_timestamp[place])}
    yield from (found[place] for place in sorted(found))
