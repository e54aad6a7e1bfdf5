"""Opaque bytes inside members and commits: read as Kafka's own classes read them, and never an error."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from offdecode.engines.decode import Decoder, Engine
from offdecode.engines.plain import read_encoded, read_opaque
from offdecode.engines.reference import Values, read_layout
from offdecode.engines.selection import Selection
from offdecode.schemas import opaque_formats
from offdecode.schemas.connect_protocol import CONNECT_ASSIGNMENT, CONNECT_METADATA
from offdecode.schemas.consumer_protocol import ASSIGNMENT, SUBSCRIPTION
from offdecode.schemas.layout import ArrayOf, Field, Layout, Struct, versions_of
from offdecode.schemas.offset_commit import VALUE
from offdecode.schemas.rows import DEFAULT_OPTIONS
from offdecode.schemas.sticky_assignor import COOPERATIVE_STICKY, STICKY
from offdecode.schemas.streams_protocol import STREAMS_ASSIGNMENT, STREAMS_COMMIT_METADATA, STREAMS_SUBSCRIPTION
from offdecode.sinks.jsonl import JsonLinesSink
from tests import opaque_vectors
from tests.definitions import MessageField, messages, snake_case
from tests.kafka_jars import jar
from tests.opaque_records import PLACES, commit_record, member_record
from tests.records_builder import Pair, records_of
from tests.truth import LogSet, log_sets
from tests.vectors import differences, load

FORMATS = {
    "sticky": STICKY,
    "cooperative-sticky": COOPERATIVE_STICKY,
    "connect-metadata": CONNECT_METADATA,
    "connect-assignment": CONNECT_ASSIGNMENT,
    "streams-subscription": STREAMS_SUBSCRIPTION,
    "streams-assignment": STREAMS_ASSIGNMENT,
    "streams-metadata": STREAMS_COMMIT_METADATA,
}
CONSUMER_PROTOCOL = {layout.name: layout for layout in (SUBSCRIPTION, ASSIGNMENT)}

# Kinds whose bytes, cut short, can be an older layout's: (kind, versions): why.
SHORTER_LAYOUTS = {
    ("sticky", (None,)): "version 0 is version 1 without its last field",
    ("connect-metadata", (1, 2)): "Kafka reads metadata that ends before the allocation, and some clients write it",
    ("streams-subscription", (1,)): "version 1 of Kafka 0.10.0 is that of 1.1.1 without its last field",
    ("streams-assignment", (1,)): "the same",
    ("streams-metadata", (2,)): "what processors keep is written only when there is something",
}


def read_streams_metadata(text: str) -> Values | None:
    (encoded,) = [field.encoded for field in VALUE.fields if field.encoded is not None]
    return read_encoded(encoded, text)


def bytes_of(row: dict[str, Any]) -> bytes:
    return base64.b64decode(row["text"]) if "text" in row else bytes.fromhex(row["bytes_hex"])


def read(row: dict[str, Any]) -> Values | None:
    if "text" in row:
        return read_streams_metadata(row["text"])
    return read_opaque(FORMATS[row["kind"]], bytes_of(row))


def assert_equal_to_kafkas(rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        shown = read(row)
        assert shown is not None, row
        json.dumps(shown)
        head: dict[str, Any] = {"format": FORMATS[row["kind"]].name}
        if row["version"] is not None:
            head["version"] = row["version"]
        if "shape" in row:
            head["shape"] = row["shape"]
        assert list(shown)[: len(head)] == list(head), row
        assert {name: shown.pop(name) for name in head} == head, row
        theirs = in_kafkas_form(row["kind"], our_names(row["value"]))
        assert unlike(in_kafkas_form(row["kind"], shown), theirs) == [], row


def our_names(value: dict[str, Any]) -> dict[str, Any]:
    return {snake_case(name.replace("-", "_")): item for name, item in value.items()}


def unlike(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where two readings differ, by field; what theirs does not have must be null in ours."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        theirs = our_names(theirs)
        found = [f"{path}.{name}: not ours" for name in theirs.keys() - ours.keys()]
        for name, value in ours.items():
            found += unlike(value, theirs.get(name), f"{path}.{name}")
        return found
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [difference for index, pair in pairs for difference in unlike(*pair, f"{path}[{index}]")]
    return [] if type(ours) is type(theirs) and ours == theirs else [f"{path}: {ours!r}, Kafka {theirs!r}"]


def in_kafkas_form(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """A reading in the form of Kafka's objects, in which maps have no order and topics no index."""
    value = dict(value)
    topics = {item["index"]: item["topic"] for item in value.pop("topics", None) or ()}
    if kind == "streams-metadata" and "processor_metadata" in value:
        value["processor_metadata"] = in_order(value["processor_metadata"])
    if kind != "streams-assignment":
        return value
    value["active_tasks"] = [named(task) for task in value["active_tasks"]]
    value["standby_tasks"] = in_order(
        {**named(task), "partitions": in_order(task["partitions"])} for task in value["standby_tasks"]
    )
    for hosts in ("partitions_by_host", "standby_partitions_by_host"):
        if value.get(hosts) is not None:
            value[hosts] = in_order(
                {**host, "partitions": in_order(resolved(item, topics) for item in host["partitions"])}
                for host in value[hosts]
            )
    return value


def in_order(items: Any) -> list[Any]:
    return sorted(items, key=json.dumps)


def named(task: dict[str, Any]) -> dict[str, Any]:
    """A task in one spelling; Kafka's objects have null where no name of a topology is on the wire."""
    task = our_names(task)
    return {**task, "named_topology": task.get("named_topology") or None}


def resolved(partition: dict[str, Any], topics: dict[int, str]) -> dict[str, Any]:
    if "topic_index" not in partition:
        return partition
    return {"topic": topics[partition["topic_index"]], "partition": partition["partition"]}


@cache
def samples() -> tuple[dict[str, Any], ...]:
    return load(opaque_vectors.FILE, sample_only=True)


def kinds(rows: Sequence[dict[str, Any]]) -> set[tuple[str, int | None]]:
    return {(row["kind"], row["version"]) for row in rows}


ALL_KINDS = {
    ("sticky", None),
    ("cooperative-sticky", None),
    ("streams-metadata", 2),
    *((kind, version) for kind in ("connect-metadata", "connect-assignment") for version in range(3)),
    *((kind, version) for kind in ("streams-subscription", "streams-assignment") for version in range(1, 12)),
}


# --- ConsumerProtocol


@pytest.mark.parametrize("version", range(4))
@pytest.mark.parametrize("layout", CONSUMER_PROTOCOL.values(), ids=CONSUMER_PROTOCOL)
def test_consumer_protocol_is_read_as_kafka_reads_it(layout: Layout, version: int) -> None:
    rows = [row for row in load("embedded.jsonl.gz") if (row["kind"], row["version"]) == (layout.name, version)]
    assert rows
    for row in rows:
        data = bytes.fromhex(row["bytes_hex"])
        assert int.from_bytes(data[:2], "big") == version
        values = read_layout(layout, version, data, 2)
        assert list(differences(layout.fields, version, values, row["value"])) == [], row["id"]


def test_every_consumer_protocol_vector_belongs_to_a_case() -> None:
    assert {(row["kind"], row["version"]) for row in load("embedded.jsonl.gz")} == {
        (name, version) for name in CONSUMER_PROTOCOL for version in range(4)
    }


# --- Free-form readings beside Kafka's classes


@pytest.mark.parametrize("kind", FORMATS)
def test_opaque_bytes_are_read_as_kafka_reads_them(kind: str) -> None:
    rows = [row for row in samples() if row["kind"] == kind]
    assert rows
    assert_equal_to_kafkas(rows)


def test_samples_have_every_kind_and_version() -> None:
    assert kinds(samples()) == ALL_KINDS


@pytest.mark.slow
@pytest.mark.broker
def test_opaque_bytes_written_now() -> None:
    rows = opaque_vectors.write(seed=random.randrange(2**31), each=40)
    assert kinds(rows) == ALL_KINDS
    assert_equal_to_kafkas(rows)


@pytest.mark.broker
@pytest.mark.parametrize("version", range(1, 12))
def test_streams_subscription_follows_upstreams_definition(version: int) -> None:
    upstream = messages(jar("org.apache.kafka", "kafka-streams", "4.3.1"))["SubscriptionInfoData"]
    (layout,) = [
        layout
        for layout in STREAMS_SUBSCRIPTION.layouts
        if layout.shape is None and version in versions_of(layout.versions)
    ]
    leading, *fields = [field for field in upstream.fields if version in field.versions]
    assert (leading.name, leading.kind) == ("version", "int32")
    assert ours_in(layout.fields, version) == theirs_in(fields, version)


def ours_in(fields: Sequence[Field], version: int) -> list[Any]:
    found = []
    for field in fields:
        if field.exists_in(version):
            inner = field.type.of if isinstance(field.type, ArrayOf) else field.type
            kind = ("[]" if inner is not field.type else "") + inner.name
            children = ours_in(inner.fields, version) if isinstance(inner, Struct) else []
            found.append((field.name, kind, field.nullable_in(version), children))
    return found


def theirs_in(fields: Sequence[MessageField], version: int) -> list[Any]:
    return [
        (field.name, field.kind, version in field.nullable, theirs_in(field.fields, version))
        for field in fields
        if version in field.versions
    ]


# --- Bytes that are none of these


def small_samples() -> list[Any]:
    """The smallest sample of a hundred bytes or more of every kind, version and shape, else the largest."""
    chosen: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in sorted(samples(), key=lambda row: len(bytes_of(row))):
        key = (row["kind"], row["version"], row.get("shape"))
        if key not in chosen or len(bytes_of(chosen[key])) < 100:
            chosen[key] = row
    return [pytest.param(row, id="-".join(map(str, key))) for key, row in chosen.items()]


def is_whole_field_less(short: Values, whole: Values) -> bool:
    """Whether `short` says what `whole` says, its last field apart."""
    fields = {name: value for name, value in short.items() if value is not None and name != "shape"}
    return fields == {name: whole[name] for name in fields}


@pytest.mark.parametrize("row", small_samples())
def test_no_prefix_is_read(row: dict[str, Any]) -> None:
    data, whole = bytes_of(row), read(row)
    assert whole is not None
    shorter = [
        short for length in range(len(data)) if (short := read_opaque(FORMATS[row["kind"]], data[:length])) is not None
    ]
    allowed = any(row["kind"] == kind and row["version"] in versions for kind, versions in SHORTER_LAYOUTS)
    assert len(shorter) <= allowed, shorter
    assert all(is_whole_field_less(short, whole) for short in shorter)


@pytest.mark.parametrize("row", small_samples())
def test_no_trailing_byte_is_read(row: dict[str, Any]) -> None:
    for extra in (b"\0", b"\1", b"\xff", b"\0\0\0\0\0", bytes(100)):
        data = bytes_of(row) + extra
        longer = row["kind"] == "sticky" and len(extra) == 4
        assert read_opaque(FORMATS[row["kind"]], data) is None or longer, data.hex()


@pytest.mark.parametrize("row", small_samples())
def test_flipped_bits_raise_nothing(row: dict[str, Any]) -> None:
    rng = random.Random(7)
    data, opaque = bytes_of(row), FORMATS[row["kind"]]
    bits = range(len(data) * 8)
    for bit in bits if len(bits) <= 1000 else sorted(rng.sample(bits, 1000)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        shown = read_opaque(opaque, bytes(damaged))
        assert shown is None or next(iter(shown)) == "format"
        json.dumps(shown)


@pytest.mark.parametrize("opaque", FORMATS.values(), ids=FORMATS)
def test_random_bytes_raise_nothing(opaque: Any) -> None:
    rng = random.Random(11)
    for _ in range(2000):
        choices = (0, 0, 0, 1, 2, 3, 7, 0x7F, 0xFF, rng.randrange(256))
        data = bytes(rng.choices(choices, k=rng.randrange(80)))
        json.dumps(read_opaque(opaque, data))
    assert read_opaque(opaque, b"") is None


@pytest.mark.parametrize("opaque", FORMATS.values(), ids=FORMATS)
def test_counts_are_bounded_by_the_bytes(opaque: Any) -> None:
    """Every four bytes in turn claim as much as they can."""
    width = opaque.version_type.width if opaque.version_type else 0
    for version in range(12):
        head = version.to_bytes(width, "big") if width else b""
        for at in range(0, 60, 2):
            assert read_opaque(opaque, head + bytes(at) + b"\x7f\xff\xff\xff" + bytes(40)) is None or at > 0


def test_text_that_is_none_is_named() -> None:
    data = bytes.fromhex("00000001000241ff0000000000000005")
    assert read_opaque(STICKY, data) == {
        "format": "sticky",
        "previous_assignment": [{"topic": "A\\xff", "partitions": []}],
        "generation": 5,
        "invalid_text": ["previous_assignment[0].topic"],
    }


def test_cooperative_sticky_of_other_clients_holds_the_assignment_too() -> None:
    """librdkafka and franz-go write the sticky assignor's user data under both names."""
    data = bytes.fromhex("00000001000174000000010000000200000007")
    assert read_opaque(COOPERATIVE_STICKY, data) == {
        "format": "cooperative-sticky",
        "previous_assignment": [{"topic": "t", "partitions": [2]}],
        "generation": 7,
    }


def test_sticky_version_0_has_no_generation() -> None:
    shown = read_opaque(STICKY, bytes.fromhex("000000010001740000000100000002"))
    assert shown is not None
    assert shown["generation"] is None


def test_connect_metadata_may_end_before_the_allocation() -> None:
    data = b"\0\1\0\x15http://127.0.0.1:8083" + b"\xff" * 8
    assert read_opaque(CONNECT_METADATA, data) == {
        "format": "connect",
        "version": 1,
        "url": "http://127.0.0.1:8083",
        "config_offset": -1,
    }


def test_connect_allocation_that_does_not_fit_stays_hex() -> None:
    data = b"\0\2\0\1u" + bytes(8) + b"\0\0\0\3abc"
    shown = read_opaque(CONNECT_METADATA, data)
    assert shown is not None
    assert shown["allocation"] == {"hex": "616263"}


# --- Metadata of commits


def encoded(version: int, timestamp: int, rest: bytes = b"") -> str:
    return base64.b64encode(version.to_bytes(1, "big") + timestamp.to_bytes(8, "big", signed=True) + rest).decode()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("timestamp", [-1, 0, 1795422441482, 253402300799999])
def test_streams_metadata(version: int, timestamp: int) -> None:
    shown = {"format": "streams", "version": version, "timestamp": timestamp}
    assert read_streams_metadata(encoded(version, timestamp)) == shown


OTHER_TEXTS = {
    "empty": "",
    "word": "tick",
    "null": "null",
    "padding only": "====",
    "a byte short": "AQAAAXqFZ0s=",
    "a byte long": encoded(1, 5, b"\0"),
    "version 0": encoded(0, 5),
    "version 3": encoded(3, 5),
    "processors in version 1": encoded(1, 5, bytes(4)),
    "processors cut short": encoded(2, 5, bytes.fromhex("0000000100000001")),
    "more processors than bytes": encoded(2, 5, bytes.fromhex("7fffffff")),
    "negative time": encoded(2, -2),
    "time beyond the calendar": encoded(2, 253402300800000),
    "twelve letters": "AQUARIUM1234",
    "twelve letters of version 2": "AgentSmith12",
    "not canonical": encoded(2, 5, bytes(4))[:-3] + "B==",
    "no padding": encoded(2, 5, bytes(4)).rstrip("="),
    "line break": encoded(1, 5) + "\n",
    "url alphabet": encoded(1, 0x3E3F3F3F3E).replace("+", "-").replace("/", "_"),
    "space": " " + encoded(1, 5),
    "not ASCII": "ünïcode",
    "surrogate": "\ud800",
    "long": "m" * 32768,
}


@pytest.mark.parametrize("text", OTHER_TEXTS.values(), ids=OTHER_TEXTS)
def test_other_texts_are_no_streams_metadata(text: str) -> None:
    assert read_streams_metadata(text) is None


def test_random_base64_is_hardly_ever_streams_metadata() -> None:
    rng = random.Random(3)
    texts = (base64.b64encode(rng.randbytes(9)).decode() for _ in range(20_000))
    assert not any(map(read_streams_metadata, texts))


# --- In rows, by both engines


def rows_of(pairs: Sequence[Pair], engine: Engine) -> list[dict[str, Any]]:
    every = np.ones(len(pairs), np.bool_)
    chunk = Decoder(Selection(), engine).decode(records_of(pairs), np.full(1, -1, np.int64), every)
    stream = io.BytesIO()
    JsonLinesSink(stream, DEFAULT_OPTIONS).write(chunk)
    return [json.loads(line) for line in stream.getvalue().split(b"\n")[:-1]]


def shown_in_row(kind: str, row: dict[str, Any]) -> tuple[str, Any]:
    """The untouched form of the first member's bytes, and what is shown beside it."""
    protocol_type, _, field = PLACES[kind]
    part = row["members"][0][field]
    if protocol_type == "connect":
        return part["hex"], part.get("decoded")
    return part["user_data"], part.get("user_data_decoded")


@pytest.mark.parametrize("kind", PLACES)
def test_rows_show_what_members_hold(kind: str, engine: Engine) -> None:
    data = [bytes_of(row) for row in samples() if row["kind"] == kind]
    data += [item[:-1] for item in data] + [b""]
    rows = rows_of([member_record(kind, item) for item in data], engine)
    expected = [(item.hex(), read_opaque(FORMATS[kind], item)) for item in data]
    assert [shown_in_row(kind, row) for row in rows] == expected
    assert sum(shown is not None for _, shown in expected) >= len(data) // 2


def test_rows_show_what_commits_hold(engine: Engine) -> None:
    texts = [row["text"] for row in samples() if row["kind"] == "streams-metadata"]
    texts += [text for text in OTHER_TEXTS.values() if text.isprintable() and len(text) < 1000]
    rows = rows_of([commit_record(text.encode()) for text in texts], engine)
    assert [(row["metadata"], row.get("streams_metadata")) for row in rows] == [
        (text, read_streams_metadata(text)) for text in texts
    ]
    assert [list(row)[list(row).index("metadata") + 1] for row in rows] == [
        "streams_metadata" if read_streams_metadata(text) else "commit_timestamp" for text in texts
    ]


def test_engines_agree_on_damaged_members() -> None:
    rng = random.Random(23)
    pairs: list[Pair] = []
    for row in samples():
        data = bytes_of(row)
        if row["kind"] == "streams-metadata":
            pairs += [commit_record(damaged(rng, row["text"].encode())) for _ in range(4)]
        elif len(data) < 5000:
            pairs += [member_record(row["kind"], damaged(rng, data), damaged(rng, data)) for _ in range(4)]
            key, value = member_record(row["kind"], data)
            pairs += [(key, damaged(rng, value or b"")) for _ in range(4)]
    assert rows_of(pairs, "auto") == rows_of(pairs, "reference")


def damaged(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randrange(3)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice((0, 1, 0x41, 0x7F, 0xFF, rng.randrange(256)))
    return bytes(changed[: rng.choice((len(changed), len(changed), rng.randrange(len(changed) + 1)))])


# --- Logs that brokers wrote


@pytest.mark.parametrize("log_set", log_sets(), ids=lambda log_set: log_set.folder.name)
def test_members_and_commits_of_real_groups(log_set: LogSet) -> None:
    """What a member's assignor wrote is read, and metadata is Streams' in the groups of Streams alone."""
    assignors: dict[str, set[str]] = {}
    commits: dict[str, list[str]] = {}
    for record in log_set.records:
        key, value = record.get("key"), record.get("value")
        if not key or not value:
            continue
        group = key.get("group", key.get("groupId"))
        if record["key_type"] in (0, 1):
            commits.setdefault(group, []).append(value["metadata"])
        elif record["key_type"] == 2 and value["protocolType"] == "consumer" and value["protocol"]:
            assignors.setdefault(group, set()).add(value["protocol"])
            for member in value["members"]:
                assert_user_data_read(value["protocol"], member)
    for group, texts in commits.items():
        streams = "stream" in assignors.get(group, ()) or group.endswith(".streams")
        for text in texts:
            assert (read_streams_metadata(text) is not None) == (streams and text != ""), (group, text)


def assert_user_data_read(assignor: str, member: dict[str, Any]) -> None:
    for field, layout, formats in (
        ("subscription", SUBSCRIPTION, opaque_formats.SUBSCRIPTION_USER_DATA),
        ("assignment", ASSIGNMENT, opaque_formats.ASSIGNMENT_USER_DATA),
    ):
        data = base64.b64decode(member[field])
        if assignor in formats and data:
            user_data = read_layout(layout, int.from_bytes(data[:2], "big"), data, 2)["user_data"]
            assert not user_data or read_opaque(formats[assignor], user_data) is not None, member
