"""Every format of every command, on every set: what a person or a spreadsheet gets is what JSON lines hold."""

from __future__ import annotations

import pytest

from tests.command import run
from tests.truth import LogSet, log_sets, set_id

SETS = log_sets()


@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_a_timeline_of_notable_movements_has_each(log_set: LogSet) -> None:
    asked = ("explain", log_set.log, "--notable")
    rows = [row for row in run(*asked).rows if row["type"] == "movement"]
    lines = run(*asked, "--format", "text").stdout.decode().split("\n")
    places = [line.rpartition("[")[2] for line in lines if line.endswith("]")]
    assert sorted(places) == sorted(f"{row['log_partition']}:{row['log_offset']}]" for row in rows)
