"""Every record table against bytes that Kafka's own classes wrote, and against the rules that tables keep."""

from __future__ import annotations

from typing import Any

import pytest

from offdecode.engines.reference import read_layout
from offdecode.model import Column
from offdecode.schemas.layout import UNKNOWN_TAGGED_FIELDS, Layout, RecordType, iter_structs, versions_of
from offdecode.schemas.registry import RECORD_TYPES
from offdecode.schemas.rows import columns_of, record_columns, row_type, row_type_names
from tests import kafka_vectors
from tests.definitions import snake_case
from tests.vectors import KEY_VERSION, differences, load

TOMBSTONE = None
CASES: list[tuple[RecordType, int | None]] = [
    (record, version)
    for record in RECORD_TYPES
    for version in (
        *range(versions_of(record.values[0].versions).lowest, versions_of(record.values[0].versions).highest + 1),
        TOMBSTONE,
    )
]
CASE_IDS = [
    f"{record.key_type}-{record.row_type}-{'tombstone' if version is TOMBSTONE else version}"
    for record, version in CASES
]
LAYOUTS = [
    pytest.param(layout, id=f"{layout.name}{'@' + layout.shape if layout.shape else ''}")
    for record in RECORD_TYPES
    for layout in (record.key, *record.values)
]


def vectors_of(record: RecordType, version: int | None) -> list[dict[str, Any]]:
    return [
        vector
        for vector in load("records.jsonl.gz")
        if (vector["key_type"], vector["value_version"]) == (record.key_type, version)
    ]


@pytest.mark.parametrize(("record", "version"), CASES, ids=CASE_IDS)
def test_records_read_as_kafka_reads_them(record: RecordType, version: int | None) -> None:
    assert_read(record, version, vectors_of(record, version))


def assert_read(record: RecordType, version: int | None, vectors: list[dict[str, Any]]) -> None:
    assert vectors
    for vector in vectors:
        key = bytes.fromhex(vector["key_hex"])
        assert int.from_bytes(key[:2], "big") == record.key_type
        values = read_layout(record.key, KEY_VERSION, key, 2)
        assert list(differences(record.key.fields, KEY_VERSION, values, vector["key"])) == [], vector["id"]
        if version is TOMBSTONE:
            assert vector["value_hex"] is None
            continue
        value = bytes.fromhex(vector["value_hex"])
        assert int.from_bytes(value[:2], "big") == version
        values = read_layout(record.values[0], version, value, 2)
        unknown = [[tag, data.hex()] for tag, data in values.pop(UNKNOWN_TAGGED_FIELDS, [])]
        assert unknown == vector["unknown_tagged_fields"], vector["id"]
        assert list(differences(record.values[0].fields, version, values, vector["value"])) == [], vector["id"]


@pytest.mark.slow
@pytest.mark.broker
def test_records_written_now() -> None:
    rows = kafka_vectors.records(seed=1, each=40)
    for record, version in CASES:
        chosen = [row for row in rows if (row["key_type"], row["value_version"]) == (record.key_type, version)]
        assert_read(record, version, chosen)


def test_every_vector_belongs_to_a_case() -> None:
    assert sum(len(vectors_of(record, version)) for record, version in CASES) == len(load("records.jsonl.gz"))


def test_key_types_are_unique() -> None:
    key_types = [record.key_type for record in RECORD_TYPES]
    assert len(set(key_types)) == len(key_types)


@pytest.mark.parametrize("record", RECORD_TYPES, ids=lambda record: record.name)
def test_row_type_is_upstreams_name(record: RecordType) -> None:
    name = snake_case(record.name.removesuffix("Value"))
    assert record.row_type == name.removeprefix("legacy_")  # key types 0 and 1 are one kind of row


@pytest.mark.parametrize("record", RECORD_TYPES, ids=lambda record: record.name)
def test_only_the_first_layout_has_no_shape(record: RecordType) -> None:
    assert [layout.shape is None for layout in record.values] == [True] + [False] * (len(record.values) - 1)
    assert {layout.name for layout in record.values} == {record.name}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_field_is_explained(layout: Layout) -> None:
    for fields in iter_structs(layout.fields):
        names = [field.name for field in fields]
        assert len(set(names)) == len(names)
        assert [field.name for field in fields if not field.doc] == []


@pytest.mark.parametrize("record", RECORD_TYPES, ids=lambda record: record.name)
def test_every_value_is_explained(record: RecordType) -> None:
    assert all(layout.doc for layout in record.values)


@pytest.mark.parametrize("name", row_type_names())
def test_row_types_have_a_schema(name: str) -> None:
    kind = row_type(name)
    assert len(set(kind.arrow_schema.names)) == len(kind.arrow_schema.names)


@pytest.mark.parametrize(
    "record", [record for record in RECORD_TYPES if len(record.values) > 1], ids=lambda record: record.name
)
def test_shapes_agree_on_the_columns_that_they_share(record: RecordType) -> None:
    merged = {column.name: column for column in record_columns(record.row_type)}
    for layout in record.values:
        for column in columns_of(layout.fields, flexible=layout.ever_flexible, nested=False):
            if column.name in merged:
                assert _misfits(column, merged[column.name]) == []


def _misfits(column: Column, merged: Column) -> list[str]:
    """What `merged` cannot show of `column`."""
    if column.kind is not merged.kind:
        return [f"{column.name}: {column.kind}, merged {merged.kind}"]
    if len(column.children) == len(merged.children) == 1:
        return _misfits(column.children[0], merged.children[0])
    children = {child.name: child for child in merged.children}
    return [
        misfit
        for child in column.children
        for misfit in (_misfits(child, children[child.name]) if child.name in children else [f"{child.name}: lost"])
    ]
