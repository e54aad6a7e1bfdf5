"""Damaged records beside the verdict of Kafka's own classes: never laxer, and stricter only where a list says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from offdecode.engines.reference import Values, read_layout, read_value
from offdecode.errors import (
    CorruptError,
    LengthError,
    OffdecodeError,
    TrailingBytesError,
    TruncatedError,
    UnknownTypeError,
    UnknownVersionError,
    VarintError,
)
from offdecode.schemas.layout import Layout, RecordType
from offdecode.schemas.registry import RECORD_TYPES
from tests import kafka_vectors
from tests.vectors import KEY_VERSION, differences, load

DAMAGE = tuple(kafka_vectors.DAMAGE)
BY_KEY_TYPE = {record.key_type: record for record in RECORD_TYPES}
GONE_KEY_TYPES = {9: "4.0's share groups; the classes that gave the verdicts are 4.4's and know it no more"}


@dataclass(frozen=True)
class Stricter:
    """A kind of bytes that Kafka reads and offdecode refuses: our error, a part of its reason, and why we refuse."""

    name: str
    error: type[OffdecodeError]
    words: str
    why: str


STRICTER = (
    Stricter(
        "trailing bytes",
        TrailingBytesError,
        "left after the last field",
        "Kafka ignores what follows the last field; a row would hide those bytes",
    ),
    Stricter(
        "unknown version",
        UnknownVersionError,
        "unknown version",
        "Kafka reads a version above the known ones as the newest, a negative one as the oldest; "
        "neither is known to have these fields",
    ),
    Stricter(
        "tag order",
        LengthError,
        "after tag",
        "KIP-482 has tags ascend; Kafka takes the last of duplicates, so that a row would hide the others",
    ),
    Stricter(
        "tag size of a field",
        LengthError,
        "its field took",
        "Kafka does not look at the size of a tag that it knows; ours must fill it",
    ),
    Stricter("tag size beyond the end", TruncatedError, "claims", "the same, and the size goes beyond the record"),
    Stricter(
        "negative length", LengthError, "negative", "Kafka reads any negative length as null; only -1 is ever written"
    ),
    Stricter(
        "presence mark",
        LengthError,
        "presence mark",
        "Kafka reads any negative mark as null and any other as present; only -1 (0 in a tag) and 1 are written",
    ),
    Stricter(
        "varint of more than 32 bits",
        VarintError,
        "exceeds 32 bits",
        "Kafka drops the bits above 32; no writer sets them",
    ),
)


@dataclass(frozen=True)
class Reading:
    """What we read: the record type, the key, the value's layout and version (None = tombstone) and the value."""

    record: RecordType
    key: Values
    layout: Layout | None = None
    version: int = 0
    value: Values | None = None


def read(key: bytes, value: bytes | None) -> Reading:
    """One record, as the reference engine reads it."""
    record = BY_KEY_TYPE.get(_version(key))
    if record is None:
        raise UnknownTypeError(_version(key))
    key_values = read_layout(record.key, KEY_VERSION, key, 2, "key")
    if value is None:
        return Reading(record, key_values)
    version = _version(value)
    layout, values = read_value(record, version, value, 2, "value")
    return Reading(record, key_values, layout, version, values)


def _version(data: bytes) -> int:
    if len(data) < 2:
        raise TruncatedError("no version")
    return int.from_bytes(data[:2], "big", signed=True)


def outcome(case: dict[str, Any]) -> Reading | OffdecodeError:
    """What becomes of a case; any error that is not one of ours goes through."""
    value = case["value_hex"]
    try:
        return read(bytes.fromhex(case["key_hex"]), None if value is None else bytes.fromhex(value))
    except OffdecodeError as error:
        return error


def cases(damage: str) -> list[dict[str, Any]]:
    found = [case for case in load("malformed.jsonl.gz") if case["how"] == damage]
    assert found
    return found


def stricter(error: OffdecodeError) -> list[str]:
    return [item.name for item in STRICTER if isinstance(error, item.error) and item.words in str(error)]


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_kafka_refuses_is_refused(damage: str) -> None:
    assert_refused(cases(damage))


def assert_refused(damaged: Iterable[dict[str, Any]]) -> None:
    for case in damaged:
        if case["kafka"] == "error":
            result = outcome(case)
            if isinstance(result, Reading):
                assert result.record.key_type in GONE_KEY_TYPES or _is_older_shape(result), case


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_kafka_reads_is_equal_or_refused_for_a_listed_reason(damage: str) -> None:
    assert_equal_or_stricter(cases(damage))


@pytest.mark.slow
@pytest.mark.broker
def test_damage_done_now() -> None:
    damaged = kafka_vectors.malformed(kafka_vectors.records(seed=1, each=10), seed=1, each=100)
    assert {case["how"] for case in damaged} == set(DAMAGE)
    assert_refused(damaged)
    assert_equal_or_stricter(damaged)


def assert_equal_or_stricter(damaged: Iterable[dict[str, Any]]) -> None:
    for case in damaged:
        if case["kafka"] == "error":
            continue
        result = outcome(case)
        if isinstance(result, OffdecodeError):
            assert len(stricter(result)) == 1, (result, case)
            continue
        assert case["key_trailing_bytes"] == case.get("value_trailing_bytes", 0) == 0, case
        assert list(differences(result.record.key.fields, KEY_VERSION, result.key, case["key"])) == [], case
        if result.value is None or result.layout is None:
            assert case["value_hex"] is None
            continue
        assert result.layout.shape is None, case
        assert result.version == case["value_version"]
        fields = result.layout.fields
        found = list(differences(fields, result.version, result.value, case["value"], wire_defaults=True))
        assert found == [], case


@pytest.mark.parametrize("damage", DAMAGE)
def test_positions_lie_inside_the_bytes(damage: str) -> None:
    for case in cases(damage):
        result = outcome(case)
        if isinstance(result, CorruptError):
            longest = max(len(case["key_hex"]), len(case["value_hex"] or "")) // 2
            assert 0 <= result.position <= longest, (result, case)


def test_every_stricter_kind_occurs() -> None:
    counts: Counter[str] = Counter()
    for case in load("malformed.jsonl.gz"):
        result = outcome(case)
        if case["kafka"] == "ok" and isinstance(result, OffdecodeError):
            counts.update(stricter(result))
    assert set(counts) == {item.name for item in STRICTER}


def test_every_case_belongs_to_a_kind_of_damage() -> None:
    assert {case["how"] for case in load("malformed.jsonl.gz")} == set(DAMAGE)


@pytest.mark.parametrize("record", RECORD_TYPES, ids=lambda record: record.name)
def test_only_declared_versions_are_read(record: RecordType) -> None:
    highest = max(version for version in range(100) if record.values[0].layout_version(version) is not None)
    for version in (-32768, -1, highest + 1, 32767):
        with pytest.raises(UnknownVersionError):
            read_value(record, version, b"")


def _is_older_shape(result: Reading) -> bool:
    """Whether the bytes fit an older layout: today's cut short can look like a record from before a field came."""
    return result.layout is not None and result.layout.shape is not None
