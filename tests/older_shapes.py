"""Values of the shapes that changed without a new version number, written by the Kafka version that had them.

`python -m tests.older_shapes` writes fixtures/vectors/older_shapes.jsonl.gz anew.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offdecode.schemas.layout import Layout, RecordType
from offdecode.schemas.registry import RECORD_TYPES
from tests.definitions import messages
from tests.kafka_jars import classpath, jar, run_java
from tests.random_messages import RandomMessages
from tests.vectors import save

FILE = "older_shapes.jsonl.gz"
SEED = 20250318
EACH = 8

GROUP, ARTIFACT = "org.apache.kafka", "kafka-group-coordinator"
WRITER = Path(__file__).parent / "java" / "WriteMessages.java"
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
    make = RandomMessages(random.Random(seed), _AS_WRITTEN, absent=0)
    rows = [
        {
            "key_type": record.key_type,
            "name": layout.name,
            "shape": shape,
            "value_version": _VERSION,
            "value": make.struct(messages(jar(GROUP, ARTIFACT, shape))[layout.name].fields, _VERSION),
        }
        for record, layout, shape in older_layouts()
        for _ in range(each)
    ]
    for shape in {row["shape"] for row in rows}:
        chosen = [row for row in rows if row["shape"] == shape]
        lines = "".join(f"{row['name']}\t{row['value_version']}\t{json.dumps(row['value'])}\n" for row in chosen)
        written = run_java(WRITER, classpath(f"{GROUP}:{ARTIFACT}:{shape}"), stdin=lines).split("\n")[:-1]
        for row, line in zip(chosen, written, strict=True):
            row["value_hex"] = line.partition("\t")[0]
    return rows


def main() -> None:
    """Write the fixture anew."""
    save(FILE, write(SEED, EACH))


if __name__ == "__main__":
    main()
