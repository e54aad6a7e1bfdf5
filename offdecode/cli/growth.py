"""offdecode growth: where the bytes of the offsets topic are."""

from __future__ import annotations

from functools import partial

import click

from offdecode.cli.options import Taken, output_of, paths_argument, takes
from offdecode.options import EACH_LOG, GROUPS, Filter, GrowthOptions, Output, Reading, Source


@click.command("growth")
@paths_argument
@takes(Taken(Source, EACH_LOG), Taken(Filter, (*GROUPS, "topics")), GrowthOptions, Reading, output_of(jobs=True))
def command(source: Source, rows: Filter, asked: GrowthOptions, reading: Reading, output: Output) -> int:
    """Tell where the bytes of the offsets topic are, and what keeps the log cleaner from removing them.

    PATH as for decode. For each log a row says how far it is cleaned, what stops the cleaner and what would be left;
    rows of its bytes follow, the largest first.
    """
    from offdecode.cli.run import run_answer
    from offdecode.questions.growth import growth, growth_by_log, growth_request
    from offdecode.schemas.growth_rows import GROWTH_ROW, GROWTH_ROW_TYPES
    from offdecode.sinks.text.growth import GrowthSink
    from offdecode.writing import Answer

    row_types = (GROWTH_ROW,) if output.one_type else GROWTH_ROW_TYPES
    answer = Answer(
        row_types, partial(growth, asked=asked), {"table": GrowthSink},
        partial(growth_by_log, asked=asked),
    )  # fmt: skip
    return run_answer(answer, growth_request(source, rows, reading), output)
