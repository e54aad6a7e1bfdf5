"""Opaque bytes of members and commits, written and read by Kafka's own classes.

`python -m tests.opaque_vectors` writes fixtures/vectors/opaque.jsonl.gz anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.kafka_jars import classpath, run_java
from tests.vectors import save

FILE = "opaque.jsonl.gz"
SEED = 20240229
EACH = 4

_JAVA = Path(__file__).parent / "java"
_SOURCES = (
    ("EmbeddedVectors.java", ("org.apache.kafka:kafka-streams:4.3.1", "org.apache.kafka:connect-runtime:4.3.1")),
    ("OldStreamsVectors.java", ("org.apache.kafka:kafka-streams:1.1.1",)),
)


def write(seed: int, each: int) -> list[dict[str, Any]]:
    """`each` random inputs of every kind and version: the bytes, and what Kafka's classes read from them."""
    lines: list[str] = []
    for source, coordinates in _SOURCES:
        printed = run_java(_JAVA / source, classpath(*coordinates), str(seed), str(each))
        lines += printed.removesuffix("\n").split("\n")
    return [json.loads(line) for line in lines]


def main() -> None:
    """Write the fixture anew."""
    save(FILE, write(SEED, EACH))


if __name__ == "__main__":
    main()
