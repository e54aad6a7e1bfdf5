"""Chunks to the group records in them, in log order, each with the part of its group that it tells.

This is the one place that says what each record type means to a group. Offset commits are no group records.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.groups.assignments import MOST_KEPT, Assignments
from offdecode.history.groups.classic_members import ClassicMembers
from offdecode.history.groups.images import NO_MEMBERS, Assignment, GroupType, Roster
from offdecode.history.movements.commit_columns import places
from offdecode.model import DecodedChunk, plain_values


class ClassicGeneration(NamedTuple):
    """A whole generation of a classic group. since: when it came into its state, milliseconds."""

    protocol_type: str | None
    generation: int
    protocol: str | None
    leader: str | None
    since: int | None
    roster: Roster = NO_MEMBERS


class Epoch(NamedTuple):
    """The group epoch, or that of the target assignment."""

    number: int


class Identity(NamedTuple):
    """Who a member is, in the order of Member; null = its group's type does not tell. Times in milliseconds."""

    instance_id: str | None = None
    client_id: str | None = None
    client_host: str | None = None
    subscribed_topics: tuple[str, ...] | None = None
    subscribed_regex: str | None = None
    rebalance_timeout_ms: int | None = None
    session_timeout_ms: int | None = None
    server_assignor: str | None = None


class Target(NamedTuple):
    """What a member is to have."""

    assignment: Assignment


class Held(NamedTuple):
    """What a member has. state: null in Kafka 3.7's shape. Assignments name topics by id only, or subtopologies."""

    epoch: int
    state: int | None
    assignment: Assignment
    revoking: Assignment = ()
    standby_tasks: Assignment = ()
    warmup_tasks: Assignment = ()


class Topics(NamedTuple):
    """Names of topic ids, as structs with these."""

    known: list[dict[str, Any]] | None
    more: list[dict[str, Any]] | None = None


class Topology(NamedTuple):
    """Which topics each subtopology reads, as structs of the record."""

    subtopologies: list[dict[str, Any]]


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


Told = ClassicGeneration | Epoch | Identity | Target | Held | Topics | Topology

_TOLD: dict[Role, Any] = {
    Role.GENERATION: ClassicGeneration,
    Role.EPOCH: Epoch,
    Role.MEMBER: Identity,
    Role.TARGET_EPOCH: Epoch,
    Role.TARGET: Target,
    Role.HELD: Held,
    Role.TOPICS: Topics,
    Role.TOPOLOGY: Topology,
}

_OF_MEMBERS = (Role.MEMBER, Role.TARGET, Role.HELD)

# Row type: the type of its group, what it tells, and the columns for that in the order of what is Told; None = none.
_RECORDS: dict[str, tuple[GroupType, Role, tuple[str | None, ...]]] = {
    "group_metadata": (GroupType.CLASSIC, Role.GENERATION, (
        "protocol_type", "generation", "protocol", "leader", "current_state_timestamp", "members")),
    "consumer_group_metadata": (GroupType.CONSUMER, Role.EPOCH, ("epoch",)),
    "consumer_group_partition_metadata": (GroupType.CONSUMER, Role.TOPICS, ("topics",)),
    "consumer_group_member_metadata": (GroupType.CONSUMER, Role.MEMBER, (
        "instance_id", "client_id", "client_host", "subscribed_topic_names", "subscribed_topic_regex",
        "rebalance_timeout_ms", "classic_member_metadata", "server_assignor")),
    "consumer_group_target_assignment_metadata": (GroupType.CONSUMER, Role.TARGET_EPOCH, ("assignment_epoch",)),
    "consumer_group_target_assignment_member": (GroupType.CONSUMER, Role.TARGET, ("topic_partitions",)),
    "consumer_group_current_member_assignment": (GroupType.CONSUMER, Role.HELD, (
        "member_epoch", "state", "assigned_partitions", "partitions_pending_revocation")),
    "share_group_partition_metadata": (GroupType.SHARE, Role.TOPICS, ("topics",)),
    "share_group_metadata": (GroupType.SHARE, Role.EPOCH, ("epoch",)),
    "share_group_member_metadata": (GroupType.SHARE, Role.MEMBER, (
        None, "client_id", "client_host", "subscribed_topic_names")),
    "share_group_target_assignment_metadata": (GroupType.SHARE, Role.TARGET_EPOCH, ("assignment_epoch",)),
    "share_group_target_assignment_member": (GroupType.SHARE, Role.TARGET, ("topic_partitions",)),
    "share_group_current_member_assignment": (GroupType.SHARE, Role.HELD, (
        "member_epoch", "state", "assigned_partitions")),
    "share_group_state_partition_metadata": (GroupType.SHARE, Role.TOPICS, (
        "initializing_topics", "initialized_topics")),
    "streams_group_metadata": (GroupType.STREAMS, Role.EPOCH, ("epoch",)),
    "streams_group_member_metadata": (GroupType.STREAMS, Role.MEMBER, (
        "instance_id", "client_id", "client_host", None, None, "rebalance_timeout_ms")),
    "streams_group_target_assignment_metadata": (GroupType.STREAMS, Role.TARGET_EPOCH, ("assignment_epoch",)),
    "streams_group_target_assignment_member": (GroupType.STREAMS, Role.TARGET, ("active_tasks",)),
    "streams_group_current_member_assignment": (GroupType.STREAMS, Role.HELD, (
        "member_epoch", "state", "active_tasks", "active_tasks_pending_revocation", "standby_tasks", "warmup_tasks")),
    "streams_group_topology": (GroupType.STREAMS, Role.TOPOLOGY, ("subtopologies",)),
}  # fmt: skip

GROUP_ROW_TYPES = tuple(_RECORDS)


class GroupRecord(NamedTuple):
    """One group record. told: None in a tombstone; log_timestamp: milliseconds; member_id: null but for members.

    place: where it stands among all rows of its chunk.
    """

    group_type: GroupType
    role: Role
    log_partition: int | None
    log_offset: int | None
    log_timestamp: int | None
    group: str
    told: Told | None
    member_id: str | None = None
    place: int = 0


class GroupRecords:
    """Reads the group records of chunks; what it has given before it gives again."""

    def __init__(self) -> None:
        self.classic_members = ClassicMembers()
        self._assignments: dict[str, Assignments] = {}  # by what they are of

    def of(self, chunk: DecodedChunk) -> list[GroupRecord]:
        """The group records of a chunk in log order."""
        found: list[GroupRecord] = []
        place = places(chunk)
        for name, coded in chunk.coded.items():
            if name in _RECORDS:
                group_type, role, columns = _RECORDS[name]
                # What is not read as vectors is quicker read from plain lists.
                batch = coded if role is Role.GENERATION else chunk.batches[name]
                told: Iterable[Any] = map(_TOLD[role], *(self._values(batch, column, role) for column in columns))
                tombstone = batch.column("tombstone").to_numpy(zero_copy_only=False)
                if tombstone.any():
                    told = (None if gone else part for gone, part in zip(tombstone.tolist(), told, strict=True))
                found += map(
                    GroupRecord,
                    repeat(group_type),
                    repeat(role),
                    *(plain_values(batch.column(name)) for name in ("log_partition", "log_offset", "log_timestamp")),
                    plain_values(batch.column("group")),
                    told,
                    plain_values(batch.column("member_id")) if role in _OF_MEMBERS else repeat(None),
                    place[name].tolist(),
                )
        found.sort(key=attrgetter("place"))
        return found

    def _values(self, batch: pa.RecordBatch, name: str | None, role: Role) -> Iterable[Any]:
        """A column, a value for each row. name None: null in each."""
        if name is None:
            return repeat(None)
        column = batch.column(name)
        if name == "members":
            return self.classic_members.read(column)
        if name == "classic_member_metadata":
            return plain_values(pc.struct_field(column, "session_timeout_ms"))
        if name == "subscribed_topic_names":
            return (None if names is None else tuple(names) for names in column.to_pylist())
        if name == "subscribed_topic_regex":
            return (text or None for text in plain_values(column))
        if role in (Role.TARGET, Role.HELD) and pa.types.is_list(column.type):
            return self._read_assignments(column)
        return plain_values(column)

    def _read_assignments(self, column: pa.ListArray) -> Iterable[Assignment]:
        (of,) = {field.name for field in column.type.value_type} & {"topic_id", "subtopology_id"}
        known = self._assignments.get(of)
        if known is None or len(known) > MOST_KEPT:
            known = self._assignments[of] = Assignments(of)
        return map(known.values.__getitem__, known.numbers(column).tolist())
