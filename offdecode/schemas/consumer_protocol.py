"""ConsumerProtocol: what classic consumers say to each other inside a group's members.

Source: KIP-429, KIP-792, KIP-881; ConsumerProtocolSubscription.json and ConsumerProtocolAssignment.json of
kafka-clients. That a newer version is read as the newest known one is ConsumerProtocol.deserializeVersion's rule.
"""

from __future__ import annotations

from offdecode.schemas.layout import ArrayOf, Field, Layout, Struct
from offdecode.schemas.types import Bytes, Int32, String

_TOPIC_PARTITIONS = ArrayOf(Struct("TopicPartition", (
    Field("topic", String, "0+", "topic name"),
    Field("partitions", ArrayOf(Int32), "0+", "partitions of that topic"),
)))

SUBSCRIPTION = Layout("ConsumerProtocolSubscription", versions="0-3", flexible="none", open_ended=True, fields=(
    Field("topics", ArrayOf(String), "0+", "topics that the member subscribes to"),
    Field("user_data", Bytes, "0+", "the assignor's own bytes", nullable="0+"),
    Field("owned_partitions", _TOPIC_PARTITIONS, "1+", "partitions that the member holds as it joins"),
    Field("generation_id", Int32, "2+", "generation in which it got them; -1 = none"),
    Field("rack_id", String, "3+", "the member's rack", nullable="3+"),
), doc="What a member asks for when it joins.")

ASSIGNMENT = Layout("ConsumerProtocolAssignment", versions="0-3", flexible="none", open_ended=True, fields=(
    Field("assigned_partitions", _TOPIC_PARTITIONS, "0+", "partitions that the member is given"),
    Field("user_data", Bytes, "0+", "the assignor's own bytes", nullable="0+"),
), doc="What the leader hands a member.")
