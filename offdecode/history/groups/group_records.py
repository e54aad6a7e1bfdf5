"""Chunks to the group records in them, in log order, each with the part of its group that it tells.

This is the one place that says what each record type means to a group. Offset commits are no group records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Any

from offdecode.history.groups.classic_members import ClassicMembers
from offdecode.history.groups.images import NO_MEMBERS, GroupType, Roster
from offdecode.history.movements.commit_columns import places
from offdecode.model import DecodedChunk, rows_of


class Role(Enum):
    """What a record tells of its group."""

    GENERATION = "a whole generation"
    EPOCH = "the group epoch"
    MEMBER = "who a member is"
    TARGET_EPOCH = "the epoch of the target assignment"
    TARGET = "what a member is to have"
    HELD = "what a member has"
    TOPICS = "names of topic ids"
    TOPOLOGY = "which topics each subtopology reads"


# Row type: the type of its group, what it tells, and the columns for it beyond COMMON.
_RECORDS: dict[str, tuple[GroupType, Role, tuple[str, ...]]] = {
    "group_metadata": (GroupType.CLASSIC, Role.GENERATION, (
        "protocol_type", "generation", "protocol", "leader", "current_state_timestamp")),
    "consumer_group_metadata": (GroupType.CONSUMER, Role.EPOCH, ("epoch",)),
    "consumer_group_partition_metadata": (GroupType.CONSUMER, Role.TOPICS, ("topics",)),
    "consumer_group_member_metadata": (GroupType.CONSUMER, Role.MEMBER, (
        "member_id", "instance_id", "client_id", "client_host", "subscribed_topic_names", "subscribed_topic_regex",
        "rebalance_timeout_ms", "server_assignor", "classic_member_metadata")),
    "consumer_group_target_assignment_metadata": (GroupType.CONSUMER, Role.TARGET_EPOCH, ("assignment_epoch",)),
    "consumer_group_target_assignment_member": (GroupType.CONSUMER, Role.TARGET, ("member_id", "topic_partitions")),
    "consumer_group_current_member_assignment": (GroupType.CONSUMER, Role.HELD, (
        "member_id", "member_epoch", "state", "assigned_partitions", "partitions_pending_revocation")),
    "share_group_partition_metadata": (GroupType.SHARE, Role.TOPICS, ("topics",)),
    "share_group_metadata": (GroupType.SHARE, Role.EPOCH, ("epoch",)),
    "share_group_member_metadata": (GroupType.SHARE, Role.MEMBER, (
        "member_id", "client_id", "client_host", "subscribed_topic_names")),
    "share_group_target_assignment_metadata": (GroupType.SHARE, Role.TARGET_EPOCH, ("assignment_epoch",)),
    "share_group_target_assignment_member": (GroupType.SHARE, Role.TARGET, ("member_id", "topic_partitions")),
    "share_group_current_member_assignment": (GroupType.SHARE, Role.HELD, (
        "member_id", "member_epoch", "state", "assigned_partitions")),
    "share_group_state_partition_metadata": (GroupType.SHARE, Role.TOPICS, (
        "initializing_topics", "initialized_topics")),
    "streams_group_metadata": (GroupType.STREAMS, Role.EPOCH, ("epoch",)),
    "streams_group_member_metadata": (GroupType.STREAMS, Role.MEMBER, (
        "member_id", "instance_id", "client_id", "client_host", "rebalance_timeout_ms")),
    "streams_group_target_assignment_metadata": (GroupType.STREAMS, Role.TARGET_EPOCH, ("assignment_epoch",)),
    "streams_group_target_assignment_member": (GroupType.STREAMS, Role.TARGET, (
        "member_id", "active_tasks", "standby_tasks", "warmup_tasks")),
    "streams_group_current_member_assignment": (GroupType.STREAMS, Role.HELD, (
        "member_id", "member_epoch", "state", "active_tasks", "standby_tasks", "warmup_tasks",
        "active_tasks_pending_revocation")),
    "streams_group_topology": (GroupType.STREAMS, Role.TOPOLOGY, ("subtopologies",)),
}  # fmt: skip

COMMON = ("log_partition", "log_offset", "log_timestamp", "tombstone", "group")

GROUP_ROW_TYPES = tuple(_RECORDS)


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """One group record. values: the columns of its row type, times as milliseconds; all null in a tombstone.

    place: where it stands among all rows of its chunk. roster: of a classic generation.
    """

    group_type: GroupType
    role: Role
    values: dict[str, Any]
    place: int = 0
    roster: Roster = NO_MEMBERS

    @property
    def tombstone(self) -> bool:
        return bool(self.values["tombstone"])


def iter_group_records(chunk: DecodedChunk, classic: ClassicMembers) -> Iterator[GroupRecord]:
    """The group records of a chunk in log order. classic: what has read the chunks before."""
    found: list[GroupRecord] = []
    place = places(chunk)
    for name, batch in chunk.coded.items():
        known = _RECORDS.get(name)
        if known is not None:
            group_type, role, columns = known
            if role is Role.GENERATION:
                rows, rosters = rows_of(batch, (*COMMON, *columns)), classic.read(batch.column("members"))
            else:
                rows = rows_of(chunk.batches[name], (*COMMON, *columns))  # plain lists are quicker made plain values
                rosters = [NO_MEMBERS] * len(rows)
            at = place[name].tolist()
            found += [GroupRecord(group_type, role, *parts) for parts in zip(rows, at, rosters, strict=True)]
    found.sort(key=attrgetter("place"))
    return iter(found)
