"""Single records and embedded structures, written and read by the generated classes of Kafka.

`python -m tests.kafka_vectors` writes records, malformed and embedded.jsonl.gz of fixtures/vectors anew.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from offdecode.schemas.layout import RecordType, versions_of
from offdecode.schemas.registry import RECORD_TYPES
from tests.definitions import messages
from tests.kafka_jars import classpath, jar, run_java
from tests.older_shapes import ARTIFACT, GROUP, WRITER
from tests.random_messages import RandomMessages
from tests.vectors import save

RECORDS, MALFORMED, EMBEDDED = "records.jsonl.gz", "malformed.jsonl.gz", "embedded.jsonl.gz"
NEWEST = "4.4.0"
GONE = {9: "4.0.0"}  # key types that the newest Kafka has no classes of, and the Kafka that has
SEED = 3  # with which every kind of bytes occurs that offdecode refuses and Kafka reads
EACH = 12
TOMBSTONES = 3
DAMAGED_EACH = 100

_CLIENTS = "kafka-clients"
_LONGEST_DAMAGED = 2000  # digits of a value
_TRIED = 40  # for each that is kept
_READER = Path(__file__).parent / "java" / "ReadRecords.java"
_PROTOCOL = ("ConsumerProtocolAssignment", "ConsumerProtocolSubscription")
_UNKNOWN = "_unknownTaggedFields"

Row = dict[str, Any]


def records(seed: int, each: int) -> list[Row]:
    """`each` random records of every key type and value version, and tombstones, with the bytes that Kafka made."""
    rows = []
    for release in (NEWEST, *GONE.values()):
        own = [record for record in RECORD_TYPES if GONE.get(record.key_type, NEWEST) == release]
        found = [row for record in own for row in _contents(record, release, seed, each)]
        rows += _written(release, found)
    return rows


def _contents(record: RecordType, release: str, seed: int, each: int) -> Iterator[Row]:
    rng = random.Random(f"{seed} {record.name}")
    known = messages(jar(GROUP, ARTIFACT, release))
    make = RandomMessages(rng, {})
    key, value = known[record.key.name], known[record.name]
    key_version = max(key.versions)  # 0; up to 4.0 it is the type
    versions = versions_of(record.values[0].versions)
    for version in (*range(versions.lowest, versions.highest + 1), None):
        for index in range(TOMBSTONES if version is None else each):
            row: Row = {
                "id": f"{record.name.removesuffix('Value')}-v{'null' if version is None else version}-{index}",
                "key_type": record.key_type, "record_type": record.name.removesuffix("Value"),
                "value_version": version, "key": (key.name, key_version, make.struct(key.fields, key_version)),
                "value": None, "unknown_tagged_fields": [],
            }  # fmt: skip
            if version is not None:
                content = make.struct(value.fields, version)
                if version in value.flexible and rng.random() < 0.2:
                    tags = sorted(rng.sample(range(50, 70), rng.randrange(1, 3)))
                    row["unknown_tagged_fields"] = [[tag, rng.randbytes(rng.randrange(8)).hex()] for tag in tags]
                row["value"] = (value.name, version, content | {_UNKNOWN: row["unknown_tagged_fields"]})
            yield row


def _written(release: str, rows: list[Row]) -> list[Row]:
    """The rows with bytes instead of contents, and Kafka's own JSON of these."""
    wanted = [(row, side) for row in rows for side in ("key", "value") if row[side] is not None]
    told = write([row[side] for row, side in wanted], f"{GROUP}:{ARTIFACT}:{release}")
    for (row, side), (data, content) in zip(wanted, told, strict=True):
        start = row["key_type"].to_bytes(2, "big").hex() if side == "key" else data[:4]
        row[f"{side}_hex"] = start + data[4:]
        row[side] = content
    for row in rows:
        row.setdefault("value_hex", None)
    return rows


def write(contents: Sequence[tuple[str, int, Row]], coordinates: str) -> list[tuple[str, Row]]:
    """Messages, each by its class, version and content, to their bytes in hex and Kafka's JSON of them."""
    lines = "".join(f"{name}\t{version}\t{json.dumps(content)}\n" for name, version, content in contents)
    written = run_java(WRITER, classpath(coordinates), stdin=lines).split("\n")[:-1]
    return [(data, json.loads(content)) for data, _, content in (line.partition("\t") for line in written)]


def embedded(seed: int, each: int) -> list[Row]:
    """`each` random subscriptions and assignments of every version of the consumer protocol."""
    known = messages(jar(GROUP, _CLIENTS, NEWEST))
    make = RandomMessages(random.Random(seed), {})
    rows: list[Row] = [
        {"id": f"{name}-v{version}-{index}", "kind": name, "version": version,
         "value": make.struct(known[name].fields, version)}
        for name in _PROTOCOL for version in sorted(known[name].versions) for index in range(each)
    ]  # fmt: skip
    contents = [(f"org.apache.kafka.common.message.{row['kind']}", row["version"], row["value"]) for row in rows]
    told = write(contents, f"{GROUP}:{ARTIFACT}:{NEWEST}")
    return [row | {"value": value, "bytes_hex": data} for row, (data, value) in zip(rows, told, strict=True)]


# --- Damage

Damage = Callable[[bytes, bytes, random.Random], tuple[bytes, bytes]]


def malformed(rows: Sequence[Row], seed: int, each: int) -> list[Row]:
    """`each` of the records damaged in every way, with the verdict of the newest Kafka's reader.

    Most damage is refused, or leaves bytes that the reader ignores: of many more, up to half of those kept are ones
    that are read to the last byte.
    """
    rng = random.Random(seed)
    chosen = [row for row in rows if row["value_hex"] is not None and len(row["value_hex"]) < _LONGEST_DAMAGED]
    tried = []
    for how, damage in DAMAGE.items():
        for row in rng.choices(chosen, k=each * _TRIED):
            key, value = damage(bytes.fromhex(row["key_hex"]), bytes.fromhex(row["value_hex"]), rng)
            tried.append({"from": row["id"], "how": how, "key_hex": key.hex(), "value_hex": value.hex()})
    kept: dict[tuple[str, str], list[Row]] = {}
    for row, verdict in zip(tried, read(tried), strict=True):
        ignored = verdict.get("key_trailing_bytes") or verdict.get("value_trailing_bytes")
        outcome = "ignores" if ignored else verdict["kafka"]
        kept.setdefault((row["how"], outcome), []).append(row | verdict)
    found: list[Row] = []
    for how in DAMAGE:
        own: list[Row] = []
        for outcome, most in (("ok", each // 2), ("ignores", each // 10), ("error", each)):
            own += kept.get((how, outcome), [])[: min(most, each - len(own))]
        found += own
    return [{"id": f"m{number}", **row} for number, row in enumerate(found)]


def read(rows: Sequence[Row]) -> list[Row]:
    """What the newest Kafka's reader says of records, with the key type where it read the key."""
    lines = "".join(f"{row['key_hex']} {row['value_hex'] or '-'}\n" for row in rows)
    told = run_java(_READER, classpath(f"{GROUP}:{ARTIFACT}:{NEWEST}"), stdin=lines).split("\n")[:-1]
    return [json.loads(line) for line in told]


def _of_value(change: Callable[[bytearray, int, random.Random], None]) -> Damage:
    """A change at a random byte behind the value's version; half of them among the last, where tagged fields are."""

    def damage(key: bytes, value: bytes, rng: random.Random) -> tuple[bytes, bytes]:
        data = bytearray(value)
        first = min(max(2, len(data) - 20) if rng.random() < 0.5 else 2, len(data) - 1)
        change(data, rng.randrange(first, len(data)), rng)
        return key, bytes(data)

    return damage


def _replaced(size: int, data: bytes) -> Damage:
    return _of_value(lambda value, place, rng: value.__setitem__(slice(place, place + size), data))


def _length(*values: int) -> Damage:
    """A length of two, of four or of a varint's bytes, wherever."""

    def damage(key: bytes, value: bytes, rng: random.Random) -> tuple[bytes, bytes]:
        length, size = rng.choice(values), rng.choice((1, 2, 4))
        data = bytes([length + 1 & 0x7F]) if size == 1 else length.to_bytes(size, "big", signed=True)
        return _replaced(size, data)(key, value, rng)

    return damage


def _overlong(value: bytearray, place: int, rng: random.Random) -> None:
    more = rng.choice((1, 1, 2, 4))
    value[place : place + 1] = bytes([value[place] | 0x80, *[0x80] * (more - 1), rng.choice((0, 0, 0x10, 0x7F))])


def _flipped(value: bytearray, place: int, rng: random.Random) -> None:
    marks = [at for at in range(2, len(value)) if value[at] in (1, 0xFF)]  # as of structures that may be null
    if marks and rng.random() < 0.3:
        value[rng.choice(marks)] = rng.choice((2, 0x7F, 0x80, 0xFE))
    else:
        value[place] ^= 1 << rng.randrange(8)


DAMAGE: dict[str, Damage] = {
    "key prefix": lambda key, value, rng: (key[: rng.randrange(1, len(key))], value),
    "value prefix": lambda key, value, rng: (key, value[: rng.randrange(1, len(value))]),
    "trailing": lambda key, value, rng: (key, value + rng.randbytes(rng.randrange(1, 9))),
    "flip": _of_value(_flipped),
    "insert": _of_value(lambda value, place, rng: value.insert(place, rng.randrange(256))),
    "delete": _of_value(lambda value, place, rng: value.__delitem__(place)),
    "random": lambda key, value, rng: (key, value[:2] + rng.randbytes(rng.randrange(64))),
    "type": lambda key, value, rng: (rng.choice((*range(26), 255, 0x7FFF, 0xFFFF)).to_bytes(2, "big") + key[2:], value),
    "version": lambda key, value, rng: (
        key, rng.choice((1, 2, 3, 4, 5, 9, 0x7FFF, 0xFFFF)).to_bytes(2, "big") + value[2:]
    ),
    "length 0": _length(0),
    "length -1": _length(-1, -1, -2, -300),
    "length max": lambda key, value, rng: rng.choice((_replaced(2, b"\x7f\xff"), _replaced(4, b"\x7f\xff\xff\xff"),
                                                      _replaced(1, b"\xff\xff\xff\xff\x07")))(key, value, rng),
    "overlong varint": _of_value(_overlong),
}  # fmt: skip


def main() -> None:
    """Write the fixtures anew."""
    rows = records(SEED, EACH)
    save(RECORDS, rows)
    save(MALFORMED, malformed(rows, SEED, DAMAGED_EACH))
    save(EMBEDDED, embedded(SEED, EACH))


if __name__ == "__main__":
    main()
