"""Classic groups: one record a completed generation, with all members (key type 2)."""

from __future__ import annotations

from offdecode.schemas import opaque_formats
from offdecode.schemas.consumer_protocol import ASSIGNMENT, SUBSCRIPTION
from offdecode.schemas.layout import ArrayOf, Embedded, Field, Layout, RecordType, Struct
from offdecode.schemas.types import Bytes, Int32, String, TimestampMs

ROW_TYPE = "group_metadata"

KEY = Layout("GroupMetadataKey", versions="0", flexible="none", fields=(
    Field("group", String, "0+", "the group"),
))

_MEMBER = Struct("MemberMetadata", (
    Field("member_id", String, "0+", "id that the coordinator gave the member"),
    Field("group_instance_id", String, "3+", "the static member's own id (KIP-345)", nullable="3+"),
    Field("client_id", String, "0+", "the client's configured name"),
    Field("client_host", String, "0+", "address that the client connected from"),
    Field("rebalance_timeout", Int32, "1+", "milliseconds that the member may take to rejoin"),
    Field("session_timeout", Int32, "0+", "milliseconds without a heartbeat before the member is removed"),
    Field("subscription", Bytes, "0+", "what the member asked for as it joined",
          embedded=Embedded({"consumer": SUBSCRIPTION}, opaque_formats.METADATA, opaque_formats.SUBSCRIPTION_USER_DATA,
                            protocol_type_field="protocol_type", protocol_field="protocol")),
    Field("assignment", Bytes, "0+", "what the leader gave it",
          embedded=Embedded({"consumer": ASSIGNMENT}, opaque_formats.ASSIGNMENT, opaque_formats.ASSIGNMENT_USER_DATA,
                            protocol_type_field="protocol_type", protocol_field="protocol")),
))

VALUE = Layout("GroupMetadataValue", versions="0-4", flexible="4+", fields=(
    Field("protocol_type", String, "0+", '"consumer", "connect", ...; "" for a group without members at birth'),
    Field("generation", Int32, "0+", "counts completed rebalances"),
    Field("protocol", String, "0+", "the assignor that all members agreed on", nullable="0+"),
    Field("leader", String, "0+", "member id of the leader, which made the assignment", nullable="0+"),
    Field("current_state_timestamp", TimestampMs, "2+", "when the group came into its state; -1 = not known"),
    Field("members", ArrayOf(_MEMBER), "0+", "all members of the generation"),
), doc="""A generation of a classic group. Written when a rebalance completes (SyncGroup), when the last member
leaves, when a static member is replaced within a generation and, by the new coordinator, at the group's birth;
a tombstone deletes the group or turns it into another type. Version 0 up to Kafka 0.10.0, 1 from 0.10.1, 2 from
2.1, 3 from 2.3 on; 4 is readable since 3.5 and not written yet.""")

RECORD_TYPES = (RecordType(2, ROW_TYPE, KEY, (VALUE,)),)
