"""Questions about every shape have the rows that the shape must give, and cost in proportion to the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.measure import printed
from tests.bench.questions import command, rows_of
from tests.bench.shapes_groups import GROUP_SHAPES

RECORDS = 20_000



@pytest.mark.parametrize("name", GROUP_SHAPES)
def test_answers_have_the_rows_of_the_shape(name: str, tmp_path: Path) -> None:
    records = max(int(RECORDS * GROUP_SHAPES[name].share), 1)
    segment = GROUP_SHAPES[name].write(tmp_path, RECORDS)
    for question, expected in rows_of(name, records).items():
        assert printed(command(question, segment)).lines == expected, question
