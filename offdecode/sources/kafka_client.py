"""aiokafka's client to what reading takes: which topics there are, who leads them, which offsets, which bytes, why not.

Only the client is used, with raw requests: the library's consumer joins groups, drops control batches and hides the
bytes. Nothing here can create a topic, join a group or commit. What goes wrong becomes a sentence with the fix.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple

from offdecode.errors import SourceError, UsageError
from offdecode.sources.client_config import Security, are_servers

try:
    from aiokafka import errors as kafka_errors
    from aiokafka.abc import AbstractTokenProvider
    from aiokafka.client import AIOKafkaClient
    from aiokafka.conn import collect_hosts, create_conn
    from aiokafka.protocol.abstract import AbstractType
    from aiokafka.protocol.admin import DescribeConfigsRequest
    from aiokafka.protocol.api import Request, RequestStruct, Response
    from aiokafka.protocol.fetch import FetchRequest
    from aiokafka.protocol.metadata import MetadataRequest, MetadataRequest_v4, MetadataRequest_v5
    from aiokafka.protocol.offset import OffsetRequest
    from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields
except ImportError:
    raise UsageError("reading a live topic needs the extra `live`: pip install 'offdecode[live]'") from None

EARLIEST, LATEST = -2, -1  # ListOffsets' special timestamps
READ_UNCOMMITTED = 0
_BROKER_RESOURCE = 4  # ConfigResource.Type

_CONNECT_MS = 10_000
_REQUEST_MS = 30_000
_FETCH_BYTES = 32 << 20  # of one answer

OFFSET_OUT_OF_RANGE = 1
UNKNOWN_TOPIC_OR_PARTITION = 3
TOPIC_AUTHORIZATION_FAILED = 29

_log = logging.getLogger("aiokafka")
_log.addHandler(logging.NullHandler())
_log.propagate = False  # the library tells about every retry; offdecode says once what matters

CONNECTION_ERRORS = (OSError, asyncio.TimeoutError, kafka_errors.KafkaError)
_NO_ANSWER = (*CONNECTION_ERRORS, NotImplementedError)  # a broker has no version of the request that the library has


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a broker gives of a partition: raw batches, the last one perhaps cut short. error: Kafka's error code."""

    error: int
    high_watermark: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TopicLayout:
    """The leader of each partition (-1 = none at the moment), and the cluster's id."""

    leaders: dict[int, int]
    cluster: str | None


@dataclass(frozen=True, slots=True)
class ClusterTopic:
    """A topic that there is. topic_id: None before Kafka 2.8. leaders: as of TopicLayout."""

    topic_id: str | None
    leaders: dict[int, int]


class Found(NamedTuple):
    """The first record at or after a time: its offset and its timestamp, both -1 = there is none."""

    offset: int
    timestamp: int


class _Uuid(AbstractType):  # type: ignore[misc]  # the library ships no types
    """16 bytes as Kafka writes them in text; None for the id of nothing."""

    @classmethod
    def decode(cls, data: BytesIO) -> str | None:
        read = data.read(16)
        return urlsafe_b64encode(read).decode().rstrip("=") if any(read) else None

    @classmethod
    def encode(cls, value: str | None) -> bytes:
        assert value is None, "topics are asked for by name"
        return bytes(16)


_TEXT = CompactString("utf-8")
_NODES = CompactArray(Int32)


class _TopicsResponse_v10(Response):  # type: ignore[misc]
    """Metadata with topic ids, which the library's own do not have."""

    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(
            ("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), ("tags", TaggedFields),
        )),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        ("topics", CompactArray(
            ("error_code", Int16), ("topic", _TEXT), ("topic_id", _Uuid), ("is_internal", Boolean),
            ("partitions", CompactArray(
                ("error_code", Int16), ("partition", Int32), ("leader", Int32), ("leader_epoch", Int32),
                ("replicas", _NODES), ("isr", _NODES), ("offline_replicas", _NODES), ("tags", TaggedFields),
            )),
            ("authorized_operations", Int32), ("tags", TaggedFields),
        )),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )  # fmt: skip


class _TopicsRequest_v10(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _TopicsResponse_v10
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicsRequest(Request[MetadataRequest_v4 | MetadataRequest_v5 | _TopicsRequest_v10]):  # type: ignore[misc]
    """All topics."""

    API_KEY = 3

    def build(self, request: Any) -> Any:
        return request(None, False, False, False, {}) if request is _TopicsRequest_v10 else request(None, False)


class _Token(AbstractTokenProvider):  # type: ignore[misc]  # the library ships no types
    def __init__(self, security: Security) -> None:
        self._security = security

    async def token(self) -> str:
        return self._security.token()


class KafkaClient:
    """Connections to a cluster, for reading. All methods belong to one event loop.

    topic: what `layout`, `offsets` and `fetch` are about.
    """

    def __init__(self, servers: str, security: Security, topic: str) -> None:
        self._servers = ",".join(one for one in servers.split(",") if one.strip())
        self._security = security
        self.topic = topic
        self._options: dict[str, Any] = {
            "client_id": "offdecode",
            "security_protocol": security.protocol,
            "ssl_context": security.ssl_context,
        }
        if security.sasl:
            self._options |= {
                "sasl_mechanism": security.mechanism,
                "sasl_plain_username": security.username,
                "sasl_plain_password": security.password,
                "sasl_oauth_token_provider": _Token(security) if security.mechanism == "OAUTHBEARER" else None,
            }
        self._client: Any = None

    async def open(self) -> None:
        """Connect. Raises SourceError with what to do where no server answers as it should."""
        await self._probe()
        self._client = AIOKafkaClient(bootstrap_servers=self._servers, request_timeout_ms=_REQUEST_MS, **self._options)
        try:
            await self._client.bootstrap()
        except CONNECTION_ERRORS as error:
            raise SourceError(self._servers, f"no broker answers: {error}") from None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _probe(self) -> None:
        """One connection to the first server that takes it: the client hides why it cannot have one."""
        if not are_servers(self._servers):
            raise UsageError("--bootstrap-server takes HOST:PORT[,HOST:PORT...]")
        failure: SourceError | None = None
        for host, port, _ in collect_hosts(self._servers):
            try:
                connection = await create_conn(host, port, request_timeout_ms=_CONNECT_MS, **self._options)
            except (*CONNECTION_ERRORS, AssertionError, ValueError) as error:
                failure = failure or SourceError(f"{host}:{port}", self._sentence(error))
                continue
            try:
                await connection.send(MetadataRequest([], False))
                return
            except _NO_ANSWER as error:
                failure = failure or SourceError(f"{host}:{port}", self._sentence(error))
            finally:
                connection.close()
        assert failure is not None
        raise failure

    def _sentence(self, error: BaseException) -> str:
        if isinstance(error, socket.gaierror):
            return "there is no host of this name"
        if isinstance(error, ConnectionRefusedError):
            return "nothing listens there; check the address against the broker's `listeners`"
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"the broker's certificate is not trusted ({error.verify_message}); "
                "name its authority in ssl.truststore.location of --command-config"
            )
        if isinstance(error, kafka_errors.UnsupportedSaslMechanismError):
            return f"the broker has no SASL mechanism {self._security.mechanism}; set sasl.mechanism to one that it has"
        if isinstance(error, (kafka_errors.SaslAuthenticationFailed, kafka_errors.IllegalSaslStateError)):
            return (
                f"the broker refuses the user: wrong name or password for {self._security.mechanism} "
                "(sasl.jaas.config of --command-config)"
            )
        if isinstance(error, (kafka_errors.IncompatibleBrokerVersion, NotImplementedError)):
            return "the broker is too old: reading needs Kafka 0.11 or later; copy its segments and use `decode`"
        if isinstance(error, asyncio.TimeoutError):
            return f"no answer within {_CONNECT_MS // 1000} s; is this a Kafka listener, is there a firewall?"
        if self._security.tls and isinstance(error, kafka_errors.KafkaError):  # others come before the handshake ends
            user = "" if self._security.sasl else ", or a user (security.protocol SASL_SSL)"
            return (
                "the broker closes the connection after the TLS handshake; perhaps it wants the client's own "
                f"certificate: ssl.keystore.location of --command-config{user}"
            )
        if self._security.tls:
            return (
                f"the TLS handshake fails ({_cause(error)}); if this listener is not TLS, "
                "set security.protocol to PLAINTEXT or SASL_PLAINTEXT"
            )
        return (
            f"the broker closes the connection; the listener may want TLS or a user: "
            f"security.protocol is {self._security.protocol}, set it in --command-config"
        )

    async def layout(self) -> TopicLayout | None:
        """The topic's partitions; None where the topic is not there. Raises SourceError without permission."""
        request = MetadataRequest([self.topic], False)  # False: asking must not create it
        answer = await self._send_to_any(request)
        self._client.cluster.update_metadata(answer)
        ((error, _, _, partitions),) = answer.topics
        if error == TOPIC_AUTHORIZATION_FAILED:
            raise self.forbidden()
        if error == UNKNOWN_TOPIC_OR_PARTITION:
            return None
        leaders = {number: -1 if code and leader < 0 else leader for code, number, leader, *_ in partitions}
        return TopicLayout(dict(sorted(leaders.items())), getattr(answer, "cluster_id", None)) if leaders else None

    async def topics(self) -> dict[str, ClusterTopic]:
        """All topics that the user may see, by name; none where no broker says."""
        try:
            answer = (await self._send_to_any(_TopicsRequest())).to_object()
        except _NO_ANSWER:
            return {}
        return {
            topic["topic"]: ClusterTopic(
                topic.get("topic_id"), {one["partition"]: one["leader"] for one in topic["partitions"]}
            )
            for topic in answer["topics"] if not topic["error_code"]
        }  # fmt: skip

    async def settings(self, name: str) -> set[str | None]:
        """The values that the brokers have for a setting.

        None where it is not told: DESCRIBE_CONFIGS on the cluster is needed.
        """
        found: set[str | None] = set()
        for broker in self._client.cluster.brokers():
            request = DescribeConfigsRequest([(_BROKER_RESOURCE, str(broker.nodeId), [name])])
            try:
                ((_, _, _, _, entries),) = (await self._client.send(broker.nodeId, request)).resources
            except _NO_ANSWER:
                return {None}
            found.add(dict(entry[:2] for entry in entries).get(name))
        return found

    def forbidden(self) -> SourceError:
        return SourceError(
            self.topic,
            "no permission to read it: the user needs READ and DESCRIBE on the topic. Where the provider forbids that, "
            "have the records exported and use `decode --input-format records-jsonl`",
        )

    async def _send_to_any(self, request: Any) -> Any:
        failure: Exception | None = None
        for broker in self._client.cluster.brokers():
            try:
                return await self._client.send(broker.nodeId, request)
            except CONNECTION_ERRORS as error:
                failure = error
        raise failure or kafka_errors.KafkaConnectionError("no broker is known")

    def address(self, node: int) -> str:
        """Where a broker says that it is."""
        broker = self._client.cluster.broker_metadata(node)
        return f"broker {node}" if broker is None else f"broker {node} ({broker.host}:{broker.port})"

    async def reachable(self, node: int) -> bool:
        return bool(await self._client.ready(node))

    async def offsets(self, node: int, timestamps: Mapping[int, int]) -> dict[int, int]:
        """For each partition led by `node` the first offset at or after a timestamp (ms; EARLIEST, LATEST).

        -1 where there is none so late. Partitions that the broker does not lead at the moment are left out.
        """
        answers = [one async for one in self._listed(node, {(self.topic, at): ms for at, ms in timestamps.items()})]
        if any(error == TOPIC_AUTHORIZATION_FAILED for _, error, _ in answers):
            raise self.forbidden()
        return {partition: found.offset for (_, partition), error, found in answers if not error}

    async def first_records(self, node: int, timestamps: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], Found]:
        """The same for partitions of any topics, (topic, partition); those that are refused are left out."""
        return {partition: found async for partition, error, found in self._listed(node, timestamps) if not error}

    async def _listed(
        self, node: int, timestamps: Mapping[tuple[str, int], int]
    ) -> AsyncIterator[tuple[tuple[str, int], int, Found]]:
        """ListOffsets: what is said of each partition, and an error's code."""
        wanted: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for (topic, partition), timestamp in timestamps.items():
            wanted[topic].append((partition, timestamp))
        answer = await self._client.send(node, OffsetRequest(-1, READ_UNCOMMITTED, list(wanted.items())))
        for topic, partitions in answer.topics:
            for partition, error, timestamp, offset, *_ in partitions:
                yield (topic, partition), error, Found(offset, timestamp)

    async def fetch(
        self, node: int, positions: Mapping[int, int], partition_bytes: int, wait_ms: int
    ) -> dict[int, Fetched]:
        """Raw batches of partitions led by `node`, from the given offsets on; waits while there are none."""
        wanted = [(partition, offset, partition_bytes) for partition, offset in positions.items()]
        request = FetchRequest(wait_ms, 1, _FETCH_BYTES, READ_UNCOMMITTED, [(self.topic, wanted)])
        answer = await self._client.send(node, request)
        return {
            partition: Fetched(error, high_watermark, data or b"")
            for _, partitions in answer.topics
            for partition, error, high_watermark, *_, data in partitions
        }


def _cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else type(error).__name__
