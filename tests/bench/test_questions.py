"""Questions about every shape have the rows that the shape must give, and cost in proportion to the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.measure import printed, timed
from tests.bench.questions import command, rows_of
from tests.bench.shapes_groups import GROUP_SHAPES

RECORDS = 20_000
_GROWTH = 2.6  # of computing time for twice the log; the floor is 2.2, this leaves room for other work
_GROWN = 200_000


@pytest.mark.parametrize("name", GROUP_SHAPES)
def test_answers_have_the_rows_of_the_shape(name: str, tmp_path: Path) -> None:
    records = max(int(RECORDS * GROUP_SHAPES[name].share), 1)
    segment = GROUP_SHAPES[name].write(tmp_path, RECORDS)
    for question, expected in rows_of(name, records).items():
        assert printed(command(question, segment)).lines == expected, question


@pytest.mark.parametrize("name", ["many-groups", "open-transactions"])
def test_twice_the_log_takes_no_more_than_twice_the_time(name: str, tmp_path: Path) -> None:
    seconds = []
    for times in (1, 2):
        segment = GROUP_SHAPES[name].write(tmp_path, _GROWN * times)
        seconds.append(min(timed(command("state", segment)).cpu for _ in range(2)))
    assert seconds[1] <= _GROWTH * seconds[0], f"{seconds[0]:.2f} s, then {seconds[1]:.2f} s"
