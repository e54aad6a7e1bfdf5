"""Share groups (KIP-932): epochs, members, targets, assignments, shared topics (key types 9 to 15).

Kafka 4.0's early access had two of these types in another shape under the same version number; those
layouts carry the shape "4.0.0". Key type 9 is 4.0's alone. What a share group has consumed is not
here but in __share_group_state.
"""

from __future__ import annotations

from offdecode.schemas.group_parts import (
    CLIENT,
    GROUP_EPOCH,
    MEMBER_EPOCHS,
    MEMBER_ID,
    PARTITIONS_BY_TOPIC_ID,
    SUBSCRIBED_TOPICS,
    TARGET_ASSIGNMENT,
    group_key,
)
from offdecode.schemas.layout import ArrayOf, Field, Layout, RecordType, Struct
from offdecode.schemas.types import Int8, Int32, Int64, String, Uuid

_EARLY_ACCESS = "4.0.0"

# --- The subscribed topics as the group last saw them: key type 9

PARTITION_METADATA = Layout("ShareGroupPartitionMetadataValue", versions="0", flexible="0+", fields=(
    SUBSCRIBED_TOPICS,
), doc="""The topics a share group subscribes to, as the coordinator last saw them. Written by Kafka 4.0 alone as a
subscription or a subscribed topic changed; since 4.1 the group's metadata hash says it and later brokers do not know
this type.""")

# --- The members: key type 10

MEMBER_METADATA = Layout("ShareGroupMemberMetadataValue", versions="0", flexible="0+", fields=(
    *CLIENT,
    Field("subscribed_topic_names", ArrayOf(String), "0+", "topics that it subscribes to"),
), doc="""A member of a share group: who it is and what it subscribes to. Written when it joins and when any of it
changes; a tombstone when it leaves or is fenced. Since 4.0.""")

# --- The group: key type 11

METADATA = Layout("ShareGroupMetadataValue", versions="0", flexible="0+", fields=(
    GROUP_EPOCH,
    Field("metadata_hash", Int64, "0+", "hash over the subscribed topics, their partitions and racks; 0 = none"),
), doc="""The epoch of a share group. Written when a member joins, leaves or changes its subscription and when a
subscribed topic changes; a tombstone deletes the group. Since 4.0; with the hash since 4.1.""")

METADATA_EARLY = Layout("ShareGroupMetadataValue", versions="0", flexible="0+", fields=(
    GROUP_EPOCH,
), shape=_EARLY_ACCESS, doc="Kafka 4.0's shape: without the hash, for which it had key type 9.")

# --- The target assignment: key types 12 (of the group) and 13 (of a member)

TARGET_ASSIGNMENT_METADATA = Layout(
    "ShareGroupTargetAssignmentMetadataValue", versions="0", flexible="0+", fields=TARGET_ASSIGNMENT,
    doc="""The epoch of a share group's target assignment. Written after the members' targets, when the coordinator
has computed a new assignment; a tombstone with the group's own. Since 4.0.""")

TARGET_ASSIGNMENT_MEMBER = Layout("ShareGroupTargetAssignmentMemberValue", versions="0", flexible="0+", fields=(
    Field("topic_partitions", ArrayOf(Struct("TopicPartition", PARTITIONS_BY_TOPIC_ID)), "0+",
          "partitions that the member is to read; several members may have the same one"),
), doc="""What a member of a share group is to read. Written for each member whose target changes with a new
assignment; a tombstone when the member goes. Since 4.0.""")

# --- What the members read: key type 14

CURRENT_MEMBER_ASSIGNMENT = Layout("ShareGroupCurrentMemberAssignmentValue", versions="0", flexible="0+", fields=(
    *MEMBER_EPOCHS,
    Field("state", Int8, "0+", "0 = stable; share groups use no other state"),
    Field("assigned_partitions", ArrayOf(Struct("TopicPartitions", PARTITIONS_BY_TOPIC_ID)), "0+",
          "partitions that the member reads"),
), doc="""What a member of a share group reads now. Written when it takes over its target; a tombstone when the
member goes. Since 4.0.""")

# --- The topics whose consumption the group keeps: key type 15

_TOPIC = (
    Field("topic_id", Uuid, "0+", "id of the topic"),
    Field("topic_name", String, "0+", "name of the topic"),
)
_TOPIC_PARTITIONS = ArrayOf(Struct("TopicPartitionsInfo", (
    *_TOPIC,
    Field("partitions", ArrayOf(Int32), "0+", "partitions of that topic"),
)))
_INITIALIZED_TOPICS = Field("initialized_topics", _TOPIC_PARTITIONS, "0+",
                            "partitions whose share state exists")
_DELETING_TOPICS = Field("deleting_topics", ArrayOf(Struct("TopicInfo", _TOPIC)), "0+",
                         "topics whose share state is being deleted")

STATE_PARTITION_METADATA = Layout("ShareGroupStatePartitionMetadataValue", versions="0", flexible="0+", fields=(
    Field("initializing_topics", _TOPIC_PARTITIONS, "0+", "partitions whose share state is being created"),
    _INITIALIZED_TOPICS,
    _DELETING_TOPICS,
), doc="""The partitions for which a share group keeps state in __share_group_state. Written before that state is
created or deleted and again when it is done; a tombstone deletes the group. Since 4.1.""")

STATE_PARTITION_METADATA_EARLY = Layout("ShareGroupStatePartitionMetadataValue", versions="0", flexible="0+", fields=(
    _INITIALIZED_TOPICS,
    _DELETING_TOPICS,
), shape=_EARLY_ACCESS, doc="Kafka 4.0's shape, which it defined and could read but did not write.")

RECORD_TYPES = (
    RecordType(9, "share_group_partition_metadata", group_key("ShareGroupPartitionMetadataKey"),
               (PARTITION_METADATA,)),
    RecordType(10, "share_group_member_metadata", group_key("ShareGroupMemberMetadataKey", MEMBER_ID),
               (MEMBER_METADATA,)),
    RecordType(11, "share_group_metadata", group_key("ShareGroupMetadataKey"), (METADATA, METADATA_EARLY)),
    RecordType(12, "share_group_target_assignment_metadata", group_key("ShareGroupTargetAssignmentMetadataKey"),
               (TARGET_ASSIGNMENT_METADATA,)),
    RecordType(13, "share_group_target_assignment_member",
               group_key("ShareGroupTargetAssignmentMemberKey", MEMBER_ID), (TARGET_ASSIGNMENT_MEMBER,)),
    RecordType(14, "share_group_current_member_assignment",
               group_key("ShareGroupCurrentMemberAssignmentKey", MEMBER_ID), (CURRENT_MEMBER_ASSIGNMENT,)),
    RecordType(15, "share_group_state_partition_metadata", group_key("ShareGroupStatePartitionMetadataKey"),
               (STATE_PARTITION_METADATA, STATE_PARTITION_METADATA_EARLY)),
)
