"""Values of the shapes that changed without a new version number, written by the Kafka version that had them.

`python -m tests.older_shapes` writes fixtures/vectors/older_shapes.jsonl.gz anew.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offdecode.schemas.layout import Layout, RecordType
from offdecode.schemas.registry import RECORD_TYPES
from tests.definitions import MessageField, messages
from tests.kafka_jars import classpath, jar, run_java
from tests.vectors import FIXTURES

FILE = "older_shapes.jsonl.gz"
SEED = 20250318
EACH = 8

_GROUP, _ARTIFACT = "org.apache.kafka", "kafka-group-coordinator"
_WRITER = Path(__file__).parent / "java" / "WriteMessages.java"
_TEXTS = ("", "a", "payments.settled", 'quote"backslash\\', "nul\0inside", "消费者组", "😀", "x" * 127, "y" * 400)
_COUNTS = (0, 0, 1, 2, 3, 20)
_VERSION = 0
_AS_WRITTEN = {"error": 0}  # 3.7 never sets it, and other numbers could pass for today's count of partitions


def older_layouts() -> Iterator[tuple[RecordType, Layout, str]]:
    """(record type, layout, Kafka version) of every older shape."""
    for record in RECORD_TYPES:
        for layout in record.values:
            if layout.shape is not None:
                yield record, layout, layout.shape


def write(seed: int, each: int) -> list[dict[str, Any]]:
    """`each` random values of every older shape as one row each, with the bytes that Kafka's classes made of them."""
    rng = random.Random(seed)
    rows = [
        {
            "key_type": record.key_type,
            "name": layout.name,
            "shape": shape,
            "value_version": _VERSION,
            "value": _struct(messages(jar(_GROUP, _ARTIFACT, shape))[layout.name].fields, rng, depth=1),
        }
        for record, layout, shape in older_layouts()
        for _ in range(each)
    ]
    for shape in {row["shape"] for row in rows}:
        chosen = [row for row in rows if row["shape"] == shape]
        lines = "".join(f"{row['name']}\t{row['value_version']}\t{json.dumps(row['value'])}\n" for row in chosen)
        written = run_java(_WRITER, classpath(f"{_GROUP}:{_ARTIFACT}:{shape}"), stdin=lines).split()
        for row, data in zip(chosen, written, strict=True):
            row["value_hex"] = data
    return rows


def _struct(fields: tuple[MessageField, ...], rng: random.Random, depth: int) -> dict[str, Any]:
    return {
        field.json_name: _AS_WRITTEN.get(field.json_name, _value(field, field.kind, rng, depth)) for field in fields
    }


def _value(field: MessageField, kind: str, rng: random.Random, depth: int) -> Any:
    if field.nullable and kind == field.kind and rng.random() < 0.3:
        return None
    if kind.startswith("[]"):
        count = rng.choice(_COUNTS) // depth
        return [_value(field, kind.removeprefix("[]"), rng, depth * 4) for _ in range(count)]
    if kind.startswith("int"):
        bits = int(kind.removeprefix("int"))
        return rng.choice((0, 1, -1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), rng.randrange(2 ** (bits - 1))))
    if kind == "string":
        return rng.choice(_TEXTS)
    if kind == "bytes":
        return base64.b64encode(rng.randbytes(rng.choice((0, 1, 5, 300)))).decode()
    if kind == "uuid":
        return base64.urlsafe_b64encode(rng.randbytes(16)).decode().rstrip("=")
    return _struct(field.fields, rng, depth)


def main() -> None:
    """Write the fixture anew."""
    lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in write(SEED, EACH))
    (FIXTURES / FILE).write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


if __name__ == "__main__":
    main()
