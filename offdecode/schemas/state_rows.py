"""Rows that tell the state at a moment, and the transactions of a log: the tables of their columns."""

from __future__ import annotations

from collections.abc import Mapping

from offdecode.model import Column, Kind
from offdecode.schemas import offset_commit
from offdecode.schemas.history_rows import MEMBER_FIELDS

COMMITTED_ROW = "committed_offset"
PENDING_ROW = "pending_offset"
GROUP_ROW = "group"
TRANSACTION_ROW = "transaction"
LAG_ROW = "lag"
TOPIC_DELETED = "topic_deleted"
GONE_ELSEWHERE = Column(
    "gone_elsewhere", Kind.BOOL, "true: another copy of the log, which goes on behind the record, no longer has it: "
    "as a rule the log cleaner removed it there, because a later record replaced or deleted what it says",
    optional=True,
)  # fmt: skip
STATE_ROW_TYPES = (COMMITTED_ROW, PENDING_ROW, GROUP_ROW)

# What a row of the state takes over from the record that set it, in this order.
_KEY = tuple(field.name for field in offset_commit.KEY.fields)
_VALUE = tuple(field.name for field in offset_commit.VALUE.fields)
_ORIGIN = ("log_partition", "log_offset", "log_timestamp", "transaction")
_HEADERS = "headers"  # a record's, not the offset's

_TYPE = Column("type", Kind.CATEGORY, "the row type")

_GROUP = (
    _TYPE,
    Column("group", Kind.CATEGORY, "the group"),
    Column("group_type", Kind.CATEGORY,
           "classic, consumer, share or streams; simple = offsets without any record of the group"),
    Column("state", Kind.CATEGORY, "Empty, Stable, Assigning or Reconciling: as far as records tell it"),
    Column("generation", Kind.INT32, "a classic group's generation; else null"),
    Column("epoch", Kind.INT32, "the group epoch of the other types; null for classic and simple groups"),
    Column("assignment_epoch", Kind.INT32, "the group epoch that the target assignment is for"),
    Column("protocol_type", Kind.CATEGORY, '"consumer", "connect", ...; "" for a group without members at birth'),
    Column("protocol", Kind.CATEGORY, "the assignor; consumer groups: what members ask for, null = the broker's"),
    Column("leader", Kind.CATEGORY, "member id of the leader; null but in classic groups"),
    Column("log_partition", Kind.INT32, "partition of the offsets topic"),
    Column("log_offset", Kind.INT64, "log offset of the latest record of the group; null for simple groups"),
    Column("log_timestamp", Kind.TIMESTAMP, "that record's timestamp"),
    Column("members", Kind.LIST, "the members; null for simple groups",
           children=(Column("member", Kind.STRUCT, children=MEMBER_FIELDS),)),
    Column("committed_offsets", Kind.INT32, "how many committed offsets the group has"),
    Column("pending_offsets", Kind.INT32, "how many of its offsets wait for the end of a transaction"),
    Column("differences", Kind.LIST, "keys for which the coordinators hold different offsets (see --coordinator)",
           optional=True, children=(Column("key", Kind.STRUCT, children=(
               Column("topic", Kind.TEXT, "the topic"),
               Column("partition", Kind.INT32, "its partition"),
               Column("new", Kind.INT64, "offset for the new coordinator; null = none"),
               Column("old_live", Kind.INT64, "for the old coordinator while it ran"),
               Column("old_load", Kind.INT64, "for the old coordinator that loaded the log"),
           )),)),
    Column("complete", Kind.BOOL, "whether the evidence holds everything that the state follows from"),
    Column("incomplete_reason", Kind.TEXT, "what is missing, and what that means"),
)  # fmt: skip

_TRANSACTION = (
    _TYPE,
    Column("log_partition", Kind.INT32, "partition of the offsets topic"),
    Column("producer_id", Kind.INT64, "the transactional producer"),
    Column("producer_epoch", Kind.INT32, "epoch of its last record in the transaction"),
    Column("status", Kind.CATEGORY, "committed, aborted, open or unknown, as `transaction` of a record says it"),
    Column("first_offset", Kind.INT64, "log offset of its first record; null where only its marker is there"),
    Column("last_offset", Kind.INT64, "log offset of its last record"),
    Column("first_timestamp", Kind.TIMESTAMP, "time of its first record"),
    Column("commits", Kind.INT64, "its offset commits in this log partition"),
    Column("groups", Kind.LIST, "the groups that it commits for", children=(Column("group", Kind.TEXT),)),
    Column("marker_offset", Kind.INT64, "log offset of the producer's next marker, which decides it; null = none"),
    Column("marker_timestamp", Kind.TIMESTAMP, "when it was decided"),
    Column("marker_epoch", Kind.INT32, "the marker's producer epoch; above the records' after a timeout or fencing, "
           "and always with transaction version 2"),
    Column("coordinator_epoch", Kind.INT32, "epoch of the transaction coordinator that wrote the marker"),
    Column("duration_ms", Kind.INT64, "from its first record to its marker; to the end of the log while it is open"),
    Column("held_back_records", Kind.INT64, "for an open transaction: log offsets from its first record to the end "
           "of the log, which neither the cleaner nor read_committed readers pass"),
    Column("transactional_id", Kind.CATEGORY, "the producer's own id, where the transaction coordinator's log tells it",
           optional=True),
    Column("transaction_timeout_ms", Kind.INT32, "after how long its coordinator would abort it", optional=True),
    Column("coordinator_state", Kind.CATEGORY, "for an open transaction: the producer's state in its coordinator's log "
           "where that ends: Ongoing, PrepareCommit, CompleteAbort, ...; null = it does not know the producer",
           optional=True),
    Column("abort_command", Kind.TEXT, "for an open transaction: the command that would end it"),
)  # fmt: skip


CERTAINTIES = ("exact", "bounded", "unknown")

_LAG = (
    Column("as_of", Kind.TIMESTAMP, "the moment that was asked for; null = where the evidence ends"),
    Column("log", Kind.CATEGORY, "the directory of the user's partition; of several copies the one that reaches "
           "farthest; null = there is none"),
    Column("log_start", Kind.INT64, "the first offset that a client can read there; null = not known at that moment"),
    Column("log_end", Kind.INT64, "the offset behind the last record then; where that is not known exactly, at most"),
    Column("high_watermark", Kind.INT64, "by the broker's checkpoint, which may be some seconds old; null = not known"),
    Column("lag", Kind.INT64, "offsets from the committed one to the high watermark, else to the log's end, markers "
           "and removed records included: at least so many; null = not known"),
    Column("lag_most", Kind.INT64, "at most so many"),
    Column("certainty", Kind.CATEGORY, "exact: lag and lag_most are the same; bounded; unknown"),
    Column("lag_ms", Kind.INT64, "milliseconds from the batch that would be read next to the last one, by their "
           "latest timestamps, or to the moment asked for, where that is earlier; null = not known"),
    Column("signals", Kind.LIST, "before_log_start: the client would be reset by auto.offset.reset; beyond_log_end; "
           "topic_made_anew: the commit is for an earlier topic of this name; topic_deleted; "
           "no_log_of_the_partition, or none that can be read; before_the_first_record: what the partition held then "
           "is gone",
           children=(Column("signal", Kind.TEXT),)),
)  # fmt: skip


def state_rows(commit: Mapping[str, Column]) -> tuple[tuple[str, str, tuple[Column, ...]], ...]:
    """(row type, what it is, its columns). commit: the columns of an offset commit's row, by name."""
    offset = tuple(commit[name] for name in (*_KEY, *_VALUE, *_ORIGIN))
    sometimes = (
        Column(TOPIC_DELETED, Kind.BOOL, "true: where the evidence ends, data directories hold deleted partitions of "
               "the topic, and no other", optional=True),
        GONE_ELSEWHERE,
        *(column for name, column in commit.items() if column.optional and name != _HEADERS),
    )
    lag = (
        Column("lag", Kind.INT64, "by --with-lag: offsets to the partition's end, as in the row type lag",
               optional=True),
        Column("lag_most", Kind.INT64, "by --with-lag: at most so many", optional=True),
    )
    pending = (
        commit["producer_id"],
        Column("age_ms", Kind.INT64, "from the record to the moment asked for, or to the last record of the log"),
    )
    return (
        (COMMITTED_ROW, """A committed offset at the moment asked for, with the record that set it: where the group
would have resumed. Printed by `offdecode state`.""", (_TYPE, *offset, *sometimes, *lag)),
        (PENDING_ROW, """An offset whose transaction is not decided at the moment asked for (transaction "open"), or
whose transaction's end is lost ("unknown"). Printed by `offdecode state`.""", (_TYPE, *offset, *pending, *sometimes)),
        (GROUP_ROW, """A group at the moment asked for: members, what they have, and whether the evidence for it and
its offsets is complete. Printed by `offdecode state`. Between two generations a classic group's members are in the
coordinator's memory only, and the rebalance under way leaves no record.""", _GROUP),
        (TRANSACTION_ROW, """A transaction of one producer in one partition of the offsets topic. Printed by
`offdecode transactions`.""", _TRANSACTION),
        (LAG_ROW, """A committed offset at a moment, beside what the log of the user's partition in the same data
directory held then. Printed by `offdecode lag`. Of that log headers, index and checkpoints are read, no payload.""",
         (_TYPE, *(commit[name] for name in (*_KEY, "log_partition", "offset", "commit_timestamp")), *_LAG)),
    )
