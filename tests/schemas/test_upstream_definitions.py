"""The record tables beside upstream's own message definitions, read from Kafka's jars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from offdecode.schemas import cluster_metadata, transaction_log
from offdecode.schemas.consumer_protocol import ASSIGNMENT, SUBSCRIPTION
from offdecode.schemas.layout import ArrayOf, Field, Layout, RecordType, Struct, versions_of
from offdecode.schemas.registry import RECORD_TYPES
from tests.definitions import RENAMED, Message, MessageField, messages
from tests.kafka_jars import jar

pytestmark = pytest.mark.broker

NEWEST = "4.4.0"
LAST_WITH = {"ShareGroupPartitionMetadata": "4.0.0"}  # dead types, by the last version that had them
RELEASES = ("3.7.0", "3.8.1", "3.9.1", "4.0.0", "4.1.1", "4.2.0", "4.3.1", NEWEST)

# Where the tables differ from upstream on purpose, beside RENAMED field names.
KEY_NAMES = {"LegacyOffsetCommitKey": "OffsetCommitKey"}  # the same fields: one table for key types 0 and 1
NEVER_WRITTEN = {
    ("3.9.1", "ShareGroupPartitionMetadataValue"): "3.9 has the classes of share groups, but nothing that writes this",
}


def coordinator_messages(version: str) -> Mapping[str, Message]:
    return messages(jar("org.apache.kafka", "kafka-group-coordinator", version))


def key_name(record: RecordType) -> str:
    return record.name.removesuffix("Value") + "Key"


def release_of(record: RecordType, layout: Layout) -> str:
    """The Kafka version whose definition a layout follows."""
    return layout.shape or LAST_WITH.get(record.name.removesuffix("Value"), NEWEST)


def mismatches(
    fields: tuple[Field, ...], upstream: tuple[MessageField, ...], versions: frozenset[int], *, older: bool = False
) -> Iterator[str]:
    """Where a table differs from a definition, recursively.

    older: the definition is of an earlier release and need not have the tagged fields that came later.
    """
    if older:
        known = {field.name for field in upstream}
        fields = tuple(field for field in fields if field.tag is None or field.name in known)
    ours, theirs = [field.name for field in fields], [field.name for field in upstream]
    if ours != theirs:
        yield f"fields {ours}, upstream {theirs}"
        return
    for field, other in zip(fields, upstream, strict=True):
        facts = {
            "type": (kind_name(field), other.kind),
            "versions": (within(field.versions, versions), other.versions & versions),
            "nullable": (within(field.nullable, versions), other.nullable & versions),
            "tag": (field.tag, other.tag),
        }
        yield from (
            f"{field.name}: {what} {ours}, upstream {theirs}"
            for what, (ours, theirs) in facts.items()
            if ours != theirs
        )
        inner = field.type.of if isinstance(field.type, ArrayOf) else field.type
        inside = versions & other.versions
        children = inner.fields if isinstance(inner, Struct) else ()
        yield from (f"{field.name}.{found}" for found in mismatches(children, other.fields, inside, older=older))


def kind_name(field: Field) -> str:
    """A field's type in upstream's words."""
    if isinstance(field.type, ArrayOf):
        return f"[]{field.type.of.name}"
    return field.type.name


def within(text: str, versions: frozenset[int]) -> frozenset[int]:
    return frozenset(version for version in versions if version in versions_of(text))


def declared(layout: Layout) -> frozenset[int]:
    versions = versions_of(layout.versions)
    return frozenset(range(versions.lowest, versions.highest + 1))


@pytest.mark.parametrize(
    ("record", "layout"),
    [
        pytest.param(record, layout, id=f"{layout.name}-{release_of(record, layout)}")
        for record in RECORD_TYPES
        for layout in record.values
    ],
)
def test_value_is_upstreams(record: RecordType, layout: Layout) -> None:
    message = coordinator_messages(release_of(record, layout))[record.name]
    assert message.key_type in (record.key_type, None)
    assert declared(layout) == message.versions
    assert within(layout.flexible, message.versions) == message.flexible
    assert list(mismatches(layout.fields, message.fields, message.versions)) == []


@pytest.mark.parametrize("record", RECORD_TYPES, ids=key_name)
def test_key_is_upstreams(record: RecordType) -> None:
    message = coordinator_messages(release_of(record, record.values[0]))[key_name(record)]
    assert record.key.name == KEY_NAMES.get(message.name, message.name)
    assert message.key_type == record.key_type
    assert message.flexible == within(record.key.flexible, message.versions) == frozenset()
    # Up to 4.0 a key's versions are its key type; ours has one version, with all fields.
    assert all(field.versions == message.versions for field in message.fields)
    as_one_version = frozenset({0})
    fields = tuple(replace(field, versions=as_one_version) for field in message.fields)
    assert list(mismatches(record.key.fields, fields, as_one_version)) == []


@pytest.mark.parametrize("layout", [SUBSCRIPTION, ASSIGNMENT], ids=lambda layout: layout.name)
def test_consumer_protocol_is_upstreams(layout: Layout) -> None:
    message = messages(jar("org.apache.kafka", "kafka-clients", NEWEST))[layout.name]
    assert declared(layout) == message.versions
    assert within(layout.flexible, message.versions) == message.flexible
    assert list(mismatches(layout.fields, message.fields, message.versions)) == []


@pytest.mark.parametrize("release", ["4.0.0", "4.1.1", NEWEST])
@pytest.mark.parametrize("layout", [transaction_log.KEY, transaction_log.VALUE], ids=lambda layout: layout.name)
def test_transaction_log_is_upstreams(layout: Layout, release: str) -> None:
    message = messages(jar("org.apache.kafka", "kafka-transaction-coordinator", release))[layout.name]
    assert (declared(layout), within(layout.flexible, message.versions)) == (message.versions, message.flexible)
    assert list(mismatches(layout.fields, message.fields, message.versions, older=True)) == []


@pytest.mark.parametrize("release", ["3.3.1", "3.9.1", NEWEST])
@pytest.mark.parametrize("key", cluster_metadata.RECORDS)
def test_cluster_metadata_is_upstreams(key: int, release: str) -> None:
    layout = cluster_metadata.RECORDS[key]
    message = messages(jar("org.apache.kafka", "kafka-metadata", release))[layout.name]
    assert message.key_type == key
    assert (declared(layout), within(layout.flexible, message.versions)) == (message.versions, message.flexible)
    assert list(mismatches(layout.fields, message.fields, message.versions)) == []


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_is_read(release: str) -> None:
    """Whatever a release could write fits one of the record's layouts."""
    by_key = {key_name(record): record for record in RECORD_TYPES}
    found = coordinator_messages(release)
    for name, message in found.items():
        if not name.endswith("Value"):
            assert name in by_key
            continue
        if (release, name) in NEVER_WRITTEN:
            continue
        record = by_key[name.removesuffix("Value") + "Key"]
        fits = [
            layout
            for layout in record.values
            if message.versions <= declared(layout)
            and not list(mismatches(layout.fields, message.fields, message.versions, older=True))
        ]
        assert len(fits) == 1, name


def test_every_rename_is_used() -> None:
    names = {field.name for record in RECORD_TYPES for field in record.key.fields}
    assert set(RENAMED.values()) <= names
