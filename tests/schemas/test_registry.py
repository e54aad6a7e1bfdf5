"""A new record type is one table and one registry line: JSON, Parquet and the reference follow by themselves."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from tests.segment_builder import log, text

# The registry before anything has read it, with an imaginary type in it, which is the default of a single file.
PROGRAM = """
import sys
from offdecode.schemas import registry
from offdecode.schemas.layout import ArrayOf, Field, Layout, RecordType, Struct
from offdecode.schemas.types import Bytes, Int32, String, TimestampMs, Uuid

KEY = Layout("MoonKey", versions="0", flexible="none", fields=(
    Field("group", String, "0+", "the group"),
    Field("moon", Int32, "0+", "which moon"),
))
VALUE = Layout("MoonValue", versions="0-1", flexible="1+", fields=(
    Field("full_since", TimestampMs, "0+", "when it became full"),
    Field("craters", ArrayOf(Struct("Crater", (
        Field("name", String, "0+", "its name"),
        Field("depth", Int32, "0+", "metres"),
    ))), "0+", "all craters"),
    Field("dust", Bytes, "1+", "some of it", nullable="1+"),
    Field("flag", Uuid, "1+", "who was there", tag=0),
), doc="A moon. Written when it is full.")
registry.RECORD_TYPES = (*registry.RECORD_TYPES, RecordType(99, "moon", KEY, (VALUE,)))
registry.DEFAULT_ROW_TYPE = "moon"
from offdecode.cli import main
sys.exit(main())
"""

KEY = struct.pack(">h", 99) + text("g") + struct.pack(">i", 3)
PLAIN = struct.pack(">hq", 0, 5) + struct.pack(">i", 2) + text("a") + struct.pack(">i", 1) + text("b") + bytes(4)
FLEXIBLE = (
    struct.pack(">hq", 1, 6) + b"\x02" + b"\x02c" + struct.pack(">i", 9) + b"\x00" + b"\x00"
    + b"\x02" + b"\x00\x10" + bytes(16) + b"\x07\x01\xff"
)  # fmt: skip


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_an_imaginary_type_appears_everywhere(tmp_path: Path) -> None:
    segment = tmp_path / "__consumer_offsets-0" / "0.log"
    segment.parent.mkdir()
    segment.write_bytes(log([[(KEY, PLAIN), (KEY, FLEXIBLE), (KEY, None)]]))
    rows = [json.loads(line) for line in run("decode", str(segment)).splitlines()]
    assert [row["type"] for row in rows] == ["moon"] * 3
    own = ("group", "moon", "full_since", "craters", "dust", "flag", "unknown_tagged_fields")
    assert [[row.get(name) for name in own] for row in rows] == [
        ["g", 3, 5, [{"name": "a", "depth": 1}, {"name": "b", "depth": 0}], None, None, None],
        ["g", 3, 6, [{"name": "c", "depth": 9}], None, "A" * 22, [{"tag": 7, "hex": "ff"}]],
        ["g", 3, None, None, None, None, None],
    ]
    assert run("decode", "--engine", "reference", str(segment)) == run("decode", str(segment))

    run("decode", str(segment), "-o", str(tmp_path / "one.parquet"))
    run("decode", str(segment), "-o", str(tmp_path / "all"), "--format", "parquet")
    for path in (tmp_path / "one.parquet", tmp_path / "all" / "moon.parquet"):
        table = pq.read_table(path)
        craters = [[{**crater, "unknown_tagged_fields": None} for crater in row["craters"] or ()] for row in rows]
        assert [found or [] for found in table.column("craters").to_pylist()] == craters
        assert table.column("flag").to_pylist() == [row["flag"] for row in rows]

    assert "moon" in run("schema")
    assert "A moon. Written when it is full." in run("schema", "moon")
    assert "full_since" in json.loads(run("schema", "moon", "--json"))["properties"]
