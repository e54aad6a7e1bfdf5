"""Rows that are no record but what records mean together: the tables of their columns.

(row type, what it is, its columns). The rows of records are in rows.py.
"""

from __future__ import annotations

from offdecode.model import Column, Kind

DEAD = "Dead"  # the state of a group that was deleted
PROGRESS = ("first", "advance", "repeat")  # kinds of movements that are nothing out of the ordinary

GENERATION_ROW = "generation"
GENERATION_SUMMARY_ROW = "generation_summary"
MOVEMENT_ROW = "movement"
HIDDEN_RANGE_ROW = "hidden_range"
GROUP_OVERVIEW_ROW = "group_overview"

# What a movement's `signals` mean. Those of tombstones tell of all that were written at once with it.
SIGNALS = {
    "no_leader_epoch": "the commit has no leader epoch, as an administrator's reset has none",
    "empty_metadata": "nor metadata",
    "group_empty": "the group had no members then",
    "group_unknown": "no record of the group stands before: it is simple, or its records are not in the evidence",
    "partition_unowned": "no member held the partition then",
    "many_partitions": "many partitions of the group were moved so at once",
    "backwards": "to a smaller offset",
    "ahead": "to a larger offset",
    "large_step": "more than twenty times as far as the key's steps before it",
    "topic_id_changed": "the commit is for another topic of the same name than the one before",
    "transaction_aborted": "its transaction was aborted",
    "transaction_open": "its transaction had no end yet",
    "transaction_unknown": "the end of its transaction may be in what is missing",
    "later_record_in_force": "when its transaction was committed, a later record of the key was in force",
    "deleted_before": "the key had an offset earlier, which was deleted",
    "earlier_records_missing": "records before it are missing: the offset before may not be the one that was in force",
    "no_value_before": "a tombstone of an offset that is not in the evidence",
    "group_tombstone": "the group's own tombstone was written with it",
    "whole_group": "no offset of the group was left",
    "whole_topic": "all offsets that the group had of this topic, and of no other, went",
    "other_groups_too": "other groups of the log lost offsets of the topic at that time",
    "other_groups_keep_topic": "other groups of the log kept offsets of the topic",
    "partition_owned": "a member held the partition, and subscribed to the topic",
    "past_retention": "the offset was older than the retention",
    "past_expire_timestamp": "the commit's own expire timestamp was over",
    "retention_assumed": "of seven days, as nothing tells the broker's",
    "retention_inferred": "as the log itself shows it",
    "type_changed": "the group turned into one of another type",
    "other_logs_keep_topic": "another partition of the offsets topic goes on committing to the topic",
    "topic_directory_deleted": "the data directory has deleted partitions of the topic, and no other",
    "topic_removed": "the cluster's own metadata tells that the topic was deleted then",
    "before_log_start": "the offset before lies before today's start of the user's partition, the one after does not",
    "beyond_log_end": "the offset before lies behind the end of the user's partition",
    "to_log_start": "to today's start of the user's partition",
    "to_log_end": "to the end that the user's partition had then",
}

_TYPE = Column("type", Kind.CATEGORY, "the row type")
_PLACE = (
    Column("log_partition", Kind.INT32, "partition of the offsets topic"),
    Column("log_offset", Kind.INT64, "log offset of the record that tells it"),
    Column("log_timestamp", Kind.TIMESTAMP, "that record's timestamp; null in message format 0"),
)
_GROUP = (
    Column("group", Kind.CATEGORY, "the group"),
    Column("group_type", Kind.CATEGORY, "classic, consumer, share or streams"),
)


def assignment_column(name: str, doc: str) -> Column:
    """A list of partitions by topic, or of tasks by subtopology."""
    return Column(name, Kind.LIST, doc, children=(
        Column("assigned", Kind.STRUCT, children=(
            Column("topic", Kind.TEXT, "the topic; null where only its id is known, and for tasks"),
            Column("topic_id", Kind.TEXT, "id of the topic; null where the record names it, and for tasks"),
            Column("subtopology", Kind.TEXT, "streams groups: the subtopology whose tasks they are"),
            Column("partitions", Kind.LIST, "its partitions", children=(Column("partition", Kind.INT32),)),
        )),
    ))  # fmt: skip


MEMBER_FIELDS = (
    Column("member_id", Kind.TEXT, "id of the member"),
    Column("instance_id", Kind.TEXT, "the static member's own id; null = dynamic"),
    Column("client_id", Kind.TEXT, "the client's configured name"),
    Column("client_host", Kind.TEXT, "address that the client connected from"),
    Column("member_epoch", Kind.INT32, "epoch it has reached; -2 = static and away; null in classic groups"),
    Column("subscribed_topics", Kind.LIST, "topics that it subscribes to; null = not readable",
           children=(Column("topic", Kind.TEXT),)),
    Column("subscribed_regex", Kind.TEXT, "regular expression that it subscribes by"),
    Column("rebalance_timeout_ms", Kind.INT32, "milliseconds that it may take in a rebalance"),
    Column("session_timeout_ms", Kind.INT32, "milliseconds without a heartbeat before it is removed"),
    assignment_column("assignment", "what it has; null where the bytes are not the consumer protocol's"),
    assignment_column("target", "what it is to have; null in classic groups"),
)


def _texts(name: str, doc: str) -> Column:
    return Column(name, Kind.LIST, doc, children=(Column("member_id", Kind.TEXT),))


_GENERATION = (
    _TYPE,
    *_GROUP,
    Column("generation", Kind.INT32, "a classic group's generation, another's group epoch; null for a deleted group"),
    *_PLACE,
    Column("state", Kind.CATEGORY, "the state it implies: Empty, Stable, Assigning, Reconciling; Dead = deleted"),
    Column("settled_log_offset", Kind.INT64, "where all members held what they were given; null = nowhere"),
    Column("settled_timestamp", Kind.TIMESTAMP, "when"),
    Column("protocol_type", Kind.CATEGORY, '"consumer", "connect", ...; "" for a group without members at birth'),
    Column("protocol", Kind.CATEGORY, "the assignor; consumer groups: what members ask for, null = the broker's"),
    Column("leader", Kind.CATEGORY, "member id of the leader; null but in classic groups"),
    Column("members", Kind.LIST, "the members", children=(Column("member", Kind.STRUCT, children=(
        *MEMBER_FIELDS,
        assignment_column("gained", "what it has and had not in the generation before"),
        assignment_column("lost", "what it had in the generation before and has no more"),
    )),)),
    _texts("joined", "members that the generation before did not have"),
    Column("left", Kind.LIST, "members of the generation before that are gone", children=(
        Column("member", Kind.STRUCT, children=(
            *MEMBER_FIELDS[:4],
            assignment_column("lost", "what it had"),
        )),
    )),
    Column("replaced", Kind.LIST, "static members that came back under a new member id", children=(
        Column("member", Kind.STRUCT, children=(
            Column("instance_id", Kind.TEXT, "the static member"),
            Column("old_member_id", Kind.TEXT, "its id before"),
            Column("member_id", Kind.TEXT, "its id now"),
        )),
    )),
    _texts("changed", "members that stayed with another client, host, subscription or timeout"),
    Column("turned_from", Kind.CATEGORY, "the type that the group had in the generation before, if another"),
    Column("since_previous_ms", Kind.INT64, "milliseconds since the generation before it in the evidence"),
    Column("missing_before", Kind.INT64, "generations between it and the one before in the evidence"),
    Column("missing_reason", Kind.TEXT, "what that can mean, and what cannot be told"),
)

_GENERATION_SUMMARY = (
    _TYPE,
    *_GROUP,
    Column("log_partition", Kind.INT32, "partition of the offsets topic"),
    Column("state", Kind.CATEGORY, "state of its last generation; Dead = deleted"),
    Column("first_timestamp", Kind.TIMESTAMP, "time of its first generation in the evidence"),
    Column("last_timestamp", Kind.TIMESTAMP, "time of its last one"),
    Column("first_generation", Kind.INT32, "number of its first generation in the evidence"),
    Column("last_generation", Kind.INT32, "number of its last one"),
    Column("rebalances", Kind.INT32, "generations in the evidence; a static restart, birth or deletion is none"),
    Column("missing", Kind.INT64, "generations that are not in the evidence"),
    Column("rebalances_per_hour", Kind.DOUBLE, "rebalances between its first and last generation, by the hour"),
    Column("joins", Kind.INT32, "members that joined"),
    Column("leaves", Kind.INT32, "members that left"),
    Column("replacements", Kind.INT32, "static restarts"),
    Column("churn", Kind.DOUBLE, "joins and leaves for each rebalance"),
    Column("most_members", Kind.INT32, "members of its largest generation"),
    Column("longest_stable_ms", Kind.INT64, "longest time with members and without a new generation"),
)

OWNER_FIELDS = MEMBER_FIELDS[:4]

# What group records tell of a commit, beside which nothing but the evidence's order connects them.
WITH_GENERATION = (
    Column("generation", Kind.INT32, "generation or epoch of the owner then, else of the group; null = not known"),
    Column("owner", Kind.STRUCT, "the member that held the partition then, by the group's records",
           children=OWNER_FIELDS),
    Column("no_owner_reason", Kind.CATEGORY, "why there is no owner"),
)

_MOVEMENT = (
    _TYPE,
    _GROUP[0],
    Column("topic", Kind.CATEGORY, "the topic whose offset moved"),
    Column("partition", Kind.INT32, "the topic's partition"),
    Column("kind", Kind.CATEGORY,
           "first, advance, repeat, rewind, jump, tombstone, reset_like; without effect: aborted, pending (so far), "
           "overtaken (committed, but a later record was in force by then)"),
    Column("cause", Kind.CATEGORY, "probable cause of a tombstone: expiry, group_deleted, offsets_deleted, "
           "topic_deleted, group_type_changed, unknown"),
    Column("possible_causes", Kind.LIST, "the causes of a tombstone that nothing in the evidence excludes",
           children=(Column("cause", Kind.TEXT),)),
    Column("before", Kind.INT64, "the offset before; null = none in the evidence"),
    Column("after", Kind.INT64, "the offset after; null = deleted. Of a movement without effect: what it asked for"),
    Column("commits", Kind.INT32, "commits of this kind that follow each other and make one row"),
    *_PLACE,
    Column("last_log_offset", Kind.INT64, "log offset of the last of its commits"),
    Column("last_log_timestamp", Kind.TIMESTAMP, "that record's timestamp"),
    Column("decided_log_offset", Kind.INT64,
           "log offset of the marker that decided the last of its commits, which then took effect; null = none"),
    Column("decided_log_timestamp", Kind.TIMESTAMP, "that marker's timestamp"),
    Column("transaction", Kind.CATEGORY, "as in offset_commit"),
    Column("producer_id", Kind.INT64, "the transactional producer of the last of its commits", optional=True),
    Column("transactional_id", Kind.CATEGORY, "that producer's own id, where __transaction_state tells it",
           optional=True),
    *WITH_GENERATION,
    Column("signals", Kind.LIST, "what the kind and the cause rest on", children=(Column("signal", Kind.TEXT),)),
    Column("confidence", Kind.CATEGORY, "high, medium or low"),
)

_HIDDEN_RANGE = (
    _TYPE,
    _PLACE[0],
    Column("first_log_offset", Kind.INT64, "where the range starts; null = not known"),
    Column("last_log_offset", Kind.INT64, "where it ends; null = not known"),
    Column("reason", Kind.CATEGORY, "what is missing there"),
)

_GROUP_OVERVIEW = (
    _TYPE,
    _GROUP[0],
    Column("group_type", Kind.CATEGORY,
           "classic, consumer, share or streams; simple = offsets without any record of the group"),
    _PLACE[0],
    Column("state", Kind.CATEGORY, "state of its last generation; Dead = deleted, or nothing of it is left"),
    Column("members", Kind.INT32, "members of its last generation"),
    Column("most_members", Kind.INT32, "members of its largest generation"),
    Column("clients", Kind.LIST, "the first ten of its members' client ids", children=(Column("client", Kind.TEXT),)),
    Column("client_count", Kind.INT32, "how many client ids there were, counted up to 10,000"),
    Column("hosts", Kind.LIST, "the first ten of the addresses that they came from",
           children=(Column("host", Kind.TEXT),)),
    Column("host_count", Kind.INT32, "how many addresses there were, counted up to 10,000"),
    Column("topics", Kind.INT32, "topics that it ever had an offset of"),
    Column("partitions", Kind.INT32, "partitions that it ever had an offset of"),
    Column("offsets", Kind.INT32, "offsets that it has where the log ends"),
    Column("first_commit", Kind.TIMESTAMP, "log timestamp of its first commit in the evidence"),
    Column("last_commit", Kind.TIMESTAMP, "log timestamp of its last commit"),
    Column("last_record", Kind.TIMESTAMP, "log timestamp of its last record of any kind"),
    Column("commits", Kind.INT64, "its commits, without tombstones"),
    Column("commits_per_hour", Kind.DOUBLE, "commits between the first and the last, by the hour"),
    Column("unmoved_share", Kind.DOUBLE, "the part of its commits that did not move the offset"),
    Column("generations", Kind.INT32, "generations in the evidence; a static restart, birth or deletion is none"),
    Column("generations_per_hour", Kind.DOUBLE, "generations between its first and its last, by the hour"),
    Column("most_generations_an_hour", Kind.INT32, "the most generations that came within an hour"),
    Column("rewinds", Kind.INT64, "movements of each kind, as `offdecode explain` names them"),
    Column("reset_likes", Kind.INT64, "moves that look like an administrator's reset"),
    Column("jumps", Kind.INT64, "steps that are far beyond the usual"),
    Column("aborted", Kind.INT64, "commits of aborted transactions"),
    Column("pending", Kind.INT64, "commits whose transaction is open, or its end unknown"),
    Column("overtaken", Kind.INT64, "commits of transactions that came too late to have an effect"),
    Column("tombstones", Kind.STRUCT, "deleted offsets by their likeliest cause", children=tuple(
        Column(cause, Kind.INT64) for cause in (
            "expiry", "group_deleted", "offsets_deleted", "topic_deleted", "group_type_changed", "unknown")
    )),
    Column("expires", Kind.TIMESTAMP_NUMBER, "when the broker would delete its last offset, were nothing to happen: by "
           "expire timestamps, else by --offsets-retention-minutes or seven days; null while it has members"),
    Column("records", Kind.INT64, "its records in the log"),
    Column("bytes", Kind.INT64, "their bytes in the segments, as `offdecode growth` counts them"),
    Column("complete", Kind.BOOL, "whether every record that was written to the log partition is here"),
    Column("why", Kind.TEXT, "what is worth a look; null = nothing"),
)

HISTORY_ROWS: tuple[tuple[str, str, tuple[Column, ...]], ...] = (
    (GENERATION_ROW, """A generation or epoch of a group of any type, or the end of one (state Dead). Who was in it, who
came and went, which partitions moved: printed by `offdecode generations`. A classic group writes nothing while a
rebalance is under way, so PreparingRebalance and CompletingRebalance cannot be told; nor can a streams group's
NotReady. Why a rebalance happened is not in the log.""", _GENERATION),
    (GENERATION_SUMMARY_ROW, "The generations of one group in numbers. Printed by `offdecode generations --summary`.",
     _GENERATION_SUMMARY),
    (MOVEMENT_ROW, """How commits moved the offset of one (group, topic, partition). Printed by `offdecode explain`.
Owner and generation are inferred from the group's records at that place of the log: a commit itself names neither.
Kind and cause are what the signals speak for, never more.""", _MOVEMENT),
    (HIDDEN_RANGE_ROW, """Offsets of the log where movements could have been that are not in the evidence. Printed by
`offdecode explain` behind each log's movements. Where there is no such row, every record that was written is there.""",
     _HIDDEN_RANGE),
    (GROUP_OVERVIEW_ROW, """A group at a glance. Printed by `offdecode groups`. Movements and causes are inferred as
`offdecode explain` does it.""", _GROUP_OVERVIEW),
)
