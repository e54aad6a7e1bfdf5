"""The programs that are measured read the same from every shape. Their times are shown (pytest -rP), not judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.__main__ import offdecode
from tests.bench.generate import SHAPES
from tests.bench.measure import printed
from tests.bench.peers import dump_command, go_command, has_go
from tests.kafka_jars import require_java

RECORDS = 20_000
SMALL = [name for name in SHAPES if not name.endswith("gb")]


@pytest.mark.skipif(not has_go(), reason="needs go")
@pytest.mark.parametrize("name", SMALL)
def test_go_prints_the_same_lines(name: str, tmp_path: Path) -> None:
    segment = SHAPES[name].write(tmp_path, RECORDS)
    ours = printed(offdecode(segment))
    assert ours.lines >= RECORDS * SHAPES[name].share
    for encoder in ("json", "append"):
        other = printed(go_command(segment, encoder))
        assert (other.digest, other.lines) == (ours.digest, ours.lines), encoder
        print(f"{name}: Go ({encoder}) takes {other.seconds / ours.seconds:.2f} of offdecode's {ours.seconds:.2f} s")


@pytest.mark.broker
@pytest.mark.parametrize("name", ["v4-10", "mixed", "lz4"])
def test_the_dump_tool_shows_as_many_records(name: str, tmp_path: Path) -> None:
    require_java()
    segment = SHAPES[name].write(tmp_path, RECORDS)
    ours, other = printed(offdecode(segment)), printed(dump_command(segment))
    assert other.records == ours.lines
    print(f"{name}: the dump tool takes {other.seconds / ours.seconds:.2f} of offdecode's {ours.seconds:.2f} s")


@pytest.mark.parametrize("name", ["v3-500", "mixed", "members-50", "zstd"])
def test_a_shape_is_the_same_bytes_every_time(name: str, tmp_path: Path) -> None:
    first, second = (SHAPES[name].write(tmp_path / part, 1000).read_bytes() for part in "ab")
    assert first == second
