"""Random content for Kafka's messages, by upstream's own definitions, as upstream's JSON has it."""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping, Sequence
from typing import Any

from tests.definitions import MessageField

TEXTS = (
    "", "a", " ", "::", "orders", "payments.settled", "/10.0.0.1", 'quote"back\\slash', "nul\0inside", "line\nbreak\t",
    "\x1b[31mescape", "ünïcode-grüße", "e\u0301combining", "消费者组", "😀🎉", *(letter * count for letter, count in (
        ("b", 126), ("c", 127), ("d", 128), ("e", 255),
    )),
)  # fmt: skip
_LONG_BYTES = (16_383, 16_384, 32_767)  # at which varints and int16 have their limits
_COUNTS = (0, 0, 1, 1, 2, 3, 4)
_LONG_COUNTS = (127, 128, 300)
_RARELY = 0.01


class RandomMessages:
    """Fields to values. always: values by the field's name in JSON, which are no random ones.

    absent: how often a tagged field is at its default, which upstream's JSON leaves out.
    """

    def __init__(self, rng: random.Random, always: Mapping[str, Any], absent: float = 0.5) -> None:
        self._rng = rng
        self._always = always
        self._absent = absent

    def struct(self, fields: Sequence[MessageField], version: int, depth: int = 1) -> dict[str, Any]:
        """A value for each field of this version, by its name in JSON."""
        return {
            field.json_name: self._always.get(field.json_name, self._value(field, field.kind, version, depth))
            for field in fields
            if version in field.versions and (field.tag is None or self._rng.random() >= self._absent)
        }

    def _value(self, field: MessageField, kind: str, version: int, depth: int) -> Any:
        rng = self._rng
        if kind == field.kind and version in field.nullable and rng.random() < 0.3:
            return None
        if kind.startswith("[]"):
            counts = _LONG_COUNTS if depth == 1 and rng.random() < _RARELY else _COUNTS
            count = rng.choice(counts) // depth
            return [self._value(field, kind.removeprefix("[]"), version, depth * 2) for _ in range(count)]
        if kind.startswith(("int", "uint")):
            bits, signed = int(kind.removeprefix("u").removeprefix("int")), kind.startswith("int")
            highest = 2 ** (bits - signed) - 1
            edges = (0, 1, highest, -1, -highest - 1) if signed else (0, 1, highest)
            return rng.choice((*edges, rng.randrange(1000) % highest, rng.randrange(highest)))
        if kind == "string":
            return "L" * rng.choice(_LONG_BYTES) if rng.random() < _RARELY / 10 else rng.choice(TEXTS)
        if kind == "bytes":
            return base64.b64encode(rng.randbytes(rng.choice((0, 1, 5, 300)))).decode()
        if kind == "uuid":
            data = bytes(16) if rng.random() < 0.2 else rng.randbytes(16)
            return base64.urlsafe_b64encode(data).decode().rstrip("=")
        return self.struct(field.fields, version, depth)
