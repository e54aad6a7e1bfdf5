"""What a report of a million commits costs beside decoding them, and how large it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench.measure import FOLDER, alternating, peak_memory
from tests.bench.questions import command
from tests.bench.shapes_groups import GROUP_SHAPES

_MOST_TIMES = 3.0  # of decoding
_MOST_PAGE_BYTES = 10_000_000
_MOST_MEMORY = 400 << 20
_COMMITS = 1_000_000


@pytest.mark.slow
def test_a_page_costs_some_decodings_and_is_small(tmp_path: Path) -> None:
    segment = GROUP_SHAPES["fleet"].write(FOLDER, _COMMITS)
    page = tmp_path / "page.html"
    report = [sys.executable, "-m", "offdecode", "report", str(segment), "-o", str(page)]
    times = alternating({"decode": command("decode", segment), "report": report}, 3)
    decode, told = times["decode"].cpu, times["report"].cpu
    memory = peak_memory(report)
    print(f"decode {decode:.2f} s, report {told:.2f} s, {memory >> 20} MB, {page.stat().st_size:,} bytes")
    assert told <= _MOST_TIMES * decode, f"decode {decode:.2f} s, report {told:.2f} s"
    assert page.stat().st_size <= _MOST_PAGE_BYTES
    assert memory <= _MOST_MEMORY
