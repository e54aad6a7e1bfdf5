"""Consumer groups of the new protocol (KIP-848): epochs, members, targets, assignments (key types 3 to 8 and 16).

Kafka 3.7's early access wrote four of these types in another shape under the same version number; those
layouts carry the shape "3.7.0". 3.8 came to the shapes of today, and what was added since is tagged.
"""

from __future__ import annotations

from offdecode.schemas import opaque_formats
from offdecode.schemas.consumer_protocol import SUBSCRIPTION
from offdecode.schemas.group_parts import (
    CLIENT,
    GROUP_EPOCH,
    INSTANCE_ID,
    MEMBER_EPOCHS,
    MEMBER_ID,
    PARTITIONS_BY_TOPIC_ID,
    REBALANCE_TIMEOUT_MS,
    SUBSCRIBED_TOPICS,
    TARGET_ASSIGNMENT,
    group_key,
)
from offdecode.schemas.layout import ArrayOf, Embedded, Field, Layout, RecordType, Struct
from offdecode.schemas.types import Bytes, Int8, Int16, Int32, Int64, String, TimestampMs

_EARLY_ACCESS = "3.7.0"

# --- The group: key type 3

METADATA = Layout("ConsumerGroupMetadataValue", versions="0", flexible="0+", fields=(
    GROUP_EPOCH,
    Field("metadata_hash", Int64, "0+",
          "hash over the subscribed topics, their partitions and racks (KIP-1101, since 4.1); absent = 0 = none",
          tag=0),
), doc="""The epoch of a consumer group. Written when a member joins, leaves or changes its subscription and when
a subscribed topic changes; a tombstone deletes the group or turns it into another type. Since 3.7; the hash,
which takes the place of key type 4, since 4.1.""")

# --- The subscribed topics as the group last saw them: key type 4

PARTITION_METADATA = Layout("ConsumerGroupPartitionMetadataValue", versions="0", flexible="0+", fields=(
    SUBSCRIBED_TOPICS,
), doc="""The topics a consumer group subscribes to, as the coordinator last saw them: a difference to the cluster
makes a new group epoch. Written from 3.7 to 4.0 as a subscription or a subscribed topic changed; since 4.1 the
group's metadata hash says it, and only tombstones of this type are written.""")

PARTITION_METADATA_EARLY = Layout("ConsumerGroupPartitionMetadataValue", versions="0", flexible="0+", fields=(
    Field("epoch", Int32, "0+", "the group epoch; only in the shape of 3.7"),
    SUBSCRIBED_TOPICS,
), shape=_EARLY_ACCESS, doc="Kafka 3.7's shape: with an epoch of its own.")

# --- The members: key type 5

_MEMBER_FIELDS = (
    INSTANCE_ID,
    *CLIENT,
    Field("subscribed_topic_names", ArrayOf(String), "0+", "topics that it subscribes to by name"),
    Field("subscribed_topic_regex", String, "0+", "regular expression that it subscribes by", nullable="0+"),
    REBALANCE_TIMEOUT_MS,
    Field("server_assignor", String, "0+", "the coordinator's assignor that it asks for; null = any", nullable="0+"),
)

_CLASSIC_MEMBER = Struct("ClassicMemberMetadata", (
    Field("session_timeout_ms", Int32, "0+", "milliseconds without a heartbeat before the member is removed"),
    Field("supported_protocols", ArrayOf(Struct("ClassicProtocol", (
        Field("name", String, "0+", "an assignor that the member supports"),
        Field("metadata", Bytes, "0+", "what the member asks for under that assignor",
              embedded=Embedded({"consumer": SUBSCRIPTION}, nested_opaque=opaque_formats.SUBSCRIPTION_USER_DATA,
                                protocol_type="consumer", protocol_field="name")),
    ))), "0+", "assignors that the member offers, the preferred one first"),
))

MEMBER_METADATA = Layout("ConsumerGroupMemberMetadataValue", versions="0", flexible="0+", fields=(
    *_MEMBER_FIELDS,
    Field("classic_member_metadata", _CLASSIC_MEMBER, "0+",
          "what a member that still speaks the classic protocol sent; null = it speaks the new one",
          nullable="0+", tag=0),
), doc="""A member of a consumer group: who it is and what it subscribes to. Written when it joins and when any of
it changes; a tombstone when it leaves, is fenced or gives its static place to a successor. Since 3.7; classic members
in such a group since 3.8.""")

MEMBER_METADATA_EARLY = Layout("ConsumerGroupMemberMetadataValue", versions="0", flexible="0+", fields=(
    *_MEMBER_FIELDS,
    Field("assignors", ArrayOf(Struct("Assignor", (
        Field("name", String, "0+", "name of the client's assignor"),
        Field("minimum_version", Int16, "0+", "lowest metadata version that it reads"),
        Field("maximum_version", Int16, "0+", "highest metadata version that it reads"),
        Field("reason", Int8, "0+", "why the assignor asks for a new assignment"),
        Field("version", Int16, "0+", "version of the metadata"),
        Field("metadata", Bytes, "0+", "the assignor's own bytes"),
    ))), "0+", "client-side assignors; only in the shape of 3.7"),
), shape=_EARLY_ACCESS, doc="Kafka 3.7's shape: with client-side assignors, which no release came to support.")

# --- The target assignment: key types 6 (of the group) and 7 (of a member)

TARGET_ASSIGNMENT_METADATA = Layout(
    "ConsumerGroupTargetAssignmentMetadataValue", versions="0", flexible="0+", fields=TARGET_ASSIGNMENT,
    doc="""The epoch of a consumer group's target assignment. Written after the members' targets, when the
coordinator has computed a new assignment; a tombstone with the group's own. Since 3.7.""")

_TARGET = Field("topic_partitions", ArrayOf(Struct("TopicPartition", PARTITIONS_BY_TOPIC_ID)), "0+",
                "partitions that the member is to have")

TARGET_ASSIGNMENT_MEMBER = Layout("ConsumerGroupTargetAssignmentMemberValue", versions="0", flexible="0+", fields=(
    _TARGET,
), doc="""What a member of a consumer group is to have once all others have given it up. Written for each member
whose target changes with a new assignment; a tombstone when the member goes. Since 3.7.""")

TARGET_ASSIGNMENT_MEMBER_EARLY = Layout(
    "ConsumerGroupTargetAssignmentMemberValue", versions="0", flexible="0+", fields=(
        Field("error", Int8, "0+", "error that the assignor reported; only in the shape of 3.7"),
        _TARGET,
        Field("metadata_version", Int16, "0+", "version of the metadata; only in the shape of 3.7"),
        Field("metadata_bytes", Bytes, "0+", "the assignor's own bytes; only in the shape of 3.7"),
    ), shape=_EARLY_ACCESS, doc="Kafka 3.7's shape: with what a client-side assignor would have said.")

# --- What the members hold: key type 8

_HELD_PARTITIONS = ArrayOf(Struct("TopicPartitions", (
    *PARTITIONS_BY_TOPIC_ID,
    Field("assignment_epochs", ArrayOf(Int32), "0+",
          "for each of the partitions, the member epoch at which it was given (since 4.3)", nullable="0+", tag=0),
)))

CURRENT_MEMBER_ASSIGNMENT = Layout("ConsumerGroupCurrentMemberAssignmentValue", versions="0", flexible="0+", fields=(
    *MEMBER_EPOCHS,
    Field("state", Int8, "0+",
          "0 = stable, 1 = has partitions to give up, 2 = waits for partitions that others hold"),
    Field("assigned_partitions", _HELD_PARTITIONS, "0+", "partitions that the member holds"),
    Field("partitions_pending_revocation", _HELD_PARTITIONS, "0+", "partitions that it has to give up first"),
), doc="""What a member of a consumer group holds now, on its way to the target. Written at every step of that way;
a tombstone when the member goes. Since 3.7.""")

_HELD_PARTITIONS_EARLY = ArrayOf(Struct("TopicPartitions", PARTITIONS_BY_TOPIC_ID))

CURRENT_MEMBER_ASSIGNMENT_EARLY = Layout(
    "ConsumerGroupCurrentMemberAssignmentValue", versions="0", flexible="0+", fields=(
        *MEMBER_EPOCHS,
        Field("target_member_epoch", Int32, "0+", "epoch that the member moves to; only in the shape of 3.7"),
        Field("assigned_partitions", _HELD_PARTITIONS_EARLY, "0+", "partitions that the member holds"),
        Field("partitions_pending_revocation", _HELD_PARTITIONS_EARLY, "0+", "partitions that it has to give up first"),
        Field("partitions_pending_assignment", _HELD_PARTITIONS_EARLY, "0+",
              "partitions that it gets once others give them up; only in the shape of 3.7"),
        Field("error", Int8, "0+", "error that the assignor reported; only in the shape of 3.7"),
        Field("metadata_version", Int16, "0+", "version of the metadata; only in the shape of 3.7"),
        Field("metadata_bytes", Bytes, "0+", "the assignor's own bytes; only in the shape of 3.7"),
    ), shape=_EARLY_ACCESS, doc="Kafka 3.7's shape: the epochs and partitions in place of a state.")

# --- Regular expressions and what they match: key type 16

REGULAR_EXPRESSION_KEY = group_key(
    "ConsumerGroupRegularExpressionKey",
    Field("regular_expression", String, "0+", "the expression, in RE2's syntax"),
)

REGULAR_EXPRESSION = Layout("ConsumerGroupRegularExpressionValue", versions="0", flexible="0+", fields=(
    Field("topics", ArrayOf(String), "0+", "topics that the expression matched"),
    Field("version", Int64, "0+", "offset of the cluster metadata that it was resolved against"),
    Field("timestamp", TimestampMs, "0+", "when it was resolved"),
), doc="""What a regular expression of a consumer group's members matched. Written when the expression is first used and
at every refresh; a tombstone when no member uses it any more. Since 4.0.""")

RECORD_TYPES = (
    RecordType(3, "consumer_group_metadata", group_key("ConsumerGroupMetadataKey"), (METADATA,)),
    RecordType(4, "consumer_group_partition_metadata", group_key("ConsumerGroupPartitionMetadataKey"),
               (PARTITION_METADATA, PARTITION_METADATA_EARLY)),
    RecordType(5, "consumer_group_member_metadata", group_key("ConsumerGroupMemberMetadataKey", MEMBER_ID),
               (MEMBER_METADATA, MEMBER_METADATA_EARLY)),
    RecordType(6, "consumer_group_target_assignment_metadata",
               group_key("ConsumerGroupTargetAssignmentMetadataKey"), (TARGET_ASSIGNMENT_METADATA,)),
    RecordType(7, "consumer_group_target_assignment_member",
               group_key("ConsumerGroupTargetAssignmentMemberKey", MEMBER_ID),
               (TARGET_ASSIGNMENT_MEMBER, TARGET_ASSIGNMENT_MEMBER_EARLY)),
    RecordType(8, "consumer_group_current_member_assignment",
               group_key("ConsumerGroupCurrentMemberAssignmentKey", MEMBER_ID),
               (CURRENT_MEMBER_ASSIGNMENT, CURRENT_MEMBER_ASSIGNMENT_EARLY)),
    RecordType(16, "consumer_group_regular_expression", REGULAR_EXPRESSION_KEY, (REGULAR_EXPRESSION,)),
)
