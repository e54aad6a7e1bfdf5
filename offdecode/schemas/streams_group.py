"""Streams groups (KIP-1071): epochs, members, targets, assignments, the topology (key types 17 and 19 to 23).

A task is one partition of a subtopology: the part of a Kafka Streams program that one thread can run alone.
Key type 18 was in drafts only.
"""

from __future__ import annotations

from offdecode.schemas.group_parts import (
    CLIENT,
    GROUP_EPOCH,
    INSTANCE_ID,
    MEMBER_EPOCHS,
    MEMBER_ID,
    REBALANCE_TIMEOUT_MS,
    TARGET_ASSIGNMENT,
    group_key,
)
from offdecode.schemas.layout import ArrayOf, Field, Layout, RecordType, Struct
from offdecode.schemas.types import Int8, Int16, Int32, Int64, String, UInt16

# --- The group: key type 17

METADATA = Layout("StreamsGroupMetadataValue", versions="0", flexible="0+", fields=(
    GROUP_EPOCH,
    Field("metadata_hash", Int64, "0+", "hash over the topology's topics, their partitions and racks; 0 = none"),
    Field("validated_topology_epoch", Int32, "0+",
          "topology epoch whose topics were found to be right (since 4.2); absent = -1 = none", tag=0),
    Field("last_assignment_configs", ArrayOf(Struct("LastAssignmentConfig", (
        Field("key", String, "0+", "name of the setting"),
        Field("value", String, "0+", "its value"),
    ))), "0+", "settings that the last assignment was made with (since 4.2)", nullable="0+", tag=1),
    Field("stored_description_topology_epoch", Int32, "0+",
          "topology epoch whose description the broker's plugin holds (KIP-1331, since 4.4); absent = -1 = none, "
          "-2 = not sure, the plugin was interrupted", tag=2),
    Field("failed_description_topology_epoch", Int32, "0+",
          "topology epoch whose description the plugin refused for good (KIP-1331, since 4.4); absent = -1 = none",
          tag=3),
), doc="""The epoch of a streams group. Written when a member joins, leaves or changes, when a topic of the topology
changes and when one of the tagged fields does; a tombstone deletes the group. Since 4.1.""")

# --- The members: key type 19

MEMBER_METADATA = Layout("StreamsGroupMemberMetadataValue", versions="0", flexible="0+", fields=(
    INSTANCE_ID,
    *CLIENT,
    REBALANCE_TIMEOUT_MS,
    Field("topology_epoch", Int32, "0+", "epoch of the topology that it runs"),
    Field("process_id", String, "0+", "id of the Streams process; all its members share it"),
    Field("user_endpoint", Struct("Endpoint", (
        Field("host", String, "0+", "host name or address"),
        Field("port", UInt16, "0+", "port"),
    )), "0+", "where the process answers interactive queries; null = nowhere", nullable="0+"),
    Field("client_tags", ArrayOf(Struct("KeyValue", (
        Field("key", String, "0+", "name of the tag"),
        Field("value", String, "0+", "its value"),
    ))), "0+", "the process's own tags, for assignments that mind racks"),
), doc="""A member of a streams group: who it is and which topology it runs. Written when it joins and when any of it
changes; a tombstone when it leaves, is fenced or gives its static place to a successor. Since 4.1.""")

# --- The target assignment: key types 20 (of the group) and 21 (of a member)

TARGET_ASSIGNMENT_METADATA = Layout(
    "StreamsGroupTargetAssignmentMetadataValue", versions="0", flexible="0+", fields=TARGET_ASSIGNMENT,
    doc="""The epoch of a streams group's target assignment. Written after the members' targets, when the coordinator
has computed a new assignment; a tombstone with the group's own. Since 4.1.""")

_TASK_IDS = (
    Field("subtopology_id", String, "0+", "the subtopology"),
    Field("partitions", ArrayOf(Int32), "0+", "partitions of its input topics, one task each"),
)
_TARGET_TASKS = ArrayOf(Struct("TaskIds", _TASK_IDS))

TARGET_ASSIGNMENT_MEMBER = Layout("StreamsGroupTargetAssignmentMemberValue", versions="0", flexible="0+", fields=(
    Field("active_tasks", _TARGET_TASKS, "0+", "tasks that the member is to run"),
    Field("standby_tasks", _TARGET_TASKS, "0+", "tasks whose state it is to keep as a copy"),
    Field("warmup_tasks", _TARGET_TASKS, "0+", "tasks whose state it is to build up before it runs them"),
), doc="""What a member of a streams group is to do once all others have given it up. Written for each member whose
target changes with a new assignment; a tombstone when the member goes. Since 4.1.""")

# --- What the members run: key type 22

_HELD_TASKS = ArrayOf(Struct("TaskIds", (
    *_TASK_IDS,
    Field("assignment_epochs", ArrayOf(Int32), "0+",
          "for each of the partitions, the member epoch at which it was given; active tasks only (since 4.2)",
          nullable="0+", tag=0),
)))

CURRENT_MEMBER_ASSIGNMENT = Layout("StreamsGroupCurrentMemberAssignmentValue", versions="0", flexible="0+", fields=(
    *MEMBER_EPOCHS,
    Field("state", Int8, "0+", "1 = stable, 2 = has tasks to give up, 3 = waits for tasks that others hold"),
    Field("active_tasks", _HELD_TASKS, "0+", "tasks that the member runs"),
    Field("standby_tasks", _HELD_TASKS, "0+", "tasks whose state it keeps as a copy"),
    Field("warmup_tasks", _HELD_TASKS, "0+", "tasks whose state it builds up"),
    Field("active_tasks_pending_revocation", _HELD_TASKS, "0+", "active tasks that it has to give up first"),
    Field("standby_tasks_pending_revocation", _HELD_TASKS, "0+", "standby tasks that it has to give up first"),
    Field("warmup_tasks_pending_revocation", _HELD_TASKS, "0+", "warmup tasks that it has to give up first"),
), doc="""What a member of a streams group runs now, on its way to the target. Written at every step of that way;
a tombstone when the member goes. Since 4.1.""")

# --- The topology: key type 23

_TOPIC_INFOS = ArrayOf(Struct("TopicInfo", (
    Field("name", String, "0+", "name of the topic"),
    Field("partitions", Int32, "0+", "partitions that it must have; 0 = derived, always so for changelog topics"),
    Field("replication_factor", Int16, "0+", "replicas of each partition; 0 = the cluster's default"),
    Field("topic_configs", ArrayOf(Struct("TopicConfig", (
        Field("key", String, "0+", "name of the setting"),
        Field("value", String, "0+", "its value"),
    ))), "0+", "settings that the topic is created with"),
)))

_SUBTOPOLOGY = Struct("Subtopology", (
    Field("subtopology_id", String, "0+", "id of the subtopology, unique in the topology"),
    Field("source_topics", ArrayOf(String), "0+", "topics that it reads"),
    Field("source_topic_regex", ArrayOf(String), "0+", "regular expressions of topics that it reads"),
    Field("state_changelog_topics", _TOPIC_INFOS, "0+", "topics that back its state stores"),
    Field("repartition_sink_topics", ArrayOf(String), "0+", "repartition topics that it writes"),
    Field("repartition_source_topics", _TOPIC_INFOS, "0+", "repartition topics that it reads"),
    Field("copartition_groups", ArrayOf(Struct("CopartitionGroup", (
        Field("source_topics", ArrayOf(Int16), "0+", "positions in the subtopology's source_topics, from 0"),
        Field("source_topic_regex", ArrayOf(Int16), "0+", "positions in its source_topic_regex, from 0"),
        Field("repartition_source_topics", ArrayOf(Int16), "0+", "positions in its repartition_source_topics, from 0"),
    ))), "0+", "sets of topics that must have equal numbers of partitions"),
))

TOPOLOGY = Layout("StreamsGroupTopologyValue", versions="0", flexible="0+", fields=(
    Field("epoch", Int32, "0+", "epoch of the topology, set by the application"),
    Field("subtopologies", ArrayOf(_SUBTOPOLOGY), "0+", "the parts of the topology"),
), doc="""The topology of a streams group: what its program reads, writes and keeps. Written when the first member
joins; a tombstone with the group's own. Since 4.1.""")

RECORD_TYPES = (
    RecordType(17, "streams_group_metadata", group_key("StreamsGroupMetadataKey"), (METADATA,)),
    RecordType(19, "streams_group_member_metadata", group_key("StreamsGroupMemberMetadataKey", MEMBER_ID),
               (MEMBER_METADATA,)),
    RecordType(20, "streams_group_target_assignment_metadata",
               group_key("StreamsGroupTargetAssignmentMetadataKey"), (TARGET_ASSIGNMENT_METADATA,)),
    RecordType(21, "streams_group_target_assignment_member",
               group_key("StreamsGroupTargetAssignmentMemberKey", MEMBER_ID), (TARGET_ASSIGNMENT_MEMBER,)),
    RecordType(22, "streams_group_current_member_assignment",
               group_key("StreamsGroupCurrentMemberAssignmentKey", MEMBER_ID), (CURRENT_MEMBER_ASSIGNMENT,)),
    RecordType(23, "streams_group_topology", group_key("StreamsGroupTopologyKey"), (TOPOLOGY,)),
)
