"""Keys, fields and structs that the records of consumer, share and streams groups have in common."""

from __future__ import annotations

from offdecode.schemas.layout import ArrayOf, Field, Layout, Struct
from offdecode.schemas.types import Int32, String, TimestampMs, Uuid

MEMBER_ID = Field("member_id", String, "0+", "id of the member")


def group_key(name: str, *more: Field) -> Layout:
    """The key that starts with the group and goes on with `more`; keys have no versions and are never flexible."""
    return Layout(name, versions="0", flexible="none", fields=(
        Field("group", String, "0+", "the group"),
        *more,
    ))


GROUP_EPOCH = Field("epoch", Int32, "0+", "group epoch: grows with every change that needs a new assignment")

SUBSCRIBED_TOPICS = Field("topics", ArrayOf(Struct("TopicMetadata", (
    Field("topic_id", Uuid, "0+", "id of the topic"),
    Field("topic_name", String, "0+", "name of the topic"),
    Field("num_partitions", Int32, "0+", "how many partitions it has"),
    Field("partition_metadata", ArrayOf(Struct("PartitionMetadata", (
        Field("partition", Int32, "0+", "the partition"),
        Field("racks", ArrayOf(String), "0+", "racks that hold a replica of it"),
    ))), "0+", "racks by partition; empty where brokers name no racks, and always since 4.0"),
))), "0+", "the topics that the group's members subscribe to")

INSTANCE_ID = Field("instance_id", String, "0+", "the static member's own id; null = dynamic", nullable="0+")
CLIENT = (
    Field("rack_id", String, "0+", "the member's rack", nullable="0+"),
    Field("client_id", String, "0+", "the client's configured name"),
    Field("client_host", String, "0+", "address that the client connected from"),
)
REBALANCE_TIMEOUT_MS = Field(
    "rebalance_timeout_ms", Int32, "0+",
    "milliseconds that the member may take to give up what it is asked for; -1 = not known")

TARGET_ASSIGNMENT = (
    Field("assignment_epoch", Int32, "0+", "the group epoch that the target assignment was made for"),
    Field("assignment_timestamp", TimestampMs, "0+",
          "when the assignment was ready (KIP-1263, since 4.3); absent = 0 = not known", tag=0),
)

MEMBER_EPOCHS = (
    Field("member_epoch", Int32, "0+", "epoch that the member has reached; -2 = a static member that is away"),
    Field("previous_member_epoch", Int32, "0+", "epoch before it, taken too in case the answer was lost"),
)

PARTITIONS_BY_TOPIC_ID = (
    Field("topic_id", Uuid, "0+", "id of the topic"),
    Field("partitions", ArrayOf(Int32), "0+", "partitions of that topic"),
)
