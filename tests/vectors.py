"""Single records written and read by Kafka's own classes: loading them, and comparing their reading with ours.

Lines are in fixtures/vectors; OFFDECODE_VECTORS names a folder with more of the same.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from offdecode.engines.reference import Values
from offdecode.schemas.layout import UNKNOWN_TAGGED_FIELDS, ArrayOf, Field, Struct
from offdecode.schemas.types import InvalidText, WireKind
from tests.definitions import snake_case

FIXTURES = Path(__file__).parent.parent / "fixtures" / "vectors"
KEY_VERSION = 0

_ESCAPES = re.compile(r"(?:\\x[0-9a-f]{2})+")
_REPLACEMENTS = re.compile("\ufffd+")
_DEFAULTS: tuple[object, ...] = (None, 0, -1, "A" * 22, [])  # of upstream's tagged fields; a uuid's is all zero


@cache
def load(name: str, *, sample_only: bool = False) -> tuple[dict[str, Any], ...]:
    """The lines of fixtures/vectors/NAME, or of the folder that the environment names instead."""
    folder = None if sample_only else os.environ.get("OFFDECODE_VECTORS")
    with gzip.open(Path(folder or FIXTURES) / name, "rt", encoding="utf-8") as lines:
        return tuple(json.loads(line) for line in lines)


def save(name: str, rows: Iterable[dict[str, Any]]) -> None:
    """Write the lines of fixtures/vectors/NAME, the same bytes for the same rows."""
    lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    (FIXTURES / name).write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


def differences(
    fields: tuple[Field, ...], version: int, ours: Values, upstream: dict[str, Any], *, wire_defaults: bool = False
) -> Iterator[str]:
    """Where our values differ from upstream's JSON, field by field as the table declares them.

    wire_defaults: the bytes may hold what Kafka's writer would not have written: a tagged field at its
    default and unknown tags anywhere, which upstream's JSON leaves out.
    """
    theirs = {snake_case(name): value for name, value in upstream.items()}
    extra = set(ours) - {field.name for field in fields} - {UNKNOWN_TAGGED_FIELDS}
    yield from (f"{name}: not in the table" for name in sorted(extra))
    if UNKNOWN_TAGGED_FIELDS in ours and not wire_defaults:
        yield f"{UNKNOWN_TAGGED_FIELDS}: {ours[UNKNOWN_TAGGED_FIELDS]}"
    for field in fields:
        if not field.exists_in(version):
            if field.name in ours or field.name in theirs:
                yield f"{field.name}: not in version {version}"
            continue
        if field.name not in theirs:
            absent = field.name not in ours or (wire_defaults and ours[field.name] in _DEFAULTS)
            if field.tag is None or not absent:
                yield f"{field.name}: {ours.get(field.name)!r}, upstream has none"
            continue
        expected = theirs.pop(field.name)
        if field.name not in ours:
            yield f"{field.name}: none, upstream has {expected!r}"
            continue
        for difference in _value(field.type, version, ours[field.name], expected, wire_defaults):
            yield f"{field.name}{difference}"
    yield from (f"{name}: no such field, upstream has {value!r}" for name, value in theirs.items())


def _value(kind: Any, version: int, ours: Any, theirs: Any, wire_defaults: bool) -> Iterator[str]:
    if ours is None or theirs is None:
        if ours is not theirs:
            yield f": {ours!r}, upstream {theirs!r}"
    elif isinstance(kind, ArrayOf):
        if len(ours) != len(theirs):
            yield f": {len(ours)} elements, upstream {len(theirs)}"
            return
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            for difference in _value(kind.of, version, mine, other, wire_defaults):
                yield f"[{index}]{difference}"
    elif isinstance(kind, Struct):
        for difference in differences(kind.fields, version, ours, theirs, wire_defaults=wire_defaults):
            yield f".{difference}"
    else:
        if kind.kind is WireKind.BYTES:
            theirs = base64.b64decode(theirs)
        if isinstance(ours, InvalidText):  # Java puts U+FFFD where we keep the bytes
            ours, theirs = _without_bad_bytes(ours), _without_bad_bytes(theirs)
        if type(ours) is not type(theirs) or ours != theirs:
            yield f": {ours!r}, upstream {theirs!r}"


def _without_bad_bytes(text: str) -> str:
    return _REPLACEMENTS.sub("?", _ESCAPES.sub("\ufffd", text))
