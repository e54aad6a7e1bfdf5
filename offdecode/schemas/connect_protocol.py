"""What the workers of a Kafka Connect cluster say to each other inside a group's members.

Source: ConnectProtocol (version 0) and IncrementalCooperativeConnectProtocol (versions 1 and 2) of connect-runtime;
KIP-415, KIP-507. That a newer version is read as the newest known one is upstream's rule too.
"""

from __future__ import annotations

from offdecode.schemas.layout import ArrayOf, Embedded, Field, Layout, OpaqueFormat, Struct
from offdecode.schemas.types import Bytes, Int16, Int32, Int64, String

_CONNECTORS = ArrayOf(Struct("ConnectorAssignment", (
    Field("connector", String, "0+", "name of the connector"),
    Field("tasks", ArrayOf(Int32), "0+", "numbers of its tasks; -1 = the connector itself"),
)))

_CONFIG_OFFSET = Field("config_offset", Int64, "0+", "how far the config topic was read")

ASSIGNMENT = Layout("ConnectAssignment", versions="0-2", flexible="none", open_ended=True, fields=(
    Field("error", Int16, "0+", "0 = none, 1 = the workers' config offsets do not match"),
    Field("leader", String, "0+", "member id of the leader"),
    Field("leader_url", String, "0+", "where the leader takes requests"),
    _CONFIG_OFFSET,
    Field("assignment", _CONNECTORS, "0+", "connectors and tasks that the worker runs", nullable="1+"),
    Field("revoked", _CONNECTORS, "1+", "connectors and tasks that it has to stop", nullable="1+"),
    Field("delay", Int32, "1+", "milliseconds until the worker is to join again; 0 = need not"),
), doc="""What the leader hands a worker. Version 0 is the eager protocol; 1 (Kafka 2.3) rebalances in steps; 2 (Kafka
2.4) has the same fields and says that requests between workers are signed.""")

_URL = Field("url", String, "0+", "where the worker takes requests")

METADATA = Layout("ConnectMetadata", versions="0-2", flexible="none", open_ended=True, fields=(
    _URL,
    _CONFIG_OFFSET,
    Field("allocation", Bytes, "1+", "what the worker runs as it joins; null = nothing yet", nullable="1+",
          embedded=Embedded({"connect": ASSIGNMENT}, protocol_type="connect")),
), doc="What a worker says of itself when it joins.")

METADATA_WITHOUT_ALLOCATION = Layout("ConnectMetadata", versions="1-2", flexible="none", open_ended=True, fields=(
    _URL,
    _CONFIG_OFFSET,
), doc="Kafka's workers always write the allocation, but read metadata without it; other clients leave it out.")

CONNECT_METADATA = OpaqueFormat("connect", (METADATA, METADATA_WITHOUT_ALLOCATION), Int16)
CONNECT_ASSIGNMENT = OpaqueFormat("connect", (ASSIGNMENT,), Int16)
